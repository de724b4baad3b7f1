//! Secrets and configs that services use, and what of them is refused, listed and shown.

use serde_json::{Value, json};

use crate::op::{Op, create, delete, filters, get, inspect, post, post_raw, remove, service, update, with};

/// `KEY` in the sequence, `{p}KEY` on the Swarm.
fn make(kind: &str, key: &'static str, more: Value) -> Op {
    let body = with(json!({"Name": format!("{{p}}{key}"), "Data": "aGVsbG8="}), more);
    post(&format!("/{kind}/create"), body).named(key).into()
}

fn gone(kind: &str, key: &str) -> Op {
    delete(&format!("/{kind}/{{id:{key}}}")).into()
}

/// A service that uses these.
fn user(kind: &str, name: &str, keys: &[&str]) -> Value {
    let (field, id, named) = match kind {
        "secrets" => ("Secrets", "SecretID", "SecretName"),
        _ => ("Configs", "ConfigID", "ConfigName"),
    };
    let one = |key: &&str| {
        json!({id: format!("{{id:{key}}}"), named: format!("{{p}}{key}"),
            "File": {"Name": key, "UID": "0", "GID": "0", "Mode": 292}})
    };
    let all: Vec<Value> = keys.iter().map(one).collect();
    with(service(name), json!({"TaskTemplate": {"ContainerSpec": {field: all}}}))
}

fn used(kind: &str) -> Vec<Op> {
    let label = |key: &str, value: &str| -> Op {
        let body = json!({"Name": format!("{{p}}{key}"), "Labels": {"x": value}});
        post(&format!("/{kind}/{{id:{key}}}/update?version={{index:{key}}}"), body).into()
    };
    let back = "/services/{id:w}/update?version={index:w}&rollback=previous";
    vec![
        make(kind, "a", json!({"Labels": {"x": "1"}})),
        make(kind, "b", json!({})),
        create("w", user(kind, "w", &["a"])),
        create("v", user(kind, "v", &["a", "b"])),
        gone(kind, "a"),
        delete(&format!("/{kind}/{{p}}a")).into(),
        label("a", "2"),
        get(&format!("/{kind}/{{id:a}}")).into(),
        remove("v"),
        gone(kind, "a"),
        update("w", user(kind, "w", &["b"])),
        gone(kind, "b"),
        gone(kind, "a"),
        inspect("w"),
        // What it goes back to names what is gone.
        post(back, user(kind, "w", &["b"])).into(),
        inspect("w"),
        update("w", user(kind, "w", &["a"])),
        update("w", service("w")),
        gone(kind, "b"),
        get(&format!("/{kind}/{{id:b}}")).into(),
        Op::Events,
    ]
}

/// Zeros, in base64.
fn zeros(bytes: usize) -> String {
    "AAAA".repeat(bytes / 3) + ["", "AA==", "AAA="][bytes % 3]
}

fn bad(kind: &str, bytes_max: usize) -> Vec<Op> {
    let change = |body: Value| -> Op {
        post(&format!("/{kind}/{{id:a}}/update?version={{index:a}}"), with(json!({"Name": "{p}a"}), body))
            .into()
    };
    vec![
        make(kind, "x", json!({"Data": "not base64!"})),
        make(kind, "x", json!({"Data": "aGVsbG8"})),
        make(kind, "x", json!({"Data": 7})),
        make(kind, "x", json!({"Labels": ["x=1"]})),
        make(kind, "x", json!({"Labels": {"x": 1}})),
        make(kind, "x", json!({"Name": 7})),
        post_raw(&format!("/{kind}/create"), "{").header("Content-Type", "application/json").into(),
        make(kind, "x", json!({"Data": zeros(bytes_max)})),
        make(kind, "x", json!({"Data": zeros(bytes_max + 1)})),
        make(kind, "a", json!({"Colour": "red"})),
        make(kind, "A", json!({})),
        change(json!({"Data": "aGVsbG8=", "Labels": {"x": "1"}})),
        change(json!({"Data": "not base64!"})),
        change(json!({"Labels": {"x": 1}})),
        change(json!({"Labels": null})),
        get(&format!("/{kind}/{{id:a}}")).into(),
        delete(&format!("/{kind}/nobody")).into(),
        delete(&format!("/{kind}/{{p}}a")).into(),
        get(&format!("/{kind}/{{p}}a")).into(),
    ]
}

fn templates(kind: &str) -> Vec<Op> {
    let show = |key: &str| -> Op { get(&format!("/{kind}/{{id:{key}}}")).into() };
    vec![
        make(kind, "a", json!({"Templating": {"Name": "golang"}, "Data": "e3suTm9kZS5JRH19"})),
        show("a"),
        make(kind, "b", json!({"Templating": {"Name": "nonsense", "Options": {"o": "1"}}})),
        show("b"),
        make(kind, "c", json!({"Templating": {}})),
        show("c"),
        make(kind, "d", json!({"Driver": {"Name": "vault", "Options": {"o": "1"}}})),
        show("d"),
        make(kind, "f", json!({"Driver": {}, "Data": null})),
        post(
            &format!("/{kind}/{{id:a}}/update?version={{index:a}}"),
            json!({"Name": "{p}a", "Labels": {"x": "1"}}),
        )
        .into(),
        show("a"),
    ]
}

fn chosen(kind: &str) -> Vec<Op> {
    let list = |filter: Value| -> Op { get(&format!("/{kind}{}", filters(&filter))).into() };
    vec![
        make(kind, "a", json!({"Labels": {"x": "1", "y": ""}})),
        make(kind, "ab", json!({"Labels": {"x": "2"}})),
        make(kind, "b", json!({})),
        list(json!({"name": ["{p}a", "{p}b"]})),
        list(json!({"name": ["a"]})),
        list(json!({"name": ["{p}z"]})),
        list(json!({"name": ["{p}"], "label": ["x"]})),
        list(json!({"name": ["{p}ab"], "label": ["x=1"]})),
        list(json!({"label": ["x=1", "y"], "name": ["{p}"]})),
        list(json!({"label": ["y="], "name": ["{p}"]})),
        list(json!({"id": ["{id:a}", "{id:b}"]})),
        list(json!({"id": ["{id:a}"], "name": ["{p}b"]})),
        list(json!({"id": ["nobody"]})),
        list(json!({"name": "{p}a"})),
        list(json!({"name": {"{p}a": true}})),
        list(json!({"name": {"{p}a": false}})),
    ]
}

pub fn configs_in_use() -> Vec<Op> {
    used("configs")
}

pub fn secrets_in_use() -> Vec<Op> {
    used("secrets")
}

pub fn configs_of_wrong_data() -> Vec<Op> {
    bad("configs", 1_024_000)
}

pub fn secrets_of_wrong_data() -> Vec<Op> {
    bad("secrets", 512_000)
}

pub fn configs_from_templates() -> Vec<Op> {
    templates("configs")
}

pub fn secrets_from_templates() -> Vec<Op> {
    templates("secrets")
}

pub fn configs_by_filter() -> Vec<Op> {
    chosen("configs")
}

pub fn secrets_by_filter() -> Vec<Op> {
    chosen("secrets")
}

/// The largest there may be.
pub fn contents_that_just_fit() -> Vec<Op> {
    vec![
        make("secrets", "s", json!({"Data": zeros(511_999)})),
        get("/secrets/{id:s}").into(),
        make("configs", "c", json!({"Data": zeros(1_023_999)})),
        delete("/configs/{id:c}").into(),
    ]
}

fn on(name: &str, networks: &[&str]) -> Value {
    let targets: Vec<Value> = networks.iter().map(|key| json!({"Target": format!("{{id:{key}}}")})).collect();
    with(service(name), json!({"TaskTemplate": {"Networks": targets}}))
}

fn network(key: &'static str) -> Op {
    post("/networks/create", json!({"Name": format!("{{p}}{key}"), "Driver": "overlay"})).named(key).into()
}

pub fn networks_in_use() -> Vec<Op> {
    vec![
        network("n"),
        network("m"),
        create("w", on("w", &["n"])),
        create("v", on("v", &["m", "n"])),
        gone("networks", "m"),
        delete("/networks/{p}m").into(),
        remove("v"),
        gone("networks", "n"),
        gone("networks", "m"),
        update("w", on("w", &["m"])),
        update("w", service("w")),
        gone("networks", "n"),
        get("/networks/{id:n}").into(),
        update("w", on("w", &["n"])),
        Op::Events,
    ]
}
