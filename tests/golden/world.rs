//! What a scenario's files leave out, and a registry that answers from `tags.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, ready};
use serde_json::{Value, json};
use skep::image::{Digest, Repository};
use skep::registry::{Registry, RegistryError, RegistryErrorKind as Kind};
use skep::state::ObservedBlob;
use skep::version::Platform;

/// Lays `over` upon `base`: objects merge, all else replaces.
pub fn merge(base: &mut Value, over: &Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over.clone(),
    }
}

fn with_defaults(mut defaults: Value, item: &Value) -> Value {
    merge(&mut defaults, item);
    defaults
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// An `ID` and an index of its own for each service: its name, and 10.
pub fn services(list: &Value) -> Value {
    let full = items(list).map(|service| {
        let id = service.pointer("/Spec/Name").cloned().unwrap_or_default();
        with_defaults(json!({ "ID": id, "Version": { "Index": 10 } }), service)
    });
    full.collect()
}

/// A manager of linux/amd64, up and active, unless an item says otherwise.
pub fn nodes(list: &Value) -> Value {
    let full = items(list).enumerate().map(|(at, node)| {
        let id = format!("node-{}", at + 1);
        let defaults = json!({
            "ID": id,
            "Spec": { "Role": "manager", "Availability": "active", "Labels": {} },
            "Description": {
                "Hostname": id,
                "Platform": { "Architecture": "x86_64", "OS": "linux" },
            },
            "Status": { "State": "ready" },
        });
        with_defaults(defaults, node)
    });
    full.collect()
}

/// Secrets or configs by name; an `ID` is the name unless an item says otherwise.
pub fn blobs(list: &Value) -> BTreeMap<String, ObservedBlob> {
    let one = |item: &Value| {
        let name = item["Spec"]["Name"].as_str().expect("a name").to_owned();
        let labels = item["Spec"]["Labels"].as_object().into_iter().flatten();
        let labels = labels.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()));
        let created = item["CreatedAt"].as_str().unwrap_or("2026-11-23T10:00:00Z");
        let blob = ObservedBlob {
            id: item["ID"].as_str().map_or_else(|| name.clone(), str::to_owned),
            name: name.clone(),
            labels: labels.collect(),
            created_at: created.parse().ok(),
        };
        (name, blob)
    };
    items(list).map(one).collect()
}

pub fn networks(list: &Value) -> Value {
    items(list)
        .map(|network| with_defaults(json!({ "Id": network["Name"], "Scope": "swarm" }), network))
        .collect()
}

/// Tasks that run what their service says, unless an item says otherwise.
pub fn tasks(list: &Value, services: &Value) -> Value {
    let full = items(list).enumerate().map(|(at, task)| {
        let service = items(services).find(|service| service["ID"] == task["ServiceID"]);
        let spec = service.map(|service| service["Spec"]["TaskTemplate"].clone()).unwrap_or_default();
        let defaults = json!({
            "ID": format!("task-{}", at + 1),
            "Slot": at + 1,
            "NodeID": "node-1",
            "DesiredState": "running",
            "Status": { "State": "running", "Timestamp": "2026-11-23T11:00:00Z", "Message": "started" },
            "Spec": spec,
        });
        with_defaults(defaults, task)
    });
    full.collect()
}

/// All the tasks that services without trouble have.
pub fn healthy_tasks(services: &Value, nodes: &Value) -> Value {
    let mut list = Vec::new();
    for service in items(services) {
        let mode = &service["Spec"]["Mode"];
        let id = &service["ID"];
        let iteration = service.pointer("/JobStatus/JobIteration").cloned().unwrap_or(Value::Null);
        if mode.get("Global").is_some() {
            let up = items(nodes).filter(|node| node["Status"]["State"] == "ready");
            list.extend(up.map(|node| json!({ "ServiceID": id, "NodeID": node["ID"], "Slot": null })));
        } else if let Some(job) = mode.get("ReplicatedJob") {
            let count = job["TotalCompletions"].as_u64().unwrap_or(1);
            let done = json!({ "ServiceID": id, "DesiredState": "complete", "JobIteration": iteration, "Status": { "State": "complete" } });
            list.extend((0..count).map(|_| done.clone()));
        } else {
            let count = mode.pointer("/Replicated/Replicas").and_then(Value::as_u64).unwrap_or(1);
            list.extend((0..count).map(|_| json!({ "ServiceID": id })));
        }
    }
    tasks(&Value::Array(list), services)
}

/// What `tags.json` says of a repository.
#[derive(Clone)]
enum Known {
    Tags(BTreeMap<String, Tag>),
    Error(Kind),
}

/// A tag's manifest; `None`: it is listed, but there is nothing behind it.
#[derive(Clone)]
struct Tag(Option<(Digest, BTreeSet<Platform>)>);

/// A registry without a network.
pub struct FakeRegistry(BTreeMap<String, Known>);

impl FakeRegistry {
    /// # Panics
    /// When `tags.json` does not read.
    pub fn new(tags: &Value) -> Self {
        let known = tags.as_object().expect("tags.json is an object").iter().map(|(name, said)| {
            let repository: Repository = name.parse().expect("a repository");
            (repository.normalized(), Known::read(said))
        });
        Self(known.collect())
    }

    fn of(&self, repository: &Repository) -> Result<&BTreeMap<String, Tag>, RegistryError> {
        match self.0.get(&repository.normalized()) {
            Some(Known::Tags(tags)) => Ok(tags),
            Some(Known::Error(kind)) => {
                Err(error(*kind, format!("{repository}: the registry says {kind:?}")))
            }
            None => Err(error(Kind::NotFound, format!("{repository}: no such repository"))),
        }
    }
}

impl Known {
    fn read(said: &Value) -> Self {
        match said {
            Value::String(kind) => Self::Error(match kind.as_str() {
                "Unavailable" => Kind::Unavailable,
                "Unauthorized" => Kind::Unauthorized,
                "Truncated" => Kind::Truncated,
                "RateLimited" => Kind::RateLimited,
                "Untrusted" => Kind::Untrusted,
                other => panic!("no such error: {other}"),
            }),
            said => {
                let tags = said.as_object().expect("tags or an error");
                Self::Tags(tags.iter().map(|(tag, said)| (tag.clone(), Tag::read(said))).collect())
            }
        }
    }
}

impl Tag {
    fn read(said: &Value) -> Self {
        let (digest, platforms) = match said {
            Value::Null => return Self(None),
            Value::String(digest) => (digest.as_str(), Vec::new()),
            said => (
                said["digest"].as_str().expect("a digest"),
                items(&said["platforms"]).map(|platform| platform.as_str().expect("os/arch")).collect(),
            ),
        };
        let platforms = platforms.into_iter().map(|platform| {
            let (os, architecture) = platform.split_once('/').expect("os/arch");
            Platform { os: os.to_owned(), architecture: architecture.to_owned() }
        });
        Self(Some((digest.parse().expect("a digest"), platforms.collect())))
    }
}

fn error(kind: Kind, message: String) -> RegistryError {
    RegistryError { kind, registry: "registry.example.com".into(), message, retry_after: None }
}

impl Registry for FakeRegistry {
    fn tags(
        &self,
        repository: &Repository,
        _: Duration,
    ) -> BoxFuture<'_, Result<Arc<[String]>, RegistryError>> {
        ready(self.of(repository).map(|tags| tags.keys().cloned().collect())).boxed()
    }

    fn digest(
        &self,
        repository: &Repository,
        reference: &str,
        _: Duration,
    ) -> BoxFuture<'_, Result<Digest, RegistryError>> {
        let gone = || error(Kind::NotFound, format!("{repository}:{reference}: no such manifest"));
        let found = self.of(repository).and_then(|tags| {
            let tag = tags.get(reference).and_then(|tag| tag.0.as_ref());
            tag.map(|(digest, _)| digest.clone()).ok_or_else(gone)
        });
        ready(found).boxed()
    }

    fn platforms(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> BoxFuture<'_, Result<BTreeSet<Platform>, RegistryError>> {
        let found = self.of(repository).map(|tags| {
            let mut manifests = tags.values().filter_map(|tag| tag.0.as_ref());
            manifests
                .find(|(known, _)| known == digest)
                .map(|(_, platforms)| platforms.clone())
                .unwrap_or_default()
        });
        ready(found).boxed()
    }

    fn pull_auth(&self, _: &Repository) -> BoxFuture<'_, Result<Option<String>, RegistryError>> {
        ready(Ok(None)).boxed()
    }
}
