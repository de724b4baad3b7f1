//! The Swarm: one narrow trait, and its client over the Docker Engine API.
//!
//! bollard carries the event stream and the engine's version; services are read and written
//! as the engine's raw JSON, for a typed round trip loses fields (measured: health checks).

mod client;
mod convert;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod list;
mod look;
mod query;
mod refusal;
mod transport;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::Value;

use std::collections::BTreeMap;

use crate::state::ObjectKind;
use crate::text::printable;

pub use client::{Client, Observer, SWARM_TIMEOUT};
pub use convert::snapshot as convert_snapshot;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::fuzz;
pub use look::{Look, Scope};
pub use transport::Endpoint;

/// What the rest of skep needs of a Swarm.
pub trait Swarm: Send + Sync {
    /// Services, their tasks, nodes, networks, secrets and configs as of now. `detail` names the
    /// services whose finished tasks are wanted too; of the others only those that should run come.
    fn look(&self, scope: Scope, detail: Vec<String>) -> BoxFuture<'_, Result<Look, SwarmError>>;
    /// The ID of the created service.
    fn create_service(&self, spec: Value, auth: Option<String>) -> BoxFuture<'_, Result<String, SwarmError>>;
    /// Replaces a service's spec if its version index is still `index`.
    fn update_service(
        &self,
        id: String,
        index: u64,
        spec: Value,
        auth: Option<String>,
    ) -> BoxFuture<'_, Result<(), SwarmError>>;
    /// The ID of the created network, secret or config. A service has a call of its own.
    fn create_object(&self, kind: ObjectKind, spec: Value) -> BoxFuture<'_, Result<String, SwarmError>>;
    /// The labels of an object as they stand now; `None` when it is gone.
    fn labels_of(
        &self,
        kind: ObjectKind,
        id: String,
    ) -> BoxFuture<'_, Result<Option<BTreeMap<String, String>>, SwarmError>>;
    /// Removes an object by its ID; one that is gone already counts as removed.
    fn remove(&self, kind: ObjectKind, id: String) -> BoxFuture<'_, Result<(), SwarmError>>;
    /// Wake-ups; never to be trusted for what happened. Ends or errs when the engine goes away.
    fn wakeups(&self) -> BoxStream<'static, Result<Wakeup, SwarmError>>;
    /// What the engine and its Swarm say of themselves.
    fn info(&self) -> BoxFuture<'_, Result<Info, SwarmError>>;
}

/// Something happened in the Swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wakeup {
    /// The event stream is open; what happened before is unknown.
    Connected,
    /// To the service of this name.
    Service(String),
    /// To a node.
    Node,
}

/// For `doctor` and readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    pub engine_version: String,
    pub api_version: String,
    /// `active`, `inactive`, `pending`, `error`, `locked`.
    pub swarm_state: String,
    pub is_manager: bool,
    pub swarm_error: String,
    /// The engine's clock.
    pub system_time: Option<jiff::Timestamp>,
}

/// Why a call failed. Display is bounded and printable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SwarmError {
    pub class: ErrorClass,
    pub message: String,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Try again later; for a write the outcome is unknown.
    Transient,
    /// Somebody else was first: observe and plan again.
    Conflict,
    /// What was named is not there (any more): observe and plan again.
    Gone,
    /// It would fail again: a person is needed.
    Terminal,
}

impl SwarmError {
    /// The world is not as it was seen: observe and plan again.
    pub fn is_conflict(&self) -> bool {
        matches!(self.class, ErrorClass::Conflict | ErrorClass::Gone)
    }

    /// What was named is not there.
    pub fn is_gone(&self) -> bool {
        self.class == ErrorClass::Gone
    }
}

const MESSAGE_CHARS_MAX: usize = 500;

fn not_json(error: &serde_json::Error) -> SwarmError {
    let message = printable(&format!("the engine's answer cannot be read: {error}"), MESSAGE_CHARS_MAX);
    SwarmError { class: ErrorClass::Transient, message }
}
