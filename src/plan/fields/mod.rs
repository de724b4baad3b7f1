//! Field ownership, as in server-side apply: which fields of a service a spec sets, what the
//! engine's `ServiceSpec` has for them, and how to change one without touching any other.
//!
//! A *field* is a value that a spec can set, named in the spec's vocabulary
//! (`deploy.replicas`, `environment.API_URL`); [`TABLE`] lists them. Everything works on the
//! raw JSON that `GET /services` gives and `POST /services/create|update` takes, since no
//! typed model keeps what it does not know.

mod access;
mod container;
mod create;
mod desired;
mod display;
mod invert;
mod references;
mod table;
#[cfg(test)]
pub(super) mod tests;
mod values;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use access::{read, write};
pub use create::create;
pub use desired::{MissingNetwork, default_network, desired, joins, mode_change, network_name, released};
pub use display::{display, is_sensitive};
pub use invert::{Said, invert, path, uncovered};
pub use references::{fill, referred, unmade};
pub use table::{Entry, TABLE, is_reserved_label};
pub use values::{canonical, same};

/// A field and the value that a spec gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// In the spec's vocabulary, e.g. `deploy.update_config.order`.
    pub name: String,
    /// As the engine spells it: durations in nanoseconds, memory in bytes, networks and ports
    /// as its objects. An environment variable is a string, or `false` when it is named
    /// without a value.
    pub value: Value,
}

/// Whether this version of skep knows a field of that name.
pub fn is_known(name: &str) -> bool {
    table::find(name).is_some()
}

/// Whether the service runs containers. Others (plugins, attachments) have no image and no
/// container fields: skep cannot manage them, and must not write to them.
pub fn is_container(spec: &Value) -> bool {
    let task = spec.get("TaskTemplate");
    let runtime = task.and_then(|task| task.get("Runtime")).and_then(Value::as_str).unwrap_or_default();
    matches!(runtime, "" | "container") && task.is_some_and(|task| task["ContainerSpec"].is_object())
}

/// The image of a service's tasks as the engine has it; empty if there is none.
pub fn image(spec: &Value) -> &str {
    spec.pointer("/TaskTemplate/ContainerSpec/Image").and_then(Value::as_str).unwrap_or_default()
}

/// Sets the image of a service's tasks; does nothing to a service without containers.
pub fn set_image(spec: &mut Value, image: &str) {
    if let Some(container) = spec.pointer_mut("/TaskTemplate/ContainerSpec").and_then(Value::as_object_mut) {
        container.insert("Image".into(), json!(image));
    }
}

/// Makes the engine replace every task, although nothing else in the spec changes.
pub fn force(spec: &mut Value) {
    if let Some(task) = spec.get_mut("TaskTemplate").and_then(Value::as_object_mut) {
        let count = task.get("ForceUpdate").and_then(Value::as_u64).unwrap_or(0);
        task.insert("ForceUpdate".into(), json!(count.wrapping_add(1)));
    }
}

/// The fields that the `skep.fields` label names. A label that is absent or does not read
/// names none: skep then takes nothing off.
pub fn owned(label: Option<&str>) -> BTreeSet<String> {
    let names: BTreeSet<String> = label.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    names.into_iter().filter(|name| !is_reserved(name)).collect()
}

/// The `skep.fields` label: the names as a JSON array, sorted.
pub fn owned_label(names: &BTreeSet<String>) -> String {
    Value::from_iter(names.iter().map(String::as_str)).to_string()
}

fn is_reserved(name: &str) -> bool {
    ["deploy.labels.", "labels."]
        .iter()
        .any(|prefix| name.strip_prefix(prefix).is_some_and(is_reserved_label))
}

/// The `skep.spec` label: a short hash of what was applied.
///
/// `v1:` and the first 16 hexadecimal digits of the SHA-256 of the compact JSON array of
/// `[name, canonical value]`, sorted by name. Another prefix is another format, which must be
/// taken for "unknown", not for "different".
pub fn spec_hash(fields: &[Field]) -> String {
    let mut pairs: Vec<(&str, Value)> =
        fields.iter().map(|field| (field.name.as_str(), canonical(&field.name, &field.value))).collect();
    pairs.sort_by(|a, b| a.0.cmp(b.0));
    let digest = Sha256::digest(json!(pairs).to_string());
    digest.iter().take(8).fold(String::from("v1:"), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
