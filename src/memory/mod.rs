//! What skep must remember beyond a restart: refusals, version floors, running rollouts,
//! and when tags were first seen. One small interface; on disk for now.

mod disk;
mod in_memory;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use disk::{Disk, Mode};
pub use in_memory::InMemory;

use serde::{Deserialize, Serialize};

/// The store. Reads are cheap (a copy held in memory); a write is on disk when it returns.
pub trait Memory: Send + Sync {
    /// What is remembered of a service, by its full Swarm name; the default if nothing is.
    fn service(&self, name: &str) -> ServiceMemory;
    /// The services that were removed, by full name.
    fn removed(&self) -> BTreeMap<String, Removed>;
    /// # Errors
    /// When the disk does not take it; nothing is changed then.
    fn put_service(&self, name: &str, memory: ServiceMemory) -> std::io::Result<()>;
    /// What is remembered of a repository, by its normalised name.
    fn repository(&self, name: &str) -> RepositoryMemory;
    /// # Errors
    /// When the disk does not take it; nothing is changed then.
    fn put_repository(&self, name: &str, memory: RepositoryMemory) -> std::io::Result<()>;
    /// What holds a customer (`acme`) or a service (`acme/frontend`) at run time.
    fn hold(&self, name: &str) -> HoldMemory;
    /// All names that are held, those whose time is over included.
    fn holds(&self) -> BTreeMap<String, HoldMemory>;
    /// # Errors
    /// When the disk does not take it; nothing is changed then.
    fn put_hold(&self, name: &str, memory: HoldMemory) -> std::io::Result<()>;
}

/// `Memory::put_service` on a thread that may wait for the disk, so that what is written for
/// several services goes to the disk at the same time.
///
/// # Errors
/// As `Memory::put_service`.
pub async fn put_service(store: &Arc<dyn Memory>, name: &str, memory: ServiceMemory) -> std::io::Result<()> {
    let (store, name) = (Arc::clone(store), name.to_owned());
    crate::blocking::run(move || store.put_service(&name, memory)).await?
}

/// More refusals of one service than anybody looks at; the oldest give way.
pub const REFUSALS_MAX: usize = 64;

impl ServiceMemory {
    /// Drops the oldest refusals beyond `REFUSALS_MAX`; every store does this at `put_service`.
    fn bounded(mut self) -> Self {
        while self.refused.len() > REFUSALS_MAX {
            let oldest = self.refused.iter().enumerate().min_by_key(|(_, r)| r.time).map(|(i, _)| i);
            self.refused.remove(oldest.unwrap_or(0));
        }
        self
    }
}

/// What is remembered of one service. A boundary type: this is what stands on disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServiceMemory {
    /// The last image whose rollout skep saw complete; its version is the floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Image>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refusal>,
    /// The rollout that is under way, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The image that tasks were last forced to, so that it is done once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<String>,
    /// What the last rollout looked like when it was seen to be complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen: Option<Seen>,
    /// A person asked for one more try of what stands there, by `skep retry`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub retry: bool,
    /// Secrets and configs whose names another key made: what the present key makes of what they
    /// are known to hold, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, String>,
    /// When the nodes were last given credentials that expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_sent: Option<jiff::Timestamp>,
    /// When it was last removed, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Removed>,
}

/// A removal of a service, noted before the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The engine's ID of what was removed.
    pub id: String,
    pub time: jiff::Timestamp,
    /// Whether it counts towards the share that may be removed at once; what a person asked
    /// for does not.
    pub counted: bool,
}

/// A view of the service, so that an older one is known as such.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The engine's version index.
    pub index: u64,
    pub time: jiff::Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `repository` as normalised, so that a moved repository has no floor.
    pub repository: String,
    pub tag: Option<String>,
    pub version: Option<String>,
    pub digest: String,
}

/// A (version, digest) whose rollout failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    pub image: Image,
    /// Hash of the service's spec then; another spec is another try.
    pub spec: String,
    /// Swarm's own words, bounded.
    pub why: String,
    pub time: jiff::Timestamp,
    /// Whether the last good image was written back already, which is done once.
    #[serde(default)]
    pub rolled_back: bool,
    /// Until when it holds, if not for good: nodes could not pull, which a registry's outage
    /// may have been the cause of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<jiff::Timestamp>,
}

impl Refusal {
    /// Whether it keeps this spec from this content now.
    pub fn holds(&self, spec: &str, now: jiff::Timestamp) -> bool {
        self.spec == spec && self.until.is_none_or(|until| now < until)
    }
}

/// A rollout under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The id of the events about it.
    pub event_id: String,
    pub to: Image,
    pub from: Option<Image>,
    /// Hash of the desired fields it was made with.
    pub spec: String,
    /// What it is for.
    pub purpose: Purpose,
    pub started: jiff::Timestamp,
    /// The engine's version index that the write gave, so that an older snapshot is not
    /// taken for its result.
    pub after_index: u64,
    /// Set once it was reported as failed without blaming the version (tasks that find no
    /// node, a registry that is down); it may still converge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Towards what the spec says.
    Forward,
    /// Writing the last good image back after a failure.
    RollBack,
}

/// What a person asked to be left alone, by `skep suspend`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldMemory {
    /// `None`: not held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub reason: String,
    /// It ends by itself then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<jiff::Timestamp>,
    pub since: jiff::Timestamp,
}

/// The key of a hold: `acme`, or `acme/frontend`.
pub fn hold_name(customer: &str, service: Option<&str>) -> String {
    match service {
        Some(service) => format!("{customer}/{service}"),
        None => customer.to_owned(),
    }
}

/// When tags of a repository were first listed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RepositoryMemory {
    /// False until a first list was seen, whose tags count as old.
    #[serde(default)]
    pub listed: bool,
    #[serde(default)]
    pub tags: BTreeMap<String, TagMemory>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMemory {
    /// Milliseconds since the Unix epoch; 0: of the first list.
    pub first_seen_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
}
