//! What two transcripts differ in.

use std::fmt;

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

/// Entries shown beyond the first: what follows from a difference differs too.
const ENTRIES_MAX: usize = 3;
const FIELDS_MAX: usize = 12;

/// The first entries with differences that no exception explains, after all that led to them.
pub fn explain(name: &str, real: &[Entry], sim: &[Entry], exceptions: &Exceptions) -> Option<String> {
    let mut out = format!("sequence {name}:\n");
    let mut entries = 0;
    for (at, entry) in real.iter().enumerate() {
        let mut found = sim.get(at).map_or_else(|| vec![missing(entry)], |sim| differences(entry, sim));
        found.retain(|one| !exceptions.explain(one));
        out += &format!("  {} -> {}\n", entry.shown, entry.status);
        found.iter().take(FIELDS_MAX).for_each(|one| out += &one.to_string());
        entries += usize::from(!found.is_empty());
        if entries == ENTRIES_MAX {
            break;
        }
    }
    (entries > 0).then_some(out)
}

fn missing(entry: &Entry) -> Difference {
    Difference { call: entry.call.clone(), field: String::new(), real: Some(entry.as_json()), sim: None }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<Value>| value.as_ref().map_or("(absent)".to_owned(), Value::to_string);
        let (real, sim) = (text(&self.real), text(&self.sim));
        writeln!(f, "    DIFFERS at {}\n      real: {real}\n      sim:  {sim}", self.field)
    }
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
