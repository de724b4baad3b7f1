//! The clients that commands work with, made from the configuration: the wiring of skep.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures::StreamExt;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::apply::{Applier, RefusedWrites};
use crate::config::Config;
use crate::controller::orders::Orders;
use crate::controller::resolve::Resolver;
use crate::controller::specs::{self, Read, Sealing, Specs};
use crate::controller::{
    Contests, Jitter, Reconciler, RemovedObjects, Request, Settler, Snapshots, add_predefined, is_condition,
    plan_only,
};
use crate::events::{self, Clock, Conditions, Event, EventObserver, Filter, Log, Options, Recorder, Trigger};
use crate::memory::{Disk, Memory, Mode};
use crate::plan::prune::Inventory;
use crate::plan::{Plan, Waiting, service_name};
use crate::registry::{self, Registry};
use crate::source::git::{self, Tree};
use crate::spec::{ContentKey, Customer};
use crate::state::{ObservedState, WaitingReason};
use crate::state_dir::{Lock, StateDir};
use crate::swarm::{self, Scope, Swarm};

/// How old an answer of a registry may be in a command: each is asked once a process.
const ONCE_A_PROCESS: Duration = Duration::from_secs(24 * 3600);

/// Who counts calls and events.
#[derive(Clone)]
pub struct Observers {
    pub swarm: swarm::Observer,
    pub registry: registry::Observer,
    pub events: EventObserver,
}

impl Default for Observers {
    /// Counts nothing.
    fn default() -> Self {
        Self { swarm: Arc::new(|_, _| {}), registry: Arc::new(|_, _, _| {}), events: Arc::new(|_, _| {}) }
    }
}

/// The outside worlds.
#[derive(Clone)]
pub struct Clients {
    pub swarm: Arc<dyn Swarm>,
    pub registry: Arc<dyn Registry>,
}

impl Clients {
    /// Those that the configuration names.
    ///
    /// # Errors
    /// Configuration that cannot be carried out.
    pub fn new(config: &Config, observers: &Observers) -> anyhow::Result<Self> {
        let endpoint = swarm::Endpoint::new(&config.docker).map_err(|message| anyhow!(message))?;
        Ok(Self {
            swarm: Arc::new(swarm::Client::new(endpoint, Arc::clone(&observers.swarm))),
            registry: registry_client(config, Arc::clone(&observers.registry)),
        })
    }
}

/// The outside worlds, and what skep remembers.
pub struct Session {
    pub swarm: Arc<dyn Swarm>,
    pub registry: Arc<dyn Registry>,
    pub memory: Arc<dyn Memory>,
    pub resolver: Arc<Resolver>,
    pub rollout_timeout: Duration,
    /// How old an answer of a registry may be.
    pub max_age: Duration,
}

/// The specs that a command is about, and those it cannot be about.
pub struct Chosen {
    pub customers: Vec<Arc<Customer>>,
    /// Customers whose spec has errors, with the first of them.
    pub invalid: Vec<(String, String)>,
    /// Those of them whose last good spec is kept in the state directory: `skep run` goes by that.
    pub kept: BTreeSet<String>,
    /// Customers whose file is gone, but whose stack is not.
    pub gone: Vec<Arc<Customer>>,
    /// What all the specs say about removal.
    pub inventory: Arc<Inventory>,
    /// What was fetched for it, where specs come from git.
    pub fetched: Option<Arc<Tree>>,
    pub revision: Option<String>,
}

impl Session {
    /// For commands that only look: memory is read, never written.
    ///
    /// # Errors
    /// Configuration that cannot be carried out, a state directory that cannot be read.
    pub fn read_only(config: &Config) -> anyhow::Result<Self> {
        Self::new(config, read_memory(config)?, &Observers::default())
    }

    /// The same clients, with the memory as it is on disk now: a controller that runs
    /// meanwhile writes it.
    ///
    /// # Errors
    /// When the state directory cannot be read.
    pub fn refreshed(&self, config: &Config) -> anyhow::Result<Self> {
        let memory = read_memory(config)?;
        Ok(Self {
            swarm: Arc::clone(&self.swarm),
            registry: Arc::clone(&self.registry),
            resolver: Arc::new(Resolver::new(Arc::clone(&self.registry), Arc::clone(&memory))),
            memory,
            ..*self
        })
    }

    /// With the memory given.
    ///
    /// # Errors
    /// Configuration that cannot be carried out.
    pub fn new(config: &Config, memory: Arc<dyn Memory>, observers: &Observers) -> anyhow::Result<Self> {
        Ok(Self::with_clients(Clients::new(config, observers)?, memory, config.rollout_timeout))
    }

    /// With clients that are there already, whatever they talk to.
    pub fn with_clients(clients: Clients, memory: Arc<dyn Memory>, rollout_timeout: Duration) -> Self {
        let Clients { swarm, registry } = clients;
        let resolver = Arc::new(Resolver::new(Arc::clone(&registry), Arc::clone(&memory)));
        Self { swarm, registry, memory, resolver, rollout_timeout, max_age: ONCE_A_PROCESS }
    }

    /// The Swarm as it is now.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn observe(&self) -> anyhow::Result<ObservedState> {
        Ok(self.swarm.look(Scope::Whole, Vec::new()).await?.whole()?)
    }

    /// The Swarm as it is now; the tag lists that the customers need are asked for meanwhile.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn observe_for(&self, customers: &[Arc<Customer>]) -> anyhow::Result<ObservedState> {
        let mut rolling = Vec::new();
        for customer in customers {
            self.resolver.prefetch(customer, self.max_age);
            let names = customer.services.keys().map(|key| service_name(&customer.name, key));
            rolling.extend(names.filter(|name| self.memory.service(name).rollout.is_some()));
        }
        // What rolls is looked at in detail, so that failures can be named.
        let mut observed = self.swarm.look(Scope::Whole, rolling).await?.whole()?;
        for customer in customers {
            observed = add_predefined(self.swarm.as_ref(), customer, observed).await?;
        }
        Ok(observed)
    }

    /// What is to be done for these customers, a bounded number of them at once.
    pub async fn plan_all(&self, chosen: &Chosen, observed: &ObservedState, concurrency: usize) -> Vec<Plan> {
        let inventory = &chosen.inventory;
        let plans = chosen
            .customers
            .iter()
            .chain(&chosen.gone)
            .map(|customer| self.plan(customer, inventory, observed));
        futures::stream::iter(plans).buffer_unordered(concurrency).collect().await
    }

    /// What `apply` would do for one customer.
    pub async fn plan(
        &self,
        customer: &Arc<Customer>,
        inventory: &Arc<Inventory>,
        observed: &ObservedState,
    ) -> Plan {
        let (inventory, max_age) = (Arc::clone(inventory), self.max_age);
        let request = Request { max_age, inventory, ..request(customer, Trigger::Manual) };
        plan_only(&self.resolver, self.rollout_timeout, &request, observed, Timestamp::now()).await
    }
}

fn read_memory(config: &Config) -> anyhow::Result<Arc<dyn Memory>> {
    let memory = Disk::open(&config.state_dir.join("memory"), Mode::ReadOnly)
        .with_context(|| format!("cannot read the state directory {}", config.state_dir.display()))?;
    Ok(Arc::new(memory))
}

pub(super) fn registry_client(config: &Config, calls: registry::Observer) -> Arc<dyn Registry> {
    let options = registry::Options { observer: Some(calls), ..registry::Options::default() };
    Arc::new(registry::Client::new(&config.registries, options))
}

/// A request to look at a customer now; registries are asked once a process, and nothing is removed.
pub fn request(customer: &Arc<Customer>, trigger: Trigger) -> Request {
    Request {
        customer: Arc::clone(customer),
        revision: None,
        trigger,
        since: Instant::now(),
        max_age: ONCE_A_PROCESS,
        inventory: Arc::default(),
        alone: false,
    }
}

/// What writing commands have besides: the lock, the log, the reconciler.
pub struct Writer {
    pub session: Session,
    pub reconciler: Arc<Reconciler>,
    /// How specs are read that are to be carried out.
    pub sealing: Sealing,
    /// Held as long as this lives.
    lock: Option<Lock>,
}

/// What a [`Writer`] is made of.
pub struct Parts {
    pub clients: Clients,
    pub memory: Arc<dyn Memory>,
    pub log: Arc<Log>,
    /// The intents in the log that have no outcome.
    pub open: Vec<Event>,
    /// What the log says that still holds.
    pub conditions: Conditions,
    /// Stamps the events.
    pub clock: Clock,
    pub observer: EventObserver,
    pub rollout_timeout: Duration,
    /// Names secrets and configs by what they hold.
    pub content_key: ContentKey,
    /// On the directory of the memory and the log, if they are on disk.
    pub lock: Option<Lock>,
    /// Spreads delays.
    pub jitter: Jitter,
}

impl Parts {
    /// Takes the lock on the state directory, and opens what is in it for writing.
    ///
    /// # Errors
    /// When another skep holds the lock, or the state directory cannot be written.
    pub fn open(
        config: &Config,
        clients: Clients,
        clock: Clock,
        observer: EventObserver,
    ) -> anyhow::Result<Self> {
        let dir = StateDir::open(&config.state_dir)?;
        let lock = dir.lock()?;
        let memory = Disk::open(&dir.memory(), Mode::ReadWrite)
            .with_context(|| format!("cannot open the memory in {}", config.state_dir.display()))?;
        let options = Options { max_bytes: config.events_max_bytes, keep: config.events_keep };
        let log = Log::open(&dir.events(), options)
            .with_context(|| format!("cannot open the event log in {}", dir.events().display()))?;
        Ok(Self {
            clients,
            memory: Arc::new(memory),
            open: log.open_intents(),
            log: Arc::new(log),
            conditions: standing_conditions(&dir.events()),
            clock,
            observer,
            rollout_timeout: config.rollout_timeout,
            content_key: dir
                .content_key()
                .with_context(|| format!("cannot use the key in {}", config.state_dir.display()))?,
            lock: Some(lock),
            jitter: Jitter::default(),
        })
    }
}

impl Writer {
    /// Takes the lock on the state directory and opens everything for writing.
    ///
    /// # Errors
    /// When another skep holds the lock, or the state directory cannot be written.
    pub fn open(config: &Config, observers: &Observers) -> anyhow::Result<Self> {
        let clients = Clients::new(config, observers)?;
        let clock: Clock = Arc::new(Timestamp::now);
        Ok(Self::new(Parts::open(config, clients, clock, Arc::clone(&observers.events))?))
    }

    pub fn new(parts: Parts) -> Self {
        let Parts { clients, memory, log, open, conditions, clock, observer, .. } = parts;
        let Parts { rollout_timeout, content_key, lock, jitter, .. } = parts;
        let session = Session::with_clients(clients, Arc::clone(&memory), rollout_timeout);
        let recorder = Recorder::new(log, clock, observer, open);
        let settler = Settler {
            memory: Arc::clone(&memory),
            recorder: recorder.clone(),
            rollout_timeout,
            removed: RemovedObjects::default(),
        };
        let applier = Applier {
            swarm: Arc::clone(&session.swarm),
            registry: Arc::clone(&session.registry),
            memory,
            recorder: recorder.clone(),
            refused: RefusedWrites::default(),
        };
        let reconciler = Arc::new(Reconciler {
            snapshots: Arc::new(Snapshots::new(Arc::clone(&session.swarm))),
            resolver: Arc::clone(&session.resolver),
            applier,
            settler,
            recorder,
            conditions: Mutex::new(conditions),
            orders: Orders::default(),
            contests: Contests::new(jitter),
        });
        Self { session, reconciler, sealing: Sealing::controller(content_key), lock }
    }

    /// Tells other processes where the API of this one is, as long as this lives.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn tell_api(&self, url: &str) -> std::io::Result<()> {
        self.lock.as_ref().map_or(Ok(()), |lock| lock.tell_api(url))
    }
}

/// How far back a condition may have begun that still stands after a restart.
const RESTORED_EVENTS_MAX: usize = 2_000;

/// What was told before a restart and may still hold, so that it is not told again.
pub fn standing_conditions(events: &std::path::Path) -> Conditions {
    let filter = Filter { last: Some(RESTORED_EVENTS_MAX), ..Filter::default() };
    let lines = match events::read(events, &filter) {
        Ok(lines) => lines.filter_map(|line| line.ok()?.event).collect::<Vec<_>>(),
        Err(error) => {
            tracing::warn!(%error, "cannot read which conditions stood when skep last ended");
            Vec::new()
        }
    };
    let mut conditions = Conditions::default();
    conditions.restore(&lines, is_condition);
    conditions
}

/// Reads the specs and chooses the customers named, or all.
///
/// # Errors
/// When the directory cannot be read, or a name is of no customer.
pub fn choose(config: &Config, names: &[String]) -> anyhow::Result<Chosen> {
    choose_as(config, names, &Sealing::visitor(&config.state_dir))
}

/// As `choose`, for those who carry the specs out.
///
/// # Errors
/// As `choose`.
pub fn choose_as(config: &Config, names: &[String], sealing: &Sealing) -> anyhow::Result<Chosen> {
    choose_from(specs::read_configured(config, sealing)?, config, names, sealing)
}

/// As `choose_as`, but fetches the newest commit first where specs come from git; `into_state`
/// when the lock on the state directory is held, else beside it.
///
/// # Errors
/// As `choose`, and when it cannot be fetched or is refused.
pub fn choose_newest(
    config: &Config,
    names: &[String],
    into_state: bool,
    sealing: &Sealing,
) -> anyhow::Result<Chosen> {
    let Some(git) = &config.git else { return choose_as(config, names, sealing) };
    let tree = if into_state { git::fetch(git, &config.state_dir)? } else { git::look(git)? };
    let tree = Arc::new(tree);
    let read = specs::read_tree(&tree, sealing, &specs::Owners::of(&config.state_dir));
    Ok(Chosen { fetched: Some(tree), ..choose_from(read, config, names, sealing)? })
}

fn choose_from(read: Read, config: &Config, names: &[String], sealing: &Sealing) -> anyhow::Result<Chosen> {
    let invalid = read.invalid.clone();
    let revision = read.revision.as_ref().map(|revision| revision.commit.clone());
    let mut specs = Specs::new(&config.specs_dir, Some(&config.state_dir), sealing.clone());
    specs.look(read, Timestamp::now());
    let inventory = Arc::clone(specs.inventory());
    for name in names {
        let is_known = invalid.contains_key(name) || inventory.gone.contains_key(name);
        if !is_known && specs.get(name).is_none() {
            let customers = specs.customers().map(|customer| customer.name.as_str());
            let known: Vec<&str> = customers.chain(invalid.keys().map(String::as_str)).collect();
            let nearest = crate::text::nearest(name, known.iter().copied());
            let hint = nearest.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            let place =
                config.git.as_ref().map_or(config.specs_dir.display().to_string(), |git| git.shown_url());
            bail!("no customer {name:?} in {place}{hint}");
        }
    }
    let kept = invalid.keys().filter(|name| specs.keeps_last_good(name)).cloned().collect();
    let wanted = |name: &String| names.is_empty() || names.contains(name);
    Ok(Chosen {
        customers: specs.customers().filter(|customer| wanted(&customer.name)).cloned().collect(),
        gone: inventory.gone.keys().filter(|name| wanted(name)).map(|name| without_file(name)).collect(),
        invalid: invalid.into_iter().filter(|(name, _)| wanted(name)).collect(),
        kept,
        inventory,
        fetched: None,
        revision,
    })
}

fn without_file(name: &str) -> Arc<Customer> {
    Arc::new(Customer::without_file(name))
}

/// Floating tags looked up for the sake of an error message.
const DIGESTS_COMPLETED_MAX: usize = 16;
/// An error message is not worth waiting longer for.
const DIGEST_WITHIN: Duration = Duration::from_secs(3);

/// Fills in the digest in errors about floating tags, so that the line can be pasted, where a
/// registry is in reach and says it in time.
pub async fn complete_digests(chosen: &mut Chosen, session: &Session) {
    for (_, message) in chosen.invalid.iter_mut().take(DIGESTS_COMPLETED_MAX) {
        let Some(image) = floating_image(message) else { continue };
        let Some(tag) = image.tag.as_deref() else { continue };
        let asked = session.registry.digest(&image.repository, tag, Duration::MAX);
        if let Ok(Ok(digest)) = tokio::time::timeout(DIGEST_WITHIN, asked).await {
            *message = message.replacen("@sha256:…", &format!("@{digest}"), 1);
        }
    }
}

/// The image before the place that the digest is to take.
fn floating_image(message: &str) -> Option<crate::image::ImageRef> {
    let (before, _) = message.split_once("@sha256:…")?;
    before.rsplit('`').next()?.parse().ok()
}

/// The plan of a customer whose spec has errors: nothing, and why.
pub fn invalid_plan(name: &str, message: &str) -> Plan {
    let waiting =
        Waiting { service: String::new(), reason: WaitingReason::SpecInvalid, message: message.to_owned() };
    Plan { customer: name.to_owned(), waiting: vec![waiting], ..Plan::default() }
}
