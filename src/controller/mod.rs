//! Time: what wakes whom, when, and how often it is tried again.
//!
//! Level-triggered: a wake-up only names a customer to look at; every pass observes afresh.
//! The key of the queue is the customer, so that its services are planned together.

mod asks;
mod contest;
mod finished;
mod jitter;
mod lanes;
mod once;
pub mod orders;
mod permits;
pub mod poll;
mod prune;
mod queue;
mod rankings;
mod reading;
mod reconcile;
pub mod resolve;
mod retry;
mod settle;
mod snapshots;
pub mod specs;
mod stale;
pub mod wakeups;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::events::{About, Kind, Reason, Trigger};
use crate::image::Repository;
use crate::plan::prune::Inventory;
use crate::swarm::SwarmError;

use asks::Asks;
pub(crate) use asks::FETCH_FIRST_MAX;
pub use contest::Contests;
pub use jitter::Jitter;
use lanes::Lanes;
pub use once::{Applied, ApplyOnce, apply_once};
use permits::Permits;
pub use prune::RemovedObjects;
pub use queue::Queue;
pub use reading::SpecsRead;
pub use reconcile::{Next, Reconciler, Report, Request, is_condition, plan_only};
pub use retry::Retries;
pub use settle::Settler;
pub use snapshots::{Snapshots, add_predefined};
pub use specs::{Fetch, Specs};
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
/// Up to so many customers are each looked at alone; more share one look at the whole Swarm.
const ALONE_MAX: usize = 8;

/// What the controller tells others while it works: metrics, readiness.
pub trait Observer: Send + Sync {
    fn pass(&self, customer: &str, duration: Duration, result: Result<&Report, &SwarmError>);
    fn queue_depth(&self, depth: usize);
    /// What the specs say now, or why they cannot be read.
    fn specs_read(&self, result: Result<&SpecsRead, &str>);
    /// The fetch that a reading went by, where specs are fetched. Told before `specs_read`.
    fn specs_fetched(&self, _fetch: &Fetch) {}
    /// The customers whose spec has errors now, with the first of them.
    fn specs_invalid(&self, _invalid: &BTreeMap<String, String>) {}
    /// The customers whose file is gone and whose stack may be removed, and when. Told before `specs_read`.
    fn specs_gone(&self, _gone: &BTreeMap<String, jiff::Timestamp>) {}
    /// What a pass did, also over a customer whose file is gone.
    fn did(&self, _customer: &str, _begun: Instant, _result: Result<&Report, &SwarmError>) {}
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
    /// Why each queued customer is to be looked at.
    wanted: HashMap<String, Wanted>,
    retries: Retries,
    conflicts: HashMap<String, u32>,
    quarantined: HashMap<String, Instant>,
    lanes: Lanes,
    permits: Permits,
    asks: Option<Asks>,
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

/// Whose pass began when, how long it took, and what it brought.
type Done = (String, Instant, Duration, Result<Report, SwarmError>);

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
            lanes: Lanes::default(),
            permits: Permits::default(),
            asks: None,
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
            let asks_until = self.asks_until();
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(joined) = running.join_next_with_id() => {
                    self.finished(joined, &mut keys).await;
                    while let Some(key) = self.lanes.next(self.settings.concurrency) {
                        self.begin(key, &mut running, &mut keys, &wakeups).await;
                    }
                }
                () = tokio::time::sleep(HEARTBEAT) => {}
                () = sleep_until(asks_until) => self.answer_asks(&wakeups).await,
                wake = wakeups.next() => {
                    self.woken(wake, &wakeups).await;
                    self.answer_asks(&wakeups).await;
                }
                key = self.queue.next(), if running.len() < self.settings.concurrency => {
                    self.begin(key, &mut running, &mut keys, &wakeups).await;
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

    /// Begins a customer's pass, unless it has to wait for others.
    async fn begin(
        &mut self,
        key: String,
        running: &mut JoinSet<Done>,
        keys: &mut HashMap<tokio::task::Id, String>,
        wakeups: &Wakeups,
    ) {
        if !self.lanes.admit(&key, self.settings.concurrency) {
            return;
        }
        if self.specs.get(&key).is_none() {
            self.read_specs_once_more(wakeups).await;
        }
        // What it wants is fixed from here on, and whoever asks for something later waits for another.
        let begun = Instant::now();
        if let Some(request) = self.request(&key) {
            let task = running.spawn(pass(Arc::clone(&self.reconciler), key.clone(), begun, request));
            keys.insert(task.id(), key);
        } else {
            if !self.quarantined.contains_key(&key) {
                self.permits.end(&key);
            }
            self.lanes.release(&key);
            self.queue.done(&key);
        }
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
        let inventory = self.inventory(key);
        self.permits.begin(key);
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

    /// What may be removed of a customer.
    fn inventory(&self, key: &str) -> Arc<Inventory> {
        let mut inventory = Arc::clone(self.specs.inventory());
        if self.permits.has(key) {
            Arc::make_mut(&mut inventory).allowed = true;
        }
        inventory
    }

    fn is_due(&self, key: &str) -> bool {
        let inventory = self.inventory(key);
        inventory.complete && inventory.due(key).is_some_and(|due| due <= self.reconciler.recorder.now())
    }

    /// Customers whose stack is to be removed are looked at when it is time.
    fn want_gone(&mut self) {
        for (key, due) in self.gone() {
            self.want_when_due(&key, due);
        }
    }

    fn want_when_due(&mut self, key: &str, due: jiff::Timestamp) {
        let now = self.reconciler.recorder.now();
        let wait = Duration::try_from(due.duration_since(now)).unwrap_or_default();
        // Looked at too early, it would only be read again.
        if let Some(at) = Instant::now().checked_add(wait + Duration::from_millis(1)) {
            self.want(key, Trigger::Spec, at);
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
            Wake::Files(files) => {
                let read = self.specs.read_touched(&files, self.reconciler.recorder.now());
                self.take_specs(read, Trigger::Spec, wakeups).await;
            }
            Wake::Pushed => {
                let _ = self.specs.poke();
                self.read_specs(Trigger::Spec, wakeups).await;
            }
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
            Wake::Manual(customer) => self.asked(customer, false, wakeups).await,
            Wake::Prune(customer) => self.asked(customer, true, wakeups).await,
            Wake::Hangup => self.asked(None, false, wakeups).await,
        }
    }

    /// The customer that has this service. There is no `_` in a customer's name.
    fn owner(&self, service_name: &str) -> Option<String> {
        let (name, key) = service_name.split_once('_')?;
        let customer = self.specs.get(name)?;
        customer.services.contains_key(key).then(|| customer.name.clone())
    }

    fn forget(&mut self, key: &str) {
        self.queue.remove(&key.to_owned());
        self.wanted.remove(key);
        self.permits.end(key);
        self.retries.succeeded(key);
        self.conflicts.remove(key);
        self.lanes.forget(key);
        self.observer.forget(key);
        self.reconciler.snapshots.set_rolling(key, BTreeSet::new());
        if let Ok(mut conditions) = self.reconciler.conditions.lock() {
            conditions.forget(Some(key));
        }
    }

    async fn tell(&self, trigger: Trigger, kind: Kind, reason: Reason, message: &str) {
        let about = About { customer: None, trigger, revision: None };
        self.reconciler.recorder.tell(vec![about.event(kind, reason, None, message)]).await;
    }
}

/// For ever, if there is no such time.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

async fn pass(reconciler: Arc<Reconciler>, key: String, begun: Instant, request: Request) -> Done {
    let result = reconciler.reconcile(&request).await;
    (key, begun, begun.elapsed(), result)
}
