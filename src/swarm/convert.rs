//! The engine's JSON → `ObservedState`. Lenient: an unknown state or a missing field in one
//! object never hides the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use crate::state::{
    ObservedNetwork, ObservedNode, ObservedService, ObservedState, ObservedTask, UpdateStatus,
};
use crate::text::printable;
use crate::version::Platform;

const MESSAGE_CHARS_MAX: usize = 300;

/// Puts the answers of the list calls together. The second task list repeats, for some
/// services, what the first one has.
pub fn snapshot(services: Value, tasks: [Value; 2], nodes: &Value, networks: &Value) -> ObservedState {
    let mut state = ObservedState::default();
    let mut names = HashMap::new();
    for service in into_items(services) {
        if let Some(service) = observed_service(service) {
            names.insert(service.id.clone(), service.name.clone());
            state.services.insert(service.name.clone(), service);
        }
    }
    let mut seen = BTreeSet::new();
    for task in tasks.iter().flat_map(items) {
        let owner = text(task, "/ServiceID")
            .and_then(|id| names.get(id))
            .and_then(|name| state.services.get_mut(name));
        let (Some(service), Some(id)) = (owner, text(task, "/ID")) else { continue };
        if seen.insert(id) {
            let observed = observed_task(id, task, service);
            service.tasks.push(observed);
        }
    }
    state.nodes = items(nodes).filter_map(observed_node).map(|node| (node.id.clone(), node)).collect();
    state.networks =
        items(networks).filter_map(observed_network).map(|net| (net.name.clone(), net)).collect();
    state
}

fn observed_service(mut service: Value) -> Option<ObservedService> {
    let update_status =
        text(&service, "/UpdateStatus/State").filter(|state| !state.is_empty()).map(|state| {
            let message = text(&service, "/UpdateStatus/Message").unwrap_or_default();
            UpdateStatus { state: printable(state, 40), message: printable(message, MESSAGE_CHARS_MAX) }
        });
    Some(ObservedService {
        id: text(&service, "/ID")?.to_owned(),
        name: text(&service, "/Spec/Name")?.to_owned(),
        version_index: service.pointer("/Version/Index").and_then(Value::as_u64)?,
        update_status,
        updated_at: text(&service, "/UpdatedAt").and_then(|time| time.parse().ok()),
        job_iteration: number(&service, "/JobStatus/JobIteration/Index"),
        previous_spec: service.get_mut("PreviousSpec").map(Value::take).filter(Value::is_object),
        spec: service.get_mut("Spec").map(Value::take)?,
        tasks: Vec::new(),
    })
}

fn observed_task(id: &str, task: &Value, service: &ObservedService) -> ObservedTask {
    let said =
        text(task, "/Status/Err").filter(|err| !err.is_empty()).or_else(|| text(task, "/Status/Message"));
    ObservedTask {
        id: id.to_owned(),
        slot: number(task, "/Slot").filter(|slot| *slot > 0),
        node_id: text(task, "/NodeID").filter(|node| !node.is_empty()).map(str::to_owned),
        state: text(task, "/Status/State").unwrap_or("unknown").to_owned(),
        desired_state: text(task, "/DesiredState").unwrap_or("unknown").to_owned(),
        job_iteration: number(task, "/JobIteration/Index"),
        image: text(task, "/Spec/ContainerSpec/Image").unwrap_or_default().to_owned(),
        current: is_current(task, &service.spec),
        message: printable(said.unwrap_or_default(), MESSAGE_CHARS_MAX),
        timestamp: text(task, "/Status/Timestamp").and_then(|time| time.parse().ok()),
    }
}

/// Whether the task was made from what its service says now. Swarm compares a little more to
/// decide whether a task is dirty: networks and ports, which a task shows in another form.
fn is_current(task: &Value, service_spec: &Value) -> bool {
    let same = |task_pointer: &str, spec_pointer: &str| {
        let absent = |value: Option<&Value>| match value {
            None | Some(Value::Null) => None,
            Some(Value::Object(map)) if map.is_empty() => None,
            Some(Value::Number(number)) if number.as_u64() == Some(0) => None,
            Some(value) => Some(value.clone()),
        };
        absent(task.pointer(task_pointer)) == absent(service_spec.pointer(spec_pointer))
    };
    same("/Spec/ContainerSpec", "/TaskTemplate/ContainerSpec")
        && same("/Spec/ForceUpdate", "/TaskTemplate/ForceUpdate")
        && same("/Spec/Resources", "/TaskTemplate/Resources")
        && same("/Spec/RestartPolicy", "/TaskTemplate/RestartPolicy")
        && same("/Spec/LogDriver", "/TaskTemplate/LogDriver")
}

fn observed_node(node: &Value) -> Option<ObservedNode> {
    let platform =
        text(node, "/Description/Platform/Architecture").zip(text(node, "/Description/Platform/OS"));
    let plugins = node
        .pointer("/Description/Engine/Plugins")
        .map(|plugins| items(plugins).filter_map(|plugin| text(plugin, "/Name")));
    Some(ObservedNode {
        id: text(node, "/ID")?.to_owned(),
        hostname: text(node, "/Description/Hostname").unwrap_or_default().to_owned(),
        ready: text(node, "/Status/State") == Some("ready"),
        availability: text(node, "/Spec/Availability").unwrap_or("active").to_owned(),
        manager: text(node, "/Spec/Role") == Some("manager"),
        platform: platform
            .map(|(architecture, os)| Platform { os: os.to_owned(), architecture: go_arch(architecture) }),
        labels: labels(node, "/Spec/Labels"),
        engine_labels: labels(node, "/Description/Engine/Labels"),
        plugins: plugins.into_iter().flatten().map(str::to_owned).collect(),
    })
}

/// Nodes name architectures as `uname` does, manifests as Go does.
fn go_arch(architecture: &str) -> String {
    match architecture {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "armv7l" | "armv6l" => "arm",
        "i386" | "i686" => "386",
        other => other,
    }
    .to_owned()
}

fn observed_network(network: &Value) -> Option<ObservedNetwork> {
    Some(ObservedNetwork {
        id: text(network, "/Id")?.to_owned(),
        name: text(network, "/Name")?.to_owned(),
        labels: labels(network, "/Labels"),
    })
}

fn labels(value: &Value, pointer: &str) -> BTreeMap<String, String> {
    let map = value.pointer(pointer).and_then(Value::as_object);
    let pairs = map.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn items(value: &Value) -> std::slice::Iter<'_, Value> {
    value.as_array().map(Vec::as_slice).unwrap_or_default().iter()
}

fn into_items(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

fn number(value: &Value, pointer: &str) -> Option<u64> {
    value.pointer(pointer)?.as_u64()
}
