//! The engine's JSON, and planning over what it shows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::convert;
use crate::image::{Digest, ImageRef};
use crate::memory::ServiceMemory;
use crate::plan::{self, Action, Cause, Input, ObjectKind, Plan, Write, fields, labels};
use crate::spec::parse::{SpecFiles, load};
use crate::spec::{Customer, ImagePolicy};
use crate::state::{
    DesiredCustomer, DesiredImage, ObservedNetwork, ObservedService, ObservedState, Target, WaitingReason,
};
use crate::swarm::convert_snapshot;

/// The spec, unless the input brings one.
const SPEC: &str = include_str!("planning.toml");

/// What the engine answers to the list calls, and what else a plan is made from.
#[derive(Deserialize)]
#[serde(default)]
struct World {
    services: Value,
    tasks: Value,
    detail: Value,
    nodes: Value,
    networks: Value,
    remembered: BTreeMap<String, ServiceMemory>,
    spec: String,
    now: Timestamp,
}

impl Default for World {
    fn default() -> Self {
        Self {
            services: Value::Null,
            tasks: Value::Null,
            detail: Value::Null,
            nodes: Value::Null,
            networks: Value::Null,
            remembered: BTreeMap::new(),
            spec: SPEC.to_owned(),
            now: Timestamp::UNIX_EPOCH,
        }
    }
}

/// Whatever the engine shows, a plan touches nothing foreign and writes digests, and carrying
/// it out leaves nothing to do.
pub fn engine(data: &[u8]) {
    let Ok(world) = serde_json::from_slice::<World>(data) else { return };
    let files = SpecFiles { files: BTreeMap::from([("acme.toml".to_owned(), world.spec)]) };
    let observed =
        convert_snapshot(world.services, [world.tasks, world.detail], &world.nodes, &world.networks);
    for customer in load(&files).customers.into_values() {
        for chosen in [true, false] {
            let desired = desired(customer.clone(), chosen);
            settles(&desired, observed.clone(), world.remembered.clone(), world.now);
        }
    }
}

/// The images that a registry without surprises would lead to; or one that is down.
pub(crate) fn desired(spec: Customer, chosen: bool) -> DesiredCustomer {
    let image = |policy: &ImagePolicy| {
        let repository = policy.repository().clone();
        let (tag, version, digest) = match policy {
            ImagePolicy::Highest { .. } => {
                (Some("1.10.0".to_owned()), Some(semver::Version::new(1, 10, 0)), Digest::of(b"1.10.0"))
            }
            ImagePolicy::Tag { tag, version, .. } => {
                (Some(tag.clone()), Some(version.clone()), Digest::of(tag.as_bytes()))
            }
            ImagePolicy::Digest { tag, digest, .. } => (tag.clone(), None, digest.clone()),
        };
        let target =
            Target { repository, tag, version, digest, warnings: Vec::new(), passed_over: Vec::new() };
        let down = DesiredImage::None {
            reason: WaitingReason::RegistryUnavailable,
            message: "it does not answer".to_owned(),
            passed_over: Vec::new(),
        };
        if chosen { DesiredImage::Chosen(target) } else { down }
    };
    let images = spec.services.iter().map(|(key, service)| (key.clone(), image(&service.image))).collect();
    DesiredCustomer { spec, revision: None, images }
}

/// A rollback is followed by what else the spec says; then there is nothing left to do.
const ROUNDS_MAX: usize = 3;

/// Plans, checks the plan, carries it out as the engine and `apply` do, until nothing is left.
pub(crate) fn settles(
    desired: &DesiredCustomer,
    mut observed: ObservedState,
    mut remembered: BTreeMap<String, ServiceMemory>,
    now: Timestamp,
) {
    let mut told = Vec::new();
    for _ in 0..=ROUNDS_MAX {
        let rollout_timeout = Duration::from_secs(600);
        let (remembered_now, prune) = (&remembered, None);
        let input =
            Input { desired, observed: &observed, remembered: remembered_now, rollout_timeout, now, prune };
        let plan = plan::plan(input);
        check_plan(&plan, desired, &observed);
        if plan.steps.is_empty() {
            return;
        }
        for step in &plan.steps {
            told.push(step.message.clone());
            carry_out(step, &mut observed);
            let memory = remembered.entry(step.name.clone()).or_default();
            memory.rollout = None;
            memory.retry = false;
            match step.cause {
                Cause::RollBack => memory.refused.iter_mut().for_each(|refusal| refusal.rolled_back = true),
                Cause::StaleTasks => {
                    memory.forced = observed.services.get(&step.name).map(|s| s.image_text().to_owned())
                }
                _ => {}
            }
        }
    }
    panic!("never ends: {told:?}");
}

fn check_plan(plan: &Plan, desired: &DesiredCustomer, observed: &ObservedState) {
    let customer = &desired.spec;
    assert_eq!(plan.services.len(), customer.services.len());
    assert!(serde_json::to_string(&convert::customer(plan)).is_ok());
    assert!(serde_json::to_string(&convert::status(plan, None)).is_ok());
    for step in &plan.steps {
        assert!(
            step.name.strip_prefix(&customer.name).is_some_and(|rest| rest.starts_with('_')),
            "{}",
            step.name
        );
        let found = observed.services.get(&step.name);
        let spec = match &step.write {
            Write::CreateNetwork { .. } => {
                assert!(step.kind == ObjectKind::Network && !observed.networks.contains_key(&step.name));
                continue;
            }
            Write::CreateBlob { spec, .. } => {
                let there = match step.kind {
                    ObjectKind::Secret => observed.secrets.contains_key(&step.name),
                    _ => observed.configs.contains_key(&step.name),
                };
                assert!(!there && spec.get("Data").is_none(), "{step:?}");
                continue;
            }
            Write::Remove { id } => {
                assert!(is_owned(step, id, &customer.name, observed), "{step:?} is foreign");
                continue;
            }
            Write::CreateService { spec } => {
                assert!(found.is_none() && step.action == Action::Create, "{step:?}");
                spec
            }
            Write::UpdateService { id, index, spec } => {
                let Some(found) = found else { panic!("{} is not there to be updated", step.name) };
                assert_eq!((id, *index), (&found.id, found.version_index));
                let adopts =
                    customer.services.values().any(|s| s.adopt && step.service.as_ref() == Some(&s.key));
                match found.label(labels::CUSTOMER) {
                    Some(owner) => assert_eq!(owner, customer.name, "{} is foreign", step.name),
                    None => assert!(adopts && step.cause == Cause::Adoption, "{} is foreign", step.name),
                }
                spec
            }
        };
        let image = fields::image(spec).parse::<ImageRef>();
        assert!(image.is_ok_and(|image| image.digest.is_some()), "{:?} has no digest", fields::image(spec));
    }
}

/// Whether the object that is to be removed is there, by that ID, and the customer's own.
fn is_owned(step: &plan::Step, id: &str, customer: &str, observed: &ObservedState) -> bool {
    let label = |labels: &BTreeMap<String, String>| labels.get(labels::CUSTOMER).cloned();
    let found = match step.kind {
        ObjectKind::Service => {
            let found = observed.services.get(&step.name);
            found.map(|found| (&found.id, found.label(labels::CUSTOMER).map(str::to_owned)))
        }
        ObjectKind::Network => observed.networks.get(&step.name).map(|one| (&one.id, label(&one.labels))),
        ObjectKind::Secret => observed.secrets.get(&step.name).map(|one| (&one.id, label(&one.labels))),
        ObjectKind::Config => observed.configs.get(&step.name).map(|one| (&one.id, label(&one.labels))),
    };
    found.is_some_and(|(found, owner)| found == id && owner.as_deref() == Some(customer))
}

fn carry_out(step: &plan::Step, observed: &mut ObservedState) {
    match &step.write {
        Write::Remove { .. } => {
            observed.services.remove(&step.name);
            Arc::make_mut(&mut observed.networks).remove(&step.name);
            Arc::make_mut(&mut observed.secrets).remove(&step.name);
            Arc::make_mut(&mut observed.configs).remove(&step.name);
        }
        // The planner gives the service that uses it again, with its ID.
        Write::CreateBlob { .. } => {}
        Write::CreateNetwork { .. } => {
            let network =
                ObservedNetwork { id: step.name.clone(), name: step.name.clone(), labels: BTreeMap::new() };
            Arc::make_mut(&mut observed.networks).insert(step.name.clone(), network);
        }
        Write::CreateService { spec } => {
            let service = json!({ "ID": step.name, "Version": { "Index": 1 }, "Spec": spec });
            let made =
                convert_snapshot(json!([service]), [Value::Null, Value::Null], &Value::Null, &Value::Null);
            assert_eq!(made.services.len(), 1);
            observed.services.extend(made.services);
        }
        Write::UpdateService { spec, .. } => {
            let Some(service) = observed.services.get_mut(&step.name) else { return };
            let previous = std::mem::replace(&mut service.spec, spec.clone());
            *service = ObservedService {
                previous_spec: Some(previous),
                version_index: service.version_index.wrapping_add(1),
                update_status: None,
                updated_at: None,
                // All are replaced by what is right; how many are is a matter of health.
                tasks: Vec::new(),
                ..service.clone()
            };
        }
    }
}
