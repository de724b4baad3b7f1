//! What was told of each customer's spec, and what is to be told of it now.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Changes, Read, Specs};
use crate::events::{About, Kind, NewEvent, Reason, Trigger};
use crate::files::{Files, Real};
use crate::spec::fleet::free_volumes;
use crate::spec::{Customer, parse};

/// What was last told of a customer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Hash of what the spec means.
    pub(super) hash: Option<String>,
    /// The error that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) invalid: Option<String>,
    /// Since when the file is gone, while the stack is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<Timestamp>,
    /// The file says, or said, `prune = false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) keep: bool,
    /// The volumes of the last spec that was valid whose names do not say whose they are.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) volumes: BTreeSet<String>,
}

/// The file may have so many lines more than twice the customers before it is written anew.
const LINES_SPARE: usize = 1_000;

/// What was told of all customers, so that after a restart an unchanged world is not told again. On disk each
/// change is a line, of which a customer's last one holds: what it costs does not grow with the fleet.
#[derive(Debug)]
pub(super) struct Ledger {
    files: Arc<dyn Files>,
    file: Option<PathBuf>,
    told: BTreeMap<String, Told>,
    /// Customers of whom the file says something else.
    changed: BTreeSet<String>,
    /// How many lines the file has; `None`: it is to be written anew.
    lines: Option<usize>,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    customer: String,
    /// `None`: forgotten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    told: Option<Told>,
}

impl Ledger {
    /// Without a file nothing was told, and nothing is kept.
    pub(super) fn open(file: Option<PathBuf>) -> Self {
        Self::on(Arc::new(Real), file)
    }

    fn on(files: Arc<dyn Files>, file: Option<PathBuf>) -> Self {
        let text = file.as_ref().and_then(|file| fs::read(file).ok()).unwrap_or_default();
        let mut ledger =
            Self { files, file, told: BTreeMap::new(), changed: BTreeSet::new(), lines: Some(0) };
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            // A crash may have cut off what came last. What is behind a line that is spoilt holds all the same.
            let whole = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice::<Line>(line).ok());
            let Some(Line { customer, told }) = whole else {
                ledger.lines = None;
                continue;
            };
            match told {
                Some(told) => drop(ledger.told.insert(customer, told)),
                None => drop(ledger.told.remove(&customer)),
            }
            ledger.lines = ledger.lines.map(|lines| lines + 1);
        }
        ledger
    }

    pub(super) fn get(&self, customer: &str) -> Option<&Told> {
        self.told.get(customer)
    }

    pub(super) fn len(&self) -> usize {
        self.told.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &Told)> {
        self.told.iter()
    }

    /// By customer: the volumes of the last spec that was valid whose names do not say whose they are.
    pub(super) fn volumes(&self) -> BTreeMap<String, BTreeSet<String>> {
        let holders = self.told.iter().filter(|(_, told)| !told.volumes.is_empty());
        holders.map(|(name, told)| (name.clone(), told.volumes.clone())).collect()
    }

    /// Gives back what was told before.
    pub(super) fn set(&mut self, customer: &str, told: Told) -> Option<Told> {
        let before = self.told.insert(customer.to_owned(), told);
        if before.as_ref() != self.told.get(customer) {
            self.changed.insert(customer.to_owned());
        }
        before
    }

    pub(super) fn forget(&mut self, customer: &str) {
        if self.told.remove(customer).is_some() {
            self.changed.insert(customer.to_owned());
        }
    }

    /// Puts on disk what is not there yet, to stay: a `prune = false` that a power loss takes back would
    /// cost a stack.
    pub(super) fn save(&mut self) -> io::Result<()> {
        let Some(file) = self.file.clone().filter(|_| !self.changed.is_empty()) else { return Ok(()) };
        let lines_max = 2 * self.told.len() + LINES_SPARE;
        // If this breaks off, nobody knows what the file holds.
        let lines = match self.lines.take().map(|lines| lines + self.changed.len()) {
            Some(lines) if lines <= lines_max => {
                let text = self.text(self.changed.iter())?;
                let mut log = self.files.append(&file)?;
                log.write(&text)?;
                log.sync()?;
                lines
            }
            _ => {
                let new = file.with_extension("new");
                let mut all = self.files.create(&new)?;
                all.write(&self.text(self.told.keys())?)?;
                all.sync()?;
                self.files.rename(&new, &file)?;
                self.told.len()
            }
        };
        // Its name too, also where a skep that died has made it.
        file.parent().map_or(Ok(()), |dir| self.files.sync_dir(dir))?;
        self.lines = Some(lines);
        self.changed.clear();
        Ok(())
    }

    fn text<'a>(&self, customers: impl Iterator<Item = &'a String>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        for customer in customers {
            let line = Line { customer: customer.clone(), told: self.told.get(customer).cloned() };
            serde_json::to_writer(&mut text, &line)?;
            text.push(b'\n');
        }
        Ok(text)
    }
}

/// What customers own by what the state directory tells of them, for those who have no memory of their own: the file
/// of one may be gone or broken while its stack stays.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    pub(super) names: BTreeSet<String>,
    /// By customer, volumes under names that do not say whose they are.
    pub(super) volumes: BTreeMap<String, BTreeSet<String>>,
}

impl Owners {
    /// Reads only. Where nothing was told, or who asks may not read it, nobody is known.
    pub fn of(state_dir: &Path) -> Self {
        let told = Ledger::open(Some(state_dir.join("specs.jsonl")));
        Self { names: told.iter().map(|(name, _)| name.clone()).collect(), volumes: told.volumes() }
    }
}

impl Specs {
    /// Takes up what was read, which may be of some customers only.
    pub(super) fn merge(&mut self, read: Read, trigger: Trigger, changes: &mut Changes) {
        for (name, message) in read.invalid {
            let mut told = self.told.get(&name).cloned().unwrap_or_default();
            if told.gone.take().is_some() {
                changes.events.push(back(&name, trigger));
            }
            if told.invalid.as_ref() != Some(&message) {
                told.invalid = Some(message.clone());
                changes.events.push(event(&name, trigger, Kind::Warning, Reason::SpecInvalid, message));
            }
            self.told.set(&name, told);
            changes.read.insert(name);
        }
        for (name, customer) in read.customers {
            let volumes = free_volumes(&customer);
            let told =
                Told { hash: Some(hash(&customer)), keep: !customer.prune, volumes, ..Told::default() };
            let before = self.told.set(&name, told.clone());
            self.keep_good(&customer, told.hash.as_deref().unwrap_or_default(), read.templates.get(&name));
            changes.events.extend(news(before.as_ref(), &told, &customer, trigger));
            if self.customers.get(&name).is_none_or(|held| **held != customer) {
                changes.replaced.extend(self.customers.insert(name.clone(), Arc::new(customer)));
                changes.changed.insert(name.clone());
            }
            changes.read.insert(name);
        }
    }
}

/// What is to be told of a spec that is valid.
fn news(before: Option<&Told>, now: &Told, customer: &Customer, trigger: Trigger) -> Option<NewEvent> {
    let (name, file) = (customer.name.as_str(), &customer.file);
    let (reason, message) = match before {
        None => (Reason::SpecAdded, format!("{file} read")),
        Some(told) if told.gone.is_some() => return Some(back(name, trigger)),
        Some(told) if told.hash != now.hash => (Reason::SpecChanged, format!("{file} changed")),
        Some(told) if told.invalid.is_some() => (Reason::Recovered, format!("{file} is valid again")),
        Some(_) => return None,
    };
    Some(event(name, trigger, Kind::Normal, reason, message))
}

fn hash(customer: &Customer) -> String {
    crate::plan::text_hash(&format!("{customer:?}"))
}

fn back(name: &str, trigger: Trigger) -> NewEvent {
    let message = "the file is back, so the stack stays".to_owned();
    event(name, trigger, Kind::Normal, Reason::SpecAdded, message)
}

pub(super) fn event(name: &str, trigger: Trigger, kind: Kind, reason: Reason, message: String) -> NewEvent {
    // A shared file is no customer.
    let customer = (!parse::is_shared(name)).then(|| name.to_owned());
    About { customer, trigger, revision: None }.event(kind, reason, None, message)
}

#[cfg(test)]
mod tests;
