//! Whether the controller is alive, and whether it has seen its whole world.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::text::printable;

/// Kept up to date by the controller's loop, asked by the handlers.
#[derive(Debug)]
pub struct Health {
    /// A loop that has not beaten for longer is stuck.
    heartbeat_max: Duration,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    last_beat: Instant,
    unready: BTreeMap<Part, String>,
}

/// A part of the world that must have been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Specs,
    Swarm,
    Registries,
}

/// The answer of `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub ready: bool,
    pub reasons: Vec<Unready>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Unready {
    pub part: Part,
    pub message: String,
}

/// Enough of an error to know it; the log has it whole.
const MESSAGE_CHARS_MAX: usize = 300;

impl Health {
    /// Not ready, but alive. The loop is to call `beat` well within `heartbeat_max`.
    pub fn new(heartbeat_max: Duration) -> Self {
        let parts = [Part::Specs, Part::Swarm, Part::Registries];
        let unready = parts.into_iter().map(|part| (part, "not seen yet".to_owned())).collect();
        Self { heartbeat_max, inner: Mutex::new(Inner { last_beat: Instant::now(), unready }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Each write is one assignment: a panic elsewhere leaves nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop went round.
    pub fn beat(&self) {
        self.lock().last_beat = Instant::now();
    }

    /// What came of looking at a part of the world.
    pub fn seen(&self, part: Part, result: Result<(), &str>) {
        let mut inner = self.lock();
        match result {
            Ok(()) => inner.unready.remove(&part),
            Err(message) => inner.unready.insert(part, printable(message, MESSAGE_CHARS_MAX)),
        };
    }

    /// How long ago the loop last went round, if that is too long.
    pub fn stuck_for(&self, now: Instant) -> Option<Duration> {
        let since = now.saturating_duration_since(self.lock().last_beat);
        (since > self.heartbeat_max).then_some(since)
    }

    pub fn readiness(&self) -> Readiness {
        let inner = self.lock();
        let reason = |(part, message): (&Part, &String)| Unready { part: *part, message: message.clone() };
        Readiness { ready: inner.unready.is_empty(), reasons: inner.unready.iter().map(reason).collect() }
    }
}
