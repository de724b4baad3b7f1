//! `skep retry`: forget a refusal and try again.

use super::{Context, ServiceName};

/// Forget that a version was refused, and try it again
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The service, by its spec
    #[arg(value_name = "CUSTOMER/SERVICE")]
    pub service: ServiceName,
    /// Only this version's refusal [default: all of the service's]
    #[arg(long, value_name = "VERSION")]
    pub version: Option<semver::Version>,
}

const HELP: &str = "\
Examples:
  skep retry acme/frontend
  skep retry acme/frontend --version 1.10.0

Exit status:
  0  converged
  1  did not converge
  2  could not be tried";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep retry` is not built into this version")
}
