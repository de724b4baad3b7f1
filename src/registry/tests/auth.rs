use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::prelude::*;
use rstest::rstest;

use super::fake::*;
use crate::config::RegistryConfig;
use crate::registry::{Registry as _, RegistryErrorKind as Kind};

const NOW: Duration = Duration::ZERO;

fn basic() -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("ci:{CANARY}")))
}

#[tokio::test]
async fn basic_is_sent_after_the_first_challenge() {
    let fake = Fake::start(|_| {
        |seen| match seen.header("authorization") {
            Some(header) if header == basic() => listing(&["1.0.0"]),
            _ => answer(401, &[("www-authenticate", "Basic realm=\"x, y\"")], ""),
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let client = configured(&fake.host, login(dir.path()), options());
    for _ in 0..2 {
        client.tags(&fake.repository("a"), NOW).await.unwrap();
    }
    assert_eq!(fake.seen().len(), 3, "one challenge, then none");
    // A rotated password is taken up at once.
    std::fs::write(dir.path().join("password"), "wrong").unwrap();
    let error = client.tags(&fake.repository("a"), NOW).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized);
    assert!(error.message.contains("skep.toml are wrong"), "{error}");
    assert_eq!(fake.seen().len(), 4, "the same credentials are not tried twice");
}

#[tokio::test]
async fn missing_credentials_are_named_with_the_mend() {
    let fake = Fake::start(|_| |_| answer(401, &[("www-authenticate", "Basic realm=x")], "")).await;
    let error = client(options()).tags(&fake.repository("a"), NOW).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized);
    for text in ["missing credentials", &format!("docker login {}", fake.host), "skep.toml"] {
        assert!(error.message.contains(text), "{error}");
    }
    let fake = Fake::start(|_| |_| answer(401, &[("www-authenticate", "Negotiate")], "")).await;
    let error = client(options()).tags(&fake.repository("a"), NOW).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized);
    assert!(error.message.contains("without a challenge"), "{error}");
}

/// A registry with a token server of its own; tokens count up, the first `refused` ones are
/// not taken.
async fn token_registry(
    expires_in: &'static str,
    refused: usize,
    secret: Option<String>,
) -> (Fake, Arc<AtomicUsize>) {
    let given = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&given);
    let fake = Fake::start(|host| {
        move |seen| {
            if seen.path == "/token" {
                let (scope, service) = if seen.method == "POST" { (&seen.body, &seen.body) } else { (&seen.query, &seen.query) };
                assert!(scope.contains("scope=repository%3Ateam%2Fapp%3Apull") && service.contains("service=my+registry"), "{scope}");
                if seen.header("authorization") != secret.as_deref() {
                    return answer(401, &[], "");
                }
                let n = count.fetch_add(1, Ordering::SeqCst) + 1;
                return json(format!(r#"{{"token":"t{n}","expires_in":{expires_in}}}"#));
            }
            let n = count.load(Ordering::SeqCst);
            let expected = format!("Bearer t{n}");
            if n > refused && seen.header("authorization") == Some(expected.as_str()) {
                return listing(&["1.0.0"]);
            }
            let challenge = format!("Bearer realm=\"http://{host}/token?a=b\",service=\"my registry\",scope=\"repository:other:push\"");
            answer(401, &[("www-authenticate", "Negotiate"), ("www-authenticate", &challenge)], "")
        }
    })
    .await;
    (fake, given)
}

#[tokio::test]
async fn tokens_are_kept_until_they_expire() {
    let (fake, given) = token_registry("300", 0, None).await;
    let client = client(options());
    let repository = fake.repository("team/app");
    for _ in 0..3 {
        client.tags(&repository, NOW).await.unwrap();
    }
    assert_eq!(given.load(Ordering::SeqCst), 1);
    assert_eq!(fake.seen().len(), 5, "a challenge, a token, three lists");
    skip(Duration::from_secs(280)).await;
    client.tags(&repository, NOW).await.unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 1);
    skip(Duration::from_secs(15)).await;
    client.tags(&repository, NOW).await.unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 2, "renewed before it expires, without another 401");
    assert_eq!(fake.seen().len(), 8);
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let (fake, given) = token_registry("300", 0, None).await;
    let client = client(options());
    let repository = fake.repository("team/app");
    client.tags(&repository, NOW).await.unwrap();
    // As if the registry had forgotten the token.
    given.fetch_add(1, Ordering::SeqCst);
    client.tags(&repository, NOW).await.unwrap();
    assert_eq!(given.load(Ordering::SeqCst), 3);

    let (fake, given) = token_registry("300", usize::MAX, None).await;
    let error = client.tags(&fake.repository("team/app"), NOW).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized);
    assert_eq!(given.load(Ordering::SeqCst), 1, "no endless retry");
}

#[tokio::test]
async fn the_token_server_is_shown_the_credentials() {
    let (fake, _) = token_registry("\"300\"", 0, Some(basic())).await;
    let dir = tempfile::tempdir().unwrap();
    let client = configured(&fake.host, login(dir.path()), options());
    client.tags(&fake.repository("team/app"), NOW).await.unwrap();
    for seen in fake.seen().iter().filter(|s| s.path != "/token") {
        assert!(
            !seen.header("authorization").is_some_and(|h| h.starts_with("Basic")),
            "only the token server"
        );
    }
    std::fs::write(dir.path().join("password"), "wrong").unwrap();
    let error = client.tags(&fake.repository("team/app"), NOW).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unauthorized, "a token is not used for other credentials: {error}");
}

#[tokio::test]
async fn an_identity_token_is_exchanged() {
    let (fake, _) = token_registry("300", 0, None).await;
    let dir = tempfile::tempdir().unwrap();
    let config = serde_json::json!({"auths": {&fake.host: {"identitytoken": CANARY}}});
    std::fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let options = crate::registry::Options { docker_config: Some(dir.path().into()), ..options() };
    client(options).tags(&fake.repository("team/app"), NOW).await.unwrap();
    let all = fake.seen();
    let token = all.iter().find(|s| s.path == "/token").unwrap();
    assert_eq!((token.method.as_str(), token.query.as_str()), ("POST", "a=b"));
    let form: std::collections::BTreeMap<_, _> =
        url::form_urlencoded::parse(token.body.as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["refresh_token"], CANARY);
    assert_eq!(form["client_id"], "skep");
}

#[tokio::test]
async fn token_servers_misbehave() {
    let table: &[(&str, Kind)] = &[
        ("html", Kind::Untrusted),
        ("none", Kind::Untrusted),
        ("newline", Kind::Untrusted),
        ("redirect", Kind::Untrusted),
        ("huge", Kind::Untrusted),
        ("not-found", Kind::Untrusted),
        ("fault", Kind::Unavailable),
        ("denied", Kind::Unauthorized),
        ("file-realm", Kind::Untrusted),
        ("user-realm", Kind::Untrusted),
        ("no-realm", Kind::Unauthorized),
        ("limited", Kind::RateLimited),
    ];
    let fake = Fake::start(|host| {
        move |seen| match seen.path.as_str() {
            "/html" => answer(200, &[], "<html>"),
            "/none" => json("{}"),
            "/newline" => json(r#"{"token":"a\nb"}"#),
            "/redirect" => answer(302, &[("location", "/good")], ""),
            "/good" => json(r#"{"token":"t"}"#),
            "/huge" => json(" ".repeat(3000)),
            "/not-found" => answer(404, &[], ""),
            "/fault" => answer(500, &[], ""),
            "/denied" => answer(403, &[], ""),
            "/limited" => answer(429, &[("retry-after", "7")], ""),
            path => {
                let realm = match path.split('/').nth(2).unwrap() {
                    "file-realm" => "realm=\"file:///x\"".to_owned(),
                    "user-realm" => format!("realm=\"http://u:p@{host}/x\""),
                    "no-realm" => "service=x".to_owned(),
                    name => format!("realm=\"http://{host}/{name}\""),
                };
                answer(401, &[("www-authenticate", &format!("Bearer {realm}"))], "")
            }
        }
    })
    .await;
    for (name, kind) in table {
        let client = client(limits(|l| l.token_bytes = 2000));
        let error = client.tags(&fake.repository(name), NOW).await.unwrap_err();
        assert_eq!(error.kind, *kind, "{name}: {error}");
    }
}

/// Challenges and answers of token servers as the registries that people have write them.
#[rstest]
#[case::docker_hub(
    r#"Bearer realm="REALM",service="registry.docker.io",scope="repository:team/app:pull""#,
    "registry.docker.io",
    r#"{"token":"t","access_token":"t","expires_in":300,"issued_at":"2026-11-23T10:00:00Z"}"#
)]
#[case::ghcr(
    r#"Bearer realm="REALM",service="ghcr.io",scope="repository:team/app:pull""#,
    "ghcr.io",
    r#"{"token":"t"}"#
)]
#[case::gitlab(r#"Bearer realm="REALM",service="container_registry",scope="repository:team/app:pull",error="invalid_token""#, "container_registry", r#"{"token":"t"}"#)]
#[case::quay(
    r#"Bearer realm="REALM",service="quay.io",scope="repository:team/app:pull""#,
    "quay.io",
    r#"{"token":"t"}"#
)]
#[case::harbor(
    r#"Bearer realm="REALM",service="harbor-registry",scope="repository:team/app:pull""#,
    "harbor-registry",
    r#"{"token":"t","access_token":"","expires_in":1800,"issued_at":"2026-11-23T10:00:00Z"}"#
)]
#[case::google(
    r#"Bearer realm="REALM",service="europe-docker.pkg.dev",scope="repository:team/app:pull""#,
    "europe-docker.pkg.dev",
    r#"{"expires_in":3600,"issued_at":"x","token":"t"}"#
)]
#[case::azure(
    r#"Bearer realm="REALM",service="r.azurecr.io",scope="repository:team/app:metadata_read""#,
    "r.azurecr.io",
    r#"{"access_token":"t"}"#
)]
#[case::two_challenges(
    r#"Basic realm="x", Bearer realm="REALM", service="s""#,
    "s",
    r#"{"token":"","access_token":"t","expires_in":"60"}"#
)]
#[case::no_scope(r#"Bearer realm="REALM",service="s""#, "s", r#"{"token":"t","expires_in":0}"#)]
#[tokio::test]
async fn registries_as_people_have_them(
    #[case] challenge: &'static str,
    #[case] service: &'static str,
    #[case] token: &'static str,
) {
    let fake = Fake::start(|host| {
        let challenge = challenge.replace("REALM", &format!("http://{host}/auth/token"));
        move |seen| match (seen.path.as_str(), seen.header("authorization")) {
            ("/auth/token", Some(header)) if header == basic() => json(token),
            ("/auth/token", _) => answer(401, &[], ""),
            (_, Some("Bearer t")) => listing(&["1.0.0"]),
            _ => answer(401, &[("www-authenticate", &challenge)], ""),
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let client = configured(&fake.host, login(dir.path()), options());
    for _ in 0..3 {
        client.tags(&fake.repository("team/app"), NOW).await.unwrap();
    }
    let asked: Vec<Seen> = fake.seen().into_iter().filter(|seen| seen.path == "/auth/token").collect();
    assert_eq!(asked.len(), 1, "the token serves again");
    // Whatever scope the challenge names, only this one is asked for.
    let expected = [("scope", "repository:team/app:pull"), ("service", service)];
    let query: Vec<_> = url::form_urlencoded::parse(asked[0].query.as_bytes()).into_owned().collect();
    assert_eq!(query, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn a_realm_elsewhere_is_shown_nothing_unless_it_is_named() {
    let elsewhere = Fake::start(|_| |_| json(r#"{"token":"t"}"#)).await;
    let port = elsewhere.host.rsplit(':').next().unwrap().to_owned();
    let challenge = format!("Bearer realm=\"http://localhost:{port}/token\"");
    let registry = Fake::start(|_| {
        move |seen| match seen.header("authorization") {
            Some("Bearer t") => listing(&["1.0.0"]),
            _ => answer(401, &[("www-authenticate", &challenge)], ""),
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let tags = async |config: RegistryConfig| {
        configured(&registry.host, config, options()).tags(&registry.repository("a"), NOW).await
    };
    let error = tags(login(dir.path())).await.unwrap_err();
    assert_eq!(error.kind, Kind::Untrusted);
    assert!(error.message.contains("set `realm = \"localhost\"`"), "{error}");
    assert!(elsewhere.seen().is_empty());
    tags(RegistryConfig { realm: Some("localhost".into()), ..login(dir.path()) }).await.unwrap();
    assert_eq!(elsewhere.seen()[0].header("authorization"), Some(basic().as_str()));
    // Nothing is there to be shown.
    tags(RegistryConfig::default()).await.unwrap();
    assert_eq!(elsewhere.seen()[1].header("authorization"), None);
}
