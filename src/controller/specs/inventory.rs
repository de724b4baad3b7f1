//! What the specs say about removal, and the customers whose file is gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Changes, Specs, Told, told};
use crate::events::{Kind, NewEvent, Reason, Trigger};
use crate::plan::prune::{Gone, Inventory};
use crate::source::Problem;
use crate::spec::{Customer, parse};

impl Specs {
    /// The stack of a customer whose file is gone is gone too.
    pub fn stack_removed(&mut self, name: &str) {
        if self.told.get(name).is_none_or(|told| told.gone.is_none()) {
            return;
        }
        self.told.forget(name);
        Arc::make_mut(&mut self.inventory).gone.remove(name);
        if let Err(error) = self.told.save() {
            tracing::warn!(%error, "cannot remember that the stack is gone");
        }
    }

    /// Takes up what is known now: of those that were read, or of all.
    pub(super) fn take_inventory(&mut self, complete: bool, read: Option<&BTreeSet<String>>) {
        if read.is_none() {
            self.inventory = Arc::default();
        }
        let inventory = Arc::make_mut(&mut self.inventory);
        inventory.complete = complete && self.rules_known;
        inventory.policy = self.policy.clone();
        inventory.fleet = Arc::clone(&self.fleet);
        let all = || self.told.iter().map(|(name, _)| name).chain(self.customers.keys());
        let names: Vec<&String> = read.map_or_else(|| all().collect(), |read| read.iter().collect());
        for name in names {
            place(inventory, name, self.told.get(name), self.customers.get(name));
        }
    }

    pub(super) fn spec_removed(&self, name: &str, trigger: Trigger) -> NewEvent {
        let message = match self.inventory.due(name) {
            Some(due) => format!(
                "the spec is gone: the stack is removed at {due}, unless the file is put back before; volumes stay"
            ),
            None => "the spec is gone; its services stay as they are".to_owned(),
        };
        told::event(name, trigger, Kind::Warning, Reason::SpecRemoved, message)
    }

    /// Drops the customers that no file is of any more.
    pub(super) fn drop_missing(
        &mut self,
        there: &BTreeSet<String>,
        problems: &[Problem],
        trigger: Trigger,
        now: Timestamp,
        changes: &mut Changes,
    ) {
        let unknown = |name: &str| {
            let file = self.customers.get(name).map(|customer| customer.file.as_str());
            // A customer of before a restart stood in some folder that nobody remembers.
            file.map_or(!problems.is_empty(), |file| problems.iter().any(|problem| problem.covers(file)))
        };
        let names = self.told.iter().map(|(name, _)| name);
        let missing = names.filter(|name| !there.contains(*name) && !unknown(name));
        let missing: Vec<String> = missing.cloned().collect();
        for name in missing {
            changes.replaced.extend(self.customers.remove(&name));
            self.last_good.forget(&name);
            let Some(told) = self.told.get(&name).cloned() else { continue };
            if parse::is_shared(&name) {
                self.told.forget(&name);
                let message = format!("{name} is mended, or gone");
                changes.events.push(told::event(&name, trigger, Kind::Normal, Reason::Recovered, message));
                continue;
            }
            match told.gone {
                // A clock that was put back puts nothing off.
                Some(since) => {
                    self.told.set(&name, Told { gone: Some(now.min(since)), ..told });
                    continue;
                }
                // Nothing was ever made of what was never valid.
                None if told.hash.is_none() => self.told.forget(&name),
                None => drop(self.told.set(&name, Told { gone: Some(now), ..told })),
            }
            changes.removed.insert(name);
        }
    }
}

fn place(inventory: &mut Inventory, name: &str, told: Option<&Told>, spec: Option<&Arc<Customer>>) {
    let gone = told.and_then(|told| Some(Gone { since: told.gone?, keep: told.keep }));
    inventory.customers.remove(name);
    if spec.is_some() || (told.is_some() && gone.is_none()) {
        inventory.customers.insert(name.to_owned(), spec.cloned());
    }
    match gone {
        Some(gone) => drop(inventory.gone.insert(name.to_owned(), gone)),
        None => drop(inventory.gone.remove(name)),
    }
}
