//! `skep retry`: forget a refusal and try again.

use std::time::Duration;

use tokio::time::Instant;

use super::handover::{Asking, path};
use super::remote::Remote;
use super::session::{self, Observers, Writer};
use super::{Context, FAILED, ServiceName, apply, handover};
use crate::controller::orders::{Retry, forget_refusals};
use crate::controller::{ApplyOnce, apply_once};
use crate::events::Trigger;
use crate::plan::{ServiceView, Sync, service_name};
use crate::report::{PlanReport, ServiceStatus, StatusReport};

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
  skep retry acme/frontend --server http://127.0.0.1:9741

A controller that is at work on the same state directory is asked to do it.

Exit status:
  0  converged
  1  did not converge
  2  could not be tried";

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    if ctx.config.server.is_some() {
        return ask(ctx, &args, &Remote::new(&ctx.config)).await;
    }
    let ServiceName { customer, service } = &args.service;
    let chosen = session::choose(&ctx.config, std::slice::from_ref(customer))?;
    if !chosen.customers.first().is_some_and(|spec| spec.services.contains_key(service)) {
        let why = chosen
            .invalid
            .first()
            .map_or_else(|| format!("has no service {service:?}"), |(_, why)| why.clone());
        anyhow::bail!("{customer}: {why}");
    }
    let writer = match Writer::open(&ctx.config, &Observers::default()) {
        Ok(writer) => writer,
        Err(error) => return ask(ctx, &args, &handover::beside(ctx, error)?).await,
    };
    // What is carried out is told, and remembered as what was in force, as by `apply`.
    let chosen = session::choose_newest(&ctx.config, std::slice::from_ref(customer), true, &writer.sealing)?;
    apply::tell_specs(ctx, &writer, &chosen).await?;
    let Some(spec) = chosen.customers.first().filter(|spec| spec.services.contains_key(service)) else {
        anyhow::bail!("{customer} has no service {service:?} any more");
    };
    let name = service_name(customer, service);
    let retry = Retry { service: service.clone(), version: args.version.as_ref().map(ToString::to_string) };
    let count = forget_refusals(writer.session.memory.as_ref(), customer, &retry)?;
    if !ctx.json {
        writeln!(ctx.out, "{customer}/{service}: {count} refused version(s) forgotten")?;
    }
    let progress = ctx.progress();
    let show = |_: &str, report: &crate::controller::Report| {
        if let Some(view) = report.plan.services.get(service) {
            progress
                .update(&name, &format!("{}/{} tasks {}", view.tally.right, view.tally.wanted, view.message));
        }
    };
    let deadline = Instant::now() + ctx.config.rollout_timeout + Duration::from_secs(30);
    let options = ApplyOnce { deadline: Some(deadline), wait: true, progress: &show };
    let applied =
        apply_once(&writer.reconciler, vec![session::request(spec, Trigger::Manual)], 1, options).await;
    // Asked for once; what ran already needed it not.
    let mut memory = writer.session.memory.service(&name);
    if std::mem::take(&mut memory.retry) {
        writer.session.memory.put_service(&name, memory)?;
    }
    let Some(applied) = applied.get(customer) else { anyhow::bail!("{customer} was not looked at") };
    let view = applied.last.as_ref().and_then(|plan| plan.services.get(service));
    let (status, message) = ending(view);
    progress.finish(&name, status == super::CLEAN, &message);
    if ctx.json {
        let report = PlanReport { customers: vec![apply::customer(customer, applied, false)] };
        ctx.print(&report, PlanReport::render)?;
    }
    if let Some(error) = &applied.error {
        anyhow::bail!("{error}");
    }
    if status != super::CLEAN {
        tracing::error!("{customer}/{service}: {message}");
    }
    Ok(status)
}

/// Asks a running controller, and waits for what comes of it.
async fn ask(ctx: &mut Context, args: &Args, remote: &Remote) -> anyhow::Result<u8> {
    let ServiceName { customer, service } = &args.service;
    let path = path("retry", Some(customer), Some(service));
    let version = args.version.as_ref().map(|version| version.to_string().replace('+', "%2B"));
    let version = version.map(|version| format!("&version={version}")).unwrap_or_default();
    // What its neighbours wait for is nothing to this one: as without a controller, until nothing is under way.
    let query = format!("until=rest{version}");
    let deadline = Instant::now() + ctx.config.rollout_timeout;
    let asking = Asking::begin(remote, &path, &query, Some(customer)).await?;
    let mut answer = asking.answer(deadline, |_| {}).await?;
    let exit = narrow(&mut answer.status, service);
    ctx.print(&answer.status, StatusReport::render)?;
    Ok(exit)
}

/// Leaves only the service, and says with which exit status: in time or not, what nobody knows is no mere
/// failure.
fn narrow(status: &mut StatusReport, service: &str) -> u8 {
    let is_wanted = |found: &ServiceStatus| found.service == service;
    status.customers.iter_mut().for_each(|customer| customer.services.retain(is_wanted));
    status.exit_status()
}

/// The exit status, and what to say of it.
fn ending(view: Option<&ServiceView>) -> (u8, String) {
    let Some(view) = view else { return (FAILED, "nobody can tell how it stands".to_owned()) };
    let status = match view.state {
        Sync::InSync => super::CLEAN,
        Sync::Unknown => FAILED,
        _ => super::FOUND,
    };
    (status, view.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_no_mere_failure() {
        let view = |state| ServiceView { state, message: "why".into(), ..ServiceView::default() };
        assert_eq!(ending(Some(&view(Sync::InSync))), (0, "why".into()));
        assert_eq!(ending(Some(&view(Sync::Stalled))), (1, "why".into()));
        assert_eq!(ending(Some(&view(Sync::Unknown))), (2, "why".into()));
        assert_eq!(ending(None).0, 2);
    }

    #[test]
    fn a_controllers_answer_is_taken_as_our_own_would_be() {
        let service = |state: &str, key: &str| {
            serde_json::json!({"service": key, "desired": null, "running": [], "tasks": {"running": 1}, "state": state,
                "conditions": [], "message": ""})
        };
        let narrowed = |state: &str| {
            let services = [service(state, "web"), service("Drifted", "db")];
            let customer = serde_json::json!({"customer": "acme", "services": services, "conditions": []});
            let mut status: StatusReport =
                serde_json::from_value(serde_json::json!({"customers": [customer]})).unwrap();
            (narrow(&mut status, "web"), status.customers[0].services.len())
        };
        assert_eq!(narrowed("InSync"), (0, 1));
        assert_eq!(narrowed("Progressing"), (1, 1), "also when the time is over");
        assert_eq!(narrowed("Unknown"), (2, 1), "also when the time is over");
    }
}
