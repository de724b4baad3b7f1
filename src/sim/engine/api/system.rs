//! `/_ping`, `/version`, `/info`.

use http::header::{CACHE_CONTROL, HeaderValue, PRAGMA};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::Call;
use super::answer::{Answer, ok, with_type};
use crate::sim::engine::options::{LOG_PLUGINS, NETWORK_PLUGINS};
use crate::sim::engine::state::{Node, State, TaskState};

const GIT_COMMIT: &str = "5d6db84";
const GO_VERSION: &str = "go1.19.8";
const KERNEL_VERSION: &str = "6.1.0";
const BUILD_TIME: &str = "2023-04-04T00:00:00.000000000+00:00";

pub(super) fn ping(call: &Call<'_>, _: &str) -> Answer {
    let body = if call.request.method() == Method::HEAD { "" } else { "OK" };
    let mut response = with_type(StatusCode::OK, body.into(), "text/plain; charset=utf-8");
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store, must-revalidate"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

pub(super) fn version(call: &Call<'_>, _: &str) -> Answer {
    let options = &call.engine.inner.options;
    let api = format!("{}.{}", options.api.0, options.api.1);
    let platform = options.hosts.first().map(|host| host.platform.as_str()).unwrap_or_default();
    let (os, arch) = platform.split_once('/').unwrap_or(("linux", "amd64"));
    let details = json!({
        "ApiVersion": api, "Arch": arch, "BuildTime": BUILD_TIME, "Experimental": "false",
        "GitCommit": GIT_COMMIT, "GoVersion": GO_VERSION, "KernelVersion": KERNEL_VERSION,
        "MinAPIVersion": "1.12", "Os": os,
    });
    ok(&json!({
        "Platform": {"Name": ""},
        "Components": [{"Name": "Engine", "Version": options.version, "Details": details}],
        "Version": options.version,
        "ApiVersion": api,
        "MinAPIVersion": "1.12",
        "GitCommit": GIT_COMMIT,
        "GoVersion": GO_VERSION,
        "Os": os,
        "Arch": arch,
        "KernelVersion": KERNEL_VERSION,
        "BuildTime": BUILD_TIME,
    }))
}

pub(super) fn info(call: &Call<'_>, _: &str) -> Answer {
    let options = &call.engine.inner.options;
    let now = call.engine.now();
    let mut info = call.engine.read(|state| {
        let here = this_node(state);
        let hostname = here.map(|node| node.hostname.clone()).unwrap_or_default();
        let (cpus, memory) = here.map_or((0, 0), |node| (node.nano_cpus / 1_000_000_000, node.memory_bytes));
        json!({
            "Containers": here.map_or(0, |node| containers(state, node)),
            "ContainersRunning": here.map_or(0, |node| running(state, node)),
            "ContainersPaused": 0,
            "Images": here.map_or(0, |node| node.images.len()),
            "ID": state.cluster_id, "Name": hostname, "NCPU": cpus, "MemTotal": memory, "Swarm": swarm(state),
        })
    });
    let count = |name: &str| info[name].as_u64().unwrap_or_default();
    info["ContainersStopped"] =
        Value::from(count("Containers") - count("ContainersRunning").min(count("Containers")));
    info["SystemTime"] = Value::from(now.to_string());
    info["ServerVersion"] = Value::from(options.version.clone());
    let fixed = json!({
        "Driver": "overlay2",
        "Plugins": {
            "Volume": ["local"],
            "Network": NETWORK_PLUGINS,
            "Authorization": null,
            "Log": LOG_PLUGINS,
        },
        "OSType": "linux", "Architecture": "x86_64", "Labels": [], "ExperimentalBuild": false,
        "LiveRestoreEnabled": false, "Isolation": "", "Warnings": null,
    });
    if let (Some(info), Value::Object(fixed)) = (info.as_object_mut(), fixed) {
        info.extend(fixed);
    }
    ok(&info)
}

/// Containers on a node, and those of them that run.
fn containers(state: &State, node: &Node) -> usize {
    let here = state.tasks.values().filter(|task| task.node.as_ref() == Some(&node.object.id));
    here.filter(|task| task.image.is_some()).count()
}

fn running(state: &State, node: &Node) -> usize {
    let here = state.tasks.values().filter(|task| task.node.as_ref() == Some(&node.object.id));
    here.filter(|task| task.state == TaskState::Running).count()
}

/// The manager that answers.
fn this_node(state: &State) -> Option<&Node> {
    state.nodes.values().find(|node| node.leader).or_else(|| managers(state).next())
}

fn managers(state: &State) -> impl Iterator<Item = &Node> {
    state.nodes.values().filter(|node| node.object.spec["Role"] == "manager")
}

fn swarm(state: &State) -> Value {
    let remote: Vec<Value> = managers(state)
        .map(|node| json!({"NodeID": node.object.id, "Addr": format!("{}:2377", node.address)}))
        .collect();
    let here = this_node(state);
    json!({
        "NodeID": here.map(|node| node.object.id.clone()),
        "NodeAddr": here.map(|node| node.address.clone()),
        "LocalNodeState": "active",
        "ControlAvailable": true,
        "Error": "",
        "RemoteManagers": remote,
        "Nodes": state.nodes.len(),
        "Managers": managers(state).count(),
        "Cluster": {
            "ID": state.cluster_id,
            "Spec": {
                "Name": "default", "Labels": {},
                "Orchestration": {"TaskHistoryRetentionLimit": 5},
                "Dispatcher": {"HeartbeatPeriod": 5_000_000_000_u64},
            },
            "DefaultAddrPool": ["10.0.0.0/8"], "SubnetSize": 24, "DataPathPort": 4789,
        },
    })
}
