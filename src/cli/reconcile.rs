//! `skep reconcile`: a running controller looks now.

use std::time::Duration;

use tokio::time::Instant;

use super::remote::Remote;
use super::{CLEAN, Context, Customers, FAILED, FOUND};
use crate::http::Reconciled;
use crate::report::StatusReport;

/// Ask a running controller to act now, and wait until it has converged
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub customers: Customers,
    /// Give up after this time [default: rollout.timeout, 10m]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

const HELP: &str = "\
Examples:
  skep reconcile
  skep reconcile acme --timeout 2m --server http://127.0.0.1:9741

Exit status:
  0  converged
  1  did not converge
  2  no controller answers, or nobody can tell";

/// A controller holds a question no longer than four minutes.
const ASK_FOR: Duration = Duration::from_secs(120);

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let remote = Remote::new(&ctx.config);
    let deadline = Instant::now() + args.timeout.unwrap_or(ctx.config.rollout_timeout);
    let names: Vec<Option<&str>> = match args.customers.customers.as_slice() {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let asked = names.into_iter().map(|name| converge(&remote, name, deadline));
    let mut report = StatusReport::default();
    let mut exit = CLEAN;
    for answer in futures::future::try_join_all(asked).await? {
        exit = exit.max(status(&answer));
        report.customers.extend(answer.status.customers);
    }
    ctx.print(&report, StatusReport::render)?;
    Ok(exit)
}

/// Asks until it is told, or the time is over.
async fn converge(remote: &Remote, name: Option<&str>, deadline: Instant) -> anyhow::Result<Reconciled> {
    loop {
        let wait = deadline.saturating_duration_since(Instant::now()).min(ASK_FOR);
        let answer = ask(remote, &path("reconcile", name, None), "", wait).await?;
        if !answer.timed_out || Instant::now() >= deadline {
            return Ok(answer);
        }
    }
}

/// One question that may take `wait`.
pub(super) async fn ask(
    remote: &Remote,
    path: &str,
    query: &str,
    wait: Duration,
) -> anyhow::Result<Reconciled> {
    let path = format!("{path}?wait={}ms{query}", wait.as_millis());
    remote.post(&path, Vec::new(), wait).await
}

/// Names have no letters that mean something in a URL.
pub(super) fn path(verb: &str, customer: Option<&str>, service: Option<&str>) -> String {
    let parts = [customer, service].into_iter().flatten();
    parts.fold(format!("/api/v1/{verb}"), |path, part| format!("{path}/{part}"))
}

pub(super) fn status(answer: &Reconciled) -> u8 {
    match answer.converged {
        Some(true) => CLEAN,
        Some(false) => FOUND,
        None => FAILED,
    }
}
