//! A customer as the compose file that `docker stack deploy` makes the same stack of.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::spec::{
    Blob, BlobRef, Compose, Container, CredentialSpec, Customer, Deploy, EndpointMode, FailureAction,
    Healthcheck, Isolation, Mode, Mount, MountSource, Network, PortMode, Protocol, ResourceAmounts,
    RestartCondition, RestartPolicy, UpdateConfig, UpdateOrder, Volume,
};
use crate::text::printable;

/// The newest version of the format that Docker 20.10 reads.
const VERSION: &str = "3.9";

/// The compose file; `images` has the whole reference of each service, by key.
pub fn compose(customer: &Customer, images: &BTreeMap<String, String>) -> Value {
    let mut file = Table::default();
    file.put("version", VERSION);
    let services = customer.services.iter().map(|(key, service)| {
        let image = images.get(key).map(String::as_str).unwrap_or_default();
        (key.clone(), self::service(customer, image, &service.compose))
    });
    file.put("services", services.collect::<Map<_, _>>());
    let networks = customer.networks.iter().map(|(key, one)| (key.clone(), network(customer, one)));
    file.filled("networks", networks.collect());
    let volumes = customer.volumes.iter().map(|(key, one)| (key.clone(), volume(customer, one)));
    file.filled("volumes", volumes.collect());
    let secrets = customer.secrets.iter().map(|(key, one)| (key.clone(), blob(one)));
    file.filled("secrets", secrets.collect());
    let configs = customer.configs.iter().map(|(key, one)| (key.clone(), blob(one)));
    file.filled("configs", configs.chain(for_the_runtime(customer)).collect());
    Value::Object(file.0)
}

/// A table that leaves out what says nothing.
#[derive(Default)]
struct Table(Map<String, Value>);

impl Table {
    fn put(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    fn some(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn filled(&mut self, key: &str, table: Map<String, Value>) {
        if !table.is_empty() {
            self.put(key, table);
        }
    }

    fn texts(&mut self, key: &str, map: &BTreeMap<String, String>) {
        self.filled(key, map.iter().map(|(name, value)| (name.clone(), text(value))).collect());
    }

    fn words(&mut self, key: &str, words: Option<&Vec<String>>) {
        self.some(key, words.map(|words| words.iter().map(|word| text(word)).collect::<Value>()));
    }

    fn text(&mut self, key: &str, value: Option<&String>) {
        self.some(key, value.map(|value| text(value)));
    }

    fn time(&mut self, key: &str, value: Option<Duration>) {
        self.some(key, value.map(duration));
    }
}

/// The docker CLI fills in variables: a dollar that is none is written twice.
fn text(text: &str) -> Value {
    Value::from(text.replace('$', "$$"))
}

/// As Go reads it, exact to the nanosecond.
fn duration(duration: Duration) -> String {
    match (duration.as_secs(), duration.subsec_nanos()) {
        (seconds, 0) => format!("{seconds}s"),
        (0, nanos) if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
        (seconds, nanos) => format!("{seconds}s{nanos}ns"),
    }
}

fn service(customer: &Customer, image: &str, compose: &Compose) -> Value {
    let mut out = Table::default();
    out.put("image", text(image));
    out.words("entrypoint", compose.entrypoint.as_ref());
    out.words("command", compose.command.as_ref());
    let environment = compose.environment.iter();
    let environment =
        environment.map(|(name, value)| (name.clone(), value.as_deref().map_or(Value::Null, text)));
    out.filled("environment", environment.collect());
    out.texts("labels", &compose.labels);
    out.some("healthcheck", compose.healthcheck.as_ref().map(healthcheck));
    if let Some(networks) = &compose.networks {
        let one = |network: &crate::spec::NetworkAttachment| {
            let mut out = Table::default();
            out.words("aliases", Some(&network.aliases).filter(|aliases| !aliases.is_empty()));
            (network.key.clone(), Value::Object(out.0))
        };
        out.put("networks", networks.iter().map(one).collect::<Map<_, _>>());
    }
    out.some("ports", compose.ports.as_deref().map(ports));
    for (key, list) in [("secrets", &compose.secrets), ("configs", &compose.configs)] {
        out.some(key, list.as_ref().map(|list| list.iter().map(reference).collect::<Value>()));
    }
    container(&mut out, customer, &compose.container);
    out.filled("deploy", deploy(&compose.deploy));
    Value::Object(out.0)
}

fn reference(reference: &BlobRef) -> Value {
    let mut out = Table::default();
    out.put("source", text(&reference.source));
    out.put("target", text(&reference.target));
    out.put("uid", text(&reference.uid));
    out.put("gid", text(&reference.gid));
    out.put("mode", reference.mode);
    Value::Object(out.0)
}

/// Of a credential spec the docker CLI finds a config only under the name that it has in the Swarm.
fn for_the_runtime(customer: &Customer) -> impl Iterator<Item = (String, Value)> {
    let key = |service: &crate::spec::Service| match &service.compose.container.credential_spec {
        Some(CredentialSpec::Config(key)) => Some(key.clone()),
        _ => None,
    };
    customer.services.values().filter_map(key).map(|key| {
        let name = config_name(customer, &key);
        (name.clone(), json!({ "external": true, "name": text(&name) }))
    })
}

fn config_name(customer: &Customer, key: &str) -> String {
    customer.configs.get(key).and_then(Blob::swarm_name).unwrap_or_else(|| key.to_owned())
}

/// As skep makes it, which is not in this file, since nobody is to see what it holds.
fn blob(blob: &Blob) -> Value {
    json!({ "external": true, "name": text(&blob.swarm_name().unwrap_or_default()) })
}

fn healthcheck(check: &Healthcheck) -> Value {
    let mut out = Table::default();
    out.words("test", check.test.as_ref());
    out.time("interval", check.interval);
    out.time("timeout", check.timeout);
    out.time("start_period", check.start_period);
    out.some("retries", check.retries);
    Value::Object(out.0)
}

/// In the docker CLI's own order: its sorting may move others that it takes for equal.
fn ports(ports: &[crate::spec::Port]) -> Value {
    let mut ports: Vec<_> = ports.iter().collect();
    ports.sort_by_key(|port| port.published);
    ports.into_iter().map(port).collect()
}

fn port(port: &crate::spec::Port) -> Value {
    let protocol = match port.protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    };
    let mode = match port.mode {
        PortMode::Ingress => "ingress",
        PortMode::Host => "host",
    };
    let mut out = Table::default();
    out.put("target", port.target);
    out.some("published", Some(port.published).filter(|published| *published != 0));
    out.put("protocol", protocol);
    out.put("mode", mode);
    Value::Object(out.0)
}

fn container(out: &mut Table, customer: &Customer, container: &Container) {
    out.text("hostname", container.hostname.as_ref());
    out.text("user", container.user.as_ref());
    out.text("working_dir", container.working_dir.as_ref());
    out.text("stop_signal", container.stop_signal.as_ref());
    out.time("stop_grace_period", container.stop_grace_period);
    out.some("init", container.init);
    out.some("read_only", container.read_only);
    out.some("tty", container.tty);
    out.some("stdin_open", container.stdin_open);
    out.some(
        "isolation",
        container.isolation.map(|isolation| match isolation {
            Isolation::Default => "default",
            Isolation::Process => "process",
            Isolation::Hyperv => "hyperv",
        }),
    );
    out.words("cap_add", container.cap_add.as_ref());
    out.words("cap_drop", container.cap_drop.as_ref());
    out.words("dns", container.dns.as_ref());
    out.words("dns_search", container.dns_search.as_ref());
    let hosts = container.extra_hosts.as_ref().map(|hosts| {
        let line = |host: &String| match host.split_once(' ') {
            Some((address, name)) => text(&format!("{name}:{address}")),
            None => text(host),
        };
        hosts.iter().map(line).collect::<Value>()
    });
    out.some("extra_hosts", hosts);
    out.texts("sysctls", &container.sysctls);
    out.some(
        "ulimits",
        container.ulimits.as_ref().map(|limits| {
            let one = |limit: &crate::spec::Ulimit| {
                (limit.name.clone(), json!({ "soft": limit.soft, "hard": limit.hard }))
            };
            limits.iter().map(one).collect::<Map<_, _>>()
        }),
    );
    if let Some(logging) = &container.logging {
        let mut table = Table::default();
        table.text("driver", logging.driver.as_ref());
        table.texts("options", &logging.options);
        out.put("logging", table.0);
    }
    out.some("volumes", container.mounts.as_ref().map(|mounts| mounts.iter().map(mount).collect::<Value>()));
    out.some(
        "credential_spec",
        container.credential_spec.as_ref().map(|spec| match spec {
            CredentialSpec::File(file) => json!({ "file": text(file) }),
            CredentialSpec::Registry(value) => json!({ "registry": text(value) }),
            CredentialSpec::Config(key) => json!({ "config": text(&config_name(customer, key)) }),
        }),
    );
}

fn mount(mount: &Mount) -> Value {
    let mut out = Table::default();
    let (kind, source) = match &mount.source {
        MountSource::Volume { key, .. } => ("volume", key.as_ref()),
        MountSource::Bind { path, .. } => ("bind", Some(path)),
        MountSource::Tmpfs { .. } => ("tmpfs", None),
        MountSource::Npipe { path } => ("npipe", Some(path)),
    };
    out.put("type", kind);
    out.text("source", source);
    out.put("target", text(&mount.target));
    out.some("read_only", mount.read_only.then_some(true));
    match &mount.source {
        MountSource::Volume { nocopy: true, .. } => out.put("volume", json!({ "nocopy": true })),
        MountSource::Bind { propagation: Some(propagation), .. } => {
            out.put("bind", json!({ "propagation": propagation }));
        }
        MountSource::Tmpfs { size_bytes: Some(size) } => out.put("tmpfs", json!({ "size": size })),
        _ => {}
    }
    Value::Object(out.0)
}

fn deploy(deploy: &Deploy) -> Map<String, Value> {
    let mut out = Table::default();
    out.some(
        "mode",
        deploy.mode.map(|mode| match mode {
            Mode::Replicated => "replicated",
            Mode::Global => "global",
            Mode::ReplicatedJob => "replicated-job",
            Mode::GlobalJob => "global-job",
        }),
    );
    out.some("replicas", deploy.replicas);
    out.texts("labels", &deploy.labels);
    out.some("update_config", deploy.update_config.as_ref().map(update_config));
    out.some("rollback_config", deploy.rollback_config.as_ref().map(update_config));
    out.some("restart_policy", deploy.restart_policy.as_ref().map(restart_policy));
    if let Some(placement) = &deploy.placement {
        let mut table = Table::default();
        table.words("constraints", placement.constraints.as_ref());
        let preferences = placement.preferences.as_ref();
        let spread = |descriptor: &String| json!({ "spread": text(descriptor) });
        table.some("preferences", preferences.map(|list| list.iter().map(spread).collect::<Value>()));
        table.some("max_replicas_per_node", placement.max_replicas_per_node);
        out.put("placement", table.0);
    }
    if let Some(resources) = &deploy.resources {
        let mut table = Table::default();
        table.some("limits", resources.limits.as_ref().map(amounts));
        table.some("reservations", resources.reservations.as_ref().map(amounts));
        out.put("resources", table.0);
    }
    out.some(
        "endpoint_mode",
        deploy.endpoint_mode.map(|mode| match mode {
            EndpointMode::Vip => "vip",
            EndpointMode::Dnsrr => "dnsrr",
        }),
    );
    out.0
}

fn update_config(config: &UpdateConfig) -> Value {
    let mut out = Table::default();
    out.some("parallelism", config.parallelism);
    out.time("delay", config.delay);
    out.some(
        "failure_action",
        config.failure_action.map(|action| match action {
            FailureAction::Pause => "pause",
            FailureAction::Continue => "continue",
            FailureAction::Rollback => "rollback",
        }),
    );
    out.time("monitor", config.monitor);
    out.some("max_failure_ratio", config.max_failure_ratio);
    out.some(
        "order",
        config.order.map(|order| match order {
            UpdateOrder::StopFirst => "stop-first",
            UpdateOrder::StartFirst => "start-first",
        }),
    );
    Value::Object(out.0)
}

fn restart_policy(policy: &RestartPolicy) -> Value {
    let mut out = Table::default();
    out.some(
        "condition",
        policy.condition.map(|condition| match condition {
            RestartCondition::None => "none",
            RestartCondition::OnFailure => "on-failure",
            RestartCondition::Any => "any",
        }),
    );
    out.time("delay", policy.delay);
    out.some("max_attempts", policy.max_attempts);
    out.time("window", policy.window);
    Value::Object(out.0)
}

fn amounts(amounts: &ResourceAmounts) -> Value {
    let mut out = Table::default();
    let cpus = |nano: u64| format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    out.some("cpus", amounts.nano_cpus.map(cpus));
    out.some("memory", amounts.memory_bytes.map(|bytes| format!("{bytes}b")));
    out.some("pids", amounts.pids);
    let discrete = |(kind, value): &(String, u64)| json!({ "discrete_resource_spec": { "kind": text(kind), "value": value } });
    let generic = amounts.generic.as_ref();
    out.some("generic_resources", generic.map(|list| list.iter().map(discrete).collect::<Value>()));
    Value::Object(out.0)
}

/// The name as it must stand, unless `docker stack deploy` makes it by itself.
fn name(customer: &Customer, key: &str, name: &str, external: bool) -> Option<Value> {
    let own = if external { key.to_owned() } else { format!("{}_{key}", customer.name) };
    (own != name).then(|| text(name))
}

fn network(customer: &Customer, network: &Network) -> Value {
    let mut out = Table::default();
    out.some("external", network.external.then_some(true));
    out.some("name", name(customer, &network.key, &network.name, network.external));
    out.text("driver", network.driver.as_ref());
    out.texts("driver_opts", &network.driver_opts);
    out.some("attachable", network.attachable.then_some(true));
    out.some("internal", network.internal.then_some(true));
    out.texts("labels", &network.labels);
    if network.ipam_driver.is_some() || !network.subnets.is_empty() {
        let mut ipam = Table::default();
        ipam.text("driver", network.ipam_driver.as_ref());
        let subnets = network.subnets.iter().map(|one| json!({ "subnet": text(&one.subnet) }));
        ipam.put("config", subnets.collect::<Value>());
        out.put("ipam", ipam.0);
    }
    Value::Object(out.0)
}

fn volume(customer: &Customer, volume: &Volume) -> Value {
    let mut out = Table::default();
    out.some("external", volume.external.then_some(true));
    out.some("name", name(customer, &volume.key, &volume.name, volume.external));
    out.text("driver", volume.driver.as_ref());
    out.texts("driver_opts", &volume.driver_opts);
    out.texts("labels", &volume.labels);
    Value::Object(out.0)
}

/// What `docker stack deploy` would make of the file otherwise than skep does, as its comments.
pub fn notes(customer: &Customer) -> String {
    let mut notes = String::new();
    for (key, service) in &customer.services {
        let empty = |value: &Option<String>| value.as_deref().is_none_or(str::is_empty);
        let variables = service.compose.environment.iter().filter(|(_, value)| empty(value));
        let names: Vec<String> = variables.map(|(name, _)| printable(name, NAME_CHARS_MAX)).collect();
        if !names.is_empty() {
            // Writing to a string cannot fail.
            let _ = writeln!(
                notes,
                "# {key}: a variable without a value gets the one that it has where `docker stack deploy` runs, if \
                 any: {}",
                names.join(", ")
            );
        }
    }
    notes
}

/// Characters of a variable's name in a comment.
const NAME_CHARS_MAX: usize = 80;
