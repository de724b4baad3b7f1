//! `skep schema`: the JSON Schema of a spec.

use std::io::Write;

use super::CLEAN;
use crate::spec::schema::{json_schema, json_schema_of_fleet};

/// Print the JSON Schema of the spec, for editors
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// That of fleet.toml instead
    #[arg(long)]
    pub fleet: bool,
}

const HELP: &str = "\
Examples:
  skep schema > skep.schema.json
  skep schema --fleet > fleet.schema.json
  echo '#:schema ./skep.schema.json' | cat - specs/acme.toml   # as Taplo reads it

Exit status:
  0  printed";

/// # Errors
/// When `out` does not take it.
pub fn run(out: &mut dyn Write, args: &Args) -> anyhow::Result<u8> {
    let schema = if args.fleet { json_schema_of_fleet() } else { json_schema() };
    writeln!(out, "{schema:#}")?;
    Ok(CLEAN)
}
