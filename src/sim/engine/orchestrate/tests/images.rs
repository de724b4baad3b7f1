use serde_json::json;

use super::world::{World, secs, service, set_image};
use crate::sim::engine::image::Behaviour;

/// Three nodes that all have `good:1`, then new content under that tag.
fn moved_tag() -> (World, String) {
    let mut world = World::new(3);
    let id = world.create(service("good:1", 3));
    world.run(secs(10));
    assert_eq!(world.says(&id), ["good:1"; 3]);
    world.push("good:1", "good:1 again", Behaviour::Runs);
    (world, id)
}

#[test]
fn the_same_bare_tag_again_changes_nothing() {
    let (mut world, id) = moved_tag();
    world.update(&id, |_| {});
    world.run(secs(20));
    assert_eq!(world.says(&id), ["good:1"; 3]);
}

#[test]
fn scaling_a_bare_tag_mixes_versions() {
    let (mut world, id) = moved_tag();
    world.update(&id, |spec| spec["Mode"]["Replicated"]["Replicas"] = json!(4));
    world.run(secs(20));
    assert_eq!(world.says(&id), ["good:1", "good:1", "good:1", "good:1 again"]);
}

#[test]
fn force_update_fetches_a_bare_tag() {
    let (mut world, id) = moved_tag();
    world.update(&id, |spec| spec["TaskTemplate"]["ForceUpdate"] = json!(1));
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:1 again"; 3]);
}

#[test]
fn with_the_registry_down_the_stale_image_runs_without_a_word() {
    let (mut world, id) = moved_tag();
    *world.table.down.lock().unwrap() = true;
    world.update(&id, |spec| spec["TaskTemplate"]["ForceUpdate"] = json!(1));
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:1"; 3]);
    assert!(world.running(&id).iter().all(|task| task.error.is_none()));
}

#[test]
fn one_host_stays_stale() {
    let (mut world, id) = moved_tag();
    // Only n2 cannot use what is new.
    let stale = world.state.nodes["n2"].images["good:1"].clone();
    world.update(&id, |spec| {
        spec["TaskTemplate"]["ForceUpdate"] = json!(1);
        spec["TaskTemplate"]["Placement"] = json!({"MaxReplicas": 1});
    });
    world.node("n2", |node| node.platform = "linux/arm64".to_owned());
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:1", "good:1 again", "good:1 again"]);
    assert_eq!(world.state.nodes["n2"].images["good:1"], stale);
}

#[test]
fn a_digest_fails_closed() {
    let (mut world, id) = moved_tag();
    *world.table.down.lock().unwrap() = true;
    world.update(&id, |spec| set_image(spec, "good:1@sha256:good:1 again"));
    world.until(|world| world.is(&id, "paused"));
    let rejected = world.lines(&id).into_iter().find(|line| line.contains("rejected"));
    assert_eq!(rejected.as_deref(), Some("1 ready rejected No such image: good:1@sha256:good:1 again"));

    *world.table.down.lock().unwrap() = false;
    world.run(secs(20));
    assert_eq!(world.says(&id), ["good:1", "good:1", "good:1 again"], "the task recovers");
    assert!(world.is(&id, "paused"), "the update does not");
}

#[test]
fn a_digest_that_is_there_is_not_asked_for() {
    let (mut world, id) = moved_tag();
    *world.table.down.lock().unwrap() = true;
    world.table.pulls.lock().unwrap().clear();
    world.update(&id, |spec| set_image(spec, "good:1@sha256:good:1"));
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:1"; 3]);
    assert_eq!(*world.table.pulls.lock().unwrap(), Vec::<String>::new());
}

#[test]
fn credentials_are_those_of_the_service() {
    for (auth, runs) in [(Some("secret"), 1), (Some("wrong"), 0), (None, 0)] {
        let mut world = World::new(1);
        *world.table.password.lock().unwrap() = Some("secret".to_owned());
        let id = world.create(service("good:1", 1));
        world.state.services.get_mut(&id).unwrap().auth = auth.map(str::to_owned);
        world.run(secs(10));
        assert_eq!(world.running(&id).len(), runs);
        if runs == 0 {
            assert_eq!(world.lines(&id)[0], "1 shutdown rejected No such image: good:1");
        }
    }
}

#[test]
fn credentials_that_were_missing_are_an_update_of_what_failed_only() {
    let mut world = World::new(1);
    *world.table.password.lock().unwrap() = Some("secret".to_owned());
    let id = world.create(service("good:1", 1));
    world.run(secs(10));
    world.update(&id, |_| {});
    world.state.services.get_mut(&id).unwrap().auth = Some("secret".to_owned());
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:1"]);

    world.update(&id, |_| {});
    world.state.services.get_mut(&id).unwrap().auth = None;
    world.run(secs(10));
    assert_eq!((world.status(&id).as_str(), world.running(&id).len()), ("", 1));
}
