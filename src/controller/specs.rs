//! The specs that are in force: the last good one of each customer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

mod trouble;

use trouble::GitTrouble;

use crate::config::Config;

use crate::events::{About, Kind, NewEvent, Reason, Trigger};
use crate::plan::prune::{Gone, Inventory, PrunePolicy};
use crate::source::git::{self, Revision, Tree};
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
    sealing: Sealing,
    /// What was told before a restart, so that an unchanged world is not told again.
    told_file: Option<PathBuf>,
    customers: BTreeMap<String, Arc<Customer>>,
    told: BTreeMap<String, Told>,
    reader: Reader,
    /// Something could not be read the last time; so what is missing may have been missing before.
    had_problems: bool,
    /// The fleet's rules could not be read the last time.
    rules_unread: bool,
    /// The first reading is of everything.
    first: bool,
    /// The fleet's rules for removal, and whether those are the present ones.
    policy: PrunePolicy,
    rules_known: bool,
    inventory: Arc<Inventory>,
}

/// What was last told of a customer.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Told {
    /// Hash of what the spec means.
    hash: Option<String>,
    /// The error that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invalid: Option<String>,
    /// Since when the file is gone, while the stack is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<Timestamp>,
    /// The file says, or said, `prune = false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    keep: bool,
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
    /// What is known of removals is to be put on disk.
    is_noted: bool,
}

impl Specs {
    /// `state_dir` holds what was told before a restart; without one everything is new.
    pub fn new(dir: &Path, state_dir: Option<&Path>, sealing: Sealing) -> Self {
        let told_file = state_dir.map(|dir| dir.join("specs.json"));
        let told = told_file.as_ref().and_then(|file| std::fs::read(file).ok());
        let told = told.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        Self {
            source: Source::Directory(dir.to_owned()),
            revision: None,
            git_trouble: GitTrouble::default(),
            sealing,
            told_file,
            customers: BTreeMap::new(),
            told,
            reader: Reader::default(),
            had_problems: false,
            rules_unread: false,
            first: true,
            policy: PrunePolicy::default(),
            rules_known: false,
            inventory: Arc::default(),
        }
    }

    /// Specs that a git repository holds.
    pub fn from_git(feed: git::Feed, state_dir: &Path, sealing: Sealing) -> Self {
        let git_trouble = GitTrouble::open(state_dir);
        Self { source: Source::Git(feed), git_trouble, ..Self::new(Path::new(""), Some(state_dir), sealing) }
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

    /// The same, with the first error of each.
    pub fn invalid_messages(&self) -> BTreeMap<String, String> {
        let message = |(name, told): (&String, &Told)| Some((name.clone(), told.invalid.clone()?));
        self.told.iter().filter_map(message).collect()
    }

    /// What the last reading says about removal.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// Reads the directory again: the files that changed, or all of them when a person asks.
    ///
    /// # Errors
    /// When it cannot be read: that never means that there are no specs, so all stay in force.
    pub fn read(&mut self, trigger: Trigger, now: Timestamp) -> Result<Changes, SourceError> {
        let read = match &self.source {
            Source::Directory(dir) => {
                let dir = dir.clone();
                let contents = Beside::new(&dir, self.sealing.standing);
                let found = self.read_files(&dir, trigger);
                found.map(|(found, all)| self.take(&found, all, &contents, trigger, now))
            }
            Source::Git(feed) => {
                let state = feed.state();
                self.take_git(&state, trigger, now)
            }
        };
        read.inspect_err(|_| Arc::make_mut(&mut self.inventory).complete = false)
    }

    fn take_git(
        &mut self,
        state: &git::State,
        trigger: Trigger,
        now: Timestamp,
    ) -> Result<Changes, SourceError> {
        let Some(tree) = &state.tree else {
            return Err(state.error.clone().map_or(SourceError::Pending, SourceError::Git));
        };
        let mut changes = self.take_tree(tree, trigger, now);
        changes.events.extend(self.git_trouble.look(state, &tree.revision, trigger));
        Ok(changes)
    }

    /// Takes up the specs of a commit.
    pub fn take_tree(&mut self, tree: &Arc<Tree>, trigger: Trigger, now: Timestamp) -> Changes {
        if self.revision.as_ref() == Some(&tree.revision) {
            return Changes::default();
        }
        self.revision = Some(tree.revision.clone());
        let found = self.reader.replace(tree.snapshot.clone());
        self.rules_unread = rules_unread(&found.problems).is_some();
        self.first = false;
        let contents = Beside::of_commit(tree, self.sealing.standing);
        let mut changes = self.take(&found, true, &contents, trigger, now);
        for event in &mut changes.events {
            event.revision = Some(tree.revision.commit.clone());
            if matches!(event.reason, Reason::SpecAdded | Reason::SpecChanged | Reason::SpecRemoved) {
                event.message = format!("{} ({})", event.message, tree.revision.told());
            }
        }
        changes
    }

    /// What changed, and whether all files are to be taken up again.
    fn read_files(&mut self, dir: &Path, trigger: Trigger) -> Result<(source::Changes, bool), SourceError> {
        if trigger == Trigger::Manual {
            // Stands in for what was read only if it can be read itself.
            let mut reader = Reader::default();
            let found = reader.read(dir)?;
            self.reader = reader;
            self.first = false;
            self.rules_unread = rules_unread(&found.problems).is_some();
            return Ok((found, true));
        }
        let found = self.reader.read(dir)?;
        // The rules are everybody's, also when they can be read again or not any more.
        let unread = rules_unread(&found.problems).is_some();
        let rules = unread
            || self.rules_unread
            || found.changed.iter().chain(&found.gone).any(|file| file == parse::FLEET_FILE);
        self.rules_unread = unread;
        Ok((found, std::mem::take(&mut self.first) || rules))
    }

    fn take(
        &mut self,
        found: &source::Changes,
        all: bool,
        contents: &Beside,
        trigger: Trigger,
        now: Timestamp,
    ) -> Changes {
        let files =
            if all { all_files(&self.reader) } else { concerned(&self.reader, found, &self.with_contents()) };
        // Nothing can be missing that was there the last time.
        let complete = all || self.had_problems || !found.gone.is_empty() || !found.problems.is_empty();
        self.had_problems = !found.problems.is_empty();
        let customers = self.reader.files().filter_map(|(file, _)| customer_of(file)).collect();
        let read = load(files, found.problems.clone(), &customers, contents, &self.sealing);
        // A change of the rules has everything read.
        if all {
            self.take_rules(&read);
        }
        let mut changes = self.merge(read, trigger);
        if complete {
            let files = self.reader.files().filter_map(|(file, _)| customer_of(file)).map(str::to_owned);
            let there = files.chain(found.problems.iter().map(name_of)).collect();
            self.drop_missing(&there, &found.problems, now, &mut changes);
        }
        self.take_inventory(found.problems.is_empty());
        changes.events.extend(changes.removed.iter().map(|name| self.spec_removed(name, trigger)));
        if (changes.is_noted || !changes.events.is_empty())
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

    /// Takes note of what was read, and writes nothing down.
    pub fn look(&mut self, read: Read, now: Timestamp) {
        let there = read.customers.keys().chain(read.invalid.keys()).cloned().collect();
        let problems = read.problems.clone();
        self.take_rules(&read);
        let mut changes = self.merge(read, Trigger::Manual);
        self.drop_missing(&there, &problems, now, &mut changes);
        self.take_inventory(problems.is_empty());
    }

    /// The rules for removal. Where nobody knows them, nothing is removed.
    fn take_rules(&mut self, read: &Read) {
        self.rules_known = read.prune.is_some();
        if let Some(policy) = &read.prune {
            self.policy = policy.clone();
        }
    }

    /// The stack of a customer whose file is gone is gone too.
    pub fn stack_removed(&mut self, name: &str) {
        if self.told.get(name).is_none_or(|told| told.gone.is_none()) {
            return;
        }
        self.told.remove(name);
        Arc::make_mut(&mut self.inventory).gone.remove(name);
        if let Err(error) = self.save() {
            tracing::warn!(%error, "cannot remember that the stack is gone");
        }
    }

    fn take_inventory(&mut self, complete: bool) {
        let valid = self.customers.iter().map(|(name, spec)| (name.clone(), Some(Arc::clone(spec))));
        let complete = complete && self.rules_known;
        let mut inventory = Inventory { complete, policy: self.policy.clone(), ..Inventory::default() };
        for (name, told) in &self.told {
            match told.gone {
                Some(since) => {
                    inventory.gone.insert(name.clone(), Gone { since, keep: told.keep });
                }
                None => {
                    inventory.customers.insert(name.clone(), None);
                }
            }
        }
        inventory.customers.extend(valid);
        self.inventory = Arc::new(inventory);
    }

    fn spec_removed(&self, name: &str, trigger: Trigger) -> NewEvent {
        let message = match self.inventory.due(name) {
            Some(due) => format!(
                "the spec is gone: the stack is removed at {due}, unless the file is put back before; volumes stay"
            ),
            None => "the spec is gone; its services stay as they are".to_owned(),
        };
        event(name, trigger, Kind::Warning, Reason::SpecRemoved, message)
    }

    /// Takes up what was read, which may be of some customers only.
    fn merge(&mut self, read: Read, trigger: Trigger) -> Changes {
        let mut changes = Changes::default();
        for (name, message) in read.invalid {
            let told = self.told.entry(name.clone()).or_default();
            if told.gone.take().is_some() {
                changes.is_noted = true;
                changes.events.push(back(&name, trigger));
            }
            if told.invalid.as_ref() != Some(&message) {
                told.invalid = Some(message.clone());
                changes.events.push(event(&name, trigger, Kind::Warning, Reason::SpecInvalid, message));
            }
        }
        for (name, customer) in read.customers {
            let hash = hash(&customer);
            let told = Told { hash: Some(hash.clone()), keep: !customer.prune, ..Told::default() };
            let before = self.told.insert(name.clone(), told);
            changes.is_noted |= before.as_ref().is_some_and(|told| told.keep == customer.prune);
            match before {
                Some(told) if told.gone.is_some() => changes.events.push(back(&name, trigger)),
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
    fn drop_missing(
        &mut self,
        there: &BTreeSet<String>,
        problems: &[Problem],
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let unknown = |name: &str| {
            let file = self.customers.get(name).map(|customer| customer.file.as_str());
            // A customer of before a restart stood in some folder that nobody remembers.
            file.map_or(!problems.is_empty(), |file| problems.iter().any(|problem| problem.covers(file)))
        };
        let missing = self.told.keys().filter(|name| !there.contains(*name) && !unknown(name));
        let missing: Vec<String> = missing.cloned().collect();
        for name in missing {
            changes.replaced.extend(self.customers.remove(&name));
            let Some(told) = self.told.get_mut(&name) else { continue };
            match &mut told.gone {
                // A clock that was put back puts nothing off.
                Some(since) => {
                    *since = now.min(*since);
                    continue;
                }
                // Nothing was ever made of what was never valid.
                None if told.hash.is_none() => {
                    self.told.remove(&name);
                }
                None => told.gone = Some(now),
            }
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
    /// The fleet's rules for removal; `None`: nobody knows them.
    pub prune: Option<PrunePolicy>,
    /// The commit they are of.
    pub revision: Option<Revision>,
}

/// Reads and checks all specs.
///
/// # Errors
/// When the directory cannot be read.
pub fn read_dir(dir: &Path, sealing: &Sealing) -> Result<Read, SourceError> {
    let snapshot = source::read(dir)?;
    let contents = Beside::new(dir, sealing.standing);
    Ok(load(snapshot.files, snapshot.problems, &BTreeSet::new(), &contents, sealing))
}

/// Reads and checks the specs that the configuration names: those of the directory, or of the
/// last good commit.
///
/// # Errors
/// When they cannot be read.
pub fn read_configured(config: &Config, sealing: &Sealing) -> Result<Read, SourceError> {
    match &config.git {
        None => read_dir(&config.specs_dir, sealing),
        Some(git) => Ok(read_tree(&git::read_last(git, &config.state_dir)?, sealing)),
    }
}

/// Checks all specs of a commit.
pub fn read_tree(tree: &Tree, sealing: &Sealing) -> Read {
    let source::Snapshot { files, problems } = tree.snapshot.clone();
    let contents = Beside::of_commit(tree, sealing.standing);
    let read = load(files, problems, &BTreeSet::new(), &contents, sealing);
    Read { revision: Some(tree.revision.clone()), ..read }
}

/// Why nobody knows the fleet's rules.
fn rules_unread(problems: &[Problem]) -> Option<&Problem> {
    problems.iter().find(|problem| problem.covers(parse::FLEET_FILE))
}

/// `customers` are the names of those that have files which are not among these.
fn load(
    files: BTreeMap<String, String>,
    problems: Vec<Problem>,
    customers: &BTreeSet<&str>,
    contents: &Beside,
    sealing: &Sealing,
) -> Read {
    let mut invalid: BTreeMap<String, String> = BTreeMap::new();
    for problem in &problems {
        invalid.insert(name_of(problem), format!("{}: {}", problem.file, problem.message));
    }
    let mut loaded = parse::load_some(&SpecFiles { files }, customers, contents);
    for customer in loaded.customers.values_mut() {
        if let Some(key) = &sealing.key {
            customer.seal(key);
        }
    }
    for (name, diagnostics) in loaded.invalid {
        invalid.insert(name, first_of(&diagnostics));
    }
    // Rules that cannot be read are not "no rules".
    if let Some(why) = rules_unread(&problems) {
        let message = format!("{}: {}", why.file, why.message);
        let names = std::mem::take(&mut loaded.customers).into_keys();
        invalid.extend(names.map(|name| (name, message.clone())));
    }
    let known = loaded.fleet.filter(|_| rules_unread(&problems).is_none());
    let prune = known.map(|fleet| PrunePolicy::of(&fleet.prune));
    Read { customers: loaded.customers, invalid, problems, prune, revision: None }
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
    // What begins with a customer's name is that customer's, from when it is there until it is gone.
    let prefixes: Vec<String> = names.iter().map(|name| format!("{name}_")).collect();
    let is_named = |text: &str| prefixes.iter().any(|prefix| text.contains(prefix.as_str()));
    let shared = || reader.files().filter(|(file, _)| customer_of(file).is_none());
    let shared_changed =
        changed().any(|file| customer_of(file).is_none()) || shared().any(|(_, text)| is_named(text));
    let is_concerned = |(file, text): &(&str, &str)| match customer_of(file) {
        None => true,
        Some(name) if names.contains(name) || always.contains(name) => true,
        Some(_) if is_named(text) => true,
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

fn back(name: &str, trigger: Trigger) -> NewEvent {
    let message = "the file is back, so the stack stays".to_owned();
    event(name, trigger, Kind::Normal, Reason::SpecAdded, message)
}

fn event(name: &str, trigger: Trigger, kind: Kind, reason: Reason, message: String) -> NewEvent {
    About { customer: Some(name.to_owned()), trigger, revision: None }.event(kind, reason, None, message)
}

#[cfg(test)]
mod tests;
