use rstest::rstest;
use serde_json::json;

use super::world::{World, nanos, secs, service};
use crate::sim::engine::image::Behaviour;
use crate::sim::engine::state::TaskState;

#[test]
fn a_task_that_fails_is_replaced_after_the_delay() {
    let mut world = World::new(1);
    let mut spec = service("bad:1", 1);
    spec["TaskTemplate"]["RestartPolicy"]["Delay"] = json!(nanos(secs(10)));
    let id = world.create(spec);
    world.until(|world| world.tasks(&id)[0].state == TaskState::Failed);
    let failed = world.now;
    assert_eq!(world.lines(&id), ["1 shutdown failed task: non-zero exit (1)", "1 ready new"]);
    world.run(secs(5));
    assert_eq!(world.lines(&id)[1], "1 ready ready", "it is prepared meanwhile");
    world.until(|world| world.tasks(&id)[1].desired == TaskState::Running);
    assert_eq!(failed.duration_until(world.now).as_secs(), 10);
    assert_eq!(world.status(&id), "", "restarts are no update");
}

#[test]
fn of_old_tasks_five_are_kept() {
    let mut world = World::new(1);
    let id = world.create(service("bad:1", 2));
    for _ in 0..10 {
        world.run(secs(30));
        let tasks = world.tasks(&id).len();
        assert!((10..=12).contains(&tasks), "{:#?}", world.lines(&id));
    }
}

#[rstest]
#[case::any_failed("any", 1, true)]
#[case::any_finished("any", 0, true)]
#[case::on_failure_failed("on-failure", 1, true)]
#[case::on_failure_finished("on-failure", 0, false)]
#[case::none_failed("none", 1, false)]
#[case::none_finished("none", 0, false)]
fn conditions(#[case] condition: &str, #[case] code: i64, #[case] again: bool) {
    let mut world = World::new(1);
    world.push("job:1", "job:1", Behaviour::Exits { after: secs(1), code });
    let mut spec = service("job:1", 1);
    spec["TaskTemplate"]["RestartPolicy"]["Condition"] = json!(condition);
    let id = world.create(spec);
    world.until(|world| world.tasks(&id)[0].state > TaskState::Running);
    let (state, message) = if code == 0 { ("complete", "finished") } else { ("failed", "started") };
    let task = world.tasks(&id)[0];
    assert_eq!((task.state.as_str(), task.message.as_str(), task.exit_code), (state, message, Some(code)));
    world.run(secs(60));
    assert_eq!(world.tasks(&id).len() > 1, again, "{:#?}", world.lines(&id));
}

#[rstest]
#[case::ever(json!({"MaxAttempts": 2}), 3)]
#[case::in_a_long_window(json!({"MaxAttempts": 2, "Window": 3_600_000_000_000_u64}), 3)]
#[case::in_a_short_window(json!({"MaxAttempts": 2, "Window": 1_000_000_000}), 6)]
fn attempts(#[case] policy: serde_json::Value, #[case] expected: usize) {
    let mut world = World::new(1);
    let mut spec = service("bad:1", 1);
    spec["TaskTemplate"]["RestartPolicy"] = policy;
    let id = world.create(spec);
    world.run(secs(300));
    let tasks = world.tasks(&id).len();
    assert!(tasks == expected || (expected == 6 && tasks == 5), "{:#?}", world.lines(&id));
}

#[test]
fn an_unhealthy_container_never_runs() {
    let mut world = World::new(1);
    world.push("sick:1", "sick:1", Behaviour::Unhealthy);
    let id = world.create(service("sick:1", 1));
    world.until(|world| world.tasks(&id)[0].state > TaskState::Starting);
    let task = world.tasks(&id)[0];
    assert_eq!(
        (task.state.as_str(), task.message.as_str(), task.error.as_deref()),
        ("failed", "starting", Some("task: non-zero exit (137): dockerexec: unhealthy container"))
    );
}

#[test]
fn no_delay_at_all_is_no_endless_loop_at_one_time() {
    let mut world = World::new(1);
    world.push("bad:0", "bad:0", Behaviour::Exits { after: secs(0), code: 1 });
    let mut spec = service("bad:0", 1);
    spec["TaskTemplate"]["RestartPolicy"] = json!({"Delay": 0});
    let id = world.create(spec);
    world.run(secs(20));
    assert!(world.tasks(&id).len() >= 5);
}
