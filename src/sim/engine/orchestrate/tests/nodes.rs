use serde_json::json;

use super::world::{World, secs, service};
use crate::sim::engine::state::TaskState;

fn on(world: &World, id: &str, node: &str) -> usize {
    world.running(id).iter().filter(|task| task.node.as_deref() == Some(node)).count()
}

#[test]
fn a_lost_node_is_down_after_some_heartbeats_and_its_tasks_run_elsewhere() {
    let mut world = World::new(3);
    let id = world.create(service("good:1", 3));
    world.run(secs(10));
    let now = world.now;
    world.node("n3", |node| node.lost = Some(now));
    world.run(secs(12));
    assert!(world.state.nodes["n3"].up);
    assert_eq!(on(&world, &id, "n3"), 1);
    world.run(secs(2));
    assert!(!world.state.nodes["n3"].up);
    let event = world.state.events.last().unwrap();
    assert_eq!(
        (event.kind, event.id.as_str(), event.attributes["state.new"].as_str()),
        ("node", "n3", "down")
    );
    world.run(secs(5));
    assert_eq!(world.running(&id).len(), 3);
    assert_eq!(on(&world, &id, "n3"), 0);
    let left: Vec<_> =
        world.tasks(&id).into_iter().filter(|task| task.node.as_deref() == Some("n3")).collect();
    assert_eq!(
        (left[0].desired, left[0].state),
        (TaskState::Shutdown, TaskState::Running),
        "nobody knows better of the task left behind"
    );
}

#[test]
fn a_node_that_is_back_stops_what_runs_elsewhere_now() {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    let now = world.now;
    world.node("n2", |node| node.lost = Some(now));
    world.run(secs(60));
    assert_eq!(on(&world, &id, "n1"), 2);
    world.node("n2", |node| node.lost = None);
    world.run(secs(10));
    assert!(world.state.nodes["n2"].up);
    assert!(
        world
            .tasks(&id)
            .iter()
            .all(|task| (task.desired == TaskState::Running) == (task.state == TaskState::Running))
    );
    assert_eq!(on(&world, &id, "n1"), 2, "nothing moves back");
}

#[test]
fn a_short_loss_changes_nothing() {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    let now = world.now;
    world.node("n2", |node| node.lost = Some(now));
    world.run(secs(5));
    world.node("n2", |node| node.lost = None);
    world.run(secs(60));
    assert_eq!(world.lines(&id), ["1 running running", "2 running running"]);
}

#[test]
fn after_a_day_tasks_are_orphaned() {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    let now = world.now;
    world.node("n2", |node| node.lost = Some(now));
    world.run(secs(25 * 60 * 60));
    let left = world.tasks(&id).into_iter().find(|task| task.node.as_deref() == Some("n2")).unwrap();
    assert_eq!(left.state, TaskState::Orphaned);
}

#[test]
fn a_drained_node_is_left_at_once_and_a_paused_one_is_not() {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    world.availability("n2", "pause");
    world.run(secs(10));
    assert_eq!((on(&world, &id, "n1"), on(&world, &id, "n2")), (1, 1));
    world.update(&id, |spec| spec["Mode"]["Replicated"]["Replicas"] = json!(4));
    world.run(secs(10));
    assert_eq!((on(&world, &id, "n1"), on(&world, &id, "n2")), (3, 1));
    world.availability("n2", "drain");
    world.run(secs(10));
    assert_eq!((on(&world, &id, "n1"), on(&world, &id, "n2")), (4, 0));
}

#[test]
fn with_every_node_drained_tasks_wait() {
    let mut world = World::new(1);
    let id = world.create(service("good:1", 1));
    world.run(secs(10));
    world.availability("n1", "drain");
    world.run(secs(10));
    assert_eq!(
        world.lines(&id),
        ["1 shutdown shutdown", "1 running pending no suitable node (1 node not available for new tasks)"]
    );
    world.availability("n1", "active");
    world.run(secs(10));
    assert_eq!(world.running(&id).len(), 1);
}

#[test]
fn a_task_whose_node_no_longer_meets_its_constraints_is_rejected() {
    let mut world = World::new(2);
    for node in ["n1", "n2"] {
        world.node(node, |node| node.object.spec["Labels"] = json!({"x": "y"}));
    }
    let mut spec = service("good:1", 1);
    spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.labels.x==y"]});
    let id = world.create(spec);
    world.run(secs(10));
    let node = world.running(&id)[0].node.clone().unwrap();
    world.node(&node, |node| node.object.spec["Labels"] = json!({}));
    world.run(secs(10));
    assert_eq!(
        world.lines(&id),
        ["1 shutdown rejected assigned node no longer meets constraints", "1 running running"]
    );
    assert_ne!(world.running(&id)[0].node, Some(node));
}

#[test]
fn a_removed_node_is_left() {
    let mut world = World::new(2);
    let id = world.create(service("good:1", 2));
    world.run(secs(10));
    world.state.nodes.remove("n2");
    world.state.touch_node("n2");
    world.run(secs(10));
    assert_eq!(on(&world, &id, "n1"), 2);
}
