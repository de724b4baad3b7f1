use std::collections::BTreeSet;

use serde_json::json;

use super::world::{World, millis, secs, service, set_image};
use crate::sim::engine::state::TaskState;

#[test]
fn a_task_goes_through_its_states() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 1));
    let mut seen = Vec::new();
    let mut last = None;
    world.until(|world| {
        let task = world.tasks(&id)[0];
        if last != Some(task.state) {
            last = Some(task.state);
            seen.push(format!("{}: {}", task.state.as_str(), task.message));
        }
        task.state == TaskState::Running
    });
    assert_eq!(
        seen,
        [
            "new: created",
            "pending: pending task scheduling",
            "assigned: scheduler assigned task to node",
            "accepted: accepted",
            "preparing: preparing",
            "ready: prepared",
            "starting: starting",
            "running: started",
        ]
    );
}

#[test]
fn every_replica_runs_and_then_nothing_is_due() {
    let mut world = World::new(3);
    let id = world.create(service("good:1", 5));
    world.run(secs(60));
    assert_eq!(world.lines(&id), ["1", "2", "3", "4", "5"].map(|slot| format!("{slot} running running")));
    assert_eq!(world.status(&id), "", "no update status after a create");
    let index = world.state.index;
    world.run(secs(3_600));
    assert_eq!(world.state.index, index);
}

#[test]
fn replicas_are_spread_and_removed_where_most_are() {
    let mut world = World::new(3);
    let id = world.create(service("good:1", 7));
    world.run(secs(30));
    let count = |world: &World, node: &str| {
        world.running(&id).iter().filter(|task| task.node.as_deref() == Some(node)).count()
    };
    let mut counts = ["n1", "n2", "n3"].map(|node| count(&world, node));
    counts.sort_unstable();
    assert_eq!(counts, [2, 2, 3]);

    world.update(&id, |spec| spec["Mode"]["Replicated"]["Replicas"] = json!(3));
    world.run(secs(30));
    assert_eq!(["n1", "n2", "n3"].map(|node| count(&world, node)), [1, 1, 1]);
    assert_eq!(world.tasks(&id).len(), 3, "of surplus slots nothing stays: {:?}", world.lines(&id));
    assert_eq!(world.status(&id), "", "no update status after a scale");
}

#[test]
fn scaling_touches_no_other_task() {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    let before: BTreeSet<String> = world.running(&id).iter().map(|task| task.object.id.clone()).collect();
    world.update(&id, |spec| spec["Mode"]["Replicated"]["Replicas"] = json!(4));
    world.run(secs(10));
    let after: BTreeSet<String> = world.running(&id).iter().map(|task| task.object.id.clone()).collect();
    assert_eq!(after.len(), 4);
    assert!(after.is_superset(&before));
}

#[test]
fn labels_and_update_config_restart_nothing() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    world.update(&id, |spec| {
        spec["Labels"] = json!({"a": "b"});
        spec["UpdateConfig"]["Parallelism"] = json!(7);
    });
    world.run(secs(10));
    assert_eq!(world.lines(&id), ["1 running running", "2 running running"]);
    assert_eq!(world.status(&id), "");
}

#[test]
fn an_image_update_of_no_replicas_has_no_status() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 0));
    world.update(&id, |spec| set_image(spec, "good:2"));
    world.run(secs(10));
    assert_eq!(world.status(&id), "");
    assert!(world.tasks(&id).is_empty());
}

#[test]
fn tasks_of_a_removed_service_stop_and_go() {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 3));
    world.run(secs(10));
    world.remove(&id);
    world.run(millis(100));
    assert_eq!(world.lines(&id), ["1", "2", "3"].map(|slot| format!("{slot} remove running")));
    world.run(secs(5));
    assert!(world.state.tasks.is_empty());
    assert!(world.state.work.of_service.is_empty() && world.state.work.on_node.is_empty());
    let next = super::super::step(&mut world.state, world.now, &world.timing, &world.table);
    assert_eq!(next, None, "nothing is left to do");
}

#[test]
fn a_removed_service_whose_tasks_never_ran_goes_too() {
    let mut world = World::new(1);
    let mut spec = service("good:1", 2);
    spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.hostname==nowhere"]});
    let id = world.create(spec);
    world.run(secs(1));
    world.remove(&id);
    world.run(secs(5));
    assert!(world.state.tasks.is_empty());
}
