//! `skep plan`: what would change, and what waits.

use super::session::{self, Session};
use super::{Context, Customers, convert};
use crate::report::PlanReport;

/// Show what would change and what waits and why; changes nothing
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub customers: Customers,
}

const HELP: &str = "\
Examples:
  skep plan
  skep plan acme globex
  skep plan --output json | jq '.customers[].steps[]'

Exit status:
  0  no changes pending
  1  changes pending, also removals that wait for a person (PruneHeld)
  2  an invalid spec, or something could not be found out";

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let mut chosen = session::choose_newest(
        &ctx.config,
        &args.customers.customers,
        false,
        &crate::controller::specs::Sealing::visitor(&ctx.config.state_dir),
    )?;
    let session = Session::read_only(&ctx.config)?;
    session::complete_digests(&mut chosen, &session).await;
    let observed = session.observe_for(&chosen.customers).await?;
    let mut plans: Vec<_> =
        chosen.invalid.iter().map(|(name, message)| session::invalid_plan(name, message)).collect();
    plans.extend(session.plan_all(&chosen, &observed, ctx.config.rollout_concurrency).await);
    plans.sort_by(|a, b| a.customer.cmp(&b.customer));
    let report = PlanReport { customers: plans.iter().map(convert::customer).collect() };
    ctx.print(&report, PlanReport::render)?;
    Ok(report.plan_exit_status())
}
