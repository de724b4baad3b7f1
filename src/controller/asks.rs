//! What people ask for by `reconcile` and SIGHUP. Where specs are fetched, they are fetched first, so that what is
//! looked at is what was pushed; a server that does not answer is not waited for.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::{Controller, Wakeups};
use crate::events::Trigger;

/// A question waits so long for the specs to be fetched, and then goes by what is in force.
pub(crate) const FETCH_FIRST_MAX: Duration = Duration::from_secs(10);
/// Questions that wait; who comes beyond that does not wait.
const WAITING_MAX: usize = 1_000;

/// Questions that wait for a fetch.
pub(super) struct Asks {
    /// Who is to be looked at; `None`: all.
    waiting: BTreeSet<Option<String>>,
    /// The fetch began no earlier.
    since: Instant,
    /// When they are waited for no longer.
    until: Instant,
}

impl Controller {
    /// A person wants a customer looked at, or all of them.
    pub(super) async fn asked(&mut self, customer: Option<String>, allow_prune: bool, wakeups: &Wakeups) {
        let now = Instant::now();
        let waits = self.specs.poke() && !allow_prune;
        // What is permitted is the removal of what is seen now, and not of what a fetch may bring.
        if !waits || self.asks.as_ref().is_some_and(|asks| asks.waiting.len() >= WAITING_MAX) {
            return self.answer(customer, allow_prune, wakeups).await;
        }
        let new = Asks { waiting: BTreeSet::new(), since: now, until: now + FETCH_FIRST_MAX };
        let asks = self.asks.get_or_insert(new);
        asks.since = now;
        asks.waiting.insert(customer);
    }

    /// When those who wait for a fetch are waited for no longer.
    pub(super) fn asks_until(&self) -> Option<Instant> {
        self.asks.as_ref().map(|asks| asks.until)
    }

    /// Answers those who wait, once the specs are fetched or that takes too long.
    pub(super) async fn answer_asks(&mut self, wakeups: &Wakeups) {
        let begun = self.specs.fetch().and_then(|fetch| fetch.begun);
        let is_over =
            |asks: &mut Asks| begun.is_some_and(|begun| begun >= asks.since) || Instant::now() >= asks.until;
        let Some(asks) = self.asks.take_if(is_over) else { return };
        for customer in asks.waiting {
            self.answer(customer, false, wakeups).await;
        }
    }

    async fn answer(&mut self, customer: Option<String>, allow_prune: bool, wakeups: &Wakeups) {
        // For one customer no file is read anew that did not change.
        let reads = if customer.is_none() { Trigger::Manual } else { Trigger::Spec };
        self.read_specs(reads, wakeups).await;
        if allow_prune {
            self.allow_prune(customer.as_deref());
        }
        match customer {
            None => self.want_all(Trigger::Manual),
            Some(name) if self.specs.get(&name).is_none() => {
                if let Some(due) = self.gone().get(&name) {
                    self.want_when_due(&name, *due);
                }
            }
            Some(name) => {
                self.quarantined.remove(&name);
                self.want(&name, Trigger::Manual, Instant::now());
            }
        }
    }
}
