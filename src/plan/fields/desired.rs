//! The fields that a spec sets, and what becomes of those it sets no longer.

use std::time::Duration;

use serde_json::{Value, json};

use super::table::is_reserved_label;
use super::{Field, access, values};
use crate::spec::{
    Compose, Customer, Deploy, EndpointMode, FailureAction, Healthcheck, Mode, NetworkAttachment, Placement,
    Port, PortMode, Protocol, ResourceAmounts, RestartCondition, RestartPolicy, Service, UpdateConfig,
    UpdateOrder,
};

/// A network that a service wants and the Swarm does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("network {key:?} does not exist: the Swarm has no network named {name:?}")]
pub struct MissingNetwork {
    /// The key under the spec's `[networks]`.
    pub key: String,
    /// The name it should have in the Swarm.
    pub name: String,
}

/// The name in the Swarm of the network that a spec calls `key`.
pub fn network_name(customer: &Customer, key: &str) -> String {
    match customer.networks.get(key) {
        Some(network) => network.name.clone(),
        None => format!("{}_{key}", customer.name),
    }
}

/// The name in the Swarm of the network that a service joins when its spec names none.
pub fn default_network(customer: &Customer) -> String {
    network_name(customer, DEFAULT_NETWORK)
}

/// Whether a service of the customer joins the network of this name in the Swarm.
pub fn joins(customer: &Customer, service: &Service, name: &str) -> bool {
    let joined = service.compose.networks.as_deref().unwrap_or_default();
    match joined {
        [] => default_network(customer) == name,
        some => some.iter().any(|one| network_name(customer, &one.key) == name),
    }
}

const DEFAULT_NETWORK: &str = "default";

/// The fields that the spec sets, sorted by name. `networks` gives the engine's ID for a
/// network's name in the Swarm (the name itself does for one that is still to be made).
///
/// Labels that skep or the docker CLI sets itself are left out: they are not the spec's.
///
/// # Errors
/// When the service is to join a network that does not exist.
pub fn desired(
    customer: &Customer,
    service: &Service,
    networks: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Field>, MissingNetwork> {
    of_compose(customer, &service.key, &service.compose, networks)
}

/// What a field becomes that skep once set and the spec sets no longer: for `networks` the
/// customer's default network, as `docker stack deploy` does it, for any other `None`, that
/// is, [`super::write`] takes it off.
///
/// # Errors
/// When the default network does not exist.
pub fn released(
    customer: &Customer,
    service: &Service,
    name: &str,
    networks: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Value>, MissingNetwork> {
    released_of(customer, &service.key, name, networks)
}

pub(super) fn released_of(
    customer: &Customer,
    service: &str,
    name: &str,
    networks: &dyn Fn(&str) -> Option<String>,
) -> Result<Option<Value>, MissingNetwork> {
    match name {
        "networks" => attachments(customer, service, &[], networks).map(Some),
        _ => Ok(None),
    }
}

pub(super) fn of_compose(
    customer: &Customer,
    key: &str,
    compose: &Compose,
    networks: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<Field>, MissingNetwork> {
    let mut set = Set(Vec::new());
    for (name, value) in &compose.environment {
        set.put(format!("environment.{name}"), value.as_deref().map_or(Value::Bool(false), Value::from));
    }
    for (name, value) in compose.labels.iter().filter(|(name, _)| !is_reserved_label(name)) {
        set.put(format!("labels.{name}"), value.as_str());
    }
    set.some("command", compose.command.as_deref());
    set.some("entrypoint", compose.entrypoint.as_deref());
    set.some("ports", compose.ports.as_deref().map(ports));
    if let Some(list) = compose.networks.as_deref().filter(|list| !list.is_empty()) {
        set.put("networks", attachments(customer, key, list, networks)?);
    }
    if let Some(check) = &compose.healthcheck {
        healthcheck(&mut set, check);
    }
    super::references::references(&mut set, customer, compose);
    super::container::container(&mut set, customer, &compose.container);
    deploy(&mut set, &compose.deploy);
    set.0.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(set.0)
}

pub(super) struct Set(Vec<Field>);

impl Set {
    pub(super) fn put(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.push(Field { name: name.into(), value: value.into() });
    }
    pub(super) fn some(&mut self, name: impl Into<String>, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }
}

fn healthcheck(set: &mut Set, check: &Healthcheck) {
    set.some("healthcheck.test", check.test.as_deref());
    set.some("healthcheck.interval", check.interval.map(nanoseconds));
    set.some("healthcheck.timeout", check.timeout.map(nanoseconds));
    set.some("healthcheck.start_period", check.start_period.map(nanoseconds));
    // The engine holds retries in 32 signed bits.
    set.some("healthcheck.retries", check.retries.map(|retries| retries.min(i32::MAX.unsigned_abs().into())));
}

fn deploy(set: &mut Set, deploy: &Deploy) {
    set.some("deploy.mode", deploy.mode.map(mode));
    set.some("deploy.replicas", deploy.replicas);
    for (name, value) in deploy.labels.iter().filter(|(name, _)| !is_reserved_label(name)) {
        set.put(format!("deploy.labels.{name}"), value.as_str());
    }
    for (name, config) in
        [("update_config", &deploy.update_config), ("rollback_config", &deploy.rollback_config)]
    {
        if let Some(config) = config {
            update_config(set, &format!("deploy.{name}"), config);
        }
    }
    if let Some(policy) = &deploy.restart_policy {
        restart_policy(set, policy);
    }
    if let Some(placement) = &deploy.placement {
        self::placement(set, placement);
    }
    if let Some(resources) = &deploy.resources {
        amounts(set, "deploy.resources.limits", resources.limits.as_ref());
        if let Some(limits) = &resources.limits {
            set.some("deploy.resources.limits.pids", limits.pids.map(signed));
        }
        amounts(set, "deploy.resources.reservations", resources.reservations.as_ref());
        let generic = resources.reservations.as_ref().and_then(|amounts| amounts.generic.as_deref());
        set.some("deploy.resources.reservations.generic_resources", generic.map(generic_resources));
    }
    set.some("deploy.endpoint_mode", deploy.endpoint_mode.map(endpoint_mode));
}

fn update_config(set: &mut Set, prefix: &str, config: &UpdateConfig) {
    set.some(format!("{prefix}.parallelism"), config.parallelism);
    set.some(format!("{prefix}.delay"), config.delay.map(nanoseconds));
    set.some(format!("{prefix}.failure_action"), config.failure_action.map(failure_action));
    set.some(format!("{prefix}.monitor"), config.monitor.map(nanoseconds));
    set.some(format!("{prefix}.max_failure_ratio"), config.max_failure_ratio.map(values::ratio_value));
    set.some(format!("{prefix}.order"), config.order.map(order));
}

fn restart_policy(set: &mut Set, policy: &RestartPolicy) {
    set.some("deploy.restart_policy.condition", policy.condition.map(condition));
    set.some("deploy.restart_policy.delay", policy.delay.map(nanoseconds));
    set.some("deploy.restart_policy.max_attempts", policy.max_attempts);
    set.some("deploy.restart_policy.window", policy.window.map(nanoseconds));
}

fn placement(set: &mut Set, placement: &Placement) {
    set.some("deploy.placement.constraints", placement.constraints.as_deref());
    set.some("deploy.placement.preferences", placement.preferences.as_deref());
    set.some("deploy.placement.max_replicas_per_node", placement.max_replicas_per_node);
}

fn amounts(set: &mut Set, prefix: &str, amounts: Option<&ResourceAmounts>) {
    if let Some(amounts) = amounts {
        set.some(format!("{prefix}.cpus"), amounts.nano_cpus.map(signed));
        set.some(format!("{prefix}.memory"), amounts.memory_bytes.map(signed));
    }
}

fn generic_resources(resources: &[(String, u64)]) -> Value {
    let one = |(kind, value): &(String, u64)| json!({ "DiscreteResourceSpec": { "Kind": kind, "Value": signed(*value) } });
    resources.iter().map(one).collect()
}

/// The engine counts durations in nanoseconds in 64 signed bits, about 292 years.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    signed(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// What fits the engine's 64 signed bits.
pub(super) fn signed(number: u64) -> u64 {
    number.min(i64::MAX.unsigned_abs())
}

/// Network attachments as the docker CLI makes them: sorted by the network's name, and with
/// the service's key as an alias wherever the network is one that people make.
pub(super) fn attachments(
    customer: &Customer,
    service: &str,
    list: &[NetworkAttachment],
    networks: &dyn Fn(&str) -> Option<String>,
) -> Result<Value, MissingNetwork> {
    let default = [NetworkAttachment { key: DEFAULT_NETWORK.into(), aliases: Vec::new() }];
    let list = if list.is_empty() { &default } else { list };
    let mut named: Vec<_> = list.iter().map(|one| (network_name(customer, &one.key), one)).collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    let attach = |(name, one): (String, &NetworkAttachment)| {
        let Some(target) = networks(&name) else { return Err(MissingNetwork { key: one.key.clone(), name }) };
        let mut aliases: Vec<&str> = one.aliases.iter().map(String::as_str).collect();
        // Also where the spec gives it: the docker CLI does not look.
        if is_user_defined(&name) {
            aliases.push(service);
        }
        Ok(json!({ "Target": target, "Aliases": aliases }))
    };
    named.into_iter().map(attach).collect()
}

/// Networks that every engine has do not take aliases.
fn is_user_defined(name: &str) -> bool {
    !matches!(name, "default" | "bridge" | "host" | "none") && !name.starts_with("container:")
}

/// Published ports in the docker CLI's order: by the port outside, else as the spec has them.
fn ports(ports: &[Port]) -> Value {
    let mut ports: Vec<&Port> = ports.iter().collect();
    ports.sort_by_key(|port| port.published);
    ports.into_iter().map(port).collect()
}

fn port(port: &Port) -> Value {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    let mode = match port.mode {
        PortMode::Ingress => "ingress",
        PortMode::Host => "host",
    };
    json!({
        "Protocol": protocol, "TargetPort": port.target, "PublishedPort": port.published, "PublishMode": mode,
    })
}

fn mode(mode: Mode) -> &'static str {
    match mode {
        Mode::Replicated => "replicated",
        Mode::Global => "global",
        Mode::ReplicatedJob => "replicated-job",
        Mode::GlobalJob => "global-job",
    }
}

fn failure_action(action: FailureAction) -> &'static str {
    match action {
        FailureAction::Pause => "pause",
        FailureAction::Continue => "continue",
        FailureAction::Rollback => "rollback",
    }
}

fn order(order: UpdateOrder) -> &'static str {
    match order {
        UpdateOrder::StopFirst => "stop-first",
        UpdateOrder::StartFirst => "start-first",
    }
}

fn condition(condition: RestartCondition) -> &'static str {
    match condition {
        RestartCondition::None => "none",
        RestartCondition::OnFailure => "on-failure",
        RestartCondition::Any => "any",
    }
}

fn endpoint_mode(mode: EndpointMode) -> &'static str {
    match mode {
        EndpointMode::Vip => "vip",
        EndpointMode::Dnsrr => "dnsrr",
    }
}

/// Why the engine would refuse the desired fields on this service because of its mode, which
/// cannot be changed in place: another `deploy.mode`, replicas for a global service, or an
/// `update_config` for a job. `None`: nothing stands in the way.
pub fn mode_change(observed: &Value, desired: &[Field]) -> Option<String> {
    let (key, runs) = access::kind(observed).unwrap_or(("Replicated", "replicated"));
    let field = |name: &str| desired.iter().find(|field| field.name == name);
    if let Some(wanted) = field("deploy.mode").and_then(|field| field.value.as_str())
        && wanted != runs
    {
        return Some(format!(
            "the service runs as {runs:?} and the spec wants deploy.mode = {wanted:?}, which the engine cannot \
             change in place: remove the service, so that it is made anew, or set deploy.mode = {runs:?}"
        ));
    }
    if !matches!(key, "Replicated" | "ReplicatedJob") && field("deploy.replicas").is_some() {
        return Some(format!(
            "the service runs as {runs:?}, which has no number of replicas: take deploy.replicas out of the spec"
        ));
    }
    let is_update = |field: &&Field| field.name.starts_with("deploy.update_config.");
    if matches!(key, "ReplicatedJob" | "GlobalJob") && desired.iter().any(|field| is_update(&field)) {
        return Some(format!(
            "the service runs as {runs:?}, and the engine refuses an update config for jobs: \
             take deploy.update_config out of the spec"
        ));
    }
    None
}
