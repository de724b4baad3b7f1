//! Which nodes a task fits, and why not.

use serde_json::Value;

use super::constraint::{self, kernel_name};
use super::nodes;
use super::spec::{self, number};
use super::used::Used;
use crate::sim::engine::state::{Node, Task};

/// In the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NotReady,
    Resources,
    Constraints,
    Platform,
    HostPort,
    MaxReplicas,
}

/// Why the task does not fit the node.
pub(super) fn misfit(task: &Task, node: &Node, used: &Used) -> Option<Reason> {
    let template = &task.object.spec;
    let placement = template.get("Placement").unwrap_or(&Value::Null);
    let (cpus, memory) = reserved(template);
    if !nodes::takes_tasks(node) {
        return Some(Reason::NotReady);
    }
    if (cpus > 0 && cpus > node.nano_cpus - used.cpus)
        || (memory > 0 && memory > node.memory_bytes - used.memory)
    {
        return Some(Reason::Resources);
    }
    if !constraint::matches(&spec::constraints(template), node) {
        return Some(Reason::Constraints);
    }
    if !runs_on(placement, &node.platform) {
        return Some(Reason::Platform);
    }
    if host_ports(&task.endpoint).iter().any(|port| used.ports.contains_key(port)) {
        return Some(Reason::HostPort);
    }
    let limit = number(placement, "MaxReplicas").filter(|limit| *limit > 0);
    let here = used.active_of(&task.service);
    if limit.is_some_and(|limit| u64::try_from(here).unwrap_or(u64::MAX) >= limit) {
        return Some(Reason::MaxReplicas);
    }
    None
}

/// As Swarm words it: the reason that holds for most nodes first.
pub(super) fn explain(reasons: &[Reason]) -> String {
    let order = [
        Reason::NotReady,
        Reason::Resources,
        Reason::Constraints,
        Reason::Platform,
        Reason::HostPort,
        Reason::MaxReplicas,
    ];
    let count = |reason: Reason| reasons.iter().filter(|other| **other == reason).count();
    let mut counted: Vec<(Reason, usize)> = order.into_iter().map(|reason| (reason, count(reason))).collect();
    counted.retain(|(_, count)| *count > 0);
    counted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let words: Vec<String> = counted.into_iter().map(|(reason, count)| words(reason, count)).collect();
    words.join("; ")
}

fn words(reason: Reason, count: usize) -> String {
    let nodes = if count == 1 { "node" } else { "nodes" };
    match reason {
        Reason::NotReady => format!("{count} {nodes} not available for new tasks"),
        Reason::Resources => format!("insufficient resources on {count} {nodes}"),
        Reason::Constraints => format!("scheduling constraints not satisfied on {count} {nodes}"),
        Reason::Platform => format!("unsupported platform on {count} {nodes}"),
        Reason::HostPort => format!("host-mode port already in use on {count} {nodes}"),
        Reason::MaxReplicas => "max replicas per node limit exceed".to_owned(),
    }
}

/// Nano-CPUs and bytes.
pub(super) fn reserved(template: &Value) -> (i64, i64) {
    let of = |key: &str| {
        let pointer = format!("/Resources/Reservations/{key}");
        template.pointer(&pointer).and_then(Value::as_i64).unwrap_or(0)
    };
    (of("NanoCPUs"), of("MemoryBytes"))
}

pub(super) fn host_ports(endpoint: &Value) -> Vec<(String, u64)> {
    let ports = endpoint.get("Ports").and_then(Value::as_array);
    ports
        .into_iter()
        .flatten()
        .filter(|port| spec::text(port, "PublishMode") == "host")
        .filter_map(|port| {
            let protocol = match spec::text(port, "Protocol") {
                "" => "tcp",
                protocol => protocol,
            };
            Some((protocol.to_owned(), number(port, "PublishedPort").filter(|port| *port > 0)?))
        })
        .collect()
}

fn runs_on(placement: &Value, platform: &str) -> bool {
    let platforms = placement.get("Platforms").and_then(Value::as_array);
    let Some(platforms) = platforms.filter(|platforms| !platforms.is_empty()) else { return true };
    let (os, architecture) = platform.split_once('/').unwrap_or((platform, ""));
    let matches = |wanted: &str, have: &str| wanted.is_empty() || wanted.eq_ignore_ascii_case(have);
    platforms.iter().any(|wanted| {
        matches(spec::text(wanted, "OS"), os)
            && matches(kernel_name(spec::text(wanted, "Architecture")), kernel_name(architecture))
    })
}
