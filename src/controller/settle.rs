//! Brings the record up to what is observed: open intents get their outcome, rollouts are
//! seen to complete, to fail, to be rolled back.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use std::time::Duration;

use jiff::SignedDuration;

use super::prune::RemovedObjects;
use super::stale::OLDER_VIEW_MAX;
use crate::apply::{close, rollout_started};
use crate::events::{About, Event, EventImage, Kind, NewEvent, Phase, Reason, Recorder};
use crate::memory::{self, Image, Memory, Purpose, Refusal, Rollout, Seen, ServiceMemory};
use crate::plan::converge::{self, Failure, Progress};
use crate::plan::{Plan, Step, Waiting, is_applied, object, prune, service_name};
use crate::spec;
use crate::state::{ObservedService, ObservedState, WaitingReason};

/// Looks at rollouts and intents.
#[derive(Clone)]
pub struct Settler {
    pub memory: Arc<dyn Memory>,
    pub recorder: Recorder,
    pub rollout_timeout: Duration,
    pub removed: RemovedObjects,
}

impl Settler {
    /// Closes the intents whose change is seen in the Swarm, as after a crash between the call
    /// and its outcome.
    pub async fn intents(&self, about: &About, customer: &spec::Customer, observed: &ObservedState) {
        for intent in self.recorder.open_intents(&customer.name) {
            let service = intent.service.as_deref();
            let removed = intent.target.as_ref().and_then(|target| prune::is_removed(target, observed));
            let applied = match (service, removed) {
                (_, Some(removed)) => removed,
                (Some(key), None) => {
                    let found = observed.services.get(&service_name(&customer.name, key));
                    found.zip(intent.target.as_ref()).is_some_and(|(found, target)| is_applied(target, found))
                }
                (None, None) => intent.target.as_ref().is_some_and(|target| {
                    let blob = object::is_applied(target, observed);
                    blob.unwrap_or_else(|| observed.networks.contains_key(target))
                }),
            };
            if !applied {
                continue;
            }
            let mut events = vec![close(about, &intent, Phase::Done, "")];
            // Remembered before the call, and told only along with its outcome.
            let rollout =
                service.and_then(|key| self.memory.service(&service_name(&customer.name, key)).rollout);
            let begun = rollout.filter(|rollout| rollout.event_id == intent.id);
            events.extend(begun.map(|rollout| rollout_started(about, &intent, &rollout)));
            self.recorder.tell(events).await;
        }
    }

    /// Closes the open intents that the new plan does not go on with.
    /// A step that is only held back may have been taken, so that its intent stays open.
    pub async fn abandon(&self, about: &About, customer: &str, plan: &Plan, held: &[Step]) {
        let still_planned = |intent: &Event| {
            plan.steps.iter().chain(held).any(|step| Some(&step.target) == intent.target.as_ref())
        };
        // Where nobody can tell what is wanted now, the intent waits.
        let undecided = |intent: &Event| {
            let of_service = |waiting: &&Waiting| Some(waiting.service.as_str()) == intent.service.as_deref();
            plan.waiting.iter().filter(of_service).any(|waiting| {
                use WaitingReason as W;
                matches!(waiting.reason, W::RegistryUnavailable | W::TagListTruncated | W::Suspended)
            })
        };
        let open = self.recorder.open_intents(customer).into_iter();
        let stale = open.filter(|intent| !still_planned(intent) && !undecided(intent));
        let stale: Vec<_> = stale.collect();
        let forcing = stale.iter().filter(|intent| intent.reason == Reason::ImageRepulled);
        for key in forcing.filter_map(|intent| intent.service.as_deref()) {
            self.not_forced(&service_name(customer, key)).await;
        }
        let closing = stale
            .iter()
            .map(|intent| close(about, intent, Phase::Failed, "not applied, and no longer wanted"));
        self.recorder.tell(closing.collect()).await;
    }

    /// The call that was to force the tasks never arrived: it may be made again.
    async fn not_forced(&self, name: &str) {
        let memory = self.memory.service(name);
        if memory.forced.is_some() {
            self.remember(name, ServiceMemory { forced: None, ..memory }).await;
        }
    }

    /// Judges every rollout of the customer. The names of those that go on come back.
    pub async fn rollouts(
        &self,
        about: &About,
        customer: &spec::Customer,
        observed: &ObservedState,
    ) -> Vec<String> {
        let mut rolling = Vec::new();
        for key in customer.services.keys() {
            let name = service_name(&customer.name, key);
            let memory = self.memory.service(&name);
            let Some(rollout) = memory.rollout.clone() else { continue };
            // The way back was not written after all: it is still to be planned.
            let open = self.recorder.open_intent(&customer.name, key);
            if rollout.purpose == Purpose::RollBack && open.is_some_and(|it| it.id == rollout.event_id) {
                self.remember(&name, not_rolled_back(memory, &rollout)).await;
                continue;
            }
            let Some(found) = observed.services.get(&name) else {
                // Not made yet in an older view; else it is gone, and nothing is to be judged.
                if self.may_be_older_view(&rollout) {
                    rolling.push(name);
                } else {
                    self.remember(&name, ServiceMemory { rollout: None, ..memory }).await;
                }
                continue;
            };
            let context = Context { about, key, name: &name, rollout };
            let next = self.judge(context, memory.clone(), found, observed).await;
            // One that was told to have failed may yet converge, but nobody waits for it.
            if next.rollout.as_ref().is_some_and(|rollout| rollout.failed.is_none()) {
                rolling.push(name.clone());
            }
            if next != memory {
                self.remember(&name, next).await;
            }
        }
        rolling
    }

    async fn judge(
        &self,
        context: Context<'_>,
        mut memory: ServiceMemory,
        found: &ObservedService,
        observed: &ObservedState,
    ) -> ServiceMemory {
        let rollout = &context.rollout;
        // The write was not applied, or this is an older view. Nothing is judged by what stood there
        // before; and after a while (the engine was away, or restored from a backup) there is
        // nothing to be judged any more.
        if found.version_index <= rollout.after_index {
            if !self.may_be_older_view(rollout) {
                memory.rollout = None;
                // The call that was to force the tasks never arrived: it may be made again.
                memory.forced = None;
            }
            return memory;
        }
        let tally = converge::tally(found, &observed.nodes);
        let progress = converge::progress(found, &tally, rollout, self.rollout_timeout, self.recorder.now());
        let runs_target =
            found.image().and_then(|image| image.digest).is_some_and(|d| d.as_str() == rollout.to.digest);
        match progress {
            Progress::Converged if runs_target => {
                let mut events = vec![context.finished(&tally)];
                memory.last_good = Some(rollout.to.clone());
                memory.seen = Some(Seen { index: found.version_index, time: self.recorder.now() });
                memory.rollout = None;
                if rollout.purpose == Purpose::RollBack {
                    events.retain(|event| event.reason == Reason::RolledBack);
                }
                // Somebody else brought this about: the call never arrived, and was not told to have begun anything.
                if self.open_intent_of(&context).is_some() {
                    events.clear();
                }
                self.recorder.tell(events).await;
            }
            // Somebody wrote another image meanwhile: what stands there is for the planner.
            Progress::Converged => memory.rollout = None,
            // The second time only if it is the version's fault after all.
            Progress::Failed(failure) if rollout.failed.is_none() || failure.refuse => {
                let mut events = self.shown_by_its_end(&context, &failure);
                events.extend(context.failed(&failure));
                memory = after_failure(memory, rollout, &failure, self.recorder.now());
                self.recorder.tell(events).await;
            }
            Progress::Failed(_) | Progress::InProgress | Progress::PausedButRight => {}
        }
        memory
    }

    /// What Swarm took back was made, although what stands there does not show it: the intent whose
    /// outcome nobody knew is done.
    fn shown_by_its_end(&self, context: &Context<'_>, failure: &Failure) -> Vec<NewEvent> {
        let shown = self.open_intent_of(context).filter(|_| failure.swarm_rolls_back);
        let events = shown.map(|intent| {
            let started = rollout_started(context.about, &intent, &context.rollout);
            vec![close(context.about, &intent, Phase::Done, ""), started]
        });
        events.unwrap_or_default()
    }

    /// The intent of the rollout, if nobody knows its outcome.
    fn open_intent_of(&self, context: &Context<'_>) -> Option<Event> {
        let customer = context.about.customer.as_deref().unwrap_or_default();
        let open = self.recorder.open_intent(customer, context.key);
        open.filter(|intent| intent.id == context.rollout.event_id)
    }

    pub(super) fn may_be_older_view(&self, rollout: &Rollout) -> bool {
        // A clock that was put back makes an age negative.
        self.recorder.now().duration_since(rollout.started).abs() < OLDER_VIEW_MAX
    }

    async fn remember(&self, name: &str, memory: ServiceMemory) {
        if let Err(error) = memory::put_service(&self.memory, name, memory).await {
            tracing::error!(service = name, %error, "cannot remember how the rollout stands");
        }
    }
}

/// How long a version is refused that nodes could not pull.
const REFUSED_FOR_A_WHILE: SignedDuration = SignedDuration::from_secs(600);

/// A rollout with what its events say.
struct Context<'a> {
    about: &'a About,
    key: &'a str,
    name: &'a str,
    rollout: Rollout,
}

impl Context<'_> {
    fn finished(&self, tally: &converge::Tally) -> NewEvent {
        let to = self.version();
        match self.rollout.purpose {
            Purpose::Forward => {
                let message = format!("{} runs {to}: {} of {} tasks", self.key, tally.right, tally.wanted);
                self.event(Kind::Normal, Reason::RolloutComplete, message)
            }
            Purpose::RollBack => {
                self.event(Kind::Warning, Reason::RolledBack, format!("{} runs {to} again", self.key))
            }
        }
    }

    fn failed(&self, failure: &Failure) -> Vec<NewEvent> {
        let to = self.version();
        let message = format!("{} to {to} failed: {}", self.key, failure.why);
        let mut events = vec![self.event(Kind::Warning, Reason::RolloutFailed, message)];
        if failure.refuse && self.rollout.purpose == Purpose::Forward {
            let digest = &self.rollout.to.digest;
            let message = format!("{} {to} ({digest}) will not be tried again for {}", self.key, self.name);
            events.push(self.event(Kind::Warning, Reason::VersionRefused, message));
        }
        events
    }

    fn event(&self, kind: Kind, reason: Reason, message: String) -> NewEvent {
        let view = |image: &Image| EventImage {
            tag: image.tag.clone(),
            version: image.version.clone(),
            digest: Some(image.digest.clone()),
        };
        let event = self.about.event(kind, reason, Some(self.key), message);
        NewEvent {
            id: Some(self.rollout.event_id.clone()),
            from: self.rollout.from.as_ref().map(view),
            to: Some(view(&self.rollout.to)),
            ..event
        }
    }

    fn version(&self) -> &str {
        let to = &self.rollout.to;
        to.version.as_deref().or(to.tag.as_deref()).unwrap_or(&to.digest)
    }
}

/// As before the last good image was to be written back.
fn not_rolled_back(mut memory: ServiceMemory, rollout: &Rollout) -> ServiceMemory {
    let failed = rollout.from.as_ref().map(|from| from.digest.as_str());
    for refusal in memory.refused.iter_mut().filter(|it| Some(it.image.digest.as_str()) == failed) {
        refusal.rolled_back = false;
    }
    ServiceMemory { rollout: None, ..memory }
}

/// What is remembered once a rollout is known to have failed.
fn after_failure(
    mut memory: ServiceMemory,
    rollout: &Rollout,
    failure: &Failure,
    now: jiff::Timestamp,
) -> ServiceMemory {
    let forward = rollout.purpose == Purpose::Forward;
    if forward && memory.last_good.is_none() {
        // The first change after an adoption: what ran before is what is known to be good.
        let refused =
            |image: &&Image| memory.refused.iter().any(|refusal| refusal.image.digest == image.digest);
        memory.last_good = rollout.from.as_ref().filter(|from| !refused(from)).cloned();
    }
    if failure.refuse && forward {
        memory
            .refused
            .retain(|refusal| refusal.image.digest != rollout.to.digest || refusal.spec != rollout.spec);
        memory.refused.push(Refusal {
            image: rollout.to.clone(),
            spec: rollout.spec.clone(),
            why: crate::text::printable(&failure.why, 500),
            time: now,
            rolled_back: failure.swarm_rolls_back,
            until: failure.for_a_while.then(|| now + REFUSED_FOR_A_WHILE),
        });
    }
    memory.rollout = match &rollout.from {
        // Swarm is at it: wait until the old image runs.
        Some(from) if failure.swarm_rolls_back && forward => Some(Rollout {
            to: from.clone(),
            from: Some(rollout.to.clone()),
            purpose: Purpose::RollBack,
            // The way back has its own time.
            started: now,
            ..rollout.clone()
        }),
        // The planner writes the last good image back, or there is none.
        _ if failure.refuse => None,
        _ => Some(Rollout { failed: Some(failure.why.clone()), ..rollout.clone() }),
    };
    memory
}
