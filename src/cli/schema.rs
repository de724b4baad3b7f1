//! `skep schema`: the JSON Schema of a spec.

use std::io::Write;

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

pub fn run(_out: &mut dyn Write) -> anyhow::Result<u8> {
    anyhow::bail!("`skep schema` is not built into this version")
}
