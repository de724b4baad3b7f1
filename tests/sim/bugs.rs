//! Check the checks: mistakes that a controller could make, put between skep's parts and the
//! production clients and stores, so that production code knows nothing of them. Each must be
//! caught by a campaign.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use skep::image::{Digest, Repository};
use skep::memory::{Memory, RepositoryMemory, ServiceMemory};
use skep::registry::{Registry, RegistryError};
use skep::sim::Engine;
use skep::state::ObjectKind;
use skep::swarm::{ErrorClass, Info, Look, Scope, Swarm, SwarmError, Wakeup};
use skep::version::Platform;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A label is written first and the spec after it.
    LabelBeforeSpec,
    /// A conflict is answered by deleting the service by its name and making it anew.
    DeleteByName,
    /// A Swarm that does not answer is taken for an empty one.
    EmptyListTrusted,
    /// A 500 is answered by the same call again.
    BlindRetry,
    /// A conflict is answered by the same spec at the index of now.
    ConflictForced,
    /// The index is asked for just before the call, whatever was looked at.
    IndexIgnored,
    /// After a failed call the digest is left out.
    PinDropped,
    /// Every update forces the tasks anew.
    AlwaysForced,
    /// The credentials for pulling stand in a label.
    SecretInLabel,
    /// A call that fails is taken for one that went well.
    ErrorSwallowed,
    /// Refused versions are not on disk.
    RefusalForgotten,
    /// Rollouts are not on disk.
    RolloutForgotten,
    /// The last good image, and with it the floor, is not on disk.
    FloorForgotten,
    /// Half of each tag list is taken for the whole.
    HalfListTrusted,
    /// A registry that does not answer is taken for one that has what it first had.
    OldListTrusted,
    /// A tag's digest is asked once.
    DigestCached,
    /// Intents that were open when skep died are not known to the next.
    IntentsForgotten,
    /// Older segments of the log are removed at once.
    SegmentsLost,
    /// What stood before a restart is told again.
    ConditionsForgotten,
    /// Credentials are written down with what is remembered.
    SecretRemembered,
    /// A write of some customers panics: no mistake to be caught, but one that others must not feel.
    Panics,
}

/// Each of these must be caught.
pub const BUGS: [Bug; 20] = [
    Bug::LabelBeforeSpec,
    Bug::DeleteByName,
    Bug::EmptyListTrusted,
    Bug::BlindRetry,
    Bug::ConflictForced,
    Bug::IndexIgnored,
    Bug::PinDropped,
    Bug::AlwaysForced,
    Bug::SecretInLabel,
    Bug::ErrorSwallowed,
    Bug::RefusalForgotten,
    Bug::RolloutForgotten,
    Bug::FloorForgotten,
    Bug::HalfListTrusted,
    Bug::OldListTrusted,
    Bug::DigestCached,
    Bug::IntentsForgotten,
    Bug::SegmentsLost,
    Bug::ConditionsForgotten,
    Bug::SecretRemembered,
];

/// The client of the engine, with a bug.
pub struct BuggySwarm {
    pub swarm: Arc<dyn Swarm>,
    pub engine: Engine,
    pub bug: Bug,
    pub failed: AtomicBool,
}

impl BuggySwarm {
    fn index(&self, id: &str) -> u64 {
        self.engine.read(|state| state.find_service(id).map_or(0, |service| service.object.index))
    }

    async fn update(
        &self,
        id: String,
        index: u64,
        mut spec: Value,
        auth: Option<String>,
    ) -> Result<(), SwarmError> {
        match self.bug {
            Bug::LabelBeforeSpec => {
                let old = self.engine.read(|state| state.find_service(&id).map(|it| it.object.spec.clone()));
                let mut labelled = old.unwrap_or_default();
                labelled["Labels"] = spec["Labels"].clone();
                self.swarm.update_service(id.clone(), index, labelled, None).await?;
                let index = self.index(&id);
                return self.swarm.update_service(id, index, spec, auth).await;
            }
            Bug::AlwaysForced => {
                let force = spec.pointer("/TaskTemplate/ForceUpdate").and_then(Value::as_u64).unwrap_or(0);
                spec["TaskTemplate"]["ForceUpdate"] = json!(force + 1);
            }
            Bug::SecretInLabel => spec["Labels"]["auth"] = json!(auth),
            Bug::Panics if spec["Name"].as_str().is_some_and(|name| name.starts_with("bad")) => {
                panic!("seeded");
            }
            Bug::PinDropped if self.failed.load(Ordering::SeqCst) => drop_digest(&mut spec),
            _ => {}
        }
        let index = if self.bug == Bug::IndexIgnored { self.index(&id) } else { index };
        let first = self.swarm.update_service(id.clone(), index, spec.clone(), auth.clone()).await;
        let Err(error) = first else { return Ok(()) };
        self.failed.store(true, Ordering::SeqCst);
        match (self.bug, error.class) {
            (Bug::BlindRetry, ErrorClass::Transient) | (Bug::ConflictForced, ErrorClass::Conflict) => {
                let index = self.index(&id);
                self.swarm.update_service(id, index, spec, auth).await
            }
            (Bug::DeleteByName, ErrorClass::Conflict | ErrorClass::Gone) => {
                let name = spec["Name"].as_str().unwrap_or_default().to_owned();
                self.engine.with(|state| {
                    let found = state.find_service(&name).map(|service| service.object.id.clone());
                    found.map(|id| state.services.remove(&id))
                });
                self.swarm.create_service(spec, auth).await.map(drop)
            }
            (Bug::ErrorSwallowed, _) => Ok(()),
            _ => Err(error),
        }
    }
}

fn drop_digest(spec: &mut Value) {
    let image = spec["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap_or_default();
    let bare = image.split('@').next().unwrap_or_default().to_owned();
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!(bare);
}

impl Swarm for BuggySwarm {
    fn look(&self, scope: Scope, detail: Vec<String>) -> BoxFuture<'_, Result<Look, SwarmError>> {
        Box::pin(async move {
            let seen = self.swarm.look(scope, detail).await;
            match (self.bug, seen) {
                (Bug::EmptyListTrusted, Err(_)) => Ok(Look::default()),
                (_, seen) => seen,
            }
        })
    }

    fn create_service(
        &self,
        mut spec: Value,
        auth: Option<String>,
    ) -> BoxFuture<'_, Result<String, SwarmError>> {
        Box::pin(async move {
            if self.bug == Bug::SecretInLabel {
                spec["Labels"]["auth"] = json!(auth);
            }
            if self.bug == Bug::PinDropped && self.failed.load(Ordering::SeqCst) {
                drop_digest(&mut spec);
            }
            let made = self.swarm.create_service(spec.clone(), auth.clone()).await;
            let Err(error) = made else { return made };
            self.failed.store(true, Ordering::SeqCst);
            match (self.bug, error.class) {
                (Bug::BlindRetry, ErrorClass::Transient) => self.swarm.create_service(spec, auth).await,
                (Bug::ErrorSwallowed, _) => Ok(String::new()),
                _ => Err(error),
            }
        })
    }

    fn update_service(
        &self,
        id: String,
        index: u64,
        spec: Value,
        auth: Option<String>,
    ) -> BoxFuture<'_, Result<(), SwarmError>> {
        Box::pin(self.update(id, index, spec, auth))
    }

    fn create_object(&self, kind: ObjectKind, spec: Value) -> BoxFuture<'_, Result<String, SwarmError>> {
        self.swarm.create_object(kind, spec)
    }

    fn labels_of(
        &self,
        kind: ObjectKind,
        id: String,
    ) -> BoxFuture<'_, Result<Option<std::collections::BTreeMap<String, String>>, SwarmError>> {
        self.swarm.labels_of(kind, id)
    }

    fn remove(&self, kind: ObjectKind, id: String) -> BoxFuture<'_, Result<(), SwarmError>> {
        self.swarm.remove(kind, id)
    }

    fn wakeups(&self) -> BoxStream<'static, Result<Wakeup, SwarmError>> {
        self.swarm.wakeups()
    }

    fn info(&self) -> BoxFuture<'_, Result<Info, SwarmError>> {
        self.swarm.info()
    }
}

/// The memory, with a bug: what is not on disk is still known until skep dies.
pub struct BuggyMemory {
    pub memory: Arc<dyn Memory>,
    pub bug: Bug,
    pub lost: Mutex<std::collections::BTreeMap<String, ServiceMemory>>,
}

impl Memory for BuggyMemory {
    fn service(&self, name: &str) -> ServiceMemory {
        let lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.get(name).cloned().unwrap_or_else(|| self.memory.service(name))
    }

    fn removed(&self) -> std::collections::BTreeMap<String, skep::memory::Removed> {
        self.memory.removed()
    }

    fn put_service(&self, name: &str, memory: ServiceMemory) -> io::Result<()> {
        let mut written = memory.clone();
        match self.bug {
            Bug::RefusalForgotten => written.refused.clear(),
            Bug::RolloutForgotten => written.rollout = None,
            Bug::FloorForgotten => written.last_good = None,
            Bug::SecretRemembered => written.forced = Some("canary-of-the-registry".to_owned()),
            _ => {}
        }
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), memory);
        self.memory.put_service(name, written)
    }

    fn repository(&self, name: &str) -> RepositoryMemory {
        self.memory.repository(name)
    }

    fn put_repository(&self, name: &str, memory: RepositoryMemory) -> io::Result<()> {
        self.memory.put_repository(name, memory)
    }

    fn hold(&self, name: &str) -> skep::memory::HoldMemory {
        self.memory.hold(name)
    }

    fn holds(&self) -> std::collections::BTreeMap<String, skep::memory::HoldMemory> {
        self.memory.holds()
    }

    fn put_hold(&self, name: &str, memory: skep::memory::HoldMemory) -> io::Result<()> {
        self.memory.put_hold(name, memory)
    }
}

type Tags = Arc<[String]>;

/// The client of the registry, with a bug.
pub struct BuggyRegistry {
    pub registry: Arc<dyn Registry>,
    pub bug: Bug,
    pub lists: Mutex<std::collections::BTreeMap<Repository, Tags>>,
    pub digests: Mutex<std::collections::BTreeMap<(Repository, String), Digest>>,
}

impl Registry for BuggyRegistry {
    fn tags(&self, repository: &Repository, max_age: Duration) -> BoxFuture<'_, Result<Tags, RegistryError>> {
        let repository = repository.clone();
        Box::pin(async move {
            let asked = self.registry.tags(&repository, max_age).await;
            let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
            match (self.bug, asked) {
                (Bug::HalfListTrusted, Ok(tags)) => Ok(tags[..tags.len().div_ceil(2)].into()),
                (Bug::OldListTrusted, Ok(tags)) => Ok(lists.entry(repository).or_insert(tags).clone()),
                (Bug::OldListTrusted, Err(_)) => Ok(lists.get(&repository).cloned().unwrap_or_default()),
                (_, asked) => asked,
            }
        })
    }

    fn digest(
        &self,
        repository: &Repository,
        reference: &str,
        max_age: Duration,
    ) -> BoxFuture<'_, Result<Digest, RegistryError>> {
        let key = (repository.clone(), reference.to_owned());
        Box::pin(async move {
            let known = self.digests.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
            if let Some(known) = known.filter(|_| self.bug == Bug::DigestCached) {
                return Ok(known);
            }
            let digest = self.registry.digest(&key.0, &key.1, max_age).await?;
            self.digests.lock().unwrap_or_else(PoisonError::into_inner).insert(key, digest.clone());
            Ok(digest)
        })
    }

    fn platforms(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> BoxFuture<'_, Result<BTreeSet<Platform>, RegistryError>> {
        self.registry.platforms(repository, digest)
    }

    fn pull_auth(&self, repository: &Repository) -> BoxFuture<'_, Result<Option<String>, RegistryError>> {
        self.registry.pull_auth(repository)
    }
}
