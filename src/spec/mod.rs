//! The desired state as ops write it: one TOML file a customer (contract §1).
//!
//! This module holds what a spec *means*; `parse` turns text into it and reports every
//! error at once. Nothing here reads files, clocks or the environment.

mod container;
pub mod diagnostics;
pub mod fleet;
pub mod keys;
mod network;
mod outside;
pub mod parse;
pub mod schema;
mod secret;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::image::{Digest, Repository};

pub use container::{Container, CredentialSpec, Isolation, Logging, Mount, MountSource, Ulimit, Volume};
pub use network::{Network, Subnet};
pub use outside::Outside;
pub use secret::{
    Blob, BlobRef, Content, ContentKey, ContentSource, Contents, FoundFile, NamedContent, NoContents,
    SUFFIX_DIGITS, Seal, SecretBytes,
};

/// One customer: one file, one stack.
#[derive(Clone, Debug, PartialEq)]
pub struct Customer {
    /// The file's stem, the stack's name.
    pub name: String,
    /// The file the spec was read from, relative to the specs directory, for messages.
    pub file: String,
    pub suspend: Option<Suspend>,
    /// Whether what the spec no longer names is removed.
    pub prune: bool,
    /// For services that say nothing themselves.
    pub drift: Drift,
    pub services: BTreeMap<String, Service>,
    pub networks: BTreeMap<String, Network>,
    pub volumes: BTreeMap<String, Volume>,
    pub secrets: BTreeMap<String, Blob>,
    pub configs: BTreeMap<String, Blob>,
    /// What it takes from elsewhere than spec files.
    pub contents: Vec<NamedContent>,
}

impl Customer {
    /// A customer that has no file any more, and so wants nothing.
    pub fn without_file(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            file: format!("{name}.toml"),
            suspend: None,
            prune: true,
            drift: Drift::default(),
            services: BTreeMap::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            configs: BTreeMap::new(),
            contents: Vec::new(),
        }
    }
}

/// A service as the spec wants it.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The key under `[services]`; the Swarm's name is `<customer>_<key>`.
    pub key: String,
    pub image: ImagePolicy,
    /// Take over a service that skep did not create.
    pub adopt: bool,
    pub suspend: Option<Suspend>,
    pub on_failure: OnFailure,
    /// Keys of services that must be in sync and run before this one is changed.
    pub after: Vec<String>,
    /// What to do about foreign changes; `None`: as the customer says.
    pub drift: Option<Drift>,
    pub compose: Compose,
}

/// What to do when somebody else changed a field that skep owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Drift {
    /// Put it back.
    #[default]
    Correct,
    /// Only tell; the next change of the spec or the version puts it back.
    Warn,
}

/// A hold on a customer or a service: nothing is changed, everything is still shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspend {
    pub reason: String,
    /// The hold ends by itself at this time.
    pub until: Option<jiff::Timestamp>,
}

/// What to do when a rollout failed and Swarm did not roll back by itself (semver.md rule 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// Write the last good digest back, once.
    #[default]
    Rollback,
    /// Leave the service as it is for a person.
    Hold,
}

/// How the image is chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum ImagePolicy {
    /// The highest version of the repository that the policy allows.
    Highest { repository: Repository, policy: VersionPolicy },
    /// One tag that is a full version; its digest is resolved at the registry.
    Tag { repository: Repository, tag: String, version: semver::Version },
    /// One content; the tag, if any, is only a name for people.
    Digest { repository: Repository, tag: Option<String>, digest: Digest },
}

impl Suspend {
    pub fn holds(&self, now: jiff::Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl ImagePolicy {
    pub fn repository(&self) -> &Repository {
        match self {
            Self::Highest { repository, .. }
            | Self::Tag { repository, .. }
            | Self::Digest { repository, .. } => repository,
        }
    }
}

/// How tags spell versions where nothing says otherwise.
static PLAIN_TAGS: TagPattern = TagPattern { prefix: String::new(), suffix: String::new() };

impl ImagePolicy {
    /// How the repository's tags spell versions.
    pub fn tags(&self) -> &TagPattern {
        match self {
            Self::Highest { policy, .. } => &policy.tags,
            Self::Tag { .. } | Self::Digest { .. } => &PLAIN_TAGS,
        }
    }
}

/// The `version` key of a service, with its defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionPolicy {
    pub require: semver::VersionReq,
    pub prerelease: Prerelease,
    pub tags: TagPattern,
    pub exclude: Vec<semver::VersionReq>,
    pub min_age: Duration,
    pub retag: Retag,
    pub downgrade: bool,
}

impl Default for VersionPolicy {
    fn default() -> Self {
        Self {
            require: semver::VersionReq::STAR,
            prerelease: Prerelease::None,
            tags: TagPattern::default(),
            exclude: Vec::new(),
            min_age: Duration::ZERO,
            retag: Retag::Follow,
            downgrade: false,
        }
    }
}

/// Which pre-releases may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Prerelease {
    None,
    All,
    /// Those whose first identifier is one of these.
    Channels(Vec<String>),
}

/// How tags spell the version: literal text around one `{version}`.
/// With both parts empty a leading `v` is allowed as well.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TagPattern {
    pub prefix: String,
    pub suffix: String,
}

/// What to do when a tag's digest changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retag {
    Follow,
    Hold,
}

/// The Compose keys of a service. `None` everywhere means: the spec says nothing about it,
/// so skep neither sets nor compares it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Compose {
    /// `None` as a value: the variable is named without a value (passed as `KEY`).
    /// What `env_file` names stands here too.
    pub environment: BTreeMap<String, Option<String>>,
    pub command: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    /// Container labels.
    pub labels: BTreeMap<String, String>,
    pub healthcheck: Option<Healthcheck>,
    /// Keys of the top-level `[networks]`.
    pub networks: Option<Vec<NetworkAttachment>>,
    pub ports: Option<Vec<Port>>,
    pub secrets: Option<Vec<BlobRef>>,
    pub configs: Option<Vec<BlobRef>>,
    pub container: Container,
    pub deploy: Deploy,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Healthcheck {
    /// As the engine takes it: `["CMD", …]`, `["CMD-SHELL", "…"]` or `["NONE"]`
    /// (`disable = true` gives `["NONE"]`).
    pub test: Option<Vec<String>>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub start_period: Option<Duration>,
    pub retries: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkAttachment {
    /// The key under the top-level `[networks]`.
    pub key: String,
    /// Without the service's own key, which the docker CLI always adds.
    pub aliases: Vec<String>,
}

/// One published port; ranges in the short syntax are expanded to one entry each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    pub target: u16,
    /// 0: the engine chooses.
    pub published: u16,
    pub protocol: Protocol,
    pub mode: PortMode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortMode {
    Ingress,
    Host,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct Deploy {
    pub mode: Option<Mode>,
    /// For a replicated job: its completions.
    pub replicas: Option<u64>,
    /// Service labels.
    pub labels: BTreeMap<String, String>,
    pub update_config: Option<UpdateConfig>,
    pub rollback_config: Option<UpdateConfig>,
    pub restart_policy: Option<RestartPolicy>,
    pub placement: Option<Placement>,
    pub resources: Option<Resources>,
    pub endpoint_mode: Option<EndpointMode>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Replicated,
    Global,
    ReplicatedJob,
    GlobalJob,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct UpdateConfig {
    pub parallelism: Option<u64>,
    pub delay: Option<Duration>,
    pub failure_action: Option<FailureAction>,
    pub monitor: Option<Duration>,
    pub max_failure_ratio: Option<f64>,
    pub order: Option<UpdateOrder>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureAction {
    Pause,
    Continue,
    /// Not allowed in `rollback_config`.
    Rollback,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateOrder {
    StopFirst,
    StartFirst,
}

#[derive(Clone, Debug, PartialEq, Default)]
pub struct RestartPolicy {
    pub condition: Option<RestartCondition>,
    pub delay: Option<Duration>,
    pub max_attempts: Option<u64>,
    pub window: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartCondition {
    None,
    OnFailure,
    Any,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Placement {
    pub constraints: Option<Vec<String>>,
    /// The node label descriptors of `spread` preferences, in order.
    pub preferences: Option<Vec<String>>,
    pub max_replicas_per_node: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Resources {
    pub limits: Option<ResourceAmounts>,
    pub reservations: Option<ResourceAmounts>,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ResourceAmounts {
    /// Billionths of a CPU.
    pub nano_cpus: Option<u64>,
    pub memory_bytes: Option<u64>,
    /// Limits only.
    pub pids: Option<u64>,
    /// Reservations only: kind and number.
    pub generic: Option<Vec<(String, u64)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointMode {
    Vip,
    Dnsrr,
}
