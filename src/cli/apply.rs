//! `skep apply`: one pass, waiting for convergence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::convert::{self, Ending};
use super::remote::Remote;
use super::session::{self, Observers, Writer};
use super::{Context, Customers, handover};
use crate::apply;
use crate::controller::{Applied, ApplyOnce, Report, Request, Specs, apply_once};
use crate::events::Trigger;
use crate::plan::{Action, Cause, Plan, Waiting};
use crate::report::{Outcome, OutcomeState, PlanCustomer, PlanReport, PlanStep};
use crate::state::WaitingReason;

/// Bring the Swarm to what the specs say, once, and wait until it has converged
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub customers: Customers,
    /// Give a service up that has not converged by then [default: rollout.timeout, 10m]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
    /// End once the changes are sent
    #[arg(long, conflicts_with = "timeout")]
    pub no_wait: bool,
    /// Remove the stacks of customers whose file is gone now, and however much no spec names any more
    #[arg(long)]
    pub allow_prune: bool,
}

const HELP: &str = "\
Examples:
  skep apply
  skep apply acme --timeout 5m
  skep apply --allow-prune

Beside a `skep run` on the same state directory, that controller is asked to do it (over its API), and what it
does is told; --server names a controller that is elsewhere.

Exit status:
  0  all converged, or there was nothing to do
  1  something did not converge, is not ours to change, or was not removed for want of --allow-prune (PruneHeld)
  2  an invalid spec, or the engine or a registry is out of reach";

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    if ctx.config.server.is_some() {
        return handover::apply(ctx, &args, &Remote::new(&ctx.config)).await;
    }
    let names = &args.customers.customers;
    // Mistakes in names come before any lock; a repository is fetched only by who holds it.
    if ctx.config.git.is_none() {
        session::choose(&ctx.config, names)?;
    }
    let writer = match Writer::open(&ctx.config, &Observers::default()) {
        Ok(writer) => writer,
        Err(error) => return handover::apply(ctx, &args, &handover::beside(ctx, error)?).await,
    };
    let mut chosen = session::choose_newest(&ctx.config, names, true, &writer.sealing)?;
    session::complete_digests(&mut chosen, &writer.session).await;
    let mut specs = tell_specs(ctx, &writer, &chosen).await?;
    let progress = ctx.progress();
    let requests = requests(&chosen, args.allow_prune);
    let show = |customer: &str, report: &Report| {
        for (key, view) in &report.plan.services {
            let wanted = view.desired.as_ref().map(|desired| desired.short()).unwrap_or_default();
            let text =
                format!("{}/{} tasks on {wanted} {}", view.tally.right, view.tally.wanted, view.message);
            progress.update(&format!("{customer}_{key}"), text.trim_end());
        }
    };
    let timeout = args.timeout.unwrap_or(ctx.config.rollout_timeout);
    // Skep's own deadline for a rollout comes first, so that its failure is told and remembered.
    let slack = if args.timeout.is_some() { Duration::ZERO } else { Duration::from_secs(30) };
    let options =
        ApplyOnce { deadline: Some(Instant::now() + timeout + slack), wait: !args.no_wait, progress: &show };
    let applied = apply_once(&writer.reconciler, requests, ctx.config.rollout_concurrency, options).await;
    let is_gone = |applied: &Applied| applied.last.as_ref().is_some_and(|plan| plan.is_gone);
    for (name, _) in applied.iter().filter(|(_, applied)| is_gone(applied)) {
        specs.stack_removed(name);
    }
    let mut report = PlanReport::default();
    for (name, message) in &chosen.invalid {
        report.customers.push(convert::customer(&session::invalid_plan(name, message)));
    }
    report.customers.extend(applied.iter().map(|(name, applied)| customer(name, applied, args.no_wait)));
    report.customers.sort_by(|a, b| a.customer.cmp(&b.customer));
    for step in report.customers.iter().flat_map(|customer| &customer.steps) {
        if let Some(outcome) = &step.outcome {
            progress.finish(&step.name, outcome.state.is_good(), &outcome.message);
        }
    }
    for (name, error) in applied.iter().filter_map(|(name, applied)| Some((name, applied.error.as_ref()?))) {
        tracing::error!("{name}: {error}");
    }
    ctx.print(&report, PlanReport::render)?;
    let unsettled = applied.values().any(|applied| applied.timed_out);
    Ok(report.apply_exit_status().max(u8::from(unsettled)))
}

/// A step that failed and was taken back.
fn undo(mut step: PlanStep, back: &PlanStep) -> PlanStep {
    let why = step.outcome.take().map(|outcome| outcome.message).unwrap_or_default();
    let how = back.outcome.as_ref().map(|outcome| outcome.message.as_str()).unwrap_or_default();
    step.outcome =
        Some(Outcome { state: OutcomeState::Failed, message: format!("{why}; {}: {how}", back.reason) });
    step
}

/// Events of specs that appeared, changed, broke or went, as `run` writes them.
pub(super) async fn tell_specs(
    ctx: &Context,
    writer: &Writer,
    chosen: &session::Chosen,
) -> anyhow::Result<Specs> {
    let mut specs = Specs::new(&ctx.config.specs_dir, Some(&ctx.config.state_dir), writer.sealing.clone());
    let now = writer.reconciler.recorder.now();
    let changes = match &chosen.fetched {
        Some(tree) => specs.take_tree(tree, Trigger::Manual, now),
        None => specs.read(Trigger::Manual, now)?,
    };
    if writer.reconciler.recorder.tell(changes.events).await {
        specs.note_told();
    }
    Ok(specs)
}

/// What no spec names goes in every customer that has a file; whole stacks only if a person says so, and are told
/// of if not.
fn requests(chosen: &session::Chosen, allow_prune: bool) -> Vec<Request> {
    let mut inventory = (*chosen.inventory).clone();
    (inventory.allowed, inventory.stacks_wait) = (allow_prune, true);
    let inventory = Arc::new(inventory);
    let wanted = chosen.customers.iter().chain(&chosen.gone);
    let request = |customer| Request {
        inventory: Arc::clone(&inventory),
        revision: chosen.revision.clone(),
        ..session::request(customer, Trigger::Manual)
    };
    wanted.map(request).collect()
}

/// The last step of each object, with what came of it, and what waits in the end.
pub(super) fn customer(name: &str, applied: &Applied, no_wait: bool) -> PlanCustomer {
    let last = applied.last.clone().unwrap_or_else(|| Plan { customer: name.to_owned(), ..Plan::default() });
    let ending = match (no_wait, applied.timed_out) {
        (true, _) => Ending::NotWaited,
        (false, true) => Ending::TimedOut,
        (false, false) => Ending::Settled,
    };
    let mut steps = BTreeMap::new();
    for (index, (step, outcome)) in applied.outcomes.iter().enumerate() {
        let view = step.service.as_ref().and_then(|key| last.services.get(key));
        let mut shown = convert::step(step);
        // Nobody could say whether it went, but the last look did not find it any more.
        let is_gone = step.action == Action::Remove
            && applied.last.is_some()
            && !last.steps.iter().any(|planned| planned.name == step.name);
        let outcome = match outcome {
            apply::Outcome::Unknown(_) if is_gone => &apply::Outcome::Applied,
            outcome => outcome,
        };
        shown.outcome = Some(convert::outcome(step, outcome, view, ending));
        // A later step of the same object says what became of it; the order stays. But the way
        // back is no success of the step that it undid.
        let (first, before) = steps.remove(&step.name).unwrap_or((index, shown.clone()));
        let undone = first != index && step.cause == Cause::RollBack;
        steps.insert(step.name.clone(), (first, if undone { undo(before, &shown) } else { shown }));
    }
    let mut ordered: Vec<_> = steps.into_values().collect();
    ordered.sort_by_key(|(index, _)| *index);
    let mut shown = PlanCustomer {
        steps: ordered.into_iter().map(|(_, step)| step).collect(),
        ..convert::customer(&last)
    };
    // Whatever was seen before, nobody can tell how it stands now.
    shown.waiting.extend(applied.error.as_ref().map(|error| {
        let reason = WaitingReason::SwarmUnavailable;
        convert::waiting(&Waiting { service: String::new(), reason, message: error.to_string() })
    }));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;

    #[test]
    fn a_removal_nobody_could_tell_of_is_done_when_nothing_is_left_of_it() {
        let state = |action: Action, last: Option<Vec<Step>>| {
            let step = Step { action, ..Step::example("acme_default") };
            let outcomes = vec![(step, apply::Outcome::Unknown("not found (HTTP 500)".into()))];
            let last = last.map(|steps| Plan { steps, ..Plan::default() });
            let shown = customer("acme", &Applied { outcomes, last, ..Applied::default() }, false);
            shown.steps[0].outcome.as_ref().map(|outcome| outcome.state)
        };
        let again = || vec![Step::example("acme_default")];
        assert_eq!(state(Action::Remove, Some(Vec::new())), Some(OutcomeState::Converged));
        for (action, last) in
            [(Action::Remove, Some(again())), (Action::Remove, None), (Action::Update, Some(Vec::new()))]
        {
            assert_eq!(state(action, last), Some(OutcomeState::Unknown), "{action:?}");
        }
    }
}
