//! The engine's JSON → `ObservedState`. Lenient: an unknown state or a missing field in one
//! object never hides the others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde_json::Value;

use crate::state::{
    ObservedBlob, ObservedNetwork, ObservedNode, ObservedService, ObservedState, ObservedTask, UpdateStatus,
};
use crate::text::printable;
use crate::version::Platform;

const MESSAGE_CHARS_MAX: usize = 300;

/// Puts the answers of the list calls together. The second task list repeats, for some
/// services, what the first one has.
pub fn snapshot(services: Value, tasks: [Value; 2], nodes: &Value, networks: &Value) -> ObservedState {
    let mut view = View::default();
    into_items(services).into_iter().for_each(|service| view.service(service));
    tasks.iter().flat_map(items).for_each(|task| view.task(task));
    view.state.nodes = Arc::new(nodes_of(items(nodes)));
    view.state.networks = Arc::new(networks_of(items(networks)));
    view.state
}

/// A snapshot that is being put together: services first, then their tasks.
#[derive(Default)]
pub(super) struct View {
    pub(super) state: ObservedState,
    /// Names of services, by ID.
    names: HashMap<String, String>,
    /// IDs of tasks.
    seen: HashSet<String>,
}

impl View {
    pub(super) fn service(&mut self, service: Value) {
        if let Some(service) = observed_service(service) {
            self.names.insert(service.id.clone(), service.name.clone());
            self.state.services.insert(service.name.clone(), service);
        }
    }

    pub(super) fn task(&mut self, task: &Value) {
        let name = text(task, "/ServiceID").and_then(|id| self.names.get(id));
        let owner = name.and_then(|name| self.state.services.get_mut(name));
        let (Some(service), Some(id)) = (owner, text(task, "/ID")) else { return };
        if self.seen.insert(id.to_owned()) {
            let observed = observed_task(id, task, service);
            service.tasks.push(observed);
        }
    }
}

/// By ID.
pub(super) fn nodes_of<'a>(nodes: impl Iterator<Item = &'a Value>) -> BTreeMap<String, ObservedNode> {
    nodes.filter_map(observed_node).map(|node| (node.id.clone(), node)).collect()
}

/// By name.
pub(super) fn networks_of<'a>(
    networks: impl Iterator<Item = &'a Value>,
) -> BTreeMap<String, ObservedNetwork> {
    let mut all = BTreeMap::new();
    for network in networks.filter_map(observed_network) {
        // The Swarm's own stand first. A node also lists one that was removed, until its containers have stopped.
        all.entry(network.name.clone()).or_insert(network);
    }
    all
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
        something(task.pointer(task_pointer)) == something(service_spec.pointer(spec_pointer))
    };
    same("/Spec/ContainerSpec", "/TaskTemplate/ContainerSpec")
        && same("/Spec/ForceUpdate", "/TaskTemplate/ForceUpdate")
        && same("/Spec/Resources", "/TaskTemplate/Resources")
        && same("/Spec/RestartPolicy", "/TaskTemplate/RestartPolicy")
        && same("/Spec/LogDriver", "/TaskTemplate/LogDriver")
}

/// `None` for what Swarm takes for nothing.
fn something(value: Option<&Value>) -> Option<&Value> {
    value.filter(|value| match value {
        Value::Null => false,
        Value::Object(map) => !map.is_empty(),
        Value::Number(number) => number.as_u64() != Some(0),
        _ => true,
    })
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

/// A secret or a config, by its name. Its content is not kept.
pub(super) fn observed_blob(blob: &Value) -> Option<(String, ObservedBlob)> {
    let name = text(blob, "/Spec/Name")?.to_owned();
    let observed = ObservedBlob {
        id: text(blob, "/ID")?.to_owned(),
        name: name.clone(),
        labels: labels(blob, "/Spec/Labels"),
        created_at: text(blob, "/CreatedAt").and_then(|time| time.parse().ok()),
    };
    Some((name, observed))
}

fn observed_network(network: &Value) -> Option<ObservedNetwork> {
    Some(ObservedNetwork {
        id: text(network, "/Id")?.to_owned(),
        name: text(network, "/Name")?.to_owned(),
        labels: labels(network, "/Labels"),
    })
}

pub(super) fn labels(value: &Value, pointer: &str) -> BTreeMap<String, String> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As the engine lists them while a container of a removed stack still stops and the stack is made anew.
    #[test]
    fn of_two_networks_with_one_name_the_swarms_own_counts() {
        let network = |id: &str| json!({ "Id": id, "Name": "acme_default", "Scope": "swarm", "Labels": {} });
        let found = networks_of([network("new"), network("removed")].iter());
        assert_eq!(found["acme_default"].id, "new");
    }
}
