//! Secrets and configs of a service: compared by name and file, written with their IDs.

use serde_json::{Map, Value, json};

use super::desired::Set;
use super::values;
use crate::spec::{Blob, BlobRef, Compose, CredentialSpec, Customer};
use crate::state::ObjectKind;

/// Where a container's spec holds the references of a kind, and their keys for name and ID.
struct Place {
    kind: ObjectKind,
    list: &'static str,
    name: &'static str,
    id: &'static str,
}

const SECRETS: Place =
    Place { kind: ObjectKind::Secret, list: "Secrets", name: "SecretName", id: "SecretID" };
const CONFIGS: Place =
    Place { kind: ObjectKind::Config, list: "Configs", name: "ConfigName", id: "ConfigID" };

/// The references as the docker CLI makes them (docker/cli's `cli/compose/convert`), sorted by
/// the object's name, without IDs.
pub(super) fn references(set: &mut Set, customer: &Customer, compose: &Compose) {
    let secrets = compose.secrets.as_deref().map(|list| list_of(&SECRETS, customer, list));
    set.some("secrets", secrets.map(sorted));
    let mut configs = compose.configs.as_deref().map(|list| list_of(&CONFIGS, customer, list));
    if let Some(CredentialSpec::Config(key)) = &compose.container.credential_spec {
        // Not a file, but what the engine hands to the container runtime.
        let runtime = json!({ "ConfigName": object_name(customer, ObjectKind::Config, key), "Runtime": {} });
        configs.get_or_insert_default().push(runtime);
    }
    set.some("configs", configs.map(sorted));
}

fn list_of(place: &Place, customer: &Customer, list: &[BlobRef]) -> Vec<Value> {
    let one = |reference: &BlobRef| {
        let mut out = Map::new();
        out.insert(
            "File".into(),
            json!({
                "Name": reference.target, "UID": reference.uid, "GID": reference.gid, "Mode": reference.mode,
            }),
        );
        out.insert(place.name.into(), object_name(customer, place.kind, &reference.source).into());
        Value::Object(out)
    };
    list.iter().map(one).collect()
}

fn sorted(mut list: Vec<Value>) -> Value {
    list.sort_by_key(|one| name_of(one).to_owned());
    Value::from(list)
}

/// The name in the Swarm of what a spec calls `key`.
pub(super) fn object_name(customer: &Customer, kind: ObjectKind, key: &str) -> String {
    let blob = customer.blobs(kind).get(key);
    let unknown = || format!("{} (unknown)", blob.map_or(key, |blob| blob.name.as_str()));
    blob.and_then(Blob::swarm_name).unwrap_or_else(unknown)
}

fn name_of(reference: &Value) -> &str {
    [SECRETS.name, CONFIGS.name]
        .iter()
        .find_map(|name| reference.get(*name).and_then(Value::as_str))
        .unwrap_or_default()
}

/// A reference without its ID and without what says nothing.
pub(super) fn canonical(reference: &Value) -> Value {
    let mut reference = reference.clone();
    if let Some(object) = reference.as_object_mut() {
        object.shift_remove(SECRETS.id);
        object.shift_remove(CONFIGS.id);
        // An owner of "0" and of none are the same.
        if let Some(file) = object.get_mut("File").and_then(Value::as_object_mut) {
            for owner in ["UID", "GID"] {
                if file.get(owner).and_then(Value::as_str) == Some("0") {
                    file.shift_remove(owner);
                }
            }
        }
    }
    values::filled(&reference)
}

/// The reference in words: `name as file`, and what is not as usual.
pub(super) fn display(reference: &Value) -> String {
    let name = name_of(reference);
    let Some(file) = reference.get("File").filter(|file| file.is_object()) else {
        return format!("{name} for the runtime");
    };
    let word = |key| Some(values::text(file, key)).filter(|word| !word.is_empty()).unwrap_or("0");
    let mode = file.get("Mode").and_then(Value::as_u64).unwrap_or(0);
    let mut text = format!("{name} as {}", values::text(file, "Name"));
    let usual = (word("UID"), word("GID"), mode) == ("0", "0", 0o444);
    if !usual {
        text.push_str(&format!(" ({}:{} {mode:04o})", word("UID"), word("GID")));
    }
    text
}

/// A credential spec with the name of its config in the place of the ID.
pub(super) fn named_credentials(spec: &Value, credentials: &Value) -> Value {
    let mut named = credentials.clone();
    let id = values::text(credentials, "Config").to_owned();
    let found = list(spec, &CONFIGS).find(|one| !id.is_empty() && values::text(one, CONFIGS.id) == id);
    if let (Some(one), Some(object)) = (found, named.as_object_mut()) {
        object.insert("Config".into(), values::text(one, CONFIGS.name).into());
    }
    named
}

fn list<'a>(spec: &'a Value, place: &Place) -> impl Iterator<Item = &'a Value> {
    let list = spec.pointer("/TaskTemplate/ContainerSpec").and_then(|container| container.get(place.list));
    list.and_then(Value::as_array).into_iter().flatten()
}

/// Gives every reference the ID that its name has; `ids` knows those of what is there.
pub fn fill(spec: &mut Value, ids: &dyn Fn(ObjectKind, &str) -> Option<String>) {
    let config_of = |name: &str| ids(ObjectKind::Config, name);
    let credentials = "/TaskTemplate/ContainerSpec/Privileges/CredentialSpec/Config";
    if let Some(config) = spec.pointer_mut(credentials)
        && let Some(id) = config.as_str().and_then(config_of)
    {
        *config = id.into();
    }
    for place in [SECRETS, CONFIGS] {
        let container = spec.pointer_mut("/TaskTemplate/ContainerSpec");
        let list = container.and_then(|container| container.get_mut(place.list));
        for one in list.and_then(Value::as_array_mut).into_iter().flatten() {
            let Some(id) = ids(place.kind, name_of(one)) else { continue };
            if let Some(object) = one.as_object_mut()
                && object.get(place.id).and_then(Value::as_str) != Some(&id)
            {
                object.insert(place.id.into(), id.into());
            }
        }
    }
}

/// The references without an ID: what they name is still to be made.
pub fn unmade(spec: &Value) -> Vec<(ObjectKind, String)> {
    let of = |place: Place| {
        let lacking =
            list(spec, &place).filter(move |one| values::text(one, place.id).is_empty()).map(name_of);
        lacking.map(move |name| (place.kind, name.to_owned())).collect::<Vec<_>>()
    };
    [SECRETS, CONFIGS].into_iter().flat_map(of).collect()
}

/// The IDs of all secrets and configs that a service's spec refers to.
pub fn referred(spec: &Value) -> impl Iterator<Item = &str> {
    let secrets = list(spec, &SECRETS).map(|one| values::text(one, SECRETS.id));
    secrets.chain(list(spec, &CONFIGS).map(|one| values::text(one, CONFIGS.id)))
}
