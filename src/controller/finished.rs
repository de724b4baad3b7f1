//! When a customer is looked at again after a pass.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Controller, Done, Next, ROLLING_BESIDE_FAILURE, ROLLING_INTERVAL, Report};
use crate::events::Trigger;
use crate::swarm::SwarmError;

/// A pass that panicked is not tried again before this, whatever wakes it.
const QUARANTINE: Duration = Duration::from_secs(300);

/// Conflicts in a row are answered at once this often, then with the usual delays.
const CONFLICTS_AT_ONCE_MAX: u32 = 5;

impl Controller {
    pub(super) async fn finished(
        &mut self,
        joined: Result<(tokio::task::Id, Done), tokio::task::JoinError>,
        keys: &mut HashMap<tokio::task::Id, String>,
    ) {
        match joined {
            Ok((id, (key, begun, duration, result))) => {
                keys.remove(&id);
                self.lanes.ended(&key, duration);
                self.queue.done(&key);
                self.observer.did(&key, begun, result.as_ref());
                if result.as_ref().is_ok_and(|report| report.plan.is_gone) {
                    self.specs.stack_removed(&key);
                    self.forget(&key);
                    self.observer.specs_gone(&self.gone());
                    return;
                }
                if self.specs.get(&key).is_some() {
                    self.observer.pass(&key, duration, result.as_ref());
                }
                self.schedule(&key, result);
            }
            Err(error) => {
                let Some(key) = keys.remove(&error.id()) else { return };
                tracing::error!(customer = key, %error, "a pass panicked; this customer is left alone for a while");
                self.lanes.release(&key);
                self.queue.done(&key);
                let until = Instant::now() + QUARANTINE;
                self.quarantined.insert(key.clone(), until);
                self.permits.end(&key);
                self.want(&key, Trigger::Resync, until);
            }
        }
    }

    fn schedule(&mut self, key: &str, result: Result<Report, SwarmError>) {
        let now = Instant::now();
        let (next, rolling) = match result {
            Ok(report) => (report.next, report.rolling),
            Err(error) => (Next::Retry(error.to_string()), false),
        };
        if next != Next::Again {
            self.conflicts.remove(key);
        }
        self.permits.ended(key, &next);
        match next {
            Next::Settled => self.retries.succeeded(key),
            Next::Rolling => {
                self.retries.succeeded(key);
                self.want(key, Trigger::Swarm, next_tick(self.origin, now));
            }
            Next::Contested(wait) => {
                self.retries.succeeded(key);
                self.want(key, Trigger::Resync, now + wait);
            }
            Next::Again => {
                let conflicts = self.conflicts.entry(key.to_owned()).or_default();
                *conflicts += 1;
                let delay = if *conflicts <= CONFLICTS_AT_ONCE_MAX {
                    Duration::ZERO
                } else {
                    self.retries.failed(key)
                };
                self.want(key, Trigger::Swarm, now + delay);
            }
            Next::Retry(why) => {
                let delay = self.retries.failed(key);
                // What goes well beside it is not to be kept waiting.
                let delay = if rolling { delay.min(ROLLING_BESIDE_FAILURE) } else { delay };
                tracing::warn!(customer = key, why, ?delay, "will be tried again");
                self.want(key, Trigger::Resync, now + delay);
            }
        }
    }
}

/// Customers that roll at the same time share their looks at the Swarm.
fn next_tick(origin: Instant, now: Instant) -> Instant {
    let interval = ROLLING_INTERVAL.as_millis();
    let ticks = now.saturating_duration_since(origin).as_millis() / interval + 1;
    origin + ROLLING_INTERVAL * u32::try_from(ticks).unwrap_or(u32::MAX)
}
