//! `skep schema`: the JSON Schema of a spec.

use std::io::Write;

use super::CLEAN;

/// Print the JSON Schema of the spec, for editors
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {}

const HELP: &str = "\
Examples:
  skep schema > skep.schema.json
  echo '#:schema ./skep.schema.json' | cat - specs/acme.toml   # as Taplo reads it

Exit status:
  0  printed";

/// # Errors
/// When `out` does not take it.
pub fn run(out: &mut dyn Write) -> anyhow::Result<u8> {
    writeln!(out, "{:#}", crate::spec::schema::json_schema())?;
    Ok(CLEAN)
}
