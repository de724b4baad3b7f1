//! What the engine refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::plan::{ObjectKind, Step};

/// Writes that the engine refused and would refuse again: not repeated for a while, and not
/// told again.
#[derive(Clone, Default)]
pub struct RefusedWrites {
    by_object: Arc<Mutex<HashMap<(ObjectKind, String), RefusedWrite>>>,
}

struct RefusedWrite {
    target: String,
    message: String,
    since: Instant,
}

/// What the engine refuses may depend on other things than the spec (a port that is taken).
const REFUSED_AGAIN_AFTER: Duration = Duration::from_secs(3600);

impl RefusedWrites {
    pub(super) fn find(&self, step: &Step) -> Option<String> {
        let by_object = self.by_object.lock().ok()?;
        let of = (step.kind, step.name.clone());
        let refused = by_object.get(&of).filter(|refused| refused.target == step.target)?;
        (refused.since.elapsed() < REFUSED_AGAIN_AFTER).then(|| refused.message.clone())
    }

    pub(super) fn note(&self, step: &Step, message: &str) {
        let refused =
            RefusedWrite { target: step.target.clone(), message: message.to_owned(), since: Instant::now() };
        if let Ok(mut by_object) = self.by_object.lock() {
            by_object.insert((step.kind, step.name.clone()), refused);
        }
    }
}
