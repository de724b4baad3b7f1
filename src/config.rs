//! Configuration: `skep.toml`, then the environment (`SKEP_POLL__REGISTRY`), then flags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What is meant, after all sources are merged and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub specs_dir: PathBuf,
    pub state_dir: PathBuf,
    pub docker: Docker,
    /// By `host[:port][/prefix]`; the longest matching prefix wins.
    pub registries: BTreeMap<String, RegistryConfig>,
    /// How often each repository is asked again, before jitter.
    pub poll_registry: Duration,
    /// How often everything is compared again.
    pub resync: Duration,
    /// A service that has not converged by then has failed.
    pub rollout_timeout: Duration,
    /// Customers at once.
    pub rollout_concurrency: usize,
    pub http_listen: std::net::SocketAddr,
    pub http_token_file: Option<PathBuf>,
    /// Bytes of an event segment, and how many older ones are kept.
    pub events_max_bytes: u64,
    pub events_keep: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Docker {
    /// `unix://…`, `tcp://…` (TLS when certificates are given); `None`: `DOCKER_HOST`, else
    /// the usual socket.
    pub host: Option<String>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct RegistryConfig {
    /// `None`: only for loopback.
    pub plain_http: Option<bool>,
    pub username: Option<String>,
    /// Read at each use, so that a rotated secret is taken up.
    pub password_file: Option<PathBuf>,
    /// The `NAME` of `docker-credential-NAME`.
    pub credential_helper: Option<String>,
    /// An additional trusted certificate authority, PEM.
    pub ca: Option<PathBuf>,
}
