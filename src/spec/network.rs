//! The top-level `[networks]`.

use std::collections::BTreeMap;

/// A network that services may name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Network {
    /// The key under `[networks]`.
    pub key: String,
    /// It is made by somebody else.
    pub external: bool,
    /// The network's name in the Swarm.
    pub name: String,
    /// `None`: `overlay`.
    pub driver: Option<String>,
    pub driver_opts: BTreeMap<String, String>,
    pub attachable: bool,
    pub internal: bool,
    pub labels: BTreeMap<String, String>,
    /// `ipam.driver`.
    pub ipam_driver: Option<String>,
    pub subnets: Vec<Subnet>,
}

impl Network {
    /// Whether every node has it of its own: it is never made, and in no list of the Swarm's networks.
    pub fn is_predefined(name: &str) -> bool {
        matches!(name, "bridge" | "host")
    }
}

/// An entry of `ipam.config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// In CIDR notation.
    pub subnet: String,
}
