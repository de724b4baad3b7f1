//! The specs that are in force: the last good one of each customer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod trouble;

use trouble::GitTrouble;

use crate::config::Config;
use crate::events::{About, Kind, NewEvent, Reason, Trigger};
use crate::source::git::{self, Revision, Tree};
use crate::source::{self, Problem, Snapshot, SourceError};
use crate::spec::Customer;
use crate::spec::diagnostics::{Diagnostic, Severity};
use crate::spec::parse::{self, SpecFiles};

/// Where specs are read from.
enum Source {
    Directory(PathBuf),
    Git(git::Feed),
}

/// Customers by name, and what was last told of each.
pub struct Specs {
    source: Source,
    /// The commit that is in force, where there are commits.
    revision: Option<Revision>,
    git_trouble: GitTrouble,
    /// What was told before a restart, so that an unchanged world is not told again.
    told_file: Option<PathBuf>,
    customers: BTreeMap<String, Arc<Customer>>,
    told: BTreeMap<String, Told>,
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
}

impl Specs {
    /// `state_dir` holds what was told before a restart; without one everything is new.
    pub fn new(dir: &Path, state_dir: Option<&Path>) -> Self {
        let told_file = state_dir.map(|dir| dir.join("specs.json"));
        let told = told_file.as_ref().and_then(|file| std::fs::read(file).ok());
        let told = told.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self {
            source: Source::Directory(dir.to_owned()),
            revision: None,
            git_trouble: GitTrouble::default(),
            told_file,
            customers: BTreeMap::new(),
            told,
        }
    }

    /// Specs that a git repository holds.
    pub fn from_git(feed: git::Feed, state_dir: &Path) -> Self {
        let git_trouble = GitTrouble::open(state_dir);
        Self { source: Source::Git(feed), git_trouble, ..Self::new(Path::new(""), Some(state_dir)) }
    }

    /// The commit that is in force.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_ref().map(|revision| revision.commit.as_str())
    }

    /// Has the specs fetched now, where they are fetched at all.
    pub fn poke(&self) {
        if let Source::Git(feed) = &self.source {
            feed.poke();
        }
    }

    pub fn customers(&self) -> impl Iterator<Item = &Arc<Customer>> {
        self.customers.values()
    }

    pub fn get(&self, name: &str) -> Option<&Arc<Customer>> {
        self.customers.get(name)
    }

    /// Customers whose spec has errors now (their last good one stays in force).
    pub fn invalid(&self) -> impl Iterator<Item = &str> {
        self.told.iter().filter(|(_, told)| told.invalid.is_some()).map(|(name, _)| name.as_str())
    }

    /// Reads the directory again.
    ///
    /// # Errors
    /// When it cannot be read: that never means that there are no specs, so all stay in force.
    pub fn read(&mut self, trigger: Trigger) -> Result<Changes, SourceError> {
        let changes = match &self.source {
            Source::Directory(dir) => {
                let read = read_dir(dir)?;
                self.merge(read, trigger)
            }
            Source::Git(feed) => {
                let state = feed.state();
                self.merge_git(&state, trigger)?
            }
        };
        Ok(self.told(changes))
    }

    /// Takes the specs of a commit that was fetched just now.
    pub fn take(&mut self, tree: &Arc<Tree>, trigger: Trigger) -> Changes {
        let changes = self.merge_tree(tree, trigger);
        self.told(changes)
    }

    fn told(&self, mut changes: Changes) -> Changes {
        let commit = self.revision().map(str::to_owned);
        for event in &mut changes.events {
            event.revision.clone_from(&commit);
        }
        if !changes.events.is_empty()
            && let Err(error) = self.save()
        {
            tracing::warn!(%error, "cannot remember which specs were told of");
        }
        changes
    }

    fn merge_git(&mut self, state: &git::State, trigger: Trigger) -> Result<Changes, SourceError> {
        let Some(tree) = &state.tree else {
            return Err(state.error.clone().map_or(SourceError::Pending, SourceError::Git));
        };
        let mut changes = self.merge_tree(tree, trigger);
        changes.events.extend(self.git_trouble.look(state, &tree.revision, trigger));
        Ok(changes)
    }

    fn merge_tree(&mut self, tree: &Arc<Tree>, trigger: Trigger) -> Changes {
        if self.revision.as_ref() == Some(&tree.revision) {
            return Changes::default();
        }
        let mut changes = self.merge(read_snapshot(tree.snapshot.clone()), trigger);
        for event in &mut changes.events {
            if matches!(event.reason, Reason::SpecAdded | Reason::SpecChanged | Reason::SpecRemoved) {
                event.message = format!("{} ({})", event.message, tree.revision.told());
            }
        }
        self.revision = Some(tree.revision.clone());
        changes
    }

    fn merge(&mut self, read: Read, trigger: Trigger) -> Changes {
        let mut changes = Changes::default();
        let mut seen: BTreeSet<String> = BTreeSet::new();
        for (name, message) in read.invalid {
            let told = self.told.entry(name.clone()).or_insert(Told { hash: None, invalid: None });
            if told.invalid.as_ref() != Some(&message) {
                told.invalid = Some(message.clone());
                changes.events.push(event(&name, trigger, Kind::Warning, Reason::SpecInvalid, message));
            }
            seen.insert(name);
        }
        for (name, customer) in read.customers {
            seen.insert(name.clone());
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
                self.customers.insert(name.clone(), Arc::new(customer));
                changes.changed.insert(name);
            }
        }
        let unknown = |name: &str| {
            let file = self.customers.get(name).map(|customer| customer.file.as_str());
            // A customer of before a restart stood in some folder that nobody remembers.
            file.map_or(!read.problems.is_empty(), |file| {
                read.problems.iter().any(|problem| problem.covers(file))
            })
        };
        let missing = self.told.keys().filter(|name| !seen.contains(*name) && !unknown(name));
        let gone: Vec<String> = missing.cloned().collect();
        for name in gone {
            self.told.remove(&name);
            self.customers.remove(&name);
            let message = "the spec is gone; its services stay as they are".to_owned();
            changes.events.push(event(&name, trigger, Kind::Warning, Reason::SpecRemoved, message));
            changes.removed.insert(name);
        }
        changes
    }

    fn save(&self) -> io::Result<()> {
        let Some(file) = &self.told_file else { return Ok(()) };
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec_pretty(&self.told)?)?;
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
    /// The commit they are of.
    pub revision: Option<Revision>,
}

/// Reads and checks all specs.
///
/// # Errors
/// When the directory cannot be read.
pub fn read_dir(dir: &Path) -> Result<Read, SourceError> {
    source::read(dir).map(read_snapshot)
}

/// Reads and checks the specs that the configuration names: those of the directory, or of the
/// last good commit.
///
/// # Errors
/// When they cannot be read.
pub fn read_configured(config: &Config) -> Result<Read, SourceError> {
    let (snapshot, revision) = source::read_configured(config)?;
    Ok(Read { revision, ..read_snapshot(snapshot) })
}

/// Checks all specs of a snapshot.
pub fn read_snapshot(snapshot: Snapshot) -> Read {
    let mut invalid: BTreeMap<String, String> = BTreeMap::new();
    for problem in &snapshot.problems {
        let stem = Path::new(&problem.file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let message = format!("{}: {}", problem.file, problem.message);
        invalid.insert(stem.unwrap_or_else(|| problem.file.clone()), message);
    }
    let loaded = parse::load(&SpecFiles { files: snapshot.files });
    for (name, diagnostics) in loaded.invalid {
        invalid.insert(name, first_of(&diagnostics));
    }
    Read { customers: loaded.customers, invalid, problems: snapshot.problems, revision: None }
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
