use rstest::rstest;
use serde_json::{Value, json};

use super::super::{constraint, fit};
use super::world::{World, secs, service};

#[rstest]
#[case("node.hostname==n1", true)]
#[case("node.hostname == N1", true)]
#[case("node.hostname!=n1", false)]
#[case("node.id==n1", true)]
#[case("node.role==manager", true)]
#[case("node.role!=worker", true)]
#[case("node.role==worker", false)]
#[case("node.labels.disk==ssd", true)]
#[case("node.labels.disk!=ssd", false)]
#[case("node.labels.absent==x", false)]
#[case("node.labels.absent!=x", true)]
#[case("node.platform.os==linux", true)]
#[case("node.platform.arch==x86_64", true)]
#[case("node.platform.arch==aarch64", false)]
#[case("engine.labels.rack==3", true)]
#[case("engine.labels.rack!=3", false)]
#[case("node.nonsense==1", false)]
#[case("nonsense", false)]
fn constraints(#[case] constraint: &str, #[case] expected: bool) {
    let mut world = World::new(1);
    world.node("n1", |node| {
        node.object.spec["Labels"] = json!({"disk": "ssd"});
        node.object.extra.insert("Description".to_owned(), json!({"Engine": {"Labels": {"rack": "3"}}}));
    });
    assert_eq!(constraint::matches(&[constraint.to_owned()], &world.state.nodes["n1"]), expected);
}

#[rstest]
#[case::constraint(
    json!({"Placement": {"Constraints": ["node.labels.x==y"]}}), json!(null), 1,
    "no suitable node (scheduling constraints not satisfied on 2 nodes)")]
#[case::platform(
    json!({"Placement": {"Platforms": [{"OS": "linux", "Architecture": "riscv64"}]}}), json!(null), 1,
    "no suitable node (unsupported platform on 2 nodes)")]
#[case::memory(
    json!({"Resources": {"Reservations": {"MemoryBytes": 1_u64 << 40}}}), json!(null), 1,
    "no suitable node (insufficient resources on 2 nodes)")]
#[case::cpus(
    json!({"Resources": {"Reservations": {"NanoCPUs": 3_000_000_000_u64}}}), json!(null), 1,
    "no suitable node (insufficient resources on 2 nodes)")]
#[case::max_replicas(
    json!({"Placement": {"MaxReplicas": 1}}), json!(null), 3,
    "no suitable node (max replicas per node limit exceed)")]
#[case::host_port(
    json!({}), json!({"Ports": [{"PublishMode": "host", "PublishedPort": 80, "TargetPort": 80}]}), 3,
    "no suitable node (host-mode port already in use on 2 nodes)")]
#[case::two_reasons(
    json!({"Placement": {"Constraints": ["node.role==worker"], "MaxReplicas": 1}}), json!(null), 2,
    "no suitable node (scheduling constraints not satisfied on 1 node; max replicas per node limit exceed)")]
fn unschedulable(
    #[case] template: Value,
    #[case] endpoint: Value,
    #[case] replicas: usize,
    #[case] error: &str,
) {
    let mut world = World::new(2);
    let mut spec = service("good:1", u64::try_from(replicas).unwrap());
    for (key, value) in template.as_object().unwrap() {
        spec["TaskTemplate"][key] = value.clone();
    }
    spec["EndpointSpec"] = endpoint;
    let id = world.create(spec);
    world.run(secs(20));
    let stuck: Vec<_> = world.tasks(&id).into_iter().filter(|task| task.error.is_some()).collect();
    assert_eq!(stuck.len(), 1);
    assert_eq!((stuck[0].state.as_str(), stuck[0].error.as_deref()), ("pending", Some(error)));
    assert_eq!(stuck[0].message, "pending task scheduling");
    assert_eq!(world.running(&id).len(), replicas - 1);
}

#[test]
fn a_pending_task_is_placed_when_a_node_fits() {
    let mut world = World::new(1);
    let mut spec = service("good:1", 1);
    spec["TaskTemplate"]["Placement"] = json!({"Constraints": ["node.labels.x==y"]});
    let id = world.create(spec);
    world.run(secs(20));
    assert_eq!(world.running(&id).len(), 0);
    world.node("n1", |node| node.object.spec["Labels"] = json!({"x": "y"}));
    world.run(secs(5));
    assert_eq!(world.lines(&id), ["1 running running"]);
}

#[test]
fn a_pending_task_is_placed_when_another_makes_room() {
    let mut world = World::new(1);
    let mut spec = service("good:1", 1);
    spec["TaskTemplate"]["Resources"] = json!({"Reservations": {"MemoryBytes": 800 << 20}});
    let first = world.create(spec.clone());
    world.run(secs(5));
    let second = world.create(spec);
    world.run(secs(5));
    assert_eq!((world.running(&first).len(), world.running(&second).len()), (1, 0));
    world.remove(&first);
    world.run(secs(5));
    assert_eq!(world.running(&second).len(), 1);
}

#[test]
fn preferences_spread_over_labels_first() {
    let mut world = World::new(3);
    for (node, zone) in [("n1", "a"), ("n2", "a"), ("n3", "b")] {
        world.node(node, |node| node.object.spec["Labels"] = json!({"zone": zone}));
    }
    let mut spec = service("good:1", 4);
    spec["TaskTemplate"]["Placement"] =
        json!({"Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}]});
    let id = world.create(spec);
    world.run(secs(10));
    let on = |node: &str| world.running(&id).iter().filter(|task| task.node.as_deref() == Some(node)).count();
    assert_eq!([on("n1"), on("n2"), on("n3")], [1, 1, 2]);
}

#[test]
fn the_most_frequent_reason_is_named_first() {
    use fit::Reason::{Constraints, NotReady, Platform};
    let words = fit::explain(&[NotReady, Platform, Constraints, Platform, Platform, Constraints]);
    assert_eq!(
        words,
        "unsupported platform on 3 nodes; scheduling constraints not satisfied on 2 nodes; \
         1 node not available for new tasks"
    );
    assert_eq!(fit::explain(&[]), "");
}

#[test]
fn after_five_failures_a_node_is_chosen_last() {
    let mut world = World::new(2);
    // The empty node, which the scheduler would choose each time, cannot have the image.
    world.node("n1", |node| node.platform = "linux/arm64".to_owned());
    let full = world.create(service("good:1", 1));
    world.run(secs(10));
    assert_eq!(world.running(&full)[0].node.as_deref(), Some("n2"));

    let id = world.create(service("good:2", 1));
    world.until(|world| world.running(&id).len() == 1);
    let pulls = world.table.pulls.lock().unwrap().iter().filter(|pull| *pull == "good:2").count();
    assert_eq!((pulls, world.running(&id)[0].node.as_deref()), (6, Some("n2")));
}
