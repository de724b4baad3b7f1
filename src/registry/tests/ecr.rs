//! ECR by keys in the environment, against an endpoint that checks signatures by itself.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::*;
use hmac::{Hmac, Mac as _};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::fake::*;
use crate::config::RegistryConfig;
use crate::image::Repository;
use crate::registry::{AwsEnvironment, Client, Options, Registry as _, RegistryErrorKind as Kind};

const NOW: Duration = Duration::ZERO;
const SECRET: &str = "CANARY/of+the+secret+key";
const SESSION: &str = "CANARY-of-the-session";
const ECR: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

/// The signature that belongs to a request, made from what arrived.
fn signature(seen: &Seen, signed: &str, scope: &str) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mac = |key: &[u8], text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let mut canonical = format!("{}\n{}\n{}\n", seen.method, seen.path, seen.query);
    for name in signed.split(';') {
        canonical += &format!("{name}:{}\n", seen.header(name).unwrap());
    }
    canonical += &format!("\n{signed}\n{}", hex(&Sha256::digest(seen.body.as_bytes())));
    let time = seen.header("x-amz-date").unwrap();
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| mac(&key, part));
    hex(&mac(&key, &text))
}

/// Whether the request is one for a token, signed by the right key for this region.
fn is_signed(seen: &Seen, region: &str) -> bool {
    let header = seen.header("authorization").unwrap_or_default();
    let part =
        |name: &str| header.split([' ', ',']).find_map(|part| part.strip_prefix(name)).unwrap_or_default();
    let (credential, signed) = (part("Credential="), part("SignedHeaders="));
    let Some((id, scope)) = credential.split_once('/') else { return false };
    let day = seen.header("x-amz-date").unwrap_or_default().split('T').next().unwrap_or_default();
    let names = ["content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"];
    id == "AKIDEXAMPLE"
        && scope == format!("{day}/{region}/ecr/aws4_request")
        && signed == names.join(";")
        && seen.header("x-amz-target") == Some("AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken")
        && seen.header("x-amz-security-token") == Some(SESSION)
        && part("Signature=") == signature(seen, signed, scope)
}

/// Amazon's side: tokens count up; a status above 399 is answered in their place.
struct Amazon {
    fake: Fake,
    status: Arc<AtomicU16>,
}

impl Amazon {
    async fn start(region: &'static str) -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let (now, count) = (Arc::clone(&status), AtomicUsize::new(0));
        let fake = Fake::start(|_| {
            move |seen| {
                if !is_signed(seen, region) {
                    return answer(403, &[], r#"{"__type":"InvalidSignatureException","message":"CANARY"}"#);
                }
                match now.load(Ordering::SeqCst) {
                    200 => {
                        let n = count.fetch_add(1, Ordering::SeqCst) + 1;
                        let expires = jiff::Timestamp::now().as_second() + 12 * 3600;
                        let token = BASE64_STANDARD.encode(format!("AWS:CANARY-token-{n}"));
                        json(format!(r#"{{"authorizationData":[{{"authorizationToken":"{token}","expiresAt":{expires}.25}}]}}"#))
                    }
                    299 => json("[]"),
                    status => answer(status, &[], r#"{"__type":"x#ExpiredTokenException","message":"CANARY"}"#),
                }
            }
        })
        .await;
        Self { fake, status }
    }

    fn options(&self) -> Options {
        let aws = AwsEnvironment {
            access_key_id: Some("AKIDEXAMPLE".into()),
            secret_access_key: Some(SECRET.into()),
            session_token: Some(SESSION.into()),
            region: Some("eu-central-1".into()),
            endpoint_url: Some(format!("http://{}", self.fake.host)),
        };
        Options { aws, ..options() }
    }
}

fn by_environment() -> RegistryConfig {
    RegistryConfig { aws_environment: true, ..Default::default() }
}

async fn password(client: &Client, image: &str) -> Option<String> {
    let repository: Repository = image.parse().unwrap();
    let text = client.pull_auth(&repository).await.unwrap()?;
    let auth: Value = serde_json::from_slice(&BASE64_URL_SAFE.decode(text).unwrap()).unwrap();
    assert_eq!(auth["username"], "AWS");
    Some(auth["password"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_signed_request_brings_the_registrys_password() {
    let amazon = Amazon::start("eu-central-1").await;
    let shown = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&shown);
    let registry = Fake::start(|_| {
        move |seen| match seen.header("authorization") {
            None => {
                answer(401, &[("www-authenticate", "Basic realm=\"ecr\",service=\"ecr.amazonaws.com\"")], "")
            }
            Some(header) => {
                log.lock().unwrap().push(header.to_owned());
                listing(&["1.0.0"])
            }
        }
    })
    .await;
    let client = configured(&registry.host, by_environment(), amazon.options());
    for name in ["a", "b", "c"] {
        client.tags(&registry.repository(name), NOW).await.unwrap();
    }
    let basic = format!("Basic {}", BASE64_STANDARD.encode("AWS:CANARY-token-1"));
    assert_eq!(*shown.lock().unwrap(), vec![basic; 3]);
    assert_eq!(amazon.fake.seen().len(), 1, "one token for all");
    assert!(registry.seen().iter().all(|seen| seen.header("x-amz-security-token").is_none()));
}

#[tokio::test]
async fn registries_of_ecr_need_no_configuration() {
    let amazon = Amazon::start("eu-west-1").await;
    let dir = tempfile::tempdir().unwrap();
    let config = json!({"auths": {"210987654321.dkr.ecr.eu-west-1.amazonaws.com": {"auth": "QVdTOm93bg=="}}});
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let client = client(Options { docker_config: Some(dir.path().into()), ..amazon.options() });
    assert_eq!(password(&client, &format!("{ECR}/a")).await.as_deref(), Some("CANARY-token-1"));
    let own = "210987654321.dkr.ecr.eu-west-1.amazonaws.com/a";
    assert_eq!(password(&client, own).await.as_deref(), Some("own"), "what docker has goes first");
    assert_eq!(password(&client, "r.example.com/a").await, None);
    let renewal =
        async |image: &str| client.renewal(&image.parse().unwrap()).await.map(|every| every.as_secs() / 60);
    assert!(matches!(renewal(&format!("{ECR}/a")).await, Some(239 | 240)));
    assert_eq!((renewal(own).await, renewal("r.example.com/a").await), (None, None));
    let without = super::fake::client(options());
    assert_eq!(
        without.pull_auth(&format!("{ECR}/a").parse().unwrap()).await.unwrap(),
        None,
        "no keys, no asking"
    );
}

#[tokio::test]
async fn only_a_refusal_of_its_own_registry_ends_a_token() {
    let amazon = Amazon::start("eu-west-1").await;
    let refusing = || Fake::start(|_| |_| answer(401, &[("www-authenticate", "Basic realm=\"x\"")], ""));
    let (foreign, own) = (refusing().await, refusing().await);
    let mut options = amazon.options();
    options.aws.region = Some("eu-west-1".into());
    let client = configured(&own.host, by_environment(), options);
    let image = format!("{ECR}/a");
    assert_eq!(password(&client, &image).await.as_deref(), Some("CANARY-token-1"));
    client.tags(&foreign.repository("a"), NOW).await.unwrap_err();
    assert!(!foreign.seen().is_empty());
    assert_eq!(password(&client, &image).await.as_deref(), Some("CANARY-token-1"));
    client.tags(&own.repository("a"), NOW).await.unwrap_err();
    assert_eq!(password(&client, &image).await.as_deref(), Some("CANARY-token-2"));
}

#[tokio::test]
async fn a_token_is_kept_for_half_its_life_and_used_for_all_of_it() {
    let amazon = Amazon::start("eu-west-1").await;
    let client = client(amazon.options());
    let image = format!("{ECR}/a");
    let hours = |hours: u64| Duration::from_secs(hours * 3600);
    assert_eq!(password(&client, &image).await.as_deref(), Some("CANARY-token-1"));
    skip(hours(5)).await;
    assert_eq!(password(&client, &image).await.as_deref(), Some("CANARY-token-1"));
    skip(hours(2)).await;
    assert_eq!(password(&client, &image).await.as_deref(), Some("CANARY-token-2"));
    amazon.status.store(500, Ordering::SeqCst);
    skip(hours(7)).await;
    assert_eq!(password(&client, &image).await.as_deref(), Some("CANARY-token-2"), "still good");
    skip(hours(6)).await;
    let error = client.pull_auth(&image.parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable, "{error}");
}

#[rstest]
#[case::expired(400, Kind::Credentials, "ExpiredTokenException")]
#[case::fault(503, Kind::Unavailable, "503")]
#[case::nonsense(299, Kind::Untrusted, "something else than an ECR token")]
#[tokio::test]
async fn refusals_are_told_without_a_secret(#[case] status: u16, #[case] kind: Kind, #[case] text: &str) {
    let amazon = Amazon::start("eu-west-1").await;
    amazon.status.store(status, Ordering::SeqCst);
    let client = client(amazon.options());
    let image: Repository = format!("{ECR}/a").parse().unwrap();
    for _ in 0..5 {
        let error = client.pull_auth(&image).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(text) && error.message.starts_with(ECR), "{error}");
        assert!(!format!("{error:?} {client:?} {:?}", amazon.options()).contains("CANARY"), "{error:?}");
    }
    assert_eq!(amazon.fake.seen().len(), 1, "asked once a burst");
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let amazon = Amazon::start("eu-west-1").await;
    let error = async |change: &dyn Fn(&mut AwsEnvironment)| {
        let mut options = amazon.options();
        change(&mut options.aws);
        let client = configured("r.example.com", by_environment(), options);
        let error = client.pull_auth(&"r.example.com/a".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Credentials, "{error}");
        error.message
    };
    assert!(error(&|aws| aws.secret_access_key = None).await.contains("AWS_SECRET_ACCESS_KEY"));
    assert!(error(&|aws| aws.region = None).await.contains("AWS_REGION"));
    assert!(error(&|aws| aws.region = Some("evil.example/".into())).await.contains("AWS_REGION"));
    assert!(error(&|aws| aws.endpoint_url = Some("file:///x".into())).await.contains("AWS_ENDPOINT_URL"));
    assert!(error(&|aws| aws.session_token = Some("a\nb".into())).await.contains("no request can carry"));
    // Another key is another signature.
    assert!(
        error(&|aws| aws.secret_access_key = Some("wrong".into()))
            .await
            .contains("InvalidSignatureException")
    );
}
