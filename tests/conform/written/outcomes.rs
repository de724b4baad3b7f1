//! Services with tasks: how deployments, updates and failures end.

use serde_json::{Value, json};

use crate::op::{
    Does, Op, create, delete, filters, get, inspect, post, push, push_again, remove, running, update, with,
};

const ONE: &str = "{repo}app:1.0.0";
const TWO: &str = "{repo}app:2.0.0";

fn pushed(second: Does) -> Vec<Op> {
    vec![push("app", "1.0.0", Does::Runs), push("app", "2.0.0", second)]
}

fn then(mut ops: Vec<Op>, more: Vec<Op>) -> Vec<Op> {
    ops.extend(more);
    ops
}

fn app(image: &str, more: Value) -> Value {
    with(running("a", image, 2), more)
}

/// An update that fails soon, or succeeds soon.
fn updating(action: &str) -> Value {
    json!({"UpdateConfig": {"Parallelism": 1, "Monitor": 2_500_000_000_u64, "FailureAction": action},
        "RollbackConfig": {"Parallelism": 1, "Monitor": 500_000_000}})
}

/// An update that pauses at the first failure. The delay is longer than a failing task lives: without it, whether the
/// second task is replaced before the failure is noticed is a race within the real engine.
fn pausing() -> Value {
    let mut config = updating("pause");
    config["UpdateConfig"]["Delay"] = json!(1_500_000_000_u64);
    config
}

fn update_to(second: Does, config: Value) -> Vec<Op> {
    then(
        pushed(second),
        vec![
            create("a", app(ONE, config.clone())),
            Op::Settle,
            update("a", app(TWO, config)),
            Op::Settle,
            Op::Events,
        ],
    )
}

pub fn a_rolling_update() -> Vec<Op> {
    update_to(Does::Runs, updating("pause"))
}

pub fn start_first() -> Vec<Op> {
    update_to(
        Does::Runs,
        json!({"UpdateConfig": {"Parallelism": 1, "Order": "start-first", "Monitor": 500_000_000}}),
    )
}

pub fn all_at_once() -> Vec<Op> {
    update_to(Does::Runs, json!({"UpdateConfig": {"Parallelism": 0, "Monitor": 500_000_000}}))
}

pub fn a_failure_pauses() -> Vec<Op> {
    update_to(Does::Fails, pausing())
}

pub fn a_failure_rolls_back() -> Vec<Op> {
    update_to(Does::Fails, updating("rollback"))
}

pub fn a_failure_is_passed_over() -> Vec<Op> {
    update_to(Does::Fails, updating("continue"))
}

pub fn an_unhealthy_update_rolls_back() -> Vec<Op> {
    then(
        vec![push("app", "1.0.0", Does::Healthy), push("app", "2.0.0", Does::Unhealthy)],
        vec![
            create("a", app(ONE, updating("rollback"))),
            Op::Settle,
            update("a", app(TWO, updating("rollback"))),
            Op::Settle,
        ],
    )
}

pub fn an_image_that_is_not_there() -> Vec<Op> {
    vec![create("a", running("a", "{repo}none:1.0.0", 1)), Op::Settle, inspect("a"), get("/tasks").into()]
}

/// What a look at one customer asks: tasks are found by how their service's name begins.
pub fn tasks_by_the_beginning_of_a_name() -> Vec<Op> {
    let list = |filter: Value| -> Op { get(&format!("/tasks{}", filters(&filter))).into() };
    vec![
        push("app", "1.0.0", Does::Runs),
        create("a_x", running("a_x", ONE, 2)),
        create("a-b_x", running("a-b_x", ONE, 1)),
        create("ab_x", running("ab_x", ONE, 1)),
        Op::Settle,
        list(json!({"name": ["{p}a_"]})),
        list(json!({"name": ["{p}a_"], "desired-state": ["running", "ready", "accepted", "complete"]})),
        list(json!({"name": ["{p}a_"], "desired-state": ["shutdown"]})),
        list(json!({"name": ["{p}a_x.1"]})),
        list(json!({"name": ["{p}a-b_x"]})),
        list(json!({"name": ["{p}nobody_"]})),
        get(&format!("/services{}", filters(&json!({"name": ["{p}a_"]})))).into(),
        get(&format!("/services{}", filters(&json!({"name": ["{p}nobody_"]})))).into(),
    ]
}

pub fn a_pinned_image() -> Vec<Op> {
    let pinned = "{repo}app:1.0.0@{digest:app:1.0.0}";
    let again = "{repo}app:1.0.0@{digest:app:2.0.0}";
    then(
        pushed(Does::Runs),
        vec![
            create("a", app(pinned, updating("pause"))),
            Op::Settle,
            update("a", app(again, updating("pause"))),
            Op::Settle,
            get("/tasks").into(),
        ],
    )
}

pub fn an_update_to_an_image_that_is_not_there() -> Vec<Op> {
    vec![
        push("app", "1.0.0", Does::Runs),
        create("a", app(ONE, updating("rollback"))),
        Op::Settle,
        update("a", app("{repo}app:9.0.0", updating("rollback"))),
        Op::Settle,
    ]
}

pub fn no_node_fits() -> Vec<Op> {
    let nowhere = json!({"TaskTemplate": {"Placement": {"Constraints": ["node.hostname==nowhere"]}}});
    then(
        pushed(Does::Runs),
        vec![
            create("a", app(ONE, nowhere.clone())),
            Op::Settle,
            create(
                "m",
                with(
                    running("m", ONE, 1),
                    json!({"TaskTemplate": {"Resources":
                {"Reservations": {"MemoryBytes": 1_000_000_000_000_000_u64}}}}),
                ),
            ),
            Op::Settle,
            update("a", app(TWO, json!({}))),
            Op::Settle,
        ],
    )
}

pub fn up_and_down() -> Vec<Op> {
    let scaled = |replicas: u64| {
        update("a", with(app(ONE, json!({})), json!({"Mode": {"Replicated": {"Replicas": replicas}}})))
    };
    then(
        pushed(Does::Runs),
        vec![
            create("a", app(ONE, json!({}))),
            Op::Settle,
            scaled(3),
            Op::Settle,
            scaled(1),
            Op::Settle,
            scaled(0),
            Op::Settle,
            inspect("a"),
            Op::Events,
        ],
    )
}

pub fn a_global_service() -> Vec<Op> {
    let global = |image: &str| {
        json!({"Name": "{p}a", "Mode": {"Global": {}}, "UpdateConfig": {"Monitor": 500_000_000},
        "TaskTemplate": {"ContainerSpec": {"Image": image}, "RestartPolicy": {"Condition": "none"}}})
    };
    then(
        pushed(Does::Runs),
        vec![
            create("a", global(ONE)),
            Op::Settle,
            get("/tasks").into(),
            update("a", global(TWO)),
            Op::Settle,
        ],
    )
}

pub fn a_job() -> Vec<Op> {
    let job = |force: u64| {
        json!({"Name": "{p}a", "Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 2}},
        "TaskTemplate": {"ContainerSpec": {"Image": "{repo}job:1.0.0"}, "ForceUpdate": force,
            "RestartPolicy": {"Condition": "none"}}})
    };
    vec![
        push("job", "1.0.0", Does::Finishes),
        create("a", job(0)),
        Op::Settle,
        inspect("a"),
        update("a", job(1)),
        Op::Settle,
        inspect("a"),
    ]
}

pub fn restarts_that_end() -> Vec<Op> {
    let restart = |condition: &str, attempts: u64| json!({"TaskTemplate": {"RestartPolicy": {"Condition": condition, "MaxAttempts": attempts, "Delay": 100_000_000}}});
    vec![
        push("bad", "1.0.0", Does::Fails),
        push("job", "1.0.0", Does::Finishes),
        create("a", with(running("a", "{repo}bad:1.0.0", 1), restart("any", 2))),
        create("b", with(running("b", "{repo}bad:1.0.0", 1), restart("on-failure", 1))),
        create("c", with(running("c", "{repo}job:1.0.0", 1), restart("on-failure", 1))),
        create("d", with(running("d", "{repo}job:1.0.0", 1), restart("any", 1))),
        create("e", running("e", "{repo}bad:1.0.0", 1)),
        Op::Settle,
    ]
}

pub fn labels_do_not_touch_tasks() -> Vec<Op> {
    then(
        pushed(Does::Runs),
        vec![
            create("a", app(ONE, json!({}))),
            Op::Settle,
            update("a", app(ONE, json!({"Labels": {"x": "1"}}))),
            Op::Settle,
            update("a", app(ONE, json!({"Labels": {"x": "1"}, "TaskTemplate": {"ForceUpdate": 1}}))),
            Op::Settle,
            inspect("a"),
        ],
    )
}

pub fn labels_clear_the_update_status() -> Vec<Op> {
    // Both tasks at once: whether the second one is replaced before the first one fails is chance.
    let both = || {
        let config = json!({"Parallelism": 2, "Monitor": 2_500_000_000_u64, "FailureAction": "pause"});
        with(updating("pause"), json!({ "UpdateConfig": config }))
    };
    let labels = app(TWO, with(both(), json!({"Labels": {"x": "1"}})));
    then(update_to(Does::Fails, both()), vec![update("a", labels), inspect("a"), Op::Settle])
}

pub fn rolled_back_by_hand() -> Vec<Op> {
    then(
        update_to(Does::Fails, pausing()),
        vec![
            post("/services/{id:a}/update?version={index:a}&rollback=previous", app(ONE, json!({}))).into(),
            Op::Settle,
            Op::Events,
        ],
    )
}

pub fn a_bare_tag_that_moves() -> Vec<Op> {
    vec![
        push("app", "1.0.0", Does::Runs),
        create("a", app(ONE, json!({}))),
        Op::Settle,
        push_again("app", "1.0.0", Does::Runs),
        update("a", app(ONE, json!({}))),
        Op::Settle,
        update("a", app(ONE, json!({"TaskTemplate": {"ForceUpdate": 1}}))),
        Op::Settle,
    ]
}

pub fn a_node_is_drained() -> Vec<Op> {
    let node = |availability: &str| -> Op {
        post(
            "/nodes/{id:n1}/update?version={index:n1}",
            json!({"Role": "worker", "Availability": availability, "Labels": {}}),
        )
        .into()
    };
    then(
        pushed(Does::Runs),
        vec![
            create(
                "a",
                app(
                    ONE,
                    json!({"TaskTemplate": {"RestartPolicy": {"Condition": "any", "Delay": 100_000_000}}}),
                ),
            ),
            Op::Settle,
            node("drain"),
            get("/nodes/{id:n1}").into(),
            Op::Settle,
            node("active"),
            Op::Settle,
        ],
    )
}

pub fn ports_and_secrets_of_tasks() -> Vec<Op> {
    let port = json!([{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 18200, "PublishMode": "host"}]);
    vec![
        push("app", "1.0.0", Does::Runs),
        post("/secrets/create", json!({"Name": "{p}s", "Data": "eA=="})).named("s").into(),
        create(
            "a",
            with(
                running("a", ONE, 3),
                json!({
                    "EndpointSpec": {"Ports": port},
                    "TaskTemplate": {"ContainerSpec": {"Secrets": [
                        {"SecretID": "{id:s}", "SecretName": "{p}s", "File": {"Name": "x", "UID": "0", "GID": "0", "Mode": 292}}]}},
                }),
            ),
        ),
        Op::Settle,
        delete("/secrets/{id:s}").into(),
        remove("a"),
        Op::Settle,
        delete("/secrets/{id:s}").into(),
    ]
}

pub fn networks_of_tasks() -> Vec<Op> {
    let more =
        json!({"TaskTemplate": {"Networks": [{"Target": "{id:n}"}]}, "EndpointSpec": {"Mode": "dnsrr"}});
    vec![
        push("app", "1.0.0", Does::Runs),
        post("/networks/create", json!({"Name": "{p}n", "Driver": "overlay"})).named("n").into(),
        create("a", with(running("a", ONE, 2), more)),
        Op::Settle,
        delete("/networks/{id:n}").into(),
        remove("a"),
        Op::Settle,
        Op::Settle,
        // How long its nodes still show it is chance.
        delete("/networks/{id:n}").into(),
    ]
}

/// A service is removed whose tasks take some seconds to stop, and its network before they have.
pub fn a_network_goes_while_tasks_stop() -> Vec<Op> {
    // On every node, the one that answers among them.
    let more = json!({
        "Mode": {"Replicated": null, "Global": {}},
        "TaskTemplate": {
            "Networks": [{"Target": "{id:n}"}],
            "ContainerSpec": {"StopSignal": "SIGCONT", "StopGracePeriod": 6_000_000_000_u64},
        },
        "EndpointSpec": {"Mode": "dnsrr"},
    });
    let shown = || -> Vec<Op> {
        vec![
            get("/networks/{id:n}").into(),
            get("/networks/{id:n}?scope=swarm").into(),
            get(&format!("/networks{}", filters(&json!({"name": ["{p}n"]})))).into(),
            get(&format!("/networks{}", filters(&json!({"scope": ["swarm"], "name": ["{p}n"]})))).into(),
            delete("/networks/{id:n}").into(),
            delete("/networks/{p}n").into(),
        ]
    };
    let mut ops = vec![
        push("app", "1.0.0", Does::Runs),
        post("/networks/create", json!({"Name": "{p}n", "Driver": "overlay", "Labels": {"x": "1"}}))
            .named("n")
            .into(),
        create("a", with(running("a", ONE, 1), more)),
        Op::Settle,
        remove("a"),
        delete("/networks/{id:n}").into(),
    ];
    ops.extend(shown());
    // Another of its name, as when a stack is made again at once.
    ops.extend([
        post("/networks/create", json!({"Name": "{p}n", "Driver": "overlay"})).named("again").into(),
        get(&format!("/networks{}", filters(&json!({"scope": ["swarm"], "name": ["{p}n"]})))).into(),
        get("/networks/{id:again}").into(),
        delete("/networks/{p}n").into(),
    ]);
    ops
}

/// Its name is free at once, and its tasks go by themselves.
pub fn a_service_goes_while_tasks_run() -> Vec<Op> {
    vec![
        push("app", "1.0.0", Does::Runs),
        create("a", running("a", ONE, 3)),
        Op::Settle,
        remove("a"),
        inspect("a"),
        get(&format!("/tasks{}", filters(&json!({"service": ["{p}a"]})))).into(),
        remove("a"),
        post("/services/create", running("a", ONE, 1)).named("again").into(),
        Op::Settle,
        inspect("again"),
        Op::Events,
    ]
}
