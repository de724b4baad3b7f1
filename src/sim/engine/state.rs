//! What a Swarm manager knows: plain data, changed by the API and by the orchestrator.
//!
//! Specs are held as the raw JSON that was sent. All times are the engine's own clock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::image::Pulled;
use super::index::{Services, Tasks};
use super::orchestrate::Work;

/// The Swarm.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub cluster_id: String,
    pub nodes: BTreeMap<String, Node>,
    pub services: Services,
    pub tasks: Tasks,
    pub networks: BTreeMap<String, Object>,
    /// The Swarm's word for networks that every node has of its own, in no list.
    pub predefined: Vec<Object>,
    /// Networks that were removed while containers of the answering node were on them: it shows them until those end.
    pub left_networks: BTreeMap<String, Object>,
    pub configs: BTreeMap<String, Object>,
    pub secrets: BTreeMap<String, Object>,
    /// Of the last change; every change of anything has the next one.
    pub index: u64,
    /// How many IDs were given.
    pub ids: u64,
    /// Events that nobody has published yet, in order.
    pub events: Vec<Event>,
    /// What the orchestrator has to look at. Whoever changes a service or node says so with
    /// [`State::touch_service`] or [`State::touch_node`].
    pub work: Work,
}

/// What all objects have.
#[derive(Clone, Debug)]
pub struct Object {
    pub id: String,
    /// `Version.Index`.
    pub index: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub spec: Value,
    /// Other fields of the inspected object, laid over the usual ones.
    pub extra: BTreeMap<String, Value>,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub object: Object,
    pub previous_spec: Option<Value>,
    /// `SpecVersion` of its tasks: the index that the last update of its spec was sent with, 0 before. A task of
    /// another is replaced if its template or endpoint differs.
    pub spec_index: u64,
    pub previous_spec_index: Option<u64>,
    pub update: Option<Update>,
    /// `X-Registry-Auth` as it was given last, and that of the previous spec.
    pub auth: Option<String>,
    pub previous_auth: Option<String>,
    /// Of a job: how often it was begun, and when last.
    pub job_iteration: u64,
    pub job_began: Option<Timestamp>,
}

/// `UpdateStatus`.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// `updating`, `paused`, `completed`, `rollback_started`, `rollback_paused`,
    /// `rollback_completed`.
    pub state: &'static str,
    pub started: Timestamp,
    pub completed: Option<Timestamp>,
    pub message: String,
}

#[derive(Clone, Debug)]
pub struct Task {
    /// `spec` is the service's `TaskTemplate` as it was when the task was made.
    pub object: Object,
    pub service: String,
    /// The service's `EndpointSpec` as it was then; null if it had none.
    pub endpoint: Value,
    /// The service's `auth` as it was then.
    pub auth: Option<String>,
    /// Of a replicated service, from 1.
    pub slot: Option<u64>,
    pub node: Option<String>,
    /// `SpecVersion`.
    pub spec_index: u64,
    pub desired: TaskState,
    pub state: TaskState,
    /// `Status.Timestamp`.
    pub since: Timestamp,
    /// `Status.Message` and `Status.Err`.
    pub message: String,
    pub error: Option<String>,
    pub exit_code: Option<i64>,
    pub job_iteration: Option<u64>,
    /// What runs, once its node has pulled it.
    pub image: Option<Pulled>,
    /// When the orchestrator has to look at it again (it starts, stops, exits, restarts).
    pub due: Option<Timestamp>,
    /// Its node was told to stop it, and does until `due`.
    pub stopping: bool,
}

/// In the order that Swarm gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskState {
    New,
    Allocated,
    Pending,
    Assigned,
    Accepted,
    Preparing,
    Ready,
    Starting,
    Running,
    Complete,
    Shutdown,
    Failed,
    Rejected,
    Remove,
    Orphaned,
}

impl TaskState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Allocated => "allocated",
            Self::Pending => "pending",
            Self::Assigned => "assigned",
            Self::Accepted => "accepted",
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Shutdown => "shutdown",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Remove => "remove",
            Self::Orphaned => "orphaned",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Node {
    /// `spec` is the node's: `Role`, `Availability`, `Labels`, `Name`.
    pub object: Object,
    pub hostname: String,
    pub address: String,
    /// `ready` or `down`: what the managers believe.
    pub up: bool,
    /// Since when the managers do not hear of it: its tasks go on as they are, and after some
    /// missed heartbeats it is down.
    pub lost: Option<Timestamp>,
    pub leader: bool,
    /// `os/architecture`.
    pub platform: String,
    pub nano_cpus: i64,
    pub memory_bytes: i64,
    /// Its own image store: what a reference without digest means here, and, with the digest
    /// alone as the key, which images are here.
    pub images: BTreeMap<String, Pulled>,
}

/// Something for `/events`, of swarm scope.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `service`, `node`, `network`, `config`, `secret`.
    pub kind: &'static str,
    /// `create`, `update`, `remove`.
    pub action: &'static str,
    pub id: String,
    pub attributes: BTreeMap<String, String>,
    pub time: Timestamp,
}

impl State {
    /// The index of the next change.
    pub fn next_index(&mut self) -> u64 {
        self.index += 1;
        self.index
    }

    /// A new ID as Swarm makes them: 25 digits of base 36, here in order of creation so that
    /// runs can be compared.
    pub fn next_id(&mut self) -> String {
        self.ids += 1;
        // Spread over the digits, so that prefixes differ, as prefixes of real IDs do.
        let mut rest = u128::from(self.ids).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let mut id = String::with_capacity(25);
        for _ in 0..25 {
            let digit = u32::try_from(rest % 36).unwrap_or_default();
            id.push(char::from_digit(digit, 36).unwrap_or('0'));
            rest /= 36;
        }
        id
    }

    /// A service was created, updated or removed (no longer in `services`).
    pub fn touch_service(&mut self, id: &str) {
        self.work.touch_service(id);
    }

    /// A node joined, left, or is now otherwise (availability, labels, role, `lost`).
    pub fn touch_node(&mut self, id: &str) {
        self.work.touch_node(id);
    }

    /// The service of this ID, whole name or unambiguous ID prefix, in the engine's order.
    pub fn find_service(&self, id_or_name: &str) -> Option<&Service> {
        self.services
            .get(id_or_name)
            .or_else(|| self.services.named(id_or_name).find(|service| service.name() == id_or_name))
    }
}

impl Service {
    pub fn name(&self) -> &str {
        self.object.spec.get("Name").and_then(Value::as_str).unwrap_or_default()
    }
}
