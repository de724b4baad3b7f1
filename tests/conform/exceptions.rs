//! Differences that are known and meant: `exceptions.toml`, each with its reason.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::differ::Difference;

pub struct Exceptions {
    all: Vec<Exception>,
}

struct Exception {
    call: String,
    field: String,
    but: Vec<String>,
    real: Option<String>,
    sim: Option<String>,
    reason: String,
    used: AtomicUsize,
}

impl Exceptions {
    /// # Panics
    /// When the file is not as its head says.
    pub fn read() -> Self {
        let table: toml::Table = include_str!("exceptions.toml").parse().expect("exceptions.toml is TOML");
        let entries = table.get("exception").and_then(toml::Value::as_array).cloned().unwrap_or_default();
        let all = entries.iter().map(|entry| {
            let text = |key: &str| entry.get(key).and_then(toml::Value::as_str).map(str::to_owned);
            let must =
                |key: &str| text(key).filter(|t| !t.is_empty()).unwrap_or_else(|| panic!("{key}: {entry}"));
            Exception {
                call: must("call"),
                field: must("field"),
                but: list(entry.get("but")),
                real: text("real"),
                sim: text("sim"),
                reason: must("reason"),
                used: AtomicUsize::new(0),
            }
        });
        Self { all: all.collect() }
    }

    /// Whether a difference is one of these.
    pub fn explain(&self, found: &Difference) -> bool {
        let value = |value: &Option<Value>| match value {
            None => "(absent)".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let fits = |pattern: &Option<String>, found: &Option<Value>| {
            pattern.as_ref().is_none_or(|pattern| glob(pattern, &value(found)))
        };
        let hit = self.all.iter().find(|one| {
            glob(&one.call, &found.call)
                && glob(&one.field, &found.field)
                && !one.but.iter().any(|but| glob(but, &found.field))
                && fits(&one.real, &found.real)
                && fits(&one.sim, &found.sim)
        });
        if let Some(hit) = hit {
            hit.used.fetch_add(1, Ordering::Relaxed);
        }
        hit.is_some()
    }

    /// Those that nothing needed.
    pub fn unused(&self) -> Vec<String> {
        let unused = self.all.iter().filter(|one| one.used.load(Ordering::Relaxed) == 0);
        unused.map(|one| format!("{} {} ({})", one.call, one.field, one.reason)).collect()
    }
}

fn list(value: Option<&toml::Value>) -> Vec<String> {
    let all = value.and_then(toml::Value::as_array).into_iter().flatten();
    all.filter_map(toml::Value::as_str).map(str::to_owned).collect()
}

/// `*` stands for anything, slashes too.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
