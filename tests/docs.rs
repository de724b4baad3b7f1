//! What is written for people is kept in step with the code: the fleet in `specs/`, and the
//! references of events and spec keys. `SKEP_BLESS=1 cargo test --test docs` writes the
//! generated parts of the references anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use skep::events::Reason;
use skep::spec::parse::{SpecFiles, load};
use skep::spec::schema::json_schema;

const BEGIN: &str = "<!-- generated: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares the part of a page between the marks with `wanted`, or writes it when asked to.
fn check_generated(page: &str, wanted: &str) {
    let path = root().join(page);
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).unwrap_or_else(|| panic!("{page} lacks {BEGIN}"));
    let (have, tail) = rest.split_once(END).unwrap_or_else(|| panic!("{page} lacks {END}"));
    if std::env::var_os("SKEP_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}")).unwrap();
        return;
    }
    assert_eq!(have, wanted, "{page} is out of step: SKEP_BLESS=1 cargo test --test docs");
}

#[test]
fn events_page_has_every_reason() {
    let mut table = String::from("| reason | meaning |\n|---|---|\n");
    for reason in Reason::ALL {
        writeln!(table, "| `{}` | {} |", reason.as_str(), reason.doc()).unwrap();
    }
    check_generated("docs/events.md", &table);
}

#[test]
fn spec_page_has_every_key() {
    let schema = json_schema();
    let mut text = String::new();
    section(&mut text, "spec", &schema);
    for (name, table) in schema["$defs"].as_object().unwrap() {
        section(&mut text, name, table);
    }
    check_generated("docs/spec.md", &text);
}

fn section(text: &mut String, name: &str, table: &Value) {
    let doc = table["description"].as_str().unwrap();
    writeln!(text, "### {name}\n\n{doc}.\n\n| key | value | meaning |\n|---|---|---|").unwrap();
    for (key, value) in table["properties"].as_object().unwrap() {
        let doc = value["description"].as_str().unwrap().replace('|', "\\|");
        writeln!(text, "| `{key}` | {} | {doc} |", shape(value)).unwrap();
    }
    text.push('\n');
}

/// A schema in words.
fn shape(value: &Value) -> String {
    if let Some(reference) = value["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return format!("[{name}](#{name})");
    }
    if let Some(choice) = value["enum"].as_array().or(value["anyOf"].as_array()).or(value["oneOf"].as_array())
    {
        // That a variable may stand for it is said once, on top.
        let plain = choice.iter().filter(|one| one.get("pattern").is_none());
        let words: Vec<String> =
            plain.map(|one| one.as_str().map_or_else(|| shape(one), |s| format!("`{s}`"))).collect();
        return words.join(" or ");
    }
    if let Some(only) = value.get("const") {
        return format!("`{only}`");
    }
    match &value["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", shape(&value["items"])),
        Value::String(kind) if kind == "object" => {
            let values = value["patternProperties"].as_object().and_then(|map| map.values().next());
            let values = values.or_else(|| value.get("additionalProperties").filter(|v| v.is_object()));
            values.map_or_else(|| "table".into(), |values| format!("table of {}", shape(values)))
        }
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "any".into(),
    }
}

fn toml_files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => toml_files(&path, into),
            false if path.extension().is_some_and(|end| end == "toml") => into.push(path),
            false => {}
        }
    }
}

#[test]
fn the_examples_of_specs_are_valid() {
    for dir in ["specs", "examples/data/specs"] {
        let dir = root().join(dir);
        let mut paths = Vec::new();
        toml_files(&dir, &mut paths);
        assert!(!paths.is_empty(), "{} has specs", dir.display());
        let schema = json_schema();
        let mut files = SpecFiles::default();
        for path in paths {
            let text = std::fs::read_to_string(&path).unwrap();
            let value: Value = toml::from_str(&text).unwrap();
            check_keys(&schema, &schema, &value, &path.display().to_string());
            let name = path.strip_prefix(&dir).unwrap().display().to_string();
            files.files.insert(name, text);
        }
        let loaded = load(&files);
        assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    }
}

/// Every key of a table is one that the schema has there. Values are the reader's to check.
fn check_keys(root: &Value, schema: &Value, value: &Value, at: &str) {
    let Value::Object(map) = value else { return };
    // How the toml crate hands a date over.
    if map.keys().any(|key| key.starts_with("$__toml")) {
        return;
    }
    let tables = tables(root, schema);
    for (key, inner) in map {
        let found: Vec<&Value> = tables.iter().filter_map(|table| property(table, key)).collect();
        assert!(!found.is_empty(), "{at}.{key} is not in the schema");
        for schema in found {
            check_keys(root, schema, inner, &format!("{at}.{key}"));
        }
    }
}

/// The tables that a schema allows in its place.
fn tables<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        return tables(root, root.pointer(reference.trim_start_matches('#')).unwrap());
    }
    match schema["anyOf"].as_array().or(schema["oneOf"].as_array()) {
        Some(choice) => choice.iter().flat_map(|one| tables(root, one)).collect(),
        None => vec![schema],
    }
}

fn property<'a>(table: &'a Value, key: &str) -> Option<&'a Value> {
    let named = table["properties"].get(key);
    let patterns = table["patternProperties"].as_object().and_then(|map| map.values().next());
    named.or(patterns).or_else(|| table.get("additionalProperties").filter(|free| free.is_object()))
}
