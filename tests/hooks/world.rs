//! One customer on an embedded Swarm, a registry that notifies, a git repository, and skep.

// Named, since the benchmark has this module in another place.
#[path = "post.rs"]
pub mod post;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use http::Method;
use skep::config::Hook;
use skep::dial::{Dial, Stream};
use skep::sim::engine::{Engine, HostOptions, Options, Role, Timing};
use skep::sim::handler::{Handler, Request, Response};
use skep::sim::registry::{Hook as Notify, ImageSpec, Options as RegistryOptions, Registry};
use skep::sim::wire::{Server, serve_tcp, serve_unix};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use post::{CANARY, Post, secret, status};

/// Long enough for anything on a busy machine.
const SOON: Duration = Duration::from_secs(120);

/// The engine, and when something was written to it.
pub struct Spy {
    engine: Engine,
    writes: Mutex<Vec<Instant>>,
}

impl Handler for Spy {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            self.writes.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        }
        self.engine.handle(request)
    }
}

impl Spy {
    /// The times of all writes since the last call.
    pub fn take(&self) -> Vec<Instant> {
        std::mem::take(&mut *self.writes.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub engine: Engine,
    pub spy: Arc<Spy>,
    pub registry: Registry,
    /// `host:port` of the registry.
    pub host: String,
    pub port: u16,
    /// What skep logs.
    pub level: &'static str,
    child: Option<Child>,
    _servers: [Server; 2],
    moving: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.moving.abort();
    }
}

/// Where specs come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Specs {
    Directory,
    Git,
}

impl World {
    /// The customer `acme` runs 1.0.0 of `shop/web`.
    pub async fn start(from: Specs) -> Self {
        let mut world = Self::prepare(from).await;
        world.run().await;
        world.wait("1.0.0 runs", |world| world.image().contains(":1.0.0@")).await;
        // Until nothing of the start is under way any more.
        world.wait("the first rollout is complete", |world| world.events().contains("RolloutComplete")).await;
        world.rest().await;
        world
    }

    /// Until no pass has ended for a second: the Swarm tells of what it did a little later.
    async fn rest(&self) {
        let passes = || self.metric("skep_reconcile_duration_seconds_count", "");
        let (mut last, mut since) = (passes().await, Instant::now());
        while since.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = passes().await;
            if now > last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    /// All but skep itself.
    pub async fn prepare(from: Specs) -> Self {
        // Free now; nobody else takes ports by their number.
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let dial: Dial = Arc::new(move |_| {
            Box::pin(async move {
                let stream = TcpStream::connect(("127.0.0.1", port)).await?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            })
        });
        let notify = Notify {
            dial,
            url: format!("http://127.0.0.1:{port}/hooks/registry/distribution").parse().unwrap(),
            authorization: Some(format!("Bearer {}", secret(Hook::RegistryDistribution))),
        };
        // Its own name is not the one that specs have.
        let options = RegistryOptions { hook: Some(notify), ..RegistryOptions::default() };
        let registry = Registry::new(options);
        registry.push("shop/web", "1.0.0", &ImageSpec::new("1.0.0")).unwrap();
        let hosts = vec![HostOptions::new("n0", Role::Manager)];
        let options = Options { hosts, timing: Timing::fast(), ..Options::default() };
        let engine = Engine::new(options, Arc::new(registry.clone()));
        let moving = tokio::spawn({
            let engine = engine.clone();
            async move { engine.run().await }
        });
        // Not on a disk, which may be slow for whoever waits until what is written is there.
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let served = serve_tcp("127.0.0.1:0", Arc::new(registry.clone())).await.unwrap();
        let spy = Arc::new(Spy { engine: engine.clone(), writes: Mutex::default() });
        let socket =
            serve_unix(&dir.path().join("docker.sock"), Arc::clone(&spy) as Arc<dyn Handler>).unwrap();
        let host = served.address().to_owned();
        let _servers = [served, socket];
        let level = "trace";
        let world = Self { dir, engine, spy, registry, host, port, level, child: None, _servers, moving };
        world.write_config(from);
        match from {
            Specs::Directory => world.write("specs/acme.toml", &world.spec(1)),
            Specs::Git => world.init_git(),
        }
        world
    }

    fn write_config(&self, from: Specs) {
        let mut config = format!(
            "[docker]\nhost = \"unix://{}\"\n[registries.\"{}\"]\nplain_http = true\n\
             [poll]\nregistry = \"1h\"\nresync = \"1h\"\n[http]\nlisten = \"127.0.0.1:{}\"\n",
            self.path("docker.sock").display(),
            self.host,
            self.port
        );
        if from == Specs::Git {
            config += &format!(
                "[source.git]\nurl = \"{}\"\nbranch = \"main\"\ninterval = \"1h\"\n",
                self.git_url()
            );
        }
        for hook in Hook::ALL {
            let file = format!("secret-{}", hook.name().replace('/', "-"));
            self.write(&file, &format!("{}\n", secret(hook)));
            let (key, _) =
                hook.key().rsplit_once('.').map(|(key, last)| (key.to_owned(), last.to_owned())).unwrap();
            config += &format!("[{key}]\nsecret_file = \"{file}\"\n");
        }
        self.write("skep.toml", &config);
    }

    pub fn spec(&self, replicas: usize) -> String {
        format!(
            "[services.web]\nimage = \"{}/shop/web\"\nversion = \"^1\"\n\
             deploy = {{ replicas = {replicas}, update_config = {{ monitor = \"100ms\" }} }}\n",
            self.host
        )
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    // --- git ---

    pub fn git_url(&self) -> String {
        format!("file://{}", self.path("origin.git").display())
    }

    fn git(&self, dir: &Path, arguments: &[&str]) {
        let mut git = std::process::Command::new("git");
        git.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(dir);
        git.env("HOME", self.dir.path()).env("GIT_CONFIG_NOSYSTEM", "1").stdin(Stdio::null());
        git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]).args(arguments);
        let output = git.output().unwrap();
        assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn init_git(&self) {
        let (bare, work) = (self.path("origin.git"), self.path("work"));
        std::fs::create_dir(&work).unwrap();
        self.git(&work, &["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()]);
        self.git(&work, &["init", "-q", "-b", "main"]);
        self.commit(1);
    }

    /// Pushes the customer's spec with so many replicas; when the push began.
    pub fn commit(&self, replicas: usize) -> Instant {
        self.write("work/acme.toml", &self.spec(replicas));
        let (work, bare) = (self.path("work"), self.path("origin.git"));
        self.git(&work, &["add", "-A"]);
        self.git(&work, &["commit", "-q", "-m", "acme"]);
        let begun = Instant::now();
        self.git(&work, &["push", "-q", bare.to_str().unwrap(), "HEAD:main"]);
        begun
    }

    // --- skep ---

    fn skep(&self) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("skep"));
        command.arg("run").current_dir(self.dir.path()).kill_on_drop(true);
        command.env_clear().env("HOME", self.dir.path()).env("SKEP_LOG", self.level);
        command.env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(self.path("log")).unwrap());
        command
    }

    /// Starts `skep run`, which says all that it ever says.
    pub async fn run(&mut self) {
        self.child = Some(self.skep().spawn().unwrap());
        let deadline = Instant::now() + SOON;
        while status(&self.get("/healthz").await) != 200 {
            assert!(Instant::now() < deadline, "it serves: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs it where it is to end by itself: its status and what it said.
    pub async fn run_to_end(&self) -> (Option<i32>, String) {
        let ended = tokio::time::timeout(SOON, self.skep().status()).await;
        let status = ended.expect("skep run goes on").unwrap();
        (status.code(), self.log())
    }

    pub fn hang_up(&self) {
        let pid = self.child.as_ref().and_then(Child::id).unwrap();
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    }

    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap()).into_owned()
    }

    pub fn events(&self) -> String {
        std::fs::read_to_string(self.path(".skep/events/events.jsonl")).unwrap_or_default()
    }

    /// Its image, in the Swarm.
    pub fn image(&self) -> String {
        self.in_spec("/TaskTemplate/ContainerSpec/Image").as_str().unwrap_or_default().to_owned()
    }

    pub fn in_spec(&self, pointer: &str) -> serde_json::Value {
        self.engine.with(|state| {
            let service = state.find_service("acme_web");
            service.and_then(|it| it.object.spec.pointer(pointer).cloned()).unwrap_or_default()
        })
    }

    /// Until something is so; whatever skep said is shown when it is not in time.
    pub async fn wait(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + SOON;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "{what}: {}\n{}", self.events(), self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    // --- HTTP ---

    /// Sends bytes as they are, on a connection of its own; all that comes back.
    pub async fn exchange(&self, request: &[u8]) -> String {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)).await else { return String::new() };
        // It may answer, and close, before it has read all.
        let _ = stream.write_all(request).await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await;
        let asked = String::from_utf8_lossy(request).escape_debug().to_string();
        assert!(read.is_ok(), "no end of the answer to {asked}:\n{}", self.log());
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends the beginning of a request, and then a byte five times a second as long as anybody listens; what comes
    /// back, and after how long.
    pub async fn drip(&self, begin: &[u8], drop: u8) -> (String, Duration) {
        let begun = Instant::now();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        write.write_all(begin).await.unwrap();
        let dripping = tokio::spawn(async move {
            while write.write_all(&[drop]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(SOON, read.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "it is listened to without end:\n{}", self.log());
        dripping.abort();
        (String::from_utf8_lossy(&answer).into_owned(), begun.elapsed())
    }

    pub async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        self.exchange(request.as_bytes()).await
    }

    pub async fn post(&self, call: &Post) -> String {
        self.exchange(&call.bytes()).await
    }

    /// The sum of a metric's series that contain `part`.
    pub async fn metric(&self, name: &str, part: &str) -> f64 {
        let page = self.get("/metrics").await;
        let series = page.lines().filter(|line| line.starts_with(name) && line.contains(part));
        series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Asserts that no secret of a hook is anywhere that skep writes to.
    pub async fn no_canary(&self, answers: &[String]) {
        let mut written = vec![self.log(), self.get("/metrics").await, self.get("/").await];
        written.push(self.get("/api/v1/events?limit=1000").await);
        written.extend_from_slice(answers);
        let mut files = vec![self.path(".skep")];
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else {
                written.push(String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
            }
        }
        for text in written {
            if let Some(at) = text.find(CANARY) {
                let (from, to) = (at.saturating_sub(300), (at + 300).min(text.len()));
                panic!("a secret was written: {:?}", String::from_utf8_lossy(&text.as_bytes()[from..to]));
            }
        }
    }
}
