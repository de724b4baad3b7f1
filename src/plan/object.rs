//! Secrets and configs of a customer: which are made, which are kept, which go.
//!
//! Swarm cannot change one, so another content is another object: the name ends with a keyed hash
//! of what it holds. Services move to it as to any other value of a field.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Action, Cause, Input, Step, Waiting, Write, fields, labels, rules, service_name};
use crate::memory::ServiceMemory;
use crate::spec::{Blob, Customer, Seal, Service};
use crate::state::{ObjectKind, ObservedBlob, ObservedService, ObservedState, WaitingReason};

const KINDS: [ObjectKind; 2] = [ObjectKind::Secret, ObjectKind::Config];
/// Objects of one key that nothing uses any more and that are kept all the same, for people who
/// go back by hand.
const PREVIOUS_KEPT: usize = 2;

/// What is known to be held by objects whose names do not say so: hashes by name, by service.
pub type Kept = BTreeMap<String, BTreeMap<String, String>>;

/// Stays with the objects in use whose content cannot be compared, since another key made their
/// names (skep's state directory was lost): nothing rotates until the content is known to have
/// changed since. What comes back is to be remembered before anything else is done.
pub fn keep(
    customer: &mut Customer,
    observed: &ObservedState,
    remembered: &BTreeMap<String, ServiceMemory>,
) -> Kept {
    let mut kept = Kept::new();
    let known: BTreeMap<String, String> =
        remembered.values().flat_map(|memory| memory.kept.clone()).collect();
    for kind in KINDS {
        let mut current = BTreeMap::new();
        for blob in customer.blobs(kind).values().filter(|blob| !blob.external) {
            if let Some(name) = kept_name(customer, observed, kind, blob, &known) {
                current.insert(blob.key.clone(), name);
            }
        }
        for (key, name) in current {
            let seal = customer.blobs(kind).get(&key).and_then(|blob| blob.seal.clone());
            for service in customer.services.values().filter(|it| it.compose.blobs(kind).contains(&&*key)) {
                let Some(seal) = &seal else { break };
                kept.entry(service.key.clone()).or_default().insert(name.clone(), seal.hash.clone());
            }
            let blobs =
                if kind == ObjectKind::Secret { &mut customer.secrets } else { &mut customer.configs };
            if let Some(blob) = blobs.get_mut(&key) {
                blob.kept = Some(name);
            }
        }
    }
    kept
}

fn kept_name(
    customer: &Customer,
    observed: &ObservedState,
    kind: ObjectKind,
    blob: &Blob,
    known: &BTreeMap<String, String>,
) -> Option<String> {
    let own: Vec<&ObservedBlob> =
        blobs(observed, kind).values().filter(|it| is_own(customer, it, &blob.key)).collect();
    let is_there = |name: &str| own.iter().any(|it| it.name == name);
    if let Some(seal) = &blob.seal {
        if blob.swarm_name().is_some_and(|name| is_there(&name)) {
            return None;
        }
        let same = known.iter().find(|(name, hash)| **hash == seal.hash && is_there(name));
        if let Some((name, _)) = same {
            return Some(name.clone());
        }
    }
    // Not what a rollback would bring back: that was left for what stands there now.
    let services = customer.services.keys().map(|key| service_name(&customer.name, key));
    let used: BTreeSet<&str> = services
        .filter_map(|name| observed.services.get(&name))
        .flat_map(|found| fields::referred(&found.spec))
        .collect();
    let newest = own.into_iter().filter(|it| used.contains(it.id.as_str())).max_by_key(|it| it.created_at)?;
    let made_with = newest.labels.get(labels::KEY);
    let comparable = |seal: &Seal| made_with == Some(&seal.key_id) || known.contains_key(&newest.name);
    (!blob.seal.as_ref().is_some_and(comparable)).then(|| newest.name.clone())
}

fn blobs(observed: &ObservedState, kind: ObjectKind) -> &BTreeMap<String, ObservedBlob> {
    if kind == ObjectKind::Secret { &observed.secrets } else { &observed.configs }
}

fn is_own(customer: &Customer, found: &ObservedBlob, key: &str) -> bool {
    is_of(customer, found) && found.labels.get(labels::OBJECT).is_some_and(|it| it == key)
}

fn is_of(customer: &Customer, found: &ObservedBlob) -> bool {
    found.labels.get(labels::CUSTOMER) == Some(&customer.name)
}

/// The IDs that services refer to, or would after a rollback.
fn used_by<'a>(services: impl Iterator<Item = &'a ObservedService>) -> BTreeSet<&'a str> {
    services
        .flat_map(|service| std::iter::once(&service.spec).chain(&service.previous_spec))
        .flat_map(fields::referred)
        .collect()
}

/// Why a service cannot be decided: something that it refers to is not there, or not for it.
pub(super) fn missing(input: &Input<'_>, service: &Service) -> Option<Waiting> {
    let customer = &input.desired.spec;
    KINDS.into_iter().find_map(|kind| {
        let declared = service.compose.blobs(kind);
        declared.into_iter().find_map(|key| {
            let blob = customer.blobs(kind).get(key)?;
            let message = problem(input, kind, blob)?;
            let reason = WaitingReason::ObjectMissing;
            Some(Waiting { service: service.key.clone(), reason, message })
        })
    })
}

fn problem(input: &Input<'_>, kind: ObjectKind, blob: &Blob) -> Option<String> {
    let customer = &input.desired.spec;
    let what = kind.as_str();
    let name = blob.swarm_name()?;
    match blobs(input.observed, kind).get(&name) {
        Some(_) if blob.external && rules::is_granted(input, &name) => None,
        Some(found) if blob.external => {
            let owner = found.labels.get(labels::CUSTOMER).filter(|owner| **owner != customer.name)?;
            let owner = crate::text::printable(owner, 64);
            Some(format!("{what} {name:?} belongs to customer {owner:?}"))
        }
        None if blob.external => {
            Some(format!("{what} {name:?} does not exist in the Swarm: `docker {what} create {name} FILE`"))
        }
        None if !can_be_made(blob) => Some(format!(
            "{what} {name:?} is gone from the Swarm, and what it held cannot be read any more: mend the spec"
        )),
        Some(found) if !is_own(customer, found, &blob.key) => Some(format!(
            "{what} {name:?} was not made by skep for this customer: remove it, or write another `name`"
        )),
        _ => None,
    }
}

/// Whether there is what it holds, or somebody else gives that out.
fn can_be_made(blob: &Blob) -> bool {
    blob.content.is_some() || blob.driver.is_some()
}

/// What a service refers to and nobody can compare here.
pub(super) fn unknown(input: &Input<'_>, service: &Service) -> Option<Waiting> {
    let customer = &input.desired.spec;
    let keys: Vec<String> = KINDS
        .into_iter()
        .flat_map(|kind| {
            let unsealed = |key: &&str| {
                customer.blobs(kind).get(*key).is_some_and(|blob| !blob.external && blob.seal.is_none())
            };
            let keys = service.compose.blobs(kind).into_iter().filter(unsealed);
            keys.map(move |key| format!("{} {key:?}", kind.as_str())).collect::<Vec<_>>()
        })
        .collect();
    let reason = WaitingReason::ContentUnknown;
    let message = format!(
        "whether {} changed cannot be told here: skep's state directory holds the key, and skep's surroundings the content",
        keys.join(", ")
    );
    (!keys.is_empty()).then(|| Waiting { service: service.key.clone(), reason, message })
}

/// Whether the service refers to something whose name nobody can tell here.
pub(super) fn is_nameless(input: &Input<'_>, service: &Service) -> bool {
    let customer = &input.desired.spec;
    KINDS.into_iter().any(|kind| {
        let mut keys = service.compose.blobs(kind).into_iter();
        keys.any(|key| customer.blobs(kind).get(key).is_some_and(|blob| blob.swarm_name().is_none()))
    })
}

/// Gives the references in a spec that is to be written the IDs of what is there.
pub(super) fn fill(spec: &mut Value, observed: &ObservedState) {
    fields::fill(spec, &|kind, name| blobs(observed, kind).get(name).map(|found| found.id.clone()));
}

/// Steps that make what the services of `steps` refer to and the Swarm lacks.
pub(super) fn create(input: &Input<'_>, steps: &[Step]) -> Vec<Step> {
    let customer = &input.desired.spec;
    let written = steps.iter().filter_map(|step| match &step.write {
        Write::CreateService { spec } | Write::UpdateService { spec, .. } => Some(spec),
        _ => None,
    });
    let lacking: BTreeSet<(ObjectKind, String)> = written.flat_map(fields::unmade).collect();
    let own = |(kind, name): (ObjectKind, String)| {
        let blob = customer.blobs(kind).values().find(|blob| {
            let is_ours = !blob.external && blob.seal.is_some() && can_be_made(blob);
            is_ours && blob.swarm_name().as_ref() == Some(&name)
        })?;
        Some(step(
            Action::Create,
            kind,
            &name,
            Write::CreateBlob { spec: spec(customer, blob, &name), content: blob.content.clone() },
        ))
    };
    lacking.into_iter().filter_map(own).collect()
}

/// As `docker stack deploy` makes it, with our labels and without the content.
fn spec(customer: &Customer, blob: &Blob, name: &str) -> Value {
    let mut all: Map<String, Value> =
        blob.labels.iter().map(|(label, value)| (label.clone(), json!(value))).collect();
    all.insert(labels::STACK.into(), json!(customer.name));
    all.insert(labels::CUSTOMER.into(), json!(customer.name));
    all.insert(labels::OBJECT.into(), json!(blob.key));
    if let Some(seal) = &blob.seal {
        all.insert(labels::KEY.into(), json!(seal.key_id));
    }
    let mut spec = json!({ "Name": name, "Labels": all });
    if let Some((driver, options)) = &blob.driver {
        spec["Driver"] = json!({ "Name": driver, "Options": options });
    }
    if let Some(driver) = &blob.template_driver {
        spec["Templating"] = json!({ "Name": driver });
    }
    spec
}

/// Steps that remove what nothing uses any more. Only where all else is done, and every service of
/// the customer is seen: an empty list of services must not make everything look unused.
pub(super) fn superseded(input: &Input<'_>, steps: &[Step]) -> Vec<Step> {
    let customer = &input.desired.spec;
    let services = &input.observed.services;
    let settled = steps.is_empty()
        && customer.suspend.is_none()
        && customer.services.keys().all(|key| {
            let name = service_name(&customer.name, key);
            services.get(&name).is_some_and(|found| is_settled(found, input.remembered.get(&name)))
        });
    if !settled {
        return Vec::new();
    }
    let used = used_by(services.values());
    let mut steps = Vec::new();
    for kind in KINDS {
        let mut unused: BTreeMap<&str, Vec<&ObservedBlob>> = BTreeMap::new();
        for found in blobs(input.observed, kind).values().filter(|it| is_of(customer, it)) {
            let Some(key) = found.labels.get(labels::OBJECT) else { continue };
            if !used.contains(found.id.as_str()) {
                unused.entry(key.as_str()).or_default().push(found);
            }
        }
        for (key, mut found) in unused {
            found.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.name.cmp(&b.name)));
            let kept = if customer.blobs(kind).contains_key(key) { PREVIOUS_KEPT } else { 0 };
            steps.extend(
                found
                    .into_iter()
                    .skip(kept)
                    .map(|it| step(Action::Remove, kind, &it.name, Write::Remove { id: it.id.clone() })),
            );
        }
    }
    steps
}

/// Whether all its tasks are made from what the service says now, and the view is no old one.
fn is_settled(found: &ObservedService, memory: Option<&ServiceMemory>) -> bool {
    let status = found.update_status.as_ref().map(|status| status.state.as_str());
    let done = matches!(status, None | Some("completed" | "rollback_completed"));
    let alive = |state: &str| {
        !matches!(state, "complete" | "shutdown" | "failed" | "rejected" | "remove" | "orphaned")
    };
    let fresh = memory.is_none_or(|memory| {
        memory.rollout.is_none() && memory.seen.as_ref().is_none_or(|seen| seen.index <= found.version_index)
    });
    done && fresh && found.tasks.iter().all(|task| task.current || !alive(&task.state))
}

fn step(action: Action, kind: ObjectKind, name: &str, write: Write) -> Step {
    let what = kind.as_str();
    let (target, message, cause) = match action {
        Action::Remove => (
            format!("{REMOVED}{what} {name}"),
            format!("{what} {name} removed: nothing uses it"),
            Cause::Spec,
        ),
        _ => (format!("{what} {name}"), format!("{what} {name} created"), Cause::Missing),
    };
    Step {
        action,
        kind,
        name: name.to_owned(),
        service: None,
        cause,
        from: None,
        to: None,
        changes: Vec::new(),
        drift: Vec::new(),
        message,
        warnings: Vec::new(),
        target,
        spec_hash: String::new(),
        write,
    }
}

const REMOVED: &str = "remove ";

/// Whether a step about a secret or config with this target was applied; `None`: it is about
/// something else.
pub fn is_applied(target: &str, observed: &ObservedState) -> Option<bool> {
    let (removed, object) = match target.strip_prefix(REMOVED) {
        Some(object) => (true, object),
        None => (false, target),
    };
    let (what, name) = object.split_once(' ')?;
    let kind = KINDS.into_iter().find(|kind| kind.as_str() == what)?;
    Some(blobs(observed, kind).contains_key(name) != removed)
}

#[cfg(test)]
mod tests;
