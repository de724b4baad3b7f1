use serde_json::json;

use super::*;
use crate::memory::Image;
use crate::state::UpdateStatus;

const TIMEOUT: Duration = Duration::from_secs(600);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn rollout(purpose: Purpose) -> Rollout {
    let image = Image { repository: "r".into(), tag: None, version: None, digest: "d".into() };
    Rollout {
        event_id: "e".into(),
        to: image,
        from: None,
        spec: "s".into(),
        purpose,
        started: at(0),
        after_index: 0,
        failed: None,
    }
}

fn service(mode: Value, status: Option<&str>, tasks: Vec<ObservedTask>) -> ObservedService {
    let update_status =
        status.map(|state| UpdateStatus { state: state.to_owned(), message: "swarm says".into() });
    ObservedService {
        id: "s".into(),
        name: "a_b".into(),
        version_index: 1,
        spec: json!({ "Mode": mode }),
        previous_spec: None,
        updated_at: None,
        update_status,
        job_iteration: Some(3),
        tasks,
    }
}

fn task(state: &str, current: bool, message: &str) -> ObservedTask {
    ObservedTask {
        id: "t".into(),
        slot: None,
        node_id: Some("up".into()),
        state: state.into(),
        desired_state: "running".into(),
        job_iteration: Some(3),
        image: String::new(),
        current,
        message: message.into(),
        timestamp: Some(at(0)),
    }
}

fn nodes() -> BTreeMap<String, ObservedNode> {
    let node = |id: &str, ready| ObservedNode {
        id: id.into(),
        hostname: id.into(),
        ready,
        availability: "active".into(),
        manager: false,
        platform: None,
        labels: BTreeMap::new(),
        engine_labels: BTreeMap::new(),
        plugins: Default::default(),
    };
    [("up", true), ("up2", true), ("down", false)].map(|(id, ready)| (id.to_owned(), node(id, ready))).into()
}

#[test]
fn tasks_are_counted_as_the_mode_wants_them() {
    let on = |node: &str, task: ObservedTask| ObservedTask { node_id: Some(node.into()), ..task };
    let run = || task("running", true, "");
    let old = || task("running", false, "");
    let done = || task("complete", true, "");
    let replicated = |count: u64| json!({ "Replicated": { "Replicas": count } });
    let job = || json!({ "ReplicatedJob": { "MaxConcurrent": 1, "TotalCompletions": 2 } });
    let earlier = || ObservedTask { job_iteration: Some(2), ..done() };
    // mode, tasks, (wanted, right, outdated), whether that is right
    let cases = [
        (replicated(2), vec![run(), run()], (2, 2, 0), true),
        (replicated(2), vec![run(), old()], (2, 1, 1), false),
        (replicated(1), vec![run(), old()], (1, 1, 1), false),
        (replicated(1), vec![task("starting", true, "")], (1, 0, 0), false),
        (replicated(1), vec![run(), task("shutdown", false, "")], (1, 1, 0), true),
        (replicated(1), vec![ObservedTask { desired_state: "shutdown".into(), ..run() }], (1, 0, 0), false),
        (replicated(1), vec![on("down", run())], (1, 0, 0), false),
        (replicated(1), vec![run(), on("down", old())], (1, 1, 0), true),
        (replicated(0), vec![], (0, 0, 0), true),
        (replicated(0), vec![old()], (0, 0, 1), false),
        (json!({ "Replicated": {} }), vec![run()], (1, 1, 0), true),
        (json!({ "Global": {} }), vec![on("up", run()), on("up2", run())], (2, 2, 0), true),
        (json!({ "Global": {} }), vec![on("up", run()), on("down", run())], (2, 1, 0), false),
        (job(), vec![done(), done()], (2, 2, 0), true),
        (job(), vec![done(), earlier()], (2, 1, 0), false),
        (job(), vec![done(), run()], (2, 1, 0), false),
    ];
    for (mode, tasks, expected, is_right) in cases {
        let tally = tally(&service(mode.clone(), None, tasks.clone()), &nodes());
        assert_eq!((tally.wanted, tally.right, tally.outdated), expected, "{mode} {tasks:?}");
        assert_eq!(tally.is_right(), is_right, "{mode} {tasks:?}");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Is {
    Converged,
    Paused,
    Going,
    /// refuse, Swarm rolls back
    Failed(bool, bool),
}

fn judged(purpose: Purpose, status: Option<&str>, tasks: Vec<ObservedTask>, second: i64) -> Is {
    let service = service(json!({ "Replicated": { "Replicas": 1 } }), status, tasks);
    let tally = tally(&service, &nodes());
    match progress(&service, &tally, &rollout(purpose), TIMEOUT, at(second)) {
        Progress::Converged => Is::Converged,
        Progress::PausedButRight => Is::Paused,
        Progress::InProgress => Is::Going,
        Progress::Failed(failure) => {
            assert!(!failure.why.is_empty());
            Is::Failed(failure.refuse, failure.swarm_rolls_back)
        }
    }
}

#[test]
fn a_rollout_is_judged_by_status_and_tasks() {
    use Purpose::{Forward, RollBack};
    let right = || vec![task("running", true, "")];
    let old = || vec![task("running", false, "")];
    let failing = || vec![task("failed", true, "task: non-zero exit (1)")];
    let no_image = || vec![task("rejected", true, "No such image: r@d")];
    let no_node = || vec![task("pending", true, "no suitable node (…)")];
    // Each: purpose, Swarm's status, tasks, seconds since the start.
    let cases = [
        (Forward, None, right(), 5, Is::Converged),
        // One look may find a crash loop running; where Swarm has watched, it need not last.
        (Forward, None, right(), 4, Is::Going),
        (Forward, Some("paused"), right(), 4, Is::Going),
        (Forward, Some("completed"), right(), 1, Is::Converged),
        (RollBack, None, right(), 4, Is::Going),
        (Forward, Some("completed"), right(), 5, Is::Converged),
        (Forward, Some("updating"), right(), 5, Is::Going),
        (Forward, Some("completed"), old(), 5, Is::Going),
        (Forward, None, vec![], 5, Is::Going),
        (Forward, Some("something new"), right(), 5, Is::Going),
        (Forward, Some("paused"), right(), 5, Is::Paused),
        (Forward, Some("paused"), failing(), 5, Is::Failed(true, false)),
        (Forward, Some("paused"), no_image(), 5, Is::Going),
        (Forward, Some("rollback_started"), old(), 5, Is::Failed(true, true)),
        (Forward, Some("rollback_paused"), failing(), 5, Is::Failed(true, true)),
        (Forward, Some("rollback_completed"), right(), 5, Is::Failed(true, true)),
        (Forward, Some("updating"), failing(), 599, Is::Going),
        (Forward, Some("updating"), failing(), 600, Is::Failed(true, false)),
        (Forward, None, no_image(), 600, Is::Failed(false, false)),
        (Forward, None, no_node(), 19, Is::Going),
        (Forward, None, no_node(), 20, Is::Failed(false, false)),
        (RollBack, None, right(), 5, Is::Converged),
        (RollBack, Some("completed"), right(), 5, Is::Converged),
        (RollBack, Some("rollback_completed"), right(), 5, Is::Converged),
        (RollBack, Some("rollback_completed"), old(), 5, Is::Going),
        (RollBack, Some("rollback_started"), right(), 5, Is::Going),
        (RollBack, Some("paused"), right(), 5, Is::Paused),
        (RollBack, Some("rollback_paused"), failing(), 5, Is::Failed(false, false)),
    ];
    for (purpose, status, tasks, second, expected) in cases {
        let found = judged(purpose, status, tasks.clone(), second);
        assert_eq!(found, expected, "{purpose:?} {status:?} after {second} s: {tasks:?}");
    }
}

#[test]
fn failures_are_told_in_swarms_words() {
    let tasks = vec![task("failed", true, "task: non-zero exit (1)")];
    let service = service(json!({ "Replicated": { "Replicas": 1 } }), Some("paused"), tasks);
    let tally = tally(&service, &nodes());
    let Progress::Failed(failure) = progress(&service, &tally, &rollout(Purpose::Forward), TIMEOUT, at(1))
    else {
        panic!("failed")
    };
    assert_eq!(failure.why, "swarm says; task: task: non-zero exit (1)");
}

#[test]
fn how_long_tasks_must_run_is_the_services_own_to_say() {
    let judge = |monitor_seconds: i64, second: i64| {
        let mut service =
            service(json!({ "Replicated": { "Replicas": 1 } }), None, vec![task("running", true, "")]);
        service.spec["UpdateConfig"] = json!({ "Monitor": monitor_seconds * 1_000_000_000 });
        let tally = tally(&service, &nodes());
        is_stable(&service, &tally, Some(at(0)), at(second))
    };
    // monitor, seconds since the task began to run, whether that is long enough
    for (monitor, second, expected) in
        [(2, 1, false), (2, 2, true), (0, 4, false), (0, 5, true), (900, 59, false), (900, 60, true)]
    {
        assert_eq!(judge(monitor, second), expected, "monitor {monitor} s, after {second} s");
    }
    let ahead = ObservedTask { timestamp: Some(at(3_600)), ..task("running", true, "") };
    let skewed = service(json!({ "Replicated": { "Replicas": 1 } }), None, vec![ahead]);
    let stable = |second| is_stable(&skewed, &tally(&skewed, &nodes()), Some(at(0)), at(second));
    assert!(!stable(4) && stable(5), "a node's clock that is ahead keeps nothing from converging");
    let none = service(json!({ "Replicated": { "Replicas": 0 } }), None, vec![]);
    assert!(is_stable(&none, &tally(&none, &nodes()), Some(at(0)), at(0)), "nothing is to run");
}

#[test]
fn a_job_that_still_works_is_not_late() {
    let job = json!({ "ReplicatedJob": { "MaxConcurrent": 2, "TotalCompletions": 2 } });
    let judge = |tasks: Vec<ObservedTask>| {
        let service = service(job.clone(), None, tasks);
        let tally = tally(&service, &nodes());
        progress(&service, &tally, &rollout(Purpose::Forward), TIMEOUT, at(10_000))
    };
    let (run, done) = (|| task("running", true, ""), || task("complete", true, ""));
    assert_eq!(judge(vec![run(), run()]), Progress::InProgress);
    assert_eq!(judge(vec![run(), done()]), Progress::InProgress);
    assert_eq!(judge(vec![done(), done()]), Progress::Converged);
    assert!(matches!(judge(vec![done(), task("failed", true, "exit 1")]), Progress::Failed(_)));
}

#[test]
fn what_runs_on_a_paused_node_is_left_alone_by_swarm_and_not_counted() {
    let mut nodes = nodes();
    nodes.get_mut("up2").unwrap().availability = "pause".into();
    let on_paused = ObservedTask { node_id: Some("up2".into()), ..task("running", false, "") };
    let service =
        service(json!({ "Global": {} }), Some("completed"), vec![task("running", true, ""), on_paused]);
    let tally = tally(&service, &nodes);
    assert_eq!((tally.wanted, tally.right, tally.outdated), (1, 1, 0));
}
