//! What nodes pull, and how it behaves when it runs.

use std::time::Duration;

/// Where nodes pull from: the embedded registry, asked directly.
pub trait Images: Send + Sync + 'static {
    /// Resolves a whole reference (`host:port/repo:tag@sha256:…`, `host:port/repo:tag`) with the
    /// credentials of `X-Registry-Auth` as the service has them.
    ///
    /// # Errors
    /// As a node sees it.
    fn pull(&self, reference: &str, auth: Option<&str>) -> Result<Pulled, PullError>;
}

/// An image on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Of the manifest or index, `sha256:…`.
    pub digest: String,
    /// What the container says of itself, as `docker logs` would show it.
    pub says: String,
    pub behaviour: Behaviour,
    /// `os/architecture` that it runs on.
    pub platform: String,
}

/// What a container of the image does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Runs until it is told to stop.
    #[default]
    Runs,
    /// Ends by itself.
    Exits { after: Duration, code: i64 },
    /// Runs, but its health check fails.
    Unhealthy,
}

/// Why a node has no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullError {
    /// The registry does not answer.
    Unreachable,
    Unauthorized,
    NotFound,
}
