//! `skep lint`: check specs offline.

use std::path::PathBuf;

use super::Context;

/// Check specs offline; tells all errors, not only the first
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Spec files, or directories of them [default: the specs directory]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

const HELP: &str = "\
Examples:
  skep lint
  skep lint specs/acme.toml
  skep lint --output json | jq '.diagnostics[]'

Exit status:
  0  all specs are valid
  1  invalid specs
  2  the specs could not be read";

pub fn run(_ctx: &mut Context, _args: &Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep lint` is not built into this version")
}
