//! Answers to challenges: basic, and bearer tokens (the distribution project's token
//! authentication), kept until they expire.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::*;
use http::{HeaderMap, HeaderValue, Method, header};
use serde::Deserialize;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::cache::{Bounded, lock};
use super::challenge;
use super::endpoint::Endpoint;
use super::limits::REPOSITORIES_MAX;
use super::secret::{Credential, Found};
use super::transport::{Ask, Transport};
use super::{RegistryError, RegistryErrorKind as Kind, error};
use crate::image::Repository;

/// The life of a token whose server does not say: the token specification's default.
const TOKEN_LIFE: Duration = Duration::from_secs(60);
/// No token is used for longer, whatever its server says.
const TOKEN_LIFE_MAX: Duration = Duration::from_secs(3600);
/// A token is renewed this long before it expires, or at half of its life.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);
/// Who we are to token servers that want a name.
const CLIENT_ID: &str = "skep";

/// Tokens by repository: each is for pulling from that one.
pub(super) struct Auth {
    slots: Mutex<Bounded<Repository, Arc<tokio::sync::Mutex<Slot>>>>,
}

/// What is known of one repository's authentication.
#[derive(Default)]
struct Slot {
    scheme: Option<Scheme>,
    /// For whom the token was given.
    credential: Option<Credential>,
    token: Option<(HeaderValue, Instant)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
}

impl Auth {
    pub(super) fn new() -> Self {
        Self { slots: Mutex::new(Bounded::new(REPOSITORIES_MAX)) }
    }

    fn slot(&self, endpoint: &Endpoint) -> Arc<tokio::sync::Mutex<Slot>> {
        lock(&self.slots).get_or_insert_with(&endpoint.repository, Arc::default)
    }

    /// The `Authorization` to send at once, by what the registry asked for last time.
    pub(super) async fn prepare(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
        found: Option<&Found>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let slot = self.slot(endpoint);
        let mut slot = slot.lock().await;
        slot.belongs_to(found);
        match slot.scheme.clone() {
            None => Ok(None),
            Some(Scheme::Basic) => Ok(found.and_then(|f| basic(&f.credential))),
            Some(Scheme::Bearer { realm, service }) => {
                if let Some(token) = slot.valid_token() {
                    return Ok(Some(token));
                }
                let token = fetch_token(transport, endpoint, &realm, service.as_deref(), found).await?;
                slot.token = Some(token.clone());
                Ok(Some(token.0))
            }
        }
    }

    /// The `Authorization` for the one retry after a 401; `used` was refused. An error if
    /// there is nothing new to show.
    pub(super) async fn answer(
        &self,
        transport: &Transport,
        endpoint: &Endpoint,
        found: Option<&Found>,
        headers: &HeaderMap,
        used: Option<&HeaderValue>,
        what: &str,
    ) -> Result<HeaderValue, RegistryError> {
        let slot = self.slot(endpoint);
        let mut slot = slot.lock().await;
        slot.belongs_to(found);
        // Another request may have got a new token meanwhile.
        if let Some(token) = slot.valid_token().filter(|token| Some(token) != used) {
            return Ok(token);
        }
        slot.token = None;
        let scheme = scheme(endpoint, headers)?;
        slot.scheme = Some(scheme.clone());
        match scheme {
            Scheme::Basic => found
                .and_then(|f| basic(&f.credential))
                .filter(|header| Some(header) != used)
                .ok_or_else(|| {
                    let source = found.map(|f| f.source.as_str());
                    let message = error::unauthorized(endpoint.registry(), 401, what, source);
                    RegistryError::new(Kind::Unauthorized, endpoint.registry(), &message)
                }),
            Scheme::Bearer { realm, service } => {
                let token = fetch_token(transport, endpoint, &realm, service.as_deref(), found).await?;
                slot.token = Some(token.clone());
                Ok(token.0)
            }
        }
    }
}

impl Slot {
    /// Drops the token if it was given for other credentials.
    fn belongs_to(&mut self, found: Option<&Found>) {
        let credential = found.map(|f| &f.credential);
        if self.credential.as_ref() != credential {
            self.credential = credential.cloned();
            self.token = None;
        }
    }

    fn valid_token(&self) -> Option<HeaderValue> {
        self.token.as_ref().filter(|(_, until)| Instant::now() < *until).map(|(token, _)| token.clone())
    }
}

/// What to answer to: bearer before basic, as docker has it.
fn scheme(endpoint: &Endpoint, headers: &HeaderMap) -> Result<Scheme, RegistryError> {
    let untrusted = |why: &str| RegistryError::new(Kind::Untrusted, endpoint.registry(), why);
    let values = headers.get_all(header::WWW_AUTHENTICATE);
    let all = challenge::parse(values.iter().filter_map(|value| value.to_str().ok()));
    if let Some(bearer) = all.iter().find(|c| c.scheme == "bearer" && c.get("realm").is_some()) {
        let realm = bearer.get("realm").unwrap_or_default();
        let realm = Url::parse(realm).map_err(|_| untrusted("its token server's address is not a URL"))?;
        endpoint
            .may_go_to(&realm)
            .map_err(|why| untrusted(&format!("it sends us for tokens {why}, which is not safe")))?;
        return Ok(Scheme::Bearer { realm, service: bearer.get("service").map(str::to_owned) });
    }
    if all.iter().any(|c| c.scheme == "basic") {
        return Ok(Scheme::Basic);
    }
    let message = "401 without a challenge that skep can answer (basic or bearer)";
    Err(RegistryError::new(Kind::Unauthorized, endpoint.registry(), message))
}

fn basic(credential: &Credential) -> Option<HeaderValue> {
    let Credential::Password { username, password } = credential else { return None };
    let pair = format!("{}:{}", username.expose(), password.expose());
    sensitive(&format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// A header's value that is left out of debug output and compression tables.
fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Asks the realm for a token to pull from the endpoint's repository. No redirects: what is
/// sent is for the realm alone.
async fn fetch_token(
    transport: &Transport,
    endpoint: &Endpoint,
    realm: &Url,
    service: Option<&str>,
    found: Option<&Found>,
) -> Result<(HeaderValue, Instant), RegistryError> {
    let scope = format!("repository:{}:pull", endpoint.repository.path());
    let mut parameters = vec![("scope", scope.as_str())];
    parameters.extend(service.map(|service| ("service", service)));
    let what = "a token";
    if found.is_some() && !endpoint.may_show_to(realm) {
        return Err(foreign(endpoint, realm));
    }
    let asked = Instant::now();
    let mut ask = Ask::new(Method::GET, realm.clone(), what.to_owned(), transport.limits().token_bytes);
    ask.follow = false;
    match found.map(|f| &f.credential) {
        Some(Credential::IdentityToken(token)) => {
            parameters.extend([
                ("grant_type", "refresh_token"),
                ("client_id", CLIENT_ID),
                ("refresh_token", token.expose()),
            ]);
            ask.method = Method::POST;
            ask.body =
                Some(form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish());
        }
        credential => {
            ask.url.query_pairs_mut().extend_pairs(parameters);
            ask.authorization = credential.and_then(basic);
        }
    }
    let answer = transport.send(endpoint, ask).await?;
    if !answer.status.is_success() {
        let source = found.map(|f| f.source.as_str());
        let mut error = error::for_status(
            endpoint.registry(),
            what,
            answer.status,
            &answer.headers,
            &answer.body,
            source,
        );
        if matches!(answer.status.as_u16(), 400 | 404) {
            error.kind = Kind::Untrusted;
        }
        return Err(error);
    }
    let untrusted = || {
        let message = "its token server answered something else than a token";
        RegistryError::new(Kind::Untrusted, endpoint.registry(), message)
    };
    let answer: TokenAnswer = serde_json::from_slice(&answer.body).map_err(|_| untrusted())?;
    let life = life(answer.expires_in.as_ref());
    let token = answer.token.filter(|t| !t.is_empty()).or(answer.access_token).ok_or_else(untrusted)?;
    let header = sensitive(&format!("Bearer {token}")).ok_or_else(untrusted)?;
    Ok((header, asked + life - TOKEN_MARGIN.min(life / 2)))
}

fn foreign(endpoint: &Endpoint, realm: &Url) -> RegistryError {
    let (registry, host) = (endpoint.registry(), realm.host_str().unwrap_or_default());
    let message = format!(
        "its token server is at {host}, for which its credentials are not: if that is meant, set \
         `realm = \"{host}\"` under [registries.\"{registry}\"] in skep.toml"
    );
    RegistryError::new(Kind::Untrusted, registry, &message)
}

/// `expires_in` in seconds; some servers write it as text.
fn life(expires_in: Option<&serde_json::Value>) -> Duration {
    let seconds = expires_in.and_then(|v| v.as_f64().or_else(|| v.as_str()?.trim().parse().ok()));
    match seconds {
        Some(seconds) if seconds > 0.0 => {
            Duration::try_from_secs_f64(seconds).unwrap_or(TOKEN_LIFE_MAX).min(TOKEN_LIFE_MAX)
        }
        _ => TOKEN_LIFE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_lives() {
        for (value, seconds) in [
            (json!(300), 300),
            (json!("300"), 300),
            (json!(300.5), 300),
            (json!(1e300), 3600),
            (json!(0), 60),
            (json!(-5), 60),
            (json!(null), 60),
            (json!("soon"), 60),
        ] {
            assert_eq!(life(Some(&value)).as_secs(), seconds, "{value}");
        }
        assert_eq!(life(None), TOKEN_LIFE);
    }
}
