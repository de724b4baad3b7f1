//! What is told of a step: the intent ahead of the call, what came of it, and what led to it.

use crate::events::{About, Event, EventImage, Kind, NewEvent, Phase, Reason};
use crate::memory::Rollout;
use crate::plan::{self, Cause, ImageView, ObjectKind, Step, Write};

/// Events that stand before the change itself: drift that was found, a tag that moved.
pub(super) fn warnings(about: &About, step: &Step) -> Vec<NewEvent> {
    let service = step.service.as_deref();
    let mut events: Vec<NewEvent> = Vec::new();
    if !step.drift.is_empty() {
        let message = format!("changed by somebody else: {}", plan::told(&step.drift));
        events.push(about.event(Kind::Warning, Reason::DriftDetected, service, message));
    }
    if step.cause == Cause::StaleTasks {
        events.push(about.event(Kind::Warning, Reason::DriftDetected, service, step.message.clone()));
    }
    if step.cause == Cause::TagMoved {
        let tag = step.to.as_ref().and_then(|to| to.tag.clone()).unwrap_or_default();
        let digest =
            |view: &Option<ImageView>| view.as_ref().and_then(|view| view.digest.clone()).unwrap_or_default();
        let message = format!("tag {tag} moved from {} to {}", digest(&step.from), digest(&step.to));
        let moved = about.event(Kind::Warning, Reason::TagMoved, service, message);
        events.push(NewEvent { from: view(&step.from), to: view(&step.to), ..moved });
    }
    events.extend(
        step.warnings
            .iter()
            .map(|warning| about.event(Kind::Warning, reason(step), service, warning.clone())),
    );
    events
}

fn reason(step: &Step) -> Reason {
    match (step.kind, step.cause) {
        (ObjectKind::Service, _) if matches!(step.write, Write::Remove { .. }) => Reason::ServiceRemoved,
        (ObjectKind::Network | ObjectKind::Secret | ObjectKind::Config, _) => Reason::ServiceUpdated,
        (_, Cause::Missing) => Reason::ServiceCreated,
        (_, Cause::TagMoved | Cause::StaleTasks) => Reason::ImageRepulled,
        (_, Cause::Drift) => Reason::DriftCorrected,
        (_, Cause::Version | Cause::RollBack) => Reason::ImageUpdated,
        (_, Cause::Adoption) if step.from != step.to => Reason::ImageUpdated,
        (
            _,
            Cause::Adoption
            | Cause::Spec
            | Cause::Paused
            | Cause::Retry
            | Cause::Unnamed
            | Cause::Credentials,
        ) => Reason::ServiceUpdated,
    }
}

pub(super) fn change(about: &About, step: &Step, phase: Phase) -> NewEvent {
    let event = about.event(Kind::Normal, reason(step), step.service.as_deref(), step.message.clone());
    NewEvent { from: view(&step.from), to: view(&step.to), phase: Some(phase), ..event }
}

pub(super) fn outcome(about: &About, step: &Step, intent: &Event, phase: Phase) -> NewEvent {
    NewEvent { id: Some(intent.id.clone()), ..change(about, step, phase) }
}

/// A change that was applied replaces tasks.
pub fn rollout_started(about: &About, intent: &Event, rollout: &Rollout) -> NewEvent {
    let key = intent.service.as_deref();
    let to = rollout.to.version.as_deref().or(rollout.to.tag.as_deref()).unwrap_or_default();
    let message = format!("{} rolling to {to}", key.unwrap_or_default());
    let event = about.event(Kind::Normal, Reason::RolloutStarted, key, message);
    NewEvent { id: Some(intent.id.clone()), from: intent.from.clone(), to: intent.to.clone(), ..event }
}

/// Closes an intent that was found open.
pub fn close(about: &About, intent: &Event, phase: Phase, note: &str) -> NewEvent {
    let message =
        if note.is_empty() { intent.message.clone() } else { format!("{}: {note}", intent.message) };
    let event = about.event(intent.kind, intent.reason, intent.service.as_deref(), message);
    NewEvent {
        id: Some(intent.id.clone()),
        from: intent.from.clone(),
        to: intent.to.clone(),
        phase: Some(phase),
        ..event
    }
}

fn view(image: &Option<ImageView>) -> Option<EventImage> {
    image.as_ref().map(event_image)
}

/// An image as events show it.
pub fn event_image(image: &ImageView) -> EventImage {
    EventImage { tag: image.tag.clone(), version: image.version.clone(), digest: image.digest.clone() }
}
