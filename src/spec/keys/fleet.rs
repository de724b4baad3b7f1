//! The keys of `fleet.toml`.

use super::{ANY_INTEGER, Keys, Shape, TEXTS, key};

pub static FLEET: Keys = Keys {
    id: "fleet",
    doc: "Rules for the whole fleet, checked wherever specs are read",
    known: &[
        key(
            "allowed_images",
            TEXTS,
            "Repositories that services may use: \"registry.example.com/team/*\", or one by its name; left out: all",
        ),
        key("required_labels", TEXTS, "Names that must stand in the `deploy.labels` of every service"),
        key("forbid", Shape::Table(&FORBID), "What no service may have"),
        key("limits", Shape::Table(&FLEET_LIMITS), "What no customer may exceed"),
        key("defaults", Shape::Table(&DEFAULTS), "What holds where a spec says nothing"),
        key(
            "grants",
            Shape::Map { pattern: None, value: &TEXTS },
            "By customer: what it may name although another customer's prefix is on it, e.g. acme = [\"globex_shared\"]; a `*` at the end stands for the rest; also volumes, by their whole name, that several customers name",
        ),
        key(
            "contents",
            Shape::Table(&CONTENTS),
            "Where the content of secrets, configs and env files may come from",
        ),
        key(
            "prune",
            Shape::Any(&[Shape::Boolean, Shape::Table(&PRUNE)]),
            "How what no spec names any more is removed; false: never",
        ),
    ],
    not_yet: &["waves", "windows"],
    refused: &[("services", "services belong into a customer's file, NAME.toml")],
};

pub static FORBID: Keys = Keys {
    id: "forbid",
    doc: "What no service may have",
    known: &[
        key("docker_socket", Shape::Boolean, "A mount of the engine's socket, or of a folder that holds it"),
        key("host_binds", Shape::Boolean, "A mount of any path of the node"),
        key("host_network", Shape::Boolean, "The nodes' own network"),
        key("host_ports", Shape::Boolean, "Ports published with `mode = \"host\"`"),
        key("privileged_ports", Shape::Boolean, "Published ports below 1024"),
        key(
            "cap_add",
            Shape::Any(&[Shape::Boolean, TEXTS]),
            "Capabilities that may not be added, e.g. [\"SYS_ADMIN\"]; true: none may",
        ),
    ],
    not_yet: &[],
    refused: &[],
};

pub static FLEET_LIMITS: Keys = Keys {
    id: "fleet_limits",
    doc: "What no customer may exceed",
    known: &[
        key("services", ANY_INTEGER, "Services of a customer"),
        key("replicas", ANY_INTEGER, "Replicas of a service"),
        key(
            "cpus",
            Shape::Any(&[Shape::Number, Shape::Text]),
            "CPUs of a task, e.g. \"2\"; every service must then have `deploy.resources.limits.cpus`",
        ),
        key(
            "memory",
            Shape::Any(&[ANY_INTEGER, Shape::Text]),
            "Memory of a task, e.g. \"2G\"; every service must then have `deploy.resources.limits.memory`",
        ),
    ],
    not_yet: &[],
    refused: &[],
};

pub static DEFAULTS: Keys = Keys {
    id: "defaults",
    doc: "What holds where a spec says nothing",
    known: &[key("version", Shape::Table(&VERSION_DEFAULTS), "Of a service's `version`")],
    not_yet: &[],
    refused: &[],
};

pub static VERSION_DEFAULTS: Keys = Keys {
    id: "version_defaults",
    doc: "What a service's `version` says where its spec says nothing",
    known: &[
        key(
            "prerelease",
            Shape::Any(&[Shape::Boolean, TEXTS]),
            "Which pre-releases may be chosen: false, true, or first identifiers such as [\"rc\"]",
        ),
        key("exclude", TEXTS, "Never chosen, unless a spec has an `exclude` of its own"),
        key("min_age", Shape::Text, "How long ago skep must first have seen a tag and digest, e.g. \"2h\""),
        key("retag", Shape::Choice(&["follow", "hold"]), "When the tag's digest changes"),
        key("downgrade", Shape::Boolean, "May versions go down"),
    ],
    not_yet: &[],
    refused: &[
        ("require", "each service says itself which versions it wants"),
        ("tags", "each service says itself how its tags are spelt"),
    ],
};

pub static CONTENTS: Keys = Keys {
    id: "contents",
    doc: "Where the content of secrets, configs and env files may come from",
    known: &[
        key(
            "environment",
            TEXTS,
            "Variables that may be named, e.g. [\"${CUSTOMER}_*\"]: `${customer}` is the customer's name, `${CUSTOMER}` the same in upper case with `_` for `-`, a `*` at the end stands for the rest; left out: all that do not begin with another customer's name",
        ),
        key(
            "files",
            TEXTS,
            "Folders of the specs directory whose files may be named, e.g. [\"*/${customer}\", \"shared\"]: `*` is any one folder, \".\" the whole directory; left out: all but those in a folder that has another customer's name",
        ),
    ],
    not_yet: &[],
    refused: &[],
};

pub static PRUNE: Keys = Keys {
    id: "prune",
    doc: "How what no spec names any more is removed",
    known: &[
        key("enabled", Shape::Boolean, "Remove it at all; default true"),
        key(
            "grace",
            Shape::Text,
            "How long a customer's file is gone before its stack goes; default \"10m\"",
        ),
        key(
            "share",
            Shape::Number,
            "The share of all services that may go at once, 0 to 1; more waits for a person; default 0.2",
        ),
    ],
    not_yet: &[],
    refused: &[],
};

/// All tables of `fleet.toml`.
pub static ALL_OF_FLEET: &[&Keys] =
    &[&FLEET, &FORBID, &FLEET_LIMITS, &DEFAULTS, &VERSION_DEFAULTS, &CONTENTS, &PRUNE];
