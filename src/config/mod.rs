//! Configuration: `skep.toml`, then the environment (`SKEP_POLL__REGISTRY`), then flags.
//!
//! What was typed is read key by key through one table (`keys`), whichever source it came
//! from, so that a value means the same and is refused with the same words everywhere.

mod docker;
mod env;
mod error;
mod file;
mod hooks;
mod keys;
mod registries;
mod source;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use docker::{Endpoint, parse_docker_host};
pub use error::{ConfigError, Problem};
pub use hooks::Hook;
pub use source::{GitAccess, GitConfig, Typed as GitTyped};

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "skep.toml";

/// What is meant, after all sources are merged and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    pub specs_dir: PathBuf,
    /// Specs come from here and not from `specs_dir`, unless a flag or variable names that.
    pub git: Option<GitConfig>,
    /// What was typed of it.
    pub git_typed: GitTyped,
    pub state_dir: PathBuf,
    /// The API of a running controller, `http://…` or `unix://…`.
    pub server: Option<String>,
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
    pub http_listen: Listen,
    /// Whether others than this machine may connect.
    pub http_allow_remote: bool,
    /// Names beside loopback's by which the API may be called.
    pub http_hosts: Vec<String>,
    pub http_token_file: Option<PathBuf>,
    /// Where the secret of each webhook is; a webhook without one is not listened to.
    pub hook_secrets: BTreeMap<Hook, PathBuf>,
    /// Bytes of an event segment, and how many older ones are kept.
    pub events_max_bytes: u64,
    pub events_keep: usize,
}

/// Where `skep run` serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl Listen {
    /// Whether only this machine can connect.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Docker {
    /// `unix://…`, `tcp://…` (TLS when certificates are given); `None`: the usual socket.
    /// `DOCKER_HOST` is already taken into account.
    pub host: Option<String>,
    /// TLS is wanted (`DOCKER_TLS_VERIFY`, or certificates from any source).
    pub tls: bool,
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
    /// Credentials of ECR's, by the AWS keys in the environment.
    pub aws_environment: bool,
    /// An additional trusted certificate authority, PEM.
    pub ca: Option<PathBuf>,
    /// The host of a token server in another domain, which credentials are shown too.
    pub realm: Option<String>,
    /// How often credentials that expire are given to the nodes anew; `None`: by the helper.
    pub renew: Option<Duration>,
    /// Where lists and digests are asked for first, in order: `host[:port][/prefix]`.
    pub mirrors: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            file: None,
            specs_dir: PathBuf::from("specs"),
            git: None,
            git_typed: GitTyped::default(),
            state_dir: PathBuf::from(".skep"),
            server: None,
            docker: Docker::default(),
            registries: BTreeMap::new(),
            poll_registry: Duration::from_secs(60),
            resync: Duration::from_secs(300),
            rollout_timeout: Duration::from_secs(600),
            rollout_concurrency: 8,
            http_listen: Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 9741))),
            http_allow_remote: false,
            http_hosts: Vec::new(),
            http_token_file: None,
            hook_secrets: BTreeMap::new(),
            events_max_bytes: 64 << 20,
            events_keep: 8,
        }
    }
}

/// Where configuration comes from. Kept, so that SIGHUP can load it again.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `--config`; it must exist. `SKEP_CONFIG` stands in for it.
    pub file: Option<PathBuf>,
    /// Read when no file is named and this one is there.
    pub default_file: PathBuf,
    /// The environment; variables that are not ours or Docker's are passed over.
    pub env: BTreeMap<String, String>,
    pub flags: Flags,
}

/// What the command line says; it wins over all else.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    pub specs: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub server: Option<String>,
    pub docker_host: Option<String>,
    pub listen: Option<String>,
}

impl Sources {
    pub fn new(file: Option<PathBuf>, env: impl IntoIterator<Item = (String, String)>, flags: Flags) -> Self {
        let env = env.into_iter().filter(|(name, _)| env::concerns_us(name)).collect();
        Self { file, default_file: PathBuf::from(DEFAULT_FILE), env, flags }
    }

    /// A variable, where empty means unset, as Docker's own tools have it.
    fn var(&self, name: &str) -> Option<&str> {
        self.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

impl Config {
    /// Reads, merges and checks all sources.
    ///
    /// # Errors
    /// All that is wrong in all sources at once, each with its place and mend.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let mut problems = Vec::new();
        let docker_place = file::apply(sources, &mut config, &mut problems);
        env::apply(sources, &mut config, &mut problems);
        apply_flags(&sources.flags, &mut config, &mut problems);
        // The parts may come from several sources, so only now is it known what they make.
        problems.extend(docker::finish(sources, &mut config, docker_place));
        problems.extend(source::finish(&mut config));
        if sources.flags.specs.is_some() || sources.var("SKEP_SPECS").is_some() {
            config.git = None;
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::new(problems)) }
    }

    /// What is configured for a repository, `host[:port]/path`: the longest entry that is
    /// the whole of it or a prefix up to a slash.
    pub fn registry_for(&self, repository: &str) -> Option<(&str, &RegistryConfig)> {
        let mut prefix = repository;
        loop {
            if let Some((name, registry)) = self.registries.get_key_value(prefix) {
                return Some((name, registry));
            }
            prefix = prefix.rsplit_once('/')?.0;
        }
    }
}

fn apply_flags(flags: &Flags, config: &mut Config, problems: &mut Vec<Problem>) {
    if let Some(specs) = &flags.specs {
        config.specs_dir.clone_from(specs);
    }
    if let Some(state_dir) = &flags.state_dir {
        config.state_dir.clone_from(state_dir);
    }
    for (flag, key, value) in [
        ("--server", "server", &flags.server),
        ("--docker-host", "docker.host", &flags.docker_host),
        ("--listen", "http.listen", &flags.listen),
    ] {
        let Some(value) = value else { continue };
        if let Err(mend) = keys::set(config, key, &values::Raw::Text(value)) {
            problems.push(Problem::elsewhere(flag, mend));
        }
    }
}

/// A path in a file is meant from the file's own directory.
fn from_dir_of(file: &Path, path: &str) -> PathBuf {
    file.parent().unwrap_or(Path::new("")).join(path)
}
