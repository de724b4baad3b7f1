//! `skep wait`: until all are in sync and healthy.

use std::time::Duration;

use tokio::time::Instant;

use super::remote::Remote;
use super::session::Session;
use super::{Awaited, Context, FAILED, status};
use crate::report::{ServiceStatus, StatusReport, SyncState};
use crate::state::WaitingReason;
use crate::swarm::{ErrorClass, SwarmError};

/// Wait until all services are in sync and healthy
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    #[command(flatten)]
    pub awaited: Awaited,
}

const HELP: &str = "\
Examples:
  skep wait acme --timeout 2m

Exit status:
  0  all in sync and healthy
  1  timed out, also while a removal is due (ChangesPending) or waits for a person (PruneHeld)
  2  an invalid spec, or it could not be found out";

/// The reason of a customer whose spec has errors.
const SPEC_INVALID: &str = WaitingReason::SpecInvalid.as_str();

/// How often it looks.
const INTERVAL: Duration = Duration::from_secs(1);

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let deadline = args.awaited.deadline(&ctx.config);
    let progress = ctx.progress();
    let names = &args.awaited.customers.customers;
    let mut session = match ctx.config.server {
        Some(_) => None,
        None => Some(Session::read_only(&ctx.config)?),
    };
    loop {
        let over = Instant::now() >= deadline;
        let looked = match &mut session {
            None => status::ask(&Remote::new(&ctx.config), names).await,
            Some(session) => {
                *session = session.refreshed(&ctx.config)?;
                session.max_age = ctx.config.poll_registry;
                status::look(ctx, session, names).await
            }
        };
        let report = match looked {
            Ok(report) => report,
            Err(error) if is_transient(&error) && !over => {
                tracing::debug!("{error:#}");
                pause(deadline).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        for (name, service) in services(&report) {
            let tasks =
                service.tasks.desired.map(|desired| format!("{}/{desired} tasks", service.tasks.running));
            progress.update(
                &name,
                &format!("{:?} {} {}", service.state, tasks.unwrap_or_default(), service.message),
            );
        }
        if let Some(status) = ending(&report, over) {
            services(&report)
                .for_each(|(name, service)| progress.finish(&name, is_ready(service), &service.message));
            ctx.print(&report, StatusReport::render)?;
            return Ok(status);
        }
        pause(deadline).await;
    }
}

/// Until it is time to look again; a last look comes at the deadline.
async fn pause(deadline: Instant) {
    tokio::time::sleep_until((Instant::now() + INTERVAL).min(deadline)).await;
}

/// Whether the engine may answer later.
fn is_transient(error: &anyhow::Error) -> bool {
    error.downcast_ref::<SwarmError>().is_some_and(|error| error.class == ErrorClass::Transient)
}

/// The exit status, or `None` to go on waiting.
fn ending(report: &StatusReport, over: bool) -> Option<u8> {
    let unknown = report.exit_status() == FAILED;
    // An invalid spec does not mend itself while we look on; a person will. What else is said of a customer, such as
    // a removal that is held, does not make hopeless what is unknown for a moment.
    let mut conditions = report.customers.iter().flat_map(|customer| &customer.conditions);
    let hopeless = conditions.any(|condition| condition.reason == SPEC_INVALID);
    // What no spec names and yet runs is not in sync either.
    let all_ready = services(report).all(|(_, service)| is_ready(service));
    let ready = all_ready && !unknown && !report.has_removals();
    match (hopeless, ready, over) {
        (true, _, _) => Some(FAILED),
        (false, true, _) => Some(super::CLEAN),
        (false, false, false) => None,
        // What is unknown may well be all right: that is not the same as not ready.
        (false, false, true) => Some(if unknown { FAILED } else { super::FOUND }),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Condition, ConditionKind, ConditionStatus, StatusCustomer, TaskCount};

    fn report(states: &[(SyncState, usize)]) -> StatusReport {
        let service = |(state, running): &(SyncState, usize)| ServiceStatus {
            service: "web".into(),
            desired: None,
            running: Vec::new(),
            tasks: TaskCount { running: *running, desired: Some(2) },
            state: *state,
            conditions: Vec::new(),
            message: String::new(),
        };
        let services = states.iter().map(service).collect();
        let customer = StatusCustomer { customer: "acme".into(), services, ..StatusCustomer::default() };
        StatusReport { customers: vec![customer] }
    }

    #[test]
    fn it_ends_when_all_is_ready_or_the_time_is_over() {
        use SyncState::{InSync, Progressing, Unknown};
        for (states, over, expected) in [
            (&[(InSync, 2)][..], false, Some(0)),
            (&[(InSync, 2), (Progressing, 1)], false, None),
            (&[(InSync, 2), (Progressing, 1)], true, Some(1)),
            (&[(InSync, 1)], true, Some(1)),
            (&[(Unknown, 2)], false, None),
            (&[(Progressing, 1), (Unknown, 2)], true, Some(2)),
        ] {
            assert_eq!(ending(&report(states), over), expected, "{states:?} {over}");
        }
    }

    fn condition(status: ConditionStatus, reason: &str) -> Condition {
        Condition { kind: ConditionKind::Stalled, status, reason: reason.into(), message: String::new() }
    }

    #[test]
    fn a_removal_that_is_due_is_waited_for() {
        for (reason, over, expected) in [
            ("PruneHeld", false, None),
            ("PruneHeld", true, Some(1)),
            ("ChangesPending", false, None),
            ("ChangesPending", true, Some(1)),
            ("PruneDisabled", false, Some(0)),
            ("SpecRemoved", false, Some(0)),
        ] {
            let mut report = report(&[(SyncState::InSync, 2)]);
            report.customers[0].conditions.push(condition(ConditionStatus::True, reason));
            assert_eq!(ending(&report, over), expected, "{reason} {over}");
        }
    }

    #[test]
    fn only_an_invalid_spec_ends_it_at_once() {
        use ConditionStatus::{True, Unknown};
        for (status, reason, over, expected) in [
            (True, "SpecInvalid", false, Some(2)),
            (True, "PruneHeld", false, None),
            (True, "PruneHeld", true, Some(2)),
            (True, "SpecRemoved", false, None),
            (Unknown, "Unknown", false, None),
        ] {
            // A registry that does not answer for a moment leaves a service of another customer unknown.
            let mut report = report(&[(SyncState::Unknown, 2)]);
            report.customers.push(StatusCustomer {
                customer: "globex".into(),
                conditions: vec![condition(status, reason)],
                ..StatusCustomer::default()
            });
            assert_eq!(ending(&report, over), expected, "{reason} {over}");
        }
        // Of a customer whose file is gone, after a pass that failed: that is not all right either.
        let mut report = report(&[(SyncState::InSync, 2)]);
        report.customers[0].conditions.push(condition(Unknown, "Unknown"));
        assert_eq!((ending(&report, false), ending(&report, true)), (None, Some(2)));
    }

    #[test]
    fn only_an_engine_that_may_answer_later_is_waited_for() {
        let error = |class| anyhow::Error::from(SwarmError { class, message: "no".into() });
        assert!(is_transient(&error(ErrorClass::Transient)));
        assert!(!is_transient(&error(ErrorClass::Terminal)));
        assert!(!is_transient(&anyhow::anyhow!("no specs")));
    }
}
