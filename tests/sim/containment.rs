//! I10: whatever goes wrong with one customer, the others go on as if it did not.

use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use skep::sim::wire::{Exchange, Fault};
use tokio::time::Instant;

use crate::bugs::Bug;
use crate::plan::{REGISTRY, SWARM};
use crate::scenarios::{WEB, has_tag};
use crate::skep_process::Skep;
use crate::world::{OTHER_HOST, REGISTRY_HOST, RESYNC, World};

/// Those that go on.
const GOOD: [&str; 2] = ["acme", "initech"];
/// More than skep works on at once.
const BAD: usize = 10;
const TICK: Duration = Duration::from_millis(250);
/// Nobody is delayed by more than two resyncs.
const DELAY_MAX: Duration = Duration::from_secs(2 * RESYNC.as_secs());
const START_MAX: Duration = Duration::from_secs(120);

/// What goes on and on for the bad customers, and for them alone.
struct Trouble {
    name: &'static str,
    /// What happens to an exchange that is theirs.
    fault: Option<fn(&Exchange) -> Option<Fault>>,
    bug: Option<Bug>,
    /// Theirs is another registry.
    at_registry: bool,
    /// What their spec says besides.
    spec: &'static str,
}

const NONE: Trouble = Trouble { name: "none", fault: None, bug: None, at_registry: false, spec: "" };

fn asks(exchange: &Exchange) -> bool {
    exchange.target == REGISTRY
}

fn writes(exchange: &Exchange) -> bool {
    exchange.target == SWARM
}

const TROUBLES: [Trouble; 9] = [
    Trouble {
        name: "their registry hangs",
        fault: Some(|it| asks(it).then_some(Fault::Hang)),
        at_registry: true,
        ..NONE
    },
    Trouble {
        name: "their registry resets",
        fault: Some(|it| asks(it).then_some(Fault::Reset)),
        at_registry: true,
        ..NONE
    },
    Trouble {
        name: "their registry is overloaded",
        fault: Some(|it| asks(it).then_some(Fault::ErrorBefore(429))),
        at_registry: true,
        ..NONE
    },
    Trouble { name: "writes hang", fault: Some(|it| writes(it).then_some(Fault::Hang)), ..NONE },
    Trouble { name: "writes are lost", fault: Some(|it| writes(it).then_some(Fault::ResetAfter)), ..NONE },
    Trouble { name: "writes conflict", fault: Some(|it| writes(it).then_some(Fault::Conflict)), ..NONE },
    Trouble {
        name: "writes are refused",
        fault: Some(|it| writes(it).then_some(Fault::ErrorBefore(400))),
        ..NONE
    },
    Trouble { name: "a pass panics", bug: Some(Bug::Panics), ..NONE },
    Trouble {
        name: "no node is fit",
        spec: "placement = { constraints = [\"node.labels.none == here\"] }, ",
        ..NONE
    },
];

/// How many troubles reach others.
pub fn run() -> usize {
    let begun = Clock::now();
    let base = alone(&NONE).expect("without trouble all goes well");
    let mut failed = 0;
    for trouble in &TROUBLES {
        match alone(trouble) {
            Ok(times) => {
                for (what, took, usual) in [("first", times[0], base[0]), ("second", times[1], base[1])] {
                    if took > usual + DELAY_MAX {
                        failed += 1;
                        println!(
                            "FAILED containment: {}: the {what} push took {took:?}, not {usual:?}",
                            trouble.name
                        );
                    }
                }
            }
            Err(problem) => {
                failed += 1;
                println!("FAILED containment: {}: {problem}", trouble.name);
            }
        }
    }
    println!(
        "containment: {} troubles of {BAD} customers, {failed} failed, {:.1?}",
        TROUBLES.len(),
        begun.elapsed()
    );
    failed
}

/// How long two pushes took to run everywhere among the good ones.
fn alone(trouble: &Trouble) -> Result<[Duration; 2], String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let world = World::new(None, trouble.bug, None);
        setup(&world, trouble);
        let skep = Skep::start(&world);
        until_all_run(&world, "1.0.0", START_MAX).await?;
        begin(&world, trouble);
        (0..BAD).for_each(|number| world.push(&format!("bad/web{number}"), "1.1.0"));
        let mut times = [Duration::ZERO; 2];
        for (at, tag) in ["1.1.0", "1.2.0"].into_iter().enumerate() {
            GOOD.iter().for_each(|name| world.push(&format!("shop/{name}"), tag));
            times[at] = until_all_run(&world, tag, 3 * DELAY_MAX).await?;
        }
        skep.kill().await;
        let violations = world.witness.violations();
        violations.first().map_or(Ok(times), |violation| Err(violation.clone()))
    })
}

fn setup(world: &World, trouble: &Trouble) {
    for name in GOOD {
        world.push(&format!("shop/{name}"), "1.0.0");
        world.spec(&format!("{name}.toml"), &WEB.replace("shop/web", &format!("shop/{name}")));
    }
    for number in 0..BAD {
        world.push(&format!("bad/web{number}"), "1.0.0");
        let spec = WEB.replace("shop/web", &format!("bad/web{number}"));
        // What hangs for one customer of a registry may hang for another one of it.
        let spec = spec.replace(REGISTRY_HOST, if trouble.at_registry { OTHER_HOST } else { REGISTRY_HOST });
        let spec = spec.replace("replicas = 2, ", &format!("replicas = 1, {}", trouble.spec));
        world.spec(&format!("bad{number}.toml"), &spec);
    }
}

/// From now on there is trouble.
fn begin(world: &World, trouble: &Trouble) {
    let Some(fault) = trouble.fault else { return };
    let engine = world.engine.clone();
    world.tap.rule(Arc::new(move |exchange| {
        let is_bad = match exchange.target == REGISTRY {
            true => exchange.path.contains("/bad/"),
            false => {
                let id = exchange.path.strip_suffix("/update").and_then(|path| path.rsplit('/').next());
                let name = id.and_then(|id| {
                    engine.read(|state| state.find_service(id).map(|service| service.name().to_owned()))
                });
                name.is_some_and(|name| name.starts_with("bad"))
            }
        };
        if is_bad { fault(exchange) } else { None }
    }));
}

async fn until_all_run(world: &World, tag: &str, limit: Duration) -> Result<Duration, String> {
    let begun = Instant::now();
    let runs = |name: &str| {
        let service = format!("{name}_web");
        world.engine.with(|state| {
            let rolls = state
                .find_service(&service)
                .and_then(|it| it.update.as_ref())
                .is_some_and(|it| it.state == "updating");
            has_tag(state, &service, tag) && !rolls
        })
    };
    while !GOOD.iter().all(|name| runs(name)) {
        if begun.elapsed() > limit {
            return Err(format!("{tag} does not run everywhere after {limit:?}"));
        }
        tokio::time::sleep(TICK).await;
    }
    Ok(begun.elapsed())
}
