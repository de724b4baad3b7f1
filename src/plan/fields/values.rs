//! The canonical form of a value: two values that the engine treats alike are equal in it.

use serde_json::{Map, Value, json};

use super::references;
use super::table::{self, Form};

/// The value as skep compares it: lists that are sets are sorted, defaults of a port are
/// filled in, and whatever acts like an absent value is `Null`. A value of an unknown field
/// stays as it is.
pub fn canonical(name: &str, value: &Value) -> Value {
    match table::find(name) {
        Some((entry, _)) => of_form(entry.form, value),
        None => value.clone(),
    }
}

/// Whether the engine would make no difference between the two.
pub fn same(name: &str, observed: &Value, desired: &Value) -> bool {
    canonical(name, observed) == canonical(name, desired)
}

pub(super) fn of_form(form: Form, value: &Value) -> Value {
    match form {
        Form::Environment => environment(value),
        Form::Label => value.clone(),
        Form::Words | Form::Preferences => {
            list(value).map_or(Value::Null, |words| Value::from(words.to_vec()))
        }
        Form::Number { unset, .. } => number(value, unset),
        Form::Parallelism => number(value, &[1]),
        Form::Replicas if value.is_object() => value.clone(),
        Form::Replicas => number(value, &[1]),
        Form::Ratio => ratio(value),
        Form::Choice(default) => choice(value, default),
        Form::Mode => choice(value, "replicated"),
        Form::Networks => sorted(value, attachment),
        Form::Ports => sorted(value, port),
        Form::Constraints => constraints(value),
        Form::Text => value.as_str().filter(|text| !text.is_empty()).map_or(Value::Null, Value::from),
        Form::Flag(default) => {
            value.as_bool().filter(|flag| Some(*flag) != default).map_or(Value::Null, Value::from)
        }
        Form::Capabilities => sorted(value, Value::clone),
        Form::Credentials => Some(filled(value)).filter(|object| object != &json!({})).unwrap_or_default(),
        Form::Objects | Form::Mounts => sorted(value, filled),
        Form::References => sorted(value, references::canonical),
    }
}

/// What the engine does where nothing is set, if that is one known value.
pub(super) fn default_of(form: Form) -> Value {
    match form {
        // 0 as the only unset value means "no limit" or "the image's": better left blank.
        Form::Number { unset, .. } => match unset.last() {
            Some(&last) if last != 0 => Value::from(last),
            _ => Value::Null,
        },
        Form::Parallelism | Form::Replicas => json!(1),
        Form::Choice(default) => json!(default),
        Form::Mode => json!("replicated"),
        Form::Flag(Some(default)) => json!(default),
        _ => Value::Null,
    }
}

/// The elements of a list that is not empty.
fn list(value: &Value) -> Option<&[Value]> {
    value.as_array().map(Vec::as_slice).filter(|list| !list.is_empty())
}

/// A string is the variable's value, `false` a variable named without one, a list several
/// lines for one variable that do not agree.
fn environment(value: &Value) -> Value {
    match value {
        Value::String(_) | Value::Bool(false) => value.clone(),
        Value::Array(_) => list(value).map_or(Value::Null, |lines| Value::from(lines.to_vec())),
        _ => Value::Null,
    }
}

fn number(value: &Value, unset: &[u64]) -> Value {
    match whole(value) {
        Some(number) if unset.contains(&number) => Value::Null,
        Some(number) => Value::from(number),
        None if value.is_number() => value.clone(),
        None => Value::Null,
    }
}

/// A whole number that is not negative, also when it is written as `1.0`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
pub(super) fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| {
        let float = value.as_f64()?;
        (float.fract() == 0.0 && (0.0..9_007_199_254_740_992.0).contains(&float)).then_some(float as u64)
    })
}

/// The engine holds ratios in 32 bits and prints the shortest decimal that gives them back.
fn ratio(value: &Value) -> Value {
    match value.as_f64() {
        Some(share) if share != 0.0 => ratio_value(share),
        _ => Value::Null,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the engine rounds to 32 bits just so")]
pub(super) fn ratio_value(share: f64) -> Value {
    let short = (share as f32).to_string();
    let value = Value::from(short.parse::<f64>().unwrap_or(share));
    whole(&value).map_or(value, Value::from)
}

fn choice(value: &Value, default: &str) -> Value {
    match value.as_str() {
        None => Value::Null,
        Some(word) if word.is_empty() || word == default => Value::Null,
        Some(_) => value.clone(),
    }
}

/// A list that is a set: each element in canonical form, sorted by its text.
fn sorted(value: &Value, one: impl Fn(&Value) -> Value) -> Value {
    let Some(elements) = list(value) else { return Value::Null };
    let mut elements: Vec<Value> = elements.iter().map(one).collect();
    elements.sort_by_cached_key(Value::to_string);
    Value::from(elements)
}

/// An object without what says nothing: what is null, false, zero or empty.
pub(super) fn filled(value: &Value) -> Value {
    let Some(object) = value.as_object() else { return value.clone() };
    let mut kept: Vec<(&String, Value)> =
        object.iter().map(|(key, value)| (key, filled(value))).filter(|(_, value)| says(value)).collect();
    kept.sort_by_key(|(key, _)| *key);
    kept.into_iter().map(|(key, value)| (key.clone(), value)).collect::<Map<_, _>>().into()
}

pub(super) fn says(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Bool(true) => true,
    }
}

/// A network attachment without what no spec can say yet (`DriverOpts`).
pub(super) fn attachment(value: &Value) -> Value {
    let mut aliases: Vec<&str> =
        value.get("Aliases").and_then(list).unwrap_or_default().iter().filter_map(Value::as_str).collect();
    aliases.sort_unstable();
    aliases.dedup();
    json!({ "Target": text(value, "Target"), "Aliases": aliases })
}

/// A published port with the engine's defaults filled in.
pub(super) fn port(value: &Value) -> Value {
    let or = |key, default| Some(text(value, key)).filter(|word| !word.is_empty()).unwrap_or(default);
    let count = |key| value.get(key).and_then(whole).unwrap_or(0);
    let mut port = Map::new();
    port.insert("Protocol".into(), json!(or("Protocol", "tcp")));
    port.insert("TargetPort".into(), json!(count("TargetPort")));
    port.insert("PublishedPort".into(), json!(count("PublishedPort")));
    port.insert("PublishMode".into(), json!(or("PublishMode", "ingress")));
    Value::Object(port)
}

pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The engine ignores blanks around the operator, and neither order nor repetition counts.
fn constraints(value: &Value) -> Value {
    let Some(elements) = list(value) else { return Value::Null };
    let mut elements: Vec<String> = elements.iter().filter_map(Value::as_str).map(constraint).collect();
    elements.sort_unstable();
    elements.dedup();
    Value::from(elements)
}

fn constraint(text: &str) -> String {
    for operator in ["==", "!="] {
        if let Some((left, right)) = text.split_once(operator) {
            return format!("{}{operator}{}", left.trim(), right.trim());
        }
    }
    text.trim().to_owned()
}
