//! Whether a task is of the service's present spec.

use serde_json::{Map, Value};

use super::{constraint, spec};
use crate::sim::engine::state::{Node, Service, Task, TaskState};

/// Whether the task has to be replaced. `node` is where it is.
pub(super) fn is_dirty(service: &Service, task: &Task, node: Option<&Node>) -> bool {
    if service.spec_index == task.spec_index {
        return false;
    }
    // With other credentials it would find the same image, if it has found it.
    let found = (TaskState::Ready..=TaskState::Running).contains(&task.state);
    if service.auth != task.auth && !(found && task.desired <= TaskState::Running) {
        return true;
    }
    let wanted = spec::template(service);
    if same(&spec::endpoint(service), &task.endpoint) {
        if same(&wanted, &task.object.spec) {
            return false;
        }
        // Only the placement differs, and where it is it may stay.
        let placed = |template: &Value| template.get("Placement").cloned().unwrap_or_default();
        if !same(&placed(&wanted), &placed(&task.object.spec))
            && same(&without_placement(&wanted), &without_placement(&task.object.spec))
            && node.is_some_and(|node| constraint::matches(&spec::constraints(&wanted), node))
        {
            return false;
        }
    }
    true
}

fn without_placement(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(fields) = template.as_object_mut() {
        fields.remove("Placement");
    }
    template
}

/// Whether Swarm, which keeps no absent and no empty fields, sees the same in both.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    left == right || plain(left) == plain(right)
}

/// Fields whose names anybody chooses. Empty ones are nothing; other empty objects are something.
const MAPS: [&str; 4] = ["Labels", "Sysctls", "Options", "DriverOpts"];

/// What a field means that is not there.
const DEFAULTS: [(&str, &str); 6] = [
    ("Condition", "any"),
    ("Isolation", "default"),
    ("Runtime", "container"),
    ("Mode", "vip"),
    ("Protocol", "tcp"),
    ("PublishMode", "ingress"),
];

/// Fields that are there or not, whatever their value.
const OPTIONAL: [&str; 4] = ["Delay", "Init", "StopGracePeriod", "Window"];

fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            let mut kept = Map::new();
            for name in names {
                let field = &fields[name];
                if MAPS.contains(&name.as_str()) {
                    keep_map(&mut kept, name, field);
                    continue;
                }
                let default = field.as_str().is_some_and(|text| DEFAULTS.contains(&(name, text)));
                let field = plain(field);
                let counts = !nothing(&field) || (OPTIONAL.contains(&name.as_str()) && !field.is_null());
                if counts && !default {
                    kept.insert(name.clone(), field);
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

fn keep_map(kept: &mut Map<String, Value>, name: &str, map: &Value) {
    let Some(entries) = map.as_object().filter(|entries| !entries.is_empty()) else { return };
    let mut entries: Vec<(&String, &Value)> = entries.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    let entries = entries.into_iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    kept.insert(name.to_owned(), Value::Object(entries));
}

fn nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Bool(true) | Value::Object(_) => false,
    }
}
