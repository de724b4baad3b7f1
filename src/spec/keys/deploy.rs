//! The keys of a service's `deploy`.

use super::{ANY_INTEGER, Key, Keys, PAIRS, Shape, TEXTS, key};

pub static DEPLOY: Keys = Keys {
    id: "deploy",
    doc: "How Swarm runs the service",
    known: &[
        key(
            "mode",
            Shape::Choice(&["replicated", "global", "replicated-job", "global-job"]),
            "replicated: so many tasks; global: one a node; the jobs run to completion; default replicated",
        ),
        key("replicas", ANY_INTEGER, "How many tasks; of a replicated job, how many completions"),
        key("labels", PAIRS, "Labels of the service"),
        key("update_config", Shape::Table(&UPDATE_CONFIG), "How updates roll out"),
        key("rollback_config", Shape::Table(&ROLLBACK_CONFIG), "How rollbacks roll out"),
        key("restart_policy", Shape::Table(&RESTART_POLICY), "What Swarm does when a task ends"),
        key("placement", Shape::Table(&PLACEMENT), "Which nodes may run tasks"),
        key("resources", Shape::Table(&RESOURCES), "Limits and reservations of a task"),
        key(
            "endpoint_mode",
            Shape::Choice(&["vip", "dnsrr"]),
            "How the service's name resolves: one virtual address, or the tasks' own; default vip",
        ),
    ],
    not_yet: &[],
    refused: &[],
};

const PARALLELISM: Key = key("parallelism", ANY_INTEGER, "Tasks at once; 0: all");
const DELAY: Key = key("delay", Shape::Text, "Time between batches, e.g. \"10s\"");
const MONITOR: Key =
    key("monitor", Shape::Text, "How long after its start a task's failure counts against the rollout");
const MAX_FAILURE_RATIO: Key =
    key("max_failure_ratio", Shape::Number, "Share of failures that is borne, 0 to 1");
const ORDER: Key = key(
    "order",
    Shape::Choice(&["stop-first", "start-first"]),
    "Whether the old task stops before the new one starts; default stop-first",
);

pub static UPDATE_CONFIG: Keys = Keys {
    id: "update_config",
    doc: "How updates roll out",
    known: &[
        PARALLELISM,
        DELAY,
        key(
            "failure_action",
            Shape::Choice(&["pause", "continue", "rollback"]),
            "What Swarm does when the rollout fails; default pause",
        ),
        MONITOR,
        MAX_FAILURE_RATIO,
        ORDER,
    ],
    not_yet: &[],
    refused: &[],
};

pub static ROLLBACK_CONFIG: Keys = Keys {
    id: "rollback_config",
    doc: "How rollbacks roll out",
    known: &[
        PARALLELISM,
        DELAY,
        key(
            "failure_action",
            Shape::Choice(&["pause", "continue"]),
            "What Swarm does when the rollback fails; default pause",
        ),
        MONITOR,
        MAX_FAILURE_RATIO,
        ORDER,
    ],
    not_yet: &[],
    refused: &[],
};

pub static RESTART_POLICY: Keys = Keys {
    id: "restart_policy",
    doc: "What Swarm does when a task ends",
    known: &[
        key("condition", Shape::Choice(&["none", "on-failure", "any"]), "When to restart; default any"),
        key("delay", Shape::Text, "Time before a restart, e.g. \"5s\""),
        key("max_attempts", ANY_INTEGER, "Restarts before giving up; 0: without end"),
        key("window", Shape::Text, "Over what time attempts are counted, e.g. \"2m\""),
    ],
    not_yet: &[],
    refused: &[],
};

pub static PLACEMENT: Keys = Keys {
    id: "placement",
    doc: "Which nodes may run tasks",
    known: &[
        key("constraints", TEXTS, "E.g. \"node.role == worker\", \"node.labels.zone != a\""),
        key("preferences", Shape::List(&Shape::Table(&PREFERENCE)), "How tasks are spread"),
        key("max_replicas_per_node", ANY_INTEGER, "At most so many tasks on a node; 0: no limit"),
    ],
    not_yet: &[],
    refused: &[],
};

pub static PREFERENCE: Keys = Keys {
    id: "preference",
    doc: "How tasks are spread",
    known: &[key("spread", Shape::Text, "Spread evenly over this node label, e.g. \"node.labels.zone\"")],
    not_yet: &[],
    refused: &[],
};

pub static RESOURCES: Keys = Keys {
    id: "resources",
    doc: "Limits and reservations of a task",
    known: &[
        key("limits", Shape::Table(&LIMITS), "What a task may use at most"),
        key("reservations", Shape::Table(&RESERVATIONS), "What a node must have free for a task"),
    ],
    not_yet: &[],
    refused: &[],
};

const CPUS: Key = key("cpus", Shape::Any(&[Shape::Number, Shape::Text]), "CPUs, e.g. \"0.5\"");
const MEMORY: Key =
    key("memory", Shape::Any(&[ANY_INTEGER, Shape::Text]), "Bytes, e.g. \"64M\" (1024-based)");

pub static LIMITS: Keys = Keys {
    id: "limits",
    doc: "What a task may use at most",
    known: &[CPUS, MEMORY, key("pids", ANY_INTEGER, "Processes and threads; 0: no limit")],
    not_yet: &[],
    refused: &[("generic_resources", "Swarm knows `generic_resources` only in `reservations`")],
};

pub static RESERVATIONS: Keys = Keys {
    id: "reservations",
    doc: "What a node must have free for a task",
    known: &[
        CPUS,
        MEMORY,
        key(
            "generic_resources",
            Shape::List(&Shape::Table(&GENERIC_RESOURCE)),
            "What nodes offer by name, e.g. [{ discrete_resource_spec = { kind = \"gpu\", value = 1 } }]",
        ),
    ],
    not_yet: &[],
    refused: &[("devices", "use `generic_resources`"), ("pids", "Swarm knows `pids` only in `limits`")],
};

pub static GENERIC_RESOURCE: Keys = Keys {
    id: "generic_resource",
    doc: "Something that nodes offer by name and number",
    known: &[key("discrete_resource_spec", Shape::Table(&DISCRETE_RESOURCE), "A number of one kind")],
    not_yet: &[],
    refused: &[],
};

pub static DISCRETE_RESOURCE: Keys = Keys {
    id: "discrete_resource",
    doc: "A number of one kind",
    known: &[
        key("kind", Shape::Text, "The name that the nodes' `node-generic-resources` give it"),
        key("value", ANY_INTEGER, "How many a task needs"),
    ],
    not_yet: &[],
    refused: &[],
};
