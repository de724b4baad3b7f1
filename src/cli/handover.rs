//! What a running controller is asked to do: the questions of `reconcile` and `retry`, and all of `apply`
//! where a controller is at work on the state directory.

use std::time::Duration;

use anyhow::Context as _;
use hyper::StatusCode;
use tokio::time::Instant;

use super::remote::{Refusal, Remote};
use super::{Context, FOUND, apply};
use crate::http::Reconciled;
use crate::report::{PlanReport, StatusReport};
use crate::state_dir::LockError;

/// So long a controller holds a question; then progress is shown.
const ASK_FOR: Duration = Duration::from_secs(5);

/// So long a controller may take to fetch and read the specs.
const READ_WITHIN: Duration = Duration::from_secs(50);
/// Between two questions to a controller that has no place left for those who wait.
const BUSY_FOR: Duration = Duration::from_secs(1);

/// A question to a controller that it has begun to act upon.
pub(super) struct Asking<'a> {
    remote: &'a Remote,
    /// Of the questions that only go on waiting.
    path: String,
    query: String,
    since: u64,
}

impl<'a> Asking<'a> {
    /// Wakes the controller by `path`, for a customer or all of them.
    pub(super) async fn begin(
        remote: &'a Remote,
        path: &str,
        query: &str,
        customer: Option<&str>,
    ) -> anyhow::Result<Self> {
        let begun: Reconciled = remote.post(&format!("{path}?{query}"), Vec::new(), READ_WITHIN).await?;
        let path = self::path("reconcile", customer, None);
        Ok(Self { remote, path, query: query.to_owned(), since: begun.since })
    }

    /// Asks until it is told, or the time is over; `seen` hears of each answer.
    pub(super) async fn answer(
        &self,
        deadline: Instant,
        seen: impl Fn(&StatusReport),
    ) -> anyhow::Result<Reconciled> {
        loop {
            let wait = deadline.saturating_duration_since(Instant::now()).min(ASK_FOR);
            let query = format!("{}&since={}&wait={}ms", self.query, self.since, wait.as_millis());
            let path = format!("{}?{}", self.path, query.trim_start_matches('&'));
            let answer: Reconciled = match self.remote.post(&path, Vec::new(), wait).await {
                Err(error) if is_busy(&error) && Instant::now() < deadline => {
                    // The work goes on, only nobody more may wait for it.
                    tokio::time::sleep(BUSY_FOR).await;
                    continue;
                }
                answer => answer?,
            };
            seen(&answer.status);
            if !answer.timed_out || Instant::now() >= deadline {
                return Ok(answer);
            }
        }
    }
}

fn is_busy(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|refusal| refusal.status == StatusCode::SERVICE_UNAVAILABLE)
}

/// Names have no letters that mean something in a URL.
pub(super) fn path(verb: &str, customer: Option<&str>, service: Option<&str>) -> String {
    let parts = [customer, service].into_iter().flatten();
    parts.fold(format!("/api/v1/{verb}"), |path, part| format!("{path}/{part}"))
}

/// The controller that holds the lock for which a command was refused.
///
/// # Errors
/// The refusal, if it was for something else, or whoever holds the lock serves no API.
pub(super) fn beside(ctx: &Context, refused: anyhow::Error) -> anyhow::Result<Remote> {
    if !matches!(refused.downcast_ref(), Some(LockError::Held { .. })) {
        return Err(refused);
    }
    let remote = Remote::beside(&ctx.config);
    let remote = remote.ok_or_else(|| refused.context("another skep is at work here, and serves no API"))?;
    ctx.progress().println(&format!("asking the controller at {}", remote.name()));
    Ok(remote)
}

/// `apply`, by a controller.
pub(super) async fn apply(ctx: &mut Context, args: &apply::Args, remote: &Remote) -> anyhow::Result<u8> {
    let deadline = Instant::now() + args.timeout.unwrap_or(ctx.config.rollout_timeout);
    let mut query = format!("until={}", if args.no_wait { "pass" } else { "rest" });
    if args.allow_prune {
        query.push_str("&allow_prune=true");
    }
    // All are woken before any is waited for.
    let mut all = Vec::new();
    for name in args.customers.each() {
        all.push(Asking::begin(remote, &path("reconcile", name, None), &query, name).await?);
    }
    let progress = ctx.progress();
    let seen = |status: &StatusReport| {
        for (customer, service) in
            status.customers.iter().flat_map(|it| it.services.iter().map(move |s| (it, s)))
        {
            let text = format!("{} tasks {}", service.tasks, service.message);
            progress.update(&format!("{}_{}", customer.customer, service.service), text.trim_end());
        }
    };
    let (mut report, mut timed_out) = (PlanReport::default(), false);
    for asking in all {
        let answer = asking.answer(deadline, seen).await?;
        timed_out |= answer.timed_out;
        let applied =
            answer.applied.context("the controller does not say what it did; it may be an older skep")?;
        report.customers.extend(applied.customers);
    }
    report.customers.sort_by(|a, b| a.customer.cmp(&b.customer));
    for step in report.customers.iter().flat_map(|customer| &customer.steps) {
        if let Some(outcome) = &step.outcome {
            progress.finish(&step.name, outcome.state.is_good(), &outcome.message);
        }
    }
    ctx.print(&report, PlanReport::render)?;
    Ok(report.apply_exit_status().max(if timed_out { FOUND } else { super::CLEAN }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_is_meant() {
        assert_eq!(path("reconcile", None, None), "/api/v1/reconcile");
        assert_eq!(path("retry", Some("acme"), Some("web")), "/api/v1/retry/acme/web");
    }
}
