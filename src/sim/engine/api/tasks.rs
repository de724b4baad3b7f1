//! `/tasks`.

use std::collections::BTreeSet;

use super::answer::{self, Answer, Refusal, ok};
use super::query::Filters;
use super::{Call, nodes, services, view};
use crate::sim::engine::state::{State, Task};

const FILTERS: [&str; 8] =
    ["name", "id", "label", "service", "node", "desired-state", "_up-to-date", "runtime"];

pub(super) fn list(call: &Call<'_>, _: &str) -> Answer {
    let filters = call.query.filters(&FILTERS)?;
    call.engine.read(|state| {
        let services =
            resolved(&filters, "service", |name| services::find(state, name).map(|s| s.object.id.clone()))?;
        let nodes = resolved(&filters, "node", |name| nodes::find(state, name).map(|n| n.object.id.clone()))?;
        for wanted in filters.get("desired-state") {
            if !is_state(wanted) {
                return Err(Refusal::server(format!("Invalid desired-state filter: '{wanted}'")));
            }
        }
        let found = candidates(state, &filters, &services)
            .into_iter()
            .filter(|task| services.is_empty() || services.contains(&task.service))
            .filter(|task| nodes.is_empty() || task.node.as_ref().is_some_and(|node| nodes.contains(node)))
            .filter(|task| fits(&filters, state, task))
            .map(view::task);
        answer::list(found)
    })
}

/// The tasks that filters of services and names leave, found by their index; in the order of their IDs.
fn candidates<'a>(state: &'a State, filters: &Filters, services: &BTreeSet<String>) -> Vec<&'a Task> {
    let of_names = || {
        // What follows the service's name begins with a dot.
        let named = filters.get("name").map(|name| name.split('.').next().unwrap_or_default());
        named.flat_map(|name| state.services.named(name)).map(|service| service.object.id.clone()).collect()
    };
    let services: BTreeSet<String> = match (services.is_empty(), filters.has("name")) {
        (false, _) => services.clone(),
        (true, true) => of_names(),
        (true, false) => return state.tasks.values().collect(),
    };
    let mut found: Vec<&Task> = services.iter().flat_map(|service| state.tasks.of(service)).collect();
    found.sort_by(|one, other| one.object.id.cmp(&other.object.id));
    found
}

fn fits(filters: &Filters, state: &State, task: &Task) -> bool {
    let states = !filters.has("desired-state")
        || filters.get("desired-state").any(|wanted| wanted.eq_ignore_ascii_case(task.desired.as_str()));
    let fresh = || {
        let service = state.services.get(&task.service);
        service.is_some_and(|service| service.spec_index == task.spec_index)
    };
    states
        && filters.prefix("id", &task.object.id)
        && filters.labels("label", None)
        && filters.exact("runtime", "container")
        && (!filters.has("name") || filters.get("name").any(|wanted| name(state, task).starts_with(wanted)))
        && (!filters.has("_up-to-date")
            || filters.get("_up-to-date").any(|wanted| (wanted == "true") == fresh()))
}

/// `service.slot.id`, or with the node's ID in the slot's place.
pub(super) fn name(state: &State, task: &Task) -> String {
    let service = state.services.get(&task.service).map_or(task.service.as_str(), |service| service.name());
    let slot = task.slot.map(|slot| slot.to_string());
    let place = slot.or_else(|| task.node.clone()).unwrap_or_default();
    format!("{service}.{place}.{}", task.object.id)
}

fn resolved(
    filters: &Filters,
    name: &str,
    find: impl Fn(&str) -> Result<String, Refusal>,
) -> Result<BTreeSet<String>, Refusal> {
    filters.get(name).map(find).collect()
}

fn is_state(name: &str) -> bool {
    // The states that one can wish for, in any case.
    let states = [
        "new",
        "allocated",
        "pending",
        "assigned",
        "accepted",
        "preparing",
        "ready",
        "starting",
        "running",
        "complete",
        "shutdown",
        "failed",
        "rejected",
        "remove",
        "orphaned",
    ];
    states.iter().any(|state| state.eq_ignore_ascii_case(name))
}

pub(super) fn inspect(call: &Call<'_>, id: &str) -> Answer {
    call.engine.read(|state| ok(&view::task(find(state, id)?)))
}

/// By whole ID, whole name, or the beginning of an ID.
pub(super) fn find<'a>(state: &'a State, id: &str) -> Result<&'a Task, Refusal> {
    let named = || state.tasks.values().find(|task| name(state, task) == id);
    if let Some(task) = state.tasks.get(id).or_else(named) {
        return Ok(task);
    }
    let begun: Vec<&Task> = state.tasks.values().filter(|task| task.object.id.starts_with(id)).collect();
    match begun.as_slice() {
        [task] => Ok(task),
        [] => Err(Refusal::missing("task", id)),
        many => Err(Refusal::server(format!("task {id} is ambiguous ({} matches found)", many.len()))),
    }
}
