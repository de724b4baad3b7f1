//! What the tests of failures look at: the event log, a service's version index, passes of a running controller.

use std::io;

use serde_json::Value;

use crate::bed::{Bed, SOON, Workspace, check, wait_until};

/// The workspace's event log, line by line.
///
/// # Panics
/// When a line is not JSON.
#[track_caller]
pub fn events(ws: &Workspace<'_>) -> Vec<Value> {
    let text = ws.read("state/events/events.jsonl");
    let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    // A line that is being written now has no end yet.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(line).collect()
}

/// The events of one reason, without intents.
pub fn told(ws: &Workspace<'_>, customer: &str, reason: &str) -> Vec<Value> {
    let mut all = events(ws);
    all.retain(|event| {
        event["reason"] == reason
            && event["phase"] != "intent"
            && (customer.is_empty() || event["customer"] == customer)
    });
    all
}

/// Until an event of this reason was told so many times; the last one comes back.
#[track_caller]
pub fn wait_told(ws: &Workspace<'_>, customer: &str, reason: &str, count: usize) -> Value {
    wait_until(SOON, &format!("{customer} has {count} events {reason}"), || {
        let found = told(ws, customer, reason);
        check(found.len() >= count, || summary(ws)).map(|()| found[count - 1].clone())
    })
}

/// The log as reasons, a line each: for messages.
pub fn summary(ws: &Workspace<'_>) -> String {
    let line = |event: &Value| {
        let phase = event["phase"].as_str().unwrap_or("-");
        format!("{} {} {phase} {} {}\n", event["seq"], event["customer"], event["reason"], event["message"])
    };
    events(ws).iter().map(line).collect()
}

/// Reasons of a customer's events, in order, without intents.
pub fn reasons(ws: &Workspace<'_>, customer: &str) -> Vec<String> {
    let all = events(ws);
    let told = all.iter().filter(|event| event["customer"] == customer && event["phase"] != "intent");
    told.map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect()
}

/// The engine's version index, which every write and every change of the update's state moves.
#[track_caller]
pub fn index(bed: &Bed, service: &str) -> u64 {
    let found = bed.service(service).unwrap_or_else(|| panic!("{service} is not there"));
    found["Version"]["Index"].as_u64().expect("a service has a version")
}

pub fn image(bed: &Bed, service: &str) -> String {
    let service = bed.service(service).unwrap_or_default();
    service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"].as_str().unwrap_or_default().to_owned()
}

/// Intervals short enough that a test sees several passes.
pub fn hurry(ws: &Workspace<'_>, timeout: &str) {
    let config = ws.default_config().replace("resync = \"5s\"", "resync = \"1s\"");
    ws.write("skep.toml", &config.replace("timeout = \"60s\"", &format!("timeout = \"{timeout}\"")));
}

/// `/metrics` of the workspace's `skep run`.
pub fn metrics(ws: &Workspace<'_>) -> io::Result<String> {
    Ok(ws.http("GET", "/metrics", &[], b"")?.text())
}

/// The value of the first line that begins so.
pub fn metric(text: &str, begins: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with(begins))?;
    line.rsplit(' ').next()?.parse().ok()
}

fn passes(ws: &Workspace<'_>) -> Result<f64, String> {
    let text = metrics(ws).map_err(|e| e.to_string())?;
    metric(&text, "skep_reconcile_duration_seconds_count").ok_or(text)
}

/// Until the workspace's `skep run` has made so many more passes.
#[track_caller]
pub fn more_passes(ws: &Workspace<'_>, count: u32) {
    let before = wait_until(SOON, "the metrics are served", || passes(ws));
    wait_until(SOON, &format!("{count} more passes"), || {
        let now = passes(ws)?;
        check(now >= before + f64::from(count), || format!("{now} after {before}"))
    });
}

/// The one service in a report's list whose `key` is `value`.
#[track_caller]
pub fn pick<'a>(list: &'a Value, key: &str, value: &str) -> &'a Value {
    let found = list.as_array().and_then(|list| list.iter().find(|entry| entry[key] == value));
    found.unwrap_or_else(|| panic!("no {key} = {value} in {list:#}"))
}
