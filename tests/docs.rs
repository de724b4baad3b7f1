//! What is written for people is kept in step with the code: the fleet in `specs/`, and the
//! references of events and spec keys. `SKEP_BLESS=1 cargo test --test docs` writes the
//! generated parts of the references anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use serde_json::Value;
use skep::cli::Cli;
use skep::config::{Config, Flags, Sources};
use skep::events::Reason;
use skep::spec::parse::{SpecFiles, load};
use skep::spec::schema::{json_schema, json_schema_of_fleet};

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

#[test]
fn fleet_page_has_every_key() {
    let schema = json_schema_of_fleet();
    let mut text = String::new();
    section(&mut text, "fleet", &schema);
    for (name, table) in schema["$defs"].as_object().unwrap() {
        section(&mut text, name, table);
    }
    check_generated("docs/fleet.md", &text);
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
    let (schema, of_fleet) = (json_schema(), json_schema_of_fleet());
    for dir in ["specs", "examples/data/specs", "tests/equal"] {
        let dir = root().join(dir);
        let mut paths = Vec::new();
        toml_files(&dir, &mut paths);
        assert!(!paths.is_empty(), "{} has specs", dir.display());
        let mut files = SpecFiles::default();
        for path in paths {
            let text = std::fs::read_to_string(&path).unwrap();
            let value: Value = toml::from_str(&text).unwrap();
            let name = path.strip_prefix(&dir).unwrap().display().to_string();
            let schema = if name == "fleet.toml" { &of_fleet } else { &schema };
            assert_eq!(fault(schema, schema, &value), None, "{}", path.display());
            files.files.insert(name, text);
        }
        let loaded = load(&files);
        assert!(loaded.diagnostics.is_empty(), "{:#?}", loaded.diagnostics);
    }
}

/// The blocks of a language in all pages, each with its page.
fn blocks(language: &str) -> Vec<(String, String)> {
    let mut pages = vec![root().join("README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "md") {
                pages.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let begin = format!("```{language}\n");
        let blocks = text.split(&begin).skip(1).map(|rest| rest.split("```\n").next().unwrap().to_owned());
        found.extend(blocks.map(|block| (page.display().to_string(), block)));
    }
    found
}

/// What CI jobs in the pages call is there, with the arguments that they give.
#[test]
fn jobs_in_the_pages_can_be_read_and_call_what_there_is() {
    let mut called = BTreeSet::new();
    for (page, block) in blocks("yaml") {
        let job: Value = serde_saphyr::from_str(&block).unwrap_or_else(|error| panic!("{page}: {error}"));
        for line in scalars(&job).iter().flat_map(|text| text.lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if words.first() != Some(&"skep") || words.len() == 1 {
                continue;
            }
            let end = words.iter().position(|word| matches!(*word, "||" | "&&" | ">" | "|"));
            let parsed = Cli::try_parse_from(&words[..end.unwrap_or(words.len())]);
            assert!(parsed.is_ok(), "{page}: `{line}`: {}", parsed.unwrap_err());
            called.insert((page.rsplit('/').next().unwrap().to_owned(), words[1].to_owned()));
        }
    }
    for page in ["github.md", "gitlab.md"] {
        for command in ["lint", "plan", "audit"] {
            assert!(
                called.contains(&(page.to_owned(), command.to_owned())),
                "{page} has no `skep {command}`"
            );
        }
    }
}

fn scalars(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().flat_map(scalars).collect(),
        Value::Object(map) => map.values().flat_map(scalars).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn configurations_in_the_pages_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    let configs: Vec<_> =
        blocks("toml").into_iter().filter(|(_, block)| block.contains("[source.git]")).collect();
    assert!(configs.len() >= 5, "{}", configs.len());
    for (page, block) in configs {
        let file = dir.path().join("skep.toml");
        std::fs::write(&file, block).unwrap();
        let loaded = Config::load(&Sources::new(Some(file), [], Flags::default()));
        assert!(loaded.unwrap_or_else(|error| panic!("{page}: {error}")).git.is_some(), "{page}");
    }
}

/// The schema takes what uses every key, and refuses what is wrong in one.
#[test]
fn the_schema_tells_good_from_bad() {
    let path = root().join("src/spec/parse/testdata/full.toml");
    let schema = json_schema();
    let full: Value = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(fault(&schema, &schema, &full), None);
    for (bad, at) in [
        ("imge = 'x'", ".imge: no such key"),
        ("[services.web]\nimage = 1", ".services.web"),
        ("[services.web]\nimage = 'x'\nports = [0]", ".services.web"),
        ("[services.web.deploy]\nmode = 'globl'", ".services.web"),
        ("[vars.x]\ntype = 'text'", ".vars.x"),
        ("suspend = { reasn = 'x' }", ".suspend"),
        ("services = []", ".services: not of type"),
    ] {
        let value: Value = toml::from_str(bad).unwrap();
        let found = fault(&schema, &schema, &value).unwrap_or_else(|| panic!("{bad} is taken"));
        assert!(found.starts_with(at), "{bad}: {found}");
    }
    let fleet = json_schema_of_fleet();
    let value: Value = toml::from_str("forbid.host_binds = 'yes'").unwrap();
    assert!(fault(&fleet, &fleet, &value).unwrap().starts_with(".forbid.host_binds"));
}

/// What a value has against a schema, as far as our schemas go; `None`: nothing.
fn fault(root: &Value, schema: &Value, value: &Value) -> Option<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return fault(root, root.pointer(reference.trim_start_matches('#')).unwrap(), value);
    }
    if let Some(choice) = schema["anyOf"].as_array() {
        let faults: Vec<String> = choice.iter().map_while(|one| fault(root, one, value)).collect();
        return (faults.len() == choice.len()).then(|| format!(": none of [{}]", faults.join(" | ")));
    }
    let known =
        ["type", "enum", "const", "pattern", "minimum", "maximum", "items", "properties", "description"];
    let more = ["patternProperties", "additionalProperties", "$schema", "title", "$defs"];
    let strange =
        schema.as_object().unwrap().keys().find(|key| !known.contains(&&***key) && !more.contains(&&***key));
    assert_eq!(strange, None, "this checker does not know it");
    let number = value.as_f64();
    let out = |bound: &str, wrong: fn(f64, f64) -> bool| {
        number.zip(schema[bound].as_f64()).is_some_and(|(number, bound)| wrong(number, bound))
    };
    let refused = schema["enum"].as_array().is_some_and(|words| !words.contains(value))
        || schema.get("const").is_some_and(|only| only != value)
        || schema.get("pattern").is_some_and(|pattern| {
            assert_eq!(pattern, "\\$\\{");
            value.as_str().is_some_and(|text| !text.contains("${"))
        })
        || out("minimum", |number, bound| number < bound)
        || out("maximum", |number, bound| number > bound);
    if refused {
        return Some(format!(": {value} is refused"));
    }
    if !is_of_type(&schema["type"], value) {
        return Some(format!(": not of type {}", schema["type"]));
    }
    match value {
        Value::Array(list) if schema["items"].is_object() => {
            let mut faults =
                list.iter().enumerate().map(|(i, one)| Some((i, fault(root, &schema["items"], one)?)));
            faults.find_map(|found| found).map(|(i, why)| format!("[{i}]{why}"))
        }
        Value::Object(map) if !is_datetime(value) => map.iter().find_map(|(key, value)| {
            let Some(inner) = property(schema, key) else { return Some(format!(".{key}: no such key")) };
            fault(root, inner, value).map(|why| format!(".{key}{why}"))
        }),
        _ => None,
    }
}

/// How the toml crate hands a date over; editors see a string.
fn is_datetime(value: &Value) -> bool {
    value.as_object().is_some_and(|map| map.keys().any(|key| key.starts_with("$__toml")))
}

fn is_of_type(kinds: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "string" => value.is_string() || is_datetime(value),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object() && !is_datetime(value),
        other => panic!("{other}"),
    };
    match kinds {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    }
}

fn property<'a>(table: &'a Value, key: &str) -> Option<&'a Value> {
    let named = table["properties"].get(key);
    let patterns = table["patternProperties"].as_object().and_then(|map| map.values().next());
    named.or(patterns).or_else(|| table.get("additionalProperties").filter(|free| free.is_object()))
}
