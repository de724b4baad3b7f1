//! `skep explain`: the candidates, the choice, and each rejected tag with its reason.

use super::{Context, ServiceName};

/// Show how a service's version is chosen: candidates, choice, and why not the others
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The service, by its spec
    #[arg(value_name = "CUSTOMER/SERVICE")]
    pub service: ServiceName,
}

const HELP: &str = "\
Examples:
  skep explain acme/frontend

Exit status:
  0  a version is chosen
  1  no version fits
  2  it could not be found out";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep explain` is not built into this version")
}
