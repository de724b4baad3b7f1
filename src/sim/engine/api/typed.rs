//! Reads JSON as the engine's Go structures do, and writes it as they do: unknown fields are
//! dropped, names are matched in any case, null is zero, zero values are left out or filled in.

use serde_json::{Map, Number, Value};

/// The type of a field.
#[derive(Clone, Copy)]
pub enum Type {
    Text,
    /// In base64; whether it is that is not looked at here.
    Bytes,
    Bool,
    /// Integers and floats, with the name of the Go type for messages.
    Int(&'static str),
    Uint(&'static str, u64),
    Float,
    Texts,
    TextMap,
    Struct(&'static Struct),
    List(&'static Struct),
}

pub const INT64: Type = Type::Int("int64");
pub const UINT64: Type = Type::Uint("uint64", u64::MAX);
pub const UINT32: Type = Type::Uint("uint32", u32::MAX as u64);
/// Nanoseconds.
pub const DURATION: Type = Type::Int("time.Duration");

/// A Go structure, with its fields in order.
pub struct Struct {
    pub name: &'static str,
    pub fields: &'static [Field],
}

/// When a field is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Unless it is zero or empty.
    NotEmpty,
    /// Always: its zero value if it was not given.
    Always,
    /// If it was given, even as zero (a pointer).
    Given,
    /// As null if it was not given.
    OrNull,
}

pub struct Field {
    pub name: &'static str,
    pub kind: Type,
    pub keep: Keep,
}

pub const fn opt(name: &'static str, kind: Type) -> Field {
    Field { name, kind, keep: Keep::NotEmpty }
}

pub const fn always(name: &'static str, kind: Type) -> Field {
    Field { name, kind, keep: Keep::Always }
}

pub const fn given(name: &'static str, kind: Type) -> Field {
    Field { name, kind, keep: Keep::Given }
}

pub const fn or_null(name: &'static str, kind: Type) -> Field {
    Field { name, kind, keep: Keep::OrNull }
}

/// Where a value stands, for messages.
struct Place<'a> {
    /// The structure that has the field; empty at the top.
    owner: &'a str,
    /// From the top.
    path: String,
}

impl Place<'_> {
    fn refuse(&self, found: &Value, wanted: &str) -> String {
        // Numbers that do not fit are shown, those of the wrong kind are not.
        let found = match found {
            Value::Number(number) if wanted.starts_with(['i', 'u']) || wanted == "time.Duration" => {
                format!("number {number}")
            }
            other => kind_of(other).to_owned(),
        };
        if self.owner.is_empty() {
            format!("json: cannot unmarshal {found} into Go value of type {wanted}")
        } else {
            format!(
                "json: cannot unmarshal {found} into Go struct field {}.{} of type {wanted}",
                self.owner, self.path
            )
        }
    }
}

/// As Go names it.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Reads a whole body as this structure.
///
/// # Errors
/// The engine's message for what does not fit.
pub fn read(value: &Value, shape: &Struct, package: &str) -> Result<Map<String, Value>, String> {
    match value {
        Value::Null => read_struct(&Map::new(), shape, ""),
        Value::Object(map) => read_struct(map, shape, ""),
        other => {
            Err(Place { owner: "", path: String::new() }.refuse(other, &format!("{package}.{}", shape.name)))
        }
    }
}

fn read_struct(given: &Map<String, Value>, shape: &Struct, path: &str) -> Result<Map<String, Value>, String> {
    let mut out = Map::new();
    for field in shape.fields {
        // The last of several spellings counts.
        let found = given.iter().rfind(|(key, _)| key.eq_ignore_ascii_case(field.name));
        let value = found.map(|(_, value)| value).filter(|value| !value.is_null());
        let path = if path.is_empty() { field.name.to_owned() } else { format!("{path}.{}", field.name) };
        let place = Place { owner: shape.name, path };
        let read = value.map(|value| read_value(value, field.kind, &place)).transpose()?;
        let kept = match (field.keep, read) {
            (Keep::NotEmpty, read) => read.filter(|value| !is_empty(value)),
            (Keep::Given, read) => read,
            (Keep::OrNull, read) => Some(read.unwrap_or(Value::Null)),
            (Keep::Always, Some(read)) => Some(read),
            (Keep::Always, None) => Some(zero(field.kind, &place)?),
        };
        if let Some(value) = kept {
            out.insert(field.name.to_owned(), value);
        }
    }
    Ok(out)
}

fn read_value(value: &Value, kind: Type, place: &Place<'_>) -> Result<Value, String> {
    match (kind, value) {
        (Type::Text | Type::Bytes, Value::String(_)) | (Type::Bool, Value::Bool(_)) => Ok(value.clone()),
        (Type::Text, other) => Err(place.refuse(other, "string")),
        (Type::Bytes, other) => Err(place.refuse(other, "[]uint8")),
        (Type::Bool, other) => Err(place.refuse(other, "bool")),
        (Type::Int(_), Value::Number(number)) if number.is_i64() => Ok(value.clone()),
        (Type::Int(name), other) => Err(place.refuse(other, name)),
        (Type::Uint(_, max), Value::Number(number)) if number.as_u64().is_some_and(|n| n <= max) => {
            Ok(value.clone())
        }
        (Type::Uint(name, _), other) => Err(place.refuse(other, name)),
        (Type::Float, Value::Number(number)) => Ok(short_float(number)),
        (Type::Float, other) => Err(place.refuse(other, "float32")),
        (Type::Texts, Value::Array(items)) => {
            items.iter().map(|item| read_text(item, place)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        (Type::Texts, other) => Err(place.refuse(other, "[]string")),
        (Type::TextMap, Value::Object(map)) => map
            .iter()
            .map(|(key, value)| Ok((key.clone(), read_text(value, place)?)))
            .collect::<Result<Map<_, _>, String>>()
            .map(|map| Value::Object(sorted(map))),
        (Type::TextMap, other) => Err(place.refuse(other, "map[string]string")),
        (Type::Struct(shape), Value::Object(map)) => read_struct(map, shape, &place.path).map(Value::Object),
        (Type::Struct(shape), other) => Err(place.refuse(other, &format!("swarm.{}", shape.name))),
        (Type::List(shape), Value::Array(items)) => items
            .iter()
            .map(|item| match item {
                Value::Object(map) => read_struct(map, shape, &place.path).map(Value::Object),
                Value::Null => read_struct(&Map::new(), shape, &place.path).map(Value::Object),
                other => Err(place.refuse(other, &format!("swarm.{}", shape.name))),
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Value::Array),
        (Type::List(shape), other) => Err(place.refuse(other, &format!("[]swarm.{}", shape.name))),
    }
}

fn read_text(value: &Value, place: &Place<'_>) -> Result<Value, String> {
    match value {
        Value::String(_) => Ok(value.clone()),
        Value::Null => Ok(Value::String(String::new())),
        other => Err(place.refuse(other, "string")),
    }
}

/// Go writes maps in the order of their keys.
fn sorted(map: Map<String, Value>) -> Map<String, Value> {
    let mut pairs: Vec<_> = map.into_iter().collect();
    pairs.sort_by(|a, b| a.0.cmp(&b.0));
    pairs.into_iter().collect()
}

/// A float without a fraction is written as an integer; 32 bits are kept.
fn short_float(number: &Number) -> Value {
    let float = number.as_f64().unwrap_or_default();
    if float.fract() == 0.0 && float.abs() < 1e15 {
        let text = format!("{float:.0}");
        return text.parse::<i64>().map_or(Value::Null, Value::from);
    }
    Value::Number(number.clone())
}

fn zero(kind: Type, place: &Place<'_>) -> Result<Value, String> {
    Ok(match kind {
        Type::Text | Type::Bytes => Value::String(String::new()),
        Type::Bool => Value::Bool(false),
        Type::Int(_) | Type::Uint(..) | Type::Float => Value::from(0),
        Type::Texts | Type::List(_) => Value::Null,
        Type::TextMap => Value::Object(Map::new()),
        Type::Struct(shape) => Value::Object(read_struct(&Map::new(), shape, &place.path)?),
    })
}

/// What `omitempty` leaves out.
pub fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(bool) => !bool,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    static INNER: Struct =
        Struct { name: "Inner", fields: &[always("Count", UINT64), given("Flag", Type::Bool)] };
    static OUTER: Struct = Struct {
        name: "Outer",
        fields: &[opt("Text", Type::Text), opt("Map", Type::TextMap), given("Inner", Type::Struct(&INNER))],
    };

    #[test]
    fn fields_are_matched_dropped_and_filled_in() {
        let given = json!({"inner": {"Other": 1, "flag": false}, "TEXT": "", "Map": {"b": "1", "a": null}});
        let read = Value::Object(read(&given, &OUTER, "swarm").unwrap());
        assert_eq!(read.to_string(), r#"{"Map":{"a":"","b":"1"},"Inner":{"Count":0,"Flag":false}}"#);
    }

    #[test]
    fn what_does_not_fit_is_named_by_structure_and_path() {
        let cases = [
            (json!([]), "json: cannot unmarshal array into Go value of type swarm.Outer"),
            (
                json!({"Text": 1}),
                "json: cannot unmarshal number into Go struct field Outer.Text of type string",
            ),
            (
                json!({"Inner": {"Count": -1}}),
                "json: cannot unmarshal number -1 into Go struct field Inner.Inner.Count of type uint64",
            ),
            (
                json!({"Inner": {"Count": "1"}}),
                "json: cannot unmarshal string into Go struct field Inner.Inner.Count of type uint64",
            ),
            (
                json!({"Map": {"a": 1}}),
                "json: cannot unmarshal number into Go struct field Outer.Map of type string",
            ),
        ];
        for (given, message) in cases {
            assert_eq!(read(&given, &OUTER, "swarm").unwrap_err(), message);
        }
    }
}
