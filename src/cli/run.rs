//! `skep run`: the controller.

use super::Context;

/// Run the controller: watch, reconcile, record, serve HTTP
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Where to serve health and metrics [env: SKEP_HTTP__LISTEN] [default: 127.0.0.1:9741]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

const HELP: &str = "\
Examples:
  skep run
  skep run --specs /srv/specs --state-dir /var/lib/skep --listen 0.0.0.0:9741

Signals:
  SIGTERM, SIGINT  finish the step in hand, then end; a second one ends at once
  SIGHUP           read specs and configuration again and ask every registry

Exit status:
  0  ended when told to
  2  could not start or go on";

pub async fn run(_ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    anyhow::bail!("`skep run` is not built into this version")
}
