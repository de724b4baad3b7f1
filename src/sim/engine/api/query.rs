//! Query parameters, filters and bodies.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::answer::Refusal;
use super::{json_fault, typed};
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

    /// A boolean, read strictly.
    ///
    /// # Errors
    /// In the engine's words.
    pub fn bool(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            text => Err(Refusal::bad(format!(
                "invalid value for {name}: {text}: strconv.ParseBool: parsing {text:?}: invalid syntax"
            ))),
        }
    }

    /// `filters`, with only these names.
    ///
    /// # Errors
    /// In the engine's words.
    pub fn filters(&self, accepted: &[&str]) -> Result<Filters, Refusal> {
        let filters = self.any_filters()?;
        match filters.0.keys().find(|name| !accepted.contains(&name.as_str())) {
            Some(name) => Err(Refusal::bad(format!("Invalid filter '{name}'"))),
            None => Ok(filters),
        }
    }

    /// `filters` with whatever names.
    ///
    /// # Errors
    /// In the engine's words; what is no filter is the server's fault.
    pub fn any_filters(&self) -> Result<Filters, Refusal> {
        Filters::parse(self.get("filters")).map_err(Refusal::server)
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
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        if let Some(fault) = json_fault::whole(text) {
            return Err(fault);
        }
        let map = match serde_json::from_str(text).map_err(|error| error.to_string())? {
            Value::Object(map) => map,
            Value::Null => serde_json::Map::new(),
            other => return Err(misfit(&other, "map[string]map[string]bool")),
        };
        // One form has maps to flags, the older one has lists; the first one's faults are told.
        let old = map.values().all(|value| texts(value).is_some());
        let filters = map.iter().map(|(name, value)| {
            let values = if old { texts(value).unwrap_or_default() } else { flags(value)? };
            Ok((name.clone(), values))
        });
        filters.collect::<Result<_, String>>().map(Self)
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

/// A list of texts.
fn texts(value: &Value) -> Option<BTreeSet<String>> {
    value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The names in a map to flags, whatever these say.
fn flags(value: &Value) -> Result<BTreeSet<String>, String> {
    let map = match value {
        Value::Object(map) => map,
        Value::Null => return Ok(BTreeSet::new()),
        other => return Err(misfit(other, "map[string]bool")),
    };
    if let Some(other) = map.values().find(|value| !value.is_boolean()) {
        return Err(misfit(other, "bool"));
    }
    Ok(map.keys().cloned().collect())
}

fn misfit(value: &Value, wanted: &str) -> String {
    format!("json: cannot unmarshal {} into Go value of type {wanted}", typed::kind_of(value))
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
    let text = String::from_utf8_lossy(bytes);
    if let Some(fault) = json_fault::first(&text) {
        return Err(Refusal::bad(fault));
    }
    // What follows the first value is not looked at.
    let first = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>().next();
    match first {
        Some(Ok(value)) => Ok(value),
        Some(Err(error)) => Err(Refusal::bad(error.to_string())),
        None => Err(Refusal::bad("got EOF while reading request body")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(text: &str) -> Result<Filters, String> {
        Filters::parse(text)
    }

    #[test]
    fn filters_have_two_forms() {
        for text in [r#"{"name":["a","b"]}"#, r#"{"name":{"a":true,"b":false}}"#] {
            let filters = filters(text).unwrap();
            assert_eq!(filters.get("name").collect::<Vec<_>>(), ["a", "b"]);
            assert!(filters.prefix("name", "abc") && !filters.exact("name", "abc"));
            assert!(filters.exact("other", "x"));
        }
        let refused = [
            ("xx", "invalid character 'x' looking for beginning of value"),
            ("5", "json: cannot unmarshal number into Go value of type map[string]map[string]bool"),
            (r#"{"a":5}"#, "json: cannot unmarshal number into Go value of type map[string]bool"),
            (r#"{"a":[1]}"#, "json: cannot unmarshal array into Go value of type map[string]bool"),
            (r#"{"a":{"b":1}}"#, "json: cannot unmarshal number into Go value of type bool"),
        ];
        for (text, message) in refused {
            assert_eq!(filters(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn labels_are_matched_by_key_or_by_both() {
        let labels = serde_json::json!({"a": "1", "b": "2"});
        let fits = |text: &str| filters(text).unwrap().labels("label", Some(&labels));
        assert!(fits(r#"{"label":["a","b=2"]}"#) && fits("{}"));
        assert!(!fits(r#"{"label":["a=2"]}"#) && !fits(r#"{"label":["c"]}"#));
    }
}
