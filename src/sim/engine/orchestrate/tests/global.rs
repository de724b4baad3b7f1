use serde_json::{Value, json};

use super::world::{World, secs, service, set_image};

fn global(image: &str) -> Value {
    let mut spec = service(image, 0);
    spec["Mode"] = json!({"Global": {}});
    spec
}

#[test]
fn one_on_each_node() {
    let mut world = World::new(3);
    let id = world.create(global("good:1"));
    world.run(secs(10));
    assert_eq!(world.lines(&id), ["n1", "n2", "n3"].map(|node| format!("{node} running running")));
    world.join("n4", "worker");
    world.run(secs(10));
    assert_eq!(world.running(&id).len(), 4, "also on those that join");
}

#[test]
fn constraints_choose_nodes_and_changed_ones_move_it() {
    let mut world = World::new(3);
    let mut spec = global("good:1");
    spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.role==worker"]});
    let id = world.create(spec);
    world.run(secs(10));
    assert_eq!(world.lines(&id), ["n2 running running", "n3 running running"]);
    world.update(&id, |spec| {
        spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.hostname!=n2"]});
    });
    world.run(secs(20));
    let mut nodes: Vec<_> = world.running(&id).iter().filter_map(|task| task.node.clone()).collect();
    nodes.sort();
    assert_eq!(nodes, ["n1", "n3"]);
}

#[test]
fn a_drained_node_has_none_until_it_is_active_again() {
    let mut world = World::new(2);
    let id = world.create(global("good:1"));
    world.run(secs(10));
    world.availability("n2", "drain");
    world.run(secs(10));
    assert_eq!(world.lines(&id), ["n1 running running", "n2 shutdown shutdown"]);

    world.update(&id, |spec| set_image(spec, "good:2"));
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:2"], "the drained node does not hold the update up");
    world.availability("n2", "active");
    world.run(secs(10));
    assert_eq!(world.says(&id), ["good:2"; 2]);
}

#[test]
fn a_node_that_is_down_does_not_hold_an_update_up() {
    let mut world = World::new(2);
    let id = world.create(global("good:1"));
    world.run(secs(10));
    let now = world.now;
    world.node("n2", |node| node.lost = Some(now));
    world.run(secs(20));
    world.update(&id, |spec| set_image(spec, "good:2"));
    world.until(|world| world.is(&id, "completed"));
    world.node("n2", |node| node.lost = None);
    world.run(secs(20));
    assert_eq!(world.says(&id), ["good:2"; 2]);
}

#[test]
fn a_paused_node_keeps_what_it_has_and_gets_nothing_new() {
    let mut world = World::new(2);
    let id = world.create(global("good:1"));
    world.run(secs(10));
    world.availability("n2", "pause");
    world.update(&id, |spec| set_image(spec, "good:2"));
    world.until(|world| world.is(&id, "completed"));
    assert_eq!(world.says(&id), ["good:1", "good:2"]);
    world.availability("n2", "active");
    world.run(secs(10));
    assert_eq!(world.says(&id), ["good:2"; 2]);
}

#[test]
fn rolls_and_rolls_back() {
    let mut world = World::new(3);
    let id = world.create(global("good:1"));
    world.run(secs(10));
    world.update(&id, |spec| {
        set_image(spec, "bad:1");
        spec["UpdateConfig"]["FailureAction"] = json!("rollback");
    });
    world.until(|world| world.is(&id, "rollback_completed"));
    assert_eq!(world.says(&id), ["good:1"; 3]);
}

#[test]
fn what_a_node_cannot_run_says_why() {
    let mut world = World::new(2);
    world.node("n2", |node| node.platform = "linux/arm64".to_owned());
    let mut spec = global("good:1");
    spec["TaskTemplate"]["Placement"] = json!({"Platforms": [{"OS": "linux", "Architecture": "amd64"}]});
    let id = world.create(spec);
    world.run(secs(10));
    assert_eq!(world.lines(&id), ["n1 running running", "n2 running pending unsupported platform on 1 node"]);
}

#[test]
fn a_failing_task_is_replaced_where_it_was() {
    let mut world = World::new(2);
    let id = world.create(global("bad:1"));
    world.run(secs(30));
    for node in ["n1", "n2"] {
        let count = world.tasks(&id).iter().filter(|task| task.node.as_deref() == Some(node)).count();
        assert!((5..=6).contains(&count), "{:#?}", world.lines(&id));
    }
}

#[test]
fn one_that_never_found_its_node_fit_is_waited_for_a_minute() {
    let mut world = World::new(1);
    let mut spec = global("good:1");
    spec["TaskTemplate"]["Placement"] = json!({"Platforms": [{"OS": "linux", "Architecture": "riscv64"}]});
    let id = world.create(spec);
    world.run(secs(2));
    world.update(&id, |spec| {
        set_image(spec, "good:2");
        spec["TaskTemplate"]["Placement"] = json!(null);
    });
    world.run(secs(59));
    assert_eq!(world.lines(&id), ["n1 shutdown pending unsupported platform on 1 node", "n1 ready ready"]);
    world.run(secs(3));
    assert_eq!(world.says(&id), ["good:2"]);
}
