//! `skep plan`: what would change, and what waits.

use super::{Context, Customers};

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
  1  changes pending
  2  an invalid spec, or something could not be found out";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep plan` is not built into this version")
}
