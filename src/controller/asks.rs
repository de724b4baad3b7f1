//! What people ask for by `reconcile` and SIGHUP. Where specs are fetched, they are fetched first, so that what is
//! looked at is what was pushed; a server that does not answer is not waited for.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Controller, Wakeups};
use crate::events::Trigger;

/// A question waits so long for the specs to be fetched, and then goes by what is in force.
pub(crate) const FETCH_FIRST_MAX: Duration = Duration::from_secs(10);
/// Questions that wait; who comes beyond that does not wait.
const WAITING_MAX: usize = 1_000;

/// Questions that wait for a fetch.
#[derive(Default)]
pub(super) struct Asks {
    /// Who is to be looked at; `None`: all.
    waiting: BTreeMap<Option<String>, Ask>,
}

struct Ask {
    /// A fetch that began no earlier shows what was pushed before it was asked.
    since: Instant,
    /// When the fetch is waited for no longer.
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
        let new = Ask { since: now, until: now + FETCH_FIRST_MAX };
        // Who asks again wants what was pushed meanwhile.
        self.asks.get_or_insert_default().waiting.entry(customer).or_insert(new).since = now;
    }

    /// When those who wait for a fetch are waited for no longer.
    pub(super) fn asks_until(&self) -> Option<Instant> {
        self.asks.as_ref()?.waiting.values().map(|ask| ask.until).min()
    }

    /// Answers those who wait, once the specs are fetched or that takes too long.
    pub(super) async fn answer_asks(&mut self, wakeups: &Wakeups) {
        let Some(asks) = self.asks.as_mut() else { return };
        let begun = self.specs.fetch().and_then(|fetch| fetch.begun);
        let now = Instant::now();
        let mut over: Vec<Option<String>> = Vec::new();
        asks.waiting.retain(|customer, ask| {
            let is_over = now >= ask.until || begun.is_some_and(|begun| begun >= ask.since);
            over.extend(is_over.then(|| customer.clone()));
            !is_over
        });
        if asks.waiting.is_empty() {
            self.asks = None;
        }
        for customer in over {
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
