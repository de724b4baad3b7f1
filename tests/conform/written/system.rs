//! Ping, version, info, nodes, and what is true of all paths.

use serde_json::json;

use crate::op::{
    Op, bare, create, delete, filters, get, inspect, post, post_raw, remove, service, update, with,
};

pub fn ping() -> Vec<Op> {
    vec![
        bare("GET", "/_ping").into(),
        bare("HEAD", "/_ping").into(),
        get("/_ping").into(),
        bare("POST", "/_ping").into(),
    ]
}

pub fn version_and_info() -> Vec<Op> {
    vec![bare("GET", "/version").into(), get("/version").into(), get("/info").into()]
}

pub fn api_version_prefixes() -> Vec<Op> {
    vec![
        create("a", service("a")),
        bare("GET", "/services/{id:a}").into(),
        bare("GET", "/v1.24/services/{id:a}").into(),
        bare("GET", "/v1.40/services/{id:a}").into(),
        bare("GET", "/v1.42/services").into(),
        bare("GET", "/v2.0/services").into(),
        bare("GET", "/v1.11/services").into(),
        bare("GET", "/v1/services").into(),
        bare("GET", "/v1.41").into(),
        bare("GET", "/vx.41/services").into(),
    ]
}

pub fn unknown_paths() -> Vec<Op> {
    vec![
        get("/nothing").into(),
        post("/services", json!({})).into(),
        delete("/services").into(),
        delete("/services/create").into(),
        bare("PUT", "/v1.41/services/create").into(),
        get("/services/").into(),
        get("/").into(),
        bare("GET", "/").into(),
    ]
}

pub fn nodes() -> Vec<Op> {
    vec![
        get("/nodes").into(),
        get("/nodes/{id:n0}").into(),
        get("/nodes/{id:n1}").into(),
        get("/nodes/n1").into(),
        get("/nodes/self").into(),
        get("/nodes/nobody").into(),
        get(&format!("/nodes{}", filters(&json!({"role": ["manager"]})))).into(),
        get(&format!("/nodes{}", filters(&json!({"name": ["n1"]})))).into(),
        get(&format!("/nodes{}", filters(&json!({"role": ["boss"]})))).into(),
        get(&format!("/nodes{}", filters(&json!({"colour": ["red"]})))).into(),
    ]
}

pub fn node_refusals() -> Vec<Op> {
    let spec = json!({"Role": "worker", "Availability": "active"});
    vec![
        post("/nodes/{id:n1}/update?version=1", spec.clone()).into(),
        post("/nodes/{id:n1}/update", spec.clone()).into(),
        post("/nodes/{id:n1}/update?version=x", spec.clone()).into(),
        post("/nodes/nobody/update?version=1", spec).into(),
        post("/nodes/{id:n1}/update?version={index:n1}", json!({"Role": "boss", "Availability": "active"}))
            .into(),
        post("/nodes/{id:n1}/update?version={index:n1}", json!({"Role": "worker", "Availability": "x"}))
            .into(),
    ]
}

pub fn node_labels() -> Vec<Op> {
    let label = |value: &str| -> Op {
        let spec = json!({"Role": "worker", "Availability": "active", "Labels": {"conform": value}});
        post("/nodes/{id:n1}/update?version={index:n1}", spec).into()
    };
    let stale = json!({"Role": "worker", "Availability": "active"});
    vec![
        label("1"),
        get("/nodes/{id:n1}").into(),
        post("/nodes/{id:n1}/update?version={stale:n1}", stale).into(),
        get(&format!("/nodes{}", filters(&json!({"node.label": ["conform=1"]})))).into(),
        label("2"),
        get("/nodes/{id:n1}").into(),
    ]
}

pub fn events() -> Vec<Op> {
    let label = |value: &str| with(service("a"), json!({"Labels": {"l": value}}));
    vec![
        create("a", service("a")),
        update("a", label("1")),
        update(
            "a",
            with(label("2"), json!({"TaskTemplate": {"ContainerSpec": {"Image": "{repo}app:2.0.0"}}})),
        ),
        update("a", label("2")),
        post("/configs/create", json!({"Name": "{p}c", "Data": "eA=="})).named("c").into(),
        post(
            "/configs/{id:c}/update?version={index:c}",
            json!({"Name": "{p}c", "Labels": {"x": "y"}, "Data": "eA=="}),
        )
        .into(),
        post("/secrets/create", json!({"Name": "{p}s", "Data": "eA=="})).named("s").into(),
        delete("/configs/{id:c}").into(),
        delete("/secrets/{id:s}").into(),
        remove("a"),
        Op::Events,
    ]
}

pub fn event_requests() -> Vec<Op> {
    vec![
        get("/events?since=x").into(),
        get("/events?since=0&until=y").into(),
        get("/events?since=0&until=1").into(),
        get("/events?filters=x").into(),
        get("/events?since=2&until=1").into(),
    ]
}

pub fn filters_of_lists() -> Vec<Op> {
    let list = |value| -> Op { get(&format!("/services{}", filters(&value))).into() };
    vec![
        create("a", with(service("a"), json!({"Labels": {"x": "1", "y": "2"}}))),
        create("ab", with(service("ab"), json!({"Labels": {"x": "2"}}))),
        create(
            "g",
            json!({"Name": "{p}g", "TaskTemplate": {"ContainerSpec": {"Image": "{repo}app:1.0.0"},
            "Placement": {"Constraints": ["node.labels.none==1"]}}, "Mode": {"Global": {}}}),
        ),
        list(json!({"name": ["{p}a"]})),
        list(json!({"name": ["{p}ab", "{p}g"]})),
        list(json!({"name": ["nobody"]})),
        list(json!({"id": ["{id:ab}"]})),
        list(json!({"label": ["x"]})),
        list(json!({"label": ["x=1"]})),
        list(json!({"label": ["x=1", "y=2"]})),
        list(json!({"label": ["x", "y=3"]})),
        list(json!({"name": ["{p}a"], "label": ["x=2"]})),
        list(json!({"mode": ["global"]})),
        list(json!({"mode": ["replicated"]})),
        list(json!({"mode": ["job"]})),
        list(json!({"colour": ["red"]})),
        list(json!({"name": {"{p}a": true}})),
        list(json!({"name": "x"})),
        list(json!([])),
        get("/services?filters=nonsense").into(),
        get("/services?status=true").into(),
        get("/services?status=nonsense").into(),
        inspect("g"),
    ]
}

pub fn filters_of_tasks() -> Vec<Op> {
    let list = |value| -> Op { get(&format!("/tasks{}", filters(&value))).into() };
    vec![
        create("a", service("a")),
        list(json!({"service": ["{p}a"]})),
        list(json!({"service": ["{id:a}"]})),
        list(json!({"service": ["nobody"]})),
        list(json!({"service": ["{p}a", "nobody"]})),
        list(json!({"node": ["n1"]})),
        list(json!({"node": ["nobody"]})),
        list(json!({"desired-state": ["running", "ready", "accepted", "complete"]})),
        list(json!({"desired-state": ["shutdown"]})),
        list(json!({"desired-state": ["nonsense"]})),
        list(json!({"colour": ["red"]})),
        get("/tasks/nobody").into(),
        get("/tasks?filters=nonsense").into(),
    ]
}

pub fn bodies_that_are_not_json() -> Vec<Op> {
    vec![
        create("a", service("a")),
        post_raw("/services/create", "").into(),
        post_raw("/services/create", "{").header("Content-Type", "application/json").into(),
        post_raw("/services/create", "[]").header("Content-Type", "application/json").into(),
        post_raw("/services/create", "{\"Name\":1}").header("Content-Type", "application/json").into(),
        post_raw("/services/create", "{\"Name\":\"{p}x\"}").header("Content-Type", "text/plain").into(),
        post_raw("/services/create", "{\"Mode\":{\"Replicated\":{\"Replicas\":-1}}}")
            .header("Content-Type", "application/json")
            .into(),
        post_raw("/services/{id:a}/update?version={index:a}", "").into(),
        post_raw("/services/{id:a}/update?version={index:a}", "x")
            .header("Content-Type", "application/json")
            .into(),
        post_raw("/networks/create", "{").header("Content-Type", "application/json").into(),
        post_raw("/configs/create", "{\"Data\":\"***\"}").header("Content-Type", "application/json").into(),
    ]
}
