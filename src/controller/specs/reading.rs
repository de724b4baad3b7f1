//! The specs as they stand in the directory or commit, read and checked, without memory of before.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::volumes::all_of;
use super::{Owners, Sealing};
use crate::config::Config;
use crate::source::git::{self, Revision, Tree};
use crate::source::{self, Beside, Problem, Reader, SourceError};
use crate::spec::Customer;
use crate::spec::diagnostics::{Diagnostic, Severity};
use crate::spec::fleet::{Fleet, NamedVolumes, free_volumes};
use crate::spec::parse::{self, SpecFiles};

/// The specs as they stand in the directory.
pub struct Read {
    pub customers: BTreeMap<String, Customer>,
    /// The first error of each customer that has any, and how many more.
    pub invalid: BTreeMap<String, String>,
    /// What could not be read; customers beneath are unknown, not removed.
    pub problems: Vec<Problem>,
    /// The files of the templates beneath each of `customers` that has any.
    pub templates: BTreeMap<String, Vec<String>>,
    /// The fleet's rules; `None`: nobody knows them.
    pub fleet: Option<Arc<Fleet>>,
    /// The commit they are of.
    pub revision: Option<Revision>,
}

/// Reads and checks all specs. What is an owner's is nobody else's, whether it has a file or not.
///
/// # Errors
/// When the directory cannot be read.
pub fn read_dir(dir: &Path, sealing: &Sealing, owners: &Owners) -> Result<Read, SourceError> {
    Ok(load_all(source::read(dir)?, owners, &Beside::new(dir, sealing.standing), sealing))
}

/// Reads and checks the specs that the configuration names: those of the directory, or of the
/// last good commit.
///
/// # Errors
/// When they cannot be read.
pub fn read_configured(config: &Config, sealing: &Sealing) -> Result<Read, SourceError> {
    let owners = Owners::of(&config.state_dir);
    match &config.git {
        None => read_dir(&config.specs_dir, sealing, &owners),
        Some(git) => Ok(read_tree(&git::read_last(git, &config.state_dir)?, sealing, &owners)),
    }
}

/// Checks all specs of a commit, as `read_dir` does.
pub fn read_tree(tree: &Tree, sealing: &Sealing, owners: &Owners) -> Read {
    let contents = Beside::of_commit(tree, sealing.standing);
    let read = load_all(tree.snapshot.clone(), owners, &contents, sealing);
    Read { revision: Some(tree.revision.clone()), ..read }
}

/// Reads all as `Specs` does that were there all the time: who had a volume lets go of it by a spec that is valid.
fn load_all(snapshot: source::Snapshot, owners: &Owners, contents: &Beside, sealing: &Sealing) -> Read {
    let source::Snapshot { files, problems } = snapshot;
    let names = owners.names.iter().map(String::as_str).collect();
    let mut held = owners.volumes.clone();
    while !held.is_empty() {
        let read = load(files.clone(), problems.clone(), (&names, &all_of(&held)), contents, sealing);
        let is_freed = |(name, customer): (&String, &Customer)| {
            held.get(name).is_some_and(|before| !before.is_subset(&free_volumes(customer)))
        };
        if read.invalid.is_empty() || !read.customers.iter().any(is_freed) {
            return read;
        }
        held.retain(|name, _| !read.customers.contains_key(name));
    }
    load(files, problems, (&names, &NamedVolumes::default()), contents, sealing)
}

/// Why nobody knows the fleet's rules.
pub(super) fn rules_unread(problems: &[Problem]) -> Option<&Problem> {
    problems.iter().find(|problem| problem.covers(parse::FLEET_FILE))
}

/// `customers` are the names of those that have files, or stacks, which are not among these, and the volumes that all name.
pub(super) fn load(
    files: BTreeMap<String, String>,
    problems: Vec<Problem>,
    (customers, volumes): (&BTreeSet<&str>, &NamedVolumes),
    contents: &Beside,
    sealing: &Sealing,
) -> Read {
    let mut invalid: BTreeMap<String, String> = BTreeMap::new();
    // Who has a file that cannot be read is there all the same.
    let unread: Vec<String> = problems.iter().map(name_of).collect();
    let customers: BTreeSet<&str> =
        customers.iter().copied().chain(unread.iter().map(String::as_str)).collect();
    for problem in &problems {
        invalid.insert(name_of(problem), told(problem));
    }
    let mut loaded = parse::load_some(&SpecFiles { files }, &customers, volumes, contents);
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
    let fleet = loaded.fleet.filter(|_| rules_unread(&problems).is_none()).map(Arc::new);
    Read {
        customers: loaded.customers,
        invalid,
        problems,
        templates: loaded.templates,
        fleet,
        revision: None,
    }
}

/// Customers that are read at a time where all are: read at once, a large fleet would stand here twice.
pub(super) const PART_MAX: usize = 200;

/// All customers in parts; one of none where there are none, for the rules are read all the same.
pub(super) fn parts<'a>(customers: &BTreeSet<&'a str>) -> Vec<Option<BTreeSet<&'a str>>> {
    let all: Vec<&str> = customers.iter().copied().collect();
    match all.is_empty() {
        true => vec![Some(BTreeSet::new())],
        false => all.chunks(PART_MAX).map(|part| Some(part.iter().copied().collect())).collect(),
    }
}

/// The files of a part of all customers, else those that what changed may make mean something else.
pub(super) fn files_to_read(
    reader: &Reader,
    part: Option<&BTreeSet<&str>>,
    found: &source::Changes,
    always: &BTreeSet<String>,
) -> BTreeMap<String, String> {
    match part {
        Some(part) => files_of(reader, part),
        None => concerned(reader, found, always),
    }
}

/// The files of these customers, and what all share.
fn files_of(reader: &Reader, customers: &BTreeSet<&str>) -> BTreeMap<String, String> {
    let is_wanted =
        |(file, _): &(&str, &str)| customer_of(file).is_none_or(|customer| customers.contains(customer));
    reader.files().filter(is_wanted).map(|(file, text)| (file.to_owned(), text.to_owned())).collect()
}

/// The customers that have files, each as often as it has.
pub(super) fn names_of(reader: &Reader) -> impl Iterator<Item = &str> {
    reader.files().filter_map(|(file, _)| customer_of(file))
}

/// Of the customers whose files changed, those that had none before (`names` had one) or have none now.
pub(super) fn came_or_went(
    names: &BTreeSet<String>,
    reader: &Reader,
    found: &source::Changes,
) -> BTreeSet<String> {
    let now: BTreeSet<&str> =
        if found.gone.is_empty() { BTreeSet::new() } else { names_of(reader).collect() };
    let came =
        found.changed.iter().filter_map(|file| customer_of(file)).filter(|name| !names.contains(*name));
    let went = found.gone.iter().filter_map(|file| customer_of(file)).filter(|name| !now.contains(name));
    came.chain(went).map(str::to_owned).collect()
}

/// The files that what changed may make mean something else, with what they share.
pub(super) fn concerned(
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
pub(super) fn customer_of(file: &str) -> Option<&str> {
    if parse::is_shared(file) {
        return None;
    }
    let name = file.rsplit('/').next().unwrap_or(file);
    Some(name.strip_suffix(".toml").unwrap_or(name))
}

/// Whom it is told of: a customer, or a file that customers share or a folder, by its path, which is nobody's name.
pub(super) fn name_of(problem: &Problem) -> String {
    if parse::is_shared(&problem.file) {
        return problem.file.clone();
    }
    let name = problem.file.rsplit('/').next().unwrap_or(&problem.file);
    // All else that is listed and is no spec by its name is a folder, or may be one.
    name.strip_suffix(".toml").map_or_else(|| format!("{}/", problem.file), str::to_owned)
}

/// What is wrong, with its place.
fn told(problem: &Problem) -> String {
    match name_of(problem) {
        folder if folder.ends_with('/') => {
            format!("the folder {folder} {}; the customers in it stay as they are", problem.message)
        }
        _ => format!("{}: {}", problem.file, problem.message),
    }
}

pub(super) fn first_of(diagnostics: &[Diagnostic]) -> String {
    let errors: Vec<&Diagnostic> =
        diagnostics.iter().filter(|found| found.severity == Severity::Error).collect();
    let first = errors.first().map(|found| found.one_line()).unwrap_or_default();
    match errors.len() {
        0 | 1 => first,
        more => format!("{first} (and {} more; `skep lint` shows all)", more - 1),
    }
}
