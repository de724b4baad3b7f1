//! `skep apply`: one pass, waiting for convergence.

use std::time::Duration;

use super::{Context, Customers};

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
}

const HELP: &str = "\
Examples:
  skep apply
  skep apply acme --timeout 5m

Exit status:
  0  all converged, or there was nothing to do
  1  something did not converge, or is not ours to change
  2  an invalid spec, or the engine or a registry is out of reach";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep apply` is not built into this version")
}
