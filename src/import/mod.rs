//! A spec from a stack that runs, or from a compose file: what its services are, in the spec's words.
//!
//! A draft is written out and read back by the spec's own reader. What that refuses, and what would differ from the
//! services that run, is taken out and said in a comment, so that the spec changes nothing when it is applied.

mod blobs;
pub mod compose;
mod image;
pub mod live;
mod mount;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::image::{Digest, ImageRef, Repository};
use crate::spec::Customer;
use crate::spec::diagnostics::{Diagnostic, Severity};
use crate::spec::parse::{self, SpecFiles};

pub use image::answer_key;

/// A spec file and what it could not take along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    pub customer: String,
    /// TOML.
    pub spec: String,
    /// What could not be carried, or was carried in another way, and why; with the key it is about.
    pub notes: Vec<String>,
}

/// A spec in the making.
#[derive(Clone, Debug)]
pub struct Draft {
    customer: String,
    /// Where it comes from, for the first line.
    origin: String,
    root: Map<String, Value>,
    notes: Vec<Note>,
    /// By service key.
    images: BTreeMap<String, ImageRef>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    path: Vec<String>,
    message: String,
    /// Only how to go on; nothing was lost.
    hint: bool,
}

/// A key to take out of a draft, and why.
type Removal = (Vec<String>, String);

/// Rounds of taking out what does not fit. One is enough for most; what is taken out can make something else wrong.
const ROUNDS_MAX: usize = 20;

impl Draft {
    fn new(customer: &str, origin: String) -> Self {
        Self {
            customer: customer.to_owned(),
            origin,
            root: Map::new(),
            notes: Vec::new(),
            images: BTreeMap::new(),
        }
    }

    fn note(&mut self, path: &[&str], message: impl Into<String>) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.notes.push(Note { path, message: message.into(), hint: false });
    }

    /// Sets a key, with the tables above it.
    fn set(&mut self, path: &[String], value: Value) {
        let Some((last, parents)) = path.split_last() else { return };
        let table = parents.iter().try_fold(&mut self.root, |table, part| {
            table.entry(part.clone()).or_insert_with(|| Value::Object(Map::new())).as_object_mut()
        });
        if let Some(table) = table {
            table.insert(last.clone(), value);
        }
    }

    /// Tags and digests to ask the registries for before [`Draft::finish`].
    pub fn questions(&self) -> BTreeSet<(Repository, String)> {
        self.images.values().filter_map(image::question).collect()
    }

    /// The spec. `digests` are the answers to [`Draft::questions`], as far as there are any; `differs` names what a
    /// service that runs has otherwise than the spec would have it.
    ///
    /// # Errors
    /// When nothing of it makes a spec.
    pub fn finish(
        mut self,
        digests: &BTreeMap<String, Digest>,
        differs: &dyn Fn(&Customer) -> Vec<Removal>,
    ) -> Result<Imported, String> {
        for (key, image) in std::mem::take(&mut self.images) {
            image::put(&mut self, &key, &image, digests);
        }
        let mut faults = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let spec = text::write(&self);
            let file = format!("{}.toml", self.customer);
            let files = SpecFiles { files: BTreeMap::from([(file, spec.clone())]) };
            let mut loaded = parse::load(&files);
            let removals: Vec<Removal> = match loaded.customers.remove(&self.customer) {
                Some(customer) => differs(&customer),
                None => {
                    faults = loaded.diagnostics;
                    faults.retain(|fault| fault.severity == Severity::Error);
                    faults.iter().map(|fault| (split_key(&fault.key), told(fault))).collect()
                }
            };
            if removals.is_empty() {
                let notes = self.notes.iter().filter(|note| !note.hint).map(Note::line).collect();
                return Ok(Imported { customer: self.customer, spec, notes });
            }
            if !self.take_out(removals) {
                break;
            }
        }
        let first = faults.first().map(Diagnostic::one_line).unwrap_or_default();
        Err(format!("nothing of {} makes a spec: {first}", self.origin))
    }

    /// Takes keys out and notes why. False: none of them was there.
    fn take_out(&mut self, mut removals: Vec<Removal>) -> bool {
        // The last element of a list first, so that the places of the others stay.
        removals.sort_by(|a, b| b.0.cmp(&a.0));
        removals.dedup();
        let mut any = false;
        for (path, why) in removals {
            let mut root = Value::Object(std::mem::take(&mut self.root));
            let removed = remove(&mut root, &path);
            if let Value::Object(map) = root {
                self.root = map;
            }
            any |= removed;
            if removed {
                self.notes.push(Note { path, message: format!("not carried: {why}"), hint: false });
            }
        }
        any
    }
}

impl Note {
    /// `services.web.ports: not carried: …`
    fn line(&self) -> String {
        let key = text::key(&self.path);
        let line = if key.is_empty() { self.message.clone() } else { format!("{key}: {}", self.message) };
        crate::text::printable(&line, 600)
    }
}

fn told(fault: &Diagnostic) -> String {
    match &fault.help {
        Some(help) => format!("{} ({help})", fault.message),
        None => fault.message.clone(),
    }
}

/// The parts of a dotted key as diagnostics have it; an element of a list is `[3]`, padded so that it sorts.
fn split_key(key: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut quoted = false;
    let mut chars = key.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => part.extend(chars.next()),
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(std::mem::take(&mut part)),
            '[' if !quoted => {
                parts.push(std::mem::take(&mut part));
                let index: String = chars.by_ref().take_while(|c| *c != ']').collect();
                part = format!("[{index:0>6}]");
            }
            c => part.push(c),
        }
    }
    parts.push(part);
    parts
}

/// Removes what is at the path, and tables that are empty then. What is inside an element of a list goes with the
/// whole element.
fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    match value {
        Value::Array(list) => {
            let index = first.trim_matches(['[', ']']).parse::<usize>();
            let Some(index) = index.ok().filter(|index| *index < list.len()) else { return false };
            list.remove(index);
            true
        }
        Value::Object(map) => {
            if rest.is_empty() {
                return map.shift_remove(first).is_some();
            }
            let Some(inner) = map.get_mut(first) else { return false };
            let removed = remove(inner, rest);
            let empty = match inner {
                Value::Object(map) => map.is_empty(),
                Value::Array(list) => list.is_empty(),
                _ => false,
            };
            if removed && empty {
                map.shift_remove(first);
            }
            removed
        }
        _ => false,
    }
}

/// A customer's name as specs have it.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    if parse::is_customer_name(name) {
        return Ok(());
    }
    Err(format!(
        "{:?} is not a customer name: lower-case letters, digits and `-`, with a letter or digit at both ends, at \
         most 40; name another with --name",
        crate::text::printable(name, 60)
    ))
}
