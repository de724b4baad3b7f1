//! What is remembered of removals.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::{SignedDuration, Timestamp};

use super::Settler;
use super::stale::OLDER_VIEW_MAX;
use crate::memory::{self, Removed, ServiceMemory};
use crate::plan::{Action, ObjectKind, Plan, Step, Write};

/// Networks, secrets and configs that this process removed, by ID. An engine goes on listing a
/// network until the last container on it has stopped.
#[derive(Clone, Debug, Default)]
pub struct RemovedObjects(Arc<Mutex<HashMap<String, Timestamp>>>);

/// Containers are given longer to stop by hardly anybody; then the removal is only told again.
const LISTED_MAX: SignedDuration = SignedDuration::from_hours(1);

impl RemovedObjects {
    /// Notes that a step removed something.
    pub fn note(&self, step: &Step, now: Timestamp) {
        let Write::Remove { id } = &step.write else { return };
        let Ok(mut removed) = self.0.lock() else { return };
        removed.retain(|_, time| now.duration_since(*time).abs() < LISTED_MAX);
        if step.kind != ObjectKind::Service {
            removed.insert(id.clone(), now);
        }
    }

    /// Whether a step would remove what is gone already.
    pub fn has(&self, step: &Step, now: Timestamp) -> bool {
        let Write::Remove { id } = &step.write else { return false };
        let removed = self.0.lock().ok().and_then(|removed| removed.get(id).copied());
        removed.is_some_and(|time| now.duration_since(time).abs() < LISTED_MAX)
    }
}

impl Settler {
    /// Notes, ahead of the calls, which services are removed: they count towards what may be
    /// removed within a while, whoever dies. What cannot be noted is not removed.
    pub async fn note_removals(&self, plan: &mut Plan, counted: bool) {
        let mut kept = Vec::new();
        for step in std::mem::take(&mut plan.steps) {
            if self.note(&step, counted).await {
                kept.push(step);
            }
        }
        plan.steps = kept;
    }

    async fn note(&self, step: &Step, counted: bool) -> bool {
        let Write::Remove { id } = &step.write else { return true };
        if step.kind != ObjectKind::Service {
            return true;
        }
        let memory = self.memory.service(&step.name);
        let counted = match &memory.removed {
            Some(noted) if noted.id == *id => counted && noted.counted,
            _ => counted,
        };
        let removed = Some(Removed { id: id.clone(), time: self.recorder.now(), counted });
        let memory = ServiceMemory { removed, rollout: None, forced: None, seen: None, ..memory };
        match memory::put_service(&self.memory, &step.name, memory).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(service = step.name, %error, "not removed, for it cannot be remembered");
                false
            }
        }
    }

    /// Whether the service is gone, and this is a view from before.
    pub(super) fn is_removed_already(&self, customer: &str, step: &Step, memory: &ServiceMemory) -> bool {
        debug_assert_eq!(step.action, Action::Remove);
        let (Write::Remove { id }, Some(removed)) = (&step.write, &memory.removed) else { return false };
        let age = self.recorder.now().duration_since(removed.time).abs();
        // An open intent is of a call that may not have been made.
        let open = step.service.as_deref().and_then(|key| self.recorder.open_intent(customer, key));
        removed.id == *id && age < OLDER_VIEW_MAX && open.is_none()
    }
}
