//! Services without replicas: what the API says, keeps and refuses.

use serde_json::{Value, json};

use crate::op::{
    Op, create, delete, filters, get, inspect, post, remove, service, update, update_stale, with,
};

fn labelled(value: &str) -> Value {
    with(service("a"), json!({"Labels": {"l": value}}))
}

pub(super) fn image(name: &str, image: &str) -> Value {
    with(service(name), json!({"TaskTemplate": {"ContainerSpec": {"Image": image}}}))
}

pub fn create_inspect_remove() -> Vec<Op> {
    vec![
        create("a", service("a")),
        inspect("a"),
        get("/services/{p}a").into(),
        get("/services/{id:a}?insertDefaults=true").into(),
        get(&format!("/services{}", filters(&json!({"name": ["{p}"]})))).into(),
        remove("a"),
        inspect("a"),
        remove("a"),
        get("/services/{p}a").into(),
        update("a", service("a")),
    ]
}

pub fn stale_version() -> Vec<Op> {
    vec![
        create("a", service("a")),
        update("a", labelled("1")),
        update_stale("a", labelled("2")),
        inspect("a"),
        update("a", labelled("2")),
        inspect("a"),
        post("/services/{id:a}/update?version=0", labelled("3")).into(),
        post("/services/{id:a}/update?version=999999", labelled("3")).into(),
        post("/services/{id:a}/update?version=-1", labelled("3")).into(),
        post("/services/{id:a}/update?version=x", labelled("3")).into(),
        post("/services/{id:a}/update", labelled("3")).into(),
        post("/services/{p}a/update?version={index:a}", labelled("4")).into(),
        inspect("a"),
    ]
}

pub fn label_only_updates() -> Vec<Op> {
    vec![
        create("a", image("a", "{repo}app:1.0.0")),
        update("a", image("a", "{repo}app:2.0.0")),
        inspect("a"),
        update("a", with(image("a", "{repo}app:2.0.0"), json!({"Labels": {"l": "1"}}))),
        inspect("a"),
        update("a", with(image("a", "{repo}app:2.0.0"), json!({"Labels": {"l": "2"}}))),
        inspect("a"),
    ]
}

pub fn an_update_that_changes_nothing() -> Vec<Op> {
    vec![
        create("a", service("a")),
        update("a", service("a")),
        inspect("a"),
        update("a", service("a")),
        inspect("a"),
    ]
}

pub fn rollback_to_the_previous_spec() -> Vec<Op> {
    let rollback = |key: &str, spec: Value| -> Op {
        post(&format!("/services/{{id:{key}}}/update?version={{index:{key}}}&rollback=previous"), spec).into()
    };
    vec![
        create("a", image("a", "{repo}app:1.0.0")),
        rollback("a", image("a", "{repo}app:1.0.0")),
        update("a", with(image("a", "{repo}app:2.0.0"), json!({"Labels": {"l": "2"}}))),
        rollback("a", image("a", "{repo}app:3.0.0")),
        inspect("a"),
        rollback("a", json!({})),
        inspect("a"),
        rollback("a", image("a", "{repo}app:3.0.0")),
        post("/services/{id:a}/update?version={index:a}&rollback=next", image("a", "{repo}app:4.0.0")).into(),
        inspect("a"),
    ]
}

pub fn registry_auth_from() -> Vec<Op> {
    let from = |from: &str| -> Op {
        post(&format!("/services/{{id:a}}/update?version={{index:a}}&registryAuthFrom={from}"), service("a"))
            .into()
    };
    vec![
        create("a", service("a")),
        from("spec"),
        from("previous-spec"),
        from("nonsense"),
        from(""),
        inspect("a"),
        post("/services/create", service("b")).header("X-Registry-Auth", "bm9uc2Vuc2U=").named("b").into(),
        post("/services/create", service("c")).header("X-Registry-Auth", "not base64!").named("c").into(),
        post("/services/create", service("d"))
            .header("X-Registry-Auth", "eyJ1c2VybmFtZSI6ImNpIn0=")
            .named("d")
            .into(),
        post("/services/{id:d}/update?version={index:d}", service("d"))
            .header("X-Registry-Auth", "eyJ1c2VybmFtZSI6ImNpIn0=")
            .into(),
        inspect("d"),
    ]
}

pub fn names_that_conflict() -> Vec<Op> {
    vec![
        create("a", service("a")),
        create("b", service("b")),
        create("again", service("a")),
        create("again", with(service("a"), json!({"Mode": {"Global": {}, "Replicated": null}}))),
        update("a", service("b")),
        update("a", service("c")),
        inspect("a"),
        remove("a"),
        create("again", service("a")),
        inspect("again"),
    ]
}

pub fn modes() -> Vec<Op> {
    let mode = |name: &str, mode: Value| {
        with(
            with(
                service(name),
                json!({"Mode": null, "TaskTemplate": {"Placement": {"Constraints": ["node.labels.none==1"]}}}),
            ),
            json!({"Mode": mode}),
        )
    };
    vec![
        create("r", mode("r", json!({"Replicated": {}}))),
        inspect("r"),
        remove("r"),
        create("n", with(mode("n", json!({})), json!({"Mode": null}))),
        inspect("n"),
        remove("n"),
        create("g", mode("g", json!({"Global": {}}))),
        inspect("g"),
        create("two", mode("two", json!({"Global": {}, "Replicated": {"Replicas": 0}}))),
        create("j", mode("j", json!({"ReplicatedJob": {"MaxConcurrent": 0, "TotalCompletions": 0}}))),
        inspect("j"),
        create("j2", mode("j2", json!({"ReplicatedJob": {"TotalCompletions": 0}}))),
        inspect("j2"),
        create("gj", mode("gj", json!({"GlobalJob": {}}))),
        inspect("gj"),
    ]
}

pub fn a_mode_cannot_change() -> Vec<Op> {
    let global = json!({"Name": "{p}a", "Mode": {"Global": {}},
        "TaskTemplate": {"ContainerSpec": {"Image": "{repo}app:1.0.0"}}});
    let job = json!({"Name": "{p}a", "Mode": {"ReplicatedJob": {"TotalCompletions": 0}},
        "TaskTemplate": {"ContainerSpec": {"Image": "{repo}app:1.0.0"}}});
    vec![create("a", service("a")), update("a", global), update("a", job), inspect("a")]
}

pub fn attached_networks() -> Vec<Op> {
    let on = |targets: Value| with(service("a"), json!({"TaskTemplate": {"Networks": targets}}));
    vec![
        post("/networks/create", json!({"Name": "{p}n", "Driver": "overlay"})).named("n").into(),
        post("/networks/create", json!({"Name": "{p}m", "Driver": "overlay"})).named("m").into(),
        create("a", on(json!([{"Target": "{p}n", "Aliases": ["x"]}]))),
        inspect("a"),
        delete("/networks/{id:n}").into(),
        update("a", on(json!([{"Target": "{id:n}"}, {"Target": "{id:m}"}]))),
        inspect("a"),
        update("a", on(json!([]))),
        inspect("a"),
        update("a", on(json!([{"Target": "{p}nowhere"}]))),
    ]
}

pub fn networks_of_the_service_itself() -> Vec<Op> {
    let on = |target: &str| with(service("a"), json!({"Networks": [{"Target": target}]}));
    vec![
        post("/networks/create", json!({"Name": "{p}n", "Driver": "overlay"})).named("n").into(),
        create("a", on("{p}n")),
        inspect("a"),
        update("a", service("a")),
        inspect("a"),
    ]
}

pub(super) fn port(mode: &str, published: u64, protocol: &str) -> Value {
    json!({"Protocol": protocol, "TargetPort": 80, "PublishedPort": published, "PublishMode": mode})
}

pub(super) fn ports(name: &str, ports: Value) -> Value {
    with(service(name), json!({"EndpointSpec": {"Ports": ports}}))
}

pub fn ports_of_hosts() -> Vec<Op> {
    vec![
        create("a", ports("a", json!([port("host", 18080, "tcp")]))),
        inspect("a"),
        create("b", ports("b", json!([port("host", 18080, "tcp")]))),
        inspect("b"),
        create("c", ports("c", json!([port("host", 0, "tcp")]))),
        inspect("c"),
        update("a", service("a")),
        inspect("a"),
    ]
}

pub fn ingress_ports_that_conflict() -> Vec<Op> {
    vec![
        create("a", ports("a", json!([port("ingress", 18090, "tcp")]))),
        inspect("a"),
        create("b", ports("b", json!([port("ingress", 18090, "tcp")]))),
        create("b", ports("b", json!([port("ingress", 18090, "udp")]))),
        create("c", service("c")),
        update("c", ports("c", json!([port("ingress", 18090, "tcp")]))),
        create("d", ports("d", json!([port("host", 18090, "tcp")]))),
        update("a", with(service("a"), json!({"EndpointSpec": {"Mode": "dnsrr"}}))),
        inspect("a"),
    ]
}

pub fn update_configs() -> Vec<Op> {
    let config = |value: Value| with(service("a"), json!({"UpdateConfig": value}));
    vec![
        create("a", config(json!({}))),
        inspect("a"),
        update(
            "a",
            config(json!({"Parallelism": 2, "Delay": 5, "FailureAction": "rollback", "Monitor": 7,
            "MaxFailureRatio": 0.5, "Order": "start-first"})),
        ),
        inspect("a"),
        get("/services/{id:a}?insertDefaults=true").into(),
        update(
            "a",
            with(
                service("a"),
                json!({"RollbackConfig": {"FailureAction": "continue", "Order": "stop-first"}}),
            ),
        ),
        inspect("a"),
        update("a", config(json!({"FailureAction": "nonsense"}))),
        update("a", config(json!({"Order": "nonsense"}))),
        update("a", config(json!({"MaxFailureRatio": 2.0}))),
        update("a", config(json!({"Delay": -1}))),
        update("a", config(json!({"Monitor": -1}))),
        update("a", with(service("a"), json!({"RollbackConfig": {"FailureAction": "rollback"}}))),
        inspect("a"),
    ]
}

pub(super) fn task(value: Value) -> Value {
    with(service("a"), json!({"TaskTemplate": value}))
}

pub fn restart_policies() -> Vec<Op> {
    let restart = |value: Value| task(json!({"RestartPolicy": value}));
    vec![
        create("a", restart(json!({}))),
        inspect("a"),
        update("a", restart(json!({"Condition": "on-failure", "Delay": 1, "MaxAttempts": 3, "Window": 5}))),
        inspect("a"),
        update("a", restart(json!({"Condition": "none"}))),
        inspect("a"),
        update("a", restart(json!({"Condition": "nonsense"}))),
        update("a", restart(json!({"Delay": -1}))),
        update("a", restart(json!({"Window": -1}))),
        update("a", restart(json!({"MaxAttempts": -1}))),
        inspect("a"),
    ]
}

pub fn resources_and_placement() -> Vec<Op> {
    vec![
        create(
            "a",
            task(
                json!({"Resources": {"Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 67_108_864, "Pids": 10},
            "Reservations": {"NanoCPUs": 1000, "MemoryBytes": 4096}},
            "Placement": {"Constraints": ["node.role==manager"], "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.z"}}],
            "MaxReplicas": 2, "Platforms": [{"Architecture": "amd64", "OS": "linux"}]}}),
            ),
        ),
        inspect("a"),
        update("a", task(json!({"Placement": {"Constraints": ["nonsense"]}}))),
        update("a", task(json!({"Placement": {"Constraints": ["node.colour==red"]}}))),
        update("a", task(json!({"Placement": {"Constraints": ["node.role=manager"]}}))),
        update("a", task(json!({"Placement": {"Constraints": [""]}}))),
        update("a", task(json!({"Resources": {"Limits": {"NanoCPUs": 1}}}))),
        update("a", task(json!({"Resources": {"Limits": {"MemoryBytes": 1}}}))),
        update("a", task(json!({"Resources": {"Reservations": {"NanoCPUs": -5}}}))),
        update("a", task(json!({"Resources": {"Reservations": {"MemoryBytes": 1}}}))),
        inspect("a"),
    ]
}

pub fn every_field_of_a_container() -> Vec<Op> {
    let container = json!({
        "Labels": {"a": "b"}, "Command": ["x", "y"], "Args": ["z"], "Hostname": "h", "Env": ["B=2", "A=1", "A=1"],
        "Dir": "/d", "User": "u:g", "Groups": ["g"], "TTY": true, "OpenStdin": true, "ReadOnly": true,
        "StopSignal": "SIGINT", "StopGracePeriod": 3_000_000_000_u64, "Init": false, "Isolation": "default",
        "Hosts": ["1.2.3.4 x"], "DNSConfig": {"Nameservers": ["9.9.9.9"], "Search": ["s"], "Options": ["o"]},
        "Healthcheck": {"Test": ["CMD", "x"], "Interval": 1_000_000_000_u64, "Timeout": 2_000_000_000_u64, "Retries": 3,
            "StartPeriod": 4_000_000_000_u64},
        "Mounts": [{"Type": "volume", "Source": "{p}v", "Target": "/v", "VolumeOptions": {"Labels": {"x": "y"}}},
            {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 1023}},
            {"Type": "bind", "Source": "/tmp", "Target": "/b", "ReadOnly": true}],
        "CapabilityAdd": ["CAP_NET_ADMIN"], "CapabilityDrop": ["CAP_CHOWN"], "Sysctls": {"net.x": "1"},
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}], "Privileges": {"CredentialSpec": null, "SELinuxContext": null},
    });
    vec![
        create(
            "a",
            task(
                json!({"ContainerSpec": container, "LogDriver": {"Name": "json-file", "Options": {"max-size": "1m"}},
            "ForceUpdate": 7, "Runtime": "container"}),
            ),
        ),
        inspect("a"),
        update("a", service("a")),
        inspect("a"),
        get("/services/{id:a}?insertDefaults=true").into(),
    ]
}

pub fn fields_that_nobody_knows() -> Vec<Op> {
    vec![
        create("a", with(service("a"), json!({"Colour": "red", "TaskTemplate": {"Colour": "red"}}))),
        inspect("a"),
        update(
            "a",
            json!({"name": "{p}a", "taskTemplate": {"containerSpec": {"image": "{repo}app:2.0.0"}},
            "mode": {"replicated": {"replicas": 0}}}),
        ),
        inspect("a"),
    ]
}

pub fn prefixes_of_ids() -> Vec<Op> {
    vec![
        create("a", service("a")),
        get("/services/000000").into(),
        get("/services/{p}").into(),
        delete("/services/{p}a").into(),
        delete("/services/{p}a").into(),
        post("/services/{p}a/update?version=5", service("a")).into(),
    ]
}

pub fn scale_of_zero() -> Vec<Op> {
    let sized = |replicas: Value| {
        with(
            service("a"),
            json!({"Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {"Placement": {"Constraints": ["node.labels.none==1"]}}}),
        )
    };
    vec![
        create("a", sized(json!(0))),
        update("a", with(sized(json!(0)), json!({"TaskTemplate": {"ForceUpdate": 1}}))),
        inspect("a"),
        update("a", with(sized(json!(0)), json!({"TaskTemplate": {"ForceUpdate": 2}}))),
        inspect("a"),
        update("a", sized(json!("x"))),
        update("a", sized(json!(1.5))),
        inspect("a"),
    ]
}
