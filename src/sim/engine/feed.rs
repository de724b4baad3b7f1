//! Events for whoever listens: a bounded backlog, and listeners that are not waited for.

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::state::Event;

/// As many as the real engine keeps.
const BACKLOG_MAX: usize = 256;

/// Whether a listener wants an event.
pub(super) type Wants = Box<dyn Fn(&Event) -> bool + Send>;

/// Published events.
pub(super) struct Feed {
    backlog: VecDeque<Event>,
    listeners: Vec<Listener>,
    listener_events_max: usize,
    /// The time of the last event.
    last: Option<Timestamp>,
}

struct Listener {
    wants: Wants,
    queue: mpsc::Sender<Bytes>,
}

impl Feed {
    pub(super) fn new(listener_events_max: usize) -> Self {
        Self { backlog: VecDeque::new(), listeners: Vec::new(), listener_events_max, last: None }
    }

    pub(super) fn publish(&mut self, mut event: Event) {
        // No two events are at the same nanosecond, so that their order shows.
        let next = self.last.and_then(|last| last.checked_add(SignedDuration::from_nanos(1)).ok());
        event.time = next.map_or(event.time, |next| next.max(event.time));
        self.last = Some(event.time);
        // A listener whose queue is full misses this event; one that is gone is forgotten.
        self.listeners.retain(|listener| {
            let missed = (listener.wants)(&event)
                && matches!(listener.queue.try_send(line(&event)), Err(mpsc::error::TrySendError::Closed(_)));
            !missed && !listener.queue.is_closed()
        });
        if self.backlog.len() == BACKLOG_MAX {
            self.backlog.pop_front();
        }
        self.backlog.push_back(event);
    }

    /// Past events, as far as they are kept.
    pub(super) fn past(&self, wants: impl Fn(&Event) -> bool) -> Vec<Bytes> {
        self.backlog.iter().filter(|event| wants(event)).map(line).collect()
    }

    pub(super) fn listen(&mut self, wants: Wants) -> mpsc::Receiver<Bytes> {
        let (queue, receiver) = mpsc::channel(self.listener_events_max);
        self.listeners.push(Listener { wants, queue });
        receiver
    }

    /// Forgets events and cuts off listeners.
    pub(super) fn restart(&mut self) {
        self.backlog.clear();
        self.listeners.clear();
    }
}

/// As the engine writes it.
fn line(event: &Event) -> Bytes {
    let attributes: serde_json::Map<String, Value> =
        event.attributes.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    let nanoseconds = event.time.as_nanosecond();
    let json = json!({
        "Type": event.kind,
        "Action": event.action,
        "Actor": {"ID": event.id, "Attributes": attributes},
        "scope": "swarm",
        "time": event.time.as_second(),
        "timeNano": i64::try_from(nanoseconds).unwrap_or(i64::MAX),
    });
    Bytes::from(format!("{json}\n"))
}
