//! `skep status`: desired beside running.

use std::collections::BTreeMap;

use super::remote::Remote;
use super::session::{self, Chosen, Session};
use super::{Context, Customers, convert};
use crate::plan::{Plan, labels};
use crate::report::StatusReport;
use crate::state::ObservedState;

/// Show what is desired beside what runs, per service, with conditions
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub customers: Customers,
}

const HELP: &str = "\
Examples:
  skep status
  skep status acme --output json
  skep status --server http://127.0.0.1:9741

Exit status:
  0  all in sync
  1  something is not in sync, or a removal is due (ChangesPending) or waits for a person (PruneHeld)
  2  an invalid spec, or something could not be found out";

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let names = &args.customers.customers;
    let report = match ctx.config.server {
        Some(_) => ask(&Remote::new(&ctx.config), names).await?,
        None => look(ctx, &Session::read_only(&ctx.config)?, names).await?,
    };
    ctx.print(&report, StatusReport::render)?;
    Ok(report.exit_status())
}

/// How the customers named (or all) stand, as a running controller saw them last.
pub(super) async fn ask(remote: &Remote, names: &[String]) -> anyhow::Result<StatusReport> {
    if names.is_empty() {
        return remote.get("/api/v1/customers").await;
    }
    let mut report = StatusReport::default();
    for name in names {
        let one: StatusReport = remote.get(&format!("/api/v1/customers/{name}")).await?;
        report.customers.extend(one.customers);
    }
    Ok(report)
}

/// How the customers named (or all) stand now.
pub(super) async fn look(ctx: &Context, session: &Session, names: &[String]) -> anyhow::Result<StatusReport> {
    let chosen = session::choose(&ctx.config, names)?;
    let observed = session.observe_for(&chosen.customers).await?;
    let mut plans: Vec<_> =
        chosen.invalid.iter().map(|(name, message)| invalid(&chosen, name, message)).collect();
    plans.extend(session.plan_all(&chosen, &observed, ctx.config.rollout_concurrency).await);
    plans.sort_by(|a, b| a.customer.cmp(&b.customer));
    let revisions = revisions(&observed);
    Ok(StatusReport {
        customers: plans
            .iter()
            .map(|plan| convert::status(plan, revisions.get(&plan.customer).map(String::as_str)))
            .collect(),
    })
}

fn invalid(chosen: &Chosen, name: &str, message: &str) -> Plan {
    let message = match chosen.kept.contains(name) {
        true => format!("`skep run` goes by its last good spec: {message}"),
        false => message.to_owned(),
    };
    session::invalid_plan(name, &message)
}

/// The commit of the last change of each customer, by the services' labels.
fn revisions(observed: &ObservedState) -> BTreeMap<String, String> {
    let labelled = observed.services.values().filter_map(|service| {
        let revision = service.label(labels::REVISION).filter(|revision| !revision.is_empty())?;
        Some((service.label(labels::CUSTOMER)?.to_owned(), revision.to_owned()))
    });
    labelled.collect()
}
