//! One incarnation of skep: the production controller with the production clients, wired as
//! `skep run` wires it, over connections of its own.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::future::BoxFuture;
use skep::cli::session::{Clients, Parts, Writer, standing_conditions};
use skep::config::RegistryConfig;
use skep::controller::specs::Sealing;
use skep::controller::{Controller, Jitter, Observer, Report, Settings, Specs, SpecsRead, Wakeups, wakeups};
use skep::events::{Conditions, Log, Options};
use skep::memory::{Disk, Memory, Mode};
use skep::sim::wire::{Hosts, Memory as Server};
use skep::spec::ContentKey;
use skep::state_dir::StateDir;
use skep::swarm::SwarmError;
use skep::{registry, swarm};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::bugs::{Bug, BuggyMemory, BuggyRegistry, BuggySwarm};
use crate::hooks::Carrier;
use crate::shown::Shown;
use crate::world::{OTHER_HOST, POLL, REGISTRY_HOST, RESYNC, ROLLOUT_TIMEOUT, World};

pub struct Skep {
    task: JoinHandle<()>,
    /// The far ends of its connections, which end with it.
    servers: [Arc<Server>; 2],
    hooks: Option<Arc<Carrier>>,
    disk: Arc<crate::disk::Disk>,
}

impl Skep {
    /// Starts on the world's state directory.
    pub fn start(world: &World) -> Self {
        let servers = world.servers();
        let [swarm_server, registry_server] = &servers;
        let hosts = Hosts::default();
        hosts.insert(REGISTRY_HOST, registry_server.dialer());
        hosts.insert(OTHER_HOST, registry_server.dialer());
        let endpoint = swarm::Endpoint::Memory(swarm_server.dialer());
        let clients = Clients {
            swarm: Arc::new(swarm::Client::new(endpoint, Arc::new(|_, _| {}))),
            registry: Arc::new(registry::Client::new(
                &registries(world),
                registry::Options {
                    docker_config: None,
                    dial: Some(hosts.dial()),
                    ..registry::Options::default()
                },
            )),
        };
        let task = tokio::spawn(run(world, with_bug(world, clients)));
        Self { task, servers, hooks: world.hooks.clone(), disk: Arc::clone(&world.disk) }
    }

    /// `kill -9`: nothing of it goes on.
    pub async fn kill(self) {
        if let Some(hooks) = &self.hooks {
            hooks.hang_up();
        }
        self.task.abort();
        self.disk.unmount();
        self.servers.iter().for_each(|server| server.close());
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "skep ended by itself");
    }

    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

fn with_bug(world: &World, clients: Clients) -> Clients {
    let Some(bug) = world.bug else { return clients };
    let Clients { swarm, registry } = clients;
    let (lists, digests) = (Mutex::default(), Mutex::default());
    Clients {
        swarm: Arc::new(BuggySwarm {
            swarm,
            engine: world.engine.clone(),
            bug,
            failed: AtomicBool::new(false),
        }),
        registry: Arc::new(BuggyRegistry { registry, bug, lists, digests }),
    }
}

fn registries(world: &World) -> BTreeMap<String, RegistryConfig> {
    let config = match world.password_file() {
        None => RegistryConfig { plain_http: Some(true), ..RegistryConfig::default() },
        Some(file) => RegistryConfig {
            plain_http: Some(true),
            username: Some("ci".to_owned()),
            password_file: Some(file),
            ..RegistryConfig::default()
        },
    };
    let other = RegistryConfig { plain_http: Some(true), ..RegistryConfig::default() };
    BTreeMap::from([(REGISTRY_HOST.to_owned(), config), (OTHER_HOST.to_owned(), other)])
}

/// The same in every run, so that a seed gives the same trace.
fn content_key() -> ContentKey {
    ContentKey::new([7; ContentKey::BYTES])
}

fn run(world: &World, clients: Clients) -> BoxFuture<'static, ()> {
    let dir = StateDir::open(&world.state_dir()).unwrap();
    let disk = world.mount();
    let lock = dir.lock().expect("the incarnation before holds nothing any more");
    let keep = if world.bug == Some(Bug::SegmentsLost) { 0 } else { 64 };
    let options = Options { max_bytes: world.log_bytes(), keep };
    let Ok(log) = Log::on(Arc::clone(&disk), &dir.events(), options) else { return dead() };
    let Ok(memory) = Disk::on(disk, &dir.memory(), Mode::ReadWrite) else { return dead() };
    let mut memory: Arc<dyn Memory> = Arc::new(memory);
    if let Some(bug) = world.bug {
        memory = Arc::new(BuggyMemory { memory, bug, lost: Mutex::default() });
    }
    let forgets = |bug| world.bug == Some(bug);
    let open = if forgets(Bug::IntentsForgotten) { Vec::new() } else { log.open_intents() };
    let conditions = match forgets(Bug::ConditionsForgotten) {
        true => Conditions::default(),
        false => standing_conditions(&dir.events()),
    };
    let jitter = Jitter::seeded(1);
    let writer = Writer::new(Parts {
        clients,
        memory,
        open,
        log: Arc::new(log),
        conditions,
        clock: world.clock(),
        observer: Arc::new(|_, _| {}),
        rollout_timeout: ROLLOUT_TIMEOUT,
        content_key: content_key(),
        lock: Some(lock),
        jitter: jitter.clone(),
    });
    let specs = Specs::new(&world.specs_dir(), Some(&world.state_dir()), Sealing::controller(content_key()));
    let files = world.file_changes().boxed();
    let hooks = world.hooks.clone();
    let observer: Arc<dyn Observer> = match world.canaries().is_empty() {
        true => Arc::new(Unwatched),
        false => Arc::new(Shown::new(world.shown.clone())),
    };
    Box::pin(async move {
        let wakeups = Wakeups::start(wakeups::Sources {
            files,
            swarm: Arc::clone(&writer.session.swarm),
            registry: Arc::clone(&writer.session.registry),
            watched: writer.session.resolver.watched.clone(),
            poll_registry: POLL,
            resync: RESYNC,
            jitter: jitter.clone(),
            hangup: Arc::new(Notify::new()),
        });
        if let Some(hooks) = hooks {
            hooks.serve(wakeups.poke());
        }
        let settings = Settings { concurrency: 8, poll_registry: POLL, resync: RESYNC, jitter };
        let controller = Controller::new(Arc::clone(&writer.reconciler), specs, settings, observer);
        controller.run(wakeups, std::future::pending()).await;
    })
}

/// What died before it began.
fn dead() -> BoxFuture<'static, ()> {
    Box::pin(std::future::pending())
}

struct Unwatched;

impl Observer for Unwatched {
    fn pass(&self, _: &str, _: std::time::Duration, _: Result<&Report, &SwarmError>) {}
    fn queue_depth(&self, _: usize) {}
    fn specs_read(&self, _: Result<&SpecsRead, &str>) {}
    fn forget(&self, _: &str) {}
    fn heartbeat(&self) {}
}
