//! How skep grows with the fleet: `skep run` over 1,000, 10,000 and 100,000 services of an embedded
//! Swarm, one task each: see `docs/benchmarks.md`.
//!
//! `cargo bench --bench scale`; needs no root, no Docker. Arguments choose sizes:
//! `cargo bench --bench scale -- 1000 10000`.

#[path = "swarm/figures.rs"]
mod figures;

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use figures::Figure;
use futures::future::BoxFuture;
use http::Method;
use serde_json::Value;
use skep::sim::engine::state::{Object, Service, State, Task};
use skep::sim::engine::{Engine, HostOptions, Options, Role, Timing};
use skep::sim::handler::{Handler, Request, Response};
use skep::sim::registry::{ImageSpec, Options as RegistryOptions, Registry};
use skep::sim::wire::{serve_tcp, serve_unix};

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];
/// Services of each customer.
const SERVICES: usize = 10;
const REPOSITORIES: usize = 10;
const TAGS: usize = 200;
/// Times that each thing is done, but for the start, which is done once.
const ROUNDS: usize = 5;
/// A pass over all of a larger fleet takes so long that it is done once.
const SERVICES_ONCE: usize = 50_000;
const LONG: Duration = Duration::from_secs(1_200);
/// A service that rolls is looked at again sooner.
const QUIET: Duration = Duration::from_secs(3);
/// The customer that all others are copies of.
const FIRST: &str = "c00000";

fn main() {
    let chosen: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if chosen.is_empty() { SIZES.to_vec() } else { chosen };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let figures: Vec<Figure> = sizes.into_iter().flat_map(|size| runtime.block_on(measure(size))).collect();
    say(&format!("\n{}\n{}\n", figures::table(&figures), figures::json(&figures)));
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

async fn measure(services: usize) -> Vec<Figure> {
    let customers = services / SERVICES;
    let registry = Registry::new(RegistryOptions::default());
    fill(&registry);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let hosts = vec![HostOptions::new("n0", Role::Manager), HostOptions::new("n1", Role::Worker)];
    let options = Options { hosts, timing: Timing::fast(), ..Options::default() };
    let engine = Engine::new(options, Arc::new(registry.clone()));
    let spy = Arc::new(Spy { engine: engine.clone(), writes: Mutex::default(), reads: Arc::default() });
    let _moving = Abort(tokio::spawn({
        let engine = engine.clone();
        async move { engine.run().await }
    }));
    let served = serve_tcp("127.0.0.1:0", Arc::new(registry)).await.expect("loopback");
    let _engine =
        serve_unix(&dir.path().join("docker.sock"), Arc::clone(&spy) as Arc<dyn Handler>).expect("a socket");
    let place = Place::new(dir.path(), served.address());
    let bench = Bench { place, spy, services, customers };
    tokio::task::spawn_blocking(move || bench.run(&engine)).await.expect("the benchmark ends")
}

fn fill(registry: &Registry) {
    for repository in 0..REPOSITORIES {
        for tag in 0..TAGS {
            let version = format!("1.{}.{}", tag / 10, tag % 10);
            let image = ImageSpec::new(&format!("r{repository} {version}"));
            registry.push(&format!("bench/r{repository}"), &version, &image).expect("it holds them");
        }
    }
}

struct Abort(tokio::task::JoinHandle<()>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The engine, when something was written to it, and when it was busy with an answer.
struct Spy {
    engine: Engine,
    writes: Mutex<Vec<Instant>>,
    reads: Arc<Mutex<Vec<(Instant, Instant)>>>,
}

impl Handler for Spy {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            self.writes.lock().expect("no panic").push(Instant::now());
            return self.engine.handle(request);
        }
        let (engine, reads) = (self.engine.clone(), Arc::clone(&self.reads));
        Box::pin(async move {
            let begun = Instant::now();
            let response = engine.handle(request).await;
            reads.lock().expect("no panic").push((begun, Instant::now()));
            response
        })
    }
}

impl Spy {
    fn take(&self) -> Vec<Instant> {
        std::mem::take(&mut *self.writes.lock().expect("no panic"))
    }

    /// Whether what was written last has been looked after: nobody has asked for longer than rollouts are looked at again.
    fn is_quiet(&self) -> bool {
        let reads = self.reads.lock().expect("no panic");
        reads.iter().map(|(_, ended)| *ended).max().is_none_or(|ended| ended.elapsed() > QUIET)
    }

    /// For how long it was busy with at least one answer between the two. Milliseconds.
    fn busy(&self, from: Instant, to: Instant) -> f64 {
        let mut reads = self.reads.lock().expect("no panic").clone();
        reads.sort();
        let (mut busy, mut until) = (Duration::ZERO, from);
        for (begun, ended) in reads {
            let ended = ended.min(to);
            busy += ended.saturating_duration_since(begun.max(until));
            until = until.max(ended);
        }
        millis(busy)
    }
}

struct Bench {
    place: Place,
    spy: Arc<Spy>,
    services: usize,
    customers: usize,
}

impl Bench {
    fn run(&self, engine: &Engine) -> Vec<Figure> {
        self.place.write_spec(0, "production");
        let apply = self.place.skep(&["apply"]).output().expect("skep runs");
        assert!(apply.status.success(), "{}", String::from_utf8_lossy(&apply.stderr));
        let begun = Instant::now();
        engine.with(|state| multiply(state, self.customers));
        for customer in 1..self.customers {
            self.place.write_spec(customer, "production");
        }
        say(&format!(
            "{} services, {} customers made: {:.1?}\n",
            self.services,
            self.customers,
            begun.elapsed()
        ));
        self.spy.take();
        let floor: Vec<f64> = (0..ROUNDS).map(|_| self.place.list_bare()).collect();

        let begun = Instant::now();
        let mut running = Running::start(&self.place);
        running.wait(LONG, "the first pass", |page| succeeded(page) == self.customers);
        let first = millis(begun.elapsed());
        let first_peak = peak_megabytes(running.child.id());
        assert_eq!(self.spy.take().len(), 0, "writes of the first pass over a Swarm that is in sync");
        let rounds = if self.services > SERVICES_ONCE { 1 } else { ROUNDS };
        let same: Vec<f64> = (0..rounds).map(|_| self.unchanged(&mut running)).collect();
        let changed: Vec<(f64, f64)> = (0..ROUNDS).map(|round| self.changed(round)).collect();
        let own = changed.iter().map(|(took, engine)| took - engine).collect();
        let (changed, engine): (Vec<f64>, Vec<f64>) = changed.into_iter().unzip();
        let peak = peak_megabytes(running.child.id());
        let figure = |name: &str, unit, samples, aim, floor| Figure {
            name: format!("{name}, {} services", self.services),
            unit,
            samples,
            aim,
            floor,
        };
        let floor = || Some(("the engine's lists, received and not read".to_owned(), floor.clone()));
        let memory_aim = (self.services == 10_000).then_some(150.0 * 1.048_576);
        vec![
            figure("start and first pass, all in sync", "ms", vec![first], None, floor()),
            figure("pass over all without changes (SIGHUP)", "ms", same, None, floor()),
            figure("one spec saved to its update call", "ms", changed, None, floor()),
            figure("of that, the embedded engine busy with skep's questions", "ms", engine, None, None),
            figure("of that, the rest", "ms", own, None, None),
            figure("peak memory, start and first pass", "MB", vec![first_peak], memory_aim, None),
            figure("peak memory in all", "MB", vec![peak], memory_aim, None),
        ]
    }

    /// A pass over all customers, which finds nothing to do.
    fn unchanged(&self, running: &mut Running) -> f64 {
        let before = passes(&running.place.metrics().expect("it serves"));
        let begun = Instant::now();
        running.hang_up();
        running.wait(LONG, "a pass over all", |page| passes(page) >= before + self.customers);
        assert_eq!(self.spy.take().len(), 0, "writes of a pass without changes");
        millis(begun.elapsed())
    }

    /// From the file's new name to the first call that changes something, and how long of that the engine was busy
    /// with skep's questions.
    fn changed(&self, round: usize) -> (f64, f64) {
        let deadline = Instant::now() + LONG;
        while !self.spy.is_quiet() {
            assert!(Instant::now() < deadline, "it does not come to rest");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(self.spy.take().len(), 0, "writes after the one that was asked for");
        self.spy.reads.lock().expect("no panic").clear();
        let begun = self.place.write_spec(self.customers / 2 + round, "changed");
        let deadline = begun + LONG;
        loop {
            if let Some(first) = self.spy.take().first() {
                return (millis(*first - begun), self.spy.busy(begun, *first));
            }
            assert!(Instant::now() < deadline, "nothing was written");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Copies the first customer's objects, with their names and IDs made others.
fn multiply(state: &mut State, customers: usize) {
    let networks: Vec<Object> =
        state.networks.values().filter(|network| name(network).starts_with(FIRST)).cloned().collect();
    let services: Vec<Service> = state.services.values().cloned().collect();
    let tasks: Vec<Task> =
        state.tasks.values().filter(|task| task.since <= task.object.updated).cloned().collect();
    for customer in 1..customers {
        let mut renamed = vec![(FIRST.to_owned(), format!("c{customer:05}"))];
        for network in &networks {
            let copy = copy(state, network, &mut renamed);
            state.networks.insert(copy.id.clone(), copy);
        }
        for service in &services {
            let object = copy(state, &service.object, &mut renamed);
            state.services.insert(object.id.clone(), Service { object, update: None, ..service.clone() });
        }
        for task in &tasks {
            let object = copy(state, &task.object, &mut renamed);
            let service = rename(&task.service, &renamed);
            state.add_task(Task { object, service, ..task.clone() });
        }
    }
}

fn name(object: &Object) -> &str {
    object.spec["Name"].as_str().unwrap_or_default()
}

/// With an ID of its own; what refers to it is to follow.
fn copy(state: &mut State, object: &Object, renamed: &mut Vec<(String, String)>) -> Object {
    let id = state.next_id();
    renamed.push((object.id.clone(), id.clone()));
    let text = |value: &Value| {
        let text = rename(&value.to_string(), renamed);
        serde_json::from_str(&text).expect("still JSON")
    };
    let spec = text(&object.spec);
    let extra = object.extra.iter().map(|(key, value)| (key.clone(), text(value))).collect();
    Object { id, index: state.next_index(), spec, extra, ..object.clone() }
}

fn rename(text: &str, renamed: &[(String, String)]) -> String {
    renamed.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The files that skep is told of.
#[derive(Clone)]
struct Place {
    dir: PathBuf,
    registry: String,
    http: String,
}

impl Place {
    fn new(dir: &Path, registry: &str) -> Self {
        // Free now; nobody else is at work here.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let http = format!("127.0.0.1:{port}");
        std::fs::create_dir(dir.join("specs")).expect("room");
        // What happens is what the benchmark makes happen.
        let config = format!(
            "[docker]\nhost = \"unix://{}\"\n[registries.\"{registry}\"]\nplain_http = true\n\
             [poll]\nregistry = \"1h\"\nresync = \"1h\"\n[http]\nlisten = \"{http}\"\n",
            dir.join("docker.sock").display()
        );
        std::fs::write(dir.join("skep.toml"), config).expect("room");
        Self { dir: dir.to_owned(), registry: registry.to_owned(), http }
    }

    /// When it has its name.
    fn write_spec(&self, customer: usize, mode: &str) -> Instant {
        let mut spec = String::new();
        for number in 0..SERVICES {
            // Of a changed spec one service is changed.
            let mode = if number == 0 { mode } else { "production" };
            writeln!(
                spec,
                "[services.s{number}]\nimage = \"{}/bench/r{number}\"\nversion = \"^1.0\"\n\
                 environment = {{ MODE = \"{mode}\", NUMBER = \"{number}\" }}\nlabels = {{ team = \"blue\" }}",
                self.registry
            )
            .expect("a string takes all");
        }
        let new = self.dir.join("new");
        std::fs::write(&new, spec).expect("room");
        let begun = Instant::now();
        std::fs::rename(new, self.dir.join(format!("specs/c{customer:05}.toml"))).expect("room");
        begun
    }

    fn skep(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
        command.args(arguments).current_dir(&self.dir).env_clear().env("HOME", &self.dir);
        command
    }

    fn metrics(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(&self.http)?;
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.http)?;
        let mut page = String::new();
        stream.read_to_string(&mut page)?;
        Ok(page)
    }

    /// What one look at the Swarm costs who receives it and does not read it. Milliseconds.
    fn list_bare(&self) -> f64 {
        let begun = Instant::now();
        for path in ["services", "tasks", "nodes", "networks"] {
            let mut stream =
                std::os::unix::net::UnixStream::connect(self.dir.join("docker.sock")).expect("it listens");
            write!(stream, "GET /v1.41/{path} HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")
                .expect("sent");
            std::io::copy(&mut stream, &mut std::io::sink()).expect("received");
        }
        millis(begun.elapsed())
    }
}

struct Running {
    child: Child,
    place: Place,
}

impl Running {
    fn start(place: &Place) -> Self {
        let mut command = place.skep(&["run", "-q"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().expect("skep runs");
        Self { child, place: place.clone() }
    }

    fn hang_up(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("it runs");
    }

    /// Looks so seldom that looking costs skep a sixth of the time at most.
    fn wait(&mut self, within: Duration, what: &str, done: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + within;
        loop {
            let begun = Instant::now();
            if self.place.metrics().is_ok_and(|page| done(&page)) {
                return;
            }
            assert!(self.child.try_wait().expect("it is ours").is_none(), "skep ended before {what}");
            assert!(Instant::now() < deadline, "{what} took too long");
            std::thread::sleep((begun.elapsed() * 5).max(Duration::from_millis(2)));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Customers of whom a pass ended well.
fn succeeded(page: &str) -> usize {
    page.lines().filter(|line| line.starts_with("skep_last_success_timestamp_seconds{")).count()
}

/// Passes that ended.
fn passes(page: &str) -> usize {
    let line = page.lines().find_map(|line| line.strip_prefix("skep_reconcile_duration_seconds_count "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or_default()
}

fn peak_megabytes(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024.0 / 1e6
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
