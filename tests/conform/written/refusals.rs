//! Specs of services that the engine refuses, and how.

use serde_json::{Value, json};

use super::services::{image, port, ports, task};
use crate::op::{Op, create, delete, inspect, post, service, update, with};

pub fn names_that_are_not() -> Vec<Op> {
    let named = |name: &str| with(service("a"), json!({"Name": name}));
    vec![
        create("x", named("")),
        create("x", with(service("a"), json!({"Name": null}))),
        create("x", named("{p}a b")),
        create("x", named("-{p}a")),
        create("x", named("{p}a.b")),
        create("x", named("{p}a_b")),
        create("x", named("{p}ä")),
        create("x", named(&format!("{{p}}{}", "y".repeat(70)))),
        create("x", named("{p}a/b")),
    ]
}

pub fn images_that_are_not() -> Vec<Op> {
    vec![
        create("x", image("a", "")),
        create("x", image("a", "UPPER/case")),
        create("x", image("a", "a b")),
        create("x", image("a", "{repo}app:")),
        create("x", image("a", "{repo}app@sha256:12")),
        create("b", image("b", "{repo}app")),
        create("c", image("c", "plain")),
        inspect("c"),
        create("x", with(service("a"), json!({"TaskTemplate": null}))),
        create("x", with(service("a"), json!({"TaskTemplate": {"ContainerSpec": null}}))),
        create("x", json!({})),
    ]
}

pub fn jobs_that_are_not() -> Vec<Op> {
    let job = |more: Value| {
        with(
            json!({"Name": "{p}j", "Mode": {"ReplicatedJob": {"MaxConcurrent": 0, "TotalCompletions": 0}},
                "TaskTemplate": {"ContainerSpec": {"Image": "{repo}app:1.0.0"}}}),
            more,
        )
    };
    vec![
        create("x", job(json!({"UpdateConfig": {"Parallelism": 1}}))),
        create("x", job(json!({"RollbackConfig": {"Parallelism": 1}}))),
        create("x", job(json!({"TaskTemplate": {"RestartPolicy": {"Condition": "any"}}}))),
        create("j", job(json!({"TaskTemplate": {"RestartPolicy": {"Condition": "none"}}}))),
        update("j", job(json!({"TaskTemplate": {"ForceUpdate": 1, "RestartPolicy": {"Condition": "none"}}}))),
        inspect("j"),
    ]
}

pub fn unknown_networks_secrets_configs() -> Vec<Op> {
    let reference = |kind: &str, id: &str, name: &str| {
        let (key, id_key, name_key) = if kind == "secret" {
            ("Secrets", "SecretID", "SecretName")
        } else {
            ("Configs", "ConfigID", "ConfigName")
        };
        with(
            service("a"),
            json!({"TaskTemplate": {"ContainerSpec": {key: [
                {id_key: id, name_key: name, "File": {"Name": "x", "UID": "0", "GID": "0", "Mode": 0o444}}
            ]}}}),
        )
    };
    let network =
        |target: &str| with(service("a"), json!({"TaskTemplate": {"Networks": [{"Target": target}]}}));
    vec![
        post("/secrets/create", json!({"Name": "{p}s", "Data": "eA=="})).named("s").into(),
        post("/configs/create", json!({"Name": "{p}c", "Data": "eA=="})).named("c").into(),
        create("x", reference("secret", "nothing", "nothing")),
        create("x", reference("config", "nothing", "nothing")),
        create("x", reference("secret", "{id:s}", "{p}other")),
        create("x", reference("config", "{id:c}", "{p}other")),
        create("x", network("{p}nowhere")),
        create("x", network("host")),
        create("x", network("bridge")),
        create("a", reference("secret", "{id:s}", "{p}s")),
        inspect("a"),
        update("a", reference("config", "{id:c}", "{p}c")),
        inspect("a"),
        update("a", reference("config", "nothing", "nothing")),
        delete("/configs/{id:c}").into(),
        delete("/secrets/{id:s}").into(),
        update("a", service("a")),
        delete("/configs/{id:c}").into(),
    ]
}

pub fn ports_that_are_not() -> Vec<Op> {
    let dnsrr = |mode: &str| {
        with(service("x"), json!({"EndpointSpec": {"Mode": "dnsrr", "Ports": [port(mode, 18100, "tcp")]}}))
    };
    vec![
        create("x", dnsrr("ingress")),
        create("y", dnsrr("host")),
        create("x", ports("x", json!([port("ingress", 18101, "tcp"), port("ingress", 18101, "tcp")]))),
        create("x", ports("x", json!([port("host", 70000, "tcp")]))),
        create("x", ports("x", json!([port("ingress", 18102, "icmp")]))),
        create("x", ports("x", json!([port("nonsense", 18103, "tcp")]))),
        create("x", with(service("x"), json!({"EndpointSpec": {"Mode": "nonsense"}}))),
    ]
}

pub fn mounts_that_are_not() -> Vec<Op> {
    let mount = |value: Value| task(json!({"ContainerSpec": {"Mounts": [value]}}));
    vec![
        create("x", mount(json!({"Type": "volume", "Source": "v", "Target": ""}))),
        create("x", mount(json!({"Type": "bind", "Source": "", "Target": "/x"}))),
        create("x", mount(json!({"Type": "nonsense", "Source": "v", "Target": "/x"}))),
        create("x", mount(json!({"Type": "tmpfs", "Source": "v", "Target": "/x"}))),
        create(
            "x",
            task(json!({"ContainerSpec": {"Mounts": [
            {"Type": "tmpfs", "Target": "/x"}, {"Type": "tmpfs", "Target": "/x"}]}})),
        ),
        create("x", mount(json!({"Type": "bind", "Source": "relative", "Target": "/x"}))),
    ]
}

pub fn health_checks_and_signals_that_are_not() -> Vec<Op> {
    let container = |value: Value| task(json!({"ContainerSpec": value}));
    vec![
        create("x", container(json!({"Healthcheck": {"Test": ["CMD", "x"], "Interval": 1}}))),
        create("x", container(json!({"Healthcheck": {"Test": ["CMD", "x"], "Interval": -1}}))),
        create("x", container(json!({"Healthcheck": {"Test": ["CMD", "x"], "Retries": -1}}))),
        create("y", container(json!({"Healthcheck": {"Test": ["NONE"]}}))),
        create("x", container(json!({"Env": [""]}))),
        create("x", container(json!({"StopSignal": "NONSENSE"}))),
        create("x", container(json!({"Hostname": "-bad-"}))),
        create("x", container(json!({"Isolation": "nonsense"}))),
    ]
}

pub fn templates_that_are_not() -> Vec<Op> {
    let container = |value: Value| task(json!({"ContainerSpec": value}));
    vec![
        create("a", container(json!({"Env": ["X={{.Service.Name}}"], "Hostname": "h-{{.Task.Slot}}"}))),
        create("x", container(json!({"Env": ["X={{.Nonsense}}"]}))),
        create("x", container(json!({"Env": ["X={{"]}))),
        inspect("a"),
    ]
}
