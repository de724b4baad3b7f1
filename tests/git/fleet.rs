//! skep as a process, its specs in a repository, with an embedded Swarm and registry.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Method;
use serde_json::Value;
use skep::sim::engine::{Engine, HostOptions, Options, Role, Timing};
use skep::sim::handler::{Handler, Request, Response};
use skep::sim::registry::{ImageSpec, Options as RegistryOptions, Registry};
use skep::sim::wire::{Server, serve_tcp, serve_unix};
use skep::source::git::Repository;

use crate::origin::{Origin, load};

/// What is waited for comes within seconds on a machine that has nothing else to do.
const LONG: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(20);
pub const REPOSITORY: &str = "acme/web";

pub struct Fleet {
    pub origin: Origin,
    pub engine: Engine,
    /// The image of the service, without a tag.
    pub image: String,
    pub registry: Registry,
    updates: Arc<Updates>,
    _servers: [Server; 2],
    moving: tokio::task::JoinHandle<()>,
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.moving.abort();
    }
}

/// The engine, and when it was told to update a service.
struct Updates(Engine, Mutex<Vec<Instant>>);

impl Handler for Updates {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        if request.method() == Method::POST && request.uri().path().ends_with("/update") {
            self.1.lock().unwrap().push(Instant::now());
        }
        self.0.handle(request)
    }
}

/// A command that ended.
pub struct Ran {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// `skep run`, killed when it is dropped.
pub struct Running(pub tokio::process::Child);

impl Running {
    pub async fn kill(mut self) {
        self.0.kill().await.unwrap();
    }
}

/// skep in this folder, with nothing of our environment but where programs are.
pub fn skep_in(dir: &Path, line: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("skep"));
    command.args(line.split_whitespace()).current_dir(dir).env_clear().stdin(Stdio::null());
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", dir);
    command
}

impl Fleet {
    /// 1.0.0 is in the registry, and `specs/acme.toml` in the repository asks for the highest.
    pub async fn start() -> Self {
        let origin = Origin::new();
        let registry = Registry::new(RegistryOptions::default());
        registry.push(REPOSITORY, "1.0.0", &ImageSpec::new("1.0.0")).unwrap();
        let hosts = vec![HostOptions::new("n0", Role::Manager)];
        let options = Options { hosts, timing: Timing::fast(), ..Options::default() };
        let engine = Engine::new(options, Arc::new(registry.clone()));
        let moving = tokio::spawn({
            let engine = engine.clone();
            async move { engine.run().await }
        });
        let dialled = serve_tcp("127.0.0.1:0", Arc::new(registry.clone()) as Arc<dyn Handler>).await.unwrap();
        let updates = Arc::new(Updates(engine.clone(), Mutex::default()));
        let socket =
            serve_unix(&origin.path("docker.sock"), Arc::clone(&updates) as Arc<dyn Handler>).unwrap();
        let image = format!("{}/{REPOSITORY}", dialled.address());
        let fleet = Self { origin, engine, image, registry, updates, _servers: [dialled, socket], moving };
        fleet.configure(&fleet.origin.url(), "");
        fleet.origin.push("specs/acme.toml", &fleet.spec(""), "deploy acme");
        fleet
    }

    /// With these lines under `[source.git]`.
    pub fn configure(&self, url: &str, lines: &str) {
        let (registry, _) = self.image.split_once('/').unwrap();
        let timeout = if lines.contains("timeout") { "" } else { "timeout = \"20s\"\n" };
        let interval = if lines.contains("interval") { "" } else { "interval = \"1s\"\n" };
        let text = format!(
            "[source.git]\nurl = \"{url}\"\nbranch = \"main\"\npath = \"specs\"\n{interval}{timeout}{lines}\n[state]\ndir = \"state\"\n[docker]\nhost = \"unix://{}\"\n[http]\nlisten = \"unix://{}\"\n\
             [poll]\nresync = \"1s\"\n[registries.\"{registry}\"]\nplain_http = true\n",
            self.origin.path("docker.sock").display(),
            self.origin.path("skep.sock").display(),
        );
        self.origin.file("skep.toml", &text);
    }

    /// The customer's spec, with more lines for the service, and tables after them.
    pub fn spec(&self, lines: &str) -> String {
        format!("[services.web]\nimage = \"{}\"\n{lines}", self.image)
    }

    pub async fn skep(&self, line: &str) -> Ran {
        let mut command = tokio::process::Command::from(skep_in(self.origin.root.path(), line));
        command.kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::time::timeout(LONG, command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("`{line}` hangs")).unwrap();
        Ran {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Its log goes to `run.log`.
    pub fn run(&self) -> Running {
        let mut log = std::fs::OpenOptions::new();
        let log = log.create(true).append(true).open(self.origin.path("run.log")).unwrap();
        let mut command = tokio::process::Command::from(skep_in(self.origin.root.path(), "run -v"));
        command.kill_on_drop(true).stdout(log.try_clone().unwrap()).stderr(log);
        Running(command.spawn().unwrap())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.origin.path("run.log")).unwrap_or_default()
    }

    /// The service as the engine has it.
    pub fn service(&self) -> Option<Value> {
        self.engine.with(|state| state.find_service("acme_web").map(|service| service.object.spec.clone()))
    }

    pub fn services(&self) -> usize {
        self.engine.with(|state| state.services.values().count())
    }

    /// When the engine was told to update a service.
    pub fn updates(&self) -> Vec<Instant> {
        self.updates.1.lock().unwrap().clone()
    }

    /// Somebody changes the service.
    pub fn by_hand(&self, change: impl FnOnce(&mut Value)) {
        let found = self.engine.with(|state| {
            let service = state.find_service("acme_web")?;
            Some((service.object.id.clone(), service.object.index, service.object.spec.clone()))
        });
        let (id, index, mut spec) = found.expect("the service is there");
        change(&mut spec);
        let path = format!("/v1.41/services/{id}/update?version={index}");
        let request = http::Request::builder().method(Method::POST).uri(path);
        let request = request.body(spec.to_string().into()).unwrap();
        let response = self.engine.handle(request).now_or_never().expect("the engine answers at once");
        assert!(response.status().is_success(), "{}", response.status());
    }

    pub fn events(&self) -> Vec<Value> {
        let text =
            std::fs::read_to_string(self.origin.state().join("events/events.jsonl")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The first event of a reason, with these words in its message.
    pub fn event(&self, reason: &str, words: &str) -> Option<Value> {
        let is_it = |event: &Value| {
            event["reason"] == reason && event["message"].as_str().is_some_and(|text| text.contains(words))
        };
        self.events().into_iter().find(is_it)
    }

    pub async fn told(&self, reason: &str, words: &str) -> Value {
        self.until(&format!("{reason} with {words:?}"), || self.event(reason, words)).await
    }

    /// Waits until there is an answer.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let until = Instant::now() + LONG;
        loop {
            if let Some(found) = look() {
                return found;
            }
            if Instant::now() >= until {
                let tail: Vec<String> = self.log().lines().rev().take(20).map(str::to_owned).collect();
                panic!("not within {LONG:?}: {what}\n{:#?}\n{tail:#?}", self.events().last());
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub async fn until_replicas(&self, wanted: u64) {
        let replicas = |spec: &Value| spec["Mode"]["Replicated"]["Replicas"].as_u64();
        let is_so = || self.service().as_ref().and_then(replicas).filter(|now| *now == wanted);
        self.until(&format!("{wanted} replicas"), is_so).await;
    }

    /// The last good commit.
    pub fn in_force(&self) -> String {
        let mut config = load(&self.origin.path("skep.toml")).git.unwrap();
        config.timeout = LONG;
        Repository::new(&config, &self.origin.state()).last_good().unwrap().unwrap().revision.commit
    }

    /// The service's label.
    pub fn revision(&self) -> Option<String> {
        self.service()?["Labels"]["skep.revision"].as_str().map(str::to_owned)
    }
}
