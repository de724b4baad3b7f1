//! JSON Schema of a spec file, for editors, written from the reader's own table of keys.

use serde_json::{Map, Value, json};

use super::keys::{ALL, Keys, SPEC, Shape};

#[cfg(test)]
mod tests;

/// JSON Schema (2020-12) of a spec file or template. It says what a schema can say: names
/// and types; `skep lint` knows the rest. Nothing is required, since a template may give what
/// a customer's file leaves out, and the other way round.
pub fn json_schema() -> Value {
    let mut schema = table(&SPEC);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "skep spec",
    });
    let mut out = head.as_object().cloned().unwrap_or_default();
    out.append(&mut schema);
    let defs: Map<String, Value> = ALL
        .iter()
        .filter(|keys| keys.id != SPEC.id)
        .map(|keys| (keys.id.to_owned(), Value::Object(table(keys))))
        .collect();
    out.insert("$defs".into(), Value::Object(defs));
    Value::Object(out)
}

fn table(keys: &Keys) -> Map<String, Value> {
    let mut properties = Map::new();
    for key in keys.known {
        let mut property = shape(&key.shape);
        // Beside a `$ref` this is the description of the key, not of the type.
        property.insert("description".into(), key.doc.into());
        properties.insert(key.name.to_owned(), Value::Object(property));
    }
    object(json!({
        "type": "object",
        "description": keys.doc,
        "properties": properties,
        "additionalProperties": false,
    }))
}

fn shape(shape: &Shape) -> Map<String, Value> {
    object(match shape {
        Shape::Text => json!({ "type": "string" }),
        Shape::Boolean => or_variable(json!({ "type": "boolean" })),
        Shape::False => json!({ "const": false }),
        Shape::Integer { min, max } if *max >= i64::MAX as u64 => {
            or_variable(json!({ "type": "integer", "minimum": min }))
        }
        Shape::Integer { min, max } => {
            or_variable(json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        Shape::Number => json!({ "type": "number", "minimum": 0 }),
        Shape::Scalar => json!({ "type": ["string", "number", "boolean"] }),
        // Checkers hand a TOML date over as a string.
        Shape::Datetime => json!({ "type": "string" }),
        Shape::Choice(words) => or_variable(json!({ "enum": words })),
        Shape::List(item) => json!({ "type": "array", "items": self::shape(item) }),
        Shape::Table(keys) => json!({ "$ref": format!("#/$defs/{}", keys.id) }),
        Shape::Map { pattern: None, value } => {
            json!({ "type": "object", "additionalProperties": self::shape(value) })
        }
        Shape::Map { pattern: Some(pattern), value } => json!({
            "type": "object",
            "patternProperties": { *pattern: self::shape(value) },
            "additionalProperties": false,
        }),
        Shape::Any(shapes) => {
            json!({ "anyOf": shapes.iter().map(self::shape).collect::<Vec<_>>() })
        }
    })
}

/// A variable may stand for the word, the number or the switch.
fn or_variable(value: Value) -> Value {
    json!({ "anyOf": [value, { "type": "string", "pattern": "\\$\\{" }] })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
