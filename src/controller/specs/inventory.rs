//! What the specs say about removal, and the customers whose file is gone.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Changes, Specs, told};
use crate::events::{Kind, NewEvent, Reason, Trigger};
use crate::plan::prune::{Gone, Inventory};
use crate::source::Problem;

impl Specs {
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

    pub(super) fn take_inventory(&mut self, complete: bool) {
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
}
