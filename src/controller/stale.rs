//! Views of the Swarm that are older than what is known already: nothing is done by them.

use jiff::{SignedDuration, Timestamp};

use super::{Reconciler, Settler};
use crate::memory::Rollout;
use crate::plan::{Action, Cause, ObjectKind, Plan, Step, Waiting};
use crate::state::{ObservedService, ObservedState, WaitingReason};

/// A view of the Swarm is never older than this.
pub(super) const OLDER_VIEW_MAX: SignedDuration = SignedDuration::from_secs(60);
/// Managers that follow may answer with what was true so long ago.
const STALE_VIEW_MAX: SignedDuration = SignedDuration::from_secs(20);

impl Reconciler {
    /// Takes out of the plan what is planned against an older view, and says that it waits. Those
    /// steps come back.
    pub(super) async fn hold_back(
        &self,
        customer: &str,
        plan: &mut Plan,
        observed: &ObservedState,
    ) -> Vec<Step> {
        let mut held = Vec::new();
        for step in self.settler.hold_back(customer, plan, observed) {
            if self.is_truly_missing(&step).await { plan.steps.push(step) } else { held.push(step) }
        }
        plan.waiting.extend(held.iter().filter_map(|step| {
            let message = "the Swarm's answer may be older than the last change".to_owned();
            Some(Waiting {
                service: step.service.clone()?,
                reason: WaitingReason::RolloutInProgress,
                message,
            })
        }));
        held
    }

    /// Whether the step makes a service that the engine, asked for that one, has not: somebody
    /// removed it. If that answer is old too, the engine refuses a second one of the name.
    async fn is_truly_missing(&self, step: &Step) -> bool {
        let is_create = step.kind == ObjectKind::Service && step.action == Action::Create;
        is_create && matches!(self.applier.swarm.labels_of(step.kind, step.name.clone()).await, Ok(None))
    }
}

impl Settler {
    /// Takes out of the plan what is planned against a view of the Swarm that is older than what
    /// is known already. Those steps come back.
    pub(super) fn hold_back(&self, customer: &str, plan: &mut Plan, observed: &ObservedState) -> Vec<Step> {
        let steps = std::mem::take(&mut plan.steps).into_iter();
        let (held, steps) = steps.partition(|step| self.is_older_view(customer, step, observed));
        plan.steps = steps;
        held
    }

    fn is_older_view(&self, customer: &str, step: &Step, observed: &ObservedState) -> bool {
        if step.kind != ObjectKind::Service {
            return self.removed.has(step, self.recorder.now());
        }
        let memory = self.memory.service(&step.name);
        if step.action == Action::Remove {
            return self.is_removed_already(customer, step, &memory);
        }
        let found = observed.services.get(&step.name);
        if step.cause == Cause::StaleTasks && found.is_some_and(|found| self.may_have_older_tasks(found)) {
            return true;
        }
        let index = found.map_or(0, |found| found.version_index);
        // An outcome that was told is of a change that was made, seen or not.
        let is_made = |rollout: &Rollout| {
            let open = step.service.as_deref().and_then(|key| self.recorder.open_intent(customer, key));
            open.is_none_or(|intent| intent.id != rollout.event_id)
        };
        let written = memory.rollout.filter(is_made);
        written.is_some_and(|rollout| index <= rollout.after_index && self.may_be_older_view(&rollout))
            || memory.seen.is_some_and(|seen| index < seen.index && self.age(seen.time) < STALE_VIEW_MAX)
    }

    /// The two lists of a look are two answers: the service of now may stand beside the tasks of before its
    /// last change, which the end of a rollout is too.
    fn may_have_older_tasks(&self, found: &ObservedService) -> bool {
        found.updated_at.is_some_and(|at| self.age(at) < STALE_VIEW_MAX)
    }

    /// Clocks may differ either way.
    fn age(&self, time: Timestamp) -> SignedDuration {
        self.recorder.now().duration_since(time).abs()
    }
}
