//! The specs that are in force: the last good one of each customer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;

mod inventory;
mod last_good;
mod reading;
mod restore;
mod told;
mod trouble;
mod volumes;

use last_good::LastGood;
pub use reading::{Read, read_configured, read_dir, read_tree};
use reading::{came_or_went, concerned, files_to_read, load, name_of, names_of, parts, rules_unread};
pub use told::Owners;
use told::{Ledger, Told};
use trouble::GitTrouble;

use crate::events::{NewEvent, Reason, Trigger};
use crate::plan::prune::{Inventory, PrunePolicy};
use crate::source::git::{self, Revision, Tree};
use crate::source::{self, Beside, Reader, SourceError, Standing};
use crate::spec::fleet::{self, Fleet};
use crate::spec::parse;
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

/// A fetch of the specs that has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetch {
    /// `None`: none has ended yet.
    pub begun: Option<Instant>,
    /// Why it brought nothing to go by.
    pub error: Option<String>,
}

/// Customers by name, and what was last told of each.
pub struct Specs {
    source: Source,
    /// The commit that is in force, where there are commits.
    revision: Option<Revision>,
    git_trouble: GitTrouble,
    /// What the last reading went by, where specs are fetched.
    fetch: Option<Fetch>,
    sealing: Sealing,
    customers: BTreeMap<String, Arc<Customer>>,
    told: Ledger,
    /// What a restart finds of them.
    last_good: LastGood,
    /// Events that are not in the log yet.
    untold: Vec<NewEvent>,
    reader: Reader,
    /// Of all customers that have a file.
    names: BTreeSet<String>,
    /// By customer: volumes under names that do not say whose they are.
    volumes: BTreeMap<String, BTreeSet<String>>,
    /// Something could not be read the last time; so what is missing may have been missing before.
    had_problems: bool,
    /// The fleet's rules could not be read the last time.
    rules_unread: bool,
    /// The first reading is of everything.
    first: bool,
    /// The fleet's rules for removal, and whether those are the present ones.
    policy: PrunePolicy,
    fleet: Arc<Fleet>,
    rules_known: bool,
    /// They were known some time.
    rules_seen: bool,
    inventory: Arc<Inventory>,
}

/// Events that are kept while the log takes none, besides those of the last reading.
const UNTOLD_MAX: usize = 10_000;

/// What a reading of the directory changed.
#[derive(Debug, Default)]
pub struct Changes {
    pub events: Vec<NewEvent>,
    /// To be reconciled: new or changed.
    pub changed: BTreeSet<String>,
    pub removed: BTreeSet<String>,
    /// What was in force of those until now.
    pub replaced: Vec<Arc<Customer>>,
    /// All that were read, changed or not.
    read: BTreeSet<String>,
}

impl Specs {
    /// `state_dir` holds what was told before a restart; without one everything is new.
    pub fn new(dir: &Path, state_dir: Option<&Path>, sealing: Sealing) -> Self {
        let told = Ledger::open(state_dir.map(|dir| dir.join("specs.jsonl")));
        // Who had a volume has it until a spec of its own that is valid says something else.
        let volumes = told.volumes();
        Self {
            source: Source::Directory(dir.to_owned()),
            revision: None,
            git_trouble: GitTrouble::default(),
            fetch: None,
            sealing,
            customers: BTreeMap::new(),
            told,
            last_good: LastGood::new(state_dir.map(|dir| dir.join("specs-good.log"))),
            untold: Vec::new(),
            reader: Reader::default(),
            names: BTreeSet::new(),
            volumes,
            had_problems: false,
            rules_unread: false,
            first: true,
            policy: PrunePolicy::default(),
            fleet: Arc::default(),
            rules_known: false,
            rules_seen: false,
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

    /// The fetch that the last reading went by; `None` where specs are not fetched.
    pub fn fetch(&self) -> Option<&Fetch> {
        self.fetch.as_ref()
    }

    /// Has the specs fetched now, and says whether they are fetched at all.
    pub fn poke(&self) -> bool {
        let Source::Git(feed) = &self.source else { return false };
        feed.poke();
        true
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
        // What was wrong with a file that is gone concerns nobody any more.
        let there = self.told.iter().filter(|(_, told)| told.gone.is_none());
        let told = |name: &String, why: &String| match self.customers.contains_key(name) {
            true => format!("its last good spec stays in force: {why}"),
            false => why.clone(),
        };
        there.filter_map(|(name, it)| Some((name.clone(), told(name, it.invalid.as_ref()?)))).collect()
    }

    /// What the last reading says about removal.
    pub fn inventory(&self) -> &Arc<Inventory> {
        &self.inventory
    }

    /// Reads the directory again: the files that changed, or all of them when a person asks. Once its
    /// events are written, `note_told` is to be called.
    ///
    /// # Errors
    /// When it cannot be read: that never means that there are no specs, so all stay in force.
    pub fn read(&mut self, trigger: Trigger, now: Timestamp) -> Result<Changes, SourceError> {
        self.read_where(None, trigger, now)
    }

    /// The same where only these files changed. Their list is a hint to look there first, no more: what it
    /// does not settle has the whole directory listed.
    ///
    /// # Errors
    /// As `read`.
    pub fn read_touched(
        &mut self,
        touched: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<Changes, SourceError> {
        self.read_where(Some(touched), Trigger::Spec, now)
    }

    fn read_where(
        &mut self,
        touched: Option<&BTreeSet<String>>,
        trigger: Trigger,
        now: Timestamp,
    ) -> Result<Changes, SourceError> {
        let read = match &self.source {
            Source::Directory(dir) => {
                let dir = dir.clone();
                let contents = Beside::new(&dir, self.sealing.standing);
                let found = self.read_files(&dir, touched, trigger);
                found.map(|(found, all)| self.take(&found, all, &contents, trigger, now))
            }
            Source::Git(feed) => {
                let state = feed.state();
                self.take_git(&state, trigger, now)
            }
        };
        match read {
            Ok(changes) => Ok(self.with_untold(changes)),
            Err(error) => {
                Arc::make_mut(&mut self.inventory).complete = false;
                Err(error)
            }
        }
    }

    /// Adds what could not be told before: the log may have been full.
    fn with_untold(&mut self, mut changes: Changes) -> Changes {
        let room = UNTOLD_MAX.saturating_sub(changes.events.len());
        let dropped = self.untold.len().saturating_sub(room);
        if dropped > 0 {
            tracing::warn!(dropped, "too many events of specs could not be written; the oldest are lost");
        }
        self.untold.drain(..dropped);
        self.untold.append(&mut changes.events);
        changes.events.clone_from(&self.untold);
        changes
    }

    fn take_git(
        &mut self,
        state: &git::State,
        trigger: Trigger,
        now: Timestamp,
    ) -> Result<Changes, SourceError> {
        let error = state.error.as_ref().map(ToString::to_string);
        self.fetch = Some(Fetch { begun: state.begun, error });
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
    fn read_files(
        &mut self,
        dir: &Path,
        touched: Option<&BTreeSet<String>>,
        trigger: Trigger,
    ) -> Result<(source::Changes, bool), SourceError> {
        if trigger == Trigger::Manual {
            // Stands in for what was read only if it can be read itself.
            let mut reader = Reader::default();
            let found = reader.read(dir)?;
            self.reader = reader;
            self.first = false;
            self.rules_unread = rules_unread(&found.problems).is_some();
            return Ok((found, true));
        }
        let found = match touched {
            Some(touched) => self.reader.read_touched(dir, touched)?,
            None => self.reader.read(dir)?,
        };
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
        let moved = self.take_names(found, all);
        let mut always = self.to_look_at(&moved);
        // Nothing can be missing that was there the last time.
        let complete = all || self.had_problems || !found.gone.is_empty() || !found.problems.is_empty();
        self.had_problems = !found.problems.is_empty();
        let names = std::mem::take(&mut self.names);
        let customers: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        // Whose file is gone or cannot be read owns what is its own until its stack is gone.
        let stacks = self.told.iter().map(|(name, _)| name).filter(|name| !names.contains(*name));
        let stacks: Vec<String> = stacks.cloned().collect();
        let owners = customers.iter().copied().chain(stacks.iter().map(String::as_str)).collect();
        self.drop_volumes(&owners);
        let parts = if all { parts(&customers) } else { vec![None] };
        for part in &parts {
            let files = files_to_read(&self.reader, part.as_ref(), found, &always);
            always.extend(self.take_volumes(&files));
        }
        let volumes = self.named_volumes();
        let (mut changes, mut freed) = (Changes::default(), BTreeSet::new());
        for part in &parts {
            let files = files_to_read(&self.reader, part.as_ref(), found, &always);
            let mut read = load(files, found.problems.clone(), (&owners, &volumes), contents, &self.sealing);
            // A change of the rules has everything read.
            if all {
                self.take_rules(&read);
            }
            freed.extend(self.settle_volumes(&read));
            read.invalid.retain(|name, _| !freed.contains(name));
            self.merge(read, trigger, &mut changes);
        }
        // Each round has fewer volumes named than the one before.
        while !freed.is_empty() {
            let files = concerned(&self.reader, &source::Changes::default(), &freed);
            let volumes = self.named_volumes();
            let mut read = load(files, found.problems.clone(), (&owners, &volumes), contents, &self.sealing);
            freed = self.settle_volumes(&read);
            read.invalid.retain(|name, _| !freed.contains(name));
            self.merge(read, trigger, &mut changes);
        }
        self.names = names;
        if complete {
            let there = self.names.iter().cloned().chain(found.problems.iter().map(name_of)).collect();
            self.drop_missing(&there, &found.problems, trigger, now, &mut changes);
        }
        self.restore(&found.problems, contents, &mut changes);
        self.take_inventory(found.problems.is_empty(), (!complete).then_some(&changes.read));
        changes.events.extend(changes.removed.iter().map(|name| self.spec_removed(name, trigger)));
        changes
    }

    /// The events of the last reading are in the log: remembers that they were told. Until then a
    /// crash has them told again, and none is lost.
    pub fn note_told(&mut self) {
        self.untold.clear();
        self.git_trouble.note_told();
        // Before it is noted which ones were told: that says which of those kept is the last one.
        if self.rules_known {
            self.last_good.keep_fleet(self.reader.text(parse::FLEET_FILE).as_deref());
        }
        if let Err(error) = self.last_good.save() {
            tracing::warn!(%error, "cannot keep the last good specs; a restart may find none");
        }
        if let Err(error) = self.told.save() {
            tracing::warn!(%error, "cannot remember which specs were told of");
        }
    }

    /// Takes up who has a file now, and says who of the changed ones had none before or has none any more.
    fn take_names(&mut self, found: &source::Changes, all: bool) -> BTreeSet<String> {
        let moved = came_or_went(&self.names, &self.reader, found);
        match all || !found.gone.is_empty() {
            true => self.names = names_of(&self.reader).map(str::to_owned).collect(),
            false => self.names.extend(moved.iter().cloned()),
        }
        moved
    }

    /// Customers whose spec may mean something else although their file did not change: those that name
    /// content or what is a customer's who came or went, and those that may be invalid for the lack of it.
    fn to_look_at(&self, moved: &BTreeSet<String>) -> BTreeSet<String> {
        let moved: BTreeSet<&str> = moved.iter().map(String::as_str).collect();
        let is_moved = |customer: &Customer| !moved.is_empty() && fleet::names_of_any(customer, &moved);
        let naming = self.customers.values().filter(|customer| customer.names_files() || is_moved(customer));
        naming.map(|customer| customer.name.clone()).chain(self.invalid().map(str::to_owned)).collect()
    }

    /// Takes note of what was read, and writes nothing down.
    pub fn look(&mut self, read: Read, now: Timestamp) {
        let there = read.customers.keys().chain(read.invalid.keys()).cloned().collect();
        let problems = read.problems.clone();
        self.take_rules(&read);
        let mut changes = Changes::default();
        self.merge(read, Trigger::Manual, &mut changes);
        self.drop_missing(&there, &problems, Trigger::Manual, now, &mut changes);
        self.take_inventory(problems.is_empty(), None);
    }

    /// The rules for removal. Where nobody knows them, nothing is removed.
    fn take_rules(&mut self, read: &Read) {
        self.rules_known = read.fleet.is_some();
        if let Some(fleet) = &read.fleet {
            self.rules_seen = true;
            self.policy = PrunePolicy::of(&fleet.prune);
            self.fleet = Arc::clone(fleet);
        }
    }
}

#[cfg(test)]
mod tests;
