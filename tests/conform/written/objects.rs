//! Networks, configs and secrets.

use serde_json::{Value, json};

use crate::op::{Op, delete, filters, get, post};

fn config(name: &str, more: Value) -> Value {
    crate::op::with(json!({"Name": format!("{{p}}{name}"), "Data": "aGVsbG8="}), more)
}

fn life(kind: &str) -> Vec<Op> {
    let at = |rest: &str| format!("/{kind}/{{id:a}}{rest}");
    let update = |body: Value| -> Op { post(&at("/update?version={index:a}"), body).into() };
    vec![
        post(&format!("/{kind}/create"), config("a", json!({"Labels": {"x": "1"}}))).named("a").into(),
        get(&at("")).into(),
        get(&format!("/{kind}/{{p}}a")).into(),
        get(&format!("/{kind}/nobody")).into(),
        post(&format!("/{kind}/create"), config("a", json!({}))).into(),
        update(config("a", json!({"Labels": {"x": "2"}}))),
        get(&at("")).into(),
        post(&at("/update?version={stale:a}"), config("a", json!({"Labels": {"x": "3"}}))).into(),
        update(config("a", json!({"Data": "b3RoZXI=", "Labels": {"x": "3"}}))),
        update(config("b", json!({}))),
        update(json!({"Name": "{p}a", "Labels": {"y": "4"}})),
        get(&at("")).into(),
        post(&at("/update"), config("a", json!({}))).into(),
        post(&at("/update?version=x"), config("a", json!({}))).into(),
        post(&format!("/{kind}/nobody/update?version=1"), config("a", json!({}))).into(),
        delete(&at("")).into(),
        delete(&at("")).into(),
        get(&at("")).into(),
        post(&format!("/{kind}/create"), config("a", json!({}))).named("again").into(),
    ]
}

fn refused(kind: &str) -> Vec<Op> {
    let create = |body: Value| -> Op { post(&format!("/{kind}/create"), body).into() };
    vec![
        create(config("a", json!({"Name": ""}))),
        create(config("a", json!({"Name": "{p} a"}))),
        create(config("a", json!({"Name": "{p}ä"}))),
        create(config("a", json!({"Name": format!("{{p}}{}", "y".repeat(64))}))),
        create(config("a", json!({"Data": ""}))),
        create(config("a", json!({"Data": null}))),
        create(json!({})),
    ]
}

fn listed(kind: &str) -> Vec<Op> {
    let list = |value: Value| -> Op { get(&format!("/{kind}{}", filters(&value))).into() };
    vec![
        post(&format!("/{kind}/create"), config("a", json!({"Labels": {"x": "1"}}))).named("a").into(),
        post(&format!("/{kind}/create"), config("ab", json!({"Labels": {"x": "2"}}))).named("ab").into(),
        get(&format!("/{kind}")).into(),
        list(json!({"name": ["{p}a"]})),
        list(json!({"names": ["{p}a"]})),
        list(json!({"label": ["x=1"]})),
        list(json!({"label": ["x"]})),
        list(json!({"id": ["{id:ab}"]})),
        list(json!({"colour": ["red"]})),
    ]
}

pub fn configs() -> Vec<Op> {
    life("configs")
}

pub fn secrets() -> Vec<Op> {
    life("secrets")
}

pub fn configs_that_are_not() -> Vec<Op> {
    refused("configs")
}

pub fn secrets_that_are_not() -> Vec<Op> {
    refused("secrets")
}

pub fn lists_of_configs() -> Vec<Op> {
    listed("configs")
}

pub fn lists_of_secrets() -> Vec<Op> {
    listed("secrets")
}

fn network(name: &str, more: Value) -> Value {
    crate::op::with(json!({"Name": format!("{{p}}{name}"), "Driver": "overlay"}), more)
}

pub fn networks() -> Vec<Op> {
    vec![
        post("/networks/create", network("a", json!({"Labels": {"x": "1"}, "Attachable": true})))
            .named("a")
            .into(),
        get("/networks/{id:a}").into(),
        get("/networks/{p}a").into(),
        get("/networks/nobody").into(),
        post("/networks/create", network("a", json!({"CheckDuplicate": true}))).into(),
        post("/networks/create", network("a", json!({}))).into(),
        get(&format!("/networks{}", filters(&json!({"scope": ["swarm"]})))).into(),
        get(&format!("/networks{}", filters(&json!({"name": ["{p}a"]})))).into(),
        get(&format!("/networks{}", filters(&json!({"label": ["x=1"]})))).into(),
        get(&format!("/networks{}", filters(&json!({"driver": ["overlay"]})))).into(),
        get(&format!("/networks{}", filters(&json!({"colour": ["red"]})))).into(),
        delete("/networks/{id:a}").into(),
        delete("/networks/{id:a}").into(),
        get("/networks/{id:a}").into(),
    ]
}

/// What every node has of its own is in no list of the Swarm's networks, but is there when it is asked for.
pub fn predefined_networks() -> Vec<Op> {
    let mut ops = Vec::new();
    for name in ["host", "bridge", "none", "ingress"] {
        ops.push(get(&format!("/networks/{name}?scope=swarm")).into());
        ops.push(get(&format!("/networks/{name}?scope=local")).into());
        ops.push(get(&format!("/networks/{name}")).into());
    }
    for asked in [
        json!({"scope": ["swarm"], "name": ["host"]}),
        json!({"scope": ["local"], "name": ["host"]}),
        json!({"name": ["host"]}),
        json!({"type": ["builtin"]}),
        json!({"scope": ["swarm"], "type": ["builtin"]}),
    ] {
        ops.push(get(&format!("/networks{}", filters(&asked))).into());
    }
    ops.extend(["host", "bridge", "none"].map(|name| delete(&format!("/networks/{name}")).into()));
    ops
}

pub fn networks_with_options() -> Vec<Op> {
    vec![
        post(
            "/networks/create",
            network(
                "a",
                json!({"Internal": true, "Options": {"o": "1"},
            "IPAM": {"Driver": "default", "Config": [{"Subnet": "10.99.7.0/24", "Gateway": "10.99.7.1"}]}}),
            ),
        )
        .named("a")
        .into(),
        get("/networks/{id:a}").into(),
        post("/networks/create", network("", json!({"Name": ""}))).into(),
        post("/networks/create", network("x", json!({"Driver": "nonsense"}))).into(),
        post("/networks/create", json!({})).into(),
        post("/networks/create", network("y", json!({"Scope": "swarm", "Driver": "bridge"})))
            .named("y")
            .into(),
        get("/networks/{id:y}").into(),
    ]
}
