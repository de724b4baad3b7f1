//! What the passes did while somebody waited, for `skep apply` beside a running controller.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::apply::Outcome;
use crate::controller::{Applied, Next, Report};
use crate::plan::{Plan, Step, Write};
use crate::report::PlanCustomer;
use crate::swarm::{ErrorClass, SwarmError};

/// Steps kept of a customer; more are not read by anybody.
const STEPS_MAX: usize = 1_000;
/// Failed passes in a row after which nobody waits for a better one, as `apply` has it.
const FAILURES_MAX: u32 = 5;

/// How what came of a customer is told: its name, what was done, and whether nobody waits for it.
pub type Tell = fn(&str, &Applied, bool) -> PlanCustomer;

/// Kept only as long as somebody wants to know.
pub struct Ledger {
    tell: Tell,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    wanted_until: Option<Instant>,
    customers: BTreeMap<String, Entry>,
}

#[derive(Default)]
struct Entry {
    done: VecDeque<(Instant, Step, Outcome)>,
    last: Option<Last>,
    /// Failed passes in a row.
    failures: u32,
}

struct Last {
    begun: Instant,
    result: Result<Plan, SwarmError>,
    /// Nothing was under way after it.
    rests: bool,
    /// Something rolls on, whatever else failed.
    rolling: bool,
}

impl Ledger {
    pub fn new(tell: Tell) -> Self {
        Self { tell, inner: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody will want to know until then.
    pub fn want(&self, until: Instant) {
        let mut inner = self.lock();
        inner.wanted_until = inner.wanted_until.max(Some(until));
    }

    /// What a pass did that began at `begun`.
    pub fn pass(&self, customer: &str, begun: Instant, result: Result<&Report, &SwarmError>) {
        let mut inner = self.lock();
        if inner.wanted_until.is_none_or(|until| until < Instant::now()) {
            inner.customers.clear();
            return;
        }
        inner.customers.entry(customer.to_owned()).or_default().pass(begun, result);
    }

    /// Whether a pass over the customer ended that began at `since` or later.
    pub fn has_passed(&self, customer: &str, since: Instant) -> bool {
        self.lock().customers.get(customer).is_some_and(|entry| entry.since(since).is_some())
    }

    /// Whether such a pass left nothing under way, or further ones are not worth waiting for.
    pub fn rests(&self, customer: &str, since: Instant) -> bool {
        let inner = self.lock();
        let last = inner.customers.get(customer).and_then(|entry| Some((entry, entry.since(since)?)));
        last.is_some_and(|(entry, last)| last.rests || (entry.failures >= FAILURES_MAX && !last.rolling))
    }

    /// Whatever else had a pass since: a customer without services, or one that is gone by now.
    pub fn passed(&self, since: Instant) -> Vec<String> {
        let inner = self.lock();
        let passed = inner.customers.iter().filter(|(_, entry)| entry.since(since).is_some());
        passed.map(|(name, _)| name.clone()).collect()
    }

    /// What came of a customer since.
    pub fn told(&self, customer: &str, since: Instant, no_wait: bool) -> PlanCustomer {
        let timed_out = !self.rests(customer, since);
        let inner = self.lock();
        let mut applied = Applied { timed_out, ..Applied::default() };
        let entry = inner.customers.get(customer);
        match entry.and_then(|entry| entry.since(since)).map(|last| &last.result) {
            Some(Ok(plan)) => applied.last = Some(plan.clone()),
            Some(Err(error)) => applied.error = Some(error.clone()),
            None => applied.error = Some(not_looked_at()),
        }
        let done = entry.into_iter().flat_map(|entry| &entry.done).filter(|(at, ..)| *at >= since);
        applied.outcomes = done.map(|(_, step, outcome)| (step.clone(), outcome.clone())).collect();
        (self.tell)(customer, &applied, no_wait)
    }
}

fn not_looked_at() -> SwarmError {
    SwarmError { class: ErrorClass::Transient, message: "it was not looked at in time".into() }
}

/// What is written is not told, and may hold secrets.
fn without_content(step: &Step) -> Step {
    Step { write: Write::Remove { id: String::new() }, ..step.clone() }
}

impl Entry {
    fn since(&self, since: Instant) -> Option<&Last> {
        self.last.as_ref().filter(|last| last.begun >= since)
    }

    fn pass(&mut self, begun: Instant, result: Result<&Report, &SwarmError>) {
        let failed = !matches!(result, Ok(Report { next: Next::Settled | Next::Rolling, .. }));
        self.failures = if failed { self.failures + 1 } else { 0 };
        let rests = matches!(result, Ok(Report { next: Next::Settled, .. }));
        let rolling = result.is_ok_and(|report| report.rolling);
        for (step, outcome) in result.iter().flat_map(|report| &report.outcomes) {
            self.done.push_back((begun, without_content(step), outcome.clone()));
        }
        self.done.drain(..self.done.len().saturating_sub(STEPS_MAX));
        let plan = |report: &Report| Plan {
            steps: report.plan.steps.iter().map(without_content).collect(),
            ..report.plan.clone()
        };
        let result = result.map(plan);
        self.last = Some(Last { begun, result: result.map_err(Clone::clone), rests, rolling });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Tells what it was given in place of a real report.
    fn tell(customer: &str, applied: &Applied, no_wait: bool) -> PlanCustomer {
        let steps = applied.outcomes.len();
        let error = applied.error.as_ref().map(|error| error.message.as_str()).unwrap_or_default();
        let customer = format!("{customer} {steps} {} {no_wait} {error}", applied.timed_out);
        PlanCustomer { customer, ..PlanCustomer::default() }
    }

    fn report(steps: usize, next: Next) -> Report {
        let outcomes = vec![(Step::example("acme_web"), Outcome::Applied); steps];
        Report { plan: Plan::default(), revision: None, outcomes, next, rolling: false }
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_done_since_is_told_and_only_while_somebody_waits() {
        let ledger = Ledger::new(tell);
        let (asked, told) =
            (Instant::now(), |ledger: &Ledger, since| ledger.told("acme", since, false).customer);
        ledger.pass("acme", asked, Ok(&report(1, Next::Settled)));
        assert!(!ledger.has_passed("acme", asked), "nobody asked");
        ledger.want(asked + Duration::from_secs(60));
        assert_eq!(told(&ledger, asked), "acme 0 true false it was not looked at in time");
        ledger.pass("acme", asked - Duration::from_nanos(1), Ok(&report(1, Next::Settled)));
        assert!(!ledger.rests("acme", asked), "it had begun before");
        ledger.pass("acme", asked, Ok(&report(1, Next::Rolling)));
        assert!(ledger.has_passed("acme", asked) && !ledger.rests("acme", asked));
        assert_eq!(told(&ledger, asked), "acme 1 true false ");
        ledger.pass("acme", asked, Ok(&report(2, Next::Settled)));
        assert_eq!(
            (told(&ledger, asked).as_str(), ledger.rests("acme", asked)),
            ("acme 3 false false ", true)
        );
        assert_eq!(ledger.passed(asked), ["acme"]);
        let later = asked + Duration::from_secs(1);
        assert!(ledger.passed(later).is_empty() && !ledger.rests("acme", later));
        tokio::time::advance(Duration::from_secs(61)).await;
        ledger.pass("globex", asked, Ok(&report(1, Next::Settled)));
        assert!(ledger.passed(asked).is_empty(), "all is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_bounded_and_gives_up_on_what_fails_again_and_again() {
        let ledger = Ledger::new(tell);
        let asked = Instant::now();
        ledger.want(asked + Duration::from_secs(60));
        for _ in 0..3 {
            ledger.pass("acme", asked, Ok(&report(STEPS_MAX, Next::Rolling)));
        }
        assert!(ledger.told("acme", asked, true).customer.starts_with("acme 1000 true true"));
        let error = SwarmError { class: ErrorClass::Transient, message: "down".into() };
        for _ in 0..FAILURES_MAX {
            assert!(!ledger.rests("acme", asked));
            ledger.pass("acme", asked, Err(&error));
        }
        assert!(ledger.rests("acme", asked));
        assert!(ledger.told("acme", asked, false).customer.ends_with("down"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_rolls_is_waited_for_whatever_fails_beside_it() {
        let ledger = Ledger::new(tell);
        let asked = Instant::now();
        ledger.want(asked + Duration::from_secs(60));
        let fails = |rolling| Report { rolling, ..report(0, Next::Retry("no".into())) };
        for _ in 0..2 * FAILURES_MAX {
            ledger.pass("acme", asked, Ok(&fails(true)));
            assert!(!ledger.rests("acme", asked));
        }
        ledger.pass("acme", asked, Ok(&fails(false)));
        assert!(ledger.rests("acme", asked), "only what fails is left");
    }
}
