//! One folder: read, planned, and checked against the rules that hold for every plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use skep::cli::convert;
use skep::cli::session::invalid_plan;
use skep::controller::resolve::Resolver;
use skep::controller::{Request, plan_only};
use skep::events::Trigger;
use skep::image::ImageRef;
use skep::memory::{InMemory, Memory, RepositoryMemory, ServiceMemory};
use skep::plan::prune::{Gone, Inventory, PrunePolicy};
use skep::plan::{self, Action, Cause, ObjectKind, Plan, Write, fields, labels};
use skep::report::PlanReport;
use skep::source::{Beside, Standing};
use skep::spec::diagnostics::Severity;
use skep::spec::parse::{self, Loaded, SpecFiles};
use skep::spec::{ContentKey, Customer};
use skep::state::{ObservedBlob, ObservedState, WaitingReason};

use crate::diff;
use crate::words::Words;
use crate::world::{self, FakeRegistry};

/// All that a folder may hold.
pub const FILES: &[&str] = &[
    "README.md",
    "specs",
    "services.json",
    "tasks.json",
    "nodes.json",
    "networks.json",
    "secrets.json",
    "configs.json",
    "tags.json",
    "memory.json",
    "no-key",
    "prune.json",
    "now",
    "plan.json",
    "writes.json",
    "status.json",
];
/// Stands for the hash of the spec as it is now.
const CURRENT: &str = "v1:current";
const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(600);

pub struct Scenario {
    words: Words,
    loaded: Loaded,
    /// What `skep.spec` is when a service was last written with the spec as it is: by name.
    hashes: BTreeMap<String, String>,
    services: Value,
    tasks: Value,
    nodes: Value,
    networks: Value,
    secrets: BTreeMap<String, ObservedBlob>,
    configs: BTreeMap<String, ObservedBlob>,
    tags: Value,
    memory: Memories,
    prune: Value,
    now: jiff::Timestamp,
}

#[derive(Clone, Default)]
struct Memories {
    services: BTreeMap<String, ServiceMemory>,
    repositories: BTreeMap<String, RepositoryMemory>,
}

/// What came of a scenario.
pub struct Run {
    words: Words,
    hashes: BTreeMap<String, String>,
    observed: ObservedState,
    adopting: Vec<String>,
    pub plans: Vec<Plan>,
}

impl Scenario {
    /// # Panics
    /// When the folder does not read; the message says what.
    pub fn read(folder: &Path) -> Self {
        let mut files = Folder { path: folder.to_owned(), words: Words::default() };
        let mut loaded =
            parse::load_with(&files.specs(), &Beside::new(&folder.join("specs"), Standing::Visitor));
        if !folder.join("no-key").exists() {
            loaded.customers.values_mut().for_each(|customer| customer.seal(&key()));
        }
        let tags = files.json("tags.json").unwrap_or_else(|| json!({}));
        let nodes = world::nodes(&files.json("nodes.json").unwrap_or_else(|| json!([{}])));
        let networks = world::networks(&files.json("networks.json").unwrap_or_else(|| json!([])));
        let secrets = world::blobs(&files.json("secrets.json").unwrap_or_else(|| json!([])));
        let configs = world::blobs(&files.json("configs.json").unwrap_or_else(|| json!([])));
        let mut services = world::services(&files.json("services.json").unwrap_or_else(|| json!([])));
        let hashes = spec_hashes(&loaded, &networks);
        replace_hashes(&mut services, &hashes);
        let tasks = match files.json("tasks.json") {
            Some(tasks) => world::tasks(&tasks, &services),
            None => world::healthy_tasks(&services, &nodes),
        };
        let memory = memories(files.json("memory.json"), &loaded);
        let now = files.text("now").unwrap_or_else(|| "2026-11-23T12:00:00Z".to_owned());
        let now = now.trim().parse().expect("now is a time");
        let prune = files.json("prune.json").unwrap_or_else(|| json!({}));
        let words = files.words;
        Self {
            words,
            loaded,
            hashes,
            services,
            tasks,
            nodes,
            networks,
            secrets,
            configs,
            tags,
            memory,
            prune,
            now,
        }
    }

    pub async fn run(&self) -> Run {
        let mut observed = skep::swarm::convert_snapshot(
            self.services.clone(),
            [self.tasks.clone(), Value::Null],
            &self.nodes,
            &self.networks,
        );
        observed.secrets = self.secrets.clone().into();
        observed.configs = self.configs.clone().into();
        let memory = Arc::new(InMemory::default());
        for (name, service) in &self.memory.services {
            memory.put_service(name, service.clone()).unwrap();
        }
        for (name, repository) in &self.memory.repositories {
            memory.put_repository(name, repository.clone()).unwrap();
        }
        let resolver = Resolver::new(Arc::new(FakeRegistry::new(&self.tags)), memory);
        let mut plans: Vec<Plan> = Vec::new();
        for (name, diagnostics) in &self.loaded.invalid {
            let first = diagnostics.iter().find(|found| found.severity == Severity::Error);
            plans.push(invalid_plan(name, &first.map(|found| found.one_line()).unwrap_or_default()));
        }
        let inventory = Arc::new(self.inventory());
        let gone = inventory.gone.keys().map(|name| Customer::without_file(name));
        for customer in self.loaded.customers.values().cloned().chain(gone) {
            let request = Request {
                inventory: Arc::clone(&inventory),
                customer: Arc::new(customer),
                revision: None,
                trigger: Trigger::Manual,
                since: tokio::time::Instant::now(),
                max_age: Duration::ZERO,
                alone: false,
            };
            plans.push(plan_only(&resolver, ROLLOUT_TIMEOUT, &request, &observed, self.now).await);
        }
        plans.sort_by(|a, b| a.customer.cmp(&b.customer));
        let (words, hashes) = (self.words.clone(), self.hashes.clone());
        Run { words, hashes, observed, adopting: self.adopting(), plans }
    }

    /// `prune.json`: customers whose file is gone and since when, and the fleet's rules.
    fn inventory(&self) -> Inventory {
        let prune = &self.prune;
        let valid = self.loaded.customers.iter();
        let valid = valid.map(|(name, spec)| (name.clone(), Some(Arc::new(spec.clone()))));
        let invalid = self.loaded.invalid.keys().map(|name| (name.clone(), None));
        let gone = prune["gone"].as_object().into_iter().flatten().map(|(name, gone)| {
            let since = gone["since"].as_str().expect("since when").parse().expect("a time");
            (name.clone(), Gone { since, keep: gone["keep"] == true })
        });
        Inventory {
            customers: valid.chain(invalid).collect(),
            gone: gone.collect(),
            complete: prune["incomplete"] != true,
            policy: PrunePolicy { enabled: prune["enabled"] != false, ..PrunePolicy::default() },
            stacks_wait: false,
            allowed: prune["allowed"] == true,
            fleet: Arc::new(self.loaded.fleet.clone().unwrap_or_default()),
        }
    }

    fn adopting(&self) -> Vec<String> {
        let customers = self.loaded.customers.values();
        let services = customers.flat_map(|customer| customer.services.values().map(move |s| (customer, s)));
        let adopting = services.filter(|(_, service)| service.adopt);
        adopting.map(|(customer, service)| plan::service_name(&customer.name, &service.key)).collect()
    }

    /// The steps of a second pass, once what the first one wrote stands in the Swarm and runs:
    /// there must be none.
    pub async fn again(&self, run: &Run) -> Option<String> {
        let mut next = Self {
            words: self.words.clone(),
            loaded: self.loaded.clone(),
            hashes: self.hashes.clone(),
            services: self.services.clone(),
            tasks: Value::Null,
            nodes: self.nodes.clone(),
            networks: self.networks.clone(),
            secrets: self.secrets.clone(),
            configs: self.configs.clone(),
            tags: self.tags.clone(),
            memory: self.memory.clone(),
            prune: self.prune.clone(),
            now: self.now,
        };
        let steps: Vec<&plan::Step> = run.plans.iter().flat_map(|plan| &plan.steps).collect();
        if steps.is_empty() {
            return None;
        }
        for step in &steps {
            next.carry_out(step);
        }
        for (customer, (key, kept)) in
            run.plans.iter().flat_map(|plan| plan.kept.iter().map(|kept| (&plan.customer, kept)))
        {
            let memory = next.memory.services.entry(plan::service_name(customer, key)).or_default();
            memory.kept.extend(kept.clone());
        }
        next.tasks = world::healthy_tasks(&next.services, &next.nodes);
        let mut second = next.run().await;
        // What comes after another, what uses an object that was only just made, and what services let
        // go of, is for a pass of its own.
        let made = |step: &&plan::Step| matches!(step.write, Write::CreateBlob { .. });
        if steps.iter().any(made) || run.goes_on() {
            for step in second.plans.iter().flat_map(|plan| &plan.steps) {
                next.carry_out(step);
            }
            next.tasks = world::healthy_tasks(&next.services, &next.nodes);
            second = next.run().await;
        }
        let left: Vec<String> =
            second.plans.iter().flat_map(|plan| &plan.steps).map(|step| step.message.clone()).collect();
        (!left.is_empty()).then(|| format!("a second pass makes steps again: {}", left.join("; ")))
    }

    fn carry_out(&mut self, step: &plan::Step) {
        let services = self.services.as_array_mut().unwrap();
        match &step.write {
            Write::CreateNetwork { spec } => {
                let network = json!({ "Id": spec["Name"], "Name": spec["Name"], "Labels": spec["Labels"] });
                self.networks.as_array_mut().unwrap().push(network);
            }
            Write::CreateBlob { spec, .. } => {
                let mut made = world::blobs(&json!([{ "Spec": spec, "CreatedAt": self.now.to_string() }]));
                let all = if step.kind == ObjectKind::Secret { &mut self.secrets } else { &mut self.configs };
                all.append(&mut made);
            }
            Write::CreateService { spec } | Write::UpdateService { spec, .. }
                if !fields::unmade(spec).is_empty() =>
            {
                return;
            }
            Write::Remove { id } => {
                self.secrets.retain(|_, secret| secret.id != *id);
                self.configs.retain(|_, config| config.id != *id);
                services.retain(|service| service["ID"] != id.as_str());
                self.networks.as_array_mut().unwrap().retain(|network| network["Id"] != id.as_str());
            }
            Write::CreateService { spec } => {
                services.push(json!({ "ID": step.name, "Version": { "Index": 1 }, "Spec": spec }));
            }
            Write::UpdateService { id, spec, .. } => {
                let service = services.iter_mut().find(|service| service["ID"] == id.as_str()).unwrap();
                service["PreviousSpec"] = service["Spec"].clone();
                service["Spec"] = spec.clone();
                service["UpdateStatus"] = Value::Null;
            }
        }
        let memory = self.memory.services.entry(step.name.clone()).or_default();
        memory.rollout = None;
        if step.cause == Cause::RollBack {
            memory.refused.iter_mut().for_each(|refusal| refusal.rolled_back = true);
        }
    }
}

/// The key that names the secrets and configs of all scenarios.
fn key() -> ContentKey {
    ContentKey::new([7; ContentKey::BYTES])
}

/// Reads a scenario's files.
struct Folder {
    path: PathBuf,
    words: Words,
}

impl Folder {
    fn text(&mut self, name: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.path.join(name)).ok()?;
        Some(self.words.expand(&text))
    }

    fn json(&mut self, name: &str) -> Option<Value> {
        let text = self.text(name)?;
        Some(serde_json::from_str(&text).unwrap_or_else(|error| {
            panic!("{}: {error}", self.path.join(name).display());
        }))
    }

    fn specs(&mut self) -> SpecFiles {
        let snapshot = skep::source::read(&self.path.join("specs")).unwrap();
        assert!(snapshot.problems.is_empty(), "{}: {:?}", self.path.display(), snapshot.problems);
        let files = snapshot.files.into_iter().map(|(path, text)| (path, self.words.expand(&text)));
        SpecFiles { files: files.collect() }
    }
}

fn services_of(loaded: &Loaded) -> impl Iterator<Item = (&Customer, &skep::spec::Service)> {
    loaded.customers.values().flat_map(|customer| customer.services.values().map(move |s| (customer, s)))
}

fn spec_hashes(loaded: &Loaded, networks: &Value) -> BTreeMap<String, String> {
    let id = |name: &str| {
        let known = networks.as_array().into_iter().flatten().find(|network| network["Name"] == name);
        Some(known.and_then(|network| network["Id"].as_str()).unwrap_or(name).to_owned())
    };
    let hashes = services_of(loaded).map(|(customer, service)| {
        let fields = fields::desired(customer, service, &id).expect("every network has an ID");
        (plan::service_name(&customer.name, &service.key), fields::spec_hash(&fields))
    });
    hashes.collect()
}

fn replace_hashes(services: &mut Value, hashes: &BTreeMap<String, String>) {
    for service in services.as_array_mut().into_iter().flatten() {
        let name = service["Spec"]["Name"].as_str().unwrap_or_default().to_owned();
        for spec in ["/Spec/Labels/skep.spec", "/PreviousSpec/Labels/skep.spec"] {
            if let Some(label) = service.pointer_mut(spec).filter(|label| **label == CURRENT) {
                *label = hashes.get(&name).cloned().expect("a service of a spec").into();
            }
        }
    }
}

/// `memory.json`: what is remembered of services and repositories; `"spec": "v1:current"`
/// stands for the spec as it is now.
fn memories(file: Option<Value>, loaded: &Loaded) -> Memories {
    let Some(file) = file else { return Memories::default() };
    let now: BTreeMap<String, String> = services_of(loaded)
        .map(|(customer, service)| {
            (plan::service_name(&customer.name, &service.key), plan::desired_hash(customer, service))
        })
        .collect();
    let services = file["services"].as_object().into_iter().flatten().map(|(name, memory)| {
        let text = memory.to_string().replace(CURRENT, now.get(name).map_or("", String::as_str));
        (name.clone(), serde_json::from_str(&text).expect("memory.json reads"))
    });
    let repositories = file["repositories"].as_object().into_iter().flatten().map(|(name, memory)| {
        (name.clone(), serde_json::from_value(memory.clone()).expect("memory.json reads"))
    });
    Memories { services: services.collect(), repositories: repositories.collect() }
}

impl Run {
    /// What the files should say.
    pub fn expectations(&self) -> Vec<(&'static str, Option<String>)> {
        let report = PlanReport { customers: self.plans.iter().map(convert::customer).collect() };
        let writes = self.writes();
        vec![
            ("plan.json", Some(self.text(&json!(report)))),
            ("writes.json", (!writes.is_empty()).then(|| self.text(&Value::Object(writes)))),
            ("status.json", Some(self.text(&self.status()))),
        ]
    }

    /// Whether what this pass did lets a second one do more.
    fn goes_on(&self) -> bool {
        let waits =
            |plan: &Plan| plan.waiting.iter().any(|it| it.reason == WaitingReason::DependencyNotReady);
        let removes = |plan: &Plan| plan.steps.iter().any(|step| step.action == Action::Remove);
        self.plans.iter().any(|plan| waits(plan) || removes(plan))
    }

    fn text(&self, value: &Value) -> String {
        let mut text = self.words.contract(&serde_json::to_string_pretty(value).unwrap());
        for hash in self.hashes.values() {
            text = text.replace(hash, CURRENT);
        }
        text + "\n"
    }

    /// By the object's name: what a create sends, or what an update changes.
    fn writes(&self) -> Map<String, Value> {
        let steps = self.plans.iter().flat_map(|plan| &plan.steps);
        let writes = steps.map(|step| {
            let write = match &step.write {
                Write::CreateNetwork { spec }
                | Write::CreateService { spec }
                | Write::CreateBlob { spec, .. } => {
                    json!({ "create": spec })
                }
                Write::Remove { id } => json!({ "remove": id }),
                Write::UpdateService { spec, .. } => {
                    json!({ "update": diff::pointers(&self.observed.services[&step.name].spec, spec) })
                }
            };
            (step.name.clone(), write)
        });
        writes.collect()
    }

    /// The two lines of `status` that the plan's JSON does not have.
    fn status(&self) -> Value {
        let customers = self.plans.iter().map(|plan| {
            let services = plan.services.iter().map(|(key, view)| {
                let tasks = format!(
                    "{} of {}, {} outdated",
                    view.tally.right, view.tally.wanted, view.tally.outdated
                );
                let state = format!("{:?}", view.state);
                (key.clone(), json!({ "state": state, "highest": view.highest, "tasks": tasks }))
            });
            (plan.customer.clone(), Value::Object(services.collect()))
        });
        Value::Object(customers.collect())
    }

    /// Rules for every plan (architecture, invariant 4).
    pub fn broken_rules(&self) -> Vec<String> {
        let mut broken = Vec::new();
        for (plan, step) in self.plans.iter().flat_map(|plan| plan.steps.iter().map(move |step| (plan, step)))
        {
            let spec = match &step.write {
                Write::CreateNetwork { .. } | Write::CreateBlob { .. } | Write::Remove { .. } => continue,
                Write::CreateService { spec } | Write::UpdateService { spec, .. } => spec,
            };
            let image = fields::image(spec).parse::<ImageRef>();
            if image.is_ok_and(|image| image.digest.is_none()) {
                broken.push(format!("{} is written without a digest", step.name));
            }
            let owner =
                self.observed.services.get(&step.name).and_then(|found| found.label(labels::CUSTOMER));
            let ours = owner == Some(plan.customer.as_str());
            let adopts =
                owner.is_none() && step.cause == Cause::Adoption && self.adopting.contains(&step.name);
            let creates = step.action == Action::Create && step.kind == ObjectKind::Service;
            if !ours && !adopts && !creates {
                broken.push(format!("{} is not ours to write", step.name));
            }
        }
        broken
    }
}
