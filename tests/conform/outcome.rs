//! How services end up: what is left of their tasks when nothing moves any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::play::Player;

/// Nothing moved for so long: longer than any delay before a restart, and than what a failing container runs.
const QUIET: Duration = Duration::from_millis(1500);
/// An update that waits for a task that no node takes waits for ever; longer than any monitor of the sequences.
const STUCK: Duration = Duration::from_secs(8);
const LOOK: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(60);

/// Waits until no update is under way and no task moves, and says what there is then.
pub fn settle(player: &mut Player<'_>) -> Value {
    let target = player.target;
    let start = target.elapsed();
    let (mut last, mut since) = (look(player), target.elapsed());
    loop {
        target.pause(LOOK);
        player.read_events(Duration::ZERO);
        let now = look(player);
        let time = target.elapsed();
        if now.marks != last.marks {
            (last, since) = (now, time);
        } else if time.saturating_sub(since) >= if now.busy { STUCK } else { QUIET } {
            return now.outcome;
        }
        if time.saturating_sub(start) > LIMIT {
            return json!({"never settled": last.outcome});
        }
    }
}

struct Look {
    /// Changes when anything does.
    marks: Vec<String>,
    busy: bool,
    outcome: Value,
}

fn look(player: &Player<'_>) -> Look {
    let mut look = Look { marks: Vec::new(), busy: false, outcome: Value::Null };
    let mut services: BTreeMap<String, Value> = BTreeMap::new();
    let tasks = player.engine("GET", "/v1.41/tasks");
    let tasks = tasks.as_array().cloned().unwrap_or_default();
    for id in player.services() {
        let service = player.engine("GET", &format!("/v1.41/services/{id}"));
        let Some(name) = service["Spec"]["Name"].as_str() else { continue };
        let state = &service["UpdateStatus"]["State"];
        look.busy |= *state == "updating" || *state == "rollback_started";
        look.marks.push(service["Version"].to_string());
        let (mut live, mut past) = (Vec::new(), BTreeSet::new());
        // Of a slot only so many tasks are remembered. The old one, which runs on beside the new one, may end before or
        // after that one fails, and this decides which of the two is forgotten when a third one comes.
        let forgets = service["Spec"]["UpdateConfig"]["Order"] == "start-first";
        let of_service = || tasks.iter().filter(|task| task["ServiceID"] == id);
        let runs_again = |slot: &Value| {
            of_service().any(|task| task["Slot"] == *slot && task["DesiredState"] == "running")
        };
        for task in of_service() {
            look.marks.push(format!("{} {} {}", task["ID"], task["DesiredState"], task["Status"]["State"]));
            look.busy |= moves(task, player);
            let mut end = outcome(task);
            if service["Spec"]["Mode"].get("Global").is_some() {
                // Which node a replica came to is chance; a global service has one on each.
                end["node"] = task["NodeID"].as_str().and_then(|id| player.host(id)).into();
            }
            if task["DesiredState"] != "shutdown" {
                live.push(end);
            } else if counts(task, name, player) && !(forgets && runs_again(&task["Slot"])) {
                past.insert(end.to_string());
            }
        }
        live.sort_by_key(Value::to_string);
        // How often something was tried, and which slot came first, is chance on a real Swarm.
        let past: Vec<Value> = past.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
        let update = json!({"State": state, "Message": service["UpdateStatus"]["Message"]});
        services.insert(name.to_owned(), json!({"update": update, "live": live, "past": past}));
    }
    look.marks.sort();
    look.outcome = json!(services);
    look
}

fn moves(task: &Value, player: &Player<'_>) -> bool {
    let text = |pointer: &str| task.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let (state, desired) = (text("/Status/State"), text("/DesiredState"));
    let ended = ["complete", "shutdown", "failed", "rejected", "orphaned", "remove"].contains(&state);
    let runs = state == "running" && desired == "running" && !player.ends(text("/Spec/ContainerSpec/Image"));
    let waits = state == "pending" && text("/NodeID").is_empty();
    !(ended || runs || waits)
}

/// Whether a task of the past is compared: one of the image that was asked for last, since how many of others are
/// remembered is chance; and one that ran or said something, since what was called off in time is chance too.
fn counts(task: &Value, service: &str, player: &Player<'_>) -> bool {
    let image = task["Spec"]["ContainerSpec"]["Image"].as_str().unwrap_or_default();
    let stopped = task["Status"]["State"] == "shutdown";
    let exit = task["Status"]["ContainerStatus"]["ExitCode"].as_i64().unwrap_or_default();
    player.is_told(service, image) && !(stopped && (exit == 0 || player.ends(image)))
}

fn outcome(task: &Value) -> Value {
    let status = &task["Status"];
    json!({
        "desired": task["DesiredState"],
        "state": status["State"],
        "message": status["Message"],
        "error": status["Err"],
        "exit": status["ContainerStatus"]["ExitCode"],
        "image": task["Spec"]["ContainerSpec"]["Image"],
    })
}
