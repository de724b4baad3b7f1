//! What is remembered of removals.

use super::Settler;
use super::stale::OLDER_VIEW_MAX;
use crate::memory::{self, Removed, ServiceMemory};
use crate::plan::{Action, ObjectKind, Plan, Step, Write};

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
