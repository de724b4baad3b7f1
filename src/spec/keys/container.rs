//! The Compose keys that say how containers are made.

use super::{ANY_INTEGER, Key, Keys, PAIRS, Shape, TEXTS, key};

pub(super) const ONE_OR_MORE: Shape = Shape::Any(&[Shape::Text, TEXTS]);
/// -1 is no limit.
const SIGNED: Shape = Shape::Integer { min: -1, max: i64::MAX as u64 };
const LIMITS: Shape = Shape::Map { pattern: None, value: &Shape::Any(&[SIGNED, Shape::Table(&ULIMIT)]) };
const MOUNTS: Shape = Shape::List(&Shape::Any(&[Shape::Text, Shape::Table(&MOUNT)]));

pub(super) const KEYS: [Key; 21] = [
    key("hostname", Shape::Text, "The containers' host name; may hold templates such as {{.Task.Slot}}"),
    key("user", Shape::Text, "Who the program runs as: a user, or \"user:group\", by name or number"),
    key("working_dir", Shape::Text, "The directory that the program starts in"),
    key("stop_signal", Shape::Text, "The signal that asks the program to end, e.g. \"SIGINT\""),
    key("stop_grace_period", Shape::Text, "How long it may take to end before it is killed; default \"10s\""),
    key("init", Shape::Boolean, "Run a small init as process 1 that reaps and passes signals on"),
    key("read_only", Shape::Boolean, "The containers' own file system cannot be written"),
    key("tty", Shape::Boolean, "Give the program a terminal"),
    key("stdin_open", Shape::Boolean, "Keep standard input open"),
    key(
        "isolation",
        Shape::Choice(&["default", "process", "hyperv"]),
        "How Windows containers are kept apart",
    ),
    key("cap_add", TEXTS, "Linux capabilities to add, e.g. [\"NET_ADMIN\"]"),
    key("cap_drop", TEXTS, "Linux capabilities to take away, e.g. [\"ALL\"]"),
    key("dns", ONE_OR_MORE, "Name servers of the containers, by address"),
    key("dns_search", ONE_OR_MORE, "Domains in which short names are looked up"),
    key(
        "extra_hosts",
        PAIRS,
        "Further lines of /etc/hosts: a table of name to address, or a list of \"name:address\"",
    ),
    key("sysctls", PAIRS, "Kernel parameters of the containers"),
    key(
        "ulimits",
        LIMITS,
        "Limits of processes by name, e.g. { nofile = 65536 } or { nofile = { soft = 1024, hard = 65536 } }; -1: none",
    ),
    key("logging", Shape::Table(&LOGGING), "Where the containers' output goes"),
    key("volumes", MOUNTS, "Mounts, short (\"data:/var/lib/data:ro\") or long"),
    key("tmpfs", ONE_OR_MORE, "Paths that are memory, e.g. \"/run\" or \"/run:size=64M\""),
    key("credential_spec", Shape::Table(&CREDENTIAL_SPEC), "The account of Windows containers"),
];

pub static ULIMIT: Keys = Keys {
    id: "ulimit",
    doc: "A limit of processes; -1 is none",
    known: &[
        key("soft", SIGNED, "What holds until the process raises it"),
        key("hard", SIGNED, "How far it can raise it"),
    ],
    not_yet: &[],
    refused: &[],
};

pub static LOGGING: Keys = Keys {
    id: "logging",
    doc: "Where the containers' output goes",
    known: &[
        key("driver", Shape::Text, "A logging driver of the nodes, e.g. \"json-file\""),
        key("options", Shape::Map { pattern: None, value: &Shape::Scalar }, "The driver's options"),
    ],
    not_yet: &[],
    refused: &[],
};

pub static CREDENTIAL_SPEC: Keys = Keys {
    id: "credential_spec",
    doc: "The account of Windows containers: one of the three",
    known: &[
        key("file", Shape::Text, "A file in the engine's CredentialSpecs folder"),
        key("registry", Shape::Text, "A value of the node's Windows registry"),
        key("config", Shape::Text, "A key under [configs]"),
    ],
    not_yet: &[],
    refused: &[],
};

pub static MOUNT: Keys = Keys {
    id: "mount",
    doc: "Something mounted into the containers",
    known: &[
        key("type", Shape::Choice(&["volume", "bind", "tmpfs", "npipe"]), "What is mounted"),
        key("source", Shape::Text, "Of a volume its key under [volumes], of others a path of the node"),
        key("target", Shape::Text, "Where in the containers"),
        key("read_only", Shape::Boolean, "The containers cannot write it; default false"),
        key("bind", Shape::Table(&BIND), "Of the type bind"),
        key("volume", Shape::Table(&VOLUME_OPTIONS), "Of the type volume"),
        key("tmpfs", Shape::Table(&TMPFS), "Of the type tmpfs"),
    ],
    not_yet: &[],
    refused: &[
        ("consistency", "Swarm does not use it: leave it out"),
        ("readonly", "write `read_only`"),
        ("destination", "write `target`"),
    ],
};

pub static BIND: Keys = Keys {
    id: "bind",
    doc: "Of a mount of the type bind",
    known: &[key(
        "propagation",
        Shape::Choice(PROPAGATIONS),
        "Which mounts made beneath it later are seen on the other side; default rprivate",
    )],
    not_yet: &[],
    refused: &[
        ("create_host_path", "Swarm never makes the path: make it on the nodes"),
        ("selinux", "`docker stack deploy` ignores it: leave it out"),
    ],
};

pub const PROPAGATIONS: &[&str] = &["rprivate", "private", "rshared", "shared", "rslave", "slave"];

pub static VOLUME_OPTIONS: Keys = Keys {
    id: "volume_options",
    doc: "Of a mount of the type volume",
    known: &[key(
        "nocopy",
        Shape::Boolean,
        "Leave a new volume empty; else it gets what the image has there",
    )],
    not_yet: &[],
    refused: &[("subpath", "`docker stack deploy` of Docker 20.10 ignores it: leave it out")],
};

pub static TMPFS: Keys = Keys {
    id: "tmpfs",
    doc: "Of a mount of the type tmpfs",
    known: &[key("size", Shape::Any(&[ANY_INTEGER, Shape::Text]), "At most so many bytes, e.g. \"64M\"")],
    not_yet: &[],
    refused: &[("mode", "`docker stack deploy` of Docker 20.10 ignores it: leave it out")],
};

pub static VOLUME: Keys = Keys {
    id: "volume",
    doc: "A volume: nodes make it when a task first needs it, and skep never removes it",
    known: &[
        key(
            "external",
            Shape::Boolean,
            "The volume exists already, on every node that needs it; default false",
        ),
        key(
            "name",
            Shape::Text,
            "The volume's name on the nodes; left out: CUSTOMER_KEY, or the key if external",
        ),
        key("driver", Shape::Text, "The volume driver; left out: the engine's own"),
        key("driver_opts", Shape::Map { pattern: None, value: &Shape::Scalar }, "The driver's options"),
        key("labels", PAIRS, "Labels of the volume"),
    ],
    not_yet: &[],
    refused: &[],
};
