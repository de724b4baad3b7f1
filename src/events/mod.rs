//! The durable event log (contract §4): append-only JSON lines that engineers tail.

mod conditions;
mod follow;
mod history;
mod log;
mod read;
mod recorder;
mod segments;
mod since;
pub mod text;

use serde::{Deserialize, Serialize};

pub use conditions::{Conditions, Held};
pub use follow::Follow;
pub use history::{Change, Outcome, history};
pub use log::{Log, Options, open_intents};
pub use read::{Filter, Head, Line, Reader, read};
pub use recorder::{About, Clock, EventObserver, Recorder};
pub use since::Since;

/// One line of the log. This is a boundary type: it is what is written and read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Stands for one logical change: an intent and its outcome share it.
    pub id: String,
    /// Counts the lines, from 1, without gaps.
    pub seq: u64,
    pub time: jiff::Timestamp,
    #[serde(rename = "type")]
    pub kind: Kind,
    pub reason: Reason,
    pub customer: Option<String>,
    pub service: Option<String>,
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<EventImage>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<EventImage>,
    pub trigger: Trigger,
    pub revision: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// How often a repeated condition was met, in its closing line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_time: Option<jiff::Timestamp>,
    /// On intents: hash of what the change would make of the service, so that a restart can
    /// tell by observation whether it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// What an event is to say; the log adds id (unless given), sequence number and time.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// Reused from an intent, or `None` for a new one.
    pub id: Option<String>,
    pub kind: Kind,
    pub reason: Reason,
    pub customer: Option<String>,
    pub service: Option<String>,
    pub message: String,
    pub from: Option<EventImage>,
    pub to: Option<EventImage>,
    pub trigger: Trigger,
    pub revision: Option<String>,
    pub phase: Option<Phase>,
    pub count: Option<u64>,
    pub first_time: Option<jiff::Timestamp>,
    pub target: Option<String>,
}

impl NewEvent {
    /// An event about the controller itself; set the other fields as they apply.
    pub fn new(kind: Kind, reason: Reason, trigger: Trigger, message: impl Into<String>) -> Self {
        Self {
            id: None,
            kind,
            reason,
            customer: None,
            service: None,
            message: message.into(),
            from: None,
            to: None,
            trigger,
            revision: None,
            phase: None,
            count: None,
            first_time: None,
            target: None,
        }
    }
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

impl Trigger {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Registry => "registry",
            Self::Swarm => "swarm",
            Self::Resync => "resync",
            Self::Manual => "manual",
            Self::Startup => "startup",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventImage {
    pub tag: Option<String>,
    pub version: Option<String>,
    pub digest: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    Normal,
    Warning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Intent,
    Done,
    Failed,
}

/// What woke the reconcile that wrote the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    Spec,
    Registry,
    Swarm,
    Resync,
    Manual,
    Startup,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// The closed set of reasons.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }
        impl Reason {
            pub const ALL: &'static [Reason] = &[$(Reason::$name,)+];
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => stringify!($name),)+ } }
            /// One line that says what the reason means, for the docs and `--help`.
            pub fn doc(self) -> &'static str { match self { $(Self::$name => concat!($($doc),+).trim_ascii_start(),)+ } }
        }
    };
}

reasons! {
    /// A customer's spec appeared.
    SpecAdded,
    /// A customer's spec now says something else.
    SpecChanged,
    /// A customer's spec has errors; its last good spec stays in force.
    SpecInvalid,
    /// A customer's spec is gone.
    SpecRemoved,
    /// A service was created.
    ServiceCreated,
    /// A service was changed in other fields than its image, or adopted.
    ServiceUpdated,
    /// A service was removed.
    ServiceRemoved,
    /// A service was moved to another version.
    ImageUpdated,
    /// A service's tasks were made to pull the same tag again, for its content is new or they ran something else.
    ImageRepulled,
    /// The registry has another digest for a tag than before.
    TagMoved,
    /// The Swarm accepted a change and tasks are being replaced.
    RolloutStarted,
    /// Every task that should run has the digest and the update is complete.
    RolloutComplete,
    /// A rollout failed, with Swarm's own reason.
    RolloutFailed,
    /// The old digest runs again after a failed rollout.
    RolledBack,
    /// A version whose rollout failed is remembered and not tried again.
    VersionRefused,
    /// Somebody else changed a field that skep owns, or tasks run something else than their service says.
    DriftDetected,
    /// A drifted field was put back.
    DriftCorrected,
    /// A service of that name exists and is not skep's; it is left alone.
    NotOwned,
    /// No tag of the repository satisfies the spec.
    NoVersionFits,
    /// The highest version that is allowed is lower than what ran; nothing is moved.
    WouldDowngrade,
    /// A removal waits for a person.
    PruneHeld,
    /// A customer or service is held by its spec or a person.
    Suspended,
    /// A hold ended.
    Resumed,
    /// A registry does not answer, or not with a list that can be trusted.
    RegistryUnavailable,
    /// The Docker engine or the Swarm's leader does not answer.
    SwarmUnavailable,
    /// Something that was unavailable answers again, a spec is valid again, or what was held is not any more.
    Recovered,
    /// This controller now leads.
    LeaderElected,
    /// This controller no longer leads.
    LeaderLost,
    /// The controller began its work.
    ControllerStarted,
    /// The controller ended its work in good order.
    ControllerStopped,
}
