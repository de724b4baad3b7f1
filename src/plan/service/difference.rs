//! What differs between a service and its spec, and the step that mends it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Case, describe, image_text, told, update};
use crate::image::ImageRef;
use crate::plan::{Action, Cause, Change, ImageView, Step, Waiting, Write, fields, labels, object, rules};
use crate::spec;
use crate::state::{ObservedService, Target, WaitingReason};

impl Case<'_> {
    /// A service that has what the fleet forbids is not taken over: skep would keep that for its customer.
    pub(super) fn within_rules(&self, step: Step) -> Result<Step, Waiting> {
        let Write::UpdateService { spec, .. } = &step.write else { return Ok(step) };
        if step.cause != Cause::Adoption {
            return Ok(step);
        }
        match rules::broken(self.input, self.service, spec) {
            None => Ok(step),
            Some(broken) => {
                let message = format!(
                    "{} is not taken over: {}; take that off the service, or say in its spec what it is to have",
                    self.name,
                    broken.message(None)
                );
                Err(self.wait(WaitingReason::NotOwned, message))
            }
        }
    }

    /// Drift that the spec says to only tell of is no step.
    pub(super) fn unless_only_told(&self, step: Step) -> Result<Step, Waiting> {
        let drift = self.service.drift.unwrap_or(self.input.desired.spec.drift);
        if step.cause != Cause::Drift || drift == spec::Drift::Correct {
            return Ok(step);
        }
        let message = format!("changed by somebody else: {}", told(&step.drift));
        Err(self.wait(WaitingReason::DriftDetected, message))
    }

    /// The step that makes the service what the spec says, if it is not.
    pub(super) fn difference(
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
            object::fill(&mut spec, self.input.observed);
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
    pub(super) fn image_drifted(&self, observed: &ObservedService) -> bool {
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

    /// Brings the spec's fields, and those it no longer sets, to what they should be.
    pub(super) fn apply_fields(
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
    pub(super) fn stamp(
        &self,
        spec: &mut Value,
        fields: &[fields::Field],
        target: Option<&Target>,
        image: bool,
    ) {
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
}

pub(super) fn set_label(spec: &mut Value, key: &str, value: &str) {
    let Some(spec) = spec.as_object_mut() else { return };
    let labels = spec.entry("Labels").or_insert_with(|| Value::Object(Default::default()));
    if !labels.is_object() {
        *labels = Value::Object(Default::default());
    }
    if let Some(labels) = labels.as_object_mut() {
        labels.insert(key.to_owned(), value.into());
    }
}
