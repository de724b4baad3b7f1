//! Whether a service's tasks are what its spec says, and whether its rollout failed.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::placement;
use crate::memory::{Purpose, Rollout};
use crate::state::{ObservedNode, ObservedService, ObservedTask};

/// Tasks that find no node for this long are a failure; a node that only restarts is back sooner
/// (measured: 13 s until a worker is `down`, its tasks replaced at 18 s).
const UNSCHEDULABLE_GRACE_MS: i64 = 20_000;

/// A service's tasks, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many should run (for a job: complete).
    pub wanted: u64,
    /// How many run (or are complete) as the service's spec says now.
    pub right: u64,
    /// How many still run as an older spec said.
    pub outdated: u64,
    /// Of a job: how many run or are about to.
    pub active: u64,
    /// When the youngest of those that are right began to run.
    pub youngest: Option<Timestamp>,
    /// Why the newest task that is not right is not, in Swarm's words, if it says.
    pub problem: Option<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub kind: ProblemKind,
    pub message: String,
    pub since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// No node takes the task.
    Unschedulable,
    /// The node has not got the image: registry down or credentials wrong, not the image's fault.
    NoImage,
    /// The task ended or was rejected.
    Failing,
}

impl Tally {
    pub fn is_right(&self) -> bool {
        self.right >= self.wanted && self.outdated == 0
    }
}

/// Whether the service's tasks are to end: any update of it begins them anew.
pub fn is_job(spec: &Value) -> bool {
    ["ReplicatedJob", "GlobalJob"]
        .iter()
        .any(|mode| spec.pointer(&format!("/Mode/{mode}")).is_some_and(Value::is_object))
}

/// Counts a service's tasks.
pub fn tally(service: &ObservedService, nodes: &BTreeMap<String, ObservedNode>) -> Tally {
    let mode = service.spec.get("Mode");
    let of_mode = |pointer: &str| mode.and_then(|mode| mode.pointer(pointer)).and_then(Value::as_u64);
    let has = |key: &str| mode.is_some_and(|mode| mode.get(key).is_some_and(|value| !value.is_null()));
    let eligible = || nodes.values().filter(|node| placement::is_eligible(node, &service.spec));
    let is_job = is_job(&service.spec);
    let wanted = if has("Global") || has("GlobalJob") {
        eligible().count() as u64
    } else if is_job {
        let concurrent = of_mode("/ReplicatedJob/MaxConcurrent").unwrap_or(1);
        of_mode("/ReplicatedJob/TotalCompletions").unwrap_or(concurrent)
    } else {
        of_mode("/Replicated/Replicas").unwrap_or(1)
    };
    // Of tasks on nodes that take none (paused, for instance) Swarm leaves alone what is there.
    let everywhere = has("Global") || has("GlobalJob");
    let counted =
        || service.tasks.iter().filter(|task| !everywhere || on_eligible_node(task, nodes, &service.spec));
    let right_tasks = || counted().filter(|task| is_right(task, service, is_job, nodes));
    let right = right_tasks().count() as u64;
    let youngest = right_tasks().filter_map(|task| task.timestamp).max();
    let outdated =
        counted().filter(|task| !is_job && !task.current && still_runs(task, nodes)).count() as u64;
    let is_active = |task: &&ObservedTask| task.job_iteration == service.job_iteration && !has_ended(task);
    let active = if is_job { counted().filter(is_active).count() as u64 } else { 0 };
    let problem = if right >= wanted { None } else { problem(service) };
    Tally { wanted, right, outdated, active, youngest, problem }
}

fn is_right(
    task: &ObservedTask,
    service: &ObservedService,
    is_job: bool,
    nodes: &BTreeMap<String, ObservedNode>,
) -> bool {
    if is_job {
        return task.state == "complete" && task.job_iteration == service.job_iteration && task.current;
    }
    task.current && task.state == "running" && task.desired_state == "running" && on_live_node(task, nodes)
}

/// A task of a node that is down is Swarm's to give up, and nobody can tell whether it runs.
fn on_live_node(task: &ObservedTask, nodes: &BTreeMap<String, ObservedNode>) -> bool {
    task.node_id.as_ref().and_then(|id| nodes.get(id)).is_none_or(|node| node.ready)
}

fn on_eligible_node(task: &ObservedTask, nodes: &BTreeMap<String, ObservedNode>, spec: &Value) -> bool {
    task.node_id.as_ref().and_then(|id| nodes.get(id)).is_some_and(|node| placement::is_eligible(node, spec))
}

fn still_runs(task: &ObservedTask, nodes: &BTreeMap<String, ObservedNode>) -> bool {
    matches!(task.state.as_str(), "starting" | "running") && on_live_node(task, nodes)
}

fn has_ended(task: &ObservedTask) -> bool {
    matches!(task.state.as_str(), "complete" | "shutdown" | "failed" | "rejected" | "remove" | "orphaned")
}

/// What the newest unhappy task says.
fn problem(service: &ObservedService) -> Option<Problem> {
    let unhappy = service.tasks.iter().filter(|task| task.current && !task.message.is_empty());
    let unhappy = unhappy.filter_map(|task| Some((task, problem_kind(task)?)));
    let (task, kind) = unhappy.max_by_key(|(task, _)| task.timestamp)?;
    Some(Problem { kind, message: task.message.clone(), since: task.timestamp })
}

/// What a node says that could neither pull the image nor has it.
const NO_IMAGE: &str = "no such image";

fn problem_kind(task: &ObservedTask) -> Option<ProblemKind> {
    let says = |text: &str| task.message.to_ascii_lowercase().contains(text);
    match task.state.as_str() {
        "pending" if says("no suitable node") => Some(ProblemKind::Unschedulable),
        "rejected" | "failed" | "preparing" if says(NO_IMAGE) => Some(ProblemKind::NoImage),
        "rejected" | "failed" => Some(ProblemKind::Failing),
        _ => None,
    }
}

/// How a rollout stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Every task that should run does, by the spec that was written, and Swarm is done.
    Converged,
    /// All tasks are right but Swarm left the update paused: one more update clears that.
    PausedButRight,
    InProgress,
    Failed(Failure),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Swarm's own words, or ours for a deadline.
    pub why: String,
    /// Whether the version is to blame, so that it is not tried again.
    pub refuse: bool,
    /// Whether Swarm rolls back (or did) by itself.
    pub swarm_rolls_back: bool,
    /// The registry may be to blame: what is refused for that is tried again after a while.
    pub for_a_while: bool,
}

/// Judges a rollout by the tasks and Swarm's own status.
pub fn progress(
    service: &ObservedService,
    tally: &Tally,
    rollout: &Rollout,
    timeout: Duration,
    now: Timestamp,
) -> Progress {
    let status =
        service.update_status.as_ref().map(|status| (status.state.as_str(), status.message.as_str()));
    let verdict = match rollout.purpose {
        Purpose::Forward => forward(status, tally, service, rollout),
        Purpose::RollBack => backward(status, tally),
    };
    let verdict = verdict.unwrap_or_else(|| by_time(tally, rollout, timeout, now));
    // Where Swarm has not watched the tasks itself, one look at a crash loop may find it running.
    let unwatched = !matches!(status, Some(("completed" | "rollback_completed", _)));
    match verdict {
        Progress::Converged | Progress::PausedButRight
            if unwatched && !is_stable(service, tally, Some(rollout.started), now) =>
        {
            Progress::InProgress
        }
        verdict => verdict,
    }
}

/// How long tasks must have run before they count as running, where the service's
/// `update_config.monitor` does not say: Swarm's own default.
const MONITOR_DEFAULT_MS: i64 = 5_000;
/// Longer than this nobody waits for proof that Swarm does not ask for either.
const MONITOR_MS_MAX: i64 = 60_000;
/// An update that is just accepted has not touched a task yet.
const SETTLING_MS: i64 = 1_000;

/// Whether the right tasks have run for as long as Swarm would watch them after an update.
pub fn is_stable(
    service: &ObservedService,
    tally: &Tally,
    started: Option<Timestamp>,
    now: Timestamp,
) -> bool {
    if tally.wanted == 0 {
        return true;
    }
    let monitor =
        service.spec.pointer("/UpdateConfig/Monitor").and_then(Value::as_i64).unwrap_or(0) / 1_000_000;
    let monitor_ms = if monitor == 0 { MONITOR_DEFAULT_MS } else { monitor.clamp(0, MONITOR_MS_MAX) };
    let age = |since: Timestamp| now.as_millisecond() - since.as_millisecond();
    let lasted = |youngest: Timestamp| match age(youngest) {
        // A node whose clock is ahead of ours: then what we know ourselves has to do.
        ahead if ahead < 0 => started.is_none_or(|started| age(started) >= monitor_ms),
        age => age >= monitor_ms,
    };
    let old_enough = is_job(&service.spec) || tally.youngest.is_none_or(lasted);
    old_enough && started.is_none_or(|started| age(started) >= SETTLING_MS)
}

type Status<'a> = Option<(&'a str, &'a str)>;

fn forward(
    status: Status<'_>,
    tally: &Tally,
    service: &ObservedService,
    rollout: &Rollout,
) -> Option<Progress> {
    match status {
        Some((state, message)) if state.starts_with("rollback") => {
            // Swarm's later words (`rollback completed`) no longer say what for.
            let later = format!("Swarm rolled the update back: {message}");
            let message = if message.contains("rolled back") { message } else { later.as_str() };
            let why = explain(message, tally, "");
            Some(failed(with_last_words(why, service, rollout), true, true))
        }
        Some(("paused", _)) if tally.is_right() => Some(Progress::PausedButRight),
        // While nodes cannot pull, it is the registry that fails and not the version.
        Some(("paused", message)) if !is_kind(tally, ProblemKind::NoImage) => {
            Some(failed(explain(message, tally, "Swarm paused the update"), true, false))
        }
        None | Some(("completed", _)) if tally.is_right() => Some(Progress::Converged),
        _ => None,
    }
}

fn backward(status: Status<'_>, tally: &Tally) -> Option<Progress> {
    match status {
        Some(("rollback_paused", message)) => {
            Some(failed(explain(message, tally, "the rollback paused"), false, false))
        }
        Some(("paused", _)) if tally.is_right() => Some(Progress::PausedButRight),
        None | Some(("completed" | "rollback_completed", _)) if tally.is_right() => Some(Progress::Converged),
        _ => None,
    }
}

fn by_time(tally: &Tally, rollout: &Rollout, timeout: Duration, now: Timestamp) -> Progress {
    if let Some(problem) = unschedulable_since(tally, rollout, now) {
        return failed(format!("tasks cannot be scheduled: {problem}"), false, false);
    }
    if now.duration_since(rollout.started)
        < jiff::SignedDuration::try_from(timeout).unwrap_or(jiff::SignedDuration::MAX)
    {
        return Progress::InProgress;
    }
    // A job takes as long as it takes; ended early, it would only begin again.
    if tally.active > 0 && tally.right + tally.active >= tally.wanted {
        return Progress::InProgress;
    }
    // What was told not to be the version's fault is not, until a task says so.
    let unchanged = rollout.failed.is_some() && tally.problem.is_none();
    let infrastructure =
        unchanged || is_kind(tally, ProblemKind::NoImage) || is_kind(tally, ProblemKind::Unschedulable);
    let why = format!(
        "not converged within {} s: {} of {} tasks right",
        timeout.as_secs(),
        tally.right,
        tally.wanted
    );
    failed(explain(&why, tally, ""), !infrastructure, false)
}

fn is_kind(tally: &Tally, kind: ProblemKind) -> bool {
    tally.problem.as_ref().is_some_and(|problem| problem.kind == kind)
}

fn unschedulable_since<'a>(tally: &'a Tally, rollout: &Rollout, now: Timestamp) -> Option<&'a str> {
    let problem = tally.problem.as_ref().filter(|problem| problem.kind == ProblemKind::Unschedulable)?;
    let since = problem.since.unwrap_or(rollout.started).max(rollout.started);
    (now.as_millisecond() - since.as_millisecond() >= UNSCHEDULABLE_GRACE_MS)
        .then_some(problem.message.as_str())
}

fn explain(message: &str, tally: &Tally, otherwise: &str) -> String {
    let message = if message.is_empty() { otherwise } else { message };
    match &tally.problem {
        Some(problem) if !message.contains(&problem.message) => {
            format!("{message}; task: {}", problem.message)
        }
        _ => message.to_owned(),
    }
}

/// What the tasks of a rollout said before Swarm took its spec away: they count as outdated now.
fn with_last_words(why: String, service: &ObservedService, rollout: &Rollout) -> String {
    let of_rollout = |task: &&ObservedTask| {
        task.timestamp.is_some_and(|at| at >= rollout.started) && task.image.contains(&rollout.to.digest)
    };
    let said = service.tasks.iter().filter(|task| !task.current && !task.message.is_empty());
    let said = said.filter(|task| matches!(task.state.as_str(), "failed" | "rejected")).filter(of_rollout);
    match said.max_by_key(|task| task.timestamp) {
        Some(task) if !why.contains(&task.message) => format!("{why}; task: {}", task.message),
        _ => why,
    }
}

fn failed(why: String, refuse: bool, swarm_rolls_back: bool) -> Progress {
    let for_a_while = why.to_ascii_lowercase().contains(NO_IMAGE);
    Progress::Failed(Failure { why, refuse, swarm_rolls_back, for_a_while })
}
