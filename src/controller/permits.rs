//! A person's permission to remove all of a customer, and when it ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Controller, Next};
use crate::events::Trigger;
use crate::plan::prune::Inventory;

/// Failed tries before a permission is used up, as `apply` has it.
const TRIES_MAX: u32 = 5;

/// Customers for whom a person asked for all removals.
#[derive(Default)]
pub(super) struct Permits(BTreeMap<String, Permit>);

struct Permit {
    /// How often passes may still fail.
    tries: u32,
    /// A pass has begun with it.
    used: bool,
}

impl Permits {
    fn give(&mut self, customer: &str) {
        self.0.insert(customer.to_owned(), Permit { tries: TRIES_MAX, used: false });
    }

    pub(super) fn has(&self, customer: &str) -> bool {
        self.0.contains_key(customer)
    }

    /// A pass begins, with the permission if there is one.
    pub(super) fn begin(&mut self, customer: &str) {
        if let Some(permit) = self.0.get_mut(customer) {
            permit.used = true;
        }
    }

    /// A pass is over. The permission ends when the customer has come to rest, or fails again and again; but
    /// not by a pass that had begun before it was given.
    pub(super) fn ended(&mut self, customer: &str, next: &Next) {
        let Some(permit) = self.0.get_mut(customer).filter(|permit| permit.used) else { return };
        match next {
            Next::Rolling | Next::Again => return,
            Next::Retry(_) if permit.tries > 1 => {
                permit.tries -= 1;
                return;
            }
            Next::Settled | Next::Retry(_) | Next::Contested(_) => {}
        }
        self.0.remove(customer);
    }

    /// The permission was for what stood then.
    pub(super) fn end(&mut self, customer: &str) {
        self.0.remove(customer);
    }
}

/// Who is meant and has a pass coming, by which a permission ends: of those that have a spec `in_force`, and
/// those that are gone and may go. Kept for others, it would remove things days later.
fn permitted<'a>(
    inventory: &'a Inventory,
    in_force: impl Fn(&str) -> bool,
    only: Option<&str>,
) -> impl Iterator<Item = &'a String> {
    let is_meant = move |name: &&String| only.is_none_or(|only| only == *name);
    let all = inventory.customers.keys().chain(inventory.gone.keys()).filter(is_meant);
    all.filter(move |name| in_force(name) || (inventory.complete && inventory.due(name).is_some()))
}

impl Controller {
    /// Whole stacks too, of customers whose file is gone.
    pub(super) fn allow_prune(&mut self, only: Option<&str>) {
        let inventory = Arc::clone(self.specs.inventory());
        let specs = &self.specs;
        let names: Vec<&String> = permitted(&inventory, |name| specs.get(name).is_some(), only).collect();
        for name in names {
            self.permits.give(name);
            if inventory.gone.contains_key(name) {
                self.want(name, Trigger::Manual, Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::prune::Gone;

    fn inventory(complete: bool) -> Inventory {
        let gone = |keep| Gone { since: jiff::Timestamp::UNIX_EPOCH, keep };
        Inventory {
            customers: ["acme", "broken"].map(|name| (name.to_owned(), None)).into(),
            gone: [("left".to_owned(), gone(false)), ("kept".to_owned(), gone(true))].into(),
            complete,
            ..Inventory::default()
        }
    }

    #[test]
    fn only_who_has_a_pass_coming_is_given_a_permission() {
        let names = |complete, only| {
            let inventory = inventory(complete);
            permitted(&inventory, |name| name == "acme", only).cloned().collect::<Vec<_>>()
        };
        assert_eq!(names(true, None), ["acme", "left"]);
        assert_eq!(names(false, None), ["acme"], "nothing goes while a part cannot be read");
        assert_eq!(names(true, Some("left")), ["left"]);
        assert!(names(true, Some("broken")).is_empty(), "its spec was invalid from the start");
        assert!(names(true, Some("kept")).is_empty(), "its stack is to stay");
    }

    #[test]
    fn only_a_pass_that_had_it_uses_it_up() {
        let mut permits = Permits::default();
        permits.give("acme");
        permits.ended("acme", &Next::Settled);
        assert!(permits.has("acme"), "that pass had begun before");
        permits.begin("acme");
        permits.ended("acme", &Next::Rolling);
        assert!(permits.has("acme"), "more is to be removed");
        // Asked for anew while a pass has the first one.
        permits.give("acme");
        permits.ended("acme", &Next::Settled);
        assert!(permits.has("acme"));
        permits.begin("acme");
        permits.ended("acme", &Next::Settled);
        assert!(!permits.has("acme"));
        permits.begin("acme");
        assert!(!permits.has("acme"), "who begins gets none by that");
    }

    #[test]
    fn it_ends_with_failures_in_a_row() {
        let mut permits = Permits::default();
        permits.give("acme");
        let fails = Next::Retry("down".into());
        permits.ended("acme", &fails);
        permits.begin("acme");
        for _ in 0..TRIES_MAX {
            assert!(permits.has("acme"));
            permits.ended("acme", &fails);
        }
        assert!(!permits.has("acme"));
    }
}
