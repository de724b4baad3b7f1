//! What became of a service, told from the log: one row a change.

use serde::Serialize;

use super::{Event, EventImage, Phase, Reason, Trigger};

/// One change of a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// When skep set out to make it.
    pub time: jiff::Timestamp,
    pub from: Option<EventImage>,
    pub to: Option<EventImage>,
    pub trigger: Trigger,
    pub revision: Option<String>,
    pub outcome: Outcome,
    /// What was to be done; with a failure, why it failed.
    pub message: String,
    /// Of the intent, to join later lines to it.
    #[serde(skip)]
    id: String,
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// Not known yet.
    InProgress,
    Complete,
    Failed,
    /// It failed and the image before it runs again.
    RolledBack,
    /// Another change came before this one's end was seen.
    Superseded,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Complete => "Complete",
            Self::Failed => "Failed",
            Self::RolledBack => "RolledBack",
            Self::Superseded => "Superseded",
        }
    }
}

/// The changes that `events`, all of one service and in order, tell of; oldest first.
pub fn history<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for event in events {
        if is_change(event.reason) {
            change(&mut changes, event);
        } else {
            follow_up(&mut changes, event);
        }
    }
    changes
}

fn is_change(reason: Reason) -> bool {
    use Reason::{
        DriftCorrected, ImageRepulled, ImageUpdated, ServiceCreated, ServiceRemoved, ServiceUpdated,
    };
    matches!(
        reason,
        ServiceCreated | ServiceUpdated | ServiceRemoved | ImageUpdated | ImageRepulled | DriftCorrected
    )
}

/// An intent begins a row; its outcome says whether the engine took it.
fn change(changes: &mut Vec<Change>, event: &Event) {
    let known = changes.iter_mut().rev().find(|c| c.id == event.id);
    match known {
        Some(row) if event.phase == Some(Phase::Failed) => {
            row.outcome = Outcome::Failed;
            row.message.clone_from(&event.message);
        }
        Some(row) => {
            if event.phase == Some(Phase::Done) {
                row.message.clone_from(&event.message);
                row.to = event.to.clone().or_else(|| row.to.take());
            }
            if event.reason == Reason::ServiceRemoved && event.phase != Some(Phase::Intent) {
                row.outcome = Outcome::Complete;
            }
        }
        None => {
            supersede(changes);
            changes.push(row(event));
        }
    }
}

fn row(event: &Event) -> Change {
    let outcome = match event.phase {
        Some(Phase::Failed) => Outcome::Failed,
        Some(Phase::Intent) => Outcome::InProgress,
        _ if event.reason == Reason::ServiceRemoved => Outcome::Complete,
        _ => Outcome::InProgress,
    };
    Change {
        time: event.time,
        from: event.from.clone(),
        to: event.to.clone(),
        trigger: event.trigger,
        revision: event.revision.clone(),
        outcome,
        message: event.message.clone(),
        id: event.id.clone(),
    }
}

fn supersede(changes: &mut [Change]) {
    if let Some(last) = changes.last_mut().filter(|c| c.outcome == Outcome::InProgress) {
        last.outcome = Outcome::Superseded;
    }
}

/// What the rollout came to: of the change with the same id, else of the newest one.
fn follow_up(changes: &mut [Change], event: &Event) {
    if event.phase == Some(Phase::Intent) {
        return;
    }
    let position = changes.iter().rposition(|c| c.id == event.id).or_else(|| changes.len().checked_sub(1));
    let Some(row) = position.map(|i| &mut changes[i]) else { return };
    match event.reason {
        Reason::RolloutComplete if matches!(row.outcome, Outcome::InProgress | Outcome::Superseded) => {
            row.outcome = Outcome::Complete;
        }
        Reason::RolloutFailed => {
            row.outcome = Outcome::Failed;
            row.message.clone_from(&event.message);
        }
        Reason::RolledBack if event.phase != Some(Phase::Failed) => row.outcome = Outcome::RolledBack,
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Kind;

    fn event(id: &str, reason: Reason, phase: Option<Phase>, message: &str) -> Event {
        Event {
            id: id.into(),
            seq: 1,
            time: "2026-11-23T00:32:24Z".parse().unwrap(),
            kind: Kind::Normal,
            reason,
            customer: Some("acme".into()),
            service: Some("frontend".into()),
            message: message.into(),
            from: None,
            to: None,
            trigger: Trigger::Registry,
            revision: Some("abc".into()),
            phase,
            count: None,
            first_time: None,
            target: None,
        }
    }

    #[test]
    fn rows_end_as_their_rollouts_did() {
        use Phase::{Done, Failed, Intent};
        use Reason::*;
        let check = |lines: &[(&str, Reason, Option<Phase>)], expect: &[Outcome]| {
            let events: Vec<Event> = lines.iter().map(|(i, r, p)| event(i, *r, *p, "m")).collect();
            let got: Vec<Outcome> = history(&events).iter().map(|c| c.outcome).collect();
            assert_eq!(got, expect, "{lines:?}");
        };
        let begun = ("a", ImageUpdated, Some(Intent));
        let taken = ("a", ImageUpdated, Some(Done));
        check(&[], &[]);
        check(&[("x", RolloutComplete, None), ("y", NotOwned, None)], &[]);
        check(&[begun], &[Outcome::InProgress]);
        check(&[begun, taken, ("a", RolloutStarted, None)], &[Outcome::InProgress]);
        check(&[begun, taken, ("a", RolloutComplete, None)], &[Outcome::Complete]);
        check(&[begun, taken, ("other", RolloutComplete, None)], &[Outcome::Complete]);
        check(&[begun, ("a", ImageUpdated, Some(Failed))], &[Outcome::Failed]);
        let failed = ("a", RolloutFailed, None);
        check(&[begun, taken, failed, ("a", VersionRefused, None)], &[Outcome::Failed]);
        check(&[begun, taken, failed, ("b", RolledBack, Some(Intent))], &[Outcome::Failed]);
        check(
            &[begun, taken, failed, ("b", RolledBack, Some(Intent)), ("b", RolledBack, Some(Done))],
            &[Outcome::RolledBack],
        );
        let next = ("n", ServiceUpdated, Some(Intent));
        check(&[begun, taken, next], &[Outcome::Superseded, Outcome::InProgress]);
        check(&[begun, taken, next, ("a", RolloutComplete, None)], &[Outcome::Complete, Outcome::InProgress]);
        check(
            &[("r", ServiceRemoved, Some(Intent)), ("r", ServiceRemoved, Some(Done))],
            &[Outcome::Complete],
        );
        check(&[begun, begun, taken], &[Outcome::InProgress]);
    }

    #[test]
    fn a_failure_says_why() {
        let events = [
            event("a", Reason::ImageUpdated, Some(Phase::Intent), "frontend 1 -> 2"),
            event("a", Reason::RolloutFailed, None, "task: exit code 1"),
        ];
        assert_eq!(history(&events)[0].message, "task: exit code 1");
    }
}
