//! A stack that runs, read back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::mount::{free_key, mount};
use super::{Draft, Imported};
use crate::image::Digest;
use crate::plan::{fields, labels, service_name};
use crate::spec::Customer;
use crate::state::{ObservedService, ObservedState};
use crate::text::{nearest, printable};

/// A stack to import.
pub struct Stack<'a> {
    /// `com.docker.stack.namespace` of its services.
    pub name: &'a str,
    /// What the customer is to be called. Another name than the stack's makes a copy of it.
    pub customer: &'a str,
    pub observed: &'a ObservedState,
    /// The engine's answers about networks and configs, whole.
    pub networks: &'a [Value],
    pub configs: &'a [Value],
}

impl Stack<'_> {
    fn services(&self) -> impl Iterator<Item = &ObservedService> {
        let own = |service: &&ObservedService| service.label(labels::STACK) == Some(self.name);
        self.observed.services.values().filter(own)
    }

    pub(super) fn is_copy(&self) -> bool {
        self.name != self.customer
    }

    /// What the stack is, in the spec's words.
    ///
    /// # Errors
    /// When there is no such stack, or the customer cannot be called so.
    pub fn draft(&self) -> Result<Draft, String> {
        super::check_name(self.customer)?;
        let mut draft = Draft::new(self.customer, format!("the stack {}", self.name));
        if self.services().next().is_none() {
            return Err(self.missing());
        }
        if self.is_copy() {
            let message = format!(
                "another name than the stack's: a copy, whose services are new; those of {} stay as they are",
                self.name
            );
            draft.note(&[], message);
        }
        draft.root.insert("services".into(), Value::Object(Map::new()));
        for service in self.services() {
            self.service(&mut draft, service);
        }
        self.own_networks(&mut draft);
        Ok(draft)
    }

    /// The spec of a draft, without what would change a service.
    ///
    /// # Errors
    /// When nothing of it makes a spec.
    pub fn finish(&self, draft: Draft, digests: &BTreeMap<String, Digest>) -> Result<Imported, String> {
        draft
            .finish(digests, &|customer| if self.is_copy() { Vec::new() } else { self.differences(customer) })
    }

    fn missing(&self) -> String {
        let stacks: BTreeSet<&str> =
            self.observed.services.values().filter_map(|service| service.label(labels::STACK)).collect();
        let hint = match nearest(self.name, stacks.iter().copied()) {
            Some(near) => format!("; did you mean {near}?"),
            None if stacks.is_empty() => "; no service here is of a stack".to_owned(),
            None => {
                let some: Vec<&str> = stacks.iter().copied().take(10).collect();
                format!("; there are {}", printable(&some.join(", "), 300))
            }
        };
        format!("there is no stack {}{hint}", printable(self.name, 60))
    }

    fn service(&self, draft: &mut Draft, service: &ObservedService) {
        let shown = printable(&service.name, 80);
        let key = service.name.strip_prefix(self.name).and_then(|rest| rest.strip_prefix('_'));
        let Some(key) = key.filter(|key| !key.is_empty()) else {
            let message =
                format!("service {shown}: not carried: its name does not begin with `{}_`", self.name);
            return draft.note(&[], message);
        };
        if !fields::is_container(&service.spec) {
            return draft.note(&[], format!("service {shown}: not carried: it runs no containers"));
        }
        let image = match service.image_text().parse() {
            Ok(image) => image,
            Err(error) => return draft.note(&[], format!("service {shown}: not carried: {error}")),
        };
        draft.images.insert(key.to_owned(), image);
        let at = |path: &[String]| [&["services".to_owned(), key.to_owned()], path].concat();
        draft.set(&at(&[]), Value::Object(Map::new()));
        match service.label(labels::CUSTOMER) {
            _ if self.is_copy() => {}
            None => draft.set(&at(&["adopt".to_owned()]), json!(true)),
            Some(owner) if owner == self.customer => {}
            Some(owner) => {
                let message = format!("skep manages it for customer {} already", printable(owner, 60));
                draft.note(&["services", key], message);
            }
        }
        let (said, unsayable) = fields::invert(&service.spec);
        for (path, value) in said {
            draft.set(&at(&path), value);
        }
        environment(draft, key);
        self.attachments(draft, key, service);
        self.mounts(draft, key, service);
        self.blobs(draft, key, &service.spec);
        self.leave(draft, key, service, unsayable);
    }

    /// Notes what the service has and a spec cannot say.
    fn leave(&self, draft: &mut Draft, key: &str, service: &ObservedService, unsayable: Vec<String>) {
        let stays = if self.is_copy() { "" } else { "; it stays as it is on the service" };
        for name in unsayable {
            draft.note(&["services", key], format!("{name}: not carried: no spec can say it{stays}"));
        }
        for name in fields::uncovered(&service.spec) {
            draft.note(&["services", key], format!("{name}: not carried: skep has no key for it{stays}"));
        }
    }

    fn attachments(&self, draft: &mut Draft, key: &str, service: &ObservedService) {
        let joined = fields::read(&service.spec, "networks");
        let joined = joined.as_array().cloned().unwrap_or_default();
        let mut tables = Map::new();
        let default = format!("{}_default", self.name);
        let mut only_default = true;
        for one in &joined {
            let id = one["Target"].as_str().unwrap_or_default();
            let Some(network) = self.observed.networks.values().find(|network| network.id == id) else {
                let message = format!("networks: not carried: there is no network {}", printable(id, 60));
                return draft.note(&["services", key], message);
            };
            let aliases = one["Aliases"].as_array().cloned().unwrap_or_default();
            let others: Vec<Value> = aliases.into_iter().filter(|alias| alias != key).collect();
            only_default &= network.name == default && others.is_empty();
            let mut table = Map::new();
            if !others.is_empty() {
                table.insert("aliases".into(), Value::from(others));
            }
            let (name, declared) = self.declare(&network.name, &network.labels);
            if declared.get("external").is_some() {
                draft.set(&["networks".to_owned(), name.clone()], declared);
            }
            tables.insert(name, Value::Object(table));
        }
        // That is where a service goes that names none.
        if joined.is_empty() || only_default {
            return;
        }
        let plain = tables.values().all(|table| table.as_object().is_some_and(Map::is_empty));
        let value = if plain { tables.keys().cloned().collect::<Value>() } else { Value::Object(tables) };
        draft.set(&["services", key, "networks"].map(str::to_owned), value);
    }

    /// The key of a network, and what only its name says of it.
    fn declare(&self, name: &str, found: &BTreeMap<String, String>) -> (String, Value) {
        let own = found.get(labels::STACK).is_some_and(|owner| owner == self.name);
        let key = name.strip_prefix(self.name).and_then(|rest| rest.strip_prefix('_')).filter(|_| own);
        match key.filter(|key| free_key(key) == *key) {
            Some(key) => (key.to_owned(), json!({})),
            None => {
                let key = free_key(name);
                let mut table = Map::new();
                if !own {
                    table.insert("external".into(), json!(true));
                }
                if key != name || own {
                    table.insert("name".into(), json!(name));
                }
                (key, Value::Object(table))
            }
        }
    }

    /// The networks that the stack made, with how they are made.
    fn own_networks(&self, draft: &mut Draft) {
        for network in self.networks {
            let name = network["Name"].as_str().unwrap_or_default();
            let Some(observed) = self.observed.networks.get(name) else { continue };
            if observed.labels.get(labels::STACK).is_none_or(|owner| owner != self.name) {
                continue;
            }
            let (key, declared) = self.declare(name, &observed.labels);
            let table = own_network(draft, &key, network, declared);
            if key == "default" && table.as_object().is_some_and(Map::is_empty) {
                continue;
            }
            draft.set(&["networks".to_owned(), key], table);
        }
    }

    fn mounts(&self, draft: &mut Draft, key: &str, service: &ObservedService) {
        let there = fields::read(&service.spec, "volumes");
        let Some(list) = there.as_array() else { return };
        let read = list.iter().map(|one| mount(self.name, one)).collect::<Option<Vec<_>>>();
        let Some(read) = read else {
            let message = "volumes: not carried: a volume is made here and now, which no spec can say; they stay as they are";
            return draft.note(&["services", key], message);
        };
        let mut values = Vec::new();
        for (value, declared) in read {
            values.push(value);
            if let Some((name, table)) = declared {
                let known = draft.root.get("volumes").and_then(|volumes| volumes.get(&name)).is_some();
                if !known {
                    draft.set(&["volumes".to_owned(), name], table);
                }
            }
        }
        draft.set(&["services", key, "volumes"].map(str::to_owned), Value::from(values));
    }

    /// What a plan would change on the services, by key of the spec.
    fn differences(&self, customer: &Customer) -> Vec<super::Removal> {
        let network = |name: &str| self.observed.networks.get(name).map(|network| network.id.clone());
        let mut found = Vec::new();
        for (key, service) in &customer.services {
            let Some(observed) = self.observed.services.get(&service_name(&customer.name, key)) else {
                continue;
            };
            let at = |path: Vec<String>| [vec!["services".to_owned(), key.clone()], path].concat();
            let why = "skep would write it otherwise; it stays as it is on the service".to_owned();
            match fields::desired(customer, service, &network) {
                Err(missing) => found.push((at(vec!["networks".to_owned()]), missing.to_string())),
                Ok(fields) => found.extend(
                    fields
                        .iter()
                        .filter(|field| {
                            !fields::same(
                                &field.name,
                                &fields::read(&observed.spec, &field.name),
                                &field.value,
                            )
                        })
                        .map(|field| (at(fields::path(&field.name)), why.clone())),
                ),
            }
        }
        found
    }
}

/// A variable that is named without a value has no place in a table.
fn environment(draft: &mut Draft, key: &str) {
    let path = ["services", key, "environment"].map(str::to_owned);
    let table = draft.root["services"][key].get("environment").and_then(Value::as_object);
    let Some(table) = table.filter(|table| table.values().any(Value::is_boolean)) else { return };
    let line = |(name, value): (&String, &Value)| match value.as_str() {
        Some(value) => json!(format!("{name}={value}")),
        None => json!(name),
    };
    let lines = table.iter().map(line).collect::<Value>();
    draft.set(&path, lines);
}

fn own_network(draft: &mut Draft, key: &str, network: &Value, declared: Value) -> Value {
    let mut table = declared.as_object().cloned().unwrap_or_default();
    let driver = network["Driver"].as_str().unwrap_or_default();
    if !matches!(driver, "" | "overlay") {
        table.insert("driver".into(), json!(driver));
    }
    let mut options = network["Options"].as_object().cloned().unwrap_or_default();
    // The engine writes down here what it gave out.
    options.retain(|name, _| name != "com.docker.network.driver.overlay.vxlanid_list");
    if !options.is_empty() {
        table.insert("driver_opts".into(), Value::Object(options));
    }
    for (name, field) in [("attachable", "Attachable"), ("internal", "Internal")] {
        if network[field] == Value::Bool(true) {
            table.insert(name.into(), json!(true));
        }
    }
    let mut labels = network["Labels"].as_object().cloned().unwrap_or_default();
    labels.retain(|name, _| !fields::is_reserved_label(name));
    if !labels.is_empty() {
        table.insert("labels".into(), Value::Object(labels));
    }
    let subnets: Vec<&str> = network["IPAM"]["Config"]
        .as_array()
        .map(|list| list.iter().filter_map(|one| one["Subnet"].as_str()).collect())
        .unwrap_or_default();
    let (given, chosen): (Vec<&str>, Vec<&str>) =
        subnets.into_iter().partition(|subnet| !is_default_pool(subnet));
    if !given.is_empty() {
        let config: Vec<Value> = given.iter().map(|subnet| json!({ "subnet": subnet })).collect();
        table.insert("ipam".into(), json!({ "config": config }));
    }
    if !chosen.is_empty() && key != "default" {
        let message = format!(
            "ipam: {} seems to be the engine's own choice; to keep it write ipam = {{ config = [{{ subnet = \"…\" }}] }}",
            printable(&chosen.join(", "), 100)
        );
        draft.notes.push(super::Note { path: vec!["networks".into(), key.into()], message, hint: true });
    }
    Value::Object(table)
}

/// Swarm gives out /24 of 10.0.0.0/8 by itself.
fn is_default_pool(subnet: &str) -> bool {
    subnet.starts_with("10.") && subnet.ends_with("/24")
}
