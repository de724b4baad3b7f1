//! Which customers name which volumes, over the whole fleet: two may not name the same unless both are granted it.

use std::collections::{BTreeMap, BTreeSet};

use super::Specs;
use super::reading::customer_of;
use crate::spec::NoContents;
use crate::spec::fleet::NamedVolumes;
use crate::spec::parse::{self, SpecFiles};

impl Specs {
    /// Takes up what volumes these files name, ahead of reading them for good, and gives the customers whom a change
    /// of that concerns.
    pub(super) fn take_volumes(&mut self, files: &BTreeMap<String, String>) -> BTreeSet<String> {
        let mut now = named(files);
        let mut moved = BTreeSet::new();
        for customer in files.keys().filter_map(|file| customer_of(file)) {
            let after = now.remove(customer).unwrap_or_default();
            let before = match after.is_empty() {
                true => self.volumes.remove(customer),
                false => self.volumes.insert(customer.to_owned(), after.clone()),
            };
            moved.extend(before.unwrap_or_default().symmetric_difference(&after).cloned());
        }
        let concerned = self.named_volumes();
        concerned.users(moved.iter()).map(str::to_owned).collect()
    }

    /// Forgets what those named who have neither a file nor a stack any more.
    pub(super) fn drop_volumes(&mut self, owners: &BTreeSet<&str>) {
        self.volumes.retain(|customer, _| owners.contains(customer.as_str()));
    }

    pub(super) fn named_volumes(&self) -> NamedVolumes {
        let mut all = NamedVolumes::default();
        for (customer, volumes) in &self.volumes {
            all.add(customer, volumes);
        }
        all
    }
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
