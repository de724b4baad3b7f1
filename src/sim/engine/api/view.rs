//! Objects as the API shows them.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::spec;
use crate::sim::engine::state::{Node, Object, Service, Task};

/// What all objects begin with.
pub(super) fn object(object: &Object) -> Map<String, Value> {
    let mut map = Map::new();
    map.insert("ID".to_owned(), json!(object.id));
    map.insert("Version".to_owned(), index(object.index));
    map.insert("CreatedAt".to_owned(), time(object.created));
    map.insert("UpdatedAt".to_owned(), time(object.updated));
    map
}

/// A zero is left out.
pub(super) fn index(index: u64) -> Value {
    if index == 0 { json!({}) } else { json!({ "Index": index }) }
}

pub(super) fn time(time: Timestamp) -> Value {
    Value::from(time.to_string())
}

pub(super) fn service(service: &Service, insert_defaults: bool) -> Value {
    let mut map = object(&service.object);
    let mut current = service.object.spec.clone();
    if insert_defaults {
        spec::with_defaults(&mut current);
    }
    map.insert("Spec".to_owned(), current);
    if let Some(previous) = &service.previous_spec {
        map.insert("PreviousSpec".to_owned(), previous.clone());
    }
    let endpoint = service.object.extra.get("Endpoint").cloned();
    map.insert("Endpoint".to_owned(), endpoint.unwrap_or_else(|| json!({"Spec": {}})));
    if let Some(update) = &service.update {
        let mut status = json!({"State": update.state, "StartedAt": time(update.started)});
        if let Some(completed) = update.completed {
            status["CompletedAt"] = time(completed);
        }
        // A service that was never updated has none; an empty one is left out as well.
        status["Message"] = json!(update.message);
        map.insert("UpdateStatus".to_owned(), status);
    }
    if let Some(began) = service.job_began {
        let status = json!({"JobIteration": index(service.job_iteration), "LastExecution": time(began)});
        map.insert("JobStatus".to_owned(), status);
    }
    Value::Object(map)
}

pub(super) fn task(task: &Task) -> Value {
    let mut map = object(&task.object);
    map.insert("Labels".to_owned(), json!({}));
    let mut template = task.object.spec.clone();
    if let Some(template) = template.as_object_mut() {
        template.shift_remove("Runtime");
    }
    map.insert("Spec".to_owned(), template);
    map.insert("ServiceID".to_owned(), json!(task.service));
    if let Some(slot) = task.slot.filter(|slot| *slot > 0) {
        map.insert("Slot".to_owned(), json!(slot));
    }
    if let Some(node) = &task.node {
        map.insert("NodeID".to_owned(), json!(node));
    }
    map.insert("Status".to_owned(), task_status(task));
    map.insert("DesiredState".to_owned(), json!(task.desired.as_str()));
    if let Some(iteration) = task.job_iteration {
        map.insert("JobIteration".to_owned(), index(iteration));
    }
    for (name, value) in &task.object.extra {
        map.insert(name.clone(), value.clone());
    }
    Value::Object(map)
}

fn task_status(task: &Task) -> Value {
    let mut status = json!({
        "Timestamp": time(task.since), "State": task.state.as_str(), "Message": task.message,
    });
    if let Some(error) = task.error.as_ref().filter(|error| !error.is_empty()) {
        status["Err"] = json!(error);
    }
    if let Some(container) = container_status(task) {
        status["ContainerStatus"] = container;
    } else if task.node.is_some()
        && task.error.as_ref().is_some_and(|error| error.starts_with("No such image"))
    {
        // There should have been one.
        status["ContainerStatus"] = json!({"ContainerID": "", "PID": 0, "ExitCode": 0});
    }
    status["PortStatus"] = json!({});
    status
}

/// A task has a container once it was prepared.
fn container_status(task: &Task) -> Option<Value> {
    use crate::sim::engine::state::TaskState::{
        Complete, Failed, Ready, Rejected, Running, Shutdown, Starting,
    };
    if task.state == Rejected {
        return Some(json!({"ContainerID": "", "PID": 0, "ExitCode": 0}));
    }
    let made = matches!(task.state, Ready | Starting | Running | Complete | Shutdown | Failed);
    (made && task.image.is_some()).then(|| {
        json!({"ContainerID": long_id(&task.object.id), "PID": 0, "ExitCode": task.exit_code.unwrap_or(0)})
    })
}

/// An ID of what is no object of the Swarm: 64 hexadecimal digits.
pub(in crate::sim::engine) fn long_id(id: &str) -> String {
    id.bytes().cycle().take(64).map(hex_digit).collect()
}

fn hex_digit(byte: u8) -> char {
    char::from_digit(u32::from(byte % 16), 16).unwrap_or('0')
}

pub(super) fn node(node: &Node) -> Value {
    let mut map = object(&node.object);
    map.insert("Spec".to_owned(), node.object.spec.clone());
    let (os, architecture) = node.platform.split_once('/').unwrap_or(("linux", "amd64"));
    let mut description = json!({
        "Hostname": node.hostname,
        "Platform": {"Architecture": uname(architecture), "OS": os},
        "Resources": {"NanoCPUs": node.nano_cpus, "MemoryBytes": node.memory_bytes},
        "Engine": {},
        "TLSInfo": {},
    });
    for (name, value) in &node.object.extra {
        description[name] = value.clone();
    }
    map.insert("Description".to_owned(), description);
    let mut status = json!({"State": if node.up { "ready" } else { "down" }});
    if !node.up {
        status["Message"] = json!("heartbeat failure");
    }
    status["Addr"] = json!(node.address);
    map.insert("Status".to_owned(), status);
    if node.object.spec["Role"] == "manager" {
        let address = format!("{}:2377", node.address);
        let reachability = if node.up { "reachable" } else { "unreachable" };
        let mut manager = json!({});
        if node.leader {
            manager["Leader"] = json!(true);
        }
        manager["Reachability"] = json!(reachability);
        manager["Addr"] = json!(address);
        map.insert("ManagerStatus".to_owned(), manager);
    }
    Value::Object(map)
}

/// Nodes name architectures as `uname` does.
fn uname(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        "386" => "i686",
        "arm" => "armv7l",
        other => other,
    }
}
