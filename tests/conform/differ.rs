//! What two transcripts differ in.

use serde_json::Value;

use crate::exceptions::Exceptions;
use crate::play::Entry;

/// One value that differs.
#[derive(Clone, Debug)]
pub struct Difference {
    /// `POST /services/create`, as the sequence has it.
    pub call: String,
    /// Where: `/status`, `/headers/…`, `/body/Spec/Name`.
    pub field: String,
    /// `None`: not there.
    pub real: Option<Value>,
    pub sim: Option<Value>,
}

/// The first entry with differences that no exception explains, as text.
pub fn first(name: &str, real: &[Entry], sim: &[Entry], exceptions: &Exceptions) -> Option<String> {
    for (at, real_entry) in real.iter().enumerate() {
        let found = match sim.get(at) {
            Some(sim_entry) => differences(real_entry, sim_entry),
            None => vec![Difference {
                call: real_entry.call.clone(),
                field: String::new(),
                real: Some(real_entry.as_json()),
                sim: None,
            }],
        };
        let found: Vec<Difference> = found.into_iter().filter(|one| !exceptions.explain(one)).collect();
        if !found.is_empty() {
            return Some(explain(name, &real[..=at], &found));
        }
    }
    None
}

fn explain(name: &str, so_far: &[Entry], found: &[Difference]) -> String {
    let mut out = format!("sequence {name}:\n");
    for entry in so_far {
        out += &format!("  {} -> {}\n", entry.shown, entry.status);
    }
    for difference in found.iter().take(12) {
        let text = |value: &Option<Value>| value.as_ref().map_or("(absent)".to_owned(), Value::to_string);
        out += &format!(
            "  DIFFERS at {}\n    real: {}\n    sim:  {}\n",
            difference.field,
            text(&difference.real),
            text(&difference.sim)
        );
    }
    out
}

fn differences(real: &Entry, sim: &Entry) -> Vec<Difference> {
    let mut found = Vec::new();
    let (call, real, sim) = (real.call.as_str(), real.as_json(), sim.as_json());
    compare(call, "", Some(&real), Some(&sim), &mut found);
    found
}

fn compare(call: &str, field: &str, real: Option<&Value>, sim: Option<&Value>, found: &mut Vec<Difference>) {
    match (real, sim) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                compare(call, &format!("{field}/{key}"), a.get(key), b.get(key), found);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for at in 0..a.len().max(b.len()) {
                compare(call, &format!("{field}/{at}"), a.get(at), b.get(at), found);
            }
        }
        (a, b) if a == b => {}
        (a, b) => {
            let (real, sim) = (a.cloned(), b.cloned());
            found.push(Difference { call: call.to_owned(), field: field.to_owned(), real, sim });
        }
    }
}
