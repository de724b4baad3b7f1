//! The way back: what a service of the engine has, in the spec's own words.

use serde_json::{Map, Value, json};

use super::table::{self, Entry, Form, TABLE, is_reserved_label};
use super::{access, display, values};

/// A key of a service in a spec, part by part, and its value there.
pub type Said = (Vec<String>, Value);

/// What a spec says of a service that is as this one, but for what needs entries of its own in a spec (networks, mounts,
/// secrets, configs); and the names of fields that are there but cannot be said.
pub fn invert(spec: &Value) -> (Vec<Said>, Vec<String>) {
    let (mut said, mut unsayable) = (Vec::new(), Vec::new());
    let apart = |entry: &&Entry| matches!(entry.form, Form::Networks | Form::Mounts | Form::References);
    for entry in TABLE.iter().filter(|entry| !apart(entry)) {
        for (name, path) in names(spec, entry) {
            let value = access::read(spec, &name);
            if value.is_null() && entry.form != Form::Replicas {
                continue;
            }
            // So does this, if it is a config.
            if entry.form == Form::Credentials && value.get("Config").is_some() {
                continue;
            }
            match word(entry, spec, &value) {
                Some(value) => said.push((path, value)),
                None if value.is_null() => {}
                None => unsayable.push(name),
            }
        }
    }
    (said, unsayable)
}

/// A field's name and its path in the spec; of a family all that are there.
fn names(spec: &Value, entry: &Entry) -> Vec<(String, Vec<String>)> {
    let Some(family) = entry.name.strip_suffix('.') else {
        return vec![(entry.name.to_owned(), path(entry.name))];
    };
    let there = entry.path.iter().try_fold(spec, |here, step| here.get(*step));
    let mut keys: Vec<&str> = match there {
        Some(Value::Array(lines)) => lines
            .iter()
            .filter_map(Value::as_str)
            .map(|line| line.split('=').next().unwrap_or(line))
            .collect(),
        Some(Value::Object(map)) => map.keys().map(String::as_str).collect(),
        _ => Vec::new(),
    };
    keys.sort_unstable();
    keys.dedup();
    let labels = family == "labels" || family == "deploy.labels";
    let own = |key: &str| labels && is_reserved_label(key);
    keys.retain(|key| !key.is_empty() && !own(key));
    let named = keys.into_iter().map(|key| format!("{}{key}", entry.name));
    named.map(|name| (name.clone(), path(&name))).collect()
}

/// The parts of a field's name, in the place that a spec has it.
pub fn path(name: &str) -> Vec<String> {
    let split = |name: &str| name.split('.').map(str::to_owned).collect::<Vec<_>>();
    match table::find(name) {
        Some((entry, key)) if entry.name.ends_with('.') => {
            let mut path = split(entry.name.trim_end_matches('.'));
            path.push(key.to_owned());
            path
        }
        _ => split(name),
    }
}

/// The value as a spec has it. `None`: no spec can say it.
fn word(entry: &Entry, spec: &Value, value: &Value) -> Option<Value> {
    match entry.form {
        Form::Environment | Form::Label => (!value.is_array()).then(|| value.clone()),
        Form::Replicas => match (value, access::kind(spec)) {
            (Value::Null, Some(("Replicated" | "ReplicatedJob", _))) => Some(json!(1)),
            (Value::Number(_), _) => Some(value.clone()),
            _ => None,
        },
        Form::Number { .. } => value.is_u64().then(|| display::quantity(entry.form, value.clone())),
        Form::Preferences => each(value, |one| Some(json!({ "spread": one.as_str()? }))),
        Form::Ports => each(value, port),
        Form::Objects if entry.name == "ulimits" => ulimits(value),
        Form::Objects => each(value, |one| {
            let discrete = one.get("DiscreteResourceSpec")?;
            let (kind, value) = (discrete.get("Kind")?, discrete.get("Value")?);
            Some(json!({ "discrete_resource_spec": { "kind": kind, "value": value } }))
        }),
        Form::Credentials => match value.as_object()?.iter().next()? {
            (key, of) if key == "File" => Some(json!({ "file": of })),
            (key, of) if key == "Registry" => Some(json!({ "registry": of })),
            _ => None,
        },
        Form::Words if entry.name == "extra_hosts" => each(value, |line| {
            let (address, name) = line.as_str()?.split_once(' ')?;
            Some(json!(format!("{name}:{address}")))
        }),
        Form::Networks | Form::Mounts | Form::References => None,
        _ => Some(value.clone()),
    }
}

fn each(list: &Value, one: impl Fn(&Value) -> Option<Value>) -> Option<Value> {
    list.as_array()?.iter().map(one).collect::<Option<Vec<_>>>().map(Value::from)
}

/// Short where the short form can say it.
fn port(port: &Value) -> Option<Value> {
    let number = |key| port.get(key).and_then(values::whole);
    let (target, published) = (number("TargetPort")?, number("PublishedPort").unwrap_or(0));
    let protocol = values::text(port, "Protocol");
    if values::text(port, "PublishMode") == "host" {
        let mut table = Map::from_iter([("target".to_owned(), json!(target))]);
        if published != 0 {
            table.insert("published".into(), json!(published));
        }
        table.insert("protocol".into(), json!(protocol));
        table.insert("mode".into(), json!("host"));
        return Some(Value::Object(table));
    }
    let suffix = if protocol == "tcp" { String::new() } else { format!("/{protocol}") };
    let outside = if published == 0 { String::new() } else { format!("{published}:") };
    Some(json!(format!("{outside}{target}{suffix}")))
}

fn ulimits(limits: &Value) -> Option<Value> {
    let one = |limit: &Value| {
        let number = |key| limit.get(key).and_then(Value::as_i64).unwrap_or(0);
        let (soft, hard) = (number("Soft"), number("Hard"));
        let value = if soft == hard { json!(soft) } else { json!({ "soft": soft, "hard": hard }) };
        Some((values::text(limit, "Name").to_owned(), value))
    };
    limits.as_array()?.iter().map(one).collect::<Option<Map<_, _>>>().map(Value::Object)
}

/// What else a spec has no word for; or what is looked after elsewhere.
const ELSEWHERE: &[&[&str]] = &[
    &["Name"],
    &["Labels"],
    &["Networks"],
    &["TaskTemplate", "ContainerSpec", "Image"],
    &["TaskTemplate", "ForceUpdate"],
    &["TaskTemplate", "Runtime"],
    &["TaskTemplate", "Placement", "Platforms"],
];

/// The engine's names of what the service has and no field covers.
pub fn uncovered(spec: &Value) -> Vec<String> {
    let mut found = Vec::new();
    walk(spec, &mut Vec::new(), &mut found);
    found
}

fn walk(value: &Value, path: &mut Vec<String>, found: &mut Vec<String>) {
    let is = |known: &[&str]| known.len() == path.len() && known.iter().zip(&*path).all(|(a, b)| a == b);
    if TABLE.iter().any(|entry| is(entry.path)) || ELSEWHERE.iter().any(|known| is(known)) {
        return;
    }
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                path.push(key.clone());
                walk(inner, path, found);
                path.pop();
            }
        }
        value if values::says(value) => found.push(path.join(".")),
        _ => {}
    }
}
