//! `skep status`: desired beside running.

use super::{Context, Customers};

/// Show what is desired beside what runs, per service, with conditions
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub customers: Customers,
}

const HELP: &str = "\
Examples:
  skep status
  skep status acme --output json

Exit status:
  0  all in sync
  1  something is not in sync
  2  an invalid spec, or something could not be found out";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep status` is not built into this version")
}
