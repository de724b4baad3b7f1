//! `skep wait`: until all are in sync and healthy.

use std::time::Duration;

use super::{Context, Customers};

/// Wait until all services are in sync and healthy
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub customers: Customers,
    /// Give up after this time [default: rollout.timeout, 10m]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

const HELP: &str = "\
Examples:
  skep wait acme --timeout 2m

Exit status:
  0  all in sync and healthy
  1  timed out
  2  an invalid spec, or it could not be found out";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep wait` is not built into this version")
}
