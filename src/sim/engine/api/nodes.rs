//! `/nodes`.

use http::StatusCode;
use jiff::Timestamp;
use serde_json::Value;

use super::answer::{Answer, Code, Refusal, empty, ok};
use super::typed::Type::{Text, TextMap};
use super::typed::{self, Struct, always, opt};
use super::{Call, query, view};
use crate::sim::engine::state::{Event, Node, State};

const FILTERS: [&str; 6] = ["name", "id", "label", "node.label", "role", "membership"];

static NODE_SPEC: Struct = Struct {
    name: "NodeSpec",
    fields: &[opt("Name", Text), always("Labels", TextMap), opt("Role", Text), opt("Availability", Text)],
};

pub(super) fn list(call: &Call<'_>, _: &str) -> Answer {
    let filters = call.query.filters(&FILTERS)?;
    for role in filters.get("role") {
        if !matches!(role, "manager" | "worker") {
            return Err(Refusal::server(format!("Invalid role filter: '{role}'")));
        }
    }
    for membership in filters.get("membership") {
        if !matches!(membership, "accepted" | "pending") {
            return Err(Refusal::server(format!("Invalid membership filter: '{membership}'")));
        }
    }
    call.engine.read(|state| {
        let fits = |node: &&Node| {
            let spec = &node.object.spec;
            filters.prefix("id", &node.object.id)
                && (filters.prefix("name", &node.hostname)
                    || spec["Name"].as_str().is_some_and(|name| filters.prefix("name", name)))
                && filters.labels("label", None)
                && filters.labels("node.label", spec.get("Labels"))
                && filters.exact("role", spec["Role"].as_str().unwrap_or_default())
                && filters.exact("membership", "accepted")
        };
        ok(&Value::Array(state.nodes.values().filter(fits).map(view::node).collect()))
    })
}

pub(super) fn inspect(call: &Call<'_>, id: &str) -> Answer {
    call.engine.read(|state| ok(&view::node(find(state, id)?)))
}

/// By whole ID, hostname, or the beginning of an ID.
pub(super) fn find<'a>(state: &'a State, id: &str) -> Result<&'a Node, Refusal> {
    let exact = state.nodes.get(id);
    let named: Vec<&Node> = match exact {
        Some(node) => vec![node],
        None => state.nodes.values().filter(|node| node.hostname == id).collect(),
    };
    let found = if named.is_empty() {
        state.nodes.values().filter(|node| node.object.id.starts_with(id)).collect()
    } else {
        named
    };
    match found.as_slice() {
        [node] => Ok(node),
        [] => Err(Refusal::missing("node", id)),
        many => Err(Refusal::server(format!("node {id} is ambiguous ({} matches found)", many.len()))),
    }
}

pub(super) fn update(call: &Call<'_>, id: &str) -> Answer {
    let body = query::body(call.request)?;
    let mut spec = typed::read(&body, &NODE_SPEC, "swarm").map_err(Refusal::bad)?;
    let version = call.query.version("node")?;
    let word = |name: &str| spec.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (role, availability) = (word("Role").to_lowercase(), word("Availability").to_lowercase());
    if !matches!(role.as_str(), "manager" | "worker") {
        return Err(Refusal::bad(format!("invalid Role: {:?}", word("Role"))));
    }
    if !matches!(availability.as_str(), "active" | "pause" | "drain") {
        return Err(Refusal::bad(format!("invalid Availability: {:?}", word("Availability"))));
    }
    spec.insert("Role".to_owned(), Value::from(role));
    spec.insert("Availability".to_owned(), Value::from(availability));
    let now = call.engine.now();
    call.engine.with(|state| {
        let node = find(state, id)?;
        let id = node.object.id.clone();
        let managers = state.nodes.values().filter(|node| node.object.spec["Role"] == "manager").count();
        if node.object.spec["Role"] == "manager" && spec["Role"] == "worker" && managers == 1 {
            let message = "attempting to demote the last manager of the swarm";
            return Err(Refusal::swarm(Code::FailedPrecondition, message));
        }
        if node.object.index != version {
            return Err(Refusal::out_of_sequence());
        }
        write_node(state, &id, Value::Object(spec), now);
        empty(StatusCode::OK)
    })
}

/// Gives a node another spec.
pub(in crate::sim::engine) fn write_node(state: &mut State, id: &str, spec: Value, now: Timestamp) {
    let index = state.next_index();
    let Some(node) = state.nodes.get_mut(id) else { return };
    let old = std::mem::replace(&mut node.object.spec, spec);
    node.object.index = index;
    node.object.updated = now;
    let mut attributes = std::collections::BTreeMap::from([("name".to_owned(), node.hostname.clone())]);
    for (field, name) in [("Availability", "availability"), ("Role", "role")] {
        let (old, new) = (old[field].as_str(), node.object.spec[field].as_str());
        if let (Some(old), Some(new)) = (old, new)
            && old != new
        {
            attributes.insert(format!("{name}.old"), old.to_owned());
            attributes.insert(format!("{name}.new"), new.to_owned());
        }
    }
    state.events.push(Event { kind: "node", action: "update", id: id.to_owned(), attributes, time: now });
    state.touch_node(id);
}
