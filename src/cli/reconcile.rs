//! `skep reconcile`: a running controller looks now.

use super::handover::{Asking, path};
use super::remote::Remote;
use super::{Awaited, CLEAN, Context, FAILED, FOUND};
use crate::http::Reconciled;
use crate::report::StatusReport;

/// Ask a running controller to act now, and wait until it has converged
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub awaited: Awaited,
}

const HELP: &str = "\
Examples:
  skep reconcile
  skep reconcile acme --timeout 2m --server http://127.0.0.1:9741

Exit status:
  0  converged
  1  did not converge
  2  no controller answers, or nobody can tell";

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let remote = Remote::new(&ctx.config);
    let deadline = args.awaited.deadline(&ctx.config);
    let mut report = StatusReport::default();
    let mut exit = CLEAN;
    // All are woken before any is waited for.
    let mut all = Vec::new();
    for name in args.awaited.customers.each() {
        all.push(Asking::begin(&remote, &path("reconcile", name, None), "", name).await?);
    }
    for asking in all {
        let answer = asking.answer(deadline, |_| {}).await?;
        exit = exit.max(status(&answer));
        report.customers.extend(answer.status.customers);
    }
    ctx.print(&report, StatusReport::render)?;
    Ok(exit)
}

fn status(answer: &Reconciled) -> u8 {
    match answer.converged {
        Some(true) => CLEAN,
        Some(false) => FOUND,
        None => FAILED,
    }
}
