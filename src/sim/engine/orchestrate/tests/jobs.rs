use serde_json::{Value, json};

use super::world::{World, secs, service};
use crate::sim::engine::image::Behaviour;
use crate::sim::engine::state::TaskState;

fn job(code: i64, mode: Value) -> (World, String) {
    let mut world = World::new(2);
    world.push("job:1", "job:1", Behaviour::Exits { after: secs(5), code });
    world.run(secs(1));
    let mut spec = service("job:1", 0);
    spec["Mode"] = mode;
    spec["TaskTemplate"]["RestartPolicy"]["Condition"] = json!(if code == 0 { "none" } else { "on-failure" });
    let id = world.create(spec);
    (world, id)
}

fn in_state(world: &World, id: &str, state: TaskState) -> usize {
    world.tasks(id).iter().filter(|task| task.state == state).count()
}

#[test]
fn a_replicated_job_runs_so_many_at_once_until_so_many_are_complete() {
    let (mut world, id) = job(0, json!({"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 5}}));
    let mut most = 0;
    world.until(|world| {
        most = most.max(in_state(world, &id, TaskState::Running));
        in_state(world, &id, TaskState::Complete) == 5
    });
    assert_eq!(most, 2);
    world.run(secs(60));
    assert_eq!(world.lines(&id), ["0", "1", "2", "3", "4"].map(|slot| format!("{slot} complete complete")));
    assert_eq!(world.status(&id), "");
}

#[test]
fn force_update_runs_a_job_again() {
    let (mut world, id) = job(0, json!({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}}));
    world.run(secs(60));
    world.update(&id, |spec| spec["TaskTemplate"]["ForceUpdate"] = json!(1));
    world.run(secs(60));
    let again = world.tasks(&id).into_iter().filter(|task| task.job_iteration == Some(1));
    assert_eq!(again.filter(|task| task.state == TaskState::Complete).count(), 2);
}

#[test]
fn an_update_in_mid_job_ends_what_runs() {
    let (mut world, id) = job(0, json!({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}));
    world.run(secs(3));
    assert_eq!(in_state(&world, &id, TaskState::Running), 1);
    world.update(&id, |spec| spec["TaskTemplate"]["ForceUpdate"] = json!(1));
    world.run(secs(30));
    assert_eq!(world.lines(&id), ["0 complete complete"], "the one of before is removed");
    assert_eq!(world.tasks(&id)[0].job_iteration, Some(1));
}

#[test]
fn a_failing_job_is_tried_so_often() {
    let (mut world, id) = job(1, json!({"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}));
    world.update(&id, |spec| spec["TaskTemplate"]["RestartPolicy"]["MaxAttempts"] = json!(2));
    world.run(secs(120));
    assert_eq!(world.lines(&id), ["0 shutdown failed task: non-zero exit (1)"; 3]);
}

#[test]
fn a_global_job_runs_once_on_each_node_that_was_there() {
    let (mut world, id) = job(0, json!({"GlobalJob": {}}));
    world.run(secs(30));
    assert_eq!(world.lines(&id), ["n1 complete complete", "n2 complete complete"]);
    world.join("n3", "worker");
    world.run(secs(30));
    assert_eq!(world.tasks(&id).len(), 2);
    world.update(&id, |spec| spec["TaskTemplate"]["ForceUpdate"] = json!(1));
    world.run(secs(30));
    assert_eq!(world.lines(&id), ["n1", "n2", "n3"].map(|node| format!("{node} complete complete")));
}

#[test]
fn a_global_job_of_the_first_moment_runs_too() {
    let mut world = World::new(2);
    world.push("job:1", "job:1", Behaviour::Exits { after: secs(5), code: 0 });
    let mut spec = service("job:1", 0);
    spec["Mode"] = json!({"GlobalJob": {}});
    spec["TaskTemplate"]["RestartPolicy"]["Condition"] = json!("none");
    let id = world.create(spec);
    world.run(secs(30));
    assert_eq!(in_state(&world, &id, TaskState::Complete), 2);
}
