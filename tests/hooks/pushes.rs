//! What is pushed is there at once.

use std::time::Duration;

use serde_json::{Value, json};
use skep::config::Hook;
use skep::sim::registry::{ImageSpec, Misbehaviour};

use crate::world::post::{Post, payload, status};
use crate::world::{Specs, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_registrys_notification_moves_the_service() {
    let world = World::start(Specs::Directory).await;
    world.registry.push("shop/web", "1.1.0", &ImageSpec::new("1.1.0")).unwrap();
    world.wait("1.1.0 runs", |world| world.image().contains(":1.1.0@")).await;
    let events = world.events();
    let update = events.lines().find(|line| line.contains("ImageUpdated")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(update).unwrap()["trigger"], "registry", "as polling has it");
    // Nodes and skep itself pull, of which the registry tells too: that wakes nobody.
    assert!(world.metric("skep_hooks_total", "woken").await >= 1.0);
    world.no_canary(&[]).await;
}

/// GitHub's payload of a push to the repository that specs come from.
fn push_to(world: &World, reference: &str) -> Vec<u8> {
    let mut push: Value = serde_json::from_slice(&payload("git-github-push")).unwrap();
    push["ref"] = json!(reference);
    push["repository"]["clone_url"] = json!(world.git_url());
    push.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_git_push_moves_the_service() {
    let world = World::start(Specs::Git).await;
    world.commit(2);
    for (reference, repository) in [("refs/heads/next", true), ("refs/heads/main", false)] {
        let body = if repository { push_to(&world, reference) } else { payload("git-github-push") };
        let answer = world.post(&Post::right(Hook::GitGithub, body)).await;
        assert!(status(&answer) == 202 && answer.contains("ignored"), "{answer}");
    }
    assert_eq!(world.in_spec("/Mode/Replicated/Replicas"), 1, "nobody has told of it");
    let call =
        Post::right(Hook::GitGithub, push_to(&world, "refs/heads/main")).with("X-GitHub-Delivery", "1");
    let answer = world.post(&call).await;
    assert!(status(&answer) == 202 && answer.contains("woken"), "{answer}");
    world.wait("two replicas", |world| world.in_spec("/Mode/Replicated/Replicas") == 2).await;
    assert!(world.events().contains("SpecChanged"));
    let answer = world.post(&call).await;
    assert!(status(&answer) == 200 && answer.contains("already seen"), "{answer}");
    world.no_canary(&[answer]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_burst_of_a_hundred_leads_to_few_passes() {
    let world = World::start(Specs::Directory).await;
    // Slow, so that all of the burst comes while one question is under way.
    world.registry.set_fault(Some(Misbehaviour::SlowDrip(Duration::from_millis(300))));
    let asked = || {
        let requests = world.registry.requests();
        requests.iter().filter(|request| request.path.ends_with("/tags/list")).count()
    };
    let passes = "skep_reconcile_duration_seconds_count";
    let (asked_before, before) = (asked(), world.metric(passes, "").await);
    let mut taken = 0;
    for number in 0..100 {
        let event =
            json!({"id": format!("burst-{number}"), "action": "push", "target": {"repository": "shop/web"}});
        let call = Post::right(Hook::RegistryDistribution, json!({"events": [event]}).to_string());
        taken += usize::from(status(&world.post(&call).await) == 202);
    }
    assert_eq!(taken, 100);
    world.registry.set_fault(None);
    world.registry.push("shop/web", "1.2.0", &ImageSpec::new("1.2.0")).unwrap();
    world.wait("1.2.0 runs", |world| world.image().contains(":1.2.0@")).await;
    let (asked, passes) = (asked() - asked_before, world.metric(passes, "").await - before);
    assert!(
        asked <= 25 && passes <= 25.0,
        "100 calls: the registry was asked {asked} times, {passes} passes"
    );
}
