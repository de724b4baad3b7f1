//! `skep doctor`: what is wrong around skep, and its mend.

use super::Context;

/// Check docker, swarm, rights, registries, clock and disk: what is wrong and its mend
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {}

const HELP: &str = "\
Examples:
  skep doctor
  skep doctor --output json

Exit status:
  0  no problem
  1  a problem
  2  something could not be checked";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep doctor` is not built into this version")
}
