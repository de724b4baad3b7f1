//! A registry that lies, hangs, floods and breaks the protocol: every command of skep against each of its
//! misdeeds, as processes over sockets, with an embedded Swarm behind. Whatever it does, nothing crashes or hangs,
//! nothing is deployed but what an honest registry has, and no credential is shown to anybody else.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod deeds;
mod proxy;
mod world;

use std::time::{Duration, Instant};

use futures::StreamExt as _;

use deeds::{Deed, Then, deeds};
use world::World;

/// Deeds at once: each is mostly waiting.
const AT_ONCE: usize = 4;
/// Each command ends by itself within its own bounds: thirty seconds for a request, some of them one after another.
const COMMAND_MAX: Duration = Duration::from_secs(90);
const COMMANDS: [&str; 5] = ["plan", "apply --no-wait", "status", "explain acme/web", "audit --output json"];

#[tokio::test(flavor = "multi_thread")]
async fn no_registry_breaks_skep() {
    let all = deeds();
    assert!(all.len() >= 50, "{} deeds", all.len());
    let count = all.len();
    let tried = futures::stream::iter(all).map(|deed| async move {
        let name = deed.name;
        attempt(deed).await.err().map(|why| format!("{name}: {why}"))
    });
    let wrong: Vec<String> = tried.buffer_unordered(AT_ONCE).filter_map(std::future::ready).collect().await;
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// An honest start, the deed, every command; then all that must hold.
async fn attempt(deed: Deed) -> Result<(), String> {
    let world = World::start().await;
    world.honest_start().await?;
    world.misbehave(deed.answer);
    for line in COMMANDS {
        let begun = Instant::now();
        let ran = world.skep(line, COMMAND_MAX).await?;
        if begun.elapsed() > COMMAND_MAX {
            return Err(format!("`{line}` took {:?}", begun.elapsed()));
        }
        ran.check(line)?;
        if line.starts_with("apply") && deed.then == Then::Kept && ran.status == Some(0) {
            return Err(format!("`{line}` says that all is well:\n{}", ran.all()));
        }
    }
    world.check(deed.then)
}

/// The world itself: a deed that does nothing must let the new version through.
#[tokio::test(flavor = "multi_thread")]
async fn an_honest_registry_is_followed() {
    let honest = Deed { name: "honest", answer: |_, _| None, then: Then::Newest };
    attempt(honest).await.unwrap();
    let expectation = Deed { name: "honest", answer: |_, _| None, then: Then::Kept };
    assert!(attempt(expectation).await.is_err(), "this test could not fail");
}
