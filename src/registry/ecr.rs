//! Amazon ECR by the keys in the environment: `GetAuthorizationToken`, kept as long as it is good.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde::Deserialize;
use tokio::time::Instant;
use url::{Position, Url};

use super::cache::{Flights, lock};
use super::docker_config;
use super::endpoint::Endpoint;
use super::secret::{Credential, Secret};
use super::sigv4::Signing;
use super::transport::{Answer, Ask, Transport};
use super::{Limits, RegistryError, RegistryErrorKind as Kind, error};

const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
const JSON: &str = "application/x-amz-json-1.1";
const WHAT: &str = "an ECR token";
/// How long ECR's tokens live (its documentation), before one is known.
const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Nodes are not given new ones more often than a third of this.
const LIFE_MIN: Duration = Duration::from_secs(180);
/// Regions asked in one process; each has its own token.
const REGIONS_MAX: usize = 64;
/// AWS's words for a refusal. Only these are repeated: free text could hold what was sent.
const REFUSALS: [&str; 10] = [
    "AccessDeniedException",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "RequestExpired",
    "ThrottlingException",
    "UnrecognizedClientException",
];

/// AWS's own variables, as its tools read them.
#[derive(Clone, Default)]
pub struct AwsEnvironment {
    pub access_key_id: Option<String>,
    pub secret_access_key: Option<String>,
    pub session_token: Option<String>,
    /// For registries whose name has none in it.
    pub region: Option<String>,
    /// In place of Amazon's own.
    pub endpoint_url: Option<String>,
}

impl AwsEnvironment {
    /// From the variables, of which `var` gives each that is set and not empty.
    pub fn new(var: impl Fn(&str) -> Option<String>) -> Self {
        Self {
            access_key_id: var("AWS_ACCESS_KEY_ID"),
            secret_access_key: var("AWS_SECRET_ACCESS_KEY"),
            session_token: var("AWS_SESSION_TOKEN"),
            region: var("AWS_REGION").or_else(|| var("AWS_DEFAULT_REGION")),
            endpoint_url: var("AWS_ENDPOINT_URL_ECR").or_else(|| var("AWS_ENDPOINT_URL")),
        }
    }

    pub(super) fn has_keys(&self) -> bool {
        self.access_key_id.is_some() && self.secret_access_key.is_some()
    }
}

impl fmt::Debug for AwsEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsEnvironment").field("region", &self.region).finish_non_exhaustive()
    }
}

/// Tokens by the endpoint that gave them.
pub(super) struct Ecr {
    environment: AwsEnvironment,
    transport: Arc<Transport>,
    tokens: Flights<String, Token>,
    /// Of the token that was last given.
    life: Mutex<Duration>,
}

/// What ECR gave, and when.
#[derive(Clone)]
struct Token {
    credential: Credential,
    got: Instant,
    life: Duration,
}

impl Token {
    /// For half of its life: nodes are given it too, and need it a while.
    fn is_fresh(&self) -> bool {
        self.got.elapsed() < self.life / 2
    }

    fn is_valid(&self) -> bool {
        self.got.elapsed() < self.life
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    authorization_data: Vec<TokenData>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenData {
    authorization_token: String,
    /// Seconds since 1970, with a fraction.
    expires_at: Option<f64>,
}

impl Ecr {
    pub(super) fn new(environment: AwsEnvironment, transport: Arc<Transport>) -> Self {
        let tokens = Flights::new(REGIONS_MAX, transport.limits().error_ttl);
        Self { environment, transport, tokens, life: Mutex::new(LIFE) }
    }

    pub(super) fn limits(&self) -> &Limits {
        self.transport.limits()
    }

    /// Whether a registry is one of ECR's and there are keys for it, though no configuration says so.
    pub(super) fn serves(&self, registry: &str) -> bool {
        self.environment.has_keys() && region_of(registry).is_some()
    }

    /// The credentials for a registry.
    pub(super) async fn credential(&self, endpoint: &Endpoint) -> Result<Credential, RegistryError> {
        let call = self.call(endpoint)?;
        let key = call.url.to_string();
        let token = self.tokens.get(&key, Duration::MAX, |_| self.ask(&call, endpoint)).await?;
        if token.is_fresh() {
            return Ok(token.credential);
        }
        match self.tokens.get(&key, Duration::ZERO, |_| self.ask(&call, endpoint)).await {
            Ok(token) => Ok(token.credential),
            Err(error) if token.is_valid() => {
                tracing::warn!(%error, "the ECR token that is there goes on being used");
                Ok(token.credential)
            }
            Err(error) => Err(error),
        }
    }

    /// How often nodes are to be given a new token: one that is sent has half of its life left at least.
    pub(super) fn renewal(&self) -> Duration {
        *lock(&self.life) / 3
    }

    /// Tokens that were refused are not used again.
    pub(super) fn forget(&self) {
        self.tokens.retain(|_| false);
    }

    fn call(&self, endpoint: &Endpoint) -> Result<Call, RegistryError> {
        let registry = endpoint.registry();
        let wrong = |why: &str| RegistryError::new(Kind::Credentials, registry, why);
        let environment = &self.environment;
        let (Some(id), Some(secret)) = (&environment.access_key_id, &environment.secret_access_key) else {
            return Err(wrong(
                "its credentials are to come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which are not set",
            ));
        };
        let named = region_of(registry);
        let region = named.map(|place| place.region.to_owned()).or_else(|| environment.region.clone());
        let region = region.filter(|region| is_region(region)).ok_or_else(|| {
            wrong("its name has no AWS region in it, and AWS_REGION is not set to one: set it")
        })?;
        let url = match &environment.endpoint_url {
            Some(url) => url.clone(),
            None => named.map_or_else(|| format!("https://api.ecr.{region}.amazonaws.com/"), |it| it.api()),
        };
        let url =
            Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or_else(|| wrong("AWS_ENDPOINT_URL is not an http or https URL"))?;
        let session = environment.session_token.clone().map(Secret::new);
        Ok(Call { key_id: id.clone(), secret: Secret::new(secret.clone()), session, region, url })
    }

    async fn ask(&self, call: &Call, endpoint: &Endpoint) -> Result<Token, RegistryError> {
        let got = Instant::now();
        let unusable = || {
            let message = "the AWS keys in the environment have signs that no request can carry";
            RegistryError::new(Kind::Credentials, endpoint.registry(), message)
        };
        let ask = call.signed(Timestamp::now(), self.transport.limits().token_bytes).ok_or_else(unusable)?;
        // Asked as a host of its own: what the registry may redirect to is another matter.
        let place =
            Endpoint { base: call.url.join("/").unwrap_or_else(|_| call.url.clone()), ..endpoint.clone() };
        let answer = self.transport.send(&place, ask).await?;
        if !answer.status.is_success() {
            return Err(refused(endpoint, &call.url, &answer));
        }
        let token = read(&answer.body, got, Timestamp::now()).ok_or_else(|| {
            let message = format!("{} answered something else than {WHAT}", host(&call.url));
            RegistryError::new(Kind::Untrusted, endpoint.registry(), &message)
        })?;
        *lock(&self.life) = token.life.max(LIFE_MIN);
        Ok(token)
    }
}

/// One question, and for whom.
struct Call {
    key_id: String,
    secret: Secret,
    session: Option<Secret>,
    region: String,
    url: Url,
}

impl Call {
    fn signed(&self, now: Timestamp, limit: usize) -> Option<Ask> {
        let mut ask = Ask::new(Method::POST, self.url.clone(), WHAT.to_owned(), limit);
        let time = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut headers = vec![("content-type", JSON), ("x-amz-date", &time), ("x-amz-target", TARGET)];
        headers.extend(self.session.as_ref().map(|token| ("x-amz-security-token", token.expose())));
        for (name, text) in &headers {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(*name == "x-amz-security-token");
            ask.headers.insert(HeaderName::from_static(name), value);
        }
        // As both carriers write it.
        headers.push(("host", &self.url[Position::BeforeHost..Position::AfterPort]));
        let body = "{}";
        let signing = Signing {
            method: &ask.method,
            path: self.url.path(),
            headers: &headers,
            body: body.as_bytes(),
            region: &self.region,
            service: "ecr",
            time: &time,
        };
        let mut authorization =
            HeaderValue::from_str(&signing.authorization(&self.key_id, &self.secret)).ok()?;
        authorization.set_sensitive(true);
        ask.authorization = Some(authorization);
        ask.body = Some(body.to_owned());
        ask.follow = false;
        Some(ask)
    }
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

fn read(body: &[u8], got: Instant, now: Timestamp) -> Option<Token> {
    let tokens: Tokens = serde_json::from_slice(body).ok()?;
    let data = tokens.authorization_data.into_iter().next()?;
    let credential = docker_config::decode(&data.authorization_token)?;
    // Clocks differ; a token that seems to be dead already is tried, and asked for again next time.
    let life = data.expires_at.map_or(LIFE.as_secs_f64(), |at| at - now.as_duration().as_secs_f64());
    let life = Duration::try_from_secs_f64(life.max(0.0)).unwrap_or(LIFE).min(LIFE);
    Some(Token { credential, got, life })
}

fn refused(endpoint: &Endpoint, url: &Url, answer: &Answer) -> RegistryError {
    let (status, registry) = (answer.status, endpoint.registry());
    if status.is_server_error() || status.as_u16() == 429 {
        return error::for_status(registry, WHAT, status, &answer.headers, &[], None);
    }
    let said = refusal(&answer.headers, &answer.body).map(|said| format!(" ({said})")).unwrap_or_default();
    let message = format!(
        "{} refused {WHAT} with {}{said}: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, \
         their right to ecr:GetAuthorizationToken, and this machine's clock",
        host(url),
        status.as_u16(),
    );
    RegistryError::new(Kind::Credentials, registry, &message)
}

/// Which of AWS's known refusals it is.
fn refusal(headers: &HeaderMap, body: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(rename = "__type")]
        kind: String,
    }
    let by_header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let said = by_header.or_else(|| serde_json::from_slice::<Body>(body).ok().map(|body| body.kind))?;
    let name = said.rsplit('#').next()?.split(':').next()?;
    REFUSALS.into_iter().find(|known| *known == name)
}

/// Where a registry of ECR's is.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place<'a> {
    region: &'a str,
    fips: bool,
    /// `amazonaws.com`, or China's.
    domain: &'a str,
}

impl Place<'_> {
    fn api(&self) -> String {
        let service = if self.fips { "ecr-fips" } else { "api.ecr" };
        format!("https://{service}.{}.{}/", self.region, self.domain)
    }
}

/// `ACCOUNT.dkr.ecr[-fips].REGION.amazonaws.com[.cn]`.
fn region_of(registry: &str) -> Option<Place<'_>> {
    let (account, rest) = registry.split_once(".dkr.")?;
    let (service, rest) = rest.split_once('.')?;
    let (region, domain) = rest.split_once('.')?;
    let fips = match service {
        "ecr" => false,
        "ecr-fips" => true,
        _ => return None,
    };
    let known = matches!(domain, "amazonaws.com" | "amazonaws.com.cn");
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    (known && is_account && is_region(region)).then_some(Place { region, fips, domain })
}

/// Fit to stand in a host's name.
fn is_region(text: &str) -> bool {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.len() <= 32 && text.bytes().all(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_read_from_names() {
        let api = |registry| region_of(registry).map(|place| place.api());
        for (registry, expected) in [
            (
                "123456789012.dkr.ecr.eu-west-1.amazonaws.com",
                Some("https://api.ecr.eu-west-1.amazonaws.com/"),
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                Some("https://api.ecr.cn-north-1.amazonaws.com.cn/"),
            ),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                Some("https://ecr-fips.us-gov-west-1.amazonaws.com/"),
            ),
            ("public.ecr.aws", None),
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.example", None),
            ("evil.example.dkr.ecr.eu-west-1.amazonaws.com", None),
            ("123456789012.dkr.ecr.eu_west.amazonaws.com", None),
            ("r.example.com", None),
        ] {
            assert_eq!(api(registry).as_deref(), expected, "{registry}");
        }
    }

    #[test]
    fn lives_are_read_and_bounded() {
        let now: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let life = |expires: &str| {
            let body = format!(r#"{{"authorizationData":[{{"authorizationToken":"QVdTOng="{expires}}}]}}"#);
            read(body.as_bytes(), Instant::now(), now).map(|token| token.life.as_secs())
        };
        let at = |seconds: i64| format!(r#","expiresAt":{}.5"#, now.as_second() + seconds);
        assert_eq!(life(&at(3600)), Some(3600));
        assert_eq!(life(&at(10 * 24 * 3600)), Some(12 * 3600));
        assert_eq!(life(&at(-100)), Some(0));
        assert_eq!(life(""), Some(12 * 3600));
        assert_eq!(life(r#","expiresAt":"soon""#), None);
        for bad in
            ["", "{}", r#"{"authorizationData":[]}"#, r#"{"authorizationData":[{"authorizationToken":"!"}]}"#]
        {
            assert!(read(bad.as_bytes(), Instant::now(), now).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_known_refusals_are_repeated() {
        let by_body = |text: &str| refusal(&HeaderMap::new(), text.as_bytes());
        assert_eq!(
            by_body(r#"{"__type":"com.amazon#ExpiredTokenException"}"#),
            Some("ExpiredTokenException")
        );
        assert_eq!(by_body(r#"{"__type":"hunter2"}"#), None);
        let mut headers = HeaderMap::new();
        headers.insert("x-amzn-errortype", HeaderValue::from_static("AccessDeniedException:http://x"));
        assert_eq!(refusal(&headers, b""), Some("AccessDeniedException"));
    }

    #[test]
    fn variables_are_those_of_awss_tools() {
        let set = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_DEFAULT_REGION", "r"), ("AWS_ENDPOINT_URL", "e")];
        let var =
            |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let environment = AwsEnvironment::new(var);
        assert_eq!(environment.region.as_deref(), Some("r"));
        assert_eq!(environment.endpoint_url.as_deref(), Some("e"));
        assert!(!environment.has_keys());
        let secret = AwsEnvironment { secret_access_key: Some("CANARY".into()), ..environment };
        assert!(secret.has_keys() && !format!("{secret:?}").contains("CANARY"));
    }
}
