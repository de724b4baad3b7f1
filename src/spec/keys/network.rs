//! The keys under `[networks]`.

use super::{Keys, PAIRS, Shape, key};

pub static NETWORK: Keys = Keys {
    id: "network",
    doc: "A network that services may name; skep makes it when a service needs it, unless it is external",
    known: &[
        key("external", Shape::Boolean, "The network is made by somebody else; default false"),
        key(
            "name",
            Shape::Text,
            "The network's name in the Swarm; left out: CUSTOMER_KEY, or the key if external",
        ),
        key("driver", Shape::Text, "The network driver; default overlay"),
        key("driver_opts", Shape::Map { pattern: None, value: &Shape::Scalar }, "The driver's options"),
        key("attachable", Shape::Boolean, "Containers that are no service's may join; default false"),
        key("internal", Shape::Boolean, "No way out of it; default false"),
        key("labels", PAIRS, "Labels of the network"),
        key("ipam", Shape::Table(&IPAM), "The network's addresses"),
    ],
    not_yet: &[],
    refused: &[
        (
            "enable_ipv6",
            "`docker stack deploy` does not know it: make the network yourself and write `external = true`",
        ),
        (
            "enable_ipv4",
            "`docker stack deploy` does not know it: make the network yourself and write `external = true`",
        ),
    ],
};

pub static IPAM: Keys = Keys {
    id: "ipam",
    doc: "The network's addresses",
    known: &[
        key("driver", Shape::Text, "Who gives out addresses; default \"default\""),
        key("config", Shape::List(&Shape::Table(&SUBNET)), "The network's subnets"),
    ],
    not_yet: &[],
    refused: &[("options", "`docker stack deploy` ignores it: leave it out")],
};

pub static SUBNET: Keys = Keys {
    id: "subnet",
    doc: "A subnet",
    known: &[key("subnet", Shape::Text, "Its addresses, e.g. \"10.77.0.0/24\"")],
    not_yet: &[],
    refused: &[
        ("gateway", "`docker stack deploy` ignores it: leave it out"),
        ("ip_range", "`docker stack deploy` ignores it: leave it out"),
        ("aux_addresses", "`docker stack deploy` ignores it: leave it out"),
    ],
};
