//! Plans → reports: what the planner decided, as the contract's JSON has it.

use crate::apply;
use crate::plan::{self, ImageView, Plan, ServiceView, Step, Sync, Waiting};
use crate::report::{
    Action, CHANGES_PENDING, Change, Condition, ConditionKind, ConditionStatus, ImageReport, ObjectKind,
    Outcome, OutcomeState, PlanCustomer, PlanStep, PlanWaiting, RunningImage, ServiceStatus, StatusCustomer,
    SyncState, TaskCount,
};
use crate::state::WaitingReason;

/// A plan as `plan` and `apply` show it.
pub fn customer(plan: &Plan) -> PlanCustomer {
    PlanCustomer {
        customer: plan.customer.clone(),
        steps: plan.steps.iter().map(step).collect(),
        waiting: plan.waiting.iter().map(waiting).collect(),
    }
}

/// A step, without an outcome.
pub fn step(step: &Step) -> PlanStep {
    PlanStep {
        action: match step.action {
            plan::Action::Create => Action::Create,
            plan::Action::Update => Action::Update,
            plan::Action::Repull => Action::Repull,
            plan::Action::Remove => Action::Remove,
        },
        kind: match step.kind {
            plan::ObjectKind::Service => ObjectKind::Service,
            plan::ObjectKind::Network => ObjectKind::Network,
            plan::ObjectKind::Secret => ObjectKind::Secret,
            plan::ObjectKind::Config => ObjectKind::Config,
        },
        name: step.name.clone(),
        service: step.service.clone(),
        from: step.from.as_ref().map(image),
        to: step.to.as_ref().map(image),
        changes: step
            .changes
            .iter()
            .map(|change| Change {
                field: change.field.clone(),
                from: change.from.clone(),
                to: change.to.clone(),
            })
            .collect(),
        reason: step.message.clone(),
        adopt: step.cause == plan::Cause::Adoption,
        outcome: None,
    }
}

/// Something that is not done now.
pub fn waiting(waiting: &Waiting) -> PlanWaiting {
    PlanWaiting {
        service: Some(waiting.service.clone()).filter(|service| !service.is_empty()),
        reason: waiting.reason.as_str().to_owned(),
        message: waiting.message.clone(),
    }
}

/// An image as reports name it.
pub fn image(view: &ImageView) -> ImageReport {
    ImageReport { tag: view.tag.clone(), version: view.version.clone(), digest: view.digest.clone() }
}

/// What came of a step, by what its service's last pass showed.
pub fn outcome(step: &Step, outcome: &apply::Outcome, last: Option<&ServiceView>, how: Ending) -> Outcome {
    let (state, message) = match outcome {
        apply::Outcome::Conflict(message) | apply::Outcome::Refused(message) => {
            (OutcomeState::Failed, message.clone())
        }
        apply::Outcome::Unknown(message) => (OutcomeState::Unknown, message.clone()),
        apply::Outcome::Applied => match (how, last) {
            (_, None) => (OutcomeState::Converged, step.message.clone()),
            (Ending::NotWaited, _) => (OutcomeState::Sent, step.message.clone()),
            (_, Some(view)) if is_made(step, view) => (OutcomeState::Converged, running_text(view)),
            (Ending::TimedOut, Some(view)) => {
                (OutcomeState::TimedOut, format!("{}: {}", running_text(view), view.message))
            }
            (Ending::Settled, Some(view)) => (OutcomeState::Failed, view.message.clone()),
        },
    };
    Outcome { state, message }
}

/// Whether what the step was to bring about runs. A service that was rolled back runs something,
/// but not that; one whose next version is refused is not in sync, but may run this one.
fn is_made(step: &Step, view: &ServiceView) -> bool {
    let wanted = step.to.as_ref().and_then(|to| to.digest.as_ref());
    let runs = view.running.iter().all(|(image, _)| wanted.is_none() || image.digest.as_ref() == wanted);
    let lower_chosen = view.state == Sync::Stalled && view.desired.is_some() && view.tally.is_right();
    runs && (view.state == Sync::InSync || lower_chosen)
}

/// How `apply` came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Settled,
    TimedOut,
    NotWaited,
}

fn running_text(view: &ServiceView) -> String {
    format!("{} of {} tasks", view.tally.right, view.tally.wanted)
}

/// A customer as `status` shows it.
pub fn status(plan: &Plan, revision: Option<&str>) -> StatusCustomer {
    let services = plan.services.iter().map(|(key, view)| {
        let waiting: Vec<&Waiting> = plan.waiting.iter().filter(|waiting| waiting.service == *key).collect();
        service_status(key, view, &waiting)
    });
    // Of the customer as a whole, or of services that the spec does not name any more.
    let others = plan.waiting.iter().filter(|waiting| !plan.services.contains_key(&waiting.service));
    let conditions = others.map(|waiting| Condition {
        kind: ConditionKind::Stalled,
        status: ConditionStatus::True,
        reason: waiting.reason.as_str().to_owned(),
        message: waiting.message.clone(),
    });
    let conditions = conditions.chain(plan.steps.iter().filter_map(|step| removal(plan, step)));
    StatusCustomer {
        customer: plan.customer.clone(),
        revision: revision.map(str::to_owned),
        services: services.collect(),
        conditions: conditions.collect(),
    }
}

/// The condition of something that no spec names any more and that is to be removed: no service of the spec shows it.
fn removal(plan: &Plan, step: &Step) -> Option<Condition> {
    if step.cause != plan::Cause::Unnamed {
        return None;
    }
    // A spec without services has nothing but its stack, which `apply` does not remove unasked.
    let command = if plan.services.is_empty() { "skep apply --allow-prune" } else { "skep apply" };
    let (kind, name) = (step.kind.as_str(), &step.name);
    Some(Condition {
        kind: ConditionKind::Reconciling,
        status: ConditionStatus::True,
        reason: CHANGES_PENDING.to_owned(),
        message: format!("no spec names the {kind} {name} any more: `skep run` or `{command}` removes it"),
    })
}

fn service_status(key: &str, view: &ServiceView, waiting: &[&Waiting]) -> ServiceStatus {
    ServiceStatus {
        service: key.to_owned(),
        desired: view.desired.as_ref().map(image),
        running: view
            .running
            .iter()
            .map(|(image, tasks)| RunningImage {
                tag: image.tag.clone(),
                digest: image.digest.clone(),
                tasks: usize::try_from(*tasks).unwrap_or(usize::MAX),
            })
            .collect(),
        tasks: TaskCount {
            running: usize::try_from(view.tally.right).unwrap_or(usize::MAX),
            desired: view.exists.then(|| usize::try_from(view.tally.wanted).unwrap_or(usize::MAX)),
        },
        state: match view.state {
            Sync::InSync => SyncState::InSync,
            Sync::Progressing => SyncState::Progressing,
            Sync::Drifted => SyncState::Drifted,
            Sync::Stalled => SyncState::Stalled,
            Sync::Suspended => SyncState::Suspended,
            Sync::Unknown => SyncState::Unknown,
        },
        conditions: conditions(view, waiting),
        message: view.message.clone(),
    }
}

/// `Ready`, `Reconciling` and `Stalled`, beside the state and never mixed with it.
fn conditions(view: &ServiceView, waiting: &[&Waiting]) -> Vec<Condition> {
    let condition = |kind, holds: bool, reason: &str, message: String| Condition {
        kind,
        status: if holds { ConditionStatus::True } else { ConditionStatus::False },
        reason: reason.to_owned(),
        message,
    };
    let problem = view.tally.problem.as_ref();
    let healthy = view.exists && view.tally.right >= view.tally.wanted;
    let health = match problem.map(|problem| problem.kind) {
        _ if healthy => "TasksRunning",
        Some(plan::converge::ProblemKind::Unschedulable) => "Unschedulable",
        Some(plan::converge::ProblemKind::NoImage) => "NoImage",
        Some(plan::converge::ProblemKind::Failing) => "TasksFailing",
        None if !view.exists => "NotCreated",
        None => "TasksStarting",
    };
    let said = problem.map(|problem| problem.message.clone()).unwrap_or_default();
    let mut conditions = vec![condition(ConditionKind::Ready, healthy, health, said)];
    let reconciling = matches!(view.state, Sync::Progressing | Sync::Drifted);
    let doing = if view.state == Sync::Drifted { CHANGES_PENDING } else { "RolloutInProgress" };
    conditions.push(condition(
        ConditionKind::Reconciling,
        reconciling,
        if reconciling { doing } else { "Settled" },
        String::new(),
    ));
    let stalled = waiting.iter().find(|waiting| waiting.reason != WaitingReason::RolloutInProgress);
    conditions.push(match stalled {
        Some(waiting) => condition(
            ConditionKind::Stalled,
            view.state == Sync::Stalled,
            waiting.reason.as_str(),
            waiting.message.clone(),
        ),
        None => condition(ConditionKind::Stalled, false, "NothingWaits", String::new()),
    });
    conditions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::StatusReport;

    #[test]
    fn what_is_to_be_removed_is_pending() {
        let step = |cause| Step { action: plan::Action::Remove, cause, ..Step::example("acme_web") };
        let shown = |cause| status(&Plan { steps: vec![step(cause)], ..Plan::default() }, None);
        let pending = shown(plan::Cause::Unnamed);
        let told: Vec<_> = pending.conditions.iter().map(|it| (it.reason.as_str(), &*it.message)).collect();
        let message = "no spec names the service acme_web any more: `skep run` or `skep apply --allow-prune` removes it";
        assert_eq!(told, [("ChangesPending", message)]);
        let report = |customer| StatusReport { customers: vec![customer] };
        assert_eq!(report(pending).exit_status(), 1);
        // What a rotation left behind is of the service.
        assert_eq!(report(shown(plan::Cause::Spec)).exit_status(), 0);
    }
}
