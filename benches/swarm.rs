//! How fast skep is, on a real single-host Swarm with a real registry, beside the least that
//! the same work can cost: see `docs/benchmarks.md`.
//!
//! `cargo bench` as root. Arguments choose parts: `cargo bench -- plan apply latency select memory`.

#[path = "swarm/bare.rs"]
mod bare;
#[expect(dead_code, unused_imports, reason = "the tests' bed can do more than is needed here")]
#[path = "../tests/bed/mod.rs"]
mod bed;
#[path = "swarm/figures.rs"]
mod figures;
#[path = "swarm/tap.rs"]
mod tap;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use bare::{Order, Orders, To};
use bed::{Bed, Image, Options, Workspace, check, wait_until};
use figures::Figure;
use serde_json::{Value, json};
use tap::Tap;

const REPOSITORIES: usize = 10;
const TAGS: usize = 200;
/// Services of each customer.
const SERVICES: usize = 10;
const CONNECTIONS: usize = 8;
const LONG: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    if let Some(orders) = std::env::var_os(bare::VARIABLE) {
        return bare::main(&orders);
    }
    let missing = Bed::missing();
    if !missing.is_empty() {
        say(&format!("the benchmarks are not run; missing: {}\n", missing.join(", ")));
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |part: &str| chosen.is_empty() || chosen.iter().any(|name| name == part);
    let mut figures = Vec::new();
    if wanted("select") {
        figures.push(select());
    }
    let parts = ["plan", "apply", "latency", "memory"];
    if parts.iter().any(|part| wanted(part)) {
        let bed = Bed::start(Options::default());
        fill_registry(&bed);
        let ws = bed.workspace();
        write_config(&ws, &bed.node(0).host());
        grow_fleet(&ws, 0..30);
        if wanted("plan") {
            figures.extend(plan(&ws));
        }
        if wanted("apply") {
            figures.extend(apply(&bed));
        }
        if wanted("latency") {
            figures.extend(latency(&ws));
        }
        if wanted("memory") {
            figures.push(memory(&ws));
        }
    }
    say(&format!("\n{}\n{}\n", figures::table(&figures), figures::json(&figures)));
    ExitCode::SUCCESS
}

/// To stdout, now.
fn say(text: &str) {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

// --- the world ---

fn fill_registry(bed: &Bed) {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..REPOSITORIES {
            scope.spawn(move || {
                let repository = format!("bench/r{number}");
                let pushed = bed.push(&repository, "1.0.0", &Image::says(&repository));
                let media = "application/vnd.docker.distribution.manifest.v2+json";
                let path = |reference: &str| format!("/v2/{repository}/manifests/{reference}");
                let manifest = bed.registry.ask("GET", &path(&pushed.digest), &[("Accept", media)], b"");
                for tag in 1..TAGS {
                    let to = path(&format!("1.{}.{}", tag / 10, tag % 10));
                    let answer = bed.registry.ask("PUT", &to, &[("Content-Type", media)], &manifest.body);
                    assert_eq!(answer.status, 201, "{to}: {}", answer.text());
                }
            });
        }
    });
    say(&format!("{REPOSITORIES} repositories with {TAGS} tags: {:.1?}\n", begun.elapsed()));
}

/// Long intervals: what happens is what the benchmark makes happen.
fn write_config(ws: &Workspace<'_>, host: &str) {
    let config = ws.default_config().replace(&ws.bed.node(0).host(), host);
    let config = config.replace("registry = \"1s\"", "registry = \"1h\"");
    ws.write("skep.toml", &config.replace("resync = \"5s\"", "resync = \"1h\""));
}

/// Services that have no tasks: starting thousands of containers measures the machine.
fn spec(bed: &Bed, repository: impl Fn(usize) -> String) -> String {
    let mut spec = String::new();
    for number in 0..SERVICES {
        let image = bed.image(&repository(number));
        writeln!(
            spec,
            "[services.s{number}]\nimage = \"{image}\"\nversion = \"^1.0\"\n\
             environment = {{ MODE = \"production\", NUMBER = \"{number}\" }}\n\
             labels = {{ team = \"blue\" }}\ndeploy = {{ replicas = 0 }}"
        )
        .expect("a string takes all");
    }
    spec
}

fn grow_fleet(ws: &Workspace<'_>, customers: std::ops::Range<usize>) {
    let begun = Instant::now();
    let (count, whole) = (customers.len() * SERVICES, customers.end * SERVICES);
    for customer in customers {
        ws.spec(&format!("c{customer:03}.toml"), &spec(ws.bed, |number| format!("bench/r{number}")));
    }
    run(&mut ws.skep_command(&["apply", "--no-wait"]));
    run(&mut ws.skep_command(&["apply"]));
    run(&mut ws.skep_command(&["plan"]));
    assert_eq!(services(ws.bed, "c").len(), whole, "services in the Swarm");
    say(&format!("{count} services created, seen to converge, and planned: {:.1?}\n", begun.elapsed()));
}

/// Runs a program to its end; its time, start-up included, and what it printed.
fn run(command: &mut Command) -> (Duration, String) {
    let begun = Instant::now();
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let took = begun.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    (took, text)
}

/// The bare client: whole time as a process, and from first to last request.
fn run_bare(ws: &Workspace<'_>, requests: Vec<Order>) -> (f64, f64) {
    let orders = Orders {
        engine: ws.bed.node(0).socket(),
        registry: ws.bed.registry.open.address.to_owned(),
        workers: CONNECTIONS,
        requests,
    };
    ws.write("orders.json", &serde_json::to_string(&orders).expect("plain data"));
    let mut command = ws.command(&std::env::current_exe().expect("this program"));
    let (took, text) = run(command.env(bare::VARIABLE, ws.dir.join("orders.json")));
    let inner: f64 = text.trim().parse().expect("seconds");
    (millis(took), inner * 1e3)
}

// --- (a) ---

fn plan(ws: &Workspace<'_>) -> Vec<Figure> {
    let scope = "/networks?filters=%7B%22scope%22%3A%5B%22swarm%22%5D%7D";
    let mut requests: Vec<Order> = ["/v1.41/services", "/v1.41/tasks", "/v1.41/nodes"]
        .iter()
        .map(|path| Order::get(To::Engine, *path))
        .collect();
    requests.push(Order::get(To::Engine, format!("/v1.41{scope}")));
    for number in 0..REPOSITORIES {
        requests.push(Order::get(To::Registry, format!("/v2/bench/r{number}/tags/list?n=1000")));
    }
    for number in 0..REPOSITORIES {
        let path = format!("/v2/bench/r{number}/manifests/1.19.9");
        requests.push(Order { method: "HEAD".to_owned(), ..Order::get(To::Registry, path) });
    }
    let (mut whole, mut inner, mut floor, mut floor_inner) = (vec![], vec![], vec![], vec![]);
    for _ in 0..21 {
        let (took, _) = run(&mut ws.skep_command(&["plan"]));
        let (empty, _) = run(&mut ws.skep_command(&["--version"]));
        let (bare, bare_inner) = run_bare(ws, requests.clone());
        whole.push(millis(took));
        inner.push(millis(took.saturating_sub(empty)));
        floor.push(bare);
        floor_inner.push(bare_inner);
    }
    vec![
        Figure {
            name: "(a) plan, 300 services, as processes".to_owned(),
            unit: "ms",
            samples: whole,
            aim: Some(1.5),
            floor: Some(("the same requests, 8 connections".to_owned(), floor)),
        },
        Figure {
            name: "(a) the same without the processes' start".to_owned(),
            unit: "ms",
            samples: inner,
            aim: None,
            floor: Some(("the same requests, first to last".to_owned(), floor_inner)),
        },
    ]
}

// --- (b) ---

fn apply(bed: &Bed) -> Vec<Figure> {
    let ws = bed.workspace();
    write_config(&ws, &bed.node(0).host());
    let push = |minor: usize| {
        let tag = format!("1.{minor}.0");
        bed.push("bench/moving", &tag, &Image::says(&format!("moving {tag}")))
    };
    push(0);
    for customer in 0..10 {
        ws.spec(&format!("m{customer}.toml"), &spec(bed, |_| "bench/moving".to_owned()));
    }
    run(&mut ws.skep_command(&["apply"]));
    // What the bare client moves: the same specs under names that skep does not know.
    for service in services(bed, "m") {
        let mut spec = service["Spec"].clone();
        spec["Name"] = json!(format!("bare_{}", spec["Name"].as_str().unwrap_or_default()));
        bed.node(0).post("/services/create", &spec);
    }
    let (mut whole, mut floor, mut floor_inner) = (vec![], vec![], vec![]);
    for minor in 1..=11 {
        let pushed = push(minor);
        let (took, _) = run(&mut ws.skep_command(&["apply", "--no-wait"]));
        whole.push(millis(took));
        let image = format!("{}:1.{minor}.0@{}", bed.image("bench/moving"), pushed.digest);
        let requests: Vec<Order> =
            services(bed, "bare_").iter().map(|service| update(service, &image)).collect();
        assert_eq!(requests.len(), 100);
        let (bare, bare_inner) = run_bare(&ws, requests);
        floor.push(bare);
        floor_inner.push(bare_inner);
        let moved = services(bed, "m").iter().filter(|service| image_of(service) == image).count();
        assert_eq!(moved, 100, "skep moved all services");
        // So that the next pass has nothing of this one to settle.
        run(&mut ws.skep_command(&["apply"]));
    }
    let figure = |name: &str, aim, base: &str, base_samples| Figure {
        name: name.to_owned(),
        unit: "ms",
        samples: whole.clone(),
        aim,
        floor: Some((base.to_owned(), base_samples)),
    };
    vec![
        figure(
            "(b) apply --no-wait, 100 services, as processes",
            Some(1.5),
            "bare updates, 8 at once",
            floor,
        ),
        figure("(b) the same, against first to last bare update", None, "without its start", floor_inner),
    ]
}

fn services(bed: &Bed, prefix: &str) -> Vec<Value> {
    let all = bed.get("/services");
    let named =
        |service: &&Value| service["Spec"]["Name"].as_str().is_some_and(|name| name.starts_with(prefix));
    all.as_array().into_iter().flatten().filter(named).cloned().collect()
}

fn image_of(service: &Value) -> &str {
    service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap_or_default()
}

fn update(service: &Value, image: &str) -> Order {
    let mut spec = service["Spec"].clone();
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!(image);
    let id = service["ID"].as_str().unwrap_or_default();
    Order {
        to: To::Engine,
        method: "POST".to_owned(),
        path: format!("/v1.41/services/{id}/update?version={}", service["Version"]["Index"]),
        body: spec.to_string(),
    }
}

// --- (c) ---

fn latency(ws: &Workspace<'_>) -> Vec<Figure> {
    let bed = ws.bed;
    let tap = Tap::start(&ws.dir.join("tap.sock"), bed.node(0).socket());
    write_config(ws, &format!("unix://{}", ws.dir.join("tap.sock").display()));
    let push = |minor: usize| {
        let tag = format!("1.{minor}.0");
        bed.push("bench/quick", &tag, &Image::says(&format!("quick {tag}")))
    };
    let quick = |number: usize| {
        let image = bed.image("bench/quick");
        format!(
            "[services.web]\nimage = \"{image}\"\nversion = \"^1.0\"\n\
             environment = {{ NUMBER = \"{number}\" }}\ndeploy = {{ replicas = 0 }}\n"
        )
    };
    push(0);
    ws.spec("quick.toml", &quick(0));
    run(&mut ws.skep_command(&["apply", "quick"]));
    let mut running = ws.skep_spawn(&["run"]);
    running.wait_for("skep started", LONG);
    let settled = |what: &str, done: &str, count: usize| {
        wait_until(LONG, what, || {
            let events = ws.read("state/events/events.jsonl");
            let seen =
                events.lines().filter(|line| line.contains(done) && line.contains("\"quick\"")).count();
            check(seen >= count, || format!("{seen} of {count}"))
        });
        // Whatever the change woke besides has ended by then.
        std::thread::sleep(Duration::from_millis(1500));
    };
    std::thread::sleep(Duration::from_secs(3));
    let mut complete = events_of(ws, "RolloutComplete");
    let mut polled = Vec::new();
    for minor in 1..=15 {
        push(minor);
        tap.updates.try_iter().count();
        let begun = Instant::now();
        running.sighup();
        polled.push(since(begun, &tap));
        complete += 1;
        settled("the new version runs", "RolloutComplete", complete);
    }
    let mut saved = Vec::new();
    for number in 1..=15 {
        tap.updates.try_iter().count();
        let begun = Instant::now();
        ws.spec("quick.toml", &quick(number));
        saved.push(since(begun, &tap));
        complete += 1;
        settled("the new spec runs", "RolloutComplete", complete);
    }
    running.sigterm();
    running.wait(LONG);
    write_config(ws, &bed.node(0).host());
    let figure = |name: &str, samples| Figure {
        name: name.to_owned(),
        unit: "ms",
        samples,
        aim: Some(100.0),
        floor: None,
    };
    vec![
        figure("(c) poll forced after a push, to the update call", polled),
        figure("(c) spec file saved, to the update call", saved),
    ]
}

fn events_of(ws: &Workspace<'_>, reason: &str) -> usize {
    let events = ws.read("state/events/events.jsonl");
    events.lines().filter(|line| line.contains(reason) && line.contains("\"quick\"")).count()
}

fn since(begun: Instant, tap: &Tap) -> f64 {
    let sent = tap.updates.recv_timeout(LONG).expect("skep sends an update");
    millis(sent.saturating_duration_since(begun))
}

// --- (d) ---

fn select() -> Figure {
    use skep::spec::VersionPolicy;
    use skep::version::{Choice, Facts, Resolved, choose, rank};

    let tags: Vec<String> = (0..100_000_u32)
        .map(|n| match n % 10 {
            0 => format!("sha-{n:07x}"),
            1 => format!("{}.{}.{}-rc.{}", n % 7, n % 101, n, n % 5),
            2 => format!("v{}.{}.{}", n % 7, n % 101, n),
            _ => format!("{}.{}.{}", n % 7, n % 101, n),
        })
        .collect();
    let digest = skep::image::Digest::of(b"x");
    let require = semver::VersionReq::parse("^5.2").expect("a requirement");
    let policy = VersionPolicy { require, ..VersionPolicy::default() };
    let samples = (0..21)
        .map(|_| {
            let begun = Instant::now();
            let ranking = rank(&policy, &tags);
            let mut facts = Facts::default();
            while let Choice::Need(needed) = choose(&policy, &ranking, &facts) {
                for tag in needed {
                    let tag = tags.iter().find(|known| **known == tag).expect("a tag of the list");
                    let found = Resolved { digest: digest.clone(), platforms: Default::default() };
                    facts.digests.insert(tag, found);
                }
            }
            assert!(matches!(choose(&policy, &ranking, &facts), Choice::Chosen(_)));
            millis(begun.elapsed())
        })
        .collect();
    Figure {
        name: "(d) selection over 100,000 tags".to_owned(),
        unit: "ms",
        samples,
        aim: Some(50.0),
        floor: None,
    }
}

// --- (e) ---

fn memory(ws: &Workspace<'_>) -> Figure {
    grow_fleet(ws, 30..100);
    let samples = (0..3)
        .map(|_| {
            let mut running = ws.skep_spawn(&["run"]);
            running.wait_for("skep started", LONG);
            let metrics = || {
                let answer = ws.http("GET", "/readyz", &[], b"");
                check(answer.as_ref().is_ok_and(|answer| answer.status == 200), || format!("{answer:?}"))
            };
            wait_until(LONG, "skep is ready", metrics);
            running.sighup();
            std::thread::sleep(Duration::from_secs(5));
            let peak = peak_megabytes(running.pid());
            running.sigterm();
            running.wait(LONG);
            peak
        })
        .collect();
    Figure {
        name: "(e) peak memory of run, 1,000 services".to_owned(),
        unit: "MB",
        samples,
        aim: None,
        floor: None,
    }
}

fn peak_megabytes(pid: u32) -> f64 {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let status = status.expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    let kilobytes: f64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024.0 / 1e6
}
