//! One request to a registry, with credentials where it wants them.

use std::sync::Arc;

use http::{HeaderValue, StatusCode};

use super::auth::Auth;
use super::credentials::Credentials;
use super::endpoint::{Endpoint, Settings};
use super::secret::Found;
use super::transport::{Answer, Ask, Transport};
use super::{RegistryError, RegistryErrorKind as Kind, error};

pub(super) struct Api {
    pub(super) settings: Arc<Settings>,
    pub(super) credentials: Credentials,
    pub(super) auth: Auth,
    pub(super) transport: Arc<Transport>,
}

/// An answer, and what is needed to tell of it.
pub(super) struct Fetched {
    pub(super) answer: Answer,
    what: String,
    /// Where the credentials it was got with come from.
    source: Option<String>,
}

impl Api {
    /// Sends a request. Any status is an answer, but a first 401 is answered if possible.
    pub(super) async fn fetch(&self, endpoint: &Endpoint, mut ask: Ask) -> Result<Fetched, RegistryError> {
        let found = self.credentials.find(&endpoint.repository).await?;
        // Another host (a next page after a redirect) is shown nothing.
        let own = endpoint.is_own(&ask.url);
        if own {
            ask.authorization = self.auth.prepare(&self.transport, endpoint, found.as_ref()).await?;
        }
        let mut answer = self.transport.send(endpoint, ask.clone()).await?;
        if own && answer.status == StatusCode::UNAUTHORIZED && endpoint.is_own(&answer.url) {
            ask.authorization = Some(self.challenged(endpoint, &ask, &answer, found.as_ref()).await?);
            answer = self.transport.send(endpoint, ask.clone()).await?;
        }
        if answer.status == StatusCode::UNAUTHORIZED {
            self.credentials.forget(&endpoint.repository);
        }
        Ok(Fetched { answer, what: ask.what, source: found.map(|f| f.source) })
    }

    async fn challenged(
        &self,
        endpoint: &Endpoint,
        ask: &Ask,
        refused: &Answer,
        found: Option<&Found>,
    ) -> Result<HeaderValue, RegistryError> {
        let used = ask.authorization.as_ref();
        let shown =
            self.auth.answer(&self.transport, endpoint, found, &refused.headers, used, &ask.what).await;
        if shown.as_ref().is_err_and(|e| e.kind == Kind::Unauthorized) {
            self.credentials.forget(&endpoint.repository);
        }
        shown
    }
}

impl Fetched {
    /// The answer if it is a success, else the error that it means.
    pub(super) fn success(self, endpoint: &Endpoint) -> Result<Answer, RegistryError> {
        if self.answer.status.is_success() {
            return Ok(self.answer);
        }
        let Answer { status, headers, body, .. } = &self.answer;
        let source = self.source.as_deref();
        Err(error::for_status(endpoint.registry(), &self.what, *status, headers, body, source))
    }
}
