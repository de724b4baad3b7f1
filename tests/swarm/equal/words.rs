//! A spec as the compose file that somebody would type in its place: the same keys and values.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::bed::Workspace;

/// Keys that no compose file has: of the file and of a service.
const OF_FILE: [&str; 5] = ["template", "vars", "suspend", "prune", "drift"];
const OF_SERVICE: [&str; 6] = ["version", "adopt", "suspend", "on_failure", "after", "drift"];

/// The compose file, as JSON, which is YAML too.
pub fn compose(spec: &str, text: &str, images: &BTreeMap<String, Value>, ws: &Workspace<'_>) -> String {
    let mut file: Map<String, Value> = toml::from_str(text).unwrap();
    file.retain(|key, _| !OF_FILE.contains(&key.as_str()));
    file.insert("version".into(), json!("3.9"));
    for (key, service) in file["services"].as_object_mut().unwrap() {
        let service = service.as_object_mut().unwrap();
        service.retain(|key, _| !OF_SERVICE.contains(&key.as_str()));
        service.insert("image".into(), images[key].clone());
    }
    for table in ["secrets", "configs"] {
        for (key, blob) in file.get_mut(table).and_then(Value::as_object_mut).into_iter().flatten() {
            let blob = blob.as_object_mut().unwrap();
            let variable =
                |name: Value| super::VARIABLES.iter().find(|(known, _)| name == *known).unwrap().1.into();
            let content = blob.shift_remove("content");
            if let Some(content) = content.or_else(|| blob.shift_remove("environment").map(variable)) {
                // The docker CLI takes files alone.
                let path = format!("{spec}-{table}-{key}");
                std::fs::write(ws.dir.join(&path), content.as_str().unwrap()).unwrap();
                blob.insert("file".into(), json!(path));
            }
        }
    }
    in_ascii(&serde_json::to_string_pretty(&file).unwrap())
}

/// YAML takes some characters for line breaks, or for no text; it spells all as JSON does, but for
/// those beyond 16 bits.
fn in_ascii(json: &str) -> String {
    let mut out = String::new();
    for c in json.chars() {
        match c {
            '\n' | ' '..='~' => out.push(c),
            c => write!(out, "\\U{:08x}", u32::from(c)).unwrap(),
        }
    }
    out
}

/// The spec with `adopt = true` in every service.
pub fn adopting(text: &str) -> String {
    let is_service = |line: &str| {
        let key = line.strip_prefix("[services.").and_then(|rest| rest.strip_suffix(']'));
        key.is_some_and(|key| !key.contains('.'))
    };
    let mut out = String::new();
    for line in text.lines().filter(|line| *line != "adopt = true") {
        let adopt = if is_service(line) { "\nadopt = true" } else { "" };
        writeln!(out, "{line}{adopt}").unwrap();
    }
    out
}
