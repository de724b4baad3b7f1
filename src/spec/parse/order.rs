//! `after`: the order in which services are changed.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Context, Item};
use super::tree::Value;
use crate::spec::Service;
use crate::text::nearest;

/// Refuses names of no service, and services that wait for themselves.
pub(super) fn check_order(cx: &mut Context<'_>, services: &Item<'_>, read: &BTreeMap<String, Service>) {
    if cx.partial || !matches!(services.node.value, Value::Table(_)) {
        return;
    }
    for (name, _, item) in services.entries(cx, "").unwrap_or_default() {
        let (Some(after), Some(service)) = (after(&item), read.get(name)) else { continue };
        let items = after.list(cx, "").unwrap_or_default();
        // Else one was faulty and has been reported.
        if items.len() != service.after.len() {
            continue;
        }
        let mut seen = BTreeSet::new();
        for (one, before) in items.into_iter().zip(service.after.iter().map(String::as_str)) {
            if !seen.insert(before) {
                one.error(cx, "the service stands here twice", "keep one of the two");
            } else if before == name {
                one.error(cx, "a service cannot wait for itself", "take it out");
            } else if !read.contains_key(before) {
                let help = nearest(before, read.keys().map(String::as_str));
                let help = help.map_or_else(String::new, |near| format!("did you mean `{near}`?"));
                one.error(cx, format!("there is no service `{}`", one.shown(before, 60)), help);
            } else if let Some(way) = way(read, before, name) {
                let message = format!("`{name}` waits for itself: {name} after {}", way.join(" after "));
                one.error(cx, message, "take one of them out");
            }
        }
    }
}

fn after<'t>(service: &Item<'t>) -> Option<Item<'t>> {
    let Value::Table(table) = &service.node.value else { return None };
    let node = &table.entries.get("after")?.node;
    matches!(node.value, Value::Array(_)).then(|| Item { key: format!("{}.after", service.key), node })
}

/// How one service comes to wait for another: the keys on the way, both ends included.
fn way<'s>(services: &'s BTreeMap<String, Service>, from: &'s str, to: &str) -> Option<Vec<&'s str>> {
    let mut ways: Vec<Vec<&str>> = vec![vec![from]];
    let mut seen = BTreeSet::from([from]);
    while let Some(way) = ways.pop() {
        let last = way.last().copied()?;
        if last == to {
            return Some(way);
        }
        for next in services.get(last).into_iter().flat_map(|service| &service.after) {
            if next == to || seen.insert(next) {
                ways.push(way.iter().copied().chain([next.as_str()]).collect());
            }
        }
    }
    None
}
