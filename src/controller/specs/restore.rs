//! After a restart: the last good spec of a customer whose file has errors now, or cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::last_good::{Good, Texts};
use super::reading::{PART_MAX, first_of, name_of};
use super::{Changes, Specs};
use crate::plan::prune::PrunePolicy;
use crate::source::{Beside, Problem};
use crate::spec::fleet::{NamedVolumes, free_volumes};
use crate::spec::parse::{self, Loaded, SpecFiles};
use crate::spec::{Content, ContentKey, Contents, Customer, FoundFile};

impl Specs {
    /// Keeps a spec that is in force, for the next start.
    pub(super) fn keep_good(&mut self, customer: &Customer, hash: &str, templates: Option<&Vec<String>>) {
        let (reader, key) = (&self.reader, &self.sealing.key);
        // Who only looks has read it elsewhere.
        let Some(text) = reader.text(&customer.file) else { return };
        let good = || {
            let files = templates.into_iter().flatten();
            Some(Good {
                hash: hash.to_owned(),
                file: customer.file.clone(),
                text,
                templates: files
                    .map(|file| Some((file.clone(), reader.text(file)?)))
                    .collect::<Option<Texts>>()?,
                outside: customer.outside(key.as_ref()?),
            })
        };
        self.last_good.keep(&customer.name, good, hash);
    }

    /// Whether a start would find the last good spec of a customer.
    pub fn keeps_last_good(&mut self, name: &str) -> bool {
        self.kept_file(name).is_some()
    }

    /// The file of the last good spec, if what is kept is what was in force.
    fn kept_file(&mut self, name: &str) -> Option<String> {
        let told = self.told.get(name).filter(|told| told.gone.is_none())?.hash.clone()?;
        let (hash, file) = self.last_good.kept(name)?;
        (hash == told).then_some(file)
    }

    /// Takes up the last good spec of all who have a file and no spec that is in force, under the fleet's rules of
    /// today.
    pub(super) fn restore(&mut self, problems: &[Problem], contents: &Beside, changes: &mut Changes) {
        let lacking = self.lacking(problems);
        let Some(key) = self.sealing.key.clone().filter(|_| !lacking.is_empty()) else { return };
        // Who cannot read the rules goes by those that were in force, and by none only where there were none.
        let fleet = match self.rules_known {
            true => Some(self.reader.text(parse::FLEET_FILE).map(|text| text.to_string())),
            false => self.last_good.fleet(),
        };
        let Some(fleet) = fleet else {
            tracing::warn!(
                "nobody knows the fleet's rules, nor what they were: who has errors is left alone"
            );
            return;
        };
        let fleet: BTreeMap<String, String> =
            fleet.map(|text| (parse::FLEET_FILE.to_owned(), text)).into_iter().collect();
        let unread = problems.iter().map(name_of);
        let told = self.told.iter().map(|(name, _)| name.clone());
        let others: BTreeSet<String> = self.names.iter().cloned().chain(told).chain(unread).collect();
        let others: BTreeSet<&str> = others.iter().map(String::as_str).collect();
        // Who only now wants a volume that was theirs does not take it from them.
        let mut volumes = NamedVolumes::default();
        self.customers.values().for_each(|customer| volumes.add(&customer.name, &free_volumes(customer)));
        // Read together, a large fleet costs no more than at any start.
        let mut alike: BTreeMap<Texts, Vec<(String, Good)>> = BTreeMap::new();
        for (name, mut good) in lacking {
            alike.entry(std::mem::take(&mut good.templates)).or_default().push((name, good));
        }
        for (templates, goods) in alike {
            for part in goods.chunks(PART_MAX) {
                let mut files = fleet.clone();
                files.extend(templates.iter().map(|(file, text)| (file.clone(), text.to_string())));
                files.extend(part.iter().map(|(_, good)| (good.file.clone(), good.text.to_string())));
                let files = SpecFiles { files };
                let mut loaded = parse::load_some(&files, &others, &volumes, &AsFarAsThere(contents));
                self.take_rules_of_before(&mut loaded);
                for (name, good) in part {
                    self.take_up(name, good, &mut loaded, &key, changes);
                }
            }
        }
    }

    /// Who has a file and no spec that is in force, with the last good one.
    fn lacking(&mut self, problems: &[Problem]) -> Vec<(String, Good)> {
        if self.told.len() == self.customers.len() {
            return Vec::new();
        }
        let unread: BTreeSet<String> = problems.iter().map(name_of).collect();
        let names = self.told.iter().filter(|(name, told)| {
            told.hash.is_some() && told.gone.is_none() && !self.customers.contains_key(*name)
        });
        let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
        let mut lacking = Vec::new();
        for name in names {
            let Some(file) = self.kept_file(&name) else { continue };
            let is_there = self.names.contains(&name) || unread.contains(&name);
            if is_there || problems.iter().any(|problem| problem.covers(&file)) {
                lacking.extend(self.last_good.good(&name).map(|good| (name, good)));
            }
        }
        lacking
    }

    fn take_up(
        &mut self,
        name: &str,
        good: &Good,
        loaded: &mut Loaded,
        key: &ContentKey,
        changes: &mut Changes,
    ) {
        let Some(mut customer) = loaded.customers.remove(name) else {
            let why = loaded.invalid.get(name).map(|all| first_of(all)).unwrap_or_default();
            tracing::debug!(customer = name, why, "its last good spec cannot be used");
            return;
        };
        customer.seal(key);
        customer.as_it_was(good.outside.clone(), key);
        tracing::info!(customer = name, "its last good spec, of before the restart, stays in force");
        self.hold_volumes(name, free_volumes(&customer));
        self.customers.insert(name.to_owned(), Arc::new(customer));
        changes.changed.insert(name.to_owned());
        changes.read.insert(name.to_owned());
    }

    /// The rules that were in force, where nobody knows those of today. They do not let anything be removed.
    fn take_rules_of_before(&mut self, loaded: &mut Loaded) {
        if let Some(fleet) = loaded.fleet.take().filter(|_| !self.rules_seen) {
            self.rules_seen = true;
            self.policy = PrunePolicy::of(&fleet.prune);
            self.fleet = Arc::new(fleet);
        }
    }
}

/// What is not there any more is unknown, and no error.
struct AsFarAsThere<'a>(&'a Beside);

impl AsFarAsThere<'_> {
    fn known(content: Content) -> Content {
        if matches!(content, Content::Found(_)) { content } else { Content::Unknown }
    }
}

impl Contents for AsFarAsThere<'_> {
    fn file(&self, path: &str, bytes_max: usize) -> FoundFile {
        let found = self.0.file(path, bytes_max);
        FoundFile { content: Self::known(found.content), ..found }
    }

    fn variable(&self, name: &str) -> Content {
        Self::known(self.0.variable(name))
    }
}

#[cfg(test)]
mod tests;
