use rstest::rstest;
use serde_json::json;

use super::world::{World, millis, nanos, secs, service, set_image};
use crate::sim::engine::state::TaskState;

/// How many tasks ran at least, and how many at most, while it updated.
fn bounds(world: &mut World, id: &str) -> (usize, usize) {
    let (mut least, mut most) = (usize::MAX, 0);
    world.until(|world| {
        let alive = world.tasks(id).iter().filter(|task| task.state == TaskState::Running).count();
        least = least.min(world.running(id).len());
        most = most.max(alive);
        world.is(id, "completed")
    });
    (least, most)
}

#[rstest]
#[case::one_by_one(1, "stop-first", (3, 4))]
#[case::two_at_once(2, "stop-first", (2, 4))]
#[case::all(0, "stop-first", (0, 4))]
#[case::start_first(1, "start-first", (4, 6))]
#[case::all_start_first(0, "start-first", (4, 8))]
fn rolls(#[case] parallelism: u64, #[case] order: &str, #[case] expected: (usize, usize)) {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 4));
    world.run(secs(10));
    world.update(&id, |spec| {
        set_image(spec, "good:2");
        spec["UpdateConfig"]["Parallelism"] = json!(parallelism);
        spec["UpdateConfig"]["Order"] = json!(order);
    });
    world.step();
    assert_eq!(world.status(&id), "updating: update in progress");
    assert_eq!(bounds(&mut world, &id), expected);
    assert_eq!(world.status(&id), "completed: update completed");
    assert_eq!(world.says(&id), ["good:2"; 4]);
    let update = world.state.services[&id].update.clone().unwrap();
    assert_eq!(update.completed, Some(world.now));
}

#[test]
fn the_delay_is_kept_between_batches_and_the_monitor_after_the_last() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    world.update(&id, |spec| {
        set_image(spec, "good:2");
        spec["UpdateConfig"]["Delay"] = json!(nanos(secs(30)));
    });
    let mut times = Vec::new();
    world.until(|world| {
        let done = world.says(&id).iter().filter(|says| *says == "good:2").count();
        if done > times.len() {
            times.push(world.now);
        }
        world.is(&id, "completed")
    });
    let between = times[0].duration_until(times[1]).as_secs_f64();
    assert!((30.0..34.0).contains(&between), "{between}");
    // The delay is kept after the last one, too.
    let after = times[1].duration_until(world.now).as_secs_f64();
    assert!((31.9..32.1).contains(&after), "{after}");
}

#[test]
fn every_status_change_moves_the_index_and_is_an_event() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 1));
    world.run(secs(10));
    world.state.events.clear();
    world.update(&id, |spec| set_image(spec, "good:2"));
    let asked = world.state.services[&id].object.index;
    world.step();
    let begun = world.state.services[&id].object.index;
    world.until(|world| world.is(&id, "completed"));
    let done = world.state.services[&id].object.index;
    assert!(asked < begun && begun < done);
    let words: Vec<_> = world
        .state
        .events
        .iter()
        .map(|event| {
            (event.action, event.attributes.get("updatestate.old"), &event.attributes["updatestate.new"])
        })
        .collect();
    assert_eq!(
        words,
        [
            ("update", None, &"updating".to_owned()),
            ("update", Some(&"updating".to_owned()), &"completed".to_owned())
        ]
    );
}

#[test]
fn force_update_replaces_every_task() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    let before: Vec<String> = world.running(&id).iter().map(|task| task.object.id.clone()).collect();
    world.update(&id, |spec| spec["TaskTemplate"]["ForceUpdate"] = json!(1));
    world.until(|world| world.is(&id, "completed"));
    let after: Vec<String> = world.running(&id).iter().map(|task| task.object.id.clone()).collect();
    assert_eq!(after.len(), 2);
    assert!(after.iter().all(|id| !before.contains(id)));
}

#[test]
fn a_spec_that_only_looks_different_restarts_nothing() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 1));
    world.run(secs(10));
    world.update(&id, |spec| {
        spec["TaskTemplate"]["ForceUpdate"] = json!(0);
        spec["TaskTemplate"]["ContainerSpec"]["Env"] = json!([]);
        spec["TaskTemplate"]["ContainerSpec"]["Labels"] = json!({});
        spec["TaskTemplate"]["Networks"] = json!(null);
    });
    world.run(secs(10));
    assert_eq!(world.status(&id), "");
    assert_eq!(world.tasks(&id).len(), 1);
}

/// The new task is rejected before the old one has stopped: the slot's last task is the one that was made last.
#[test]
fn back_to_the_image_of_before_after_one_that_is_not_there() {
    let mut world = World::new(1);
    let mut spec = service("good:1", 1);
    spec["TaskTemplate"]["RestartPolicy"] = json!({"Condition": "none"});
    let id = world.create(spec);
    world.run(secs(10));
    world.update(&id, |spec| set_image(spec, "nobody:1"));
    world.run(secs(10));
    assert_eq!(world.lines(&id), ["1 shutdown shutdown", "1 shutdown rejected No such image: nobody:1"]);
    let stopped: Vec<_> = world.tasks(&id).iter().map(|task| task.since).collect();
    assert!(stopped[0] > stopped[1], "else this shows nothing");
    world.update(&id, |spec| set_image(spec, "good:1"));
    world.run(secs(10));
    assert_eq!(
        (world.status(&id).as_str(), world.says(&id)),
        ("completed: update completed", vec!["good:1".to_owned()])
    );
}

#[rstest]
#[case::still_fits("node.role==manager", false)]
#[case::fits_no_longer("node.role==worker", true)]
fn constraints_alone_restart_only_what_has_to_move(#[case] constraint: &str, #[case] moves: bool) {
    let mut world = World::new(2);
    let mut spec = service("good:1", 1);
    spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.hostname==n1"]});
    let id = world.create(spec);
    world.run(secs(10));
    world.update(&id, |spec| {
        spec["TaskTemplate"]["Placement"] = json!({"Constraints": [constraint]});
    });
    world.run(secs(20));
    assert_eq!(world.status(&id).is_empty(), !moves);
    assert_eq!(world.running(&id).len(), 1);
    let node = world.running(&id)[0].node.clone();
    assert_eq!(node.as_deref(), Some(if moves { "n2" } else { "n1" }));
}

#[test]
fn a_later_update_supersedes() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 3));
    world.run(secs(10));
    world.update(&id, |spec| set_image(spec, "bad:1"));
    world.run(secs(2));
    assert_eq!(world.status(&id), "updating: update in progress");
    world.update(&id, |spec| set_image(spec, "good:3"));
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:3"; 3]);
    world.run(secs(30));
    assert_eq!(world.says(&id), ["good:3"; 3]);
}

#[test]
fn a_label_in_mid_update_does_not_end_it() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 3));
    world.run(secs(10));
    world.update(&id, |spec| set_image(spec, "good:2"));
    world.run(millis(3_000));
    world.update(&id, |spec| spec["Labels"] = json!({"a": "b"}));
    world.step();
    assert_eq!(world.status(&id), "updating: update in progress");
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:2"; 3]);
}

#[test]
fn scaling_and_updating_at_once() {
    for replicas in [1, 6] {
        let mut world = World::new(2);
        let id = world.create(service("good:1", 3));
        world.run(secs(10));
        world.update(&id, |spec| {
            set_image(spec, "good:2");
            spec["Mode"]["Replicated"]["Replicas"] = json!(replicas);
        });
        world.until(|world| world.is(&id, "completed"));
        world.run(secs(10));
        assert_eq!(world.says(&id), vec!["good:2"; replicas]);
    }
}

#[test]
fn an_update_of_a_pending_task_ends_it_unplaced() {
    let mut world = World::new(1);
    let mut spec = service("good:1", 1);
    spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.hostname==nowhere"]});
    let id = world.create(spec);
    world.run(secs(1));
    world.update(&id, |spec| {
        spec["TaskTemplate"]["Placement"] = json!(null);
    });
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.lines(&id), ["1 shutdown shutdown", "1 running running"]);
}

#[test]
fn start_first_with_a_port_of_the_host_never_ends() {
    let mut world = World::new(1);
    let mut spec = service("good:1", 1);
    spec["EndpointSpec"] = json!({"Ports": [{"PublishMode": "host", "PublishedPort": 80, "TargetPort": 80}]});
    spec["UpdateConfig"]["Order"] = json!("start-first");
    let id = world.create(spec);
    world.run(secs(10));
    world.update(&id, |spec| set_image(spec, "good:2"));
    world.run(secs(3_600));
    assert_eq!(world.status(&id), "updating: update in progress");
    assert_eq!(
        world.lines(&id),
        ["1 running running", "1 running pending no suitable node (host-mode port already in use on 1 node)"]
    );
    world.update(&id, |spec| spec["UpdateConfig"]["Order"] = json!("stop-first"));
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:2"]);
}
