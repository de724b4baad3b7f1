//! `skep wait`: until all are in sync and healthy.

use std::time::Duration;

use tokio::time::Instant;

use super::{Context, Customers, FAILED, status};
use crate::report::{ServiceStatus, StatusReport, SyncState};

/// Wait until all services are in sync and healthy
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
  skep wait acme --timeout 2m

Exit status:
  0  all in sync and healthy
  1  timed out
  2  an invalid spec, or it could not be found out";

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let deadline = Instant::now() + args.timeout.unwrap_or(ctx.config.rollout_timeout);
    let progress = ctx.progress();
    loop {
        let report = status::look(ctx, &args.customers.customers).await?;
        for (name, service) in services(&report) {
            let tasks =
                service.tasks.desired.map(|desired| format!("{}/{desired} tasks", service.tasks.running));
            progress.update(
                &name,
                &format!("{:?} {} {}", service.state, tasks.unwrap_or_default(), service.message),
            );
        }
        let ready = services(&report).all(|(_, service)| is_ready(service));
        let status = report.exit_status();
        // An invalid spec does not mend itself while we look on; a person will.
        let hopeless =
            status == FAILED && report.customers.iter().any(|customer| !customer.conditions.is_empty());
        if ready || hopeless || Instant::now() >= deadline {
            services(&report)
                .for_each(|(name, service)| progress.finish(&name, is_ready(service), &service.message));
            ctx.print(&report, StatusReport::render)?;
            return Ok(match (hopeless, ready) {
                (true, _) => FAILED,
                (false, true) => super::CLEAN,
                (false, false) => super::FOUND,
            });
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn services(report: &StatusReport) -> impl Iterator<Item = (String, &ServiceStatus)> {
    report.customers.iter().flat_map(|customer| {
        customer
            .services
            .iter()
            .map(move |service| (format!("{}_{}", customer.customer, service.service), service))
    })
}

/// In sync, and every task that should run does.
fn is_ready(service: &ServiceStatus) -> bool {
    let enough = service.tasks.desired.is_some_and(|desired| service.tasks.running >= desired);
    service.state == SyncState::InSync && enough
}
