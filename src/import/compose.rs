//! A compose file, read as `docker stack deploy` reads it, walked along the table of the spec's keys.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Draft, Imported};
use crate::image::{Digest, ImageRef};
use crate::spec::keys::{CONFIG, Keys, NETWORK, SECRET, SERVICE, SPEC, Shape, VOLUME};
use crate::text::printable;

/// Keys of ours that Compose does not know: what stands there means something else.
const OURS: &[&str] = &["version", "adopt", "suspend", "on_failure", "template", "vars"];
/// Keys of a file that say nothing about the stack.
const SILENT: &[&str] = &["version", "name"];

/// What a file has besides services.
const TABLES: [(&str, &Keys); 4] =
    [("networks", &NETWORK), ("volumes", &VOLUME), ("secrets", &SECRET), ("configs", &CONFIG)];

/// A compose file to import, its variables filled in.
pub struct File<'a> {
    pub value: &'a Value,
    /// The file, for messages.
    pub shown: &'a str,
    /// The folder it stands in, absolute: relative paths begin there.
    pub folder: &'a Path,
    pub customer: &'a str,
    /// Gives values to the variables that the file only names.
    pub env: &'a BTreeMap<String, String>,
}

impl File<'_> {
    /// What the file says, in the spec's words.
    ///
    /// # Errors
    /// When it is no compose file, or the customer cannot be called so.
    pub fn draft(&self) -> Result<Draft, String> {
        super::check_name(self.customer)?;
        let services = self.value.get("services").and_then(Value::as_object);
        let Some(services) = services.filter(|services| !services.is_empty()) else {
            return Err(format!("{} names no services; is it a compose file?", self.shown));
        };
        let mut draft = Draft::new(self.customer, self.shown.to_owned());
        draft.root.insert("services".into(), Value::Object(Map::new()));
        for (key, service) in services {
            self.service(&mut draft, key, service);
        }
        for (name, keys) in TABLES {
            self.tables(&mut draft, name, keys);
        }
        for (key, value) in self.value.as_object().into_iter().flatten() {
            let done = key == "services" || TABLES.iter().any(|(name, _)| name == key);
            if done || key.starts_with("x-") {
                continue;
            }
            if SILENT.contains(&key.as_str()) || value.is_null() {
                continue;
            }
            match SPEC.known.iter().find(|known| known.name == key && !OURS.contains(&known.name)) {
                Some(known) => {
                    let value = carry(&mut draft, std::slice::from_ref(key), &known.shape, value);
                    draft.set(std::slice::from_ref(key), value);
                }
                None => draft.note(&[], format!("{key}: not carried: {}", why_not(&SPEC, key))),
            }
        }
        Ok(draft)
    }

    /// The spec of a draft.
    ///
    /// # Errors
    /// When nothing of it makes a spec.
    pub fn finish(draft: Draft, digests: &BTreeMap<String, Digest>) -> Result<Imported, String> {
        draft.finish(digests, &|_| Vec::new())
    }

    fn service(&self, draft: &mut Draft, key: &str, service: &Value) {
        let path = ["services".to_owned(), key.to_owned()];
        let mut source = service.as_object().cloned().unwrap_or_default();
        let image = source.shift_remove("image");
        self.environment(&mut source);
        self.binds(draft, key, &mut source);
        self.env_files(draft, key, &mut source);
        modes(&mut source);
        // A network without settings is one that is only named.
        let mut table = Map::from_iter([("adopt".to_owned(), json!(true))]);
        if let Value::Object(carried) = carry_table(draft, &path, &SERVICE, &source) {
            table.extend(carried);
        }
        draft.set(&path, Value::Object(table));
        match image.as_ref().and_then(Value::as_str).map(str::parse::<ImageRef>) {
            Some(Ok(image)) => {
                draft.images.insert(key.to_owned(), image);
            }
            Some(Err(error)) => draft.note(&["services", key, "image"], format!("not carried: {error}")),
            None => {}
        }
    }

    /// A variable that is only named has the value that it has here, as for the docker CLI; else a list names it.
    fn environment(&self, service: &mut Map<String, Value>) {
        let Some(environment) = service.get_mut("environment") else { return };
        if let Value::Array(list) = environment {
            for line in list {
                let named = line.as_str().filter(|line| !line.contains('='));
                let Some(value) = named.and_then(|name| Some((name, self.env.get(name)?))) else { continue };
                *line = json!(format!("{}={}", value.0, value.1));
            }
            return;
        }
        let Value::Object(table) = environment else { return };
        for (name, value) in table.iter_mut().filter(|(_, value)| value.is_null()) {
            if let Some(known) = self.env.get(name) {
                *value = json!(known);
            }
        }
        if table.values().any(Value::is_null) {
            let line = |(name, value): (&String, &Value)| match value {
                Value::Null => json!(name),
                Value::String(text) => json!(format!("{name}={text}")),
                other => json!(format!("{name}={other}")),
            };
            *environment = table.iter().map(line).collect();
        }
    }

    /// Relative paths are those of the machine that deploys, which must be the nodes' too.
    fn binds(&self, draft: &mut Draft, key: &str, service: &mut Map<String, Value>) {
        let Some(list) = service.get_mut("volumes").and_then(Value::as_array_mut) else { return };
        for mount in list {
            let relative = |path: &str| path.starts_with('.');
            match mount {
                Value::String(text) => {
                    let Some((source, rest)) = text.split_once(':').filter(|(source, _)| relative(source))
                    else {
                        continue;
                    };
                    let absolute = self.absolute(source);
                    draft.note(&["services", key, "volumes"], moved(source, &absolute));
                    *mount = json!(format!("{absolute}:{rest}"));
                }
                Value::Object(table) if table.get("type").is_some_and(|kind| kind == "bind") => {
                    let source = table.get("source").and_then(Value::as_str).unwrap_or_default().to_owned();
                    if relative(&source) {
                        let absolute = self.absolute(&source);
                        draft.note(&["services", key, "volumes"], moved(&source, &absolute));
                        table.insert("source".into(), json!(absolute));
                    }
                }
                _ => {}
            }
        }
    }

    /// The path from the file's folder, without `.` and `..`.
    fn absolute(&self, path: &str) -> String {
        let mut out = PathBuf::new();
        for part in self.folder.join(path).components() {
            match part {
                Component::ParentDir => drop(out.pop()),
                Component::CurDir => {}
                part => out.push(part),
            }
        }
        out.display().to_string()
    }

    fn tables(&self, draft: &mut Draft, name: &str, keys: &'static Keys) {
        let Some(entries) = self.value.get(name).and_then(Value::as_object) else { return };
        for (key, entry) in entries {
            let mut source = entry.as_object().cloned().unwrap_or_default();
            // The old way: `external: { name: x }`.
            if let Some(external) = source.get("external").and_then(Value::as_object).cloned() {
                source.insert("external".into(), json!(true));
                source.extend(external.into_iter().filter(|(key, _)| key == "name"));
            }
            if source.get("external") == Some(&Value::Bool(false)) {
                source.shift_remove("external");
            }
            let path = [name.to_owned(), key.clone()];
            if let Some(file) = source.get("file").and_then(Value::as_str).map(str::to_owned) {
                source.insert("file".into(), json!(self.beside(draft, &path, &file)));
            }
            let table = carry_table(draft, &path, keys, &source);
            draft.set(&path, table);
        }
    }

    /// Where a file that the compose file names is to be beside the spec. Nothing of it is read: it may be a secret.
    fn beside(&self, draft: &mut Draft, path: &[String], file: &str) -> String {
        let plain = Path::new(file.trim_start_matches("./"));
        let stays = plain.components().all(|part| matches!(part, Component::Normal(_)));
        let last = || plain.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let here = if stays { plain.display().to_string() } else { last() };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let from = printable(&self.absolute(file), 100);
        draft.note(&path, format!("put a copy of `{from}` beside this spec, as `{}`", printable(&here, 60)));
        here
    }

    fn env_files(&self, draft: &mut Draft, key: &str, service: &mut Map<String, Value>) {
        let path = ["services", key, "env_file"].map(str::to_owned);
        match service.get_mut("env_file") {
            Some(Value::String(file)) => *file = self.beside(draft, &path, file),
            Some(Value::Array(list)) => {
                for file in list {
                    // The newer form says with each whether it must be there.
                    let named = file.as_str().or_else(|| file["path"].as_str()).map(str::to_owned);
                    if let Some(named) = named {
                        *file = json!(self.beside(draft, &path, &named));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Rights of files as TOML is to show them. People write them octal, with a 0 before, which our YAML leaves out; a number
/// that cannot be meant so is taken as it is.
fn modes(service: &mut Map<String, Value>) {
    for name in ["secrets", "configs"] {
        let list = service.get_mut(name).and_then(Value::as_array_mut);
        for mode in list.into_iter().flatten().filter_map(|one| one.get_mut("mode")) {
            if let Some(number) = mode.as_u64() {
                let written = u64::from_str_radix(&number.to_string(), 8).ok().filter(|mode| *mode <= 0o777);
                *mode = json!(super::blobs::octal(written.unwrap_or(number)));
            }
        }
    }
}

fn moved(from: &str, to: &str) -> String {
    format!("`{}` is `{}`, which must be there on the nodes", printable(from, 60), printable(to, 100))
}

/// Why a key has no place in a spec.
fn why_not(keys: &Keys, key: &str) -> String {
    if let Some((_, help)) = keys.refused.iter().find(|(refused, _)| *refused == key) {
        return format!("`docker stack deploy` ignores it, or it has another place: {help}");
    }
    if keys.not_yet.contains(&key) {
        return "not yet: skep does not manage this; on a service that is taken over it stays as it is"
            .to_owned();
    }
    "skep has no such key".to_owned()
}

fn carry_table(
    draft: &mut Draft,
    path: &[String],
    keys: &'static Keys,
    source: &Map<String, Value>,
) -> Value {
    let mut out = Map::new();
    for (key, value) in source {
        if key.starts_with("x-") {
            continue;
        }
        let known = keys.known.iter().find(|known| known.name == key);
        let ours = keys.id == SERVICE.id && OURS.contains(&key.as_str());
        let Some(known) = known.filter(|_| !ours) else {
            let at: Vec<&str> = path.iter().map(String::as_str).chain([key.as_str()]).collect();
            draft.note(&at, format!("not carried: {}", why_not(keys, key)));
            continue;
        };
        if value.is_null() {
            continue;
        }
        let path = [path, std::slice::from_ref(key)].concat();
        let value = carry(draft, &path, &known.shape, value);
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

/// The value as the spec's reader takes it: YAML has numbers and switches where TOML has text, and the other way
/// round after variables were filled in.
fn carry(draft: &mut Draft, path: &[String], shape: &Shape, value: &Value) -> Value {
    match shape {
        Shape::Table(keys) => match value {
            Value::Object(table) => carry_table(draft, path, keys, table),
            Value::Null => json!({}),
            other => other.clone(),
        },
        Shape::Map { value: inner, .. } => match value {
            Value::Object(table) => {
                let entry = |(key, value): (&String, &Value)| {
                    let path = [path, std::slice::from_ref(key)].concat();
                    (key.clone(), carry(draft, &path, inner, value))
                };
                table.iter().map(entry).collect::<Map<_, _>>().into()
            }
            other => other.clone(),
        },
        Shape::List(inner) => match value {
            Value::Array(list) => list.iter().map(|value| carry(draft, path, inner, value)).collect(),
            other => other.clone(),
        },
        Shape::Any(shapes) => match shapes.iter().find(|shape| fits(shape, value)).or(shapes.first()) {
            Some(shape) => carry(draft, path, shape, value),
            None => value.clone(),
        },
        Shape::Text | Shape::Choice(_) | Shape::Datetime => text(value),
        Shape::Scalar => {
            if value.is_null() {
                json!("")
            } else {
                value.clone()
            }
        }
        Shape::Integer { .. } | Shape::Number => number(value),
        Shape::Boolean | Shape::False => match value.as_str() {
            Some("true") => json!(true),
            Some("false") => json!(false),
            _ => value.clone(),
        },
    }
}

fn fits(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::Text | Shape::Choice(_) | Shape::Datetime => value.is_string(),
        Shape::Boolean => value.is_boolean(),
        Shape::False => *value == Value::Bool(false),
        Shape::Integer { .. } => value.is_i64() || value.is_u64(),
        Shape::Number => value.is_number(),
        Shape::Scalar => value.is_string() || value.is_number() || value.is_boolean(),
        Shape::List(_) => value.is_array(),
        Shape::Table(_) => value.is_object(),
        Shape::Map { .. } => value.is_object(),
        Shape::Any(shapes) => shapes.iter().any(|shape| fits(shape, value)),
    }
}

fn text(value: &Value) -> Value {
    match value {
        Value::Number(_) | Value::Bool(_) => json!(value.to_string()),
        other => other.clone(),
    }
}

fn number(value: &Value) -> Value {
    let Some(text) = value.as_str() else { return value.clone() };
    match (text.parse::<i64>(), text.parse::<f64>()) {
        (Ok(number), _) => json!(number),
        (_, Ok(number)) if number.is_finite() => json!(number),
        _ => value.clone(),
    }
}
