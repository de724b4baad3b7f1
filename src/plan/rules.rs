//! The fleet's rules for a service that is taken over. What its spec says is checked where specs are read; here it is
//! what the service has besides, which skep would keep and a customer could not have asked for.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Input, fields};
use crate::spec::fleet::{self, Violation};
use crate::spec::{
    Blob, Compose, Container, Customer, Deploy, Mount, MountSource, Network, NetworkAttachment, Port,
    PortMode, Protocol, ResourceAmounts, Resources, Service, Volume,
};

/// The first rule that the service would break once it is written so.
pub(super) fn broken(input: &Input<'_>, service: &Service, written: &Value) -> Option<Violation> {
    let inventory = input.prune?.inventory;
    let customers = inventory.customers.keys().map(String::as_str).collect();
    let customer = as_written(input, service, written);
    fleet::check(&inventory.fleet, &customer, &customers, &fleet::NamedVolumes::default()).into_iter().next()
}

/// Whether the fleet lets the customer name what is another's.
pub(super) fn is_granted(input: &Input<'_>, name: &str) -> bool {
    let fleet = input.prune.map(|prune| &prune.inventory.fleet);
    let granted = fleet.and_then(|fleet| fleet.grants.get(&input.desired.spec.name));
    granted.into_iter().flatten().any(|pattern| fleet::is_match(pattern, name))
}

/// A customer whose only service says all that the engine's spec has, in the places that rules look at.
fn as_written(input: &Input<'_>, service: &Service, written: &Value) -> Customer {
    let mut customer = Customer::without_file(&input.desired.spec.name);
    let container = Container {
        mounts: Some(mounts(&mut customer.volumes, written)),
        cap_add: Some(texts(&fields::read(written, "cap_add"))),
        ..Container::default()
    };
    let compose = Compose {
        networks: Some(networks(input, &mut customer.networks, written)),
        ports: Some(list(written, "ports").iter().map(port).collect()),
        container,
        deploy: deploy(written),
        ..Compose::default()
    };
    customer.secrets = blobs(written, "Secrets", "SecretName");
    customer.configs = blobs(written, "Configs", "ConfigName");
    customer.services.insert(service.key.clone(), Service { compose, ..service.clone() });
    customer
}

fn list(written: &Value, field: &str) -> Vec<Value> {
    fields::read(written, field).as_array().cloned().unwrap_or_default()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn text(value: &Value, key: &str) -> String {
    value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn mounts(volumes: &mut BTreeMap<String, Volume>, written: &Value) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for mount in list(written, "volumes") {
        let (path, target) = (text(&mount, "Source"), text(&mount, "Target"));
        let source = match mount["Type"].as_str() {
            Some("bind") => MountSource::Bind { path, propagation: None },
            Some("npipe") => MountSource::Npipe { path },
            Some("tmpfs") => MountSource::Tmpfs { size_bytes: None },
            _ => {
                // One without a name is as much of the node as its driver makes of it.
                let name = if path.is_empty() { target.clone() } else { path };
                volumes.insert(name.clone(), volume(&name, &mount["VolumeOptions"]["DriverConfig"]));
                MountSource::Volume { key: Some(name), nocopy: false }
            }
        };
        mounts.push(Mount { target, read_only: false, source });
    }
    mounts
}

fn volume(name: &str, driver: &Value) -> Volume {
    let options = driver["Options"].as_object().into_iter().flatten();
    let option =
        |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap_or_default().to_owned());
    Volume {
        key: name.to_owned(),
        external: false,
        name: name.to_owned(),
        driver: driver["Name"].as_str().map(str::to_owned),
        driver_opts: options.map(option).collect(),
        labels: BTreeMap::new(),
    }
}

fn networks(
    input: &Input<'_>,
    declared: &mut BTreeMap<String, Network>,
    written: &Value,
) -> Vec<NetworkAttachment> {
    let name_of = |target: String| {
        let found = input.observed.networks.values().find(|network| network.id == target);
        found.map_or(target, |network| network.name.clone())
    };
    let mut joined = Vec::new();
    for one in list(written, "networks") {
        let name = name_of(text(&one, "Target"));
        let network = Network { key: name.clone(), external: true, name: name.clone(), ..Network::default() };
        declared.insert(name.clone(), network);
        joined.push(NetworkAttachment { key: name, aliases: texts(&one["Aliases"]) });
    }
    joined
}

fn port(port: &Value) -> Port {
    let number = |key: &str| port[key].as_u64().and_then(|number| u16::try_from(number).ok()).unwrap_or(0);
    Port {
        target: number("TargetPort"),
        published: number("PublishedPort"),
        protocol: Protocol::Tcp,
        mode: if port["PublishMode"] == "host" { PortMode::Host } else { PortMode::Ingress },
    }
}

fn deploy(written: &Value) -> Deploy {
    let number = |field: &str| fields::read(written, field).as_u64();
    let limits = ResourceAmounts {
        nano_cpus: number("deploy.resources.limits.cpus"),
        memory_bytes: number("deploy.resources.limits.memory"),
        ..ResourceAmounts::default()
    };
    let labels = written["Labels"].as_object().into_iter().flatten();
    let label =
        |(key, value): (&String, &Value)| (key.clone(), value.as_str().unwrap_or_default().to_owned());
    Deploy {
        replicas: number("deploy.replicas"),
        labels: labels.map(label).collect(),
        resources: Some(Resources { limits: Some(limits), reservations: None }),
        ..Deploy::default()
    }
}

fn blobs(written: &Value, kind: &str, name: &str) -> BTreeMap<String, Blob> {
    let list =
        written.pointer("/TaskTemplate/ContainerSpec").and_then(|container| container[kind].as_array());
    let names = list.into_iter().flatten().map(|one| text(one, name));
    names.map(|name| (name.clone(), Blob::external(&name))).collect()
}
