//! The story: each act does something to the world, waits until skep has answered it, and
//! shows what came of it.

use super::commands::Typed;
use super::fleet::{self, API, CACHE, FRONTEND, INITECH, LATEST, OLD_LATEST as STALE};
use super::scene::{Scene, Seen};
use crate::cli::ServiceName;
use crate::events::Reason;

const ACTS: usize = 7;
/// What the specs choose at first, what is pushed then, and what hosts still have.
const BEFORE: &str = "1.4.2";
const NEW: &str = "1.5.0";
const BROKEN: &str = "1.6.0-rc.1";
const MENDED: &str = "1.6.0-rc.2";

/// # Errors
/// When something does not come about, or the output does not take it.
pub(super) async fn tell(scene: &mut Scene) -> anyhow::Result<()> {
    scene.narrator.text(
        "A Swarm of three hosts, a registry and a small fleet of customers, all within this process: no \
         Docker, no network, and nothing stays. skep, its clients and what it prints are the real ones. \
         Ctrl-C ends it.",
    )?;
    come_up(scene).await?;
    new_version(scene).await?;
    onboard(scene).await?;
    stale_latest(scene).await?;
    broken_version(scene).await?;
    registry_away(scene).await?;
    ending(scene).await
}

/// A customer's service as the Swarm names it.
fn frontends(customers: &[(&'static str, usize)]) -> Vec<(String, usize)> {
    customers.iter().map(|(customer, count)| (format!("{customer}_frontend"), *count)).collect()
}

async fn come_up(scene: &mut Scene) -> anyhow::Result<()> {
    scene.narrator.act(1, ACTS, "Two customers come up")?;
    scene.narrator.text(
        "A customer is a file; what they share is a template. No file names a version: of those that the \
         spec allows, skep takes the highest, and writes its digest.",
    )?;
    scene.world.write_specs(|path| path != INITECH)?;
    scene.narrator.does("", "cat specs/acme.toml")?;
    scene.narrator.verbatim(&scene.world.read_spec("acme.toml")?)?;
    scene.breathe(1.5).await;
    scene.command(Typed::Plan(&["acme"]), 1).await?;
    scene.breathe(2.0).await;
    scene.start_skep()?;
    let running = [
        ("acme_frontend", 2, fleet::says(FRONTEND, BEFORE)),
        ("acme_api", 2, fleet::says(API, "3.1.0")),
        ("acme_cache", 1, fleet::says(CACHE, "7.4.2-alpine")),
        ("globex_frontend", 3, fleet::says(FRONTEND, BEFORE)),
        ("globex_api", 2, fleet::says(API, "3.1.0")),
    ];
    let complete = |seen: &Seen<'_>| {
        running.iter().all(|(service, count, says)| {
            let about = service.replace('_', "/");
            seen.say(service, *count, says) && seen.told(Reason::RolloutComplete, &about)
        })
    };
    scene.until("all services run the highest version that their specs allow", complete).await?;
    scene.show(&running.map(|(service, ..)| service), None)?;
    scene.breathe(1.5).await;
    Ok(())
}

async fn new_version(scene: &mut Scene) -> anyhow::Result<()> {
    scene.narrator.act(2, ACTS, "A new frontend is pushed")?;
    scene.turn_page();
    let (tag, latest) = (scene.world.push(FRONTEND, NEW)?, scene.world.push_as(FRONTEND, LATEST, NEW)?);
    scene.narrator.does("ci", &format!("docker push {tag}"))?;
    scene.narrator.does("ci", &format!("docker push {latest}"))?;
    let rolled = frontends(&[("acme", 2), ("globex", 3)]);
    scene
        .until(&format!("both customers run {NEW}, task by task"), |seen| {
            rolled.iter().all(|(service, count)| {
                let about = service.replace('_', "/");
                let complete = seen.told(Reason::RolloutComplete, &about);
                complete && seen.say(service, *count, &fleet::says(FRONTEND, NEW))
            })
        })
        .await?;
    scene.show(&["acme_frontend", "globex_frontend"], None)?;
    scene.breathe(1.5).await;
    Ok(())
}

async fn onboard(scene: &mut Scene) -> anyhow::Result<()> {
    scene.narrator.act(3, ACTS, "A customer is onboarded by a file")?;
    scene.turn_page();
    scene.narrator.text(
        "initech has long had a stack that `docker stack deploy` made. Its new file says `adopt = true`, \
         and holds the api back for now.",
    )?;
    scene.show(&["initech_frontend", "initech_api", "initech_cache"], None)?;
    scene.breathe(1.5).await;
    scene.narrator.does("ops", "cp initech.toml specs/eu/")?;
    scene.world.write_specs(|path| path == INITECH)?;
    let new = fleet::says(FRONTEND, NEW);
    scene
        .until(&format!("initech's stack is skep's, and its frontend runs {NEW}"), |seen| {
            seen.told(Reason::RolloutComplete, "initech/frontend") && seen.say("initech_frontend", 2, &new)
        })
        .await?;
    scene.show(&["initech_frontend", "initech_api", "initech_cache"], None)?;
    scene.breathe(1.5).await;
    Ok(())
}

async fn stale_latest(scene: &mut Scene) -> anyhow::Result<()> {
    scene.narrator.act(4, ACTS, "Somebody deploys `latest` by hand")?;
    scene.turn_page();
    scene.narrator.text(&format!(
        "skep is down for maintenance. Somebody who is not logged in to the registry deploys `latest`, \
         which is {NEW} there. So no host may pull it; each only logs that, and starts the `latest` that it \
         has had since last year."
    ))?;
    scene.stop_skep().await?;
    let image = scene.world.reference(FRONTEND, LATEST);
    let by_hand = "docker service update --with-registry-auth --no-resolve-image";
    scene.narrator.does("bob", &format!("{by_hand} --image {image} acme_frontend"))?;
    scene.world.update_by_hand("acme_frontend", &image).await?;
    let stale = fleet::says(FRONTEND, STALE);
    scene
        .until("Swarm says: update completed. The containers say what runs:", |seen| {
            seen.say("acme_frontend", 2, &stale) && seen.update_state("acme_frontend") == "completed"
        })
        .await?;
    scene.show(&["acme_frontend"], Some(STALE))?;
    scene.breathe(1.5).await;
    scene.command(Typed::Audit, 1).await?;
    scene.breathe(2.0).await;
    scene.command(Typed::Plan(&[]), 1).await?;
    scene.breathe(1.5).await;
    scene.start_skep()?;
    let new = fleet::says(FRONTEND, NEW);
    scene
        .until("skep has noticed, and mended it", |seen| {
            seen.told(Reason::DriftDetected, "acme/frontend")
                && seen.told(Reason::RolloutComplete, "acme/frontend")
                && seen.say("acme_frontend", 2, &new)
        })
        .await?;
    scene.show(&["acme_frontend"], Some(STALE))?;
    scene.breathe(1.5).await;
    Ok(())
}

async fn broken_version(scene: &mut Scene) -> anyhow::Result<()> {
    scene.narrator.act(5, ACTS, "A broken version is pushed")?;
    scene.turn_page();
    scene.narrator.text(&format!(
        "{BROKEN} ends with an error as soon as it starts. Only globex takes release candidates."
    ))?;
    let tag = scene.world.push_broken(FRONTEND, BROKEN)?;
    scene.narrator.does("ci", &format!("docker push {tag}"))?;
    let new = fleet::says(FRONTEND, NEW);
    scene
        .until(&format!("globex runs {NEW} again, and {BROKEN} is not tried any more"), |seen| {
            [Reason::RolloutFailed, Reason::RolledBack, Reason::VersionRefused]
                .iter()
                .all(|reason| seen.told(*reason, "globex/frontend"))
                && seen.say("globex_frontend", 3, &new)
        })
        .await?;
    scene.breathe(1.0).await;
    let service = ServiceName { customer: "globex".into(), service: "frontend".into() };
    scene.command(Typed::Explain(service), 0).await?;
    scene.breathe(2.0).await;
    scene.turn_page();
    let tag = scene.world.push(FRONTEND, MENDED)?;
    scene.narrator.does("ci", &format!("docker push {tag}"))?;
    let mended = fleet::says(FRONTEND, MENDED);
    scene
        .until(&format!("globex runs {MENDED}"), |seen| {
            seen.told(Reason::RolloutComplete, "globex/frontend") && seen.say("globex_frontend", 3, &mended)
        })
        .await?;
    scene.show(&["acme_frontend", "globex_frontend", "initech_frontend"], None)?;
    scene.breathe(1.5).await;
    Ok(())
}

async fn registry_away(scene: &mut Scene) -> anyhow::Result<()> {
    scene.narrator.act(6, ACTS, "The registry goes away, and comes back")?;
    scene.turn_page();
    let (before, writes) = (scene.world.containers(), scene.world.writes());
    scene.world.registry_down();
    scene
        .until("skep says that it cannot know, and lets everything run", |seen| {
            ["acme/frontend", "globex/frontend", "initech/frontend"]
                .iter()
                .all(|about| seen.told(Reason::RegistryUnavailable, about))
        })
        .await?;
    scene.command(Typed::Audit, 2).await?;
    scene
        .narrator
        .text("Nobody can tell now what is the highest, so nothing is called that: exit status 2.")?;
    scene.breathe(2.0).await;
    scene.world.registry_up().await?;
    scene
        .until("the registry answers again", |seen| {
            ["acme/frontend", "globex/frontend", "initech/frontend"]
                .iter()
                .all(|about| seen.told(Reason::Recovered, about))
        })
        .await?;
    anyhow::ensure!(
        scene.world.containers() == before && scene.world.writes() == writes,
        "something was changed while the registry was away"
    );
    scene.narrator.seen("not one task was touched meanwhile")?;
    scene.breathe(1.0).await;
    Ok(())
}

async fn ending(scene: &mut Scene) -> anyhow::Result<()> {
    scene.narrator.act(7, ACTS, "What runs now")?;
    scene.show(&[], Some(STALE))?;
    scene.command(Typed::Audit, 0).await?;
    scene.breathe(0.5).await;
    scene.narrator.text("What to try next:")?;
    scene.narrator.verbatim(NEXT)?;
    Ok(())
}

const NEXT: &str = "\
skep demo --serve   such a fleet, kept for skep in another terminal
skep doctor         on your own Swarm: what is in skep's way
skep audit          on your own Swarm: what is behind; it changes nothing
skep events --help  what skep records, and why";
