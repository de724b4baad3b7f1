//! Which image a service is brought to, and what becomes of one whose rollout failed.

use serde_json::Value;

use super::{Case, set_label};
use crate::image::ImageRef;
use crate::plan::{Waiting, converge, fields, labels};
use crate::spec::{ImagePolicy, OnFailure, Retag};
use crate::state::{DesiredImage, ObservedService, Target, WaitingReason};
use crate::version::{RejectReason, Rejected};

pub(super) enum ImageDecision<'a> {
    /// Bring it to this.
    Go(&'a Target),
    /// Write other fields, but leave the image.
    Keep,
    /// The same, and say why.
    Wait(Waiting),
    /// Write this spec back.
    RollBack(Value),
    /// Touch nothing.
    Stay,
}

impl Case<'_> {
    /// The image to write: a new one, or the one that is there.
    pub(super) fn image_decision(&self, observed: &ObservedService) -> ImageDecision<'_> {
        let current = observed.image();
        match &self.image {
            DesiredImage::Chosen(target) => {
                if let Some(decision) = self.after_failure(observed, current.as_ref(), target) {
                    return decision;
                }
                match current.filter(|image| self.is_held_move(image, target)) {
                    Some(image) => ImageDecision::Wait(self.held_move(&image, target)),
                    None => ImageDecision::Go(target),
                }
            }
            DesiredImage::None { .. } => {
                let running =
                    current.as_ref().and_then(|image| image.digest.as_ref()).map(ToString::to_string);
                let Some(running) = running else { return ImageDecision::Stay };
                if !self.is_refused(&running) {
                    return ImageDecision::Keep;
                }
                // The way back needs no answer of the registry.
                let back = || self.last_good(observed, &running).map(ImageDecision::RollBack);
                self.may_go_back(observed).then(back).flatten().unwrap_or(ImageDecision::Stay)
            }
        }
    }

    /// A job that began anew with an older version would do its work twice.
    fn may_go_back(&self, observed: &ObservedService) -> bool {
        self.service.on_failure == OnFailure::Rollback && !converge::is_job(&observed.spec)
    }

    /// What follows when what is wanted or what runs has failed before; `None`: go on with the target.
    fn after_failure(
        &self,
        observed: &ObservedService,
        current: Option<&ImageRef>,
        target: &Target,
    ) -> Option<ImageDecision<'_>> {
        let wanted = target.digest.to_string();
        let running = current.and_then(|image| image.digest.as_ref()).map(ToString::to_string);
        let failed = running.as_ref().filter(|running| self.is_refused(running));
        let Some(running) = failed else {
            // What is written must hold a digest.
            let other = if running.is_some() { ImageDecision::Keep } else { ImageDecision::Stay };
            return self.is_refused(&wanted).then_some(other);
        };
        let is_back = self.is_refused(&wanted) || self.is_step_back(running, target);
        if !self.may_go_back(observed) {
            return is_back.then_some(ImageDecision::Stay);
        }
        let is_last_good = self.memory.last_good.as_ref().is_some_and(|good| good.digest == wanted);
        if self.is_refused(&wanted) || (is_back && is_last_good) {
            let back = self.last_good(observed, running).map(ImageDecision::RollBack);
            // Tried already, and the failed image stands there again: that is drift.
            let otherwise = self.is_refused(&wanted).then_some(ImageDecision::Stay);
            return back.or(otherwise);
        }
        None
    }

    /// Whether the target is not above the version that failed with this digest.
    fn is_step_back(&self, failed: &str, target: &Target) -> bool {
        let refusal = self.memory.refused.iter().rev().find(|refusal| refusal.image.digest == failed);
        let failed = refusal.and_then(|refusal| refusal.image.version.as_deref());
        let failed = failed.and_then(|version| semver::Version::parse(version).ok());
        match (failed, &target.version) {
            (Some(failed), Some(target)) => target.cmp_precedence(&failed).is_lt(),
            _ => false,
        }
    }

    fn held_move(&self, image: &ImageRef, target: &Target) -> Waiting {
        let message = format!(
            "tag {} now has {} in the registry; retag = \"hold\" keeps {}",
            target.tag.as_deref().unwrap_or("?"),
            target.digest,
            image.digest.as_ref().map_or("?", |digest| digest.as_str()),
        );
        self.wait(WaitingReason::TagMoved, message)
    }

    /// The version that would be taken, had it not failed or did it fit the nodes.
    pub(super) fn refused(&self) -> Option<Waiting> {
        let DesiredImage::Chosen(target) = &self.image else { return None };
        let message = if self.is_refused(target.digest.as_str()) {
            self.refusal_message(target.digest.as_str())
        } else {
            let held = |tag: &&Rejected| matches!(tag.reason, RejectReason::Refused | RejectReason::Platform);
            let passed = target.passed_over.iter().find(held)?;
            let mut refusals = self.memory.refused.iter().rev();
            let refusal = refusals.find(|refusal| {
                refusal.spec == self.spec_hash && refusal.image.tag.as_ref() == Some(&passed.tag)
            });
            match refusal.filter(|_| passed.reason == RejectReason::Refused) {
                Some(refusal) => self.refusal_message(&refusal.image.digest),
                None => format!("{}: {}", passed.tag, passed.message),
            }
        };
        Some(self.wait(WaitingReason::VersionRefused, message))
    }

    fn is_held_move(&self, current: &ImageRef, target: &Target) -> bool {
        let hold =
            matches!(&self.service.image, ImagePolicy::Highest { policy, .. } if policy.retag == Retag::Hold);
        let same_tag = current.repository == target.repository && current.tag == target.tag;
        hold && same_tag && current.digest.as_ref().is_some_and(|digest| *digest != target.digest)
    }

    pub(super) fn is_refused(&self, digest: &str) -> bool {
        let now = self.input.now;
        self.memory.refused.iter().any(|it| it.holds(&self.spec_hash, now) && it.image.digest == digest)
    }

    fn refusal_message(&self, digest: &str) -> String {
        let refusal = self.memory.refused.iter().rev().find(|refusal| refusal.image.digest == digest);
        let why = refusal.map(|refusal| refusal.why.as_str()).unwrap_or_default();
        let version = refusal.and_then(|refusal| refusal.image.version.clone()).unwrap_or_default();
        format!(
            "{version} failed before: {why}; `skep retry {}/{}` tries again",
            self.input.desired.spec.name, self.service.key
        )
    }

    /// The spec to return to after a failure that Swarm did not roll back itself, unless that
    /// was tried already: the engine's own previous spec where it has the last good image (so
    /// that a failed setting goes with it), else the present one with that image.
    fn last_good(&self, observed: &ObservedService, running: &str) -> Option<Value> {
        let good = self
            .memory
            .last_good
            .as_ref()
            .filter(|good| good.digest != running || self.previous_differs(observed))?;
        if self.memory.refused.iter().any(|refusal| refusal.image.digest == running && refusal.rolled_back) {
            return None;
        }
        let previous =
            observed.previous_spec.as_ref().filter(|previous| fields::image(previous).contains(&good.digest));
        Some(previous.cloned().unwrap_or_else(|| {
            let mut spec = observed.spec.clone();
            let tag = good.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
            let repository = good.repository.parse::<crate::image::Repository>();
            let repository =
                repository.map_or_else(|_| good.repository.clone(), |repository| repository.to_string());
            let image = format!("{repository}{tag}@{}", good.digest);
            fields::set_image(&mut spec, &image);
            set_label(&mut spec, labels::STACK_IMAGE, &image);
            set_label(&mut spec, labels::VERSION, good.version.as_deref().unwrap_or_default());
            spec
        }))
    }

    fn previous_differs(&self, observed: &ObservedService) -> bool {
        observed.previous_spec.as_ref().is_some_and(|previous| *previous != observed.spec)
    }
}
