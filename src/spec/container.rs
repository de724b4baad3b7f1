//! The Compose keys of a service that say how its containers are made.

use std::collections::BTreeMap;
use std::time::Duration;

/// `None` everywhere means: the spec says nothing about it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Container {
    pub hostname: Option<String>,
    /// `user[:group]`, names or numbers.
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub stop_signal: Option<String>,
    pub stop_grace_period: Option<Duration>,
    pub init: Option<bool>,
    pub read_only: Option<bool>,
    pub tty: Option<bool>,
    pub stdin_open: Option<bool>,
    pub isolation: Option<Isolation>,
    /// As the engine names them (`CAP_NET_ADMIN`, `ALL`), sorted.
    pub cap_add: Option<Vec<String>>,
    pub cap_drop: Option<Vec<String>>,
    pub dns: Option<Vec<String>>,
    pub dns_search: Option<Vec<String>>,
    /// `/etc/hosts` lines as the engine takes them: `address name`.
    pub extra_hosts: Option<Vec<String>>,
    pub sysctls: BTreeMap<String, String>,
    /// Sorted by name.
    pub ulimits: Option<Vec<Ulimit>>,
    pub logging: Option<Logging>,
    /// `volumes` and `tmpfs` together, in the order of the spec.
    pub mounts: Option<Vec<Mount>>,
    pub credential_spec: Option<CredentialSpec>,
}

/// How Windows containers are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    Default,
    Process,
    Hyperv,
}

/// -1 is no limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Logging {
    pub driver: Option<String>,
    pub options: BTreeMap<String, String>,
}

/// Where a Windows container finds its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialSpec {
    /// A file in the engine's `CredentialSpecs` folder.
    File(String),
    /// A value of the Windows registry of the node.
    Registry(String),
    /// A key of the top-level `[configs]`.
    Config(String),
}

/// Something mounted into the containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub target: String,
    pub read_only: bool,
    pub source: MountSource,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A volume: a key of the top-level `[volumes]`, or `None` for one that each task has of
    /// its own.
    Volume { key: Option<String>, nocopy: bool },
    /// A path of the node.
    Bind { path: String, propagation: Option<String> },
    /// Memory. `None`: no limit.
    Tmpfs { size_bytes: Option<u64> },
    /// A Windows named pipe.
    Npipe { path: String },
}

/// An entry of the top-level `[volumes]`: nodes make it when a task first needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    pub key: String,
    /// It exists already, or its plugin makes it.
    pub external: bool,
    /// The volume's name on the nodes.
    pub name: String,
    pub driver: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
}
