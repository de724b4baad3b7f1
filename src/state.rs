//! What should be, and what is: plain data that the planner compares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::image::{Digest, ImageRef, Repository};
use crate::spec;
use crate::version::{Platform, Rejected};

/// One customer with the images already chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredCustomer {
    pub spec: spec::Customer,
    /// The git commit the spec came from.
    pub revision: Option<String>,
    /// By service key, as in `spec.services`.
    pub images: BTreeMap<String, DesiredImage>,
}

/// What was found out about a service's image.
#[derive(Clone, Debug, PartialEq)]
pub enum DesiredImage {
    Chosen(Target),
    /// Nothing may be chosen now; what runs stays.
    None {
        reason: WaitingReason,
        message: String,
        /// Versions that were looked at and passed over, and why.
        passed_over: Vec<Rejected>,
    },
}

/// The image a service is brought to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub repository: Repository,
    pub tag: Option<String>,
    pub version: Option<semver::Version>,
    pub digest: Digest,
    pub warnings: Vec<String>,
    /// Higher versions that were passed over, and why.
    pub passed_over: Vec<Rejected>,
}

/// Why something is not done now. Each is a condition in `status` and a line in `plan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitingReason {
    NotOwned,
    NoVersionFits,
    WouldDowngrade,
    VersionRefused,
    Suspended,
    TagMoved,
    RegistryUnavailable,
    TagListTruncated,
    RolloutInProgress,
    RolloutFailed,
    NetworkMissing,
    /// A secret or config that a service refers to.
    ObjectMissing,
    /// What a secret or config holds cannot be compared here.
    ContentUnknown,
    SpecInvalid,
    SwarmUnavailable,
    /// A service that it is to come after is not in sync yet.
    DependencyNotReady,
    /// Somebody else changed it, and the spec says to only tell.
    DriftDetected,
    /// Its removal waits for a person.
    PruneHeld,
    /// No spec names it, and it stays all the same.
    PruneDisabled,
    /// The customer's file is gone, and the stack goes after a while.
    SpecRemoved,
}

impl WaitingReason {
    /// PascalCase, as plans and conditions show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotOwned => "NotOwned",
            Self::NoVersionFits => "NoVersionFits",
            Self::WouldDowngrade => "WouldDowngrade",
            Self::VersionRefused => "VersionRefused",
            Self::Suspended => "Suspended",
            Self::TagMoved => "TagMoved",
            Self::RegistryUnavailable => "RegistryUnavailable",
            Self::TagListTruncated => "TagListTruncated",
            Self::RolloutInProgress => "RolloutInProgress",
            Self::RolloutFailed => "RolloutFailed",
            Self::NetworkMissing => "NetworkMissing",
            Self::ObjectMissing => "ObjectMissing",
            Self::ContentUnknown => "ContentUnknown",
            Self::SpecInvalid => "SpecInvalid",
            Self::SwarmUnavailable => "SwarmUnavailable",
            Self::DependencyNotReady => "DependencyNotReady",
            Self::DriftDetected => "DriftDetected",
            Self::PruneHeld => "PruneHeld",
            Self::PruneDisabled => "PruneDisabled",
            Self::SpecRemoved => "SpecRemoved",
        }
    }
}

/// The Swarm as one snapshot showed it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObservedState {
    /// By name.
    pub services: BTreeMap<String, ObservedService>,
    /// By ID. Shared, as what follows, by all who were shown it by one look.
    pub nodes: Arc<BTreeMap<String, ObservedNode>>,
    /// Networks of swarm scope, by name.
    pub networks: Arc<BTreeMap<String, ObservedNetwork>>,
    /// By name.
    pub secrets: Arc<BTreeMap<String, ObservedBlob>>,
    /// By name.
    pub configs: Arc<BTreeMap<String, ObservedBlob>>,
}

/// The kinds of objects that a stack is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    Service,
    Network,
    Secret,
    Config,
}

impl ObjectKind {
    /// As messages and the engine's paths name one.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Network => "network",
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ObservedService {
    pub id: String,
    pub name: String,
    /// `Version.Index`, needed to update.
    pub version_index: u64,
    /// The engine's `Spec`, raw, so that nothing is lost when it is written back.
    pub spec: Value,
    /// The engine's `PreviousSpec`, to which a rollback returns.
    pub previous_spec: Option<Value>,
    pub update_status: Option<UpdateStatus>,
    /// When the service was last written, by the managers' clock.
    pub updated_at: Option<jiff::Timestamp>,
    /// For jobs: `JobStatus.JobIteration.Index`.
    pub job_iteration: Option<u64>,
    /// Tasks that should run; all of them when the snapshot was taken in detail.
    pub tasks: Vec<ObservedTask>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateStatus {
    /// As the engine says: `updating`, `paused`, `completed`, `rollback_started`,
    /// `rollback_paused`, `rollback_completed`, or one we do not know.
    pub state: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedTask {
    pub id: String,
    pub slot: Option<u64>,
    pub node_id: Option<String>,
    /// Lower case, as the engine says.
    pub state: String,
    pub desired_state: String,
    pub job_iteration: Option<u64>,
    /// The image the task was made with.
    pub image: String,
    /// Whether the task was made from what the service's spec says now (container, resources
    /// and force counter alike). Compared when the snapshot is read, so that the tasks' own
    /// copies of the spec need not be kept.
    pub current: bool,
    /// `Status.Err`, else `Status.Message`; bounded.
    pub message: String,
    pub timestamp: Option<jiff::Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedNode {
    pub id: String,
    pub hostname: String,
    pub ready: bool,
    /// `active`, `pause`, `drain`.
    pub availability: String,
    pub manager: bool,
    pub platform: Option<Platform>,
    pub labels: BTreeMap<String, String>,
    pub engine_labels: BTreeMap<String, String>,
    pub plugins: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedNetwork {
    pub id: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
}

/// A secret or a config, without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedBlob {
    pub id: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub created_at: Option<jiff::Timestamp>,
}

impl ObservedService {
    /// The image its tasks are made from, if it reads as one.
    pub fn image(&self) -> Option<ImageRef> {
        self.image_text().parse().ok()
    }

    /// The image as the engine has it.
    pub fn image_text(&self) -> &str {
        self.spec.pointer("/TaskTemplate/ContainerSpec/Image").and_then(Value::as_str).unwrap_or_default()
    }

    pub fn label(&self, key: &str) -> Option<&str> {
        self.spec.get("Labels")?.get(key)?.as_str()
    }
}
