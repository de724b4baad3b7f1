//! Stands between the wire and the engine, where only what truly arrives is seen: what skep
//! changed, and whether it was allowed to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use http::Method;
use http_body_util::BodyExt;
use semver::Version;
use serde_json::Value;
use skep::events::open_intents;
use skep::image::ImageRef;
use skep::plan::fingerprint;
use skep::sim::engine::state::{Service, State};
use skep::sim::handler::{Handler, full};
use skep::sim::{Engine, Registry, Request, Response};

/// What a call changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    Create,
    Update,
    Delete,
}

/// A change that the engine made for skep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub verb: Verb,
    pub name: String,
    pub image: String,
}

pub struct Witness {
    engine: Engine,
    events_dir: PathBuf,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    changes: Vec<Change>,
    /// Writes that arrived, whatever became of them.
    arrived: usize,
    violations: Vec<String>,
    /// Digests that the registry gave.
    digests: BTreeSet<String>,
    /// Names that nobody may touch.
    foreign: BTreeSet<String>,
    /// Services whose version may fall.
    may_fall: BTreeSet<String>,
    /// Services that may be removed.
    may_go: BTreeSet<String>,
    versions: BTreeMap<String, Version>,
}

impl Witness {
    pub fn new(engine: Engine, events_dir: PathBuf) -> Arc<Self> {
        Arc::new(Self { engine, events_dir, seen: Mutex::default() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn changes(&self) -> Vec<Change> {
        self.seen().changes.clone()
    }

    /// Counts by object and verb.
    pub fn counts(&self) -> BTreeMap<(String, Verb), usize> {
        let mut counts = BTreeMap::new();
        for change in &self.seen().changes {
            *counts.entry((change.name.clone(), change.verb)).or_default() += 1;
        }
        counts
    }

    pub fn arrived(&self) -> usize {
        self.seen().arrived
    }

    pub fn violations(&self) -> Vec<String> {
        self.seen().violations.clone()
    }

    pub fn digest_given(&self, digest: &str) {
        self.seen().digests.insert(digest.to_owned());
    }

    /// Whether nobody may touch it.
    pub fn forbid(&self, name: &str, forbidden: bool) {
        let foreign = &mut self.seen().foreign;
        if forbidden {
            foreign.insert(name.to_owned())
        } else {
            foreign.remove(name)
        };
    }

    pub fn let_fall(&self, name: &str) {
        self.seen().may_fall.insert(name.to_owned());
    }

    /// From now on the service of this name may be removed.
    pub fn let_go(&self, name: &str) {
        self.seen().may_go.insert(name.to_owned());
    }

    /// Checks a write before the engine has it.
    fn before(&self, call: &Call, spec: &Value) {
        let current = self.engine.with(|state| call.service(state).cloned());
        let name = call.name(spec, current.as_ref());
        let mut found = Vec::new();
        if self.seen().foreign.contains(&name) {
            found.push(format!("I4: {:?} of {name}, which is not skep's", call.verb));
        }
        if call.verb != Verb::Delete && !self.is_announced(&name, spec) {
            found.push(format!("I8: {:?} of {name} without an intent on disk", call.verb));
        }
        if call.verb == Verb::Delete && !self.seen().may_go.contains(&name) {
            found.push(format!("I5: {name} is deleted"));
        }
        if call.is_service && call.verb != Verb::Delete {
            found.extend(self.image_violation(&name, spec));
        }
        let mut seen = self.seen();
        seen.arrived += 1;
        seen.violations.extend(found);
    }

    fn image_violation(&self, name: &str, spec: &Value) -> Option<String> {
        let text = image(spec);
        let image: ImageRef = text.parse().ok()?;
        let mut seen = self.seen();
        let Some(digest) = &image.digest else { return Some(format!("I6: {name} gets {text}, no digest")) };
        if !seen.digests.contains(digest.as_str()) {
            return Some(format!("I6: {name} gets {text}, whose digest no registry gave"));
        }
        let version = Version::parse(image.tag.as_deref()?).ok()?;
        let before = seen.versions.insert(name.to_owned(), version.clone());
        let fell = before.filter(|before| version < *before && !seen.may_fall.contains(name));
        fell.map(|before| format!("I5: {name} falls from {before} to {version}"))
    }

    fn is_announced(&self, name: &str, spec: &Value) -> bool {
        let Ok(open) = open_intents(&self.events_dir) else { return false };
        open.iter().any(|intent| {
            let customer = intent.customer.as_deref().unwrap_or_default();
            let target = intent.target.as_deref().unwrap_or_default();
            match &intent.service {
                Some(key) => format!("{customer}_{key}") == name && target.starts_with(&fingerprint(spec)),
                // A network by its name; a secret or config by what it is, too.
                None => target.rsplit(' ').next() == Some(name),
            }
        })
    }

    fn after(&self, call: &Call, spec: &Value, name: String) {
        self.seen().changes.push(Change { verb: call.verb, name, image: image(spec) });
    }

    /// Somebody touches the service just before it is written: its index moves, nothing else.
    pub fn interfere(&self, request: &Request) {
        let Some(call) = Call::of(request) else { return };
        self.engine.with(|state| {
            let index = state.next_index();
            let id = call.service(state).map(|service| service.object.id.clone());
            if let Some(service) = id.and_then(|id| state.services.get_mut(&id)) {
                service.object.index = index;
            }
        });
    }
}

/// A call that may change the Swarm.
struct Call {
    verb: Verb,
    is_service: bool,
    /// ID or name; empty for what is created.
    id: String,
}

impl Call {
    fn of(request: &Request) -> Option<Self> {
        let path = request.uri().path().trim_start_matches('/');
        let mut parts = path.split('/').skip_while(|part| part.starts_with('v') || part.is_empty());
        let (kind, id, rest) = (parts.next()?, parts.next()?, parts.next());
        let (verb, id) = match (request.method(), id, rest) {
            (&Method::POST, "create", None) => (Verb::Create, ""),
            (&Method::POST, id, Some("update")) => (Verb::Update, id),
            (&Method::DELETE, id, None) => (Verb::Delete, id),
            _ => return None,
        };
        Some(Self { verb, is_service: kind == "services", id: id.to_owned() })
    }

    fn service<'a>(&self, state: &'a State) -> Option<&'a Service> {
        state.find_service(&self.id)
    }

    fn name(&self, spec: &Value, current: Option<&Service>) -> String {
        let given = spec.get("Name").and_then(Value::as_str);
        current.map(Service::name).or(given).unwrap_or(&self.id).to_owned()
    }
}

fn image(spec: &Value) -> String {
    let image = spec.pointer("/TaskTemplate/ContainerSpec/Image").and_then(Value::as_str);
    image.unwrap_or_default().to_owned()
}

/// The engine, with the witness before it.
pub struct Witnessed(pub Arc<Witness>);

impl Handler for Witnessed {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        let witness = Arc::clone(&self.0);
        Box::pin(async move {
            let call = Call::of(&request);
            let spec = serde_json::from_slice(request.body()).unwrap_or(Value::Null);
            let name = call.as_ref().map(|call| {
                let current = witness.engine.with(|state| call.service(state).cloned());
                call.name(&spec, current.as_ref())
            });
            if let Some(call) = &call {
                witness.before(call, &spec);
            }
            let response = witness.engine.handle(request).await;
            if let (Some(call), Some(name)) = (&call, name)
                && response.status().is_success()
            {
                witness.after(call, &spec, name);
            }
            response
        })
    }
}

/// The registry, with the witness noting the digests that it gives.
pub struct Noted {
    pub registry: Registry,
    pub witness: Arc<Witness>,
}

impl Handler for Noted {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        let (registry, witness) = (self.registry.clone(), Arc::clone(&self.witness));
        Box::pin(async move {
            let response = registry.handle(request).await;
            if let Some(digest) = response.headers().get("docker-content-digest")
                && response.status().is_success()
                && let Ok(digest) = digest.to_str()
            {
                witness.digest_given(digest);
            }
            let (parts, body) = response.into_parts();
            let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
            Response::from_parts(parts, full(body))
        })
    }
}
