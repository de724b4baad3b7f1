//! The networks of a customer's own: which of them are missing, and how they are made.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Action, Cause, Input, ObjectKind, Step, Write, fields, labels, rules};
use crate::spec::{Customer, Network};

/// Whether the customer may join the network of this name, and by which ID: one that is
/// there, or its name for one that the same plan makes. One that is another's by its labels
/// must be called external in the spec, and one of another customer's must be granted by the fleet.
pub(super) fn id(input: &Input<'_>, name: &str) -> Option<String> {
    let customer = &input.desired.spec;
    let own = own(customer, name);
    match input.observed.networks.get(name) {
        Some(found) if own => (!is_another(customer, &found.labels)).then(|| found.id.clone()),
        Some(found) => {
            let owner = found.labels.get(labels::CUSTOMER).filter(|owner| **owner != customer.name);
            (owner.is_none() || rules::is_granted(input, name)).then(|| found.id.clone())
        }
        None => own.then(|| name.to_owned()),
    }
}

fn is_another(customer: &Customer, found: &BTreeMap<String, String>) -> bool {
    let owner = found.get(labels::CUSTOMER).or_else(|| found.get(labels::STACK));
    owner.is_some_and(|owner| *owner != customer.name)
}

/// Whether skep makes the network of this name for the customer: the default one, unless the
/// spec says otherwise, and those that are not external.
fn own(customer: &Customer, name: &str) -> bool {
    match customer.networks.values().find(|network| network.name == name) {
        Some(network) => !network.external,
        None => name == fields::default_network(customer),
    }
}

/// Steps that make the networks which the services of `steps` join and the Swarm lacks.
pub(super) fn missing(input: &Input<'_>, steps: &[Step]) -> Vec<Step> {
    let customer = &input.desired.spec;
    let joined: BTreeSet<String> = steps.iter().filter_map(written).flat_map(targets).collect();
    let lacking = joined.into_iter().filter(|name| {
        let observed = &input.observed.networks;
        own(customer, name) && !observed.contains_key(name)
    });
    lacking.map(|name| step(customer, &name)).collect()
}

fn written(step: &Step) -> Option<&Value> {
    match &step.write {
        Write::CreateService { spec } | Write::UpdateService { spec, .. } => Some(spec),
        Write::CreateNetwork { .. } | Write::CreateBlob { .. } | Write::Remove { .. } => None,
    }
}

/// What a service joins: IDs, and names of what is still to be made.
fn targets(spec: &Value) -> Vec<String> {
    let networks = spec.pointer("/TaskTemplate/Networks").and_then(Value::as_array);
    let target = |one: &Value| one.get("Target").and_then(Value::as_str).map(str::to_owned);
    networks.map(|list| list.iter().filter_map(target).collect()).unwrap_or_default()
}

fn step(customer: &Customer, name: &str) -> Step {
    let declared = customer.networks.values().find(|network| network.name == name);
    Step {
        action: Action::Create,
        kind: ObjectKind::Network,
        message: format!("network {name} created"),
        target: name.to_owned(),
        name: name.to_owned(),
        service: None,
        cause: Cause::Missing,
        from: None,
        to: None,
        changes: Vec::new(),
        drift: Vec::new(),
        warnings: Vec::new(),
        spec_hash: String::new(),
        write: Write::CreateNetwork { spec: spec(customer, name, declared) },
    }
}

/// As `docker stack deploy` makes it (docker/cli's `cli/compose/convert`), with our label.
fn spec(customer: &Customer, name: &str, declared: Option<&Network>) -> Value {
    let mut spec = Map::new();
    let mut put = |key: &str, value: Value| spec.insert(key.to_owned(), value);
    put("Name", json!(name));
    put("CheckDuplicate", json!(true));
    let mut all = Map::new();
    let Some(network) = declared else {
        put("Driver", json!("overlay"));
        all.insert(labels::STACK.into(), json!(customer.name));
        all.insert(labels::CUSTOMER.into(), json!(customer.name));
        put("Labels", Value::Object(all));
        return Value::Object(spec);
    };
    put("Driver", json!(network.driver.as_deref().unwrap_or("overlay")));
    for (label, value) in &network.labels {
        all.insert(label.clone(), json!(value));
    }
    all.insert(labels::STACK.into(), json!(customer.name));
    all.insert(labels::CUSTOMER.into(), json!(customer.name));
    put("Labels", Value::Object(all));
    if !network.driver_opts.is_empty() {
        put("Options", json!(network.driver_opts));
    }
    put("Attachable", json!(network.attachable));
    put("Internal", json!(network.internal));
    if network.ipam_driver.is_some() || !network.subnets.is_empty() {
        let subnets: Vec<Value> = network.subnets.iter().map(|one| json!({ "Subnet": one.subnet })).collect();
        put(
            "IPAM",
            json!({ "Driver": network.ipam_driver.as_deref().unwrap_or("default"), "Config": subnets }),
        );
    }
    Value::Object(spec)
}
