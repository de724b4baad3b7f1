//! `skep apply`: one pass, waiting for convergence.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::convert::{self, Ending};
use super::session::{self, Observers, Writer};
use super::{Context, Customers, FAILED};
use crate::controller::{Applied, ApplyOnce, Report, Request, Specs, apply_once};
use crate::events::Trigger;
use crate::plan::{Cause, Plan, Waiting};
use crate::report::{Outcome, OutcomeState, PlanCustomer, PlanReport, PlanStep};
use crate::state::WaitingReason;
use crate::state_dir::LockError;

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

Exit status:
  0  all converged, or there was nothing to do
  1  something did not converge, or is not ours to change
  2  an invalid spec, or the engine or a registry is out of reach";

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let names = &args.customers.customers;
    // Mistakes in names come before any lock; a repository is fetched only by who holds it.
    if ctx.config.git.is_none() {
        session::choose(&ctx.config, names)?;
    }
    let writer =
        Writer::open(&ctx.config, &Observers::default()).map_err(|error| match error.downcast_ref() {
            Some(LockError::Held { .. }) => error
                .context("another skep is at work here; a running controller is asked with `skep reconcile`"),
            _ => error,
        })?;
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
    let mut dark = false;
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
    for (name, applied) in &applied {
        let Some(error) = &applied.error else { continue };
        dark = true;
        tracing::error!("{name}: {error}");
        let waiting = Waiting {
            service: String::new(),
            reason: WaitingReason::SwarmUnavailable,
            message: error.to_string(),
        };
        let shown = report.customers.iter_mut().filter(|customer| customer.customer == *name);
        shown.for_each(|customer| customer.waiting.push(convert::waiting(&waiting)));
    }
    ctx.print(&report, PlanReport::render)?;
    if dark {
        return Ok(FAILED);
    }
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
async fn tell_specs(ctx: &Context, writer: &Writer, chosen: &session::Chosen) -> anyhow::Result<Specs> {
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

/// What no spec names goes in every customer that has a file; whole stacks only if a person says so.
fn requests(chosen: &session::Chosen, allow_prune: bool) -> Vec<Request> {
    let mut inventory = (*chosen.inventory).clone();
    inventory.allowed = allow_prune;
    let inventory = Arc::new(inventory);
    let gone = chosen.gone.iter().filter(|_| allow_prune);
    let wanted = chosen.customers.iter().chain(gone);
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
        shown.outcome = Some(convert::outcome(step, outcome, view, ending));
        // A later step of the same object says what became of it; the order stays. But the way
        // back is no success of the step that it undid.
        let (first, before) = steps.remove(&step.name).unwrap_or((index, shown.clone()));
        let undone = first != index && step.cause == Cause::RollBack;
        steps.insert(step.name.clone(), (first, if undone { undo(before, &shown) } else { shown }));
    }
    let mut ordered: Vec<_> = steps.into_values().collect();
    ordered.sort_by_key(|(index, _)| *index);
    PlanCustomer { steps: ordered.into_iter().map(|(_, step)| step).collect(), ..convert::customer(&last) }
}
