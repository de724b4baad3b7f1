//! How soon what was pushed is on its way: from a registry's notification, and from a git push, to the
//! first update call: see `docs/benchmarks.md`.
//!
//! `cargo bench --bench hooks`; needs no root, no Docker.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on says so by a panic")]

#[path = "swarm/figures.rs"]
mod figures;
#[expect(dead_code, reason = "the tests' world can do more than is needed here")]
#[path = "../tests/hooks/world.rs"]
mod world;

use std::io::Write as _;
use std::time::{Duration, Instant};

use figures::Figure;
use serde_json::json;
use skep::config::Hook;
use skep::sim::registry::ImageSpec;
use world::post::{Post, status};
use world::{Specs, World};

/// Times that each is done.
const ROUNDS: usize = 21;
const LONG: Duration = Duration::from_secs(60);
/// Notifications that come at once.
const BURST: usize = 100;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    let figures = runtime.block_on(async {
        let world = start(Specs::Directory).await;
        let mut figures = vec![notified(&world).await];
        figures.extend(burst(&world).await);
        drop(world);
        figures.extend(git(&start(Specs::Git).await).await);
        figures
    });
    let text = format!("\n{}\n{}\n", figures::table(&figures), figures::json(&figures));
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
}

/// With 300 services of 30 other customers beside the one that changes.
async fn start(from: Specs) -> World {
    let mut world = World::prepare(from).await;
    world.level = "warn";
    world.registry.push("shop/other", "1.0.0", &ImageSpec::new("other")).unwrap();
    let folder = if from == Specs::Git { "work" } else { "specs" };
    for customer in 0..30 {
        let service = |number| {
            format!(
                "[services.s{number}]\nimage = \"{}/shop/other\"\ndeploy.update_config.monitor = \"100ms\"\n",
                world.host
            )
        };
        world.write(&format!("{folder}/c{customer:02}.toml"), &(0..10).map(service).collect::<String>());
    }
    if from == Specs::Git {
        world.commit(2);
    }
    world.run().await;
    settled(&world, 301).await;
    world
}

/// Until so many rollouts are complete, and no pass is under way.
async fn settled(world: &World, rollouts: usize) {
    let complete = |world: &World| world.events().matches("\"RolloutComplete\"").count() >= rollouts;
    world.wait("all is at rest", complete).await;
    while world.metric("skep_queue_depth", "").await > 0.5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    world.spy.take();
}

/// When the first update call came.
async fn first_write(world: &World) -> Instant {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(first) = world.spy.take().first() {
            return *first;
        }
        assert!(Instant::now() < deadline, "nothing was written: {}", world.log());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn millis(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1e3
}

fn figure(name: &str, samples: Vec<f64>, aim: Option<f64>) -> Figure {
    Figure { name: name.to_owned(), unit: "ms", samples, aim, floor: None }
}

/// From the push to the embedded registry, which sends its notification at once.
async fn notified(world: &World) -> Figure {
    let mut samples = Vec::new();
    for round in 0..ROUNDS {
        let begun = Instant::now();
        world
            .registry
            .push("shop/web", &format!("1.1.{round}"), &ImageSpec::new(&format!("a {round}")))
            .unwrap();
        samples.push(millis(begun, first_write(world).await));
        settled(world, 302 + round).await;
    }
    figure("image pushed, with the registry's notification, to the update call", samples, Some(250.0))
}

/// What 100 calls at once for one repository lead to.
async fn burst(world: &World) -> Vec<Figure> {
    let passes = "skep_reconcile_duration_seconds_count";
    let lists = || {
        let requests = world.registry.requests();
        requests.iter().filter(|request| request.path.ends_with("/tags/list")).count()
    };
    let (mut passed, mut asked, mut took) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..5 {
        let (passes_before, lists_before) = (world.metric(passes, "").await, lists());
        let begun = Instant::now();
        let calls = (0..BURST).map(|number| async move {
            let id = format!("burst-{round}-{number}");
            let event = json!({"id": id, "action": "push", "target": {"repository": "shop/web"}});
            let call = Post::right(Hook::RegistryDistribution, json!({"events": [event]}).to_string());
            // As docker-registry does: until it is taken.
            while status(&world.post(&call).await) != 202 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        futures::future::join_all(calls).await;
        took.push(millis(begun, Instant::now()));
        // A last one, after whose update nothing of the burst is under way.
        let tag = format!("1.3.{round}");
        world.registry.push("shop/web", &tag, &ImageSpec::new(&tag)).unwrap();
        first_write(world).await;
        passed.push(world.metric(passes, "").await - passes_before);
        asked.push((lists() - lists_before) as f64);
        settled(world, 302 + ROUNDS + round).await;
    }
    let count = |name: &str, unit, samples| Figure { unit, ..figure(name, samples, None) };
    vec![
        figure("100 calls at once, until the last is answered", took, None),
        count("passes until the next update call", "passes", passed),
        count("tag lists asked for until then", "lists", asked),
    ]
}

async fn git(world: &World) -> Vec<Figure> {
    let (mut from_call, mut from_push) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let body = json!({"repository": world.git_url(), "ref": "refs/heads/main"});
        let call = Post::right(Hook::GitGeneric, body.to_string());
        let pushing = world.commit(1 + round % 2);
        let begun = Instant::now();
        let answer = world.post(&call).await;
        assert_eq!(status(&answer), 202, "{answer}");
        let written = first_write(world).await;
        from_call.push(millis(begun, written));
        from_push.push(millis(pushing, written));
        settled(world, 302 + round).await;
    }
    vec![
        figure("git: call sent to the update call", from_call, Some(500.0)),
        figure("git: `git push` begun to the update call", from_push, Some(500.0)),
    ]
}
