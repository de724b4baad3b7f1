//! Field names and where each stands in the engine's `ServiceSpec`.
//!
//! The places and the zero values are those of the engine's API types, the defaults those
//! that its orchestrator takes for what a spec leaves out (moby's `daemon/cluster/convert`,
//! swarmkit's `api/defaults`).

/// One field, or one family of fields.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The field's name in the spec's vocabulary. One that ends in a dot is the prefix of a
    /// family: what follows is the key, dots included.
    pub name: &'static str,
    /// The keys from the root of the `ServiceSpec` to the value (of a family: to the list or
    /// map that holds it).
    pub path: &'static [&'static str],
    pub(super) form: Form,
}

/// How a value is spelled, compared and changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// `KEY=value` lines.
    Environment,
    /// An entry of a map of strings.
    Label,
    /// A list of strings whose order counts.
    Words,
    /// A string; an empty one is as good as none.
    Text,
    /// A switch; this position acts as if absent, if one does.
    Flag(Option<bool>),
    /// Capabilities: a set, in the engine's spelling.
    Capabilities,
    /// A credential spec as a whole.
    Credentials,
    /// A list of objects whose order does not count.
    Objects,
    /// Secrets or configs, by name and file.
    References,
    /// Mounts, by target.
    Mounts,
    /// A whole number; any of `unset` acts as if it were absent, the last of them is what
    /// the engine takes then.
    Number {
        unit: Unit,
        unset: &'static [u64],
    },
    /// `Parallelism`: where its parent stands, an absent one reads as 0, which is unlimited,
    /// while without the parent it is 1.
    Parallelism,
    /// A share between 0 and 1, held by the engine in 32 bits.
    Ratio,
    /// One of a few words; this one acts as if absent.
    Choice(&'static str),
    Networks,
    Ports,
    Mode,
    Replicas,
    /// Placement constraints: a set.
    Constraints,
    /// Placement preferences: a list.
    Preferences,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Count,
    Nanoseconds,
    Bytes,
    NanoCpus,
}

const CONTAINER: &str = "ContainerSpec";
const TASK: &str = "TaskTemplate";

const fn number(unit: Unit, unset: &'static [u64]) -> Form {
    Form::Number { unit, unset }
}

const COUNT: Form = number(Unit::Count, &[0]);
const NANOS: Form = number(Unit::Nanoseconds, &[0]);
/// The engine keeps no monitor period of 0; the orchestrator then watches for 5 s.
const MONITOR: Form = number(Unit::Nanoseconds, &[0, 5_000_000_000]);
/// A restart delay of 0 is none at all; an absent one is 5 s.
const RESTART_DELAY: Form = number(Unit::Nanoseconds, &[5_000_000_000]);
/// A grace period of 0 is none at all; an absent one is 10 s.
const GRACE: Form = number(Unit::Nanoseconds, &[10_000_000_000]);
const BYTES: Form = number(Unit::Bytes, &[0]);
const CPUS: Form = number(Unit::NanoCpus, &[0]);

const fn entry(name: &'static str, path: &'static [&'static str], form: Form) -> Entry {
    Entry { name, path, form }
}

/// Every field that skep can own, by name.
pub const TABLE: &[Entry] = &[
    entry("cap_add", &[TASK, CONTAINER, "CapabilityAdd"], Form::Capabilities),
    entry("cap_drop", &[TASK, CONTAINER, "CapabilityDrop"], Form::Capabilities),
    entry("command", &[TASK, CONTAINER, "Args"], Form::Words),
    entry("configs", &[TASK, CONTAINER, "Configs"], Form::References),
    entry("credential_spec", &[TASK, CONTAINER, "Privileges", "CredentialSpec"], Form::Credentials),
    entry("deploy.endpoint_mode", &["EndpointSpec", "Mode"], Form::Choice("vip")),
    entry("deploy.labels.", &["Labels"], Form::Label),
    entry("deploy.mode", &["Mode"], Form::Mode),
    entry("deploy.placement.constraints", &[TASK, "Placement", "Constraints"], Form::Constraints),
    entry("deploy.placement.max_replicas_per_node", &[TASK, "Placement", "MaxReplicas"], COUNT),
    entry("deploy.placement.preferences", &[TASK, "Placement", "Preferences"], Form::Preferences),
    entry("deploy.replicas", &["Mode"], Form::Replicas),
    entry("deploy.resources.limits.cpus", &[TASK, "Resources", "Limits", "NanoCPUs"], CPUS),
    entry("deploy.resources.limits.memory", &[TASK, "Resources", "Limits", "MemoryBytes"], BYTES),
    entry("deploy.resources.limits.pids", &[TASK, "Resources", "Limits", "Pids"], COUNT),
    entry("deploy.resources.reservations.cpus", &[TASK, "Resources", "Reservations", "NanoCPUs"], CPUS),
    entry(
        "deploy.resources.reservations.generic_resources",
        &[TASK, "Resources", "Reservations", "GenericResources"],
        Form::Objects,
    ),
    entry("deploy.resources.reservations.memory", &[TASK, "Resources", "Reservations", "MemoryBytes"], BYTES),
    entry("deploy.restart_policy.condition", &[TASK, "RestartPolicy", "Condition"], Form::Choice("any")),
    entry("deploy.restart_policy.delay", &[TASK, "RestartPolicy", "Delay"], RESTART_DELAY),
    entry("deploy.restart_policy.max_attempts", &[TASK, "RestartPolicy", "MaxAttempts"], COUNT),
    entry("deploy.restart_policy.window", &[TASK, "RestartPolicy", "Window"], NANOS),
    entry("deploy.rollback_config.delay", &["RollbackConfig", "Delay"], NANOS),
    entry(
        "deploy.rollback_config.failure_action",
        &["RollbackConfig", "FailureAction"],
        Form::Choice("pause"),
    ),
    entry("deploy.rollback_config.max_failure_ratio", &["RollbackConfig", "MaxFailureRatio"], Form::Ratio),
    entry("deploy.rollback_config.monitor", &["RollbackConfig", "Monitor"], MONITOR),
    entry("deploy.rollback_config.order", &["RollbackConfig", "Order"], Form::Choice("stop-first")),
    entry("deploy.rollback_config.parallelism", &["RollbackConfig", "Parallelism"], Form::Parallelism),
    entry("deploy.update_config.delay", &["UpdateConfig", "Delay"], NANOS),
    entry("deploy.update_config.failure_action", &["UpdateConfig", "FailureAction"], Form::Choice("pause")),
    entry("deploy.update_config.max_failure_ratio", &["UpdateConfig", "MaxFailureRatio"], Form::Ratio),
    entry("deploy.update_config.monitor", &["UpdateConfig", "Monitor"], MONITOR),
    entry("deploy.update_config.order", &["UpdateConfig", "Order"], Form::Choice("stop-first")),
    entry("deploy.update_config.parallelism", &["UpdateConfig", "Parallelism"], Form::Parallelism),
    entry("dns", &[TASK, CONTAINER, "DNSConfig", "Nameservers"], Form::Words),
    entry("dns_search", &[TASK, CONTAINER, "DNSConfig", "Search"], Form::Words),
    entry("entrypoint", &[TASK, CONTAINER, "Command"], Form::Words),
    entry("environment.", &[TASK, CONTAINER, "Env"], Form::Environment),
    entry("extra_hosts", &[TASK, CONTAINER, "Hosts"], Form::Words),
    entry("healthcheck.interval", &[TASK, CONTAINER, "Healthcheck", "Interval"], NANOS),
    entry("healthcheck.retries", &[TASK, CONTAINER, "Healthcheck", "Retries"], COUNT),
    entry("healthcheck.start_period", &[TASK, CONTAINER, "Healthcheck", "StartPeriod"], NANOS),
    entry("healthcheck.test", &[TASK, CONTAINER, "Healthcheck", "Test"], Form::Words),
    entry("healthcheck.timeout", &[TASK, CONTAINER, "Healthcheck", "Timeout"], NANOS),
    entry("hostname", &[TASK, CONTAINER, "Hostname"], Form::Text),
    entry("init", &[TASK, CONTAINER, "Init"], Form::Flag(None)),
    entry("isolation", &[TASK, CONTAINER, "Isolation"], Form::Choice("default")),
    entry("labels.", &[TASK, CONTAINER, "Labels"], Form::Label),
    entry("logging.driver", &[TASK, "LogDriver", "Name"], Form::Text),
    entry("logging.options.", &[TASK, "LogDriver", "Options"], Form::Label),
    entry("networks", &[TASK, "Networks"], Form::Networks),
    entry("ports", &["EndpointSpec", "Ports"], Form::Ports),
    entry("read_only", &[TASK, CONTAINER, "ReadOnly"], Form::Flag(Some(false))),
    entry("secrets", &[TASK, CONTAINER, "Secrets"], Form::References),
    entry("stdin_open", &[TASK, CONTAINER, "OpenStdin"], Form::Flag(Some(false))),
    entry("stop_grace_period", &[TASK, CONTAINER, "StopGracePeriod"], GRACE),
    entry("stop_signal", &[TASK, CONTAINER, "StopSignal"], Form::Text),
    entry("sysctls.", &[TASK, CONTAINER, "Sysctls"], Form::Label),
    entry("tty", &[TASK, CONTAINER, "TTY"], Form::Flag(Some(false))),
    entry("ulimits", &[TASK, CONTAINER, "Ulimits"], Form::Objects),
    entry("user", &[TASK, CONTAINER, "User"], Form::Text),
    entry("volumes", &[TASK, CONTAINER, "Mounts"], Form::Mounts),
    entry("working_dir", &[TASK, CONTAINER, "Dir"], Form::Text),
];

/// The entry for a field name, and the key when the entry is a family.
/// `None`: a name that this version of skep does not know.
pub(super) fn find(name: &str) -> Option<(&'static Entry, &str)> {
    TABLE.iter().find_map(|entry| match entry.name.strip_suffix('.') {
        Some(_) => name.strip_prefix(entry.name).filter(|key| !key.is_empty()).map(|key| (entry, key)),
        None => (entry.name == name).then_some((entry, "")),
    })
}

/// Labels that skep and the docker CLI set themselves; never a field of a spec.
pub fn is_reserved_label(key: &str) -> bool {
    key.starts_with("skep.") || key.starts_with("com.docker.stack.")
}
