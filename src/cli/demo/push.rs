//! `skep demo push`: a new version for the registry of `skep demo --serve`.

use crate::cli::Context;

/// Push a new version to the registry of `skep demo --serve`
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// What to push, such as saas/frontend:1.5.0
    #[arg(value_name = "REPO:TAG")]
    pub image: String,
    /// Its containers end with an error as soon as they start
    #[arg(long)]
    pub broken: bool,
}

const HELP: &str = "\
Examples:
  skep demo push saas/frontend:1.5.0
  skep demo push saas/frontend:1.6.0 --broken

Exit status:
  0  pushed
  2  it could not be pushed";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    Ok(0)
}
