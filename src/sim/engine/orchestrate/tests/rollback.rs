use rstest::rstest;
use serde_json::json;

use super::world::{World, nanos, secs, service, set_image};

fn failing(action: &str) -> (World, String) {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 3));
    world.run(secs(10));
    world.update(&id, |spec| {
        set_image(spec, "bad:1");
        spec["UpdateConfig"]["FailureAction"] = json!(action);
    });
    (world, id)
}

#[test]
fn rolls_back_to_the_previous_spec() {
    let (mut world, id) = failing("rollback");
    world.until(|world| world.is(&id, "rollback_started"));
    let status = world.status(&id);
    assert!(
        status
            .starts_with("rollback_started: update rolled back due to failure or early termination of task "),
        "{status}"
    );
    let service = &world.state.services[&id];
    assert_eq!(service.object.spec["TaskTemplate"]["ContainerSpec"]["Image"], "good:1");
    assert_eq!(service.previous_spec, None);
    let event = world.state.events.last().unwrap();
    assert_eq!(event.attributes["image.new"], "good:1");
    assert_eq!(event.attributes["updatestate.new"], "rollback_started");

    world.until(|world| world.is(&id, "rollback_completed"));
    assert_eq!(world.status(&id), "rollback_completed: rollback completed");
    assert_eq!(world.says(&id), ["good:1"; 3]);
    let index = world.state.index;
    world.run(secs(600));
    assert_eq!(world.state.index, index, "and that is the end of it");
}

#[rstest]
#[case::said("pause")]
#[case::unsaid("")]
fn pauses(#[case] action: &str) {
    let (mut world, id) = failing(action);
    world.until(|world| world.is(&id, "paused"));
    let status = world.status(&id);
    let words = "paused: update paused due to failure or early termination of task ";
    assert!(status.starts_with(words), "{status}");
    let task = &status[words.len()..];
    assert!(world.state.tasks[task].error.as_deref() == Some("task: non-zero exit (1)"), "{status}");

    world.run(secs(60));
    assert_eq!(world.status(&id), status, "it stays paused");
    assert!(world.says(&id).contains(&"good:1".to_owned()), "what was not begun is left alone");

    // The crash loop goes on in the new spec. A new spec ends it.
    world.update(&id, |spec| set_image(spec, "good:2"));
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:2"; 3]);
}

#[test]
fn goes_on_in_spite_of_failures() {
    let (mut world, id) = failing("continue");
    world.until(|world| world.is(&id, "completed"));
    world.run(secs(20));
    assert!(world.running(&id).iter().all(|task| task.object.spec["ContainerSpec"]["Image"] == "bad:1"));
}

#[rstest]
#[case::few_enough(0.5, "completed")]
#[case::too_many(0.2, "paused")]
fn a_share_of_failures_is_borne(#[case] ratio: f64, #[case] expected: &str) {
    let mut world = World::new(3);
    let id = world.create(service("good:1", 3));
    world.run(secs(10));
    // On one of three nodes the new image cannot be had.
    world.node("n2", |node| node.platform = "linux/arm64".to_owned());
    world.update(&id, |spec| {
        set_image(spec, "good:2");
        spec["UpdateConfig"]["MaxFailureRatio"] = json!(ratio);
        // It comes back to the same node each time.
        spec["TaskTemplate"]["Placement"] = json!({"MaxReplicas": 1});
        spec["UpdateConfig"]["Parallelism"] = json!(1);
    });
    world.until(|world| ["completed", "paused"].iter().any(|state| world.is(&id, state)));
    assert!(world.is(&id, expected), "{}: {:#?}", world.status(&id), world.lines(&id));
}

#[test]
fn a_failure_after_the_monitored_time_is_none() {
    let (mut world, id) = failing("rollback");
    world.update(&id, |spec| {
        set_image(spec, "bad:2");
        spec["UpdateConfig"]["Monitor"] = json!(nanos(std::time::Duration::from_millis(100)));
    });
    world.until(|world| world.is(&id, "completed"));
}

#[test]
fn by_hand() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    world.update(&id, |spec| set_image(spec, "good:2"));
    world.until(|world| world.is(&id, "completed"));
    world.roll_back(&id);
    world.step();
    assert_eq!(world.status(&id), "rollback_started: manually requested rollback");
    world.until(|world| world.is(&id, "rollback_completed"));
    assert_eq!(world.says(&id), ["good:1"; 2]);
}

#[test]
fn by_hand_with_nothing_to_do_it_is_done_at_once() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    world.update(&id, |spec| spec["Labels"] = json!({"a": "b"}));
    world.run(secs(1));
    world.roll_back(&id);
    world.step();
    assert_eq!(world.status(&id), "rollback_completed: rollback completed");
}

#[test]
fn a_rollback_that_fails_is_paused() {
    let mut world = World::new(1);
    let mut spec = service("bad:1", 1);
    spec["UpdateConfig"]["FailureAction"] = json!("rollback");
    spec["RollbackConfig"] = json!({"Parallelism": 1, "FailureAction": "pause"});
    let id = world.create(spec);
    world.run(secs(10));
    world.update(&id, |spec| set_image(spec, "bad:2"));
    world.until(|world| world.is(&id, "rollback_started"));
    world.until(|world| world.is(&id, "rollback_paused"));
}

/// As measured: while the last slot is being replaced nobody looks at failures.
#[test]
fn a_failure_is_noticed_when_the_last_slot_is_done() {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    world.update(&id, |spec| set_image(spec, "bad:1"));
    let failed = |world: &World| world.tasks(&id).iter().filter(|task| task.exit_code == Some(1)).count();
    world.until(|world| failed(world) == 1);
    assert_eq!(world.status(&id), "updating: update in progress");
    world.until(|world| world.is(&id, "paused"));
    assert_eq!(failed(&world), 1);
    let running = world.running(&id);
    assert_eq!((running.len(), running[0].since), (1, world.now), "the second one came to run just now");
}
