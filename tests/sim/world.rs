//! What outlives skep: a Swarm, a registry, the specs and the state directory.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::{FutureExt, Stream};
use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use skep::events::Clock;
use skep::files::Files;
use skep::sim::engine::{Behaviour, HostOptions, Options, Role, Timing};
use skep::sim::handler::Handler;
use skep::sim::registry::{Auth, ImageSpec, Misbehaviour};
use skep::sim::wire::{Memory as Server, Tap};
use skep::sim::{Engine, Registry, Request, registry};
use skep::source::Touched;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::bugs::Bug;
use crate::disk::Disk;
use crate::hooks::{self, Carrier, Way};
use crate::plan::{REGISTRY, SWARM};
use crate::shown::Text;
use crate::witness::{Noted, Witness, Witnessed};

/// The one registry.
pub const REGISTRY_HOST: &str = "registry.test:5000";
/// The same one by another name: to skep it is another registry.
pub const OTHER_HOST: &str = "other.test:5000";
/// How often skep asks the registry: less than people have it do, as all times here.
pub const POLL: Duration = Duration::from_secs(10);
pub const RESYNC: Duration = Duration::from_secs(30);
pub const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the clocks of the world begin.
const EPOCH: Timestamp = Timestamp::constant(1_795_000_000, 0);
/// Small enough that the log is rotated in each run.
const LOG_BYTES: u64 = 8 << 10;

pub struct World {
    pub engine: Engine,
    pub registry: Registry,
    pub witness: Arc<Witness>,
    pub tap: Tap,
    /// skep is to die now.
    pub crash: Arc<Notify>,
    /// Of the state directory.
    pub disk: Arc<Disk>,
    /// All that skep shows, if there is anything that it must not.
    pub shown: Text,
    dir: tempfile::TempDir,
    begun: Instant,
    /// The spec files that were written or removed.
    files: watch::Sender<BTreeSet<String>>,
    /// Refuse connections.
    down: Mutex<Vec<&'static str>>,
    /// The far ends of the connections of the skep that is alive.
    servers: Arc<Mutex<Option<[Arc<Server>; 2]>>>,
    canaries: Mutex<Vec<String>>,
    pushes: AtomicU64,
    /// What skep does wrong.
    pub bug: Option<Bug>,
    /// Tells skep of what is pushed; `None`: it has to find out.
    pub hooks: Option<Arc<Carrier>>,
    _door: Option<Server>,
}

pub fn epoch() -> Timestamp {
    EPOCH
}

impl World {
    /// A Swarm of three hosts, an empty registry (with a password, perhaps), no specs.
    pub fn new(password: Option<&str>, bug: Option<Bug>, way: Option<Way>) -> Self {
        let memory = PathBuf::from("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        for folder in ["specs/templates", "specs/eu", "specs/us", "state"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let auth = match password {
            None => Auth::None,
            Some(password) => Auth::Basic { user: "ci".to_owned(), password: password.to_owned() },
        };
        let hooks = way.map(Carrier::new);
        let (hook, door) = hooks.as_ref().map(Carrier::of_registry).unzip();
        let options =
            registry::Options { host: REGISTRY_HOST.to_owned(), auth, hook, ..registry::Options::default() };
        let registry = Registry::new(options);
        let hosts = vec![
            HostOptions::new("manager", Role::Manager),
            HostOptions::new("worker-1", Role::Worker),
            HostOptions::new("worker-2", Role::Worker),
        ];
        let timing = Timing { start: Duration::from_millis(100), ..Timing::fast() };
        let options = Options { epoch: EPOCH, hosts, timing, ..Options::default() };
        let engine = Engine::new(options, Arc::new(registry.clone()));
        let running = engine.clone();
        tokio::spawn(async move { running.run().await });
        let (tap, crash) = (Tap::default(), Arc::new(Notify::new()));
        let witness = Witness::new(engine.clone(), dir.path().join("state/events"));
        let dying = Arc::clone(&crash);
        tap.on_crash(Arc::new(move || dying.notify_one()));
        let interfering = Arc::clone(&witness);
        tap.on_conflict(Arc::new(move |request| interfering.interfere(request)));
        Self {
            engine,
            registry,
            witness,
            tap,
            crash,
            disk: Arc::default(),
            shown: Text::default(),
            dir,
            begun: Instant::now(),
            files: watch::Sender::default(),
            down: Mutex::default(),
            servers: Arc::default(),
            canaries: Mutex::new(
                password.into_iter().chain(way.map(|_| hooks::SECRET)).map(str::to_owned).collect(),
            ),
            pushes: AtomicU64::new(0),
            bug,
            hooks,
            _door: door,
        }
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn events_dir(&self) -> PathBuf {
        self.dir.path().join("state/events")
    }

    pub fn specs_dir(&self) -> PathBuf {
        self.dir.path().join("specs")
    }

    /// skep's clock.
    pub fn clock(&self) -> Clock {
        let begun = self.begun;
        Arc::new(move || EPOCH + jiff::SignedDuration::try_from(begun.elapsed()).unwrap())
    }

    pub fn log_bytes(&self) -> u64 {
        LOG_BYTES
    }

    /// Says that the specs changed, as the watcher of the directory does.
    pub fn file_changes(&self) -> impl Stream<Item = Touched> + Send + use<> {
        let seen = self.files.subscribe();
        futures::stream::unfold(seen, |mut seen| async move {
            seen.changed().await.ok()?;
            let files = seen.borrow_and_update().clone();
            Some((Touched::Files(files), seen))
        })
    }

    /// New far ends for an incarnation of skep.
    pub fn servers(&self) -> [Arc<Server>; 2] {
        let swarm = self.tap.wire(SWARM, Arc::new(Witnessed(Arc::clone(&self.witness))));
        let noted = Noted { registry: self.registry.clone(), witness: Arc::clone(&self.witness) };
        let registry = self.tap.wire(REGISTRY, Arc::new(noted));
        let servers = [Arc::new(Server::new(Arc::new(swarm))), Arc::new(Server::new(Arc::new(registry)))];
        *self.servers.lock().unwrap_or_else(PoisonError::into_inner) = Some(servers.clone());
        self.apply_down();
        servers
    }

    /// The file system for an incarnation of skep. When that dies at one of its calls, nothing of
    /// it reaches anybody any more.
    pub fn mount(&self) -> Arc<dyn Files> {
        let (servers, crash) = (Arc::clone(&self.servers), Arc::clone(&self.crash));
        self.disk.mount(Arc::new(move || {
            if let Some(servers) = &*servers.lock().unwrap_or_else(PoisonError::into_inner) {
                servers.iter().for_each(|server| server.close());
            }
            crash.notify_one();
        }))
    }

    fn apply_down(&self) {
        let down = self.down.lock().unwrap_or_else(PoisonError::into_inner);
        let servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(servers) = &*servers else { return };
        for (name, server) in [SWARM, REGISTRY].iter().zip(servers) {
            if down.contains(name) { server.close() } else { server.open() }
        }
    }

    /// Grows when something is written to the state directory.
    pub fn events_length(&self) -> u64 {
        let entries = std::fs::read_dir(self.events_dir()).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.metadata().ok()).map(|file| file.len()).sum()
    }

    pub fn has_open_intents(&self) -> bool {
        skep::events::open_intents(&self.events_dir()).is_ok_and(|open| !open.is_empty())
    }

    pub fn canaries(&self) -> Vec<String> {
        self.canaries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn password_file(&self) -> Option<PathBuf> {
        let file = self.dir.path().join("password");
        file.is_file().then_some(file)
    }
}

/// What scenarios do.
impl World {
    pub fn spec(&self, file: &str, text: &str) {
        let path = self.specs_dir().join(file);
        let new = path.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(&new, path).unwrap();
        if !file.ends_with(".toml") {
            // What a secret or config holds.
            self.canary(text);
        }
        self.touch(file);
    }

    /// The whole specs directory is out of reach.
    pub fn specs_away(&self, away: bool) {
        let (there, elsewhere) = (self.specs_dir(), self.dir.path().join("elsewhere"));
        let (from, to) = if away { (there, elsewhere) } else { (elsewhere, there) };
        std::fs::rename(from, to).unwrap();
        self.files.send_modify(|_| {});
    }

    pub fn remove_spec(&self, file: &str) {
        std::fs::remove_file(self.specs_dir().join(file)).unwrap();
        self.touch(file);
    }

    fn touch(&self, file: &str) {
        self.files.send_modify(|files| {
            files.insert(file.to_owned());
        });
        if let Some(hooks) = &self.hooks {
            hooks.specs_pushed();
        }
    }

    pub fn push(&self, repository: &str, tag: &str) {
        self.push_behaving(repository, tag, Behaviour::Runs);
    }

    /// Always new content.
    fn push_behaving(&self, repository: &str, tag: &str, behaviour: Behaviour) {
        let count = self.pushes.fetch_add(1, Ordering::Relaxed);
        let image = ImageSpec {
            behaviour,
            // Some of each kind, as people have them.
            index: count.is_multiple_of(2),
            oci: count.is_multiple_of(3),
            ..ImageSpec::new(&format!("{repository}:{tag}, push {count}"))
        };
        self.registry.push(repository, tag, &image).unwrap();
    }

    /// A version that ends at once.
    pub fn push_broken(&self, repository: &str, tag: &str) {
        let behaviour = Behaviour::Exits { after: Duration::from_millis(50), code: 1 };
        self.push_behaving(repository, tag, behaviour);
    }

    /// A version that does its work and ends.
    pub fn push_job(&self, repository: &str, tag: &str) {
        let behaviour = Behaviour::Exits { after: Duration::from_secs(2), code: 0 };
        self.push_behaving(repository, tag, behaviour);
    }

    pub fn untag(&self, repository: &str, tag: &str) {
        assert!(self.registry.delete_tag(repository, tag), "{tag} is there");
    }

    /// skep is given this one.
    pub fn skep_password(&self, password: &str) {
        std::fs::write(self.dir.path().join("password"), password).unwrap();
        self.canary(password);
    }

    fn canary(&self, password: &str) {
        self.canaries.lock().unwrap_or_else(PoisonError::into_inner).push(password.to_owned());
    }

    /// Connections to a side are refused, and those that are open end.
    pub fn set_down(&self, side: &'static str, down: bool) {
        {
            let mut sides = self.down.lock().unwrap_or_else(PoisonError::into_inner);
            sides.retain(|known| *known != side);
            if down {
                sides.push(side);
            }
        }
        if side == REGISTRY {
            // The nodes ask it directly.
            self.registry.set_fault(down.then_some(Misbehaviour::Down));
        }
        self.apply_down();
    }

    pub fn node_up(&self, hostname: &str, up: bool) {
        self.engine.set_node_reachable(hostname, up);
    }

    pub fn availability(&self, hostname: &str, availability: &str) {
        self.engine.set_node_availability(hostname, availability);
    }

    pub fn forbid(&self, service: &str) {
        self.witness.forbid(service, true);
    }

    pub fn permit(&self, service: &str) {
        self.witness.forbid(service, false);
    }

    pub fn let_fall(&self, service: &str) {
        self.witness.let_fall(service);
    }

    pub fn let_go(&self, service: &str) {
        self.witness.let_go(service);
    }

    /// Somebody makes a service; `container` is laid over its container's spec.
    pub fn service_by_hand(&self, name: &str, image: &str, container: Value) {
        let mut spec = json!({
            "Name": name,
            "Labels": {},
            "TaskTemplate": { "ContainerSpec": { "Image": format!("{REGISTRY_HOST}/{image}") } },
            "Mode": { "Replicated": { "Replicas": 2 } },
            "UpdateConfig": { "Parallelism": 1, "Monitor": 1_000_000_000 },
        });
        for (key, value) in container.as_object().into_iter().flatten() {
            spec["TaskTemplate"]["ContainerSpec"][key] = value.clone();
        }
        self.call(Method::POST, "/v1.41/services/create", &spec);
    }

    /// Somebody changes a service.
    pub fn by_hand(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let found = self.engine.read(|state| {
            let service = state.find_service(name)?;
            Some((service.object.id.clone(), service.object.index, service.object.spec.clone()))
        });
        let (id, index, mut spec) = found.expect("the service is there");
        change(&mut spec);
        self.call(Method::POST, &format!("/v1.41/services/{id}/update?version={index}"), &spec);
    }

    pub fn remove_by_hand(&self, name: &str) {
        self.call(Method::DELETE, &format!("/v1.41/services/{name}"), &Value::Null);
    }

    /// A call of somebody else, past the tap and the witness.
    fn call(&self, method: Method, path: &str, body: &Value) {
        let request: Request =
            http::Request::builder().method(method).uri(path).body(body.to_string().into()).unwrap();
        let response = self.engine.handle(request).now_or_never().expect("the engine answers at once");
        assert!(response.status().is_success(), "{path}: {}", response.status());
    }
}
