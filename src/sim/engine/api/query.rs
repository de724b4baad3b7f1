//! Query parameters, filters and bodies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::answer::Refusal;
use crate::sim::handler::Request;

/// A request's query. The first value of a name counts.
pub struct Query(BTreeMap<String, String>);

impl Query {
    pub fn of(request: &Request) -> Self {
        let mut pairs = BTreeMap::new();
        for (key, value) in url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
        {
            pairs.entry(key.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(pairs)
    }

    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map(String::as_str).unwrap_or_default()
    }

    /// As the engine reads booleans: everything but a few words is true.
    pub fn flag(&self, name: &str) -> bool {
        !matches!(self.get(name).trim().to_ascii_lowercase().as_str(), "" | "0" | "no" | "false" | "none")
    }

    /// `filters`, with only these names.
    ///
    /// # Errors
    /// In the engine's words.
    pub fn filters(&self, accepted: &[&str]) -> Result<Filters, Refusal> {
        let filters = Filters::parse(self.get("filters"))?;
        match filters.0.keys().find(|name| !accepted.contains(&name.as_str())) {
            Some(name) => Err(Refusal::bad(format!("Invalid filter '{name}'"))),
            None => Ok(filters),
        }
    }

    /// `filters` with whatever names.
    ///
    /// # Errors
    /// In the engine's words.
    pub fn any_filters(&self) -> Result<Filters, Refusal> {
        Filters::parse(self.get("filters"))
    }

    /// `version`, an object's version index.
    ///
    /// # Errors
    /// In the engine's words.
    pub fn version(&self, kind: &str) -> Result<u64, Refusal> {
        let text = self.get("version");
        let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let why = match text.parse() {
            Ok(version) if all_digits => return Ok(version),
            _ if all_digits => "value out of range",
            _ => "invalid syntax",
        };
        let parsed = format!("strconv.ParseUint: parsing {text:?}: {why}");
        Err(Refusal::bad(format!("invalid {kind} version '{text}': {parsed}")))
    }
}

/// Names and the values of which one must fit.
#[derive(Debug, Default)]
pub struct Filters(BTreeMap<String, BTreeSet<String>>);

impl Filters {
    fn parse(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let value: Value =
            serde_json::from_str(text).map_err(|error| Refusal::bad(json_error(text, &error)))?;
        let mut filters = BTreeMap::new();
        let map = match value {
            Value::Object(map) => map,
            Value::Null => serde_json::Map::new(),
            _ => return Err(Refusal::bad(misfit(&value))),
        };
        for (name, value) in map {
            let values: BTreeSet<String> = match &value {
                // Two forms: a list, and a map to true.
                Value::Array(items) => {
                    let texts = items.iter().map(|item| item.as_str().map(str::to_owned));
                    texts.collect::<Option<_>>().ok_or_else(|| Refusal::bad(misfit(&value)))?
                }
                Value::Object(set) if set.values().all(Value::is_boolean) => set
                    .iter()
                    .filter(|(_, on)| **on == Value::Bool(true))
                    .map(|(key, _)| key.clone())
                    .collect(),
                _ => return Err(Refusal::bad(misfit(&value))),
            };
            filters.insert(name, values);
        }
        Ok(Self(filters))
    }

    /// The values of one name, none if it was not given.
    pub fn get(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.get(name).into_iter().flatten().map(String::as_str)
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).next().is_some()
    }

    /// Whether a value is equal to one of the name's, or none was given.
    pub fn exact(&self, name: &str, value: &str) -> bool {
        !self.has(name) || self.get(name).any(|wanted| wanted == value)
    }

    /// Whether a value begins as one of the name's, or none was given.
    pub fn prefix(&self, name: &str, value: &str) -> bool {
        !self.has(name) || self.get(name).any(|wanted| value.starts_with(wanted))
    }

    /// Whether a value holds one of the name's, or none was given.
    pub fn part(&self, name: &str, value: &str) -> bool {
        !self.has(name) || self.get(name).any(|wanted| value.contains(wanted))
    }

    /// Whether all of the name's `key` or `key=value` are among the labels.
    pub fn labels(&self, name: &str, labels: Option<&Value>) -> bool {
        self.get(name).all(|wanted| {
            let (key, value) = wanted.split_once('=').unwrap_or((wanted, ""));
            let found = labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
            found.is_some_and(|found| value.is_empty() || found == value)
        })
    }
}

fn misfit(value: &Value) -> String {
    let kind = match value {
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "bool",
        Value::Array(_) => "array",
        _ => "object",
    };
    format!("json: cannot unmarshal {kind} into Go value of type map[string]map[string]bool")
}

/// A JSON body.
///
/// # Errors
/// In the engine's words.
pub fn body(request: &Request) -> Result<Value, Refusal> {
    let bytes = request.body();
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Refusal::bad("got EOF while reading request body"));
    }
    let content_type = request.headers().get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !media.is_empty() && media != "application/json" {
        return Err(Refusal::bad(format!(
            "unsupported Content-Type header ({media}): must be 'application/json'"
        )));
    }
    // What follows the first value is not looked at.
    let first = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>().next();
    match first {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(Refusal::bad(json_error(&String::from_utf8_lossy(bytes), &error))),
        None => Err(Refusal::bad("got EOF while reading request body")),
    }
}

/// What Go's parser says of bad JSON, for the common cases.
fn json_error(text: &str, error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected EOF".to_owned();
    }
    let at = text.lines().nth(error.line().saturating_sub(1));
    let found = at.and_then(|line| line.chars().nth(error.column().saturating_sub(1)));
    let place = if text.trim_start().starts_with(['{', '[', '"']) {
        "after object key:value pair"
    } else {
        "looking for beginning of value"
    };
    found.map_or_else(|| error.to_string(), |found| format!("invalid character '{found}' {place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(text: &str) -> Result<Filters, String> {
        Filters::parse(text).map_err(|refusal| refusal.message)
    }

    #[test]
    fn filters_have_two_forms() {
        for text in [r#"{"name":["a","b"]}"#, r#"{"name":{"a":true,"b":true,"c":false}}"#] {
            let filters = filters(text).unwrap();
            assert_eq!(filters.get("name").collect::<Vec<_>>(), ["a", "b"]);
            assert!(filters.prefix("name", "abc") && !filters.exact("name", "abc"));
            assert!(filters.exact("other", "x"));
        }
        assert_eq!(filters("xx").unwrap_err(), "invalid character 'x' looking for beginning of value");
    }

    #[test]
    fn labels_are_matched_by_key_or_by_both() {
        let labels = serde_json::json!({"a": "1", "b": "2"});
        let fits = |text: &str| filters(text).unwrap().labels("label", Some(&labels));
        assert!(fits(r#"{"label":["a","b=2"]}"#) && fits("{}"));
        assert!(!fits(r#"{"label":["a=2"]}"#) && !fits(r#"{"label":["c"]}"#));
    }
}
