//! The decisions about one service.

use std::collections::BTreeSet;

use serde_json::Value;

use super::converge::{self, Tally};
use super::{Action, Cause, Change, ImageView, Input, ObjectKind, Step, Waiting, Write};
use super::{ServiceView, fields, fingerprint, labels, service_name, unchanged_after};
use crate::image::ImageRef;
use crate::memory::{Purpose, ServiceMemory};
use crate::spec;
use crate::state::{DesiredImage, ObservedService, Target, WaitingReason};

mod image;
mod view;
mod words;

use image::ImageDecision;
use words::describe;
pub use words::told;

/// Swarm takes up a written service within milliseconds, unless a leader is elected meanwhile (measured: 11 s).
const TAKE_UP_MS: i64 = 20_000;

/// What is decided about a service: at most one step, the reasons why nothing (or not all)
/// is done, and how it stands.
pub(super) struct Decision {
    pub step: Option<Step>,
    pub waiting: Vec<Waiting>,
    pub view: ServiceView,
}

/// What the decision is made from, looked up once.
struct Case<'a> {
    input: &'a Input<'a>,
    service: &'a spec::Service,
    name: String,
    observed: Option<&'a ObservedService>,
    memory: ServiceMemory,
    image: DesiredImage,
    spec_hash: String,
    tally: Tally,
}

pub(super) fn decide(input: &Input<'_>, service: &spec::Service) -> Decision {
    let customer = &input.desired.spec;
    let name = service_name(&customer.name, &service.key);
    let observed = input.observed.services.get(&name);
    let unresolved = || DesiredImage::None {
        reason: WaitingReason::RegistryUnavailable,
        message: "the image was not looked up".to_owned(),
        passed_over: Vec::new(),
    };
    let case = Case {
        input,
        service,
        observed,
        memory: input.remembered.get(&name).cloned().unwrap_or_default(),
        image: input.desired.images.get(&service.key).cloned().unwrap_or_else(unresolved),
        spec_hash: super::desired_hash(customer, service),
        tally: observed.map(|observed| converge::tally(observed, &input.observed.nodes)).unwrap_or_default(),
        name,
    };
    let (step, waiting) = case.act();
    let view = case.view(step.as_ref(), &waiting);
    Decision { step, waiting, view }
}

type Act = (Option<Step>, Vec<Waiting>);

impl Case<'_> {
    fn act(&self) -> Act {
        let mut waiting = Vec::new();
        if let DesiredImage::None { reason, message, .. } = &self.image {
            waiting.push(self.wait(*reason, message.clone()));
        }
        if let Some(observed) = self.observed
            && let Err(message) = self.ownership(observed)
        {
            return (None, vec![self.wait(WaitingReason::NotOwned, message)]);
        }
        if let Some(message) = self.suspended() {
            waiting.push(self.wait(WaitingReason::Suspended, message));
            return (None, waiting);
        }
        waiting.extend(self.refused());
        waiting.extend(super::object::unknown(self.input, self.service));
        if super::object::is_nameless(self.input, self.service) {
            return (None, waiting);
        }
        let (step, more) = match self.observed {
            None => self.create(),
            Some(observed) => self.update(observed),
        };
        waiting.extend(more);
        (step, waiting)
    }

    /// Ours by label and name, or to be adopted; else why it is left alone.
    fn ownership(&self, observed: &ObservedService) -> Result<(), String> {
        let customer = &self.input.desired.spec.name;
        match observed.label(labels::CUSTOMER) {
            Some(owner) if owner == customer => Ok(()),
            Some(owner) => {
                let owner = crate::text::printable(owner, 64);
                Err(format!("{} belongs to customer {owner:?}", self.name))
            }
            None if self.service.adopt => Ok(()),
            None => Err(format!(
                "{} exists and was not made by skep; `adopt = true` in [services.{}] takes it over",
                self.name, self.service.key
            )),
        }
    }

    fn suspended(&self) -> Option<String> {
        let holds = [self.input.desired.spec.suspend.as_ref(), self.service.suspend.as_ref()];
        let now = self.input.now;
        let hold = holds.into_iter().flatten().find(|hold| hold.holds(now))?;
        let until = hold.until.map(|until| format!(" until {until}")).unwrap_or_default();
        let would = match &self.image {
            DesiredImage::Chosen(target) if !self.runs(target) => {
                format!("; would be {}", ImageView::of_target(target).short())
            }
            _ => String::new(),
        };
        Some(format!("{}{until}{would}", hold.reason))
    }

    fn runs(&self, target: &Target) -> bool {
        self.observed.and_then(ObservedService::image).is_some_and(|image| {
            image.repository == target.repository
                && image.digest.as_ref() == Some(&target.digest)
                && image.tag == target.tag
        })
    }

    fn create(&self) -> Act {
        let DesiredImage::Chosen(target) = &self.image else { return (None, Vec::new()) };
        if let Some(waiting) = super::object::missing(self.input, self.service) {
            return (None, vec![waiting]);
        }
        if self.is_refused(target.digest.as_str()) {
            return (None, Vec::new());
        }
        let customer = &self.input.desired.spec;
        let fields = match self.desired_fields() {
            Ok(fields) => fields,
            Err(waiting) => return (None, vec![waiting]),
        };
        let image = image_text(target);
        let created = fields::create(customer, self.service, &image, &|name| self.network_id(name));
        let mut spec = match created {
            Ok(spec) => spec,
            Err(missing) => return (None, vec![self.network_missing(&missing)]),
        };
        super::object::fill(&mut spec, self.input.observed);
        self.stamp(&mut spec, &fields, Some(target), true);
        let to = ImageView::of_target(target);
        let message = format!("{} created at {}", self.service.key, to.short());
        let step = self.step(Action::Create, Cause::Missing, None, Some(to), message, spec.clone());
        (
            Some(Step { write: Write::CreateService { spec }, warnings: target.warnings.clone(), ..step }),
            Vec::new(),
        )
    }

    fn update(&self, observed: &ObservedService) -> Act {
        if let Some(waiting) = super::object::missing(self.input, self.service) {
            return (None, vec![waiting]);
        }
        let fields = match self.desired_fields() {
            Ok(fields) => fields,
            Err(waiting) => return (None, vec![waiting]),
        };
        if !fields::is_container(&observed.spec) {
            let message = format!("{} runs no containers; skep cannot manage it", self.name);
            return (None, vec![self.wait(WaitingReason::NotOwned, message)]);
        }
        if let Some(why) = fields::mode_change(&observed.spec, &fields) {
            return (None, vec![self.wait(WaitingReason::SpecInvalid, why)]);
        }
        if let Some(wait) = self.rolling_back(observed) {
            return (None, vec![wait]);
        }
        let mut waiting = Vec::new();
        let target = match self.image_decision(observed) {
            ImageDecision::Go(target) => Some(target),
            ImageDecision::Keep => None,
            ImageDecision::Wait(wait) => {
                waiting.push(wait);
                None
            }
            // A service that is not taken over yet (or no longer) is only ever taken over.
            ImageDecision::RollBack(_) if observed.label(labels::CUSTOMER).is_none() => {
                return (None, waiting);
            }
            ImageDecision::RollBack(spec) => return (Some(self.roll_back(observed, spec)), waiting),
            ImageDecision::Stay => return (None, waiting),
        };
        // What is written must hold a digest, and what is there has none.
        if target.is_none() && observed.image().is_none_or(|image| image.digest.is_none()) {
            return (None, waiting);
        }
        let step = self.difference(observed, &fields, target);
        let step = match step.map(|step| self.unless_only_told(step)) {
            Some(Ok(step)) => Some(step),
            Some(Err(told)) => {
                waiting.push(told);
                None
            }
            None => self.mend_tasks(observed, &mut waiting),
        };
        if step.is_none() {
            waiting.extend(self.rollout_in_progress());
        }
        (step, waiting)
    }

    /// Drift that the spec says to only tell of is no step.
    fn unless_only_told(&self, step: Step) -> Result<Step, Waiting> {
        let drift = self.service.drift.unwrap_or(self.input.desired.spec.drift);
        if step.cause != Cause::Drift || drift == spec::Drift::Correct {
            return Ok(step);
        }
        let message = format!("changed by somebody else: {}", told(&step.drift));
        Err(self.wait(WaitingReason::DriftDetected, message))
    }

    fn roll_back(&self, observed: &ObservedService, spec: Value) -> Step {
        let to = self.image_view(fields::image(&spec));
        let message = format!("{} back to {} after a failed rollout", self.service.key, to.short());
        let step = self.step(
            Action::Update,
            Cause::RollBack,
            self.view_of(observed),
            Some(to),
            message,
            spec.clone(),
        );
        Step { write: update(observed, spec), ..step }
    }

    /// The step that makes the service what the spec says, if it is not.
    fn difference(
        &self,
        observed: &ObservedService,
        fields: &[fields::Field],
        target: Option<&Target>,
    ) -> Option<Step> {
        let mut spec = observed.spec.clone();
        let changes = self.apply_fields(&mut spec, fields, &fields::owned(observed.label(labels::FIELDS)));
        let current = fields::image(&observed.spec).to_owned();
        let image = target.filter(|target| !self.runs(target)).map(image_text);
        if let Some(image) = &image {
            fields::set_image(&mut spec, image);
        }
        let adopting = observed.label(labels::CUSTOMER).is_none();
        // What is taken over is taken over with a version, which is its floor from then on.
        if adopting && target.is_none() {
            return None;
        }
        // A write of labels alone would wipe what Swarm needs to roll back an update under way.
        if adopting && changes.is_empty() && image.is_none() && self.is_updating() {
            return None;
        }
        if changes.is_empty() && image.is_none() && !adopting {
            return None;
        }
        if !changes.is_empty() {
            super::object::fill(&mut spec, self.input.observed);
        }
        self.stamp(&mut spec, fields, target, image.is_some() || adopting);
        let from = self.view_of(observed);
        let to = target.map_or_else(|| self.image_view(&current), ImageView::of_target);
        let (action, cause) = self.classify(observed, image.is_some(), adopting, &from, &to, fields);
        let drift = self.drift(observed, &changes, image.is_some(), fields);
        let message = describe(&self.service.key, cause, from.as_ref(), &to, &changes);
        let step = self.step(action, cause, from, Some(to), message, spec.clone());
        let warnings = target.map(|target| target.warnings.clone()).unwrap_or_default();
        Some(Step { changes, drift, warnings, write: update(observed, spec), ..step })
    }

    fn classify(
        &self,
        observed: &ObservedService,
        image_changes: bool,
        adopting: bool,
        from: &Option<ImageView>,
        to: &ImageView,
        fields: &[fields::Field],
    ) -> (Action, Cause) {
        if adopting {
            return (Action::Update, Cause::Adoption);
        }
        if image_changes {
            let moved = from.as_ref().is_some_and(|from| from.tag == to.tag && from.digest.is_some());
            let written = observed.label(labels::STACK_IMAGE).map(|image| self.image_view(image));
            let put_back = self.image_drifted(observed)
                && written.is_some_and(|written| written.tag == to.tag && written.digest == to.digest);
            return match (moved, put_back) {
                (_, true) => (Action::Update, Cause::Drift),
                (true, false) => (Action::Repull, Cause::TagMoved),
                (false, false) => (Action::Update, Cause::Version),
            };
        }
        let unchanged = observed.label(labels::SPEC) == Some(fields::spec_hash(fields).as_str());
        (Action::Update, if unchanged { Cause::Drift } else { Cause::Spec })
    }

    /// Whether somebody else wrote another image since skep's last write: skep's label names
    /// another than stands there, or the same without its digest.
    fn image_drifted(&self, observed: &ObservedService) -> bool {
        let written = observed.label(labels::STACK_IMAGE).and_then(|image| image.parse::<ImageRef>().ok());
        let owned = observed.label(labels::VERSION).is_some();
        owned && written.is_some_and(|written| observed.image().is_none_or(|image| image != written))
    }

    fn drift(
        &self,
        observed: &ObservedService,
        changes: &[Change],
        image: bool,
        fields: &[fields::Field],
    ) -> Vec<Change> {
        let mut drift = Vec::new();
        if image && self.image_drifted(observed) {
            let written = observed.label(labels::STACK_IMAGE).unwrap_or_default();
            drift.push(Change {
                field: "image".into(),
                from: written.into(),
                to: fields::image(&observed.spec).into(),
            });
        }
        if observed.label(labels::SPEC) == Some(fields::spec_hash(fields).as_str()) {
            drift.extend(changes.iter().cloned().map(|change| Change {
                from: change.to,
                to: change.from,
                ..change
            }));
        }
        drift
    }

    /// The spec in the Swarm is right; are its tasks?
    fn mend_tasks(&self, observed: &ObservedService, waiting: &mut Vec<Waiting>) -> Option<Step> {
        // A service that is not taken over yet is not ours to touch.
        observed.label(labels::CUSTOMER)?;
        let state = observed.update_status.as_ref().map(|status| status.state.as_str());
        let mut spec = observed.spec.clone();
        let image = self.image_view(fields::image(&spec));
        let started = self.memory.rollout.as_ref().map(|rollout| rollout.started);
        if state == Some("paused")
            && self.tally.is_right()
            && converge::is_stable(observed, &self.tally, started, self.input.now)
        {
            let message = format!("{}: all tasks are right, clearing the paused update", self.service.key);
            let step = self.step(
                Action::Update,
                Cause::Paused,
                self.view_of(observed),
                Some(image),
                message,
                spec.clone(),
            );
            let target = unchanged_after(&spec, observed.version_index);
            return Some(Step { target, write: update(observed, spec), ..step });
        }
        if self.memory.retry && !self.tally.is_right() {
            fields::force(&mut spec);
            let message = format!("{}: trying {} again", self.service.key, image.short());
            let from = self.view_of(observed);
            let step = self.step(Action::Repull, Cause::Retry, from, Some(image), message, spec.clone());
            return Some(Step { write: update(observed, spec), ..step });
        }
        // While Swarm or a rollout of ours replaces tasks, stale ones are expected.
        let settling =
            self.memory.rollout.is_some() || matches!(state, Some("updating" | "rollback_started"));
        if settling || self.is_just_written(observed) || self.tally.outdated == 0 {
            return None;
        }
        if self.memory.forced.as_deref() == Some(fields::image(&spec)) {
            let message = "tasks still run something else after they were forced once".to_owned();
            waiting.push(self.wait(WaitingReason::RolloutFailed, message));
            return None;
        }
        fields::force(&mut spec);
        let message = format!(
            "{}: {} tasks run something else than the service says",
            self.service.key, self.tally.outdated
        );
        let step = self.step(
            Action::Repull,
            Cause::StaleTasks,
            self.view_of(observed),
            Some(image),
            message,
            spec.clone(),
        );
        Some(Step { write: update(observed, spec), ..step })
    }

    /// Somebody (a hand at the docker CLI) wrote the service just now: until Swarm takes that up and says `updating`,
    /// its tasks are as they were. The event of that, or the resync, brings us back.
    fn is_just_written(&self, observed: &ObservedService) -> bool {
        let written = observed.updated_at.filter(|_| observed.update_status.is_none());
        written.is_some_and(|at| self.input.now.as_millisecond() - at.as_millisecond() < TAKE_UP_MS)
    }

    /// While the old image comes back, nothing else is written.
    fn rolling_back(&self, observed: &ObservedService) -> Option<Waiting> {
        let by_swarm =
            observed.update_status.as_ref().is_some_and(|status| status.state == "rollback_started");
        let rollout = self.memory.rollout.as_ref().filter(|rollout| rollout.failed.is_none());
        let by_us = rollout.is_some_and(|rollout| rollout.purpose == Purpose::RollBack);
        let told = || self.rollout_in_progress();
        let untold = || self.wait(WaitingReason::RolloutInProgress, "Swarm is rolling back".to_owned());
        (by_swarm || by_us).then(|| told().unwrap_or_else(untold))
    }

    fn rollout_in_progress(&self) -> Option<Waiting> {
        let rollout = self.memory.rollout.as_ref()?;
        let Tally { wanted, right, problem, .. } = &self.tally;
        let why = problem.as_ref().map(|problem| format!(": {}", problem.message)).unwrap_or_default();
        if let Some(why) = &rollout.failed {
            return Some(self.wait(WaitingReason::RolloutFailed, why.clone()));
        }
        let verb = if rollout.purpose == Purpose::RollBack { "rolling back: " } else { "" };
        let message = format!(
            "{verb}{right} of {wanted} tasks on {}{why}",
            rollout.to.version.as_deref().unwrap_or("it")
        );
        Some(self.wait(WaitingReason::RolloutInProgress, message))
    }

    fn desired_fields(&self) -> Result<Vec<fields::Field>, Waiting> {
        fields::desired(&self.input.desired.spec, self.service, &|name| self.network_id(name))
            .map_err(|missing| self.network_missing(&missing))
    }

    fn network_missing(&self, missing: &fields::MissingNetwork) -> Waiting {
        let name = &missing.name;
        let message = if self.input.observed.networks.contains_key(name) {
            format!(
                "network {name:?} belongs to another: write `external = true` in [networks.{}] to join it all the same",
                missing.key
            )
        } else {
            format!(
                "network {name:?} does not exist in the Swarm: `docker network create -d overlay --attachable {name}`"
            )
        };
        self.wait(WaitingReason::NetworkMissing, message)
    }

    fn network_id(&self, name: &str) -> Option<String> {
        super::network::id(self.input, name)
    }

    /// Brings the spec's fields, and those it no longer sets, to what they should be.
    fn apply_fields(
        &self,
        spec: &mut Value,
        desired: &[fields::Field],
        owned: &BTreeSet<String>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for field in desired {
            let current = fields::read(spec, &field.name);
            if !fields::same(&field.name, &current, &field.value) {
                changes.push(self.change(&field.name, &current, &field.value));
                fields::write(spec, &field.name, Some(&field.value));
            }
        }
        for name in owned.iter().filter(|name| !desired.iter().any(|field| field.name == **name)) {
            let released =
                fields::released(&self.input.desired.spec, self.service, name, &|name| self.network_id(name));
            let released = released.unwrap_or_default().unwrap_or_default();
            let current = fields::read(spec, name);
            if !fields::same(name, &current, &released) {
                changes.push(self.change(name, &current, &released));
                fields::write(spec, name, Some(&released).filter(|value| !value.is_null()));
            }
        }
        changes
    }

    fn change(&self, name: &str, from: &Value, to: &Value) -> Change {
        let networks = &self.input.observed.networks;
        let network =
            |id: &str| networks.values().find(|network| network.id == id).map(|network| network.name.clone());
        let show = |value: &Value| fields::display(name, value, &network);
        Change { field: name.to_owned(), from: show(from), to: show(to) }
    }

    /// Our labels (contract §2), written along with another change only.
    fn stamp(&self, spec: &mut Value, fields: &[fields::Field], target: Option<&Target>, image: bool) {
        let customer = &self.input.desired.spec.name;
        let owned = fields.iter().map(|field| field.name.clone()).collect();
        set_label(spec, labels::STACK, customer);
        set_label(spec, labels::CUSTOMER, customer);
        set_label(spec, labels::SERVICE, &self.service.key);
        set_label(spec, labels::SPEC, &fields::spec_hash(fields));
        set_label(spec, labels::FIELDS, &fields::owned_label(&owned));
        set_label(spec, labels::REVISION, self.input.desired.revision.as_deref().unwrap_or_default());
        if image {
            let text = fields::image(spec).to_owned();
            set_label(spec, labels::STACK_IMAGE, &text);
            let version = target.and_then(|target| target.version.as_ref()).map(ToString::to_string);
            set_label(spec, labels::VERSION, &version.unwrap_or_default());
        }
    }

    fn step(
        &self,
        action: Action,
        cause: Cause,
        from: Option<ImageView>,
        to: Option<ImageView>,
        message: String,
        spec: Value,
    ) -> Step {
        Step {
            action,
            kind: ObjectKind::Service,
            name: self.name.clone(),
            service: Some(self.service.key.clone()),
            cause,
            from,
            to,
            changes: Vec::new(),
            drift: Vec::new(),
            message,
            warnings: Vec::new(),
            target: fingerprint(&spec),
            spec_hash: self.spec_hash.clone(),
            write: Write::CreateService { spec: Value::Null },
        }
    }

    fn wait(&self, reason: WaitingReason, message: String) -> Waiting {
        Waiting { service: self.service.key.clone(), reason, message }
    }

    fn image_view(&self, image: &str) -> ImageView {
        ImageView::of_text(image, self.service.image.tags())
    }

    fn view_of(&self, observed: &ObservedService) -> Option<ImageView> {
        Some(self.image_view(fields::image(&observed.spec)))
    }
}

fn update(observed: &ObservedService, spec: Value) -> Write {
    Write::UpdateService { id: observed.id.clone(), index: observed.version_index, spec }
}

/// `repo:tag@sha256:…`; the digest is always there.
fn image_text(target: &Target) -> String {
    ImageRef {
        repository: target.repository.clone(),
        tag: target.tag.clone(),
        digest: Some(target.digest.clone()),
    }
    .to_string()
}

fn set_label(spec: &mut Value, key: &str, value: &str) {
    let Some(spec) = spec.as_object_mut() else { return };
    let labels = spec.entry("Labels").or_insert_with(|| Value::Object(Default::default()));
    if !labels.is_object() {
        *labels = Value::Object(Default::default());
    }
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(key.to_owned(), value.into());
    }
}
