//! Many services: what one of them costs does not grow with the others.

use serde_json::json;

use super::super::step;
use super::world::{World, secs, service, set_image};

/// How many tasks and services a step looked at cannot be seen, but what it changed can.
#[test]
fn an_update_of_one_of_many_touches_only_its_own() {
    let mut world = World::new(3);
    let mut ids = Vec::new();
    for number in 0..300 {
        let mut spec = service("good:1", 1);
        spec["Name"] = json!(format!("web{number}"));
        ids.push(world.create(spec));
    }
    for _ in 0..20_000 {
        let next = step(&mut world.state, world.now, &world.timing, &world.table);
        let Some(next) = next else { break };
        world.now = next;
    }
    assert_eq!(ids.iter().map(|id| world.running(id).len()).sum::<usize>(), 300);

    let before = world.state.index;
    let one = ids[150].clone();
    world.update(&one, |spec| set_image(spec, "good:2"));
    world.until(|world| world.is(&one, "completed"));
    world.run(secs(10));
    let changed: Vec<&String> = world
        .state
        .tasks
        .values()
        .filter(|task| task.object.index > before)
        .map(|task| &task.service)
        .collect();
    assert_eq!(changed, [&one, &one]);
    let services = world.state.services.values().filter(|service| service.object.index > before);
    assert_eq!(services.map(|service| &service.object.id).collect::<Vec<_>>(), [&one]);
}
