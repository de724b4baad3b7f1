//! Which customers name which volumes, over the whole fleet: two may not name the same unless both are granted it.

use std::collections::{BTreeMap, BTreeSet};

use super::Specs;
use super::reading::{Read, customer_of};
use crate::spec::NoContents;
use crate::spec::fleet::{NamedVolumes, free_volumes};
use crate::spec::parse::{self, SpecFiles};

impl Specs {
    /// Takes up what volumes these files name, ahead of reading them for good, and gives the customers whom a change
    /// of that concerns. What was in force is named still: only `settle_volumes` lets go of it.
    pub(super) fn take_volumes(&mut self, files: &BTreeMap<String, String>) -> BTreeSet<String> {
        let mut now = named(files);
        let mut moved = BTreeSet::new();
        for customer in files.keys().filter_map(|file| customer_of(file)) {
            let mut after = now.remove(customer).unwrap_or_default();
            after.extend(self.held_volumes(customer));
            let before = match after.is_empty() {
                true => self.volumes.remove(customer),
                false => self.volumes.insert(customer.to_owned(), after.clone()),
            };
            moved.extend(before.unwrap_or_default().symmetric_difference(&after).cloned());
        }
        let concerned = self.named_volumes();
        concerned.users(moved.iter()).map(str::to_owned).collect()
    }

    /// Of whom the spec is valid, only what it names is named. Gives those whom it concerns that a name is free again;
    /// what was read of them is no more than a guess.
    pub(super) fn settle_volumes(&mut self, read: &Read) -> BTreeSet<String> {
        let mut freed = BTreeSet::new();
        for (name, customer) in &read.customers {
            let Some(before) = self.volumes.remove(name) else { continue };
            let now = free_volumes(customer);
            freed.extend(before.difference(&now).cloned());
            self.hold_volumes(name, now);
        }
        match freed.is_empty() {
            true => BTreeSet::new(),
            false => self.named_volumes().users(freed.iter()).map(str::to_owned).collect(),
        }
    }

    /// Takes up what a spec names that is in force again.
    pub(super) fn hold_volumes(&mut self, customer: &str, volumes: BTreeSet<String>) {
        if !volumes.is_empty() {
            self.volumes.entry(customer.to_owned()).or_default().extend(volumes);
        }
    }

    /// What the customer's tasks may have mounted, whatever its file says now.
    fn held_volumes(&self, customer: &str) -> BTreeSet<String> {
        let told = self.told.get(customer).map(|told| told.volumes.clone()).unwrap_or_default();
        let in_force = self.customers.get(customer).map(|customer| free_volumes(customer));
        told.into_iter().chain(in_force.unwrap_or_default()).collect()
    }

    /// Forgets what those named who have neither a file nor a stack any more.
    pub(super) fn drop_volumes(&mut self, owners: &BTreeSet<&str>) {
        self.volumes.retain(|customer, _| owners.contains(customer.as_str()));
    }

    pub(super) fn named_volumes(&self) -> NamedVolumes {
        all_of(&self.volumes)
    }
}

pub(super) fn all_of(volumes: &BTreeMap<String, BTreeSet<String>>) -> NamedVolumes {
    let mut all = NamedVolumes::default();
    volumes.iter().for_each(|(customer, volumes)| all.add(customer, volumes));
    all
}

/// The free names of volumes in these files, by customer. Only files that may have any are read.
fn named(files: &BTreeMap<String, String>) -> BTreeMap<String, BTreeSet<String>> {
    // A template's may be filled in by any customer.
    let all = files.iter().any(|(file, text)| parse::is_shared(file) && may_name(text));
    let is_wanted = |(file, text): &(&String, &String)| all || parse::is_shared(file) || may_name(text);
    let wanted: BTreeMap<String, String> =
        files.iter().filter(is_wanted).map(|(file, text)| (file.clone(), text.clone())).collect();
    if wanted.keys().all(|file| parse::is_shared(file)) {
        return BTreeMap::new();
    }
    let nobody = BTreeSet::new();
    parse::load_some(&SpecFiles { files: wanted }, &nobody, &NamedVolumes::default(), &NoContents).volumes
}

/// A key may be written with escapes.
fn may_name(text: &str) -> bool {
    text.contains('\\') || (text.contains("volumes") && (text.contains("name") || text.contains("external")))
}
