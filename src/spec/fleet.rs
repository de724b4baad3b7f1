//! The rules of `fleet.toml`: what the fleet allows its customers, and what it has for them.

mod contents;
mod mounts;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub use contents::{ContentRules, NAME, UPPER_NAME, is_reserved};
pub use volumes::{NamedVolumes, free_volumes};

use super::{Customer, PortMode, Service, VersionPolicy};
use crate::image::Repository;

/// The rules; without a `fleet.toml` everything is allowed but to name what is another customer's.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Fleet {
    /// `None`: all.
    pub allowed_images: Option<Vec<ImagePattern>>,
    /// Of services, `deploy.labels`.
    pub required_labels: Vec<String>,
    pub forbid: Forbid,
    pub limits: Limits,
    /// What a service's `version` says where its spec says nothing.
    pub version_defaults: VersionPolicy,
    /// By customer: names of other customers' objects and of shared volumes that it may name, each as [`is_match`]
    /// has it.
    pub grants: BTreeMap<String, Vec<String>>,
    pub contents: ContentRules,
    pub prune: Prune,
}

/// Repositories that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImagePattern {
    All,
    One(Repository),
    /// All whose normalized name begins so; ends in `/`.
    Beneath(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Forbid {
    pub docker_socket: bool,
    pub host_binds: bool,
    pub host_network: bool,
    /// Ports that are published by the nodes that run a task.
    pub host_ports: bool,
    /// Published ports below 1024.
    pub privileged_ports: bool,
    pub cap_add: Capabilities,
}

/// Capabilities that may not be added.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Capabilities {
    #[default]
    None,
    All,
    /// As the engine names them; `ALL` is never allowed then.
    These(Vec<String>),
}

/// What a customer cannot exceed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Limits {
    /// Of a customer.
    pub services: Option<u64>,
    /// Of a service.
    pub replicas: Option<u64>,
    /// Of a task, in billionths of a CPU.
    pub nano_cpus: Option<u64>,
    /// Of a task.
    pub memory_bytes: Option<u64>,
}

/// How removal is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Prune {
    pub enabled: bool,
    /// How long a customer's file is gone before its stack goes.
    pub grace: Duration,
    /// The share of the services that skep manages which may go at once, 0 to 1.
    pub share: f64,
}

impl Default for Prune {
    fn default() -> Self {
        Self { enabled: true, grace: Duration::from_secs(600), share: 0.2 }
    }
}

/// What a customer's spec says and the fleet does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The key in the spec, part by part; an element of a list as `[3]`.
    pub path: Vec<String>,
    /// What the spec says there. It may come from a variable, which no message shows.
    value: Option<String>,
    /// With [`VALUE`] for the value.
    message: String,
    help: String,
}

/// Where a violation's texts have the value. No value has this sign once it is printable.
const VALUE: &str = "\0";
/// More of a value is not shown.
const VALUE_CHARS_MAX: usize = 200;

impl Violation {
    /// What the spec says there, if the message shows it.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    /// Says what, and which rule, with the value as it is or as the file spells it.
    pub fn message(&self, spelt: Option<&str>) -> String {
        self.told(&self.message, spelt)
    }

    /// What to do about it, as `message`.
    pub fn help(&self, spelt: Option<&str>) -> String {
        self.told(&self.help, spelt)
    }

    fn told(&self, text: &str, spelt: Option<&str>) -> String {
        match spelt.or(self.value()) {
            Some(value) => text.replace(VALUE, &crate::text::printable(value, VALUE_CHARS_MAX)),
            None => text.to_owned(),
        }
    }
}

/// Everything in a customer's spec that the fleet does not allow. `customers` are the names of all that are known,
/// `named` the volumes that they name.
pub fn check(
    fleet: &Fleet,
    customer: &Customer,
    customers: &BTreeSet<&str>,
    named: &NamedVolumes,
) -> Vec<Violation> {
    let mut found = Violations::default();
    let count = customer.services.len() as u64;
    if let Some(most) = fleet.limits.services.filter(|most| count > *most) {
        let message = format!("{count} services, and `limits.services` in fleet.toml allows {most}");
        found.add(&["services"], message, "split the customer, or have the limit raised");
    }
    for (key, service) in &customer.services {
        check_image(fleet, key, service, &mut found);
        check_labels(fleet, key, service, &mut found);
        mounts::check(fleet, customer, key, service, &mut found);
        check_ports(fleet, key, service, &mut found);
        check_capabilities(fleet, key, service, &mut found);
        check_limits(fleet, key, service, &mut found);
    }
    check_networks(fleet, customer, &mut found);
    check_names(fleet, customer, customers, &mut found);
    volumes::check(fleet, customer, customers, named, &mut found);
    contents::check(fleet, customer, customers, &mut found);
    found.0
}

#[derive(Default)]
struct Violations(Vec<Violation>);

impl Violations {
    fn add(&mut self, path: &[&str], message: impl Into<String>, help: &str) {
        self.push(path, None, message.into(), help);
    }

    /// `message` and `help` have [`VALUE`] where they show what the spec says.
    fn add_value(&mut self, path: &[&str], value: &str, message: impl Into<String>, help: &str) {
        self.push(path, Some(value.to_owned()), message.into(), help);
    }

    fn push(&mut self, path: &[&str], value: Option<String>, message: String, help: &str) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.push(Violation { path, value, message, help: help.to_owned() });
    }
}

/// Drivers of networks that are the nodes' own, or lead straight into it.
const HOST_DRIVERS: &[&str] = &["host", "macvlan", "ipvlan"];

fn check_networks(fleet: &Fleet, customer: &Customer, found: &mut Violations) {
    if !fleet.forbid.host_network {
        return;
    }
    let of_host = |driver: &Option<String>| driver.as_deref().is_some_and(|it| HOST_DRIVERS.contains(&it));
    for network in customer.networks.values().filter(|it| it.name == "host" || of_host(&it.driver)) {
        let message = "the nodes' own network, which `forbid.host_network` in fleet.toml forbids";
        found.add(&["networks", &network.key], message, "join an overlay network");
    }
}

fn check_image(fleet: &Fleet, key: &str, service: &Service, found: &mut Violations) {
    let repository = service.image.repository();
    let Some(allowed) = &fleet.allowed_images else { return };
    let fits = |pattern: &ImagePattern| match pattern {
        ImagePattern::All => true,
        ImagePattern::One(one) => one == repository,
        ImagePattern::Beneath(prefix) => repository.normalized().starts_with(prefix.as_str()),
    };
    if !allowed.iter().any(fits) {
        let message = format!("`{VALUE}` is not among `allowed_images` in fleet.toml");
        let help = "use one of those, or have it added";
        found.add_value(&["services", key, "image"], &repository.to_string(), message, help);
    }
}

fn check_labels(fleet: &Fleet, key: &str, service: &Service, found: &mut Violations) {
    let labels = &service.compose.deploy.labels;
    let is_given = |label: &str| labels.get(label).is_some_and(|value| !value.trim().is_empty());
    for label in fleet.required_labels.iter().filter(|label| !is_given(label)) {
        let message =
            format!("the label `{label}` is missing, which `required_labels` in fleet.toml requires");
        found.add(&["services", key, "deploy", "labels"], message, "write it under `deploy.labels`");
    }
}

/// Ports from here on are anybody's.
const UNPRIVILEGED: u16 = 1024;

fn check_ports(fleet: &Fleet, key: &str, service: &Service, found: &mut Violations) {
    for port in service.compose.ports.iter().flatten() {
        let published = port.published;
        if fleet.forbid.privileged_ports && (1..UNPRIVILEGED).contains(&published) {
            let message =
                format!("port {VALUE} is below 1024, which `forbid.privileged_ports` in fleet.toml forbids");
            let at = ["services", key, "ports"];
            found.add_value(&at, &published.to_string(), message, "publish another port");
        }
        if fleet.forbid.host_ports && port.mode == PortMode::Host {
            let message = format!(
                "port {VALUE} is published by the node itself, which `forbid.host_ports` in fleet.toml forbids"
            );
            let at = ["services", key, "ports"];
            found.add_value(&at, &port.target.to_string(), message, "take `mode = \"host\"` out");
        }
    }
}

fn check_capabilities(fleet: &Fleet, key: &str, service: &Service, found: &mut Violations) {
    for name in service.compose.container.cap_add.iter().flatten() {
        let forbidden = match &fleet.forbid.cap_add {
            Capabilities::None => false,
            Capabilities::All => true,
            Capabilities::These(names) => name == "ALL" || names.contains(name),
        };
        if forbidden {
            let message = format!("the capability `{VALUE}`, which `forbid.cap_add` in fleet.toml forbids");
            found.add_value(&["services", key, "cap_add"], name, message, "take it out");
        }
    }
}

fn check_limits(fleet: &Fleet, key: &str, service: &Service, found: &mut Violations) {
    let deploy = &service.compose.deploy;
    let replicas = deploy.replicas.unwrap_or(1);
    if let Some(most) = fleet.limits.replicas.filter(|most| replicas > *most) {
        // Where the spec says nothing there is nothing to hide.
        let shown = if deploy.replicas.is_some() { VALUE.to_owned() } else { replicas.to_string() };
        let message = format!("{shown} replicas, and `limits.replicas` in fleet.toml allows {most}");
        found.add_value(
            &["services", key, "deploy", "replicas"],
            &replicas.to_string(),
            message,
            "make it less, or have the limit raised",
        );
    }
    let limits = deploy.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let amounts = [
        ("cpus", limits.and_then(|limits| limits.nano_cpus), fleet.limits.nano_cpus),
        ("memory", limits.and_then(|limits| limits.memory_bytes), fleet.limits.memory_bytes),
    ];
    for (name, given, most) in amounts {
        let Some(most) = most else { continue };
        // 0 is no limit at all.
        let why = match given.filter(|given| *given > 0) {
            None => "is not limited, and",
            Some(given) if given > most => "is more than",
            Some(_) => continue,
        };
        let allowed = shown(name, most);
        let message = format!("`{name}` {why} `limits.{name}` in fleet.toml allows {allowed}");
        let at = ["services", key, "deploy", "resources", "limits", name];
        found.add(&at, message, &format!("write `deploy.resources.limits.{name}`, at most {allowed}"));
    }
}

/// An amount as specs write it.
fn shown(name: &str, amount: u64) -> String {
    if name == "memory" {
        let unit = [("G", 30), ("M", 20), ("k", 10)]
            .into_iter()
            .find(|(_, shift)| amount.trailing_zeros() >= *shift);
        return unit
            .map_or_else(|| amount.to_string(), |(unit, shift)| format!("\"{}{unit}\"", amount >> shift));
    }
    let text = format!("{}.{:09}", amount / 1_000_000_000, amount % 1_000_000_000);
    format!("\"{}\"", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Whether the customer names what would be one of these customers'.
pub fn names_of_any(customer: &Customer, owners: &BTreeSet<&str>) -> bool {
    let networks = customer.networks.values().map(|one| &one.name);
    let volumes = customer.volumes.values().map(|one| &one.name);
    let secrets = customer.secrets.values().map(|one| &one.name);
    let configs = customer.configs.values().map(|one| &one.name);
    let joined = customer.services.values().flat_map(|service| service.compose.networks.iter().flatten());
    let aliases = joined.flat_map(|network| &network.aliases);
    networks
        .chain(volumes)
        .chain(secrets)
        .chain(configs)
        .chain(aliases)
        .any(|name| owner(name, owners).is_some())
        || contents::names_of_any(customer, owners)
}

/// Nobody names what another customer's stack is made of.
fn check_names(fleet: &Fleet, customer: &Customer, customers: &BTreeSet<&str>, found: &mut Violations) {
    let granted = fleet.grants.get(&customer.name).map(Vec::as_slice).unwrap_or_default();
    let networks = customer.networks.values().map(|one| ("networks", &one.key, &one.name));
    let volumes = customer.volumes.values().map(|one| ("volumes", &one.key, &one.name));
    let secrets = customer.secrets.values().map(|one| ("secrets", &one.key, &one.name));
    let configs = customer.configs.values().map(|one| ("configs", &one.key, &one.name));
    for (kind, key, name) in networks.chain(volumes).chain(secrets).chain(configs) {
        let Some(owner) = owner(name, customers).filter(|owner| *owner != customer.name) else { continue };
        if granted.iter().any(|pattern| is_match(pattern, name)) {
            continue;
        }
        let message = format!("`{VALUE}` belongs to customer {owner}");
        let help =
            format!("have it granted in fleet.toml: `[grants]` with `{} = [\"{VALUE}\"]`", customer.name);
        found.add_value(&[kind, key], name, message, &help);
    }
    // On a network that several customers join, who has an alias gets what is meant for another.
    for (key, service) in &customer.services {
        let joined = service.compose.networks.iter().flatten();
        for alias in joined.flat_map(|network| &network.aliases) {
            let Some(owner) = owner(alias, customers).filter(|owner| *owner != customer.name) else {
                continue;
            };
            if !granted.iter().any(|pattern| is_match(pattern, alias)) {
                let message = format!("the alias `{VALUE}` is a service's of customer {owner}");
                found.add_value(&["services", key, "networks"], alias, message, "take another alias");
            }
        }
    }
}

/// The customer whose prefix a name has. Customers' names have no `_`, so there is one at most.
fn owner<'a>(name: &str, customers: &BTreeSet<&'a str>) -> Option<&'a str> {
    customers.get(name.split_once('_')?.0).copied()
}

/// Whether a grant is for this name: the name itself, or its beginning and a `*`.
pub fn is_match(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => pattern == name,
    }
}
