//! What is removed: services and networks of skep's that no spec names any more, a little at
//! a time. Volumes never.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Action, Cause, ImageView, Input, ObjectKind, Plan, Step, Waiting, Write, fields, labels};
use crate::memory::Removed;
use crate::spec::fleet::Fleet;
use crate::spec::{Customer, TagPattern};
use crate::state::{ObservedNetwork, ObservedService, ObservedState, WaitingReason};

/// The fleet's rules for removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrunePolicy {
    /// Whether anything is removed at all.
    pub enabled: bool,
    /// How long after a customer's file is gone its stack goes too; also the time within which
    /// removals are counted together.
    pub grace: Duration,
    /// Percent of the services that skep manages of which more are never removed at once.
    pub share: u8,
}

impl PrunePolicy {
    /// As `fleet.toml` says it.
    pub fn of(rules: &crate::spec::fleet::Prune) -> Self {
        // A share is 0 to 1; what is less than a percent is not meant to round to more.
        let percent = (rules.share.clamp(0.0, 1.0) * 100.0 + 1e-9).floor();
        let share = (0..=100u8).rev().find(|share| f64::from(*share) <= percent).unwrap_or(0);
        Self { enabled: rules.enabled, grace: rules.grace, share }
    }
}

impl Default for PrunePolicy {
    fn default() -> Self {
        Self { enabled: true, grace: Duration::from_secs(600), share: 20 }
    }
}

/// Removals are counted together for at least this long, however short the grace is.
const COUNTED_MIN: Duration = Duration::from_secs(60);

/// What the specs of the whole fleet say about removal and adoption. The default lets nothing be removed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// Every customer that has a file; `None` where nobody knows what the file says.
    pub customers: BTreeMap<String, Option<Arc<Customer>>>,
    /// Customers whose file is gone, and whose stack is not yet.
    pub gone: BTreeMap<String, Gone>,
    /// Whether all of the specs directory could be read.
    pub complete: bool,
    pub policy: PrunePolicy,
    /// The rules that what is taken over has to keep.
    pub fleet: Arc<Fleet>,
    /// A person asked for all removals now.
    pub allowed: bool,
    /// A person asked for changes, but not for whole stacks to go: those that are due wait.
    pub stacks_wait: bool,
}

/// A customer's file that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gone {
    pub since: Timestamp,
    /// It said `prune = false`: the stack stays.
    pub keep: bool,
}

/// What the planner knows about removal.
#[derive(Clone, Copy, Debug)]
pub struct Prune<'a> {
    pub inventory: &'a Inventory,
    /// What was removed before, by full name.
    pub removed: &'a BTreeMap<String, Removed>,
}

/// How a customer stands as to removal.
enum Standing<'a> {
    /// What the spec does not name goes.
    Named(&'a Customer),
    /// What the spec does not name stays, for `prune` is off.
    Off(&'a Customer, &'static str),
    /// All goes.
    Due,
    /// All goes later.
    Grace(Timestamp),
    /// Nothing goes.
    Stays,
}

impl Inventory {
    /// When the stack of a customer that is gone is to be removed; `None` if it never is.
    pub fn due(&self, customer: &str) -> Option<Timestamp> {
        let gone = self.gone.get(customer).filter(|gone| self.policy.enabled && !gone.keep)?;
        let grace = if self.allowed { Duration::ZERO } else { self.policy.grace };
        let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
        Some(gone.since.saturating_add(grace).unwrap_or(Timestamp::MAX))
    }

    fn standing(&self, customer: &str, now: Timestamp) -> Standing<'_> {
        match self.customers.get(customer) {
            Some(Some(spec)) if spec.suspend.as_ref().is_some_and(|hold| hold.holds(now)) => Standing::Stays,
            Some(Some(spec)) if !spec.prune => Standing::Off(spec, "`prune = false` in its file"),
            Some(Some(spec)) if !self.policy.enabled => Standing::Off(spec, "`prune` is off in fleet.toml"),
            Some(Some(spec)) => Standing::Named(spec),
            Some(None) => Standing::Stays,
            None => match self.due(customer).filter(|_| self.complete) {
                Some(due) if due <= now => Standing::Due,
                Some(due) => Standing::Grace(due),
                None => Standing::Stays,
            },
        }
    }
}

/// Whether the customer has what no spec names: to decide on that the planner must see all of the
/// Swarm, and know what was removed lately.
pub fn finds_any(inventory: &Inventory, observed: &ObservedState, customer: &str, now: Timestamp) -> bool {
    let standing = inventory.standing(customer, now);
    owned_services(observed, customer).any(|(key, _)| unnamed(&standing, key))
        || unnamed_networks(observed, &standing, customer).next().is_some()
}

/// Adds to the plan what is to be removed, and what of it waits and why.
pub(super) fn decide(input: &Input<'_>, plan: &mut Plan) {
    let Some(prune) = input.prune else { return };
    let (inventory, observed) = (prune.inventory, input.observed);
    let customer = plan.customer.as_str();
    let standing = inventory.standing(customer, input.now);
    let found: Vec<(&str, &ObservedService)> =
        owned_services(observed, customer).filter(|(key, _)| unnamed(&standing, key)).collect();
    let wait = |key: &str, reason, message: String| Waiting { service: key.to_owned(), reason, message };
    if let Standing::Grace(due) = standing {
        let message = format!(
            "its file is gone: the stack is removed at {due}, unless the file is put back or says `prune = false`"
        );
        plan.waiting.push(wait("", WaitingReason::SpecRemoved, message));
        return;
    }
    if let Standing::Off(_, why) = standing {
        plan.waiting.extend(found.iter().map(|(key, _)| {
            let message = format!("no spec names {customer}_{key} any more; it stays, for {why}");
            wait(key, WaitingReason::PruneDisabled, message)
        }));
        return;
    }
    if !found.is_empty()
        && let Some(why) = held(prune, observed, input.now)
    {
        plan.waiting.extend(found.iter().map(|(key, _)| wait(key, WaitingReason::PruneHeld, why.clone())));
        return;
    }
    let why = match standing {
        Standing::Due => format!("the file of {customer} is gone"),
        _ => "its spec no longer names it".to_owned(),
    };
    let mut steps: Vec<Step> = found.iter().map(|(key, found)| service(key, found, &why)).collect();
    // What services still use, the engine would not remove: that is for the next pass.
    steps.extend(networks(input, &standing, customer));
    if matches!(standing, Standing::Due) && found.is_empty() {
        steps.extend(blobs(observed, customer));
        plan.is_gone = steps.is_empty() && own_networks(observed, customer).next().is_none();
    }
    let waits = matches!(standing, Standing::Due) && inventory.stacks_wait && !inventory.allowed;
    if !waits {
        plan.steps.extend(steps);
    } else if !steps.is_empty() {
        let message = format!("{why}; its stack goes by `skep run` or `skep apply --allow-prune`");
        let keys: BTreeSet<&str> = steps.iter().filter_map(|step| step.service.as_deref()).collect();
        // What is left of a stack without services is of the customer as a whole.
        let keys = if keys.is_empty() { BTreeSet::from([""]) } else { keys };
        plan.waiting.extend(keys.iter().map(|key| wait(key, WaitingReason::PruneHeld, message.clone())));
    }
}

/// The services that are the customer's by label and name, with their keys.
fn owned_services<'o>(
    observed: &'o ObservedState,
    customer: &'o str,
) -> impl Iterator<Item = (&'o str, &'o ObservedService)> {
    named_after(&observed.services, customer)
        .filter(move |(_, found)| found.label(labels::CUSTOMER) == Some(customer))
}

/// Objects named after the customer, with what follows.
fn named_after<'o, T>(
    objects: &'o BTreeMap<String, T>,
    customer: &str,
) -> impl Iterator<Item = (&'o str, &'o T)> {
    let prefix = format!("{customer}_");
    let after = objects.range(prefix.clone()..);
    after.map_while(move |(name, found)| Some((name.strip_prefix(&prefix)?, found)))
}

fn unnamed(standing: &Standing<'_>, key: &str) -> bool {
    match standing {
        Standing::Named(spec) | Standing::Off(spec, _) => !spec.services.contains_key(key),
        Standing::Due => true,
        Standing::Grace(_) | Standing::Stays => false,
    }
}

/// Why removals wait for a person: too many are due, over all customers, counted together with
/// those of a while ago.
fn held(prune: Prune<'_>, observed: &ObservedState, now: Timestamp) -> Option<String> {
    let Prune { inventory, removed } = prune;
    if inventory.allowed {
        return None;
    }
    const MEND: &str = "`skep apply --allow-prune` removes them";
    if inventory.customers.is_empty() {
        return Some(format!("no customer has a file any more, which may be a mistake; {MEND}"));
    }
    let policy = &inventory.policy;
    let window = SignedDuration::try_from(policy.grace.max(COUNTED_MIN)).unwrap_or(SignedDuration::MAX);
    let lately = removed.iter().filter(|(_, one)| one.counted && now.duration_since(one.time).abs() < window);
    let mut going: BTreeSet<&str> = lately.map(|(name, _)| name.as_str()).collect();
    let mut managed = going.clone();
    let mut standings: BTreeMap<&str, Standing<'_>> = BTreeMap::new();
    for (name, found) in &observed.services {
        let Some((customer, (prefix, key))) = found.label(labels::CUSTOMER).zip(name.split_once('_')) else {
            continue;
        };
        if prefix != customer {
            continue;
        }
        managed.insert(name);
        let standing = standings.entry(customer).or_insert_with(|| inventory.standing(customer, now));
        if unnamed(standing, key) && !matches!(standing, Standing::Off(..)) {
            going.insert(name);
        }
    }
    // A customer's name has no underscore.
    let customers: BTreeSet<&str> = going.iter().filter_map(|name| name.split('_').next()).collect();
    let within = going.len() * 100 <= managed.len() * usize::from(policy.share);
    (!within && customers.len() > 1).then(|| {
        format!(
            "{} of {} services would go within {}, which is more than {} %; {MEND}, and so does a larger share",
            going.len(),
            managed.len(),
            humantime::format_duration(policy.grace.max(COUNTED_MIN)),
            policy.share
        )
    })
}

fn service(key: &str, found: &ObservedService, why: &str) -> Step {
    let image = ImageView::of_text(fields::image(&found.spec), &TagPattern::default());
    Step {
        service: Some(key.to_owned()),
        from: Some(image),
        message: format!("{key} removed: {why}"),
        ..removal(ObjectKind::Service, &found.name, &found.id)
    }
}

/// Networks that the spec does not name and nothing uses.
fn networks(input: &Input<'_>, standing: &Standing<'_>, customer: &str) -> Vec<Step> {
    let observed = input.observed;
    let unused = unnamed_networks(observed, standing, customer).filter(|network| {
        !observed.services.values().any(|service| uses(&service.spec, &[&network.id, &network.name]))
    });
    unused.map(|network| object(ObjectKind::Network, &network.name, &network.id)).collect()
}

fn unnamed_networks<'o>(
    observed: &'o ObservedState,
    standing: &'o Standing<'_>,
    customer: &'o str,
) -> impl Iterator<Item = &'o ObservedNetwork> {
    own_networks(observed, customer).filter(move |network| match standing {
        Standing::Named(spec) => !names_network(spec, &network.name),
        Standing::Due => true,
        Standing::Off(..) | Standing::Grace(_) | Standing::Stays => false,
    })
}

fn own_networks<'o>(
    observed: &'o ObservedState,
    customer: &'o str,
) -> impl Iterator<Item = &'o ObservedNetwork> {
    let own = named_after(&observed.networks, customer).map(|(_, network)| network);
    own.filter(move |network| network.labels.get(labels::CUSTOMER).map(String::as_str) == Some(customer))
}

fn names_network(spec: &Customer, name: &str) -> bool {
    spec.networks.values().any(|network| network.name == name)
        || spec.services.values().any(|service| fields::joins(spec, service, name))
}

fn uses(spec: &Value, names: &[&str]) -> bool {
    let lists =
        ["/TaskTemplate/Networks", "/Networks"].into_iter().filter_map(|at| spec.pointer(at)?.as_array());
    let targets = lists.flatten().filter_map(|one| one.get("Target")?.as_str());
    targets.into_iter().any(|target| names.contains(&target))
}

/// Secrets and configs of a stack whose services are gone.
fn blobs(observed: &ObservedState, customer: &str) -> Vec<Step> {
    let kinds = [(ObjectKind::Secret, &observed.secrets), (ObjectKind::Config, &observed.configs)];
    let mut steps = Vec::new();
    for (kind, all) in kinds {
        let own = named_after(all, customer).map(|(_, blob)| blob);
        let own = own.filter(|blob| blob.labels.get(labels::CUSTOMER).map(String::as_str) == Some(customer));
        steps.extend(own.map(|blob| object(kind, &blob.name, &blob.id)));
    }
    steps
}

fn object(kind: ObjectKind, name: &str, id: &str) -> Step {
    let message = format!("{} {name} removed: nothing uses it", kind.as_str());
    Step { message, ..removal(kind, name, id) }
}

fn removal(kind: ObjectKind, name: &str, id: &str) -> Step {
    Step {
        action: Action::Remove,
        kind,
        name: name.to_owned(),
        service: None,
        cause: Cause::Unnamed,
        from: None,
        to: None,
        changes: Vec::new(),
        drift: Vec::new(),
        message: String::new(),
        warnings: Vec::new(),
        target: format!("{REMOVED}{id}"),
        spec_hash: String::new(),
        write: Write::Remove { id: id.to_owned() },
    }
}

const REMOVED: &str = "removed ";

/// Whether an intent's target is a removal.
pub fn is_removal(target: &str) -> bool {
    target.starts_with(REMOVED)
}

/// Whether a target is a removal, and then whether nothing has that ID any more.
pub fn is_removed(target: &str, observed: &ObservedState) -> Option<bool> {
    let id = target.strip_prefix(REMOVED)?;
    let there = observed.services.values().any(|one| one.id == id)
        || observed.networks.values().any(|one| one.id == id)
        || observed.secrets.values().chain(observed.configs.values()).any(|one| one.id == id);
    Some(!there)
}
