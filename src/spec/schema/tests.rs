use super::*;
use crate::spec::keys::Key;
use crate::spec::parse::load;
use crate::spec::parse::tests::{FULL, files};

/// The part of JSON Schema that our schema uses; what it does not know is a test failure.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let rules = schema.as_object().unwrap();
    rules.iter().all(|(rule, with)| match rule.as_str() {
        "$schema" | "title" | "description" | "$defs" => true,
        "$ref" => {
            let id = with.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
            fits(root, &root["$defs"][id], value)
        }
        "type" => match with {
            Value::Array(types) => types.iter().any(|t| is_type(t.as_str().unwrap(), value)),
            one => is_type(one.as_str().unwrap(), value),
        },
        "const" => with == value,
        "enum" => with.as_array().unwrap().contains(value),
        "anyOf" => with.as_array().unwrap().iter().any(|schema| fits(root, schema, value)),
        "minimum" => value.as_f64().is_none_or(|n| n >= with.as_f64().unwrap()),
        "maximum" => value.as_f64().is_none_or(|n| n <= with.as_f64().unwrap()),
        "items" => value.as_array().is_none_or(|items| items.iter().all(|item| fits(root, with, item))),
        // Patterns of strings say only that a variable stands there.
        "pattern" => value.as_str().is_none_or(|text| text.contains("${")),
        // Keys are checked by the reader's own tests.
        "patternProperties" => {
            let schema = with.as_object().unwrap().values().next().unwrap();
            value.as_object().is_none_or(|map| map.values().all(|value| fits(root, schema, value)))
        }
        "properties" => value.as_object().is_none_or(|map| {
            map.iter().all(|(key, value)| with.get(key).is_none_or(|schema| fits(root, schema, value)))
        }),
        "additionalProperties" => value.as_object().is_none_or(|map| match with {
            Value::Bool(false) => {
                rules.contains_key("patternProperties")
                    || map.keys().all(|key| rules["properties"].get(key).is_some())
            }
            schema => map.values().all(|value| fits(root, schema, value)),
        }),
        other => panic!("the test does not know `{other}`"),
    })
}

fn is_type(name: &str, value: &Value) -> bool {
    match name {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the test does not know the type `{other}`"),
    }
}

fn to_json(text: &str) -> Value {
    fn convert(value: toml::Value) -> Value {
        match value {
            toml::Value::String(text) => text.into(),
            toml::Value::Integer(n) => n.into(),
            toml::Value::Float(n) => n.into(),
            toml::Value::Boolean(b) => b.into(),
            toml::Value::Datetime(time) => time.to_string().into(),
            toml::Value::Array(items) => items.into_iter().map(convert).collect(),
            toml::Value::Table(table) => {
                Value::Object(table.into_iter().map(|(key, value)| (key, convert(value))).collect())
            }
        }
    }
    convert(toml::Value::Table(text.parse().unwrap()))
}

fn valid(schema: &Value, text: &str) -> bool {
    fits(schema, schema, &to_json(text))
}

#[test]
fn every_key_has_its_description_and_no_other_is_allowed() {
    let schema = json_schema();
    for keys in ALL {
        let table = if keys.id == SPEC.id { &schema } else { &schema["$defs"][keys.id] };
        assert_eq!(table["additionalProperties"], false, "{}", keys.id);
        let names: Vec<_> = table["properties"].as_object().unwrap().keys().cloned().collect();
        assert_eq!(names, keys.known.iter().map(|key| key.name).collect::<Vec<_>>());
        for Key { name, doc, .. } in keys.known {
            assert!(doc.len() > 8 && table["properties"][name]["description"] == *doc, "{}.{name}", keys.id);
        }
        for name in keys.not_yet.iter().chain(keys.refused.iter().map(|(name, _)| name)) {
            assert!(!names.iter().any(|known| known == name), "{}.{name}", keys.id);
        }
    }
}

/// Reader and schema agree on the full example and on it with each of its keys misspelt or
/// its values replaced: what the schema refuses, the reader refuses.
#[test]
fn what_the_schema_refuses_the_reader_refuses() {
    let schema = json_schema();
    assert!(valid(&schema, FULL));
    let is_valid = |text: &str| {
        let loaded = load(&files(&[("acme.toml", text), ("templates/base.toml", "")]));
        loaded.customers.contains_key("acme")
    };
    assert!(is_valid(FULL));
    let lines: Vec<&str> = FULL.lines().collect();
    let mut refused = 0;
    for (i, line) in lines.iter().enumerate() {
        let Some((key, value)) = line.split_once(" = ") else { continue };
        let values =
            ["5", "-5", "1.5", "true", "'x'", "[]", "['x']", "[5]", "{}", "{ x = 1 }", "{ x = 'y' }"];
        let changed = values
            .iter()
            .map(|value| format!("{key} = {value}"))
            .chain([format!("{key}x = {value}"), format!("x{key} = {value}")]);
        for changed in changed {
            let mut text = lines.clone();
            text[i] = &changed;
            let text = text.join("\n");
            if !valid(&schema, &text) {
                refused += 1;
                assert!(!is_valid(&text), "the reader takes `{changed}` for `{line}`");
            }
        }
    }
    assert!(refused > 300, "{refused}");
}

/// The other way round for the spellings that a value may have.
#[test]
fn what_the_reader_takes_the_schema_takes() {
    let schema = json_schema();
    for keys in [
        "version = '*'\nenvironment = ['A=b']\nlabels = { a = 1, b = 1.5, c = true }\nnetworks = ['n']",
        "suspend = { reason = 'x', until = '2026-12-01T08:00:00Z' }\ncommand = []\nentrypoint = 'x y'",
        "version = { prerelease = true, exclude = [] }\nports = [80, '80-90', { target = 5, published = '6' }]",
        "healthcheck = { test = 'x' }\ndeploy = { labels = { a = 'b' }, resources.limits = { cpus = 1, memory = 4194304 } }",
        "healthcheck = { disable = true }\ndeploy = { mode = '${customer}', rollback_config.max_failure_ratio = 1 }",
        "networks = { n = { aliases = ['x'] } }\ndeploy.placement.preferences = []",
    ] {
        let text = format!(
            "vars = {{ a = 1, b = true, c = '' }}\nsuspend = 'x'\nnetworks.n = {{ external = true }}\n[services.web]\nimage = 'app'\n{keys}\n"
        );
        assert!(valid(&schema, &text), "{keys}");
        // The customer's name is a mode here, to have a variable where a word stands.
        let loaded = load(&files(&[("global.toml", &text)]));
        assert!(loaded.customers.contains_key("global"), "{keys}: {:?}", loaded.diagnostics);
    }
}
