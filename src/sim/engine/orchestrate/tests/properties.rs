use proptest::prelude::*;
use serde_json::json;

use super::world::{World, nanos, secs, service, set_image};

/// What somebody does.
#[derive(Clone, Debug)]
enum Act {
    Image(&'static str),
    Scale(u64),
    Label(u8),
    Force(u8),
    Config { parallelism: u64, start_first: bool, action: &'static str, delay: u64 },
    RollBack,
    Availability(usize, &'static str),
    Lose(usize),
    Find(usize),
    Registry(bool),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let image = prop::sample::select(vec!["good:1", "good:2", "good:3", "bad:1", "bad:2", "none:1"]);
    let action = prop::sample::select(vec!["pause", "continue", "rollback"]);
    let availability = prop::sample::select(vec!["active", "pause", "drain"]);
    prop_oneof![
        4 => image.prop_map(Act::Image),
        2 => (0_u64..6).prop_map(Act::Scale),
        1 => any::<u8>().prop_map(Act::Label),
        1 => any::<u8>().prop_map(Act::Force),
        2 => (0_u64..4, any::<bool>(), action, 0_u64..4).prop_map(|(parallelism, start_first, action, delay)| {
            Act::Config { parallelism, start_first, action, delay }
        }),
        1 => Just(Act::RollBack),
        2 => (1_usize..4, availability).prop_map(|(node, availability)| Act::Availability(node, availability)),
        1 => (1_usize..4).prop_map(Act::Lose),
        1 => (1_usize..4).prop_map(Act::Find),
        1 => any::<bool>().prop_map(Act::Registry),
        6 => (0_u64..20_000).prop_map(Act::Wait),
    ]
}

fn do_it(world: &mut World, id: &str, act: &Act) {
    let now = world.now;
    match act {
        Act::Image(image) => world.update(id, |spec| set_image(spec, image)),
        Act::Scale(replicas) => {
            world.update(id, |spec| {
                if spec["Mode"].get("Replicated").is_some() {
                    spec["Mode"]["Replicated"]["Replicas"] = json!(replicas);
                }
            });
        }
        Act::Label(value) => world.update(id, |spec| spec["Labels"] = json!({"l": value.to_string()})),
        Act::Force(value) => world.update(id, |spec| spec["TaskTemplate"]["ForceUpdate"] = json!(value)),
        Act::Config { parallelism, start_first, action, delay } => world.update(id, |spec| {
            spec["UpdateConfig"] = json!({
                "Parallelism": parallelism,
                "Order": if *start_first { "start-first" } else { "stop-first" },
                "FailureAction": action,
                "Delay": nanos(secs(*delay)),
                "Monitor": nanos(secs(2)),
            });
        }),
        Act::RollBack => {
            if world.state.services[id].previous_spec.is_some() {
                world.roll_back(id);
            }
        }
        Act::Availability(node, availability) => world.availability(&format!("n{node}"), availability),
        Act::Lose(node) => world.node(&format!("n{node}"), |node| {
            node.lost.get_or_insert(now);
        }),
        Act::Find(node) => world.node(&format!("n{node}"), |node| node.lost = None),
        Act::Registry(down) => *world.table.down.lock().unwrap() = *down,
        Act::Wait(millis) => world.run(std::time::Duration::from_millis(*millis)),
    }
}

fn kind_of_service(kind: usize) -> serde_json::Value {
    let mut spec = service(["good:1", "bad:1"][kind % 2], 2);
    match kind {
        0 | 1 => spec["Mode"] = json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 3}}),
        2 | 3 => spec["Mode"] = json!({"GlobalJob": {}}),
        4 | 5 => spec["Mode"] = json!({"Global": {}}),
        6 => {
            spec["TaskTemplate"]["Placement"] =
                json!({"Constraints": ["node.role==worker"], "MaxReplicas": 1})
        }
        _ => {
            spec["EndpointSpec"] =
                json!({"Ports": [{"PublishMode": "host", "PublishedPort": 80, "TargetPort": 80}]});
        }
    }
    spec
}

/// Everything works again, and a good image is asked for.
fn mend(world: &mut World, id: &str) {
    *world.table.down.lock().unwrap() = false;
    for node in ["n1", "n2", "n3"] {
        world.node(node, |node| node.lost = None);
        world.availability(node, "active");
    }
    world.run(secs(100));
    world.update(id, |spec| {
        set_image(spec, "good:3");
        spec["Labels"] = json!({"mended": "yes"});
    });
    world.run(secs(200));
}

fn check(world: &World, id: &str, count: usize) {
    let says = world.says(id);
    assert_eq!(says, vec!["good:3"; count], "{:#?}\n{}", world.lines(id), world.status(id));
    let alive = world.tasks(id).into_iter().filter(|task| {
        use crate::sim::engine::state::TaskState;
        task.desired <= TaskState::Running || task.state <= TaskState::Running
    });
    assert_eq!(alive.count(), count, "{:#?}", world.lines(id));
    let work = &world.state.work;
    assert!(work.updaters.is_empty() && work.delays.is_empty() && work.awaited.is_empty());
    assert!(work.pending.is_empty() && work.changed.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever happened before, once everything works the service has what it asks for; and
    /// each of the many steps is checked to be idempotent by `World::step`.
    #[test]
    fn converges(global in any::<bool>(), acts in prop::collection::vec(act(), 0..14)) {
        let mut world = World::new(3);
        let mut spec = service("good:1", 2);
        if global {
            spec["Mode"] = json!({"Global": {}});
        }
        let id = world.create(spec);
        for act in &acts {
            do_it(&mut world, &id, act);
        }
        mend(&mut world, &id);
        let replicas = world.state.services[&id].object.spec["Mode"]["Replicated"]["Replicas"].as_u64();
        check(&world, &id, replicas.map_or(3, |replicas| usize::try_from(replicas).unwrap()));
        let index = world.state.index;
        world.run(secs(1_000));
        prop_assert_eq!(world.state.index, index, "it is stable");
    }

    /// Services of all kinds beside each other, some of which cannot run: nothing is left of them
    /// when they are removed, and nobody is held up.
    #[test]
    fn leaves_nothing_behind(
        kinds in prop::collection::vec(0_usize..8, 1..5),
        acts in prop::collection::vec((0_usize..5, act()), 0..10),
    ) {
        let mut world = World::new(3);
        let first = world.create(service("good:1", 2));
        let mut ids = vec![first.clone()];
        for kind in kinds {
            ids.push(world.create(kind_of_service(kind)));
        }
        for (which, act) in &acts {
            let id = ids[which % ids.len()].clone();
            do_it(&mut world, &id, act);
        }
        mend(&mut world, &first);
        prop_assert!(world.says(&first).iter().all(|says| says == "good:3"));
        for id in &ids {
            world.remove(id);
        }
        world.run(secs(20));
        prop_assert!(world.state.tasks.is_empty(), "{:?}", world.state.tasks);
        let work = &world.state.work;
        prop_assert!(work.of_service.is_empty() && work.on_node.is_empty() && work.global.is_empty());
        prop_assert!(work.pending.is_empty() && work.delays.is_empty() && work.awaited.is_empty());
        prop_assert!(work.updaters.is_empty() && work.restarts.is_empty() && work.finished.is_empty());
    }

    /// The same acts at the same times give the same state, to the last byte.
    #[test]
    fn is_deterministic(acts in prop::collection::vec(act(), 0..10)) {
        let run = || {
            let mut world = World::new(3);
            let id = world.create(service("good:1", 3));
            for act in &acts {
                do_it(&mut world, &id, act);
            }
            format!("{:?}", world.state)
        };
        prop_assert_eq!(run(), run());
    }
}
