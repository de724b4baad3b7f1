//! `skep audit`: does what runs equal the highest version?

use std::path::PathBuf;

use super::Context;

/// Check every service on the Swarm, managed or not: does it run the highest version?
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Check these compose files instead, before they are deployed
    #[arg(short, long = "file", value_name = "FILE", num_args = 1..)]
    pub files: Vec<PathBuf>,
}

const HELP: &str = "\
Verdicts:
  highest   every task that should run has the highest version, by digest
  behind    a higher version exists
  moved     the right tag, but the registry now has other content under it
  floating  the tag is not a full version
  unpinned  the right tag without a digest, so nobody can tell
  pinned    a spec pins it, and it runs that
  unknown   the registry or the engine would not say

Examples:
  skep audit
  skep audit -f compose.yml
  skep audit --output json | jq '.services[] | select(.verdict == \"behind\")'

Exit status:
  0  all highest or pinned
  1  something is behind, moved, floating or unpinned
  2  something is unknown";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep audit` is not built into this version")
}
