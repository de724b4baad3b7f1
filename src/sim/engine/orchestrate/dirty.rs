//! Whether a task is of the service's present spec.

use serde_json::{Map, Value};

use super::{constraint, spec};
use crate::sim::engine::state::{Node, Service, Task};

/// Whether the task has to be replaced. `node` is where it is.
pub(super) fn is_dirty(service: &Service, task: &Task, node: Option<&Node>) -> bool {
    if service.spec_index == task.spec_index {
        return false;
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

/// Maps are nothing when they are empty; other objects are something.
const MAPS: [&str; 6] = ["Labels", "Sysctls", "Options", "DriverOpts", "Limits", "Reservations"];

fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut kept = Map::new();
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            for name in names {
                let field = plain(&fields[name]);
                let empty_map = MAPS.contains(&name.as_str()) && field.as_object().is_some_and(Map::is_empty);
                if !nothing(&field) && !empty_map {
                    kept.insert(name.clone(), field);
                }
            }
            Value::Object(kept)
        }
        Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
        other => other.clone(),
    }
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
