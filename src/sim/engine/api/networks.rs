//! `/networks`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, Answer, Code, Refusal, created, empty, ok};
use super::services::attachments;
use super::typed::Type::{Bool, Struct as One, Text, TextMap};
use super::typed::{self, Struct, Type, always, given, opt};
use super::{Call, query, validate, view};
use crate::sim::engine::options::new_object;
use crate::sim::engine::state::{Object, State, Task, TaskState};

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];

static NETWORK: Struct = Struct {
    name: "NetworkCreateRequest",
    fields: &[
        always("Name", Text),
        always("CheckDuplicate", Bool),
        always("Driver", Text),
        always("Scope", Text),
        always("EnableIPv6", Bool),
        given("IPAM", One(&IPAM)),
        always("Internal", Bool),
        always("Attachable", Bool),
        always("Ingress", Bool),
        given("Options", TextMap),
        given("Labels", TextMap),
    ],
};
static IPAM: Struct = Struct {
    name: "IPAM",
    fields: &[always("Driver", Text), given("Options", TextMap), always("Config", Type::List(&IPAM_CONFIG))],
};
static IPAM_CONFIG: Struct =
    Struct { name: "IPAMConfig", fields: &[opt("Subnet", Text), opt("IPRange", Text), opt("Gateway", Text)] };

/// By whole ID, name, or the beginning of an ID; among networks of the Swarm.
pub(super) fn find<'a>(state: &'a State, id: &str) -> Result<&'a Object, Refusal> {
    let predefined = || state.predefined.iter().find(|network| network.id == id || name(network) == id);
    let named = || state.networks.values().find(|network| name(network) == id);
    if let Some(network) = state.networks.get(id).or_else(predefined).or_else(named) {
        return Ok(network);
    }
    let begun: Vec<&Object> = state.networks.values().filter(|network| network.id.starts_with(id)).collect();
    match begun.as_slice() {
        [network] if !id.is_empty() => Ok(network),
        [] => Err(Refusal::missing("network", id)),
        many => Err(Refusal::server(format!("network {id} is ambiguous ({} matches found)", many.len()))),
    }
}

fn name(network: &Object) -> &str {
    network.spec["Name"].as_str().unwrap_or_default()
}

/// Networks that are gone, and that the node which answers shows all the same: a container of its is on them still.
fn left(state: &State) -> impl Iterator<Item = &Object> {
    let answers = |node: &String| state.nodes.get(node).is_some_and(|node| node.leader);
    let is_on = move |network: &Object, task: &Task| {
        let attached = task.object.spec["Networks"].as_array();
        (TaskState::Starting..=TaskState::Running).contains(&task.state)
            && task.node.as_ref().is_some_and(answers)
            && attached.into_iter().flatten().any(|one| one["Target"] == network.id.as_str())
    };
    state.left_networks.values().filter(move |network| state.tasks.values().any(|task| is_on(network, task)))
}

fn left_by<'a>(state: &'a State, id: &str) -> Option<&'a Object> {
    left(state).find(|network| network.id == id || name(network) == id)
}

/// What the node itself knows of a network.
fn shown_left(network: &Object) -> Value {
    let mut shown = shown(network);
    shown["Containers"] = json!({});
    shown
}

fn shown(network: &Object) -> Value {
    let spec = &network.spec;
    let or =
        |field: &str, default: Value| spec.get(field).filter(|v| !v.is_null()).cloned().unwrap_or(default);
    let labels = or("Labels", json!({}));
    let labels = if spec["Scope"] == "swarm" && labels == json!({}) { Value::Null } else { labels };
    json!({
        "Name": spec["Name"],
        "Id": network.id,
        "Created": view::time(network.created),
        "Scope": spec["Scope"],
        "Driver": spec["Driver"],
        "EnableIPv6": or("EnableIPv6", json!(false)),
        "IPAM": or("IPAM", json!({"Driver": "default", "Options": null, "Config": []})),
        "Internal": or("Internal", json!(false)),
        "Attachable": or("Attachable", json!(false)),
        "Ingress": or("Ingress", json!(false)),
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": false,
        "Containers": if spec["Scope"] == "local" { json!({}) } else { Value::Null },
        "Options": or("Options", if spec["Scope"] == "local" { json!({}) } else { Value::Null }),
        "Labels": labels,
    })
}

pub(super) fn list(call: &Call<'_>, _: &str) -> Answer {
    let filters = call.query.filters(&FILTERS)?;
    for kind in filters.get("type") {
        if !matches!(kind, "builtin" | "custom") {
            return Err(Refusal::server(format!("invalid filter: 'type'='{kind}'")));
        }
    }
    call.engine.read(|state| {
        let used = if filters.has("dangling") { used(state) } else { BTreeSet::new() };
        let fits = |network: &&Object| {
            let spec = &network.spec;
            let kind = if PREDEFINED.contains(&name(network)) { "builtin" } else { "custom" };
            let dangling = if used.contains(&network.id) { "false" } else { "true" };
            filters.part("name", name(network))
                && filters.part("id", &network.id)
                && filters.labels("label", spec.get("Labels"))
                && filters.exact("driver", spec["Driver"].as_str().unwrap_or_default())
                && filters.exact("scope", spec["Scope"].as_str().unwrap_or_default())
                && filters.exact("type", kind)
                && filters.exact("dangling", dangling)
        };
        let (swarm, local): (Vec<&Object>, Vec<&Object>) =
            state.networks.values().filter(fits).partition(|network| network.spec["Scope"] == "swarm");
        let left = left(state).filter(fits).map(shown_left);
        answer::list(swarm.into_iter().chain(local).map(shown).chain(left))
    })
}

/// Networks that services are attached to.
fn used(state: &State) -> BTreeSet<String> {
    let specs = state.services.values().map(|service| &service.object.spec);
    specs
        .flat_map(attachments)
        .filter_map(|attached| attached["Target"].as_str())
        .map(str::to_owned)
        .collect()
}

pub(super) fn inspect(call: &Call<'_>, id: &str) -> Answer {
    let scope = call.query.get("scope");
    let is_wanted = |network: &&Object| scope.is_empty() || network.spec["Scope"] == scope;
    call.engine.read(|state| {
        // What the node has of its own comes first.
        let all = || state.networks.values().chain(&state.predefined);
        let local = all().find(|network| name(network) == id && is_wanted(network));
        if let Some(network) = local {
            let mut shown = shown(network);
            if network.spec["Ingress"] == true {
                // Every node is on it, and shows what it knows itself.
                shown["Labels"] = json!({});
            }
            return ok(&shown);
        }
        match find(state, id) {
            Ok(network) if is_wanted(&network) => ok(&shown(network)),
            Ok(_) => Err(Refusal::missing("network", id)),
            Err(refusal) => left_by(state, id).map_or(Err(refusal), |network| ok(&shown_left(network))),
        }
    })
}

pub(super) fn create(call: &Call<'_>, _: &str) -> Answer {
    let body = query::body(call.request)?;
    let mut spec = typed::read(&body, &NETWORK, "types").map(Value::Object).map_err(Refusal::bad)?;
    let now = call.engine.now();
    call.engine.with(|state| {
        let name = spec["Name"].as_str().unwrap_or_default().to_owned();
        if state.networks.values().any(|network| self::name(network) == name) {
            let message = format!("network with name {name} already exists");
            return Err(Refusal::new(StatusCode::CONFLICT, message));
        }
        if name.trim().is_empty() {
            return Err(Refusal::server(format!("invalid name: {name}")));
        }
        let scope = check_driver(&spec)?;
        if scope == "swarm" {
            validate::name(&name)?;
            check_ingress(state, &spec)?;
            address(state, &mut spec)?;
        } else {
            local(state, &mut spec);
        }
        spec["Scope"] = json!(scope);
        let mut object = new_object(state, spec, now);
        if scope == "local" {
            object.id = view::long_id(&object.id);
        }
        let id = object.id.clone();
        state.networks.insert(id.clone(), object);
        if scope == "swarm" {
            state.tell("network", "create", &id, &name, now);
            // It gets its addresses by a change of its own.
            state.tell("network", "update", &id, &name, now);
        }
        created(&json!({"Id": id, "Warning": ""}))
    })
}

/// The scope of a network to be made.
fn check_driver(spec: &Value) -> Result<&'static str, Refusal> {
    let forbidden = |message: String| Err(Refusal::new(StatusCode::FORBIDDEN, message));
    let (driver, scope) = (&spec["Driver"], &spec["Scope"]);
    match driver.as_str().unwrap_or_default() {
        "overlay" if scope == "local" => {
            forbidden("cannot downgrade network scope for overlay networks".to_owned())
        }
        "overlay" => Ok("swarm"),
        name @ ("host" | "null") => forbidden(format!("only one instance of {name:?} network is allowed")),
        "" | "bridge" | "macvlan" | "ipvlan" => Ok(if scope == "swarm" { "swarm" } else { "local" }),
        name => Err(Refusal::new(StatusCode::NOT_FOUND, format!("plugin {name:?} not found"))),
    }
}

/// A network of this host alone.
fn local(state: &State, spec: &mut Value) {
    if spec["Driver"] == "" {
        spec["Driver"] = json!("bridge");
    }
    if spec["IPAM"]["Config"].as_array().is_none_or(Vec::is_empty) {
        let number = 17 + state.networks.values().filter(|network| network.spec["Scope"] == "local").count();
        let config =
            json!([{"Subnet": format!("172.{number}.0.0/16"), "Gateway": format!("172.{number}.0.1")}]);
        spec["IPAM"] = json!({"Driver": "default", "Options": null, "Config": config});
    }
}

/// There is one ingress network at most.
fn check_ingress(state: &State, spec: &Value) -> Result<(), Refusal> {
    let ingress = state.networks.values().find(|network| network.spec["Ingress"] == true);
    match ingress {
        Some(ingress) if spec["Ingress"] == true => {
            let message = format!("ingress network ({}) is already present", ingress.id);
            Err(Refusal::swarm(Code::AlreadyExists, message))
        }
        _ => Ok(()),
    }
}

/// Gives a network its subnet and number.
fn address(state: &State, spec: &mut Value) -> Result<(), Refusal> {
    if spec["Driver"] != "overlay" {
        // Each node gives it addresses of its own.
        spec["IPAM"] = json!({"Driver": "", "Options": null, "Config": []});
        return Ok(());
    }
    let number = state.networks.values().filter_map(vxlan).max().unwrap_or(4095) + 1;
    let config = spec["IPAM"]["Config"].as_array().filter(|config| !config.is_empty()).cloned();
    let mut config = config.unwrap_or_else(|| vec![json!({"Subnet": free_subnet(state)})]);
    for part in &mut config {
        let subnet = part["Subnet"].as_str().unwrap_or_default();
        let parsed =
            subnet.split_once('/').map(|(base, length)| (base.parse::<Ipv4Addr>(), length.parse::<u8>()));
        if !subnet.is_empty() && !matches!(parsed, Some((Ok(_), Ok(0..=32)))) {
            let message = format!("Invalid subnet {subnet} : invalid CIDR address: {subnet}");
            return Err(Refusal::server(message));
        }
        if part.get("Gateway").is_none() {
            part["Gateway"] = json!(host_in(part["Subnet"].as_str().unwrap_or_default(), 1).0);
        }
    }
    let driver = spec["IPAM"]["Driver"].as_str().filter(|driver| !driver.is_empty()).unwrap_or("default");
    spec["IPAM"] = json!({"Driver": driver, "Options": spec["IPAM"]["Options"], "Config": config});
    let mut options = Map::from_iter([(VXLAN.to_owned(), json!(number.to_string()))]);
    options.extend(spec["Options"].as_object().cloned().unwrap_or_default());
    spec["Options"] = Value::Object(options);
    Ok(())
}

/// Networks that every node has by itself.
const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];
const VXLAN: &str = "com.docker.network.driver.overlay.vxlanid_list";

fn vxlan(network: &Object) -> Option<u64> {
    network.spec["Options"][VXLAN].as_str()?.parse().ok()
}

pub(super) fn subnet(network: &Object) -> &str {
    network.spec["IPAM"]["Config"][0]["Subnet"].as_str().unwrap_or_default()
}

fn free_subnet(state: &State) -> String {
    let taken: BTreeSet<&str> = state.networks.values().map(subnet).collect();
    let all = (0..=255).flat_map(|b| (0..=255).map(move |c| format!("10.{b}.{c}.0/24")));
    let mut all = all;
    all.find(|subnet| !taken.contains(subnet.as_str())).unwrap_or_else(|| "10.0.0.0/24".to_owned())
}

/// An address of a subnet by number, and the prefix length.
pub(super) fn host_in(subnet: &str, number: u32) -> (String, u32) {
    let (base, length) = subnet.split_once('/').unwrap_or((subnet, "24"));
    let base: Ipv4Addr = base.parse().unwrap_or(Ipv4Addr::new(10, 0, 0, 0));
    let address = Ipv4Addr::from(u32::from(base).wrapping_add(number));
    (address.to_string(), length.parse().unwrap_or(24))
}

pub(super) fn remove(call: &Call<'_>, id: &str) -> Answer {
    let now = call.engine.now();
    call.engine.with(|state| {
        let named = state.networks.values().chain(left(state)).filter(|network| name(network) == id).count();
        if named > 1 {
            let message = format!("network {id} is ambiguous ({named} matches found based on name)");
            return Err(Refusal::bad(message));
        }
        let network = match find(state, id) {
            Err(refusal) => {
                let left = left_by(state, id);
                let message = |left: &Object| format!("network {} not found", left.id);
                return Err(left.map_or(refusal, |left| Refusal::server(message(left))));
            }
            Ok(network) => network,
        };
        let (id, name) = (network.id.clone(), name(network).to_owned());
        if PREDEFINED.contains(&name.as_str()) {
            let message = format!("{name} is a pre-defined network and cannot be removed");
            return Err(Refusal::new(StatusCode::FORBIDDEN, message));
        }
        let user = state.services.values().find(|service| {
            attachments(&service.object.spec).any(|attached| attached["Target"] == id.as_str())
        });
        if network.spec["Ingress"] == true {
            let has_ingress = |service: &&crate::sim::engine::state::Service| {
                let ports = service.object.spec["EndpointSpec"]["Ports"].as_array();
                ports.into_iter().flatten().any(|port| port["PublishMode"] == "ingress")
            };
            if let Some(user) = state.services.values().find(has_ingress) {
                let user = &user.object.id;
                let message =
                    format!("ingress network cannot be removed because service {user} depends on it");
                return Err(Refusal::swarm(Code::FailedPrecondition, message));
            }
        }
        if let Some(user) = user {
            let message = format!("network {id} is in use by service {}", user.object.id);
            return Err(Refusal::swarm(Code::FailedPrecondition, message));
        }
        if let Some(network) = state.networks.remove(&id) {
            state.left_networks.insert(id.clone(), network);
            let shown: BTreeSet<String> = left(state).map(|network| network.id.clone()).collect();
            state.left_networks.retain(|id, _| shown.contains(id));
        }
        state.next_index();
        state.tell("network", "remove", &id, &name, now);
        empty(StatusCode::NO_CONTENT)
    })
}
