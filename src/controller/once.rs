//! One pass over some customers, as `skep apply` makes it: until nothing is under way in any of them.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::{
    ALONE_MAX, Next, ROLLING_BESIDE_FAILURE, ROLLING_INTERVAL, Reconciler, Report, Request, Retries,
};
use crate::plan::Plan;
use crate::swarm::SwarmError;

/// Runs passes over the customers until nothing is under way in any of them, as `skep apply`
/// does. `progress` hears of each pass.
pub async fn apply_once(
    reconciler: &Reconciler,
    requests: Vec<Request>,
    concurrency: usize,
    options: ApplyOnce<'_>,
) -> BTreeMap<String, Applied> {
    use futures::StreamExt;
    let alone = requests.len() <= ALONE_MAX;
    // Of a stack that goes, all is wanted, named by a spec or not.
    let is_gone = |request: &Request| request.inventory.gone.contains_key(&request.customer.name);
    let requests =
        requests.into_iter().map(|request| Request { alone: alone && !is_gone(&request), ..request });
    let runs = requests.map(|request| async {
        let name = request.customer.name.clone();
        (name, apply_customer(reconciler, request, &options).await)
    });
    futures::stream::iter(runs).buffer_unordered(concurrency).collect().await
}

/// How `apply_once` goes about it.
pub struct ApplyOnce<'a> {
    /// When to give up waiting.
    pub deadline: Option<Instant>,
    /// Whether to wait for rollouts at all.
    pub wait: bool,
    pub progress: &'a (dyn Fn(&str, &Report) + Sync),
}

/// What came of one customer.
#[derive(Default)]
pub struct Applied {
    /// What the first pass planned.
    pub first: Option<Plan>,
    pub last: Option<Plan>,
    pub outcomes: Vec<(crate::plan::Step, crate::apply::Outcome)>,
    pub error: Option<SwarmError>,
    pub timed_out: bool,
}

/// Conflicts that `apply` answers at once; more are no accident.
const APPLY_CONFLICTS_MAX: u32 = 20;

/// Failed tries before `apply` gives a customer up.
const APPLY_TRIES_MAX: u32 = 5;

async fn apply_customer(reconciler: &Reconciler, mut request: Request, options: &ApplyOnce<'_>) -> Applied {
    let mut applied = Applied::default();
    let mut retries = Retries::default();
    let (mut tries, mut conflicts) = (0, 0);
    loop {
        let result = reconciler.reconcile(&request).await;
        let (next, rolling) = match result {
            Ok(report) => {
                (options.progress)(&request.customer.name, &report);
                applied.error = None;
                applied.first.get_or_insert_with(|| report.plan.clone());
                applied.outcomes.extend(report.outcomes);
                applied.last = Some(report.plan);
                (report.next, report.rolling)
            }
            Err(error) => {
                let next = Next::Retry(error.to_string());
                applied.error = Some(error);
                (next, false)
            }
        };
        let delay = match next {
            Next::Settled => return applied,
            Next::Rolling if !options.wait => return applied,
            Next::Rolling => ROLLING_INTERVAL,
            Next::Again if conflicts < APPLY_CONFLICTS_MAX => {
                conflicts += 1;
                ROLLING_INTERVAL / 10
            }
            Next::Again | Next::Retry(_) | Next::Contested(_) => {
                tries += 1;
                match (tries < APPLY_TRIES_MAX && options.wait, rolling && options.wait) {
                    (true, _) => retries.failed(""),
                    // Given up; what goes well beside it is waited for.
                    (false, true) => ROLLING_BESIDE_FAILURE,
                    (false, false) => return applied,
                }
            }
        };
        let wake = Instant::now() + delay;
        if options.deadline.is_some_and(|deadline| wake >= deadline) {
            applied.timed_out = true;
            return applied;
        }
        tokio::time::sleep_until(wake).await;
        request.since = Instant::now();
    }
}
