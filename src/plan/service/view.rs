//! How a service stands, for `status`, metrics and events.

use super::Case;
use crate::plan::{ImageView, ServiceView, Step, Sync, Waiting};
use crate::spec::TagPattern;
use crate::state::{DesiredImage, ObservedService, WaitingReason};

impl Case<'_> {
    pub(super) fn view(&self, step: Option<&Step>, waiting: &[Waiting]) -> ServiceView {
        let desired = match &self.image {
            DesiredImage::Chosen(target) => Some(ImageView::of_target(target)),
            DesiredImage::None { .. } => None,
        };
        let first = waiting.first();
        let state = self.sync_state(step, waiting);
        let message = match (first, step) {
            (Some(waiting), _) => waiting.message.clone(),
            (None, Some(step)) => step.message.clone(),
            (None, None) => {
                self.tally.problem.as_ref().map(|problem| problem.message.clone()).unwrap_or_default()
            }
        };
        ServiceView {
            highest: self.highest(waiting),
            desired,
            state,
            tally: self.tally.clone(),
            exists: self.observed.is_some(),
            running: running(self.observed, self.service.image.tags()),
            message,
        }
    }

    fn sync_state(&self, step: Option<&Step>, waiting: &[Waiting]) -> Sync {
        let waits = |reason| waiting.iter().any(|waiting| waiting.reason == reason);
        use WaitingReason as W;
        if waits(W::Suspended) {
            Sync::Suspended
        } else if [
            W::NotOwned,
            W::NoVersionFits,
            W::WouldDowngrade,
            W::RolloutFailed,
            W::NetworkMissing,
            W::ObjectMissing,
            W::SpecInvalid,
            W::TagMoved,
        ]
        .into_iter()
        .any(waits)
        {
            Sync::Stalled
        } else if waits(W::RegistryUnavailable) || waits(W::TagListTruncated) || waits(W::ContentUnknown) {
            Sync::Unknown
        } else if step.is_some() || waits(W::DriftDetected) {
            Sync::Drifted
        } else if waits(W::RolloutInProgress)
            || self.is_updating()
            || (self.tally.outdated > 0 && !waits(W::VersionRefused))
        {
            // Tasks that do not run are a matter of health, not of this.
            Sync::Progressing
        } else if waits(W::VersionRefused) {
            // All is done that may be done, and it is not what it should be.
            Sync::Stalled
        } else {
            Sync::InSync
        }
    }

    pub(super) fn is_updating(&self) -> bool {
        let status = self.observed.and_then(|observed| observed.update_status.as_ref());
        status.is_some_and(|status| matches!(status.state.as_str(), "updating" | "rollback_started"))
    }

    /// The question of the postmortem. Only a trusted answer of the registry makes a yes or no.
    fn highest(&self, waiting: &[Waiting]) -> Option<bool> {
        match &self.image {
            DesiredImage::Chosen(target) => {
                let newest_passed_over = !target.passed_over.is_empty();
                Some(
                    self.runs(target)
                        && self.tally.is_right()
                        && !newest_passed_over
                        && self.observed.is_some(),
                )
            }
            DesiredImage::None {
                reason: WaitingReason::VersionRefused | WaitingReason::WouldDowngrade,
                ..
            } => Some(false),
            DesiredImage::None { .. } => {
                debug_assert!(!waiting.is_empty(), "an image that is not chosen has a reason");
                None
            }
        }
    }
}

/// What tasks that run (or completed, of a job) were made from, most first.
fn running(observed: Option<&ObservedService>, tags: &TagPattern) -> Vec<(ImageView, u64)> {
    let mut counts = std::collections::BTreeMap::new();
    for task in observed.iter().flat_map(|service| &service.tasks).filter(|task| task.state == "running") {
        *counts.entry(ImageView::of_text(&task.image, tags)).or_insert(0) += 1;
    }
    let mut running: Vec<_> = counts.into_iter().collect();
    running.sort_by_key(|(_, tasks)| std::cmp::Reverse(*tasks));
    running
}
