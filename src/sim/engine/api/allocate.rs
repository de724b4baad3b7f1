//! The ports and addresses that services get.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::networks::{host_in, subnet};
use super::services::attachments;
use crate::sim::engine::orchestrate;
use crate::sim::engine::state::{Object, Service, State};

/// The ports that the engine gives by itself.
const PORTS: std::ops::RangeInclusive<u64> = 30_000..=32_767;

/// Gives a service what it lacks and takes what it has no use for, which is a change of its
/// own. Otherwise what it has stays as it is, even where its spec says it in other words.
pub(super) fn allocate(state: &mut State, id: &str, now: Timestamp) {
    let Some(service) = state.services.get(id) else { return };
    if is_allocated(state, service) {
        return;
    }
    let endpoint = endpoint(state, service);
    let index = state.next_index();
    let Some(service) = state.services.get_mut(id) else { return };
    let before = service.clone();
    match endpoint {
        Some(endpoint) => service.object.extra.insert(ENDPOINT.to_owned(), endpoint),
        None => service.object.extra.remove(ENDPOINT),
    };
    service.object.index = index;
    service.object.updated = now;
    let event = orchestrate::service_updated(&before, service, now);
    state.events.push(event);
}

const ENDPOINT: &str = "Endpoint";

fn list<'a>(value: Option<&'a Value>, name: &str) -> &'a [Value] {
    value.and_then(|value| value[name].as_array()).map(Vec::as_slice).unwrap_or_default()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn is_ingress(state: &State, id: &str) -> bool {
    state.networks.get(id).is_some_and(|network| network.spec["Ingress"] == true)
}

fn is_allocated(state: &State, service: &Service) -> bool {
    let spec = service.object.spec.get("EndpointSpec");
    let has = service.object.extra.get(ENDPOINT);
    let networks: Vec<&str> =
        attachments(&service.object.spec).map(|attached| text(attached, "Target")).collect();
    let addresses: Vec<&str> =
        list(has, "VirtualIPs").iter().map(|address| text(address, "NetworkID")).collect();
    let robin = spec.is_some_and(|spec| spec["Mode"] == "dnsrr");
    let lacks = !robin && networks.iter().any(|network| !addresses.contains(network));
    let of_other = |address: &&&str| !is_ingress(state, address) && !networks.contains(*address);
    if lacks || addresses.iter().any(|address| of_other(&address)) || (robin && !addresses.is_empty()) {
        return false;
    }
    let (wanted, given) = (list(spec, "Ports"), list(has, "Ports"));
    if wanted.is_empty() && given.is_empty() {
        return true;
    }
    spec.is_some()
        && has.is_some()
        && wanted.len() == given.len()
        && wanted.iter().all(|wanted| given.iter().any(|given| serves(given, wanted)))
}

/// Whether a given port is the wanted one, whose number may be open.
fn serves(given: &Value, wanted: &Value) -> bool {
    let same =
        ["Name", "Protocol", "TargetPort", "PublishMode"].iter().all(|name| given[*name] == wanted[*name]);
    same && (wanted.get("PublishedPort").is_none() || wanted["PublishedPort"] == given["PublishedPort"])
}

/// What a service should have; none if nothing is given to it.
fn endpoint(state: &State, service: &Service) -> Option<Value> {
    let spec = service.object.spec.get("EndpointSpec");
    // Without a spec of its endpoint it gets all anew.
    let old = service.object.extra.get(ENDPOINT).filter(|_| spec.is_some());
    let mut endpoint = json!({"Spec": spec.cloned().unwrap_or_else(|| json!({}))});
    let ports = given_ports(state, service, list(spec, "Ports"), list(old, "Ports"));
    let ingress = ports.iter().any(|port| port["PublishMode"] == "ingress");
    if !ports.is_empty() {
        endpoint["Ports"] = Value::Array(ports);
    }
    if spec.is_none_or(|spec| spec["Mode"] != "dnsrr") {
        let addresses = addresses(state, service, list(old, "VirtualIPs"), ingress);
        if !addresses.is_empty() {
            endpoint["VirtualIPs"] = Value::Array(addresses);
        }
    }
    (spec.is_some() || endpoint.get("VirtualIPs").is_some()).then_some(endpoint)
}

/// Those that it has and still needs, and then those of other networks.
fn addresses(state: &State, service: &Service, old: &[Value], ingress: bool) -> Vec<Value> {
    let mut networks: Vec<&Object> = Vec::new();
    if ingress {
        networks.extend(state.networks.values().find(|network| is_ingress(state, &network.id)));
    }
    let attached = attachments(&service.object.spec).map(|attached| text(attached, "Target"));
    networks.extend(attached.filter_map(|id| state.networks.get(id)));
    let needed =
        |address: &&Value| networks.iter().any(|network| address["NetworkID"] == network.id.as_str());
    let mut addresses: Vec<Value> = old.iter().filter(needed).cloned().collect();
    for network in networks {
        if !addresses.iter().any(|address| address["NetworkID"] == network.id.as_str()) {
            addresses.push(virtual_ip(state, network));
        }
    }
    addresses
}

fn given_ports(state: &State, service: &Service, wanted: &[Value], old: &[Value]) -> Vec<Value> {
    let others = state.services.values().filter(|other| other.object.id != service.object.id);
    let ports = others.flat_map(|other| list(other.object.extra.get(ENDPOINT), "Ports"));
    let mut taken: BTreeSet<u64> = ports.filter_map(|port| port["PublishedPort"].as_u64()).collect();
    let mut given = Vec::new();
    for port in wanted {
        if port["PublishMode"] != "ingress" || port.get("PublishedPort").is_some() {
            given.push(port.clone());
            continue;
        }
        let kept = old.iter().find(|old| serves(old, port)).and_then(|old| old["PublishedPort"].as_u64());
        let number = kept.or_else(|| PORTS.into_iter().find(|number| !taken.contains(number)));
        let number = number.unwrap_or(*PORTS.start());
        taken.insert(number);
        let mut shown = Map::new();
        for field in ["Name", "Protocol", "TargetPort"] {
            shown.extend(port.get(field).map(|value| (field.to_owned(), value.clone())));
        }
        shown.insert("PublishedPort".to_owned(), json!(number));
        shown.insert("PublishMode".to_owned(), json!("ingress"));
        given.push(Value::Object(shown));
    }
    given
}

/// The first free address on a network.
fn virtual_ip(state: &State, network: &Object) -> Value {
    if network.spec["Scope"] == "local" {
        return json!({"NetworkID": network.id});
    }
    let given =
        state.services.values().flat_map(|service| list(service.object.extra.get(ENDPOINT), "VirtualIPs"));
    let here = given.filter(|address| address["NetworkID"] == network.id.as_str());
    let taken: BTreeSet<&str> = here.map(|address| text(address, "Addr")).collect();
    // The first is the gateway's.
    let all = (2..u32::MAX).map(|number| host_in(subnet(network), number));
    let mut all = all.map(|(address, length)| format!("{address}/{length}"));
    json!({"NetworkID": network.id, "Addr": all.find(|address| !taken.contains(address.as_str()))})
}
