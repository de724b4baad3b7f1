//! Repeats are told once when they begin and once when they end (contract §4).
//!
//! Pure: the caller says what holds now and writes what comes back.

use std::collections::BTreeMap;

use super::{Event, Kind, NewEvent, Reason, Trigger};

/// A condition that holds now, as a reconcile found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// `None`: of the customer as a whole.
    pub service: Option<String>,
    pub reason: Reason,
    pub kind: Kind,
    pub message: String,
}

/// What holds, by customer; `None` stands for the controller itself.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    active: BTreeMap<Option<String>, BTreeMap<Key, Active>>,
}

type Key = (Option<String>, Reason);

#[derive(Clone, Debug)]
struct Active {
    kind: Kind,
    first_time: jiff::Timestamp,
    /// How many reconciles found it.
    count: u64,
    /// The newest, which may differ from the one that was told.
    message: String,
}

impl Conditions {
    /// Compares all that holds for a customer now with what held before, and gives the
    /// events to write: one for each condition that begins; for each that ended one with
    /// `count` if it was met more than once, and `Recovered` or `Resumed` where the reason
    /// has such an end. A condition whose message changes goes on; it does not begin anew.
    pub fn observe(
        &mut self,
        customer: Option<&str>,
        held: &[Held],
        trigger: Trigger,
        now: jiff::Timestamp,
    ) -> Vec<NewEvent> {
        let owner = customer.map(str::to_owned);
        let mut before = self.active.remove(&owner).unwrap_or_default();
        let mut after: BTreeMap<Key, Active> = BTreeMap::new();
        let mut events = Vec::new();
        for condition in held {
            let key = (condition.service.clone(), condition.reason);
            if after.contains_key(&key) {
                continue;
            }
            let active = match before.remove(&key) {
                Some(old) => Active { count: old.count + 1, message: condition.message.clone(), ..old },
                None => {
                    events.push(onset(customer, condition, trigger));
                    Active {
                        kind: condition.kind,
                        first_time: now,
                        count: 1,
                        message: condition.message.clone(),
                    }
                }
            };
            after.insert(key, active);
        }
        let mut ended: Vec<NewEvent> =
            before.iter().flat_map(|(key, old)| closing(customer, key, old, trigger)).collect();
        ended.append(&mut events);
        if !after.is_empty() {
            self.active.insert(owner, after);
        }
        ended
    }

    /// Drops what is known of a customer without a word, e.g. when its spec is gone.
    pub fn forget(&mut self, customer: Option<&str>) {
        self.active.remove(&customer.map(str::to_owned));
    }

    /// Takes up what held when skep last ran, so that a restart does not tell it again. Give
    /// it the log's lines in order; reasons that are no conditions do no harm, if `is_condition`
    /// leaves them out.
    ///
    /// A condition that was met only once leaves no closing line. If it ended and is back at
    /// the first look after the restart, it is taken for the same one.
    pub fn restore<'a>(
        &mut self,
        events: impl IntoIterator<Item = &'a Event>,
        is_condition: impl Fn(Reason) -> bool,
    ) {
        for event in events {
            let owner = &event.customer;
            match ended_by(event) {
                Ended::Nothing if event.phase.is_none() && is_condition(event.reason) => {
                    let active = Active {
                        kind: event.kind,
                        first_time: event.time,
                        count: 1,
                        message: event.message.clone(),
                    };
                    self.active
                        .entry(owner.clone())
                        .or_default()
                        .insert((event.service.clone(), event.reason), active);
                }
                Ended::Nothing => {}
                Ended::One(reason) => {
                    self.drop_where(owner, |key, _| *key == (event.service.clone(), reason))
                }
                Ended::Any(reasons) => {
                    // Of several that hold it ends the one that it names.
                    self.drop_where(owner, |key, active| {
                        key.0 == event.service
                            && reasons.contains(&key.1)
                            && event.message == over(&active.message)
                    });
                }
            }
        }
    }

    fn drop_where(&mut self, owner: &Option<String>, ended: impl Fn(&Key, &Active) -> bool) {
        if let Some(active) = self.active.get_mut(owner) {
            active.retain(|key, active| !ended(key, active));
            if active.is_empty() {
                self.active.remove(owner);
            }
        }
    }
}

/// Conditions whose end is told as `Recovered`.
const RECOVERING: &[Reason] = &[Reason::RegistryUnavailable, Reason::SwarmUnavailable, Reason::PruneHeld];

enum Ended {
    Nothing,
    One(Reason),
    Any(&'static [Reason]),
}

fn ended_by(event: &Event) -> Ended {
    match event.reason {
        _ if event.count.is_some() => Ended::One(event.reason),
        Reason::Recovered => Ended::Any(RECOVERING),
        Reason::Resumed => Ended::One(Reason::Suspended),
        _ => Ended::Nothing,
    }
}

fn onset(customer: Option<&str>, condition: &Held, trigger: Trigger) -> NewEvent {
    NewEvent {
        customer: customer.map(str::to_owned),
        service: condition.service.clone(),
        ..NewEvent::new(condition.kind, condition.reason, trigger, condition.message.clone())
    }
}

/// How the end of a condition is told.
fn over(message: &str) -> String {
    let told = format!("is over: {message}");
    super::text::clean(&told, super::text::MESSAGE_BYTES_MAX)
}

/// What is said when a condition is over.
fn closing(customer: Option<&str>, key: &Key, old: &Active, trigger: Trigger) -> Vec<NewEvent> {
    let (service, reason) = key;
    let event = |kind, reason, message: String| NewEvent {
        customer: customer.map(str::to_owned),
        service: service.clone(),
        ..NewEvent::new(kind, reason, trigger, message)
    };
    let mut events = Vec::new();
    if old.count > 1 {
        events.push(NewEvent {
            count: Some(old.count),
            first_time: Some(old.first_time),
            ..event(old.kind, *reason, format!("ended; was met {} times, last: {}", old.count, old.message))
        });
    }
    match reason {
        reason if RECOVERING.contains(reason) => {
            events.push(event(Kind::Normal, Reason::Recovered, over(&old.message)));
        }
        Reason::Suspended => {
            events.push(event(Kind::Normal, Reason::Resumed, format!("the hold ended: {}", old.message)));
        }
        _ => {}
    }
    events
}

#[cfg(test)]
mod tests;
