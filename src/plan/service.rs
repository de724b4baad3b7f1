//! The decisions about one service.

use serde_json::Value;

use super::converge::{self, Tally};
use super::{Action, Cause, ImageView, Input, ObjectKind, ServiceView, Step, Waiting, Write};
use super::{fields, fingerprint, labels, service_name};
use crate::image::ImageRef;
use crate::memory::ServiceMemory;
use crate::spec;
use crate::state::{DesiredImage, ObservedService, Target, WaitingReason};

mod difference;
mod image;
mod tasks;
mod view;
mod words;

use difference::set_label;
use image::ImageDecision;
use words::describe;
pub use words::told;

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
        let step = match step.map(|step| self.within_rules(step).and_then(|step| self.unless_only_told(step)))
        {
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

    fn desired_fields(&self) -> Result<Vec<fields::Field>, Waiting> {
        fields::desired(&self.input.desired.spec, self.service, &|name| self.network_id(name))
            .map_err(|missing| self.network_missing(&missing))
    }

    fn network_missing(&self, missing: &fields::MissingNetwork) -> Waiting {
        let name = &missing.name;
        let declared = self.input.desired.spec.networks.values().any(|it| it.name == *name && it.external);
        let message = if declared && self.input.observed.networks.contains_key(name) {
            format!(
                "network {name:?} belongs to another customer: have it granted in fleet.toml, `[grants]` with `{} = [{name:?}]`",
                self.input.desired.spec.name
            )
        } else if self.input.observed.networks.contains_key(name) {
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
