//! What the engines hold of each stack, in a form in which equal stacks of two Swarms are equal.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::{Map, Value, json};

use crate::bed::{Bed, Node};

const NAMESPACE: &str = "com.docker.stack.namespace";
/// The label by which skep knows secrets and configs that it made, and what it adds to their names.
const OURS: &str = "skep.object";
const SUFFIX: usize = "-0123456789ab".len();

/// The objects of one stack: `service acme_web`, … with what was asked for.
pub type Objects = BTreeMap<String, Value>;

pub struct Stacks(BTreeMap<String, Objects>);

impl Stacks {
    pub fn of(bed: &Bed) -> Self {
        let list = |kind: &str| bed.get(&format!("/{kind}")).as_array().cloned().unwrap();
        let (services, networks) = (list("services"), list("networks"));
        let (secrets, configs) = (list("secrets"), list("configs"));
        // IDs are another Swarm's, and the ends of names another key's.
        let mut names = BTreeMap::new();
        for network in &networks {
            names.insert(text(&network["Id"]), text(&network["Name"]));
        }
        // No list has the networks that every node has of its own.
        names.insert(text(&bed.get("/networks/host?scope=swarm")["Id"]), "host".to_owned());
        for blob in secrets.iter().chain(&configs) {
            let name = plain_name(&blob["Spec"]);
            names.insert(text(&blob["ID"]), name.clone());
            names.insert(text(&blob["Spec"]["Name"]), name);
        }
        let mut stacks = Stacks(BTreeMap::new());
        for network in networks {
            stacks.add("network", self::network(network));
        }
        for (kind, list) in [("service", services), ("secret", secrets), ("config", configs)] {
            for object in list {
                let mut spec = object["Spec"].clone();
                name(&mut spec, &names);
                for list in ["Secrets", "Configs"] {
                    in_order(spec.pointer_mut(&format!("/TaskTemplate/ContainerSpec/{list}")));
                }
                stacks.add(kind, spec);
            }
        }
        stacks
    }

    fn add(&mut self, kind: &str, spec: Value) {
        let Some(stack) = spec["Labels"][NAMESPACE].as_str() else { return };
        let objects = self.0.entry(stack.to_owned()).or_default();
        objects.insert(format!("{kind} {}", text(&spec["Name"])), spec);
    }

    pub fn names(&self) -> BTreeSet<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    pub fn stack(&self, name: &str) -> &Objects {
        static NONE: Objects = Objects::new();
        self.0.get(name).unwrap_or(&NONE)
    }
}

/// Makes the secrets and configs that skep made on one Swarm on another too: to what `render` prints
/// they are external.
pub fn copy_blobs(from: &Bed, to: &Node) {
    for kind in ["secrets", "configs"] {
        for blob in from.get(&format!("/{kind}")).as_array().unwrap() {
            let mut spec = blob["Spec"].clone();
            if spec["Labels"][OURS].is_null() {
                continue;
            }
            // A secret cannot be read back, and what it holds is in no spec.
            if kind == "secrets" && spec["Driver"].is_null() {
                spec["Data"] = json!("c2VjcmV0");
            }
            to.post(&format!("/{kind}/create"), &spec);
        }
    }
}

fn plain_name(spec: &Value) -> String {
    let mut name = text(&spec["Name"]);
    if spec["Labels"][OURS].is_string() {
        name.truncate(name.len() - SUFFIX);
    }
    name
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A network as it was asked for, without what the engine chose.
fn network(mut network: Value) -> Value {
    let fields = network.as_object_mut().unwrap();
    fields.retain(|field, _| !["Id", "Created", "Peers", "Containers"].contains(&field.as_str()));
    if let Some(options) = network["Options"].as_object_mut() {
        options.retain(|option, _| option != "com.docker.network.driver.overlay.vxlanid_list");
    }
    if let Some(list) = network.pointer_mut("/IPAM/Config").and_then(Value::as_array_mut) {
        // The specs ask for others.
        list.retain(|one| !text(&one["Subnet"]).starts_with("10.0."));
    }
    network
}

/// Puts names in the place of IDs, wherever one stands.
fn name(value: &mut Value, names: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            if let Some(name) = names.get(text) {
                *text = name.clone();
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| name(value, names)),
        Value::Object(map) => map.values_mut().for_each(|value| name(value, names)),
        _ => {}
    }
}

/// The docker CLI sorts references by what they name, and those to one secret as chance has it.
fn in_order(list: Option<&mut Value>) {
    if let Some(list) = list.and_then(Value::as_array_mut) {
        let key = |one: &Value| [&one["SecretName"], &one["ConfigName"]].map(text);
        list.sort_by_cached_key(|one| (key(one), text(&one["File"]["Name"])));
    }
}

/// Where two stacks differ.
pub struct Difference {
    /// The object, and the JSON pointer in it: `service /TaskTemplate/…`.
    pub pointer: String,
    object: String,
    docker: Option<Value>,
    skep: Option<Value>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), Value::to_string);
        let (docker, skep) = (shown(&self.docker), shown(&self.skep));
        write!(f, "{} {}\n    docker: {docker}\n    skep:   {skep}", self.object, self.pointer)
    }
}

pub fn differences(docker: &Objects, skep: &Objects) -> Vec<Difference> {
    let mut found = Vec::new();
    for object in docker.keys().chain(skep.keys()).collect::<BTreeSet<_>>() {
        let kind = object.split(' ').next().unwrap_or_default();
        walk(object, &format!("{kind} "), docker.get(object), skep.get(object), &mut found);
    }
    found
}

fn walk(
    object: &str,
    pointer: &str,
    docker: Option<&Value>,
    skep: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    let parts: Vec<(String, Option<&Value>, Option<&Value>)> = match (docker, skep) {
        (Some(Value::Object(docker)), Some(Value::Object(skep))) => {
            keys(docker, skep).map(|key| (key.clone(), docker.get(key), skep.get(key))).collect()
        }
        (Some(Value::Array(docker)), Some(Value::Array(skep))) if docker.len() == skep.len() => {
            let both = docker.iter().zip(skep).enumerate();
            both.map(|(at, (docker, skep))| (at.to_string(), Some(docker), Some(skep))).collect()
        }
        _ if docker == skep => return,
        _ => {
            let (docker, skep) = (docker.cloned(), skep.cloned());
            return found.push(Difference {
                pointer: pointer.to_owned(),
                object: object.to_owned(),
                docker,
                skep,
            });
        }
    };
    for (key, docker, skep) in parts {
        walk(object, &format!("{pointer}/{key}"), docker, skep, found);
    }
}

fn keys<'a>(a: &'a Map<String, Value>, b: &'a Map<String, Value>) -> impl Iterator<Item = &'a String> {
    a.keys().chain(b.keys()).collect::<BTreeSet<_>>().into_iter()
}
