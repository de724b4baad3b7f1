//! `after`: a service is changed once those it comes after are in sync and run.

use super::{Cause, Input, Plan, Step, Sync, Waiting};
use crate::spec::Service;
use crate::state::WaitingReason;

/// Takes out of the plan the steps of services that come after one that is not ready.
pub(super) fn hold_back(input: &Input<'_>, plan: &mut Plan) {
    let services = &input.desired.spec.services;
    let (mut steps, mut waiting) = (Vec::new(), Vec::new());
    for step in std::mem::take(&mut plan.steps) {
        let service = step.service.as_ref().and_then(|key| services.get(key));
        match service.filter(|_| may_wait(&step)).and_then(|service| unready(plan, service)) {
            Some(wait) => waiting.push(wait),
            None => steps.push(step),
        }
    }
    plan.steps = steps;
    for wait in &waiting {
        if let Some(view) = plan.services.get_mut(&wait.service) {
            view.message.clone_from(&wait.message);
        }
    }
    plan.waiting.extend(waiting);
}

/// What brings something new waits; what mends or takes back does not.
fn may_wait(step: &Step) -> bool {
    match step.cause {
        Cause::Missing | Cause::Adoption | Cause::Version | Cause::TagMoved | Cause::Spec => true,
        Cause::Drift
        | Cause::StaleTasks
        | Cause::Retry
        | Cause::Paused
        | Cause::RollBack
        | Cause::Credentials
        | Cause::Unnamed => false,
    }
}

fn unready(plan: &Plan, service: &Service) -> Option<Waiting> {
    let is_ready = |key: &&String| {
        let before = plan.services.get(*key);
        before.is_some_and(|it| it.exists && it.state == Sync::InSync && it.tally.is_right())
    };
    let before = service.after.iter().find(|key| !is_ready(key))?;
    let view = plan.services.get(before);
    let why = view.map(|view| view.message.as_str()).filter(|why| !why.is_empty());
    let why = why.map(|why| format!(": {why}")).unwrap_or_default();
    let message = format!("waits for {before} to be in sync and to run{why}");
    Some(Waiting { service: service.key.clone(), reason: WaitingReason::DependencyNotReady, message })
}
