//! Volumes under names that do not say whose they are: no manager sees who made a volume, so the specs have to tell.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fleet, VALUE, Violations, is_match, owner};
use crate::spec::Customer;

/// Customers by the volumes that they name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedVolumes(BTreeMap<String, BTreeSet<String>>);

impl NamedVolumes {
    /// Notes what a customer names.
    pub fn add(&mut self, customer: &str, volumes: &BTreeSet<String>) {
        for volume in volumes {
            self.0.entry(volume.clone()).or_default().insert(customer.to_owned());
        }
    }

    /// Those who name a volume that another one names as well.
    pub fn sharers(&self) -> BTreeSet<&str> {
        self.0.values().filter(|users| users.len() > 1).flatten().map(String::as_str).collect()
    }

    /// Those who name one of these volumes.
    pub fn users<'a>(
        &'a self,
        volumes: impl Iterator<Item = &'a String> + 'a,
    ) -> impl Iterator<Item = &'a str> {
        volumes.filter_map(|volume| self.0.get(volume)).flatten().map(String::as_str)
    }

    fn another(&self, volume: &str, own: &str) -> Option<&str> {
        self.0.get(volume)?.iter().map(String::as_str).find(|user| *user != own)
    }
}

/// The customer's volumes whose names do not begin with its own: somebody else may name them as well.
pub fn free_volumes(customer: &Customer) -> BTreeSet<String> {
    let own = format!("{}_", customer.name);
    let names = customer.volumes.values().map(|volume| &volume.name);
    names.filter(|name| !name.starts_with(&own)).cloned().collect()
}

/// Nobody shares a volume unasked. What bears a customer's name is told of elsewhere.
pub(super) fn check(
    fleet: &Fleet,
    customer: &Customer,
    customers: &BTreeSet<&str>,
    named: &NamedVolumes,
    found: &mut Violations,
) {
    let granted = fleet.grants.get(&customer.name).map(Vec::as_slice).unwrap_or_default();
    let own = format!("{}_", customer.name);
    let is_free = |name: &str| !name.starts_with(&own) && owner(name, customers).is_none();
    for volume in customer.volumes.values().filter(|volume| is_free(&volume.name)) {
        let Some(another) = named.another(&volume.name, &customer.name) else { continue };
        if granted.iter().any(|pattern| is_match(pattern, &volume.name)) {
            continue;
        }
        let message = format!("customer {another} names the volume `{VALUE}`, too");
        let help = format!(
            "take another name, or have it granted in fleet.toml: `[grants]` with `{} = [\"{VALUE}\"]`",
            customer.name
        );
        found.add_value(&["volumes", &volume.key], &volume.name, message, &help);
    }
}
