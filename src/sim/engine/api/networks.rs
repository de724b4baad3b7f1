//! `/networks`, and the addresses and ports that services get.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Code, Refusal, created, empty, ok};
use super::services::attachments;
use super::typed::Type::{Bool, Struct as One, Text, TextMap};
use super::typed::{self, Struct, Type, always, given, opt};
use super::{Call, query, validate, view};
use crate::sim::engine::options::new_object;
use crate::sim::engine::orchestrate;
use crate::sim::engine::state::{Object, Service, State};

const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];
/// The first port that the engine gives by itself.
const PORT_FIRST: u64 = 30_000;

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
    let named = || state.networks.values().find(|network| name(network) == id);
    if let Some(network) = state.networks.get(id).or_else(named) {
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
    call.engine.with_read(|state| {
        let used = used(state);
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
        ok(&Value::Array(swarm.into_iter().chain(local).map(shown).collect()))
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
    call.engine.with_read(|state| ok(&shown(find(state, id)?)))
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
        let swarm = spec["Driver"] == "overlay" || spec["Scope"] == "swarm";
        if swarm {
            validate::name(&name)?;
            check_ingress(state, &spec)?;
            address(state, &mut spec)?;
        } else if spec["Driver"] == "" {
            spec["Driver"] = json!("bridge");
        }
        spec["Scope"] = json!(if swarm { "swarm" } else { "local" });
        let object = new_object(state, spec, now);
        let id = object.id.clone();
        state.networks.insert(id.clone(), object);
        if swarm {
            state.tell("network", "create", &id, &name, now);
            // It gets its addresses by a change of its own.
            state.tell("network", "update", &id, &name, now);
        }
        created(&json!({"Id": id, "Warning": ""}))
    })
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

fn subnet(network: &Object) -> &str {
    network.spec["IPAM"]["Config"][0]["Subnet"].as_str().unwrap_or_default()
}

fn free_subnet(state: &State) -> String {
    let taken: BTreeSet<&str> = state.networks.values().map(subnet).collect();
    let all = (0..=255).flat_map(|b| (0..=255).map(move |c| format!("10.{b}.{c}.0/24")));
    let mut all = all;
    all.find(|subnet| !taken.contains(subnet.as_str())).unwrap_or_else(|| "10.0.0.0/24".to_owned())
}

/// An address of a subnet by number, and the prefix length.
fn host_in(subnet: &str, number: u32) -> (String, u32) {
    let (base, length) = subnet.split_once('/').unwrap_or((subnet, "24"));
    let base: Ipv4Addr = base.parse().unwrap_or(Ipv4Addr::new(10, 0, 0, 0));
    let address = Ipv4Addr::from(u32::from(base).wrapping_add(number));
    (address.to_string(), length.parse().unwrap_or(24))
}

pub(super) fn remove(call: &Call<'_>, id: &str) -> Answer {
    let now = call.engine.now();
    call.engine.with(|state| {
        let network = find(state, id)?;
        let (id, name) = (network.id.clone(), name(network).to_owned());
        if PREDEFINED.contains(&name.as_str()) {
            let message = format!("{name} is a pre-defined network and cannot be removed");
            return Err(Refusal::new(StatusCode::FORBIDDEN, message));
        }
        let user = state.services.values().find(|service| {
            attachments(&service.object.spec).any(|attached| attached["Target"] == id.as_str())
        });
        if network.spec["Ingress"] == true {
            let has_ingress = |service: &&Service| {
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
        state.networks.remove(&id);
        state.next_index();
        state.tell("network", "remove", &id, &name, now);
        empty(StatusCode::NO_CONTENT)
    })
}

/// Gives a service its ports and addresses, which is a change of its own.
pub(super) fn allocate(state: &mut State, id: &str, now: Timestamp) {
    let Some(service) = state.services.get(id) else { return };
    let new = endpoint(state, service);
    let old = service.object.extra.get("Endpoint").cloned();
    if old.as_ref() == new.as_ref() {
        return;
    }
    let index = state.next_index();
    let Some(service) = state.services.get_mut(id) else { return };
    let before = service.clone();
    match new {
        Some(endpoint) => service.object.extra.insert("Endpoint".to_owned(), endpoint),
        None => service.object.extra.remove("Endpoint"),
    };
    service.object.index = index;
    service.object.updated = now;
    let event = orchestrate::service_updated(&before, service, now);
    state.events.push(event);
}

/// What a service should have; none if nothing is given to it.
fn endpoint(state: &State, service: &Service) -> Option<Value> {
    let spec = service.object.spec.get("EndpointSpec");
    let old = service.object.extra.get("Endpoint");
    let mut endpoint = json!({"Spec": spec.cloned().unwrap_or_else(|| json!({}))});
    let ports = given_ports(state, service, spec, old);
    let ingress = ports.iter().any(|port| port["PublishMode"] == "ingress");
    if !ports.is_empty() {
        endpoint["Ports"] = Value::Array(ports);
    }
    let mut networks: Vec<&Object> = Vec::new();
    if ingress {
        networks.extend(state.networks.values().find(|network| network.spec["Ingress"] == true));
    }
    let attached = attachments(&service.object.spec).filter_map(|attached| attached["Target"].as_str());
    networks.extend(attached.filter_map(|id| state.networks.get(id)));
    if spec.is_none_or(|spec| spec["Mode"] != "dnsrr") && !networks.is_empty() {
        let addresses = networks.iter().map(|network| virtual_ip(state, network, old)).collect();
        endpoint["VirtualIPs"] = Value::Array(addresses);
    }
    (spec.is_some() || endpoint.get("VirtualIPs").is_some()).then_some(endpoint)
}

fn given_ports(state: &State, service: &Service, spec: Option<&Value>, old: Option<&Value>) -> Vec<Value> {
    let wanted = spec.and_then(|spec| spec["Ports"].as_array()).cloned().unwrap_or_default();
    let others = state.services.values().filter(|other| other.object.id != service.object.id);
    let ports = others.filter_map(|other| other.object.extra.get("Endpoint"));
    let ports = ports.filter_map(|endpoint| endpoint["Ports"].as_array()).flatten();
    let mut taken: BTreeSet<u64> = ports.filter_map(|port| port["PublishedPort"].as_u64()).collect();
    let before = old.and_then(|old| old["Ports"].as_array()).cloned().unwrap_or_default();
    wanted
        .into_iter()
        .map(|mut port| {
            if port["PublishMode"] == "ingress" && port.get("PublishedPort").is_none() {
                let same =
                    |p: &&Value| p["TargetPort"] == port["TargetPort"] && p["Protocol"] == port["Protocol"];
                let kept = before.iter().find(same).and_then(|port| port["PublishedPort"].as_u64());
                let free = || (PORT_FIRST..=32_767).find(|port| !taken.contains(port));
                let given = kept.or_else(free).unwrap_or(PORT_FIRST);
                taken.insert(given);
                let mut shown = Map::new();
                for field in ["Name", "Protocol", "TargetPort"] {
                    shown.extend(port.get(field).map(|value| (field.to_owned(), value.clone())));
                }
                shown.insert("PublishedPort".to_owned(), json!(given));
                shown.insert("PublishMode".to_owned(), json!("ingress"));
                port = Value::Object(shown);
            }
            port
        })
        .collect()
}

/// The address that a service has on a network, or the first free one.
fn virtual_ip(state: &State, network: &Object, old: Option<&Value>) -> Value {
    let on_network = |address: &&Value| address["NetworkID"] == network.id.as_str();
    let old = old.and_then(|old| old["VirtualIPs"].as_array()).and_then(|list| list.iter().find(on_network));
    if let Some(old) = old {
        return old.clone();
    }
    if network.spec["Scope"] == "local" {
        return json!({"NetworkID": network.id});
    }
    let endpoints = state.services.values().filter_map(|service| service.object.extra.get("Endpoint"));
    let addresses = endpoints.filter_map(|endpoint| endpoint["VirtualIPs"].as_array()).flatten();
    let taken: BTreeSet<&str> =
        addresses.filter(on_network).filter_map(|address| address["Addr"].as_str()).collect();
    // The first is the gateway's.
    let free = (2..u32::MAX).map(|number| host_in(subnet(network), number));
    let mut free = free.map(|(address, length)| format!("{address}/{length}"));
    json!({"NetworkID": network.id, "Addr": free.find(|address| !taken.contains(address.as_str()))})
}
