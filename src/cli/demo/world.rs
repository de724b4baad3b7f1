//! The world of a demo: an embedded Swarm behind a unix socket, an embedded registry behind a
//! TCP port of the loopback interface, and the files that tell skep of them.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::task::JoinHandle;

use super::fleet::{self, API, CACHE, FRONTEND, LATEST, OLD_LATEST, Setting};
use super::narrator::Container;
use super::person::{self, Deployed, Login};
use super::place::Place;
use crate::config::{Config, Flags, Sources};
use crate::sim::engine::orchestrate::Timing;
use crate::sim::engine::state::{State, Task, TaskState};
use crate::sim::engine::{Behaviour, Engine, HostOptions, Options, Pulled, Role};
use crate::sim::registry::{Auth, ImageSpec, Options as RegistryOptions, Registry};
use crate::sim::wire::{Server, Tap, serve_tcp, serve_unix};

/// How long Swarm watches new tasks, at speed 1.
const MONITOR: Duration = Duration::from_secs(1);
/// How long a broken version runs, at speed 1.
const BREAKS_AFTER: Duration = Duration::from_millis(300);
/// How often skep asks the registry, at speed 1.
const POLL: Duration = Duration::from_millis(700);
const POLL_MIN: Duration = Duration::from_millis(200);
/// How long a customer's release freeze still lasts.
const FREEZE: Duration = Duration::from_secs(30 * 24 * 3600);
const HOSTS: &[&str] = &["host-1", "host-2", "host-3"];
pub(super) const USER: &str = "demo";

pub(super) struct World {
    /// What skep is told, by the files of the demo.
    pub(super) config: Config,
    /// `host:port` of the registry.
    pub(super) address: String,
    pub(super) speed: f64,
    setting: Setting,
    engine: Engine,
    registry: Registry,
    tap: Tap,
    engine_task: JoinHandle<()>,
    _engine_server: Server,
    registry_server: Option<Server>,
}

impl World {
    /// Makes the files and starts the servers. What runs by hand is there already.
    ///
    /// # Errors
    /// When a file cannot be written, or nothing can listen.
    pub(super) async fn start(place: &Place, speed: f64) -> anyhow::Result<Self> {
        let password = uuid::Uuid::now_v7().simple().to_string();
        let tap = Tap::default();
        let registry = Registry::new(RegistryOptions {
            auth: Auth::Basic { user: USER.to_owned(), password: password.clone() },
            epoch: Timestamp::now(),
            ..RegistryOptions::default()
        });
        let server = serve_tcp("127.0.0.1:0", Arc::new(registry.clone())).await;
        let server = server.context("cannot listen on the loopback interface")?;
        let address = server.address().to_owned();
        let engine = Engine::new(swarm(speed), Arc::new(registry.clone()));
        let engine_server =
            serve_unix(&place.socket(), Arc::new(tap.wire("engine", Arc::new(engine.clone()))));
        let engine_server =
            engine_server.with_context(|| format!("cannot listen on {}", place.socket().display()))?;
        let moving = engine.clone();
        let engine_task = tokio::spawn(async move { moving.run().await });
        let config = write_config(place, &address, &password)?;
        let config = Config { poll_registry: POLL.div_f64(speed).clamp(POLL_MIN, POLL), ..config };
        let setting = Setting {
            registry: address.clone(),
            monitor: MONITOR.div_f64(speed),
            freeze: Timestamp::now() + FREEZE,
        };
        let world = Self {
            config,
            address,
            speed,
            setting,
            engine,
            registry,
            tap,
            engine_task,
            _engine_server: engine_server,
            registry_server: Some(server),
        };
        for (repository, tag) in fleet::IMAGES {
            world.push(repository, tag)?;
        }
        world.push_as(FRONTEND, LATEST, "1.4.2")?;
        world.warm_hosts()?;
        world.deploy_initech(&password).await?;
        Ok(world)
    }

    /// Each host has had a `latest` since long before skep came.
    fn warm_hosts(&self) -> anyhow::Result<()> {
        let reference = self.reference(FRONTEND, LATEST);
        let old = self.image(FRONTEND, OLD_LATEST)?;
        self.engine.with(|state| {
            for node in state.nodes.values_mut() {
                node.images.insert(old.digest.clone(), old.clone());
                node.images.insert(reference.clone(), old.clone());
            }
        });
        Ok(())
    }

    /// The stack that initech had before skep came.
    async fn deploy_initech(&self, password: &str) -> anyhow::Result<()> {
        let service = |key, repository, tag, replicas| -> anyhow::Result<Deployed<'_>> {
            let image =
                format!("{}@{}", self.reference(repository, tag), self.image(repository, tag)?.digest);
            Ok(Deployed { key, image, replicas })
        };
        let services = [
            service("frontend", FRONTEND, "1.4.1", 2)?,
            service("api", API, "2.4.3", 2)?,
            service("cache", CACHE, "7.4.1-alpine", 1)?,
        ];
        person::stack_deploy(&self.engine, "initech", &services, &Login::In(password)).await
    }

    /// # Errors
    /// When the directory cannot be written.
    pub(super) fn write_specs(&self, wanted: impl Fn(&str) -> bool) -> anyhow::Result<()> {
        let dir = &self.config.specs_dir;
        fleet::write_specs(dir, &self.setting, wanted)
            .with_context(|| format!("cannot write the specs in {}", dir.display()))
    }

    /// A spec as it stands in its file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read_spec(&self, path: &str) -> anyhow::Result<String> {
        let path = self.config.specs_dir.join(path);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Pushes a version under its own tag; the reference to it.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub(super) fn push(&self, repository: &str, version: &str) -> anyhow::Result<String> {
        self.push_as(repository, version, version)
    }

    /// Pushes a version under some tag.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub(super) fn push_as(&self, repository: &str, tag: &str, version: &str) -> anyhow::Result<String> {
        self.registry.push(repository, tag, &ImageSpec::new(&fleet::says(repository, version)))?;
        Ok(self.reference(repository, tag))
    }

    /// Pushes a version that ends with an error soon after it starts.
    ///
    /// # Errors
    /// When the registry refuses it.
    pub(super) fn push_broken(&self, repository: &str, version: &str) -> anyhow::Result<String> {
        let broken = Behaviour::Exits { after: BREAKS_AFTER.div_f64(self.speed), code: 1 };
        let image = ImageSpec { behaviour: broken, ..ImageSpec::new(&fleet::says(repository, version)) };
        self.registry.push(repository, version, &image)?;
        Ok(self.reference(repository, version))
    }

    /// What nodes get when they may pull it.
    fn image(&self, repository: &str, tag: &str) -> anyhow::Result<Pulled> {
        self.registry.image(repository, tag).with_context(|| format!("no {repository}:{tag}"))
    }

    /// The whole name of an image.
    pub(super) fn reference(&self, repository: &str, tag: &str) -> String {
        format!("{}/{repository}:{tag}", self.address)
    }

    /// Somebody who is not logged in to the registry gives a service another image.
    ///
    /// # Errors
    /// When the engine refuses it.
    pub(super) async fn update_by_hand(&self, service: &str, image: &str) -> anyhow::Result<()> {
        person::service_update(&self.engine, service, image, &Login::Out).await
    }

    /// The containers that run and are to run.
    pub(super) fn containers(&self) -> Vec<Container> {
        let running = |task: &&Task| task.state == TaskState::Running && task.desired == TaskState::Running;
        let container = |state: &State, task: &Task| {
            let image = task.image.as_ref()?;
            Some(Container {
                service: state.services.get(&task.service)?.name().to_owned(),
                slot: task.slot.unwrap_or_default(),
                host: state.nodes.get(task.node.as_ref()?)?.hostname.clone(),
                says: image.says.clone(),
                digest: image.digest.clone(),
            })
        };
        let mut containers: Vec<Container> = self.engine.with(|state| {
            state.tasks.values().filter(running).filter_map(|task| container(state, task)).collect()
        });
        containers.sort();
        containers
    }

    /// What Swarm says of a service's last update, as `docker service inspect` shows it.
    pub(super) fn update_state(&self, service: &str) -> &'static str {
        self.engine.with(|state| {
            let update = state.find_service(service).and_then(|service| service.update.as_ref());
            update.map_or("", |update| update.state)
        })
    }

    /// How many calls of skep's asked the engine to change something.
    pub(super) fn writes(&self) -> usize {
        self.tap.exchanges().iter().filter(|exchange| exchange.method == http::Method::POST).count()
    }

    /// Nobody listens at the registry's address any more.
    pub(super) fn registry_down(&mut self) {
        self.registry_server = None;
    }

    /// # Errors
    /// When somebody else has taken its address meanwhile.
    pub(super) async fn registry_up(&mut self) -> anyhow::Result<()> {
        let server = serve_tcp(&self.address, Arc::new(self.registry.clone())).await;
        self.registry_server =
            Some(server.with_context(|| format!("cannot listen on {} again", self.address))?);
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.engine_task.abort();
    }
}

/// Twice as fast as measured on a real Swarm, at speed 1.
fn swarm(speed: f64) -> Options {
    let faster = |real: Duration| real.div_f64(2.0 * speed);
    let real = Timing::real();
    let timing = Timing {
        allocate: faster(real.allocate),
        schedule: faster(real.schedule),
        report: faster(real.report),
        pull: faster(real.pull),
        start: faster(real.start),
        stop: faster(real.stop),
        unhealthy: faster(real.unhealthy),
        reap: faster(real.reap),
        ..real
    };
    let role = |at| if at == 0 { Role::Manager } else { Role::Worker };
    let hosts = HOSTS.iter().enumerate().map(|(at, name)| HostOptions::new(name, role(at)));
    Options { epoch: Timestamp::now(), hosts: hosts.collect(), timing, ..Options::default() }
}

/// Writes what `skep --config` reads, and reads it as `skep` does.
fn write_config(place: &Place, address: &str, password: &str) -> anyhow::Result<Config> {
    let text = format!(
        "[docker]\nhost = {}\n\n[source]\ndir = \"specs\"\n\n[state]\ndir = \"state\"\n\n\
         [registries.\"{address}\"]\nusername = \"{USER}\"\npassword_file = \"registry-password\"\n\n\
         [poll]\nregistry = \"2s\"\nresync = \"30s\"\n",
        toml::Value::from(format!("unix://{}", place.socket().display()))
    );
    let write = || -> std::io::Result<()> {
        fs::create_dir(place.specs())?;
        let mut secret =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(place.password())?;
        std::io::Write::write_all(&mut secret, password.as_bytes())?;
        fs::write(place.config(), text)
    };
    write().with_context(|| format!("cannot write in {}", place.path().display()))?;
    Ok(Config::load(&Sources::new(Some(place.config()), [], Flags::default()))?)
}
