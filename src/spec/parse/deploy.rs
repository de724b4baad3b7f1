//! `deploy`, and what its keys say together.

use std::time::Duration;

use super::reader::{Context, Item, TableReader};
use super::report::join_key;
use super::service::{read_duration, read_labels};
use super::tree::Value;
use super::units;
use crate::spec::keys::{
    DEPLOY, DISCRETE_RESOURCE, GENERIC_RESOURCE, Keys, LIMITS, PLACEMENT, PREFERENCE, RESERVATIONS,
    RESOURCES, RESTART_POLICY, ROLLBACK_CONFIG, UPDATE_CONFIG,
};
use crate::spec::{
    Compose, Deploy, EndpointMode, FailureAction, Mode, Placement, PortMode, ResourceAmounts, Resources,
    RestartCondition, RestartPolicy, UpdateConfig, UpdateOrder,
};

/// The least that Swarm takes for a task's memory, in bytes (0 aside).
const MEMORY_BYTES_MIN: u64 = 4 << 20;
/// The least that Swarm takes of a CPU, in billionths (0 aside).
const NANO_CPUS_MIN: u64 = 1_000_000;

const MODES: &[(&str, Mode)] = &[
    ("replicated", Mode::Replicated),
    ("global", Mode::Global),
    ("replicated-job", Mode::ReplicatedJob),
    ("global-job", Mode::GlobalJob),
];
const ENDPOINTS: &[(&str, EndpointMode)] = &[("vip", EndpointMode::Vip), ("dnsrr", EndpointMode::Dnsrr)];
const ACTIONS: &[(&str, FailureAction)] = &[
    ("pause", FailureAction::Pause),
    ("continue", FailureAction::Continue),
    ("rollback", FailureAction::Rollback),
];
const ORDERS: &[(&str, UpdateOrder)] =
    &[("stop-first", UpdateOrder::StopFirst), ("start-first", UpdateOrder::StartFirst)];
const CONDITIONS: &[(&str, RestartCondition)] = &[
    ("none", RestartCondition::None),
    ("on-failure", RestartCondition::OnFailure),
    ("any", RestartCondition::Any),
];

pub(super) fn read_deploy(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Deploy> {
    let mut table = item.table(cx, &DEPLOY)?;
    let deploy = Deploy {
        mode: table.take("mode").and_then(|item| item.choice(cx, MODES)),
        replicas: table.take("replicas").and_then(|item| item.count(cx)),
        labels: table.take("labels").map(|item| read_labels(cx, &item)).unwrap_or_default(),
        update_config: table.take("update_config").and_then(|item| read_update(cx, &item, &UPDATE_CONFIG)),
        rollback_config: table
            .take("rollback_config")
            .and_then(|item| read_update(cx, &item, &ROLLBACK_CONFIG)),
        restart_policy: table.take("restart_policy").and_then(|item| read_restart(cx, &item)),
        placement: table.take("placement").and_then(|item| read_placement(cx, &item)),
        resources: table.take("resources").and_then(|item| read_resources(cx, &item)),
        endpoint_mode: table.take("endpoint_mode").and_then(|item| item.choice(cx, ENDPOINTS)),
    };
    table.finish(cx);
    Some(deploy)
}

fn read_update(cx: &mut Context<'_>, item: &Item<'_>, keys: &'static Keys) -> Option<UpdateConfig> {
    let mut table = item.table(cx, keys)?;
    // The last one, `rollback`, makes no sense for a rollback.
    let actions = if keys.id == ROLLBACK_CONFIG.id { &ACTIONS[..2] } else { ACTIONS };
    let config = UpdateConfig {
        parallelism: table.take("parallelism").and_then(|item| item.count(cx)),
        delay: duration(cx, &mut table, "delay"),
        failure_action: table.take("failure_action").and_then(|item| item.choice(cx, actions)),
        monitor: duration(cx, &mut table, "monitor"),
        max_failure_ratio: table.take("max_failure_ratio").and_then(|item| read_ratio(cx, &item)),
        order: table.take("order").and_then(|item| item.choice(cx, ORDERS)),
    };
    table.finish(cx);
    Some(config)
}

fn duration(cx: &mut Context<'_>, table: &mut TableReader<'_>, name: &'static str) -> Option<Duration> {
    table.take(name).and_then(|item| read_duration(cx, &item))
}

pub(super) fn read_ratio(cx: &mut Context<'_>, item: &Item<'_>) -> Option<f64> {
    let value = match &item.node.value {
        Value::Integer(value) => value.to_string(),
        Value::Float(text) => text.clone(),
        Value::String(_) => return item.mismatch(cx, "a number", "leave out the quotes"),
        _ => return item.mismatch(cx, "a number", ""),
    };
    match value.parse::<f64>() {
        Ok(ratio) if (0.0..=1.0).contains(&ratio) => Some(ratio),
        _ => {
            item.error(cx, format!("{value} is out of range"), "a share, 0 to 1");
            None
        }
    }
}

fn read_restart(cx: &mut Context<'_>, item: &Item<'_>) -> Option<RestartPolicy> {
    let mut table = item.table(cx, &RESTART_POLICY)?;
    let policy = RestartPolicy {
        condition: table.take("condition").and_then(|item| item.choice(cx, CONDITIONS)),
        delay: duration(cx, &mut table, "delay"),
        max_attempts: table.take("max_attempts").and_then(|item| item.count(cx)),
        window: duration(cx, &mut table, "window"),
    };
    table.finish(cx);
    Some(policy)
}

fn read_placement(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Placement> {
    let mut table = item.table(cx, &PLACEMENT)?;
    let placement = Placement {
        constraints: table.take("constraints").and_then(|item| read_constraints(cx, &item)),
        preferences: table.take("preferences").and_then(|item| read_preferences(cx, &item)),
        max_replicas_per_node: table.take("max_replicas_per_node").and_then(|item| item.count(cx)),
    };
    table.finish(cx);
    Some(placement)
}

fn read_constraints(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<String>> {
    let mut constraints = Vec::new();
    for item in item.list(cx, "strings")? {
        let Some(text) = item.string(cx) else { continue };
        match check_constraint(&text) {
            Ok(()) => constraints.push(text),
            Err(why) => {
                let message = format!("`{}` is not a constraint: {why}", item.shown(&text, 60));
                item.error(cx, message, "write e.g. \"node.role == worker\" or \"node.labels.zone != a\"");
            }
        }
    }
    Some(constraints)
}

/// A constraint on what no node has would leave the tasks pending for ever.
fn check_constraint(text: &str) -> Result<(), &'static str> {
    const NAMES: &[&str] =
        &["node.id", "node.hostname", "node.ip", "node.role", "node.platform.os", "node.platform.arch"];
    const LABELS: &[&str] = &["node.labels.", "engine.labels."];
    let (name, value) =
        text.split_once("==").or_else(|| text.split_once("!=")).ok_or("there is no `==` or `!=`")?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let label = LABELS.iter().any(|prefix| name.len() > prefix.len() && name.starts_with(prefix));
    if !label && !NAMES.contains(&name.as_str()) {
        return Err("nodes have id, hostname, ip, role, platform.os, platform.arch and labels.…");
    }
    if value.is_empty() {
        return Err("there is nothing after the operator");
    }
    if name == "node.role" && !matches!(value.to_ascii_lowercase().as_str(), "manager" | "worker") {
        return Err("the role is manager or worker");
    }
    Ok(())
}

fn read_preferences(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<String>> {
    let mut preferences = Vec::new();
    for item in item.list(cx, "tables")? {
        let Some(mut table) = item.table(cx, &PREFERENCE) else { continue };
        let spread = table.take("spread");
        if spread.is_none() && !cx.partial {
            item.error(cx, "`spread` is missing", "write `{ spread = \"node.labels.zone\" }`");
        }
        preferences.extend(spread.and_then(|item| item.string(cx)));
        table.finish(cx);
    }
    Some(preferences)
}

fn read_resources(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Resources> {
    let mut table = item.table(cx, &RESOURCES)?;
    let resources = Resources {
        limits: table.take("limits").and_then(|item| read_amounts(cx, &item, &LIMITS)),
        reservations: table.take("reservations").and_then(|item| read_amounts(cx, &item, &RESERVATIONS)),
    };
    table.finish(cx);
    Some(resources)
}

fn read_amounts(cx: &mut Context<'_>, item: &Item<'_>, keys: &'static Keys) -> Option<ResourceAmounts> {
    let mut table = item.table(cx, keys)?;
    let cpus = table.take("cpus");
    let nano_cpus = cpus.and_then(|item| read_cpus(cx, &item));
    let memory = table.take("memory");
    let memory_bytes = memory.and_then(|item| read_memory(cx, &item));
    let pids = match keys.id == LIMITS.id {
        true => table.take("pids").and_then(|item| item.count(cx)),
        false => None,
    };
    let generic = match keys.id == RESERVATIONS.id {
        true => table.take("generic_resources").and_then(|item| read_generic(cx, &item)),
        false => None,
    };
    table.finish(cx);
    Some(ResourceAmounts { nano_cpus, memory_bytes, pids, generic })
}

fn read_generic(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<(String, u64)>> {
    let mut resources: Vec<(String, u64)> = Vec::new();
    for item in item.list(cx, "tables")? {
        let Some(mut outer) = item.table(cx, &GENERIC_RESOURCE) else { continue };
        let discrete = outer.take("discrete_resource_spec");
        outer.finish(cx);
        let Some(discrete) = discrete else {
            item.error(cx, "`discrete_resource_spec` is missing", GENERIC_EXAMPLE);
            continue;
        };
        let Some(mut table) = discrete.table(cx, &DISCRETE_RESOURCE) else { continue };
        let kind = table.take("kind").and_then(|item| item.string(cx));
        let value = table.take("value").and_then(|item| item.count(cx));
        table.finish(cx);
        match (kind, value) {
            (Some(kind), Some(value)) if !kind.is_empty() => resources.push((kind, value)),
            _ => discrete.error(cx, "`kind` and `value` belong together", GENERIC_EXAMPLE),
        }
    }
    Some(resources)
}

const GENERIC_EXAMPLE: &str = "write e.g. { discrete_resource_spec = { kind = \"gpu\", value = 1 } }";

pub(super) fn read_cpus(cx: &mut Context<'_>, item: &Item<'_>) -> Option<u64> {
    read_amount(cx, item, "CPUs", units::nano_cpus, NANO_CPUS_MIN, "0.001")
}

pub(super) fn read_memory(cx: &mut Context<'_>, item: &Item<'_>) -> Option<u64> {
    if matches!(item.node.value, Value::Float(_)) {
        return item.mismatch(cx, "a size", "write e.g. \"64M\"");
    }
    read_amount(cx, item, "a size", units::bytes, MEMORY_BYTES_MIN, "4M")
}

/// A string or number that a unit's parser reads, at least `min` unless it is 0.
fn read_amount(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    what: &str,
    parse: fn(&str) -> Result<u64, String>,
    min: u64,
    min_shown: &str,
) -> Option<u64> {
    if matches!(item.node.value, Value::Boolean(_)) {
        return item.mismatch(cx, "a string or a number", "");
    }
    let text = item.scalar(cx)?;
    match parse(&text) {
        Ok(value) if value != 0 && value < min => {
            item.error(
                cx,
                format!("`{}` is too small for Swarm", item.shown(&text, 60)),
                format!("at least {min_shown}"),
            );
            None
        }
        Ok(value) => Some(value),
        Err(help) => {
            item.error(cx, format!("`{}` is not {what}", item.shown(&text, 60)), help);
            None
        }
    }
}

/// What the engine would refuse about keys that are right one by one.
pub(super) fn check_deploy(cx: &mut Context<'_>, service: &TableReader<'_>, key: &str, compose: &Compose) {
    let deploy = &compose.deploy;
    let mode = deploy.mode.unwrap_or(Mode::Replicated);
    let at = |path: &[&str]| {
        service.place(path).map(|span| (span, path.iter().fold(key.to_owned(), |k, p| join_key(&k, p))))
    };
    let global = matches!(mode, Mode::Global | Mode::GlobalJob);
    let job = matches!(mode, Mode::ReplicatedJob | Mode::GlobalJob);
    let per_node = deploy.placement.as_ref().and_then(|p| p.max_replicas_per_node).is_some_and(|n| n > 0);
    let restart = deploy.restart_policy.as_ref().and_then(|p| p.condition);
    let ingress = compose.ports.iter().flatten().any(|port| port.mode == PortMode::Ingress);
    let checks: &[(bool, &[&str], &str, &str)] = &[
        (
            global && deploy.replicas.is_some(),
            &["deploy", "replicas"],
            "a global service has no replicas: it runs once a node",
            "take `replicas` out, or the mode",
        ),
        (
            global && per_node,
            &["deploy", "placement", "max_replicas_per_node"],
            "a global service runs once a node anyway",
            "take it out",
        ),
        (
            job && deploy.update_config.is_some(),
            &["deploy", "update_config"],
            "a job has no updates",
            "take it out",
        ),
        (
            job && deploy.rollback_config.is_some(),
            &["deploy", "rollback_config"],
            "a job has no rollbacks",
            "take it out",
        ),
        (
            job && restart == Some(RestartCondition::Any),
            &["deploy", "restart_policy", "condition"],
            "a job that is restarted whenever it ends never completes",
            "write \"on-failure\" or \"none\"",
        ),
        (
            ingress && deploy.endpoint_mode == Some(EndpointMode::Dnsrr),
            &["deploy", "endpoint_mode"],
            "ports in ingress mode need the endpoint mode vip",
            "publish the ports with `mode = \"host\"`, or take `endpoint_mode` out",
        ),
    ];
    for (wrong, path, message, help) in checks {
        if *wrong && let Some((span, key)) = at(path) {
            cx.error(span, &key, message, *help);
        }
    }
}
