//! Time: what wakes whom, when, and how often it is tried again.
//!
//! Level-triggered: a wake-up only names a customer to look at; every pass observes afresh.
//! The key of the queue is the customer, so that its services are planned together.

mod jitter;
pub mod orders;
pub mod poll;
mod prune;
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
pub use prune::RemovedObjects;
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
/// Up to so many customers are each looked at alone; more share one look at the whole Swarm.
const ALONE_MAX: usize = 8;
/// Conflicts in a row are answered at once this often, then with the usual delays.
const CONFLICTS_AT_ONCE_MAX: u32 = 5;

/// What the controller tells others while it works: metrics, readiness.
pub trait Observer: Send + Sync {
    fn pass(&self, customer: &str, duration: Duration, result: Result<&Report, &SwarmError>);
    fn queue_depth(&self, depth: usize);
    /// What the specs say now, or why they cannot be read.
    fn specs_read(&self, result: Result<&SpecsRead, &str>);
    /// The customers whose spec has errors now, with the first of them.
    fn specs_invalid(&self, _invalid: &BTreeMap<String, String>) {}
    fn forget(&self, customer: &str);
    /// The loop is alive.
    fn heartbeat(&self);
}

/// What a reading of the specs brought.
#[derive(Clone, Debug, Default)]
pub struct SpecsRead {
    /// The keys of each customer's services: of all customers, or of those that are new or changed.
    pub services: BTreeMap<String, Vec<String>>,
    /// Whether these are all.
    pub all: bool,
    /// How many customers there are.
    pub customers: usize,
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
    /// Why each queued customer is to be looked at.
    wanted: HashMap<String, Wanted>,
    retries: Retries,
    conflicts: HashMap<String, u32>,
    quarantined: HashMap<String, Instant>,
    specs_failed: bool,
    /// The observer has heard of all customers.
    told_of_specs: bool,
    /// Repositories that are asked, and for how many services.
    repositories: BTreeMap<Repository, usize>,
    /// What the looks at rolling customers are counted from.
    origin: Instant,
}

/// Why a customer is to be looked at.
#[derive(Clone, Copy)]
struct Wanted {
    trigger: Trigger,
    /// Since when.
    since: Instant,
    /// Along with all others.
    with_all: bool,
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
            told_of_specs: false,
            repositories: BTreeMap::new(),
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
            if running.is_empty() && self.queue.depth() == 0 {
                self.reconciler.snapshots.release();
            }
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(joined) = running.join_next_with_id() => self.finished(joined, &mut keys).await,
                () = tokio::time::sleep(HEARTBEAT) => {}
                wake = wakeups.next() => self.woken(wake, &wakeups).await,
                key = self.queue.next(), if running.len() < self.settings.concurrency => {
                    if self.specs.get(&key).is_none() {
                        // Before a stack goes, its file is looked for once more.
                        self.read_specs(Trigger::Resync, &wakeups).await;
                    }
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
        let customer = self.customer(key)?;
        let now = Instant::now();
        if let Some(until) = self.quarantined.get(key).copied() {
            if now < until {
                self.queue.done(&key.to_owned());
                self.queue.add(key.to_owned(), until);
                return None;
            }
            self.quarantined.remove(key);
        }
        let unasked = Wanted { trigger: Trigger::Resync, since: now, with_all: false };
        let Wanted { trigger, since, with_all } = self.wanted.remove(key).unwrap_or(unasked);
        // A person who asks wants to know what is so now; customers share what came since.
        let max_age = match trigger {
            Trigger::Manual => now.saturating_duration_since(since),
            _ => self.settings.poll_registry.mul_f64(1.5),
        };
        let inventory = Arc::clone(self.specs.inventory());
        // Of a stack that goes, all is wanted, named by a spec or not.
        let alone = !with_all && self.specs.get(key).is_some() && self.queue.depth() <= ALONE_MAX;
        let revision = self.specs.revision().map(str::to_owned);
        Some(Request { customer, revision, trigger, since, max_age, alone, inventory })
    }

    /// What is wanted of a customer: what its file says, or nothing when that is long gone.
    fn customer(&self, key: &str) -> Option<Arc<crate::spec::Customer>> {
        match self.specs.get(key) {
            Some(customer) => Some(Arc::clone(customer)),
            None => self.is_due(key).then(|| Arc::new(crate::spec::Customer::without_file(key))),
        }
    }

    fn is_due(&self, key: &str) -> bool {
        let inventory = self.specs.inventory();
        inventory.complete && inventory.due(key).is_some_and(|due| due <= self.reconciler.recorder.now())
    }

    /// Customers whose stack is to be removed are looked at when it is time.
    fn want_gone(&mut self) {
        let (now, inventory) = (self.reconciler.recorder.now(), Arc::clone(self.specs.inventory()));
        for key in inventory.gone.keys() {
            let Some(due) = inventory.due(key) else { continue };
            let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
            // Looked at too early, it would only be read again.
            if let Some(at) = Instant::now().checked_add(wait + Duration::from_millis(1)) {
                self.want(key, Trigger::Spec, at);
            }
        }
    }

    fn want(&mut self, key: &str, trigger: Trigger, at: Instant) {
        let new = Wanted { trigger, since: at, with_all: false };
        let wanted = self.wanted.entry(key.to_owned()).or_insert(new);
        wanted.since = wanted.since.max(at);
        // Events name what brought news, not the look that happened to be due as well.
        if wanted.trigger == Trigger::Resync || trigger == Trigger::Manual {
            wanted.trigger = trigger;
        }
        self.queue.add(key.to_owned(), at);
    }

    fn want_all(&mut self, trigger: Trigger) {
        let now = Instant::now();
        let all: Vec<String> = self.specs.customers().map(|customer| customer.name.clone()).collect();
        for key in all {
            self.want(&key, trigger, now);
            if let Some(wanted) = self.wanted.get_mut(&key) {
                wanted.with_all = true;
            }
        }
        self.want_gone();
    }

    async fn woken(&mut self, wake: Wake, wakeups: &Wakeups) {
        match wake {
            Wake::Specs(trigger) => self.read_specs(trigger, wakeups).await,
            Wake::Resync => self.want_all(Trigger::Resync),
            Wake::Swarm => self.want_all(Trigger::Swarm),
            Wake::Service(name) => {
                if let Some(key) = self.owner(&name) {
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
            Wake::Manual(customer) => {
                self.specs.poke();
                // For one customer no file is read anew that did not change.
                let reads = if customer.is_none() { Trigger::Manual } else { Trigger::Spec };
                self.read_specs(reads, wakeups).await;
                match customer {
                    None => self.want_all(Trigger::Manual),
                    Some(name) if self.specs.get(&name).is_none() => {}
                    Some(name) => {
                        self.quarantined.remove(&name);
                        self.want(&name, Trigger::Manual, Instant::now());
                    }
                }
            }
            Wake::Hangup => {
                self.specs.poke();
                self.read_specs(Trigger::Manual, wakeups).await;
                self.want_all(Trigger::Manual);
            }
        }
    }

    /// The customer that has this service. There is no `_` in a customer's name.
    fn owner(&self, service_name: &str) -> Option<String> {
        let (name, key) = service_name.split_once('_')?;
        let customer = self.specs.get(name)?;
        customer.services.contains_key(key).then(|| customer.name.clone())
    }

    async fn read_specs(&mut self, trigger: Trigger, wakeups: &Wakeups) {
        match self.specs.read(trigger, self.reconciler.recorder.now()) {
            Ok(changes) => {
                self.specs_failed = false;
                self.count_repositories(&changes);
                let read = self.read_now(&changes);
                self.observer.specs_read(Ok(&read));
                self.observer.specs_invalid(&self.specs.invalid_messages());
                self.reconciler.recorder.tell(changes.events).await;
                for key in &changes.removed {
                    self.forget(key);
                }
                for key in &changes.changed {
                    self.retries.succeeded(key);
                    self.quarantined.remove(key);
                    self.want(key, trigger, Instant::now());
                }
                self.want_gone();
                if trigger == Trigger::Startup {
                    self.want_all(trigger);
                }
                wakeups.poll_repositories(self.repositories.keys().cloned().collect());
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

    fn read_now(&mut self, changes: &specs::Changes) -> SpecsRead {
        let all = !std::mem::replace(&mut self.told_of_specs, true);
        let keys = |spec: &Arc<crate::spec::Customer>| {
            (spec.name.clone(), spec.services.keys().cloned().collect::<Vec<String>>())
        };
        let services = match all {
            true => self.specs.customers().map(keys).collect(),
            false => changes.changed.iter().filter_map(|name| self.specs.get(name)).map(keys).collect(),
        };
        SpecsRead { services, all, customers: self.specs.customers().len() }
    }

    fn count_repositories(&mut self, changes: &specs::Changes) {
        let now = changes.changed.iter().filter_map(|name| self.specs.get(name));
        for repository in now.flat_map(|customer| asked(customer)) {
            *self.repositories.entry(repository.clone()).or_default() += 1;
        }
        for repository in changes.replaced.iter().flat_map(|customer| asked(customer)) {
            if let Some(services) = self.repositories.get_mut(repository) {
                *services -= 1;
            }
        }
        self.repositories.retain(|_, services| *services > 0);
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
                if result.as_ref().is_ok_and(|report| report.plan.is_gone) {
                    self.specs.stack_removed(&key);
                    self.forget(&key);
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

/// The repositories whose registries are asked, of each service.
fn asked(customer: &crate::spec::Customer) -> impl Iterator<Item = &Repository> {
    let services = customer.services.values();
    let asked = services.filter(|service| !matches!(service.image, crate::spec::ImagePolicy::Digest { .. }));
    asked.map(|service| service.image.repository())
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

/// Runs passes over the customers until nothing is under way in any of them, as `skep apply`
/// does. `progress` hears of each pass.
pub async fn apply_once(
    reconciler: &Reconciler,
    requests: Vec<Request>,
    concurrency: usize,
    options: ApplyOnce<'_>,
) -> BTreeMap<String, Applied> {
    use futures::StreamExt;
    let alone = requests.len() <= ALONE_MAX;
    let requests = requests.into_iter().map(|request| Request { alone, ..request });
    let runs = requests.map(|request| async {
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
