//! Events as the controller writes them: stamped with the time, counted, and with the open
//! intents at hand, so that one id stands for one change however often it is tried.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::{Event, Kind, Log, NewEvent, Phase, Reason, Trigger};

/// Tells the time; a function, so that simulations can have their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;
/// Counts events by type and reason.
pub type EventObserver = Arc<dyn Fn(Kind, Reason) + Send + Sync>;

/// Writes events.
#[derive(Clone)]
pub struct Recorder {
    log: Arc<Log>,
    clock: Clock,
    observer: EventObserver,
    /// Intents without an outcome, by what they are about.
    open: Arc<Mutex<BTreeMap<Subject, Event>>>,
}

/// What a change is made to: a customer's service, or, by the target, a network, secret or config.
/// Each has its own intent: that of one object is never superseded by another's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    customer: String,
    service: Option<String>,
    object: Option<String>,
}

impl Subject {
    fn new(customer: &str, service: Option<&str>, target: Option<&str>) -> Self {
        let object = if service.is_none() { target } else { None };
        Self {
            customer: customer.to_owned(),
            service: service.map(str::to_owned),
            object: object.map(str::to_owned),
        }
    }

    fn of(event: &Event) -> Option<Self> {
        let customer = event.customer.as_deref()?;
        Some(Self::new(customer, event.service.as_deref(), event.target.as_deref()))
    }
}

/// What all events of one reconcile have in common.
#[derive(Clone, Debug)]
pub struct About {
    pub customer: Option<String>,
    pub trigger: Trigger,
    pub revision: Option<String>,
}

impl About {
    /// An event about a service of the customer, or about the customer as a whole.
    pub fn event(
        &self,
        kind: Kind,
        reason: Reason,
        service: Option<&str>,
        message: impl Into<String>,
    ) -> NewEvent {
        NewEvent {
            id: None,
            kind,
            reason,
            customer: self.customer.clone(),
            service: service.map(str::to_owned),
            message: message.into(),
            from: None,
            to: None,
            trigger: self.trigger,
            revision: self.revision.clone(),
            phase: None,
            count: None,
            first_time: None,
            target: None,
        }
    }
}

impl Recorder {
    /// `open` are the log's intents without an outcome.
    pub fn new(log: Arc<Log>, clock: Clock, observer: EventObserver, open: Vec<Event>) -> Self {
        let open = open.into_iter().filter_map(|event| Some((Subject::of(&event)?, event)));
        Self { log, clock, observer, open: Arc::new(Mutex::new(open.collect())) }
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Appends the events in order; they are on disk when this returns.
    ///
    /// # Errors
    /// When the disk does not take them. A change whose intent cannot be recorded must not be
    /// made.
    pub async fn record(&self, events: Vec<NewEvent>) -> io::Result<Vec<Event>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (log, now) = (Arc::clone(&self.log), self.now());
        let written = crate::blocking::run(move || log.append_many(events, now)).await??;
        for event in &written {
            (self.observer)(event.kind, event.reason);
            self.track(event);
            write_log(event);
        }
        Ok(written)
    }

    /// Like `record`, for events that only inform: a full disk is logged, not fatal. Whether they
    /// were written comes back.
    pub async fn tell(&self, events: Vec<NewEvent>) -> bool {
        let written = self.record(events).await;
        if let Err(error) = &written {
            tracing::error!(%error, "cannot write events");
        }
        written.is_ok()
    }

    fn track(&self, event: &Event) {
        let Ok(mut open) = self.open.lock() else { return };
        let Some(subject) = Subject::of(event) else { return };
        match event.phase {
            Some(Phase::Intent) => {
                open.insert(subject, event.clone());
            }
            // An outcome names no target, but has its intent's id.
            Some(Phase::Done | Phase::Failed) => {
                let mut about = open.range(subject..).take_while(|(_, it)| it.customer == event.customer);
                let closed = about.find(|(_, it)| it.id == event.id).map(|(subject, _)| subject.clone());
                closed.map(|subject| open.remove(&subject));
            }
            None => {}
        }
    }

    /// The open intent about a service.
    pub fn open_intent(&self, customer: &str, service: &str) -> Option<Event> {
        self.open_about(customer, Some(service), None)
    }

    /// The open intent about a service, or about the object that the target names.
    pub fn open_about(&self, customer: &str, service: Option<&str>, target: Option<&str>) -> Option<Event> {
        self.open.lock().ok()?.get(&Subject::new(customer, service, target)).cloned()
    }

    /// All open intents of a customer.
    pub fn open_intents(&self, customer: &str) -> Vec<Event> {
        let Ok(open) = self.open.lock() else { return Vec::new() };
        let from = open.range(Subject::new(customer, None, None)..);
        from.take_while(|(subject, _)| subject.customer == customer).map(|(_, it)| it.clone()).collect()
    }
}

/// The process's own log says it too, as loud as it is.
fn write_log(event: &Event) {
    let (customer, service) = (event.customer.as_deref(), event.service.as_deref());
    let reason = event.reason.as_str();
    match event.kind {
        Kind::Warning => tracing::warn!(customer, service, reason, "{}", event.message),
        Kind::Normal => tracing::info!(customer, service, reason, "{}", event.message),
    }
}
