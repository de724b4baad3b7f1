//! The Compose keys of a service, outside `deploy`.

use super::{ANY_INTEGER, Key, Keys, Shape, TEXTS, key};

pub(super) const WORDS: Shape = Shape::Any(&[Shape::Text, TEXTS]);
pub(super) const PORTS: Shape =
    Shape::List(&Shape::Any(&[Shape::Integer { min: 1, max: 65535 }, Shape::Text, Shape::Table(&PORT)]));

pub static HEALTHCHECK: Keys = Keys {
    id: "healthcheck",
    doc: "How to tell that a container is healthy",
    known: &[
        key("test", WORDS, "A string, which a shell runs, or a list beginning with CMD, CMD-SHELL or NONE"),
        key("interval", Shape::Text, "Time between checks, e.g. \"30s\""),
        key("timeout", Shape::Text, "A check that takes longer has failed, e.g. \"5s\""),
        key(
            "start_period",
            Shape::Text,
            "Failures within this time after the start do not count, e.g. \"1m\"",
        ),
        key("retries", ANY_INTEGER, "Failures in a row that make the container unhealthy"),
        key("disable", Shape::Boolean, "Turn off the image's own health check"),
    ],
    not_yet: &["start_interval"],
    refused: &[],
};

pub static SERVICE_NETWORK: Keys = Keys {
    id: "service_network",
    doc: "How a service joins a network",
    known: &[key("aliases", TEXTS, "Further names of the service on this network")],
    not_yet: &["driver_opts"],
    refused: &[
        ("ipv4_address", "Swarm gives out addresses itself"),
        ("ipv6_address", "Swarm gives out addresses itself"),
        ("link_local_ips", "Swarm gives out addresses itself"),
        ("mac_address", "Swarm gives out addresses itself"),
        ("priority", "leave it out"),
        ("gw_priority", "leave it out"),
    ],
};

const PORT_TARGET: Shape = Shape::Integer { min: 1, max: 65535 };
const PORT_PUBLISHED: Shape = Shape::Any(&[Shape::Integer { min: 0, max: 65535 }, Shape::Text]);
const PORT_KEYS: &[Key] = &[
    key("target", PORT_TARGET, "The container's port"),
    key("published", PORT_PUBLISHED, "The port outside; left out: the engine chooses"),
    key("protocol", Shape::Choice(&["tcp", "udp", "sctp"]), "Default tcp"),
    key(
        "mode",
        Shape::Choice(&["ingress", "host"]),
        "ingress: on every node, balanced; host: on the nodes that run a task; default ingress",
    ),
];

pub static PORT: Keys = Keys {
    id: "port",
    doc: "A published port",
    known: PORT_KEYS,
    not_yet: &[],
    refused: &[
        ("host_ip", "Swarm publishes on all addresses of a node"),
        ("name", "leave it out"),
        ("app_protocol", "leave it out"),
    ],
};

/// Promised, and not built.
pub(super) const NOT_YET: &[&str] = &[];

const LIMITS: &str = "use `deploy.resources`";
const LEAVE_OUT: &str = "leave it out";
const JOIN_NETWORK: &str = "services on one network find each other by name";

/// Keys that `docker stack deploy` ignores or refuses, with what to write instead.
pub(super) const REFUSED: &[(&str, &str)] = &[
    ("annotations", "use `labels`"),
    ("attach", LEAVE_OUT),
    ("blkio_config", LIMITS),
    ("build", "build and push the image, then name it in `image`"),
    ("cgroup", LEAVE_OUT),
    ("cgroup_parent", LEAVE_OUT),
    ("cgroupns_mode", LEAVE_OUT),
    ("container_name", "Swarm names the containers of a service itself"),
    ("cpu_count", LIMITS),
    ("cpu_percent", LIMITS),
    ("cpu_period", LIMITS),
    ("cpu_quota", LIMITS),
    ("cpu_rt_period", LIMITS),
    ("cpu_rt_runtime", LIMITS),
    ("cpu_shares", LIMITS),
    ("cpus", "write `deploy.resources.limits.cpus`"),
    ("cpuset", LIMITS),
    ("depends_on", "write `after = [\"NAME\"]` if it is to wait until the other runs"),
    ("develop", LEAVE_OUT),
    ("device_cgroup_rules", LEAVE_OUT),
    ("devices", LEAVE_OUT),
    ("dns_opt", "`docker stack deploy` does not know it: leave it out"),
    ("domainname", "write it into `hostname`"),
    ("expose", JOIN_NETWORK),
    ("extends", "use `template` for what customers share"),
    ("external_links", JOIN_NETWORK),
    ("gpus", LIMITS),
    ("group_add", "`docker stack deploy` does not know it: leave it out"),
    ("ipc", LEAVE_OUT),
    ("label_file", "use `labels`"),
    ("links", JOIN_NETWORK),
    ("mac_address", LEAVE_OUT),
    ("mem_limit", "write `deploy.resources.limits.memory`"),
    ("mem_reservation", "write `deploy.resources.reservations.memory`"),
    ("mem_swappiness", LEAVE_OUT),
    ("memswap_limit", LEAVE_OUT),
    ("network_mode", "use `networks`"),
    ("oom_kill_disable", LEAVE_OUT),
    ("oom_score_adj", LEAVE_OUT),
    ("pid", LEAVE_OUT),
    ("pids_limit", "write `deploy.resources.limits.pids`"),
    ("platform", "use `deploy.placement.constraints`, e.g. \"node.platform.arch == x86_64\""),
    ("post_start", LEAVE_OUT),
    ("pre_stop", "use `stop_signal` and `stop_grace_period`"),
    ("privileged", "use `cap_add`"),
    ("profiles", "leave the service out of this customer's file"),
    ("pull_policy", "skep pins the digest, so nodes pull what they lack"),
    ("restart", "use `deploy.restart_policy`"),
    ("runtime", LEAVE_OUT),
    ("scale", "write `deploy.replicas`"),
    ("security_opt", LEAVE_OUT),
    ("shm_size", "use `tmpfs`"),
    ("storage_opt", LEAVE_OUT),
    ("userns_mode", LEAVE_OUT),
    ("uts", LEAVE_OUT),
    ("volume_driver", LEAVE_OUT),
    ("volumes_from", "use `volumes`"),
];

/// Keys that belong one table deeper.
pub fn belongs_under(name: &str) -> Option<&'static str> {
    const DEPLOY: &[&str] = &[
        "endpoint_mode",
        "mode",
        "placement",
        "replicas",
        "resources",
        "restart_policy",
        "rollback_config",
        "update_config",
    ];
    const VERSION: &[&str] = &["downgrade", "exclude", "min_age", "prerelease", "require", "retag", "tags"];
    if DEPLOY.contains(&name) {
        return Some("deploy");
    }
    VERSION.contains(&name).then_some("version")
}
