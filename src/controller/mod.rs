//! Time: what wakes whom, when, and how often it is tried again.
//!
//! Level-triggered: a wake-up only names a customer to look at; every pass observes afresh.
//! The key of the queue is the customer, so that its services are planned together.

mod jitter;
pub mod poll;
mod queue;
mod rankings;
mod reconcile;
pub mod resolve;
mod retry;
mod settle;
mod snapshots;
pub mod specs;
pub mod wakeups;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::events::{About, Kind, Reason, Trigger};
use crate::image::Repository;
use crate::plan::Plan;
use crate::source::SourceError;
use crate::swarm::SwarmError;

pub use jitter::Jitter;
pub use queue::Queue;
pub use reconcile::{Next, Reconciler, Report, Request, is_condition, plan_only};
pub use retry::Retries;
pub use settle::Settler;
pub use snapshots::Snapshots;
pub use specs::Specs;
pub use wakeups::{Wake, Wakeups};

/// How often rolling services are looked at. Their tasks give no events (measured), so this is
/// also how long after it a rollout is known to have ended.
const ROLLING_INTERVAL: Duration = Duration::from_millis(500);
/// How often a customer is looked at some of whose services roll while another cannot be written.
const ROLLING_BESIDE_FAILURE: Duration = Duration::from_secs(5);
/// An idle loop goes round this often, to show that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A pass only makes calls that are bounded themselves; this bounds their sum at shutdown.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(45);
/// A pass that panicked is not tried again before this, whatever wakes it.
const QUARANTINE: Duration = Duration::from_secs(300);
/// Conflicts in a row are answered at once this often, then with the usual delays.
const CONFLICTS_AT_ONCE_MAX: u32 = 5;

/// What the controller tells others while it works: metrics, readiness.
pub trait Observer: Send + Sync {
    fn pass(&self, customer: &str, duration: Duration, result: Result<&Plan, &SwarmError>);
    fn queue_depth(&self, depth: usize);
    /// The customers with the keys of their services, or why the specs cannot be read.
    fn specs_read(&self, result: Result<&BTreeMap<String, Vec<String>>, &str>);
    fn forget(&self, customer: &str);
    /// The loop is alive.
    fn heartbeat(&self);
}

/// Settings of the loop.
#[derive(Clone, Debug)]
pub struct Settings {
    pub concurrency: usize,
    pub poll_registry: Duration,
    pub resync: Duration,
    pub jitter: Jitter,
}

/// The control loop.
pub struct Controller {
    pub reconciler: Arc<Reconciler>,
    pub specs: Specs,
    pub settings: Settings,
    pub observer: Arc<dyn Observer>,
    queue: Queue<String>,
    /// Why and since when each queued customer is to be looked at.
    wanted: HashMap<String, (Trigger, Instant)>,
    retries: Retries,
    conflicts: HashMap<String, u32>,
    quarantined: HashMap<String, Instant>,
    specs_failed: bool,
    /// What the looks at rolling customers are counted from.
    origin: Instant,
}

type Done = (String, Duration, Result<Report, SwarmError>);

impl Controller {
    pub fn new(
        reconciler: Arc<Reconciler>,
        specs: Specs,
        settings: Settings,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self {
            reconciler,
            specs,
            observer,
            queue: Queue::default(),
            wanted: HashMap::new(),
            retries: Retries::new(settings.jitter.clone()),
            settings,
            conflicts: HashMap::new(),
            quarantined: HashMap::new(),
            specs_failed: false,
            origin: Instant::now(),
        }
    }

    /// Runs until `shutdown` ends, then finishes the steps in hand.
    pub async fn run(mut self, mut wakeups: Wakeups, shutdown: impl Future<Output = ()>) {
        self.tell(Trigger::Startup, Kind::Normal, Reason::ControllerStarted, "skep started").await;
        self.read_specs(Trigger::Startup, &wakeups).await;
        let mut running: JoinSet<Done> = JoinSet::new();
        let mut keys: HashMap<tokio::task::Id, String> = HashMap::new();
        tokio::pin!(shutdown);
        loop {
            self.observer.queue_depth(self.queue.depth());
            self.observer.heartbeat();
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(joined) = running.join_next_with_id() => self.finished(joined, &mut keys).await,
                () = tokio::time::sleep(HEARTBEAT) => {}
                wake = wakeups.next() => self.woken(wake, &wakeups).await,
                key = self.queue.next(), if running.len() < self.settings.concurrency => {
                    if let Some(request) = self.request(&key) {
                        let task = running.spawn(pass(Arc::clone(&self.reconciler), key.clone(), request));
                        keys.insert(task.id(), key);
                    } else {
                        self.queue.done(&key);
                    }
                }
            }
        }
        let drained =
            tokio::time::timeout(DRAIN_TIMEOUT, async { while running.join_next().await.is_some() {} }).await;
        if drained.is_err() {
            tracing::warn!(
                "steps were still running after {DRAIN_TIMEOUT:?}; their outcome is found out at the next start"
            );
        }
        self.tell(Trigger::Manual, Kind::Normal, Reason::ControllerStopped, "skep stopped").await;
    }

    fn request(&mut self, key: &str) -> Option<Request> {
        let customer = Arc::clone(self.specs.get(key)?);
        let now = Instant::now();
        if let Some(until) = self.quarantined.get(key).copied() {
            if now < until {
                self.queue.done(&key.to_owned());
                self.queue.add(key.to_owned(), until);
                return None;
            }
            self.quarantined.remove(key);
        }
        let (trigger, since) = self.wanted.remove(key).unwrap_or((Trigger::Resync, now));
        let max_age = self.settings.poll_registry.mul_f64(1.5);
        let revision = self.specs.revision().map(str::to_owned);
        Some(Request { customer, revision, trigger, since, max_age })
    }

    fn want(&mut self, key: &str, trigger: Trigger, at: Instant) {
        let wanted = self.wanted.entry(key.to_owned()).or_insert((trigger, at));
        wanted.1 = wanted.1.max(at);
        // Events name what brought news, not the look that happened to be due as well.
        if wanted.0 == Trigger::Resync {
            wanted.0 = trigger;
        }
        self.queue.add(key.to_owned(), at);
    }

    fn want_all(&mut self, trigger: Trigger) {
        let now = Instant::now();
        let all: Vec<String> = self.specs.customers().map(|customer| customer.name.clone()).collect();
        for key in all {
            self.want(&key, trigger, now);
        }
    }

    async fn woken(&mut self, wake: Wake, wakeups: &Wakeups) {
        match wake {
            Wake::Specs(trigger) => self.read_specs(trigger, wakeups).await,
            Wake::Resync => self.want_all(Trigger::Resync),
            Wake::Swarm => self.want_all(Trigger::Swarm),
            Wake::Service(name) => {
                let owner = self.specs.customers().find(|customer| is_of(customer, &name));
                if let Some(key) = owner.map(|customer| customer.name.clone()) {
                    self.want(&key, Trigger::Swarm, Instant::now());
                }
            }
            Wake::Registry(repositories) => {
                let uses = |customer: &crate::spec::Customer| {
                    customer
                        .services
                        .values()
                        .any(|service| repositories.contains(service.image.repository()))
                };
                let keys: Vec<String> = self
                    .specs
                    .customers()
                    .filter(|customer| uses(customer))
                    .map(|customer| customer.name.clone())
                    .collect();
                for key in keys {
                    self.want(&key, Trigger::Registry, Instant::now());
                }
            }
            Wake::Hangup => {
                self.specs.poke();
                self.read_specs(Trigger::Manual, wakeups).await;
                self.want_all(Trigger::Manual);
            }
        }
    }

    async fn read_specs(&mut self, trigger: Trigger, wakeups: &Wakeups) {
        match self.specs.read(trigger) {
            Ok(changes) => {
                self.specs_failed = false;
                let keys = |spec: &Arc<crate::spec::Customer>| spec.services.keys().cloned().collect();
                let services = self.specs.customers().map(|spec| (spec.name.clone(), keys(spec)));
                self.observer.specs_read(Ok(&services.collect()));
                self.reconciler.recorder.tell(changes.events).await;
                for key in &changes.removed {
                    self.forget(key);
                }
                for key in &changes.changed {
                    self.retries.succeeded(key);
                    self.quarantined.remove(key);
                    self.want(key, trigger, Instant::now());
                }
                wakeups.poll_repositories(self.repositories());
            }
            Err(error) => {
                self.observer.specs_read(Err(&error.to_string()));
                if !matches!(error, SourceError::Pending) && !std::mem::replace(&mut self.specs_failed, true)
                {
                    let message = format!("{error}; the last good specs stay in force");
                    self.tell(trigger, Kind::Warning, Reason::SpecInvalid, &message).await;
                }
            }
        }
    }

    fn repositories(&self) -> BTreeSet<Repository> {
        let services = self.specs.customers().flat_map(|customer| customer.services.values());
        let asked =
            services.filter(|service| !matches!(service.image, crate::spec::ImagePolicy::Digest { .. }));
        asked.map(|service| service.image.repository().clone()).collect()
    }

    fn forget(&mut self, key: &str) {
        self.queue.remove(&key.to_owned());
        self.wanted.remove(key);
        self.retries.succeeded(key);
        self.conflicts.remove(key);
        self.observer.forget(key);
        self.reconciler.snapshots.set_rolling(key, BTreeSet::new());
        if let Ok(mut conditions) = self.reconciler.conditions.lock() {
            conditions.forget(Some(key));
        }
    }

    async fn finished(
        &mut self,
        joined: Result<(tokio::task::Id, Done), tokio::task::JoinError>,
        keys: &mut HashMap<tokio::task::Id, String>,
    ) {
        match joined {
            Ok((id, (key, duration, result))) => {
                keys.remove(&id);
                self.queue.done(&key);
                self.observer.pass(&key, duration, result.as_ref().map(|report| &report.plan));
                self.schedule(&key, result);
            }
            Err(error) => {
                let Some(key) = keys.remove(&error.id()) else { return };
                tracing::error!(customer = key, %error, "a pass panicked; this customer is left alone for a while");
                self.queue.done(&key);
                let until = Instant::now() + QUARANTINE;
                self.quarantined.insert(key.clone(), until);
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
        match next {
            Next::Settled => self.retries.succeeded(key),
            Next::Rolling => {
                self.retries.succeeded(key);
                self.want(key, Trigger::Swarm, next_tick(self.origin, now));
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

    async fn tell(&self, trigger: Trigger, kind: Kind, reason: Reason, message: &str) {
        let about = About { customer: None, trigger, revision: None };
        self.reconciler.recorder.tell(vec![about.event(kind, reason, None, message)]).await;
    }
}

async fn pass(reconciler: Arc<Reconciler>, key: String, request: Request) -> Done {
    let begun = Instant::now();
    let result = reconciler.reconcile(&request).await;
    (key, begun.elapsed(), result)
}

/// Customers that roll at the same time share their looks at the Swarm.
fn next_tick(origin: Instant, now: Instant) -> Instant {
    let interval = ROLLING_INTERVAL.as_millis();
    let ticks = now.saturating_duration_since(origin).as_millis() / interval + 1;
    origin + ROLLING_INTERVAL * u32::try_from(ticks).unwrap_or(u32::MAX)
}

fn is_of(customer: &crate::spec::Customer, service_name: &str) -> bool {
    let key = service_name.strip_prefix(&customer.name).and_then(|rest| rest.strip_prefix('_'));
    key.is_some_and(|key| customer.services.contains_key(key))
}

/// Runs passes over the customers until nothing is under way in any of them, as `skep apply`
/// does. `progress` hears of each pass.
pub async fn apply_once(
    reconciler: &Reconciler,
    requests: Vec<Request>,
    concurrency: usize,
    options: ApplyOnce<'_>,
) -> BTreeMap<String, Applied> {
    use futures::StreamExt;
    let runs = requests.into_iter().map(|request| async {
        let name = request.customer.name.clone();
        (name, apply_customer(reconciler, request, &options).await)
    });
    futures::stream::iter(runs).buffer_unordered(concurrency).collect().await
}

/// How `apply_once` goes about it.
pub struct ApplyOnce<'a> {
    /// When to give up waiting.
    pub deadline: Option<Instant>,
    /// Whether to wait for rollouts at all.
    pub wait: bool,
    pub progress: &'a (dyn Fn(&str, &Report) + Sync),
}

/// What came of one customer.
#[derive(Default)]
pub struct Applied {
    /// What the first pass planned.
    pub first: Option<Plan>,
    pub last: Option<Plan>,
    pub outcomes: Vec<(crate::plan::Step, crate::apply::Outcome)>,
    pub error: Option<SwarmError>,
    pub timed_out: bool,
}

/// Conflicts that `apply` answers at once; more are no accident.
const APPLY_CONFLICTS_MAX: u32 = 20;
/// Failed tries before `apply` gives a customer up.
const APPLY_TRIES_MAX: u32 = 5;

async fn apply_customer(reconciler: &Reconciler, mut request: Request, options: &ApplyOnce<'_>) -> Applied {
    let mut applied = Applied::default();
    let mut retries = Retries::default();
    let (mut tries, mut conflicts) = (0, 0);
    loop {
        let result = reconciler.reconcile(&request).await;
        let (next, rolling) = match result {
            Ok(report) => {
                (options.progress)(&request.customer.name, &report);
                applied.error = None;
                applied.first.get_or_insert_with(|| report.plan.clone());
                applied.outcomes.extend(report.outcomes);
                applied.last = Some(report.plan);
                (report.next, report.rolling)
            }
            Err(error) => {
                let next = Next::Retry(error.to_string());
                applied.error = Some(error);
                (next, false)
            }
        };
        let delay = match next {
            Next::Settled => return applied,
            Next::Rolling if !options.wait => return applied,
            Next::Rolling => ROLLING_INTERVAL,
            Next::Again if conflicts < APPLY_CONFLICTS_MAX => {
                conflicts += 1;
                ROLLING_INTERVAL / 10
            }
            Next::Again | Next::Retry(_) => {
                tries += 1;
                match (tries < APPLY_TRIES_MAX && options.wait, rolling && options.wait) {
                    (true, _) => retries.failed(""),
                    // Given up; what goes well beside it is waited for.
                    (false, true) => ROLLING_BESIDE_FAILURE,
                    (false, false) => return applied,
                }
            }
        };
        let wake = Instant::now() + delay;
        if options.deadline.is_some_and(|deadline| wake >= deadline) {
            applied.timed_out = true;
            return applied;
        }
        tokio::time::sleep_until(wake).await;
        request.since = Instant::now();
    }
}
