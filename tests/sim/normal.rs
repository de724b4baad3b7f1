//! The state of the world without what differs from run to run: IDs, indexes and times.

use std::path::Path;

use serde_json::{Map, Value, json};
use skep::sim::engine::state::{Service, State, Task, TaskState};

use crate::witness::THEIRS;

/// The whole Swarm, by names.
pub fn swarm(state: &State) -> Value {
    let names = names(state);
    let services: Map<String, Value> = state
        .services
        .values()
        .map(|service| (service.name().to_owned(), of_service(state, service, &names)))
        .collect();
    let specs = |objects: &std::collections::BTreeMap<String, skep::sim::engine::state::Object>| {
        let mut named: Vec<(String, Value)> = objects
            .values()
            .map(|object| {
                let name = object.spec.get("Name").and_then(Value::as_str).unwrap_or_default();
                let mut spec = object.spec.clone();
                if let Some(fields) = spec.as_object_mut() {
                    // The engine gives addresses and numbers in the order in which networks are made.
                    fields.remove("IPAM");
                    fields.remove("Options");
                }
                (name.to_owned(), spec)
            })
            .collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        Value::Object(named.into_iter().collect())
    };
    json!({
        "services": services,
        "networks": specs(&state.networks),
        "configs": specs(&state.configs),
        "secrets": specs(&state.secrets),
    })
}

/// All that anybody may read who may look at the Swarm: what secrets hold and the credentials of
/// services are not.
pub fn readable(state: &State) -> String {
    let mut all = Vec::new();
    for service in state.services.values() {
        all.extend([service.object.spec.clone(), service.previous_spec.clone().unwrap_or_default()]);
    }
    let objects = state.networks.values().chain(state.configs.values()).chain(state.secrets.values());
    all.extend(objects.map(|object| {
        let mut spec = object.spec.clone();
        spec.as_object_mut().map(|fields| fields.remove("Data"));
        spec
    }));
    Value::Array(all).to_string()
}

/// Each ID that specs refer to, with the name to stand for it.
fn names(state: &State) -> Vec<(String, String)> {
    let objects = state.networks.values().chain(state.configs.values()).chain(state.secrets.values());
    objects
        .map(|object| {
            let name = object.spec.get("Name").and_then(Value::as_str).unwrap_or_default();
            (object.id.clone(), format!("<{name}>"))
        })
        .collect()
}

fn of_service(state: &State, service: &Service, names: &[(String, String)]) -> Value {
    let mut tasks: Vec<Value> = state
        .tasks
        .values()
        .filter(|task| task.service == service.object.id)
        .filter(|task| task.desired <= TaskState::Running || task.state == TaskState::Running)
        .map(of_task)
        .collect();
    tasks.sort_by_key(Value::to_string);
    let named = |spec: &Value| {
        let mut text = spec.to_string();
        for (id, name) in names {
            text = text.replace(id, name);
        }
        let mut spec = serde_json::from_str::<Value>(&text).unwrap_or(Value::Null);
        // Only faults have somebody else write it; that it stays is the witness's to see.
        if let Some(labels) = spec.get_mut("Labels").and_then(Value::as_object_mut) {
            labels.remove(THEIRS);
        }
        spec
    };
    json!({
        "spec": named(&service.object.spec),
        "previous": service.previous_spec.as_ref().map(named),
        "update": service.update.as_ref().map(|update| update.state),
        "auth": service.auth,
        "iteration": service.job_iteration,
        "tasks": tasks,
    })
}

fn of_task(task: &Task) -> Value {
    json!({
        "slot": task.slot,
        "state": task.state.as_str(),
        "desired": task.desired.as_str(),
        "digest": task.image.as_ref().map(|image| image.digest.clone()),
    })
}

/// What skep remembers, by file.
pub fn memory(state_dir: &Path) -> Value {
    let mut files = Map::new();
    for kind in ["services", "repositories"] {
        let entries = std::fs::read_dir(state_dir.join("memory").join(kind)).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let mut value = serde_json::from_str(&text).unwrap_or(Value::String(text));
            timeless(&mut value);
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            files.insert(format!("{kind}/{name}"), value);
        }
    }
    Value::Object(files)
}

/// Takes out when, and what names a time.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // Of what was removed: the engine draws IDs.
            if object.contains_key("counted") {
                object.remove("id");
            }
            for key in ["event_id", "started", "after_index", "time", "why", "until", "seen"] {
                object.remove(key);
            }
            if let Some(first) = object.get_mut("first_seen_ms") {
                *first = json!(first.as_i64() != Some(0));
            }
            object.values_mut().for_each(timeless);
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

/// Where two values differ, a line each: `path: this, not that`.
pub fn differences(found: &Value, wanted: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", found, wanted, &mut lines);
    lines
}

fn compare(path: &str, found: &Value, wanted: &Value, lines: &mut Vec<String>) {
    match (found, wanted) {
        (Value::Object(a), Value::Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let of = |object: &Map<String, Value>| object.get(key).cloned().unwrap_or(Value::Null);
                compare(&format!("{path}/{key}"), &of(a), &of(b), lines);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                compare(&format!("{path}/{at}"), a, b, lines);
            }
        }
        (found, wanted) if found == wanted => {}
        (found, wanted) => lines.push(format!("{path}: {found}, not {wanted}")),
    }
}
