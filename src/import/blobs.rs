//! Secrets and configs of a stack that runs. What a secret holds nobody can read back, and another content would be
//! another object: so they stay what they are, named as external.

use base64::Engine as _;
use serde_json::{Map, Value, json};

use super::live::Stack;
use super::mount::free_key;
use super::{Draft, Note};
use crate::plan::{fields, labels};
use crate::state::{ObjectKind, ObservedBlob};

/// A kind: its table in a spec, its list in a container's spec, and the name in that.
struct Kind {
    kind: ObjectKind,
    table: &'static str,
    list: &'static str,
    name: &'static str,
}

const SECRETS: Kind =
    Kind { kind: ObjectKind::Secret, table: "secrets", list: "Secrets", name: "SecretName" };
const CONFIGS: Kind =
    Kind { kind: ObjectKind::Config, table: "configs", list: "Configs", name: "ConfigName" };

/// Bytes of a config that are carried into a spec; people want to read those.
const CONTENT_BYTES_MAX: usize = 16 << 10;
/// The rights of a file that says nothing of them.
const USUAL_MODE: u64 = 0o444;

impl Stack<'_> {
    /// What of both the service uses.
    pub(super) fn blobs(&self, draft: &mut Draft, service: &str, spec: &Value) {
        for kind in [&SECRETS, &CONFIGS] {
            let container = spec.pointer("/TaskTemplate/ContainerSpec");
            let list = container.and_then(|container| container[kind.list].as_array());
            let mut used = Vec::new();
            for one in list.into_iter().flatten() {
                // One without a file is for the container runtime, and stands under `credential_spec`.
                let (Some(file), Some(name)) = (one["File"].as_object(), one[kind.name].as_str()) else {
                    continue;
                };
                used.push(reference(&self.blob_key(draft, kind, name), file));
            }
            if !used.is_empty() {
                draft.set(&["services", service, kind.table].map(str::to_owned), Value::from(used));
            }
        }
        let credentials = fields::read(spec, "credential_spec");
        if let Some(name) = credentials["Config"].as_str() {
            let key = self.blob_key(draft, &CONFIGS, name);
            draft.set(&["services", service, "credential_spec"].map(str::to_owned), json!({ "config": key }));
        }
    }

    /// The key of a secret or config, which is declared if it is not yet.
    fn blob_key(&self, draft: &mut Draft, kind: &Kind, name: &str) -> String {
        let declared = draft.root.get(kind.table).and_then(Value::as_object);
        let is_called =
            |(key, entry): &(&String, &Value)| entry["name"].as_str().unwrap_or(key.as_str()) == name;
        if let Some((key, _)) = declared.into_iter().flatten().find(is_called) {
            return key.clone();
        }
        let all =
            if kind.kind == ObjectKind::Secret { &self.observed.secrets } else { &self.observed.configs };
        let found = all.get(name);
        let is_free = |key: &String| declared.is_none_or(|declared| !declared.contains_key(key));
        let numbered = (2..).map(|number| format!("{}-{number}", free_key(name)));
        let wanted = self.short_key(name, found).into_iter().chain([free_key(name)]).chain(numbered);
        let mut wanted = wanted.filter(is_free);
        let key = wanted.next().unwrap_or_else(|| free_key(name));
        let path = [kind.table.to_owned(), key.clone()];
        let content = self.content(kind, name);
        draft.notes.push(Note {
            path: path.to_vec(),
            message: hint(kind, name, content.is_some()),
            hint: true,
        });
        let table = match content {
            Some(content) => json!({ "content": content }),
            None if key == name => json!({ "external": true }),
            None => json!({ "external": true, "name": name }),
        };
        draft.set(&path, table);
        key
    }

    /// The key that the stack had for what it made.
    fn short_key(&self, name: &str, found: Option<&ObservedBlob>) -> Option<String> {
        let labels = &found?.labels;
        let owned = |label: &str| labels.get(label).is_some_and(|owner| owner == self.name);
        if owned(labels::CUSTOMER) {
            return labels.get(labels::OBJECT).filter(|key| free_key(key) == **key).cloned();
        }
        let key = name.strip_prefix(self.name)?.strip_prefix('_')?;
        (owned(labels::STACK) && free_key(key) == key).then(|| key.to_owned())
    }

    /// What a copy of the stack has in a config of its own, if that is text for people.
    fn content(&self, kind: &Kind, name: &str) -> Option<String> {
        if !self.is_copy() || kind.kind != ObjectKind::Config {
            return None;
        }
        let found = self.configs.iter().find(|config| config["Spec"]["Name"] == name)?;
        if found["Spec"]["Templating"].is_object() {
            return None;
        }
        let data = base64::engine::general_purpose::STANDARD.decode(found["Spec"]["Data"].as_str()?).ok()?;
        let text = String::from_utf8(data).ok()?;
        let plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
        (!text.is_empty() && text.len() <= CONTENT_BYTES_MAX && text.chars().all(plain)).then_some(text)
    }
}

fn hint(kind: &Kind, name: &str, carried: bool) -> String {
    if carried {
        return format!("the content is that of {name}");
    }
    if kind.kind == ObjectKind::Secret {
        return "stays as it is; to have skep make and rotate it write `file` or `environment` instead of these"
            .to_owned();
    }
    format!(
        "stays as it is; to have skep make and rotate it write `file` or `content` instead of these \
         (`docker config inspect --pretty {name}` shows what it holds)"
    )
}

/// Short where all is as usual.
fn reference(key: &str, file: &Map<String, Value>) -> Value {
    let text = |name: &str| file.get(name).and_then(Value::as_str).unwrap_or_default();
    let mut table = Map::from_iter([("source".to_owned(), json!(key))]);
    if text("Name") != key {
        table.insert("target".into(), json!(text("Name")));
    }
    for (name, field) in [("uid", "UID"), ("gid", "GID")] {
        if !matches!(text(field), "" | "0") {
            table.insert(name.into(), json!(text(field)));
        }
    }
    let mode = file.get("Mode").and_then(Value::as_u64).unwrap_or(0);
    if mode != USUAL_MODE {
        table.insert("mode".into(), json!(octal(mode)));
    }
    if table.len() == 1 { json!(key) } else { Value::Object(table) }
}

/// A file's rights as a spec has them.
pub(super) fn octal(mode: u64) -> String {
    format!("{mode:04o}")
}
