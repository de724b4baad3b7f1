//! Mounts and the volumes they name, from the engine's words to the spec's.

use serde_json::{Map, Value, json};

const NAMESPACE: &str = "com.docker.stack.namespace";

/// A volume that a mount names: its key, and its entry under `[volumes]`.
pub(super) type Declared = (String, Value);

/// A mount as a spec has it. `None`: no spec can say it.
pub(super) fn mount(stack: &str, mount: &Value) -> Option<(Value, Option<Declared>)> {
    let (kind, source, target) = (text(mount, "Type"), text(mount, "Source"), text(mount, "Target"));
    let read_only = mount.get("ReadOnly") == Some(&Value::Bool(true));
    match kind {
        "volume" => volume(stack, mount, source, target, read_only),
        "bind" => {
            let options = mount.get("BindOptions");
            let propagation = options.map_or("", |options| text(options, "Propagation"));
            let simple = source.starts_with('/') && !source.contains(':') && !target.contains(':');
            if simple && !propagation.contains(',') {
                let words = [if read_only { "ro" } else { "" }, propagation];
                return Some((short(source, target, &words), None));
            }
            let mut table = long("bind", Some(source), target, read_only);
            if !propagation.is_empty() {
                table.insert("bind".into(), json!({ "propagation": propagation }));
            }
            Some((Value::Object(table), None))
        }
        "tmpfs" => {
            let mut table = long("tmpfs", None, target, read_only);
            let size =
                mount.pointer("/TmpfsOptions/SizeBytes").and_then(Value::as_u64).filter(|size| *size > 0);
            if let Some(size) = size {
                table.insert("tmpfs".into(), json!({ "size": size }));
            }
            Some((Value::Object(table), None))
        }
        "npipe" => Some((Value::Object(long("npipe", Some(source), target, read_only)), None)),
        _ => None,
    }
}

fn volume(
    stack: &str,
    mount: &Value,
    source: &str,
    target: &str,
    read_only: bool,
) -> Option<(Value, Option<Declared>)> {
    let nocopy = mount.pointer("/VolumeOptions/NoCopy") == Some(&Value::Bool(true));
    let declared =
        if source.is_empty() { None } else { Some(declare(stack, source, mount.get("VolumeOptions"))?) };
    let key = declared.as_ref().map(|(key, _)| key.as_str());
    if !target.contains(':') && (key.is_some() || !(read_only || nocopy)) {
        let words = [if read_only { "ro" } else { "" }, if nocopy { "nocopy" } else { "" }];
        let value = key.map_or_else(|| json!(target), |key| short(key, target, &words));
        return Some((value, declared));
    }
    let mut table = long("volume", key, target, read_only);
    if nocopy {
        table.insert("volume".into(), json!({ "nocopy": true }));
    }
    Some((Value::Object(table), declared))
}

/// A volume is the stack's own by its label, as the docker CLI and skep set it.
fn declare(stack: &str, name: &str, options: Option<&Value>) -> Option<Declared> {
    let labels = options.and_then(|options| options.get("Labels")).and_then(Value::as_object);
    let own = labels.and_then(|labels| labels.get(NAMESPACE)).is_some_and(|owner| owner == stack);
    let mut table = Map::new();
    if !own {
        let made = options.is_some_and(|options| options["DriverConfig"].is_object());
        if labels.is_some_and(|labels| !labels.is_empty()) || made {
            return None;
        }
        table.insert("external".into(), json!(true));
        let key = free_key(name);
        if key != name {
            table.insert("name".into(), json!(name));
        }
        return Some((key, Value::Object(table)));
    }
    let key = match name.strip_prefix(stack).and_then(|rest| rest.strip_prefix('_')) {
        Some(key) if free_key(key) == key => key.to_owned(),
        _ => {
            table.insert("name".into(), json!(name));
            free_key(name)
        }
    };
    let driver = options.map_or("", |options| {
        options.pointer("/DriverConfig/Name").and_then(Value::as_str).unwrap_or_default()
    });
    if !driver.is_empty() {
        table.insert("driver".into(), json!(driver));
    }
    let of_driver = options.and_then(|options| options.pointer("/DriverConfig/Options")?.as_object());
    if let Some(options) = of_driver.filter(|options| !options.is_empty()) {
        table.insert("driver_opts".into(), Value::Object(options.clone()));
    }
    let mut labels = labels.cloned().unwrap_or_default();
    labels.retain(|label, _| !crate::plan::fields::is_reserved_label(label));
    if !labels.is_empty() {
        table.insert("labels".into(), Value::Object(labels));
    }
    Some((key, Value::Object(table)))
}

/// The name as a key: what no key can hold becomes `-`.
pub(super) fn free_key(name: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let key: String = name.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let key = key.trim_start_matches(['.', '_', '-']).to_owned();
    if key.is_empty() { "unnamed".to_owned() } else { key }
}

fn short(source: &str, target: &str, words: &[&str]) -> Value {
    let words: Vec<&str> = words.iter().copied().filter(|word| !word.is_empty()).collect();
    let options = if words.is_empty() { String::new() } else { format!(":{}", words.join(",")) };
    json!(format!("{source}:{target}{options}"))
}

fn long(kind: &str, source: Option<&str>, target: &str, read_only: bool) -> Map<String, Value> {
    let mut table = Map::from_iter([("type".to_owned(), json!(kind))]);
    if let Some(source) = source {
        table.insert("source".into(), json!(source));
    }
    table.insert("target".into(), json!(target));
    if read_only {
        table.insert("read_only".into(), json!(true));
    }
    table
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
