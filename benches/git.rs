//! From a commit that was pushed to the call that updates the service: see `docs/benchmarks.md`.
//!
//! `cargo bench --bench git`; needs git, and no root nor Docker.

#[path = "swarm/figures.rs"]
mod figures;
#[expect(dead_code, clippy::unwrap_used, unreachable_pub, reason = "the tests use more of it, and may panic")]
#[path = "../tests/git/fleet.rs"]
mod fleet;
#[expect(dead_code, clippy::unwrap_used, unreachable_pub, reason = "the tests use more of it, and may panic")]
#[path = "../tests/git/origin.rs"]
mod origin;

use std::io::Write as _;
use std::time::{Duration, Instant};

use figures::Figure;
use fleet::{Fleet, Running};
use skep::controller::Specs;
use skep::controller::specs::Sealing;
use skep::events::Trigger;
use skep::spec::ContentKey;

/// With the one that is changed.
const CUSTOMERS: usize = 30;
const SERVICES: usize = 10;
const ROUNDS: usize = 21;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let figures = runtime.block_on(measure());
    let text = format!("\n{}\n{}\n", figures::table(&figures), figures::json(&figures));
    std::io::stdout().write_all(text.as_bytes()).ok();
}

/// The fleet, with `round` in what is changed.
fn write(fleet: &Fleet, round: usize) {
    for customer in 1..CUSTOMERS {
        let service = |number| {
            format!("[services.s{number}]\nimage = \"{}\"\ndeploy = {{ replicas = 0 }}\n", fleet.image)
        };
        let text: String = (0..SERVICES).map(service).collect();
        fleet.origin.write(&format!("specs/c{customer:02}.toml"), text.as_bytes());
    }
    let lines = format!("deploy = {{ replicas = 0 }}\nenvironment = {{ ROUND = \"{round}\" }}\n");
    fleet.origin.push("specs/acme.toml", &fleet.spec(&lines), "another round");
}

async fn measure() -> Vec<Figure> {
    let fleet = Fleet::start().await;
    write(&fleet, 0);
    let (fetches, plans) = alone(&fleet);
    fleet.configure(&fleet.origin.url(), "interval = \"1h\"");
    let skep = start(&fleet).await;
    let mut told = Vec::new();
    for round in 100..100 + ROUNDS {
        told.push(until_updated(&fleet, round, || hangup(&skep)).await);
    }
    skep.kill().await;
    fleet.configure(&fleet.origin.url(), "");
    let _skep = start(&fleet).await;
    let mut polled = Vec::new();
    for round in 200..200 + ROUNDS {
        // Not always at the same time after a fetch.
        tokio::time::sleep(Duration::from_millis(370)).await;
        polled.push(until_updated(&fleet, round, || ()).await);
    }
    let figure =
        |name: &str, samples| Figure { name: name.into(), unit: "ms", samples, aim: None, floor: None };
    vec![
        figure("fetch of a new commit, with reading it, over file://", fetches),
        figure("checking the specs of a commit", plans),
        figure("SIGHUP after a push to the update call", told),
        figure("push to the update call, interval 1s", polled),
    ]
}

/// In this process: the fetch, and what it means.
fn alone(fleet: &Fleet) -> (Vec<f64>, Vec<f64>) {
    let dir = fleet.origin.path("alone");
    let config = origin::load(&fleet.origin.path("skep.toml")).git.expect("the source is git");
    let repository = skep::source::git::Repository::new(&config, &dir);
    let sealing = Sealing::controller(ContentKey::new([7; ContentKey::BYTES]));
    let mut specs = Specs::new(&dir, None, sealing);
    let (mut fetches, mut plans) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        write(fleet, round);
        let begun = Instant::now();
        let tree = std::sync::Arc::new(repository.fetch().expect("it is there"));
        fetches.push(milliseconds(begun));
        let begun = Instant::now();
        let changes = specs.take_tree(&tree, Trigger::Spec, jiff::Timestamp::now());
        plans.push(milliseconds(begun));
        assert!(!changes.changed.is_empty(), "nothing changed");
    }
    (fetches, plans)
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

async fn start(fleet: &Fleet) -> Running {
    let skep = fleet.run();
    let all = 1 + (CUSTOMERS - 1) * SERVICES;
    fleet.until("all services", || (fleet.services() == all).then_some(())).await;
    skep
}

fn hangup(skep: &Running) {
    let pid = skep.0.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
    rustix::process::kill_process(pid.expect("it runs"), rustix::process::Signal::HUP).expect("it runs");
}

/// Pushes, does something about it, and waits for the call.
async fn until_updated(fleet: &Fleet, round: usize, tell: impl FnOnce()) -> f64 {
    write(fleet, round);
    let begun = Instant::now();
    tell();
    let call = || fleet.updates().into_iter().find(|call| *call > begun);
    let call = fleet.until("the update call", call).await;
    let wanted = format!("ROUND={round}");
    let is_so = || fleet.service().filter(|spec| spec.to_string().contains(&wanted)).map(drop);
    fleet.until("the new value", is_so).await;
    call.duration_since(begun).as_secs_f64() * 1_000.0
}
