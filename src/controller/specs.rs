//! The specs that are in force: the last good one of each customer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::events::{About, Kind, NewEvent, Reason, Trigger};
use crate::source::{self, Beside, Problem, Reader, SourceError, Standing};
use crate::spec::diagnostics::{Diagnostic, Severity};
use crate::spec::parse::{self, SpecFiles};
use crate::spec::{ContentKey, Customer};
use crate::state_dir::StateDir;

/// What reading specs takes besides their directory.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// Names secrets and configs by what they hold.
    pub key: Option<ContentKey>,
    pub standing: Standing,
}

impl Sealing {
    /// For those who carry the specs out.
    pub fn controller(key: ContentKey) -> Self {
        Self { key: Some(key), standing: Standing::Controller }
    }

    /// For those who only look: with the key, if they may read it.
    pub fn visitor(state_dir: &Path) -> Self {
        Self { key: StateDir::existing_content_key(state_dir), standing: Standing::Visitor }
    }
}

/// Customers by name, and what was last told of each.
pub struct Specs {
    dir: PathBuf,
    sealing: Sealing,
    /// What was told before a restart, so that an unchanged world is not told again.
    told_file: Option<PathBuf>,
    customers: BTreeMap<String, Arc<Customer>>,
    told: BTreeMap<String, Told>,
    reader: Reader,
    /// Something could not be read the last time; so what is missing may have been missing before.
    had_problems: bool,
    /// The first reading is of everything.
    first: bool,
}

/// What was last told of a customer.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Told {
    /// Hash of what the spec means.
    hash: Option<String>,
    /// The error that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invalid: Option<String>,
}

/// What a reading of the directory changed.
#[derive(Debug, Default)]
pub struct Changes {
    pub events: Vec<NewEvent>,
    /// To be reconciled: new or changed.
    pub changed: BTreeSet<String>,
    pub removed: BTreeSet<String>,
    /// What was in force of those until now.
    pub replaced: Vec<Arc<Customer>>,
}

impl Specs {
    /// `state_dir` holds what was told before a restart; without one everything is new.
    pub fn new(dir: &Path, state_dir: Option<&Path>, sealing: Sealing) -> Self {
        let told_file = state_dir.map(|dir| dir.join("specs.json"));
        let told = told_file.as_ref().and_then(|file| std::fs::read(file).ok());
        let told = told.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self {
            dir: dir.to_owned(),
            sealing,
            told_file,
            customers: BTreeMap::new(),
            told,
            reader: Reader::default(),
            had_problems: false,
            first: true,
        }
    }

    pub fn customers(&self) -> impl ExactSizeIterator<Item = &Arc<Customer>> {
        self.customers.values()
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Customer>> {
        self.customers.get(name)
    }

    /// Customers whose spec has errors now (their last good one stays in force).
    pub fn invalid(&self) -> impl Iterator<Item = &str> {
        self.told.iter().filter(|(_, told)| told.invalid.is_some()).map(|(name, _)| name.as_str())
    }

    /// Reads the directory again: the files that changed, or all of them when a person asks.
    ///
    /// # Errors
    /// When it cannot be read: that never means that there are no specs, so all stay in force.
    pub fn read(&mut self, trigger: Trigger) -> Result<Changes, SourceError> {
        if trigger == Trigger::Manual {
            // Stands in for what was read only if it can be read itself.
            let mut reader = Reader::default();
            let found = reader.read(&self.dir)?;
            self.reader = reader;
            self.first = false;
            return Ok(self.take(&found, true, trigger));
        }
        let found = self.reader.read(&self.dir)?;
        let all = std::mem::take(&mut self.first);
        Ok(self.take(&found, all, trigger))
    }

    fn take(&mut self, found: &source::Changes, all: bool, trigger: Trigger) -> Changes {
        let files =
            if all { all_files(&self.reader) } else { concerned(&self.reader, found, &self.with_contents()) };
        // Nothing can be missing that was there the last time.
        let complete = all || self.had_problems || !found.gone.is_empty() || !found.problems.is_empty();
        self.had_problems = !found.problems.is_empty();
        let mut changes = self.merge(load(files, found.problems.clone(), &self.dir, &self.sealing), trigger);
        if complete {
            self.drop_missing(&found.problems, trigger, &mut changes);
        }
        if !changes.events.is_empty()
            && let Err(error) = self.save()
        {
            tracing::warn!(%error, "cannot remember which specs were told of");
        }
        changes
    }

    /// Customers whose spec may mean something else although no spec file changed: those that name
    /// content, and those that may be invalid for the lack of it.
    fn with_contents(&self) -> BTreeSet<String> {
        let naming = self.customers.values().filter(|customer| customer.names_contents);
        naming.map(|customer| customer.name.clone()).chain(self.invalid().map(str::to_owned)).collect()
    }

    /// Takes up what was read, which may be of some customers only.
    fn merge(&mut self, read: Read, trigger: Trigger) -> Changes {
        let mut changes = Changes::default();
        for (name, message) in read.invalid {
            let told = self.told.entry(name.clone()).or_insert(Told { hash: None, invalid: None });
            if told.invalid.as_ref() != Some(&message) {
                told.invalid = Some(message.clone());
                changes.events.push(event(&name, trigger, Kind::Warning, Reason::SpecInvalid, message));
            }
        }
        for (name, customer) in read.customers {
            let hash = hash(&customer);
            let before = self.told.insert(name.clone(), Told { hash: Some(hash.clone()), invalid: None });
            match before {
                None => changes.events.push(event(
                    &name,
                    trigger,
                    Kind::Normal,
                    Reason::SpecAdded,
                    format!("{} read", customer.file),
                )),
                Some(told) if told.invalid.is_some() && told.hash.as_ref() == Some(&hash) => {
                    changes.events.push(event(
                        &name,
                        trigger,
                        Kind::Normal,
                        Reason::Recovered,
                        format!("{} is valid again", customer.file),
                    ));
                }
                Some(told) if told.hash.as_ref() != Some(&hash) => {
                    changes.events.push(event(
                        &name,
                        trigger,
                        Kind::Normal,
                        Reason::SpecChanged,
                        format!("{} changed", customer.file),
                    ));
                }
                Some(_) => {}
            }
            if self.customers.get(&name).is_none_or(|held| **held != customer) {
                changes.replaced.extend(self.customers.insert(name.clone(), Arc::new(customer)));
                changes.changed.insert(name);
            }
        }
        changes
    }

    /// Drops the customers that no file is of any more.
    fn drop_missing(&mut self, problems: &[Problem], trigger: Trigger, changes: &mut Changes) {
        let mut there: BTreeSet<String> =
            self.reader.files().filter_map(|(file, _)| customer_of(file)).map(str::to_owned).collect();
        there.extend(problems.iter().map(name_of));
        let unknown = |name: &str| {
            let file = self.customers.get(name).map(|customer| customer.file.as_str());
            // A customer of before a restart stood in some folder that nobody remembers.
            file.map_or(!problems.is_empty(), |file| problems.iter().any(|problem| problem.covers(file)))
        };
        let missing = self.told.keys().filter(|name| !there.contains(*name) && !unknown(name));
        let gone: Vec<String> = missing.cloned().collect();
        for name in gone {
            self.told.remove(&name);
            changes.replaced.extend(self.customers.remove(&name));
            let message = "the spec is gone; its services stay as they are".to_owned();
            changes.events.push(event(&name, trigger, Kind::Warning, Reason::SpecRemoved, message));
            changes.removed.insert(name);
        }
    }

    fn save(&self) -> io::Result<()> {
        let Some(file) = &self.told_file else { return Ok(()) };
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&self.told)?)?;
        std::fs::rename(&new, file)
    }
}

/// The specs as they stand in the directory.
pub struct Read {
    pub customers: BTreeMap<String, Customer>,
    /// The first error of each customer that has any, and how many more.
    pub invalid: BTreeMap<String, String>,
    /// What could not be read; customers beneath are unknown, not removed.
    pub problems: Vec<Problem>,
}

/// Reads and checks all specs.
///
/// # Errors
/// When the directory cannot be read.
pub fn read_dir(dir: &Path, sealing: &Sealing) -> Result<Read, SourceError> {
    let snapshot = source::read(dir)?;
    Ok(load(snapshot.files, snapshot.problems, dir, sealing))
}

fn load(files: BTreeMap<String, String>, problems: Vec<Problem>, dir: &Path, sealing: &Sealing) -> Read {
    let mut invalid: BTreeMap<String, String> = BTreeMap::new();
    for problem in &problems {
        invalid.insert(name_of(problem), format!("{}: {}", problem.file, problem.message));
    }
    let contents = Beside::new(dir, sealing.standing);
    let mut loaded = parse::load_with(&SpecFiles { files }, &contents);
    for customer in loaded.customers.values_mut() {
        if let Some(key) = &sealing.key {
            customer.seal(key);
        }
    }
    for (name, diagnostics) in loaded.invalid {
        invalid.insert(name, first_of(&diagnostics));
    }
    Read { customers: loaded.customers, invalid, problems }
}

fn all_files(reader: &Reader) -> BTreeMap<String, String> {
    reader.files().map(|(file, text)| (file.to_owned(), text.to_owned())).collect()
}

/// The files that what changed may make mean something else, with what they share.
fn concerned(
    reader: &Reader,
    found: &source::Changes,
    always: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    let changed = || found.changed.iter().chain(&found.gone).map(String::as_str);
    if changed().next().is_none() && always.is_empty() {
        return BTreeMap::new();
    }
    // Of two files with one name each is an error of the other's.
    let names: BTreeSet<&str> = changed().filter_map(customer_of).collect();
    let shared_changed = changed().any(|file| customer_of(file).is_none());
    let is_concerned = |(file, text): &(&str, &str)| match customer_of(file) {
        None => true,
        Some(name) if names.contains(name) || always.contains(name) => true,
        // A key may be written with escapes.
        Some(_) => shared_changed && (text.contains("template") || text.contains('\\')),
    };
    reader.files().filter(is_concerned).map(|(file, text)| (file.to_owned(), text.to_owned())).collect()
}

/// The customer that a file is of; `None` for what customers share.
fn customer_of(file: &str) -> Option<&str> {
    if parse::is_shared(file) {
        return None;
    }
    let name = file.rsplit('/').next().unwrap_or(file);
    Some(name.strip_suffix(".toml").unwrap_or(name))
}

fn name_of(problem: &Problem) -> String {
    let stem = Path::new(&problem.file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    stem.unwrap_or_else(|| problem.file.clone())
}

fn first_of(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<&Diagnostic> =
        diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    let first = errors.first().map(|found| found.one_line()).unwrap_or_default();
    match errors.len() {
        0 | 1 => first,
        more => format!("{first} (and {} more; `skep lint` shows all)", more - 1),
    }
}

fn hash(customer: &Customer) -> String {
    crate::plan::text_hash(&format!("{customer:?}"))
}

fn event(name: &str, trigger: Trigger, kind: Kind, reason: Reason, message: String) -> NewEvent {
    About { customer: Some(name.to_owned()), trigger, revision: None }.event(kind, reason, None, message)
}

#[cfg(test)]
mod tests;
