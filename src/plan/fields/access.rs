//! Reading and writing one field of a raw `ServiceSpec`.
//!
//! Everything else in it stays as it is, the order of keys included: what other tools set,
//! and what this version of skep has never heard of, goes back to the engine unchanged.

use serde_json::{Map, Value, json};

use super::table::{self, Entry, Form};
use super::{references, values};

/// What the spec has for a field, in canonical form; `Null` when it is absent, acts as if
/// absent, or when skep does not know the field.
pub fn read(spec: &Value, name: &str) -> Value {
    let Some((entry, key)) = table::find(name) else { return Value::Null };
    let value = match entry.form {
        Form::Environment => environment(at(spec, entry.path), key),
        Form::Label => at(spec, entry.path).and_then(|labels| labels.get(key)).cloned(),
        Form::Parallelism => parallelism(spec, entry),
        Form::Mode => kind(spec).map(|(_, name)| json!(name)),
        Form::Replicas => replicas(spec),
        Form::Networks => attachments(spec, entry).cloned(),
        Form::Preferences => at(spec, entry.path).map(descriptors),
        Form::Credentials => at(spec, entry.path).map(|found| references::named_credentials(spec, found)),
        _ => at(spec, entry.path).cloned(),
    };
    values::of_form(entry.form, &value.unwrap_or_default())
}

/// Sets a field, or takes it off (`None`, or an empty list). Parents that are missing are
/// made; nothing else is added, removed or moved.
///
/// Three things are left alone, since the engine would refuse the whole spec: the replicas
/// of a global service, the `update_config` of a job (see [`super::mode_change`]), and taking
/// off networks in the place of engines before 17.06. Taking off `deploy.mode` changes nothing.
pub fn write(spec: &mut Value, name: &str, value: Option<&Value>) {
    let Some((entry, key)) = table::find(name) else { return };
    let value =
        value.filter(|value| !value.is_null() && value.as_array().is_none_or(|list| !list.is_empty()));
    match entry.form {
        Form::Environment => write_environment(spec, entry, key, value),
        Form::Label => write_key(spec, entry.path, key, value.cloned()),
        Form::Mode => write_mode(spec, value),
        Form::Replicas => write_replicas(spec, value),
        Form::Networks => write_networks(spec, entry, value),
        _ if entry.path.first() == Some(&"UpdateConfig") && is_job(spec) => {}
        Form::Parallelism => write_parallelism(spec, entry, value),
        Form::Ports => {
            let ports =
                value.map(|ports| kept(at(spec, entry.path), ports, values::port, |old, _| old.clone()));
            write_leaf(spec, entry, ports);
        }
        Form::Objects | Form::Mounts => {
            let list =
                value.map(|list| kept(at(spec, entry.path), list, values::filled, |old, _| old.clone()));
            write_leaf(spec, entry, list);
        }
        Form::References => {
            let same = references::canonical;
            let list = value.map(|list| kept(at(spec, entry.path), list, same, |old, _| old.clone()));
            write_leaf(spec, entry, list);
        }
        Form::Preferences => write_leaf(spec, entry, value.map(preferences)),
        _ => write_leaf(spec, entry, value.cloned()),
    }
}

fn at<'a>(spec: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(spec, |here, step| here.get(*step))
}

/// The object at a path, made with its parents where absent. `None`: something that is no
/// object stands in the way; that is not for us to replace.
fn make<'a>(spec: &'a mut Value, path: &[&str]) -> Option<&'a mut Map<String, Value>> {
    path.iter().try_fold(spec.as_object_mut()?, |here, step| {
        let next = here.entry(*step).or_insert(Value::Null);
        if next.is_null() {
            *next = match *step {
                // An update config without it means "all at once"; without an update config
                // it is one at a time, and that must not change by setting another key.
                "UpdateConfig" | "RollbackConfig" => json!({ "Parallelism": 1 }),
                _ => json!({}),
            };
        }
        next.as_object_mut()
    })
}

fn write_leaf(spec: &mut Value, entry: &Entry, value: Option<Value>) {
    if let Some((last, parents)) = entry.path.split_last() {
        write_key(spec, parents, last, value);
    }
}

fn write_key(spec: &mut Value, parents: &[&str], key: &str, value: Option<Value>) {
    if let Some(value) = value {
        if let Some(parent) = make(spec, parents) {
            parent.insert(key.to_owned(), value);
        }
    } else if let Some(parent) = at_mut(spec, parents).and_then(Value::as_object_mut) {
        parent.shift_remove(key);
    }
}

fn at_mut<'a>(spec: &'a mut Value, path: &[&str]) -> Option<&'a mut Value> {
    path.iter().try_fold(spec, |here, step| here.get_mut(*step))
}

/// The name of the variable that a line of `Env` sets, and its value if it has one.
fn line(entry: &Value) -> Option<(&str, Option<&str>)> {
    let text = entry.as_str()?;
    Some(text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value))))
}

fn environment(lines: Option<&Value>, key: &str) -> Option<Value> {
    let mut found: Vec<Value> = lines?
        .as_array()?
        .iter()
        .filter_map(line)
        .filter(|(name, _)| *name == key)
        .map(|(_, value)| value.map_or(Value::Bool(false), Value::from))
        .collect();
    found.dedup();
    if found.len() > 1 { Some(Value::from(found)) } else { found.pop() }
}

fn write_environment(spec: &mut Value, entry: &Entry, key: &str, value: Option<&Value>) {
    let is_key = |entry: &Value| line(entry).is_some_and(|(name, _)| name == key);
    let text = match value {
        None => {
            if let Some(lines) = at_mut(spec, entry.path).and_then(Value::as_array_mut) {
                lines.retain(|line| !is_key(line));
            }
            return;
        }
        Some(Value::String(value)) => format!("{key}={value}"),
        Some(Value::Bool(false)) => key.to_owned(),
        Some(_) => return,
    };
    let Some((last, parents)) = entry.path.split_last() else { return };
    let Some(parent) = make(spec, parents) else { return };
    let list = parent.entry(*last).or_insert(Value::Null);
    if list.is_null() {
        *list = json!([]);
    }
    let Some(lines) = list.as_array_mut() else { return };
    put_line(lines, text, is_key);
}

/// Replaces the first line of a variable and drops its others; a new one goes where the
/// docker CLI's sorting puts it, or last in a list that is not sorted.
fn put_line(lines: &mut Vec<Value>, text: String, is_key: impl Fn(&Value) -> bool) {
    if let Some(first) = lines.iter().position(&is_key) {
        lines[first] = Value::from(text);
        let mut index = 0;
        lines.retain(|line| {
            index += 1;
            index - 1 == first || !is_key(line)
        });
        return;
    }
    let sorted = lines.is_sorted_by(|a, b| a.as_str() <= b.as_str());
    let place = if sorted { lines.partition_point(|line| line.as_str() < Some(&text)) } else { lines.len() };
    lines.insert(place, Value::from(text));
}

fn parallelism(spec: &Value, entry: &Entry) -> Option<Value> {
    let (last, parents) = entry.path.split_last()?;
    let config = at(spec, parents)?.as_object()?;
    Some(config.get(*last).filter(|value| !value.is_null()).cloned().unwrap_or(json!(0)))
}

fn write_parallelism(spec: &mut Value, entry: &Entry, value: Option<&Value>) {
    let Some((_, parents)) = entry.path.split_last() else { return };
    match value {
        Some(value) => write_leaf(spec, entry, Some(value.clone())),
        // Removing the key would make it unlimited.
        None if at(spec, parents).is_some_and(Value::is_object) => write_leaf(spec, entry, Some(json!(1))),
        None => {}
    }
}

/// The engine's key for the mode and its name in the spec's vocabulary.
const MODES: [(&str, &str); 4] = [
    ("Replicated", "replicated"),
    ("Global", "global"),
    ("ReplicatedJob", "replicated-job"),
    ("GlobalJob", "global-job"),
];

/// The mode of a service: the engine's key, and our name for it (the key, if we know none).
pub(super) fn kind(spec: &Value) -> Option<(&str, &str)> {
    let (key, _) = spec.get("Mode")?.as_object()?.iter().find(|(_, mode)| !mode.is_null())?;
    Some(MODES.into_iter().find(|(known, _)| known == key).map_or((key, key), |(_, name)| (key, name)))
}

fn is_job(spec: &Value) -> bool {
    kind(spec).is_some_and(|(key, _)| matches!(key, "ReplicatedJob" | "GlobalJob"))
}

fn write_mode(spec: &mut Value, value: Option<&Value>) {
    let Some(wanted) = value.and_then(Value::as_str) else { return };
    if kind(spec).is_some_and(|(_, name)| name == wanted) {
        return;
    }
    let Some((key, _)) = MODES.into_iter().find(|(_, name)| *name == wanted) else { return };
    write_key(spec, &[], "Mode", Some(json!({ key: {} })));
}

/// For a job whose two numbers differ, both: no `replicas` of a spec says that.
fn replicas(spec: &Value) -> Option<Value> {
    let mode = spec.get("Mode")?;
    if let Some(job) = mode.get("ReplicatedJob").filter(|job| job.is_object()) {
        let at_once = job.get("MaxConcurrent").and_then(values::whole).unwrap_or(1);
        let total = job.get("TotalCompletions").and_then(values::whole).unwrap_or(at_once);
        return Some(if at_once == total {
            json!(total)
        } else {
            json!({ "MaxConcurrent": at_once, "TotalCompletions": total })
        });
    }
    mode.get("Replicated")?.get("Replicas").cloned()
}

fn write_replicas(spec: &mut Value, value: Option<&Value>) {
    let (key, numbers): (_, &[&str]) = match kind(spec) {
        None | Some(("Replicated", _)) => ("Replicated", &["Replicas"]),
        Some(("ReplicatedJob", _)) => ("ReplicatedJob", &["MaxConcurrent", "TotalCompletions"]),
        Some(_) => return,
    };
    for number in numbers {
        write_key(spec, &["Mode", key], number, value.cloned());
    }
}

/// Engines before 17.06 kept networks in the service; their services still do until changed.
const LEGACY_NETWORKS: &str = "Networks";

fn attachments<'a>(spec: &'a Value, entry: &Entry) -> Option<&'a Value> {
    let filled = |list: &&Value| list.as_array().is_some_and(|list| !list.is_empty());
    at(spec, entry.path).filter(filled).or_else(|| spec.get(LEGACY_NETWORKS).filter(filled))
}

fn write_networks(spec: &mut Value, entry: &Entry, value: Option<&Value>) {
    let Some(value) = value else { return write_leaf(spec, entry, None) };
    let target = |attachment: &Value| attachment.get("Target").cloned().unwrap_or_default();
    let list = kept(attachments(spec, entry), value, target, |old, new| {
        let mut attachment = old.clone();
        if values::attachment(old) != values::attachment(new) {
            write_key(&mut attachment, &[], "Aliases", new.get("Aliases").cloned());
        }
        attachment
    });
    write_leaf(spec, entry, Some(list));
    if spec.get(LEGACY_NETWORKS).and_then(Value::as_array).is_some_and(|list| !list.is_empty()) {
        write_key(spec, &[], LEGACY_NETWORKS, None);
    }
}

/// The new list, with those elements of the old one that are still meant, so that keys which
/// no spec can say (`DriverOpts`, a port's `Name`) live on.
fn kept(
    old: Option<&Value>,
    new: &Value,
    identity: impl Fn(&Value) -> Value,
    merge: impl Fn(&Value, &Value) -> Value,
) -> Value {
    let empty = Vec::new();
    let mut old: Vec<&Value> = old.and_then(Value::as_array).unwrap_or(&empty).iter().collect();
    let merged = new.as_array().unwrap_or(&empty).iter().map(|new| {
        match old.iter().position(|old| identity(old) == identity(new)) {
            Some(index) => merge(old.remove(index), new),
            None => new.clone(),
        }
    });
    Value::from(merged.collect::<Vec<_>>())
}

/// The descriptors of `spread` preferences; one of a kind we do not know stays whole.
fn descriptors(preferences: &Value) -> Value {
    let one =
        |preference: &Value| preference.pointer("/Spread/SpreadDescriptor").unwrap_or(preference).clone();
    Value::from(
        preferences.as_array().map(|list| list.iter().map(one).collect::<Vec<_>>()).unwrap_or_default(),
    )
}

fn preferences(descriptors: &Value) -> Value {
    let one = |descriptor: &Value| json!({ "Spread": { "SpreadDescriptor": descriptor } });
    Value::from(
        descriptors.as_array().map(|list| list.iter().map(one).collect::<Vec<_>>()).unwrap_or_default(),
    )
}
