//! Services that somebody else keeps changing back: another controller, a job that runs by the clock. Each
//! correction of theirs wakes skep, so that without a bound the two would write as fast as the engine answers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{Jitter, Retries};
use crate::plan::{Action, ObjectKind, Plan, Step, Waiting};
use crate::state::WaitingReason;

/// Writes of the same that are made at once: the first, and what puts right what somebody did once or twice.
const AT_ONCE: u32 = 3;
/// After so long without a write, the next one counts as the first.
const FORGIVEN: Duration = Duration::from_secs(600);

/// How often each service was brought to what is wanted of it.
pub struct Contests(Mutex<Seen>);

struct Seen {
    services: HashMap<String, Written>,
    delays: Retries,
}

struct Written {
    /// What was wanted.
    goal: String,
    times: u32,
    last: Instant,
    /// Not written again before.
    until: Instant,
}

impl Contests {
    pub fn new(jitter: Jitter) -> Self {
        Self(Mutex::new(Seen { services: HashMap::new(), delays: Retries::new(jitter) }))
    }

    /// Takes out of the plan what was written too often lately, and says that it waits. Those steps come back, the
    /// first after the time that is given.
    pub(super) fn hold_back(&self, plan: &mut Plan, now: Instant) -> (Vec<Step>, Option<Duration>) {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_held = |step: &Step| {
            let written = seen.services.get(&step.name).filter(|it| counts(step) && it.goal == goal(step));
            written.is_some_and(|written| now < written.until)
        };
        let (held, steps) = std::mem::take(&mut plan.steps).into_iter().partition(is_held);
        plan.steps = steps;
        let held: Vec<Step> = held;
        let ends = held.iter().filter_map(|step| Some(seen.services.get(&step.name)?.until));
        let wait = ends.min().map(|until| until.saturating_duration_since(now));
        plan.waiting.extend(held.iter().filter_map(|step| {
            Some(Waiting {
                service: step.service.clone()?,
                reason: WaitingReason::DriftDetected,
                message:
                    "somebody else changes it back each time that skep puts it right, so that skep now waits \
                          longer between its corrections: find out who else writes to this service"
                        .to_owned(),
            })
        }));
        (held, wait)
    }

    /// The step was carried out.
    pub(super) fn note(&self, step: &Step, now: Instant) {
        if !counts(step) {
            return;
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Seen { services, delays } = &mut *seen;
        services.retain(|name, written| {
            let kept = now.duration_since(written.last) < FORGIVEN;
            if !kept {
                delays.succeeded(name);
            }
            kept
        });
        let goal = goal(step);
        let new = || Written { goal: goal.clone(), times: 0, last: now, until: now };
        let written = services.entry(step.name.clone()).or_insert_with(new);
        if written.goal != goal {
            delays.succeeded(&step.name);
            *written = new();
        }
        written.times = written.times.saturating_add(1);
        written.last = now;
        written.until = if written.times < AT_ONCE { now } else { now + delays.failed(&step.name) };
    }
}

fn counts(step: &Step) -> bool {
    step.kind == ObjectKind::Service && step.action != Action::Remove
}

/// What is wanted of the service: another image or spec is no repetition.
fn goal(step: &Step) -> String {
    format!("{} {:?}", step.spec_hash, step.to)
}

#[cfg(test)]
mod tests;
