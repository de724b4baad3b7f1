//! The registry: tags and digests over the OCI distribution API, asked once a repository.
//!
//! [`Client`] implements [`Registry`]. Its layers, from the top: `client` answers from
//! `cache` or asks; `tags` and `resolve` know the API; `api` answers challenges by `auth` with
//! what `credentials` finds; `transport` sends, bounded in time, size and number.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use crate::image::{Digest, Repository};
use crate::version::{Platform, Resolved};

mod api;
mod auth;
mod cache;
mod carrier;
mod challenge;
mod client;
mod credentials;
mod docker_config;
mod ecr;
mod endpoint;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzz;
mod helper;
mod limits;
mod link;
mod manifest;
mod rate_limit;
mod resolve;
mod secret;
mod sigv4;
mod tags;
#[cfg(test)]
mod tests;
mod transport;

pub use client::{Client, Options};
pub use ecr::AwsEnvironment;
pub use limits::Limits;
pub use rate_limit::RateLimit;
pub use transport::Observer;

/// What the rest of skep needs of registries.
pub trait Registry: Send + Sync {
    /// All tags, unsorted. Served from the shared cache when that is not older than
    /// `max_age`; several callers at once share one query.
    fn tags(
        &self,
        repository: &Repository,
        max_age: Duration,
    ) -> BoxFuture<'_, Result<Arc<[String]>, RegistryError>>;
    /// The digest of a tag (or of `sha256:…`). Cached and shared as `tags` is.
    fn digest(
        &self,
        repository: &Repository,
        reference: &str,
        max_age: Duration,
    ) -> BoxFuture<'_, Result<Digest, RegistryError>>;
    /// The platforms that a manifest offers; empty when it states none. Asked once a digest.
    fn platforms(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> BoxFuture<'_, Result<BTreeSet<Platform>, RegistryError>>;
    /// Both of a tag: its digest, and the platforms of that.
    fn resolve<'a>(
        &'a self,
        repository: &'a Repository,
        reference: &'a str,
        max_age: Duration,
    ) -> BoxFuture<'a, Result<Resolved, RegistryError>> {
        Box::pin(async move {
            let digest = self.digest(repository, reference, max_age).await?;
            let platforms = self.platforms(repository, &digest).await?;
            Ok(Resolved { digest, platforms })
        })
    }
    /// The value of `X-Registry-Auth` (base64url JSON) with which nodes can pull from this
    /// repository, if there are credentials for it.
    fn pull_auth(&self, repository: &Repository) -> BoxFuture<'_, Result<Option<String>, RegistryError>>;
    /// How often the credentials that nodes have for this repository must be renewed; `None`: they
    /// do not expire.
    fn renewal(&self, _repository: &Repository) -> BoxFuture<'_, Option<Duration>> {
        Box::pin(std::future::ready(None))
    }
    /// What the registry (host and port, as references name it) last said of our allowance.
    fn rate_limit(&self, _registry: &str) -> Option<RateLimit> {
        None
    }
}

/// Why a registry gave no answer that can be trusted. Display is bounded and escaped, names
/// the registry and the mend, and never contains a credential.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    pub kind: RegistryErrorKind,
    /// Host and port.
    pub registry: String,
    pub message: String,
    /// When the registry said so (`Retry-After`).
    pub retry_after: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RegistryErrorKind {
    /// No connection, a time-out, a 5xx.
    Unavailable,
    /// 401 or 403, with or without credentials.
    Unauthorized,
    /// No such repository, tag or digest.
    NotFound,
    /// 429.
    RateLimited,
    /// An answer that breaks the protocol or a bound, or a list that is cut off.
    Untrusted,
    /// The list was longer than the bound.
    Truncated,
    /// Credentials that cannot be read (file, helper).
    Credentials,
}
