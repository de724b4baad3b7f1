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
use skep::plan::{fingerprint, labels};
use skep::sim::engine::state::{Service, State};
use skep::sim::handler::{Handler, full};
use skep::sim::{Engine, Registry, Request, Response};

/// The label that somebody else writes on a service that skep writes as well.
pub const THEIRS: &str = "somebody.else";

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

    /// From now on what has this name may be removed; `*` stands for any end of it.
    pub fn let_go(&self, name: &str) {
        self.seen().may_go.insert(name.to_owned());
    }

    /// Checks a write before the engine has it.
    fn before(&self, call: &Call, spec: &Value) {
        let name = self.engine.read(|state| call.name(spec, state));
        let mut found = Vec::new();
        if self.seen().foreign.contains(&name) {
            found.push(format!("I4: {:?} of {name}, which is not skep's", call.verb));
        }
        let announced = match call.verb {
            Verb::Delete => self.is_removal_announced(call, &name),
            Verb::Create | Verb::Update => self.is_announced(&name, spec),
        };
        if !announced {
            found.push(format!("I8: {:?} of {name} without an intent on disk", call.verb));
        }
        let may_go = |permitted: &String| match permitted.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => name == *permitted,
        };
        if call.verb == Verb::Delete && !self.seen().may_go.iter().any(may_go) {
            found.push(format!("I5: {name} is deleted"));
        }
        if call.is_service && call.verb != Verb::Delete {
            found.extend(self.image_violation(&name, spec));
        }
        let mut seen = self.seen();
        seen.arrived += 1;
        seen.violations.extend(found);
    }

    /// Whether the write takes back what somebody else wrote since skep looked.
    fn undone(&self, call: &Call, spec: &Value) -> Option<String> {
        let theirs = self.engine.read(|state| {
            let service = call.service(state)?;
            Some((service.name().to_owned(), service.object.spec["Labels"].get(THEIRS)?.clone()))
        });
        let (name, theirs) = theirs.filter(|_| call.verb == Verb::Update)?;
        let kept = spec["Labels"].get(THEIRS) == Some(&theirs);
        (!kept).then(|| format!("I4: what somebody else wrote on {name} is taken back"))
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

    /// By its ID, or as what it is by its name.
    fn is_removal_announced(&self, call: &Call, name: &str) -> bool {
        let Ok(open) = open_intents(&self.events_dir) else { return false };
        open.iter().filter_map(|intent| intent.target.as_deref()).any(|target| {
            let what = target.strip_prefix("removed ").or_else(|| target.strip_prefix("remove "));
            what.and_then(|what| what.rsplit(' ').next()).is_some_and(|it| it == call.id || it == name)
        })
    }

    fn after(&self, call: &Call, spec: &Value, name: String, undone: Option<String>) {
        let mut seen = self.seen();
        seen.changes.push(Change { verb: call.verb, name, image: image(spec) });
        seen.violations.extend(undone);
    }

    /// Somebody writes the service that the request is about (of a list: each one of skep's) at that
    /// very moment: a label of theirs, and with it its index.
    pub fn interfere(&self, request: &Request) {
        let call = Call::of(request);
        self.engine.with(|state| {
            let ids: Vec<String> = match &call {
                Some(call) => call.service(state).map(|one| one.object.id.clone()).into_iter().collect(),
                None => {
                    let own = |one: &&Service| one.object.spec["Labels"].get(labels::CUSTOMER).is_some();
                    state.services.values().filter(own).map(|one| one.object.id.clone()).collect()
                }
            };
            for id in ids {
                let index = state.next_index();
                if let Some(service) = state.services.get_mut(&id) {
                    let theirs = Value::String(index.to_string());
                    // Any write makes what stood there the previous spec. Skep goes by that where an update is
                    // paused, and its own write follows for sure; elsewhere only the record of the run without
                    // faults would differ, and so what they wrote is put into the previous spec as well.
                    if service.update.as_ref().is_some_and(|update| update.state == "paused") {
                        service.previous_spec = Some(service.object.spec.clone());
                        service.previous_spec_index = Some(service.spec_index);
                    } else if let Some(previous) = &mut service.previous_spec {
                        previous["Labels"][THEIRS] = theirs.clone();
                    }
                    service.object.index = index;
                    service.object.spec["Labels"][THEIRS] = theirs;
                }
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

    /// What it has or is to have.
    fn name(&self, spec: &Value, state: &State) -> String {
        let objects = [&state.networks, &state.secrets, &state.configs];
        let object = objects.into_iter().find_map(|objects| objects.get(&self.id));
        let current = object.and_then(|object| object.spec.get("Name")?.as_str());
        let current = current.or_else(|| self.service(state).map(Service::name));
        let given = spec.get("Name").and_then(Value::as_str);
        current.or(given).unwrap_or(&self.id).to_owned()
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
            let name = call.as_ref().map(|call| witness.engine.read(|state| call.name(&spec, state)));
            let undone = call.as_ref().and_then(|call| {
                witness.before(call, &spec);
                witness.undone(call, &spec)
            });
            let response = witness.engine.handle(request).await;
            if let (Some(call), Some(name)) = (&call, name)
                && response.status().is_success()
            {
                witness.after(call, &spec, name, undone);
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
