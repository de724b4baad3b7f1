//! A `skep run` under way, and what it tells: events, metrics.

use std::time::Duration;

use serde_json::Value;

use crate::bed::http::Answer;
use crate::bed::process::{Ran, Running};
use crate::bed::{Bed, SOON, Workspace, check, wait_until};

/// A spec or an engine event is acted upon much sooner; the machine may be busy.
pub const SECONDS: Duration = Duration::from_secs(20);

pub struct Controller<'a> {
    ws: &'a Workspace<'a>,
    pub run: Running,
}

impl<'a> Controller<'a> {
    /// Starts `skep run`, and waits until it says that it is ready.
    #[track_caller]
    pub fn start(ws: &'a Workspace<'a>) -> Self {
        Self::start_by(ws, &mut ws.skep_command(&["run"]))
    }

    /// The same with another environment.
    #[track_caller]
    pub fn start_by(ws: &'a Workspace<'a>, command: &mut std::process::Command) -> Self {
        let controller = Controller { ws, run: ws.spawn(command) };
        wait_until(SOON, "skep run is ready", || {
            let answer = ws.http("GET", "/readyz", &[], b"").map_err(|e| e.to_string())?;
            check(answer.status == 200, || format!("{}\n{}", answer.text(), controller.run.stderr()))
        });
        controller
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.ws.http("GET", path, &[], b"").unwrap_or_else(|e| panic!("{path}: {e}\n{}", self.run.stderr()))
    }

    /// The sum of a metric's series whose labels contain `labels`; `None` if there is none.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        let text = self.get("/metrics").text();
        let series = text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']) && rest.contains(labels))
        });
        let values: Vec<f64> =
            series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    /// Until so many passes have ended from now on.
    #[track_caller]
    pub fn wait_passes(&self, count: u32) {
        let passes = || self.metric("skep_reconcile_duration_seconds_count", "").unwrap_or_default();
        let before = passes();
        wait_until(SOON, &format!("{count} more passes have ended"), || {
            let now = passes();
            check(now >= before + f64::from(count), || format!("{before} -> {now}"))
        });
    }

    /// Ends it as an operator does.
    #[track_caller]
    pub fn stop(self) -> Ran {
        self.run.sigterm();
        self.run.wait(SOON)
    }
}

/// All whole lines of the event log.
pub fn events(ws: &Workspace<'_>) -> Vec<Value> {
    let text = ws.read("state/events/events.jsonl");
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

/// `"Reason"` or `"Reason/phase"` of each, with a `!` before a warning.
pub fn outline(events: &[Value]) -> Vec<String> {
    let one = |event: &Value| {
        let warns = if event["type"] == "Warning" { "!" } else { "" };
        let phase = event["phase"].as_str().map(|phase| format!("/{phase}")).unwrap_or_default();
        format!("{warns}{}{phase}", event["reason"].as_str().unwrap())
    };
    events.iter().map(one).collect()
}

/// The events that were told after the first `skip`, once they end with `last`.
#[track_caller]
pub fn wait_events(ws: &Workspace<'_>, skip: usize, last: &str) -> Vec<Value> {
    wait_until(SOON, &format!("the event {last} is told"), || {
        let all = events(ws);
        let outlined = outline(&all[skip.min(all.len())..]);
        match outlined.iter().position(|told| told == last) {
            Some(at) => Ok(all[skip..=skip + at].to_vec()),
            None => Err(format!("{outlined:?}")),
        }
    })
}

/// Exactly these, all with one ID but the warnings.
#[track_caller]
pub fn expect_one_change(events: &[Value], expected: &[&str]) {
    assert_eq!(outline(events), expected, "{events:#?}");
    let ids: std::collections::BTreeSet<&str> = events
        .iter()
        .filter(|event| event["type"] == "Normal")
        .map(|event| event["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 1, "one change, one ID: {events:#?}");
}

pub fn index(bed: &Bed, service: &str) -> u64 {
    bed.service(service).unwrap_or_else(|| panic!("{service} is there"))["Version"]["Index"].as_u64().unwrap()
}

pub fn image(bed: &Bed, service: &str) -> String {
    let found = bed.service(service).unwrap_or_else(|| panic!("{service} is there"));
    found["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap().to_owned()
}

/// The IDs of all its tasks, also of those that have ended.
pub fn task_ids(bed: &Bed, service: &str) -> Vec<String> {
    let mut ids: Vec<String> =
        bed.tasks(service).iter().map(|task| task["ID"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}
