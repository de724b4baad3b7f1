//! What an embedded Swarm is made of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::orchestrate::Timing;
use super::state::{Node, Object, State};

/// The real engine's buffer for one listener of events.
const LISTENER_EVENTS_MAX: usize = 1024;

/// Of an embedded Swarm.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engine's time when it is made.
    pub epoch: Timestamp,
    pub hosts: Vec<HostOptions>,
    pub timing: Timing,
    /// `20.10.24`.
    pub version: String,
    /// `1.41`, as (1, 41).
    pub api: (u32, u32),
    /// Events that wait for one listener of `/events`; what is more it never sees.
    pub listener_events_max: usize,
}

/// A host, with its own image store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostOptions {
    pub hostname: String,
    pub role: Role,
    /// `os/architecture`, as manifests have it.
    pub platform: String,
    pub cpus: u32,
    pub memory_bytes: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Manager,
    Worker,
}

impl Default for Options {
    /// One manager, with the delays of a real Swarm.
    fn default() -> Self {
        Self {
            epoch: Timestamp::constant(1_795_000_000, 0),
            hosts: vec![HostOptions::new("n0", Role::Manager)],
            timing: Timing::real(),
            version: "20.10.24".to_owned(),
            api: (1, 41),
            listener_events_max: LISTENER_EVENTS_MAX,
        }
    }
}

impl HostOptions {
    /// Two CPUs, 2 GiB, linux/amd64.
    pub fn new(hostname: &str, role: Role) -> Self {
        let platform = "linux/amd64".to_owned();
        Self { hostname: hostname.to_owned(), role, platform, cpus: 2, memory_bytes: 2 << 30 }
    }
}

/// A Swarm that was just made: its hosts, and the networks that every Swarm has.
pub(super) fn first_state(options: &Options) -> State {
    let mut state = State::default();
    state.cluster_id = state.next_id();
    let now = options.epoch;
    let mut leader = true;
    for (at, host) in options.hosts.iter().enumerate() {
        let manager = host.role == Role::Manager;
        let role = if manager { "manager" } else { "worker" };
        let spec = json!({"Labels": {}, "Role": role, "Availability": "active"});
        let mut object = new_object(&mut state, spec, now);
        object.extra.insert("Engine".to_owned(), engine_description(options));
        let id = object.id.clone();
        let node = Node {
            object,
            hostname: host.hostname.clone(),
            address: format!("192.168.77.{}", 11 + at),
            up: true,
            lost: None,
            leader: manager && std::mem::take(&mut leader),
            platform: host.platform.clone(),
            nano_cpus: i64::from(host.cpus) * 1_000_000_000,
            memory_bytes: host.memory_bytes,
            images: BTreeMap::new(),
        };
        state.nodes.insert(id.clone(), node);
        state.touch_node(&id);
    }
    for (name, driver) in
        [("bridge", "bridge"), ("host", "host"), ("none", "null"), ("docker_gwbridge", "bridge")]
    {
        let mut spec = json!({"Name": name, "Scope": "local", "Driver": driver});
        if name == "bridge" {
            spec["IPAM"] =
                json!({"Driver": "default", "Options": null, "Config": [{"Subnet": "172.17.0.0/16"}]});
            spec["Options"] = json!({
                "com.docker.network.bridge.default_bridge": "true",
                "com.docker.network.bridge.enable_icc": "true",
                "com.docker.network.bridge.enable_ip_masquerade": "true",
                "com.docker.network.bridge.host_binding_ipv4": "0.0.0.0",
                "com.docker.network.bridge.name": "docker0",
                "com.docker.network.driver.mtu": "1500",
            });
        }
        let mut object = new_object(&mut state, spec, now);
        object.id = super::api::view::long_id(&object.id);
        state.networks.insert(object.id.clone(), object);
    }
    let ingress = json!({
        "Name": "ingress", "Scope": "swarm", "Driver": "overlay", "Ingress": true,
        "IPAM": {"Driver": "default", "Options": null, "Config": [{"Subnet": "10.0.0.0/24", "Gateway": "10.0.0.1"}]},
        "Options": {"com.docker.network.driver.overlay.vxlanid_list": "4096"},
    });
    let object = new_object(&mut state, ingress, now);
    state.networks.insert(object.id.clone(), object);
    for name in ["bridge", "host"] {
        let labels = json!({"com.docker.swarm.predefined": "true"});
        let ipam = json!({"Driver": "", "Options": null, "Config": []});
        let spec = json!({"Name": name, "Scope": "swarm", "Driver": name, "Labels": labels, "IPAM": ipam});
        let object = new_object(&mut state, spec, now);
        state.predefined.push(object);
    }
    state
}

/// Plugins of a real engine, in its order.
pub(super) const LOG_PLUGINS: [&str; 10] = [
    "awslogs",
    "fluentd",
    "gcplogs",
    "gelf",
    "journald",
    "json-file",
    "local",
    "logentries",
    "splunk",
    "syslog",
];
pub(super) const NETWORK_PLUGINS: [&str; 6] = ["bridge", "host", "ipvlan", "macvlan", "null", "overlay"];

fn engine_description(options: &Options) -> serde_json::Value {
    let kinds = [("Log", &LOG_PLUGINS[..]), ("Network", &NETWORK_PLUGINS[..]), ("Volume", &["local"][..])];
    let of_kind = |(kind, names): (&'static str, &'static [&'static str])| {
        names.iter().map(move |name| json!({"Type": kind, "Name": name}))
    };
    let plugins: Vec<_> = kinds.into_iter().flat_map(of_kind).collect();
    json!({"EngineVersion": options.version, "Plugins": plugins})
}

/// With a new ID and the next index.
pub(super) fn new_object(state: &mut State, spec: serde_json::Value, now: Timestamp) -> Object {
    let (id, index) = (state.next_id(), state.next_index());
    Object { id, index, created: now, updated: now, spec, extra: BTreeMap::new() }
}
