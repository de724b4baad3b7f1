//! What is done about tasks that are not what the service says, and what is left to Swarm.

use super::{Case, update};
use crate::memory::Purpose;
use crate::plan::converge::{self, Tally};
use crate::plan::{Action, Cause, Step, Waiting, fields, labels, unchanged_after};
use crate::state::{ObservedService, WaitingReason};

/// Swarm takes up a written service within milliseconds, unless a leader is elected meanwhile (measured: 11 s).
const TAKE_UP_MS: i64 = 20_000;

impl Case<'_> {
    /// The spec in the Swarm is right; are its tasks?
    pub(super) fn mend_tasks(&self, observed: &ObservedService, waiting: &mut Vec<Waiting>) -> Option<Step> {
        // A service that is not taken over yet is not ours to touch.
        observed.label(labels::CUSTOMER)?;
        let state = observed.update_status.as_ref().map(|status| status.state.as_str());
        let mut spec = observed.spec.clone();
        let image = self.image_view(fields::image(&spec));
        let started = self.memory.rollout.as_ref().map(|rollout| rollout.started);
        if state == Some("paused")
            && self.tally.is_right()
            && converge::is_stable(observed, &self.tally, started, self.input.now)
        {
            let message = format!("{}: all tasks are right, clearing the paused update", self.service.key);
            let step = self.step(
                Action::Update,
                Cause::Paused,
                self.view_of(observed),
                Some(image),
                message,
                spec.clone(),
            );
            let target = unchanged_after(&spec, observed.version_index);
            return Some(Step { target, write: update(observed, spec), ..step });
        }
        if self.memory.retry && !self.tally.is_right() {
            fields::force(&mut spec);
            let message = format!("{}: trying {} again", self.service.key, image.short());
            let from = self.view_of(observed);
            let step = self.step(Action::Repull, Cause::Retry, from, Some(image), message, spec.clone());
            return Some(Step { write: update(observed, spec), ..step });
        }
        // While Swarm or a rollout of ours replaces tasks, stale ones are expected.
        let settling =
            self.memory.rollout.is_some() || matches!(state, Some("updating" | "rollback_started"));
        if settling || self.is_just_written(observed) || self.tally.outdated == 0 {
            return None;
        }
        if self.memory.forced.as_deref() == Some(fields::image(&spec)) {
            let message = "tasks still run something else after they were forced once".to_owned();
            waiting.push(self.wait(WaitingReason::RolloutFailed, message));
            return None;
        }
        fields::force(&mut spec);
        let message = format!(
            "{}: {} tasks run something else than the service says",
            self.service.key, self.tally.outdated
        );
        let step = self.step(
            Action::Repull,
            Cause::StaleTasks,
            self.view_of(observed),
            Some(image),
            message,
            spec.clone(),
        );
        Some(Step { write: update(observed, spec), ..step })
    }

    /// Somebody (a hand at the docker CLI) wrote the service just now: until Swarm takes that up and says `updating`,
    /// its tasks are as they were. The event of that, or the resync, brings us back.
    fn is_just_written(&self, observed: &ObservedService) -> bool {
        let written = observed.updated_at.filter(|_| observed.update_status.is_none());
        // Clocks may differ either way.
        written.is_some_and(|at| (self.input.now.as_millisecond() - at.as_millisecond()).abs() < TAKE_UP_MS)
    }

    /// While the old image comes back, nothing else is written.
    pub(super) fn rolling_back(&self, observed: &ObservedService) -> Option<Waiting> {
        let by_swarm =
            observed.update_status.as_ref().is_some_and(|status| status.state == "rollback_started");
        let rollout = self.memory.rollout.as_ref().filter(|rollout| rollout.failed.is_none());
        let by_us = rollout.is_some_and(|rollout| rollout.purpose == Purpose::RollBack);
        let told = || self.rollout_in_progress();
        let untold = || self.wait(WaitingReason::RolloutInProgress, "Swarm is rolling back".to_owned());
        (by_swarm || by_us).then(|| told().unwrap_or_else(untold))
    }

    pub(super) fn rollout_in_progress(&self) -> Option<Waiting> {
        let rollout = self.memory.rollout.as_ref()?;
        let Tally { wanted, right, problem, .. } = &self.tally;
        let why = problem.as_ref().map(|problem| format!(": {}", problem.message)).unwrap_or_default();
        if let Some(why) = &rollout.failed {
            return Some(self.wait(WaitingReason::RolloutFailed, why.clone()));
        }
        let verb = if rollout.purpose == Purpose::RollBack { "rolling back: " } else { "" };
        let message = format!(
            "{verb}{right} of {wanted} tasks on {}{why}",
            rollout.to.version.as_deref().unwrap_or("it")
        );
        Some(self.wait(WaitingReason::RolloutInProgress, message))
    }
}
