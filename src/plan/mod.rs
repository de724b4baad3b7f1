//! What to do: desired × observed × remembered → `Plan { steps, waiting }`. Every decision
//! about a service is made here; pure, synchronous, without a clock.

pub mod converge;
pub mod fields;
mod network;
pub mod object;
mod order;
pub mod placement;
pub mod prune;
mod renew;
mod rules;
mod service;
#[cfg(test)]
mod tests;
pub mod verdict;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::image::ImageRef;
use crate::memory::ServiceMemory;
use crate::spec::{self, SecretBytes};
pub use crate::state::ObjectKind;
use crate::state::{DesiredCustomer, ObservedService, ObservedState, Target, WaitingReason};
use converge::Tally;
pub use renew::renew;
pub use service::told;

/// Labels that skep writes on services, networks, secrets and configs (contract §2).
pub mod labels {
    pub const CUSTOMER: &str = "skep.customer";
    pub const SERVICE: &str = "skep.service";
    pub const VERSION: &str = "skep.version";
    pub const SPEC: &str = "skep.spec";
    pub const FIELDS: &str = "skep.fields";
    pub const REVISION: &str = "skep.revision";
    /// The key of a secret or config in the spec.
    pub const OBJECT: &str = "skep.object";
    /// Which of the cluster's keys made the name of a secret or config.
    pub const KEY: &str = "skep.key";
    pub const STACK: &str = "com.docker.stack.namespace";
    pub const STACK_IMAGE: &str = "com.docker.stack.image";
}

/// All that the planner may know.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    pub desired: &'a DesiredCustomer,
    pub observed: &'a ObservedState,
    /// By the service's full name.
    pub remembered: &'a BTreeMap<String, ServiceMemory>,
    pub rollout_timeout: Duration,
    pub now: Timestamp,
    /// `None`: nothing is removed.
    pub prune: Option<prune::Prune<'a>>,
}

/// What to do for one customer, and what is not done, and why.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub customer: String,
    pub steps: Vec<Step>,
    pub waiting: Vec<Waiting>,
    /// Every service of the spec, by key: how it stands.
    pub services: BTreeMap<String, ServiceView>,
    /// What is to be remembered before the steps are taken.
    pub kept: object::Kept,
    /// The customer's file is gone, and nothing is left of its stack.
    pub is_gone: bool,
}

/// One change. It leaves no choice to whoever executes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub action: Action,
    pub kind: ObjectKind,
    /// Full name in the Swarm.
    pub name: String,
    /// The key in the spec.
    pub service: Option<String>,
    pub cause: Cause,
    pub from: Option<ImageView>,
    pub to: Option<ImageView>,
    pub changes: Vec<Change>,
    /// Fields (or the image) that somebody else changed since skep wrote them.
    pub drift: Vec<Change>,
    pub message: String,
    pub warnings: Vec<String>,
    /// Fingerprint of what the step makes of the service; see `fingerprint`.
    pub target: String,
    /// Hash of the desired state it is made with, for refusals.
    pub spec_hash: String,
    pub write: Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Create,
    Update,
    Repull,
    Remove,
}

/// Why a step is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Missing,
    Adoption,
    /// Another version, or a pin where none was.
    Version,
    /// The tag has new content.
    TagMoved,
    /// The spec says something else than before.
    Spec,
    /// Somebody else changed what skep owns.
    Drift,
    /// Tasks run something else than their service says.
    StaleTasks,
    /// A person asked for one more try of what failed.
    Retry,
    /// Swarm left an update paused whose tasks are all right.
    Paused,
    /// A rollout failed, and Swarm did not roll back.
    RollBack,
    /// No spec names it any more.
    Unnamed,
    /// The credentials that the nodes have would expire.
    Credentials,
}

/// The call a step makes.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    CreateNetwork {
        spec: Value,
    },
    /// A secret or a config. The content is only put in at the call.
    CreateBlob {
        spec: Value,
        content: Option<SecretBytes>,
    },
    CreateService {
        spec: Value,
    },
    UpdateService {
        id: String,
        index: u64,
        spec: Value,
    },
    /// By ID, after the owner's label has been read afresh.
    Remove {
        id: String,
    },
}

/// A field before and after, in the spec's vocabulary.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub field: String,
    pub from: Value,
    pub to: Value,
}

/// An image as plans, events and reports show it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageView {
    pub tag: Option<String>,
    pub version: Option<String>,
    pub digest: Option<String>,
}

/// Something that is not done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub service: String,
    pub reason: WaitingReason,
    pub message: String,
}

/// How a service stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceView {
    /// Whether the Swarm has it at all.
    pub exists: bool,
    pub desired: Option<ImageView>,
    pub state: Sync,
    pub tally: Tally,
    /// What its tasks run: image and how many.
    pub running: Vec<(ImageView, u64)>,
    pub message: String,
    /// Whether what runs is, by digest, the highest version that the spec allows;
    /// `None`: nobody can tell.
    pub highest: Option<bool>,
}

/// How spec and Swarm compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    InSync,
    Progressing,
    Drifted,
    Stalled,
    Suspended,
    #[default]
    Unknown,
}

/// Plans one customer.
pub fn plan(input: Input<'_>) -> Plan {
    let customer = &input.desired.spec;
    let mut plan = Plan { customer: customer.name.clone(), ..Plan::default() };
    for (key, service) in &customer.services {
        let decision = service::decide(&input, service);
        plan.waiting.extend(decision.waiting);
        plan.steps.extend(decision.step);
        plan.services.insert(key.clone(), decision.view);
    }
    order::hold_back(&input, &mut plan);
    // Before the services that join and use them.
    let mut first = network::missing(&input, &plan.steps);
    first.extend(object::create(&input, &plan.steps));
    let last = if customer.prune { object::superseded(&input, &plan.steps) } else { Vec::new() };
    plan.steps.splice(0..0, first);
    plan.steps.extend(last);
    prune::decide(&input, &mut plan);
    plan.is_gone &= plan.steps.is_empty();
    plan
}

/// A service's full name in the Swarm.
pub fn service_name(customer: &str, key: &str) -> String {
    format!("{customer}_{key}")
}

/// What a written service can be recognised by: image, force counter, and a hash of the
/// fields that skep owns as they stand. An intent carries it, so that a restart can tell by
/// observation whether it was applied; so it must differ from what stood there before.
pub fn fingerprint(spec: &Value) -> String {
    let label = |key: &str| spec.get("Labels").and_then(|labels| labels.get(key)).and_then(Value::as_str);
    let owned = fields::owned(label(labels::FIELDS));
    let values: Vec<(&str, Value)> = owned
        .iter()
        .map(|name| (name.as_str(), fields::canonical(name, &fields::read(spec, name))))
        .collect();
    let stamped = [label(labels::CUSTOMER), label(labels::SPEC)];
    let force = spec.pointer("/TaskTemplate/ForceUpdate").and_then(Value::as_u64).unwrap_or(0);
    format!(
        "{} {} {force}",
        fields::image(spec),
        text_hash(&serde_json::json!([values, stamped]).to_string())
    )
}

/// What recognises a write that changes nothing but the version index, which was `index`.
pub fn unchanged_after(spec: &Value, index: u64) -> String {
    format!("{}{AFTER}{index}", fingerprint(spec))
}

const AFTER: &str = " after ";

/// Whether the service shows that the write with this target was applied.
pub fn is_applied(target: &str, found: &ObservedService) -> bool {
    match target.rsplit_once(AFTER) {
        Some((unchanged, index)) => {
            let moved = index.parse::<u64>().is_ok_and(|index| found.version_index > index);
            moved && fingerprint(&found.spec) == unchanged
        }
        None => fingerprint(&found.spec) == target,
    }
}

/// Hash of all that the spec says about a service, its version policy included: a refusal
/// holds as long as it is the same (semver.md rule 8).
pub fn desired_hash(customer: &spec::Customer, service: &spec::Service) -> String {
    let fields = fields::desired(customer, service, &|name| Some(name.to_owned())).unwrap_or_default();
    let policy = match &service.image {
        spec::ImagePolicy::Highest { repository, policy } => {
            let excluded: Vec<String> = policy.exclude.iter().map(ToString::to_string).collect();
            format!(
                "{repository} {} {:?} {:?} {excluded:?} {}",
                policy.require, policy.prerelease, policy.tags, policy.downgrade
            )
        }
        spec::ImagePolicy::Tag { repository, tag, .. } => format!("{repository}:{tag}"),
        spec::ImagePolicy::Digest { repository, digest, .. } => format!("{repository}@{digest}"),
    };
    text_hash(&format!("{} {policy}", fields::spec_hash(&fields)))
}

impl ImageView {
    /// As an image reference of the engine reads; `tags` is how the repository spells versions.
    pub fn of_reference(image: &ImageRef, tags: &spec::TagPattern) -> Self {
        let parsed = image.tag.as_deref().and_then(|tag| crate::version::parse_tag(tag, tags));
        Self {
            tag: image.tag.clone(),
            version: parsed.map(|parsed| parsed.version.to_string()),
            digest: image.digest.as_ref().map(ToString::to_string),
        }
    }

    pub fn of_text(image: &str, tags: &spec::TagPattern) -> Self {
        match image.parse::<ImageRef>() {
            Ok(image) => Self::of_reference(&image, tags),
            Err(_) => Self { tag: Some(crate::text::printable(image, 200)), version: None, digest: None },
        }
    }

    pub fn of_target(target: &Target) -> Self {
        Self {
            tag: target.tag.clone(),
            version: target.version.as_ref().map(ToString::to_string),
            digest: Some(target.digest.to_string()),
        }
    }

    /// The version, else the tag, else the digest's first digits.
    pub fn short(&self) -> String {
        let digest = || self.digest.as_ref().map(|digest| digest.chars().take(19).collect());
        self.version.clone().or_else(|| self.tag.clone()).or_else(digest).unwrap_or_else(|| "?".to_owned())
    }
}

/// A short hash of a text: 16 hexadecimal digits of its SHA-256.
pub fn text_hash(text: &str) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(text.as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
