//! Somebody else writes to a service as soon as skep has put it right: another controller, say. The two must not
//! write as fast as the engine answers (I12), others must not feel it (I10), and when it is over all is put right (I1).

use std::time::{Duration, Instant as Clock};

use serde_json::json;
use tokio::time::Instant;

use crate::oracle;
use crate::scenarios::{WEB, has_tag};
use crate::skep_process::Skep;
use crate::world::World;

const SERVICE: &str = "acme_web";
const OTHER: &str = "initech_web";
/// Replicas: the spec has two.
const THEIRS: u64 = 1;
/// How often they look.
const TICK: Duration = Duration::from_millis(50);
const CONTEST: Duration = Duration::from_secs(900);
/// Three at once, and then ever longer waits, each twice the one before: to 900 seconds about ten.
const WRITES_MAX: usize = 16;
const SOON: Duration = Duration::from_secs(60);
/// Longer than the longest wait.
const AT_LAST: Duration = Duration::from_secs(450);

/// How many contests skep does not stand: 0 or 1.
pub fn run() -> usize {
    let begun = Clock::now();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let result = runtime.unwrap().block_on(contest());
    match &result {
        Ok(writes) => println!("contest: {writes} writes in {CONTEST:?}, {:.1?}", begun.elapsed()),
        Err(problem) => println!("FAILED contest: {problem}"),
    }
    usize::from(result.is_err())
}

async fn contest() -> Result<usize, String> {
    let world = World::new(None, None, None);
    for name in ["acme", "initech"] {
        world.push(&format!("shop/{name}"), "1.0.0");
        world.spec(&format!("{name}.toml"), &WEB.replace("shop/web", &format!("shop/{name}")));
    }
    let skep = Skep::start(&world);
    let runs = |name: &str, tag: &str| world.engine.read(|state| has_tag(state, name, tag));
    until("both run", SOON, || runs(SERVICE, "1.0.0") && runs(OTHER, "1.0.0")).await?;
    // Also of the first rollout the end.
    tokio::time::sleep(SOON).await;

    let before = world.witness.counts();
    let end = Instant::now() + CONTEST;
    world.push("shop/initech", "1.1.0");
    while Instant::now() < end {
        if !is_theirs(&world) {
            world.by_hand(SERVICE, |spec| spec["Mode"]["Replicated"]["Replicas"] = json!(THEIRS));
        }
        tokio::time::sleep(TICK).await;
    }
    if !runs(OTHER, "1.1.0") {
        return Err("another customer was held up".to_owned());
    }
    let writes = of(&world.witness.counts()) - of(&before);
    if !(5..=WRITES_MAX).contains(&writes) {
        return Err(format!("{writes} writes in {CONTEST:?}, not 5 to {WRITES_MAX}"));
    }
    until("it is put right at last", AT_LAST, || !is_theirs(&world)).await?;
    tokio::time::sleep(SOON).await;
    if is_theirs(&world) || world.has_open_intents() {
        return Err("it is not put right, or an intent is open".to_owned());
    }
    skep.kill().await;
    let events = oracle::read(&world.events_dir());
    if !events.iter().any(|event| event.message.contains("changes it back")) {
        return Err("nothing was told of it".to_owned());
    }
    world.witness.violations().first().map_or(Ok(writes), |violation| Err(violation.clone()))
}

fn is_theirs(world: &World) -> bool {
    world.engine.with(|state| {
        let service = state.find_service(SERVICE);
        service.is_some_and(|it| it.object.spec["Mode"]["Replicated"]["Replicas"] == json!(THEIRS))
    })
}

/// How often skep updated the service.
fn of(counts: &std::collections::BTreeMap<(String, crate::witness::Verb), usize>) -> usize {
    counts
        .iter()
        .filter(|((name, verb), _)| name == SERVICE && *verb == crate::witness::Verb::Update)
        .map(|(_, n)| n)
        .sum()
}

async fn until(what: &str, limit: Duration, met: impl Fn() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    while !met() {
        if begun.elapsed() > limit {
            return Err(format!("not within {limit:?}: {what}"));
        }
        tokio::time::sleep(TICK).await;
    }
    Ok(())
}
