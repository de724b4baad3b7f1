//! Every key of a spec file, once: the reader refuses what is not here, and the JSON Schema
//! is written from here, so the two cannot drift apart.

mod compose;
mod container;
mod deploy;
mod fleet;
mod network;
mod secret;

pub use compose::{HEALTHCHECK, PORT, SERVICE_NETWORK, belongs_under};
pub use container::{
    BIND, CREDENTIAL_SPEC, LOGGING, MOUNT, PROPAGATIONS, TMPFS, ULIMIT, VOLUME, VOLUME_OPTIONS,
};
pub use deploy::{
    DEPLOY, DISCRETE_RESOURCE, GENERIC_RESOURCE, LIMITS, PLACEMENT, PREFERENCE, RESERVATIONS, RESOURCES,
    RESTART_POLICY, ROLLBACK_CONFIG, UPDATE_CONFIG,
};
pub use fleet::{ALL_OF_FLEET, CONTENTS, DEFAULTS, FLEET, FLEET_LIMITS, FORBID, PRUNE, VERSION_DEFAULTS};
pub use network::{IPAM, NETWORK, SUBNET};
pub use secret::{CONFIG, FILE, SECRET};

/// The keys of one kind of table.
#[derive(Debug)]
pub struct Keys {
    /// Names the table in the schema's `$defs`.
    pub id: &'static str,
    pub doc: &'static str,
    pub known: &'static [Key],
    /// Promised by the contract or an open issue.
    pub not_yet: &'static [&'static str],
    /// Compose keys that Swarm ignores, and slips that are often made, with what to do.
    pub refused: &'static [(&'static str, &'static str)],
}

/// One key: its name, what it means, and what its value looks like.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub doc: &'static str,
    pub shape: Shape,
}

/// What a value looks like, as far as JSON Schema can say it.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Text,
    Boolean,
    /// `false` alone.
    False,
    Integer {
        min: i64,
        max: u64,
    },
    Number,
    /// A string, number or boolean, taken as text.
    Scalar,
    /// A date and time: in TOML without quotes, in JSON Schema's eyes a string.
    Datetime,
    Choice(&'static [&'static str]),
    List(&'static Shape),
    Table(&'static Keys),
    /// A table with free keys, which match the pattern.
    Map {
        pattern: Option<&'static str>,
        value: &'static Shape,
    },
    Any(&'static [Shape]),
}

/// Names of services: `<customer>_<key>` must be a Swarm name.
pub const SERVICE_KEY_PATTERN: &str = "^[a-zA-Z0-9]([a-zA-Z0-9_-]*[a-zA-Z0-9])?$";
/// Keys under `[networks]`, as Compose has them.
pub const NETWORK_KEY_PATTERN: &str = "^[a-zA-Z0-9._-]+$";
/// Keys under `[volumes]`, as Compose has them.
pub const VOLUME_KEY_PATTERN: &str = NETWORK_KEY_PATTERN;
/// Keys under `[secrets]` and `[configs]`, as Compose has them.
pub const BLOB_KEY_PATTERN: &str = NETWORK_KEY_PATTERN;
/// Names under `[vars]`.
pub const VAR_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_-]*$";

pub(super) const ANY_INTEGER: Shape = Shape::Integer { min: 0, max: i64::MAX as u64 };
/// A list of strings.
pub(super) const TEXTS: Shape = Shape::List(&Shape::Text);
/// `KEY=VALUE` strings in a list, or a table.
pub(super) const PAIRS: Shape = Shape::Any(&[TEXTS, Shape::Map { pattern: None, value: &Shape::Scalar }]);

pub(super) const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, doc, shape }
}

/// Two lists of keys as one.
const fn joined<const A: usize, const B: usize, const N: usize>(a: [Key; A], b: [Key; B]) -> [Key; N] {
    let mut all = [a[0]; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < A { a[i] } else { b[i - A] };
        i += 1;
    }
    all
}

pub static SPEC: Keys = Keys {
    id: "spec",
    doc: "A skep spec: one customer, one file, one stack",
    known: &[
        key(
            "template",
            Shape::Text,
            "Name of a file under templates/ that is merged beneath this one: tables merge, scalars and arrays replace; a template may name another",
        ),
        key(
            "vars",
            Shape::Map {
                pattern: Some(VAR_PATTERN),
                value: &Shape::Any(&[Shape::Scalar, Shape::Table(&VAR)]),
            },
            "Values for ${name} inside any string; ${customer} always exists and $$ is a dollar; a template may declare them",
        ),
        key(
            "suspend",
            SUSPEND_SHAPE,
            "Hold the whole customer: nothing is changed, everything is still shown",
        ),
        key(
            "prune",
            Shape::Boolean,
            "Remove services and networks of skep's that the file no longer names, and the whole stack a while after the file is gone; volumes stay always; default true",
        ),
        key("drift", DRIFT_SHAPE, DRIFT_DOC),
        key(
            "services",
            Shape::Map {
                pattern: Some(SERVICE_KEY_PATTERN),
                value: &Shape::Any(&[Shape::Table(&SERVICE), Shape::False]),
            },
            "The customer's services by key; `false` drops a service of the template",
        ),
        key(
            "networks",
            Shape::Map { pattern: Some(NETWORK_KEY_PATTERN), value: &Shape::Table(&NETWORK) },
            "Networks that services may name",
        ),
        key(
            "volumes",
            Shape::Map { pattern: Some(VOLUME_KEY_PATTERN), value: &Shape::Table(&VOLUME) },
            "Volumes that services may mount",
        ),
        key(
            "secrets",
            Shape::Map { pattern: Some(BLOB_KEY_PATTERN), value: &Shape::Table(&SECRET) },
            "Secrets that services may use",
        ),
        key(
            "configs",
            Shape::Map { pattern: Some(BLOB_KEY_PATTERN), value: &Shape::Table(&CONFIG) },
            "Configs that services may use",
        ),
    ],
    not_yet: &[],
    refused: &[
        ("name", "the stack is named by the file"),
        ("customer", "the customer is named by the file"),
        ("version", "`version` belongs to a service: `[services.NAME]`"),
        ("image", "`image` belongs to a service: `[services.NAME]`"),
        ("environment", "`environment` belongs to a service: `[services.NAME]`"),
        ("deploy", "`deploy` belongs to a service: `[services.NAME]`"),
        ("adopt", "`adopt` belongs to a service: `[services.NAME]`"),
        ("include", "use `template` for what customers share"),
        ("extends", "use `template` for what customers share"),
    ],
};

pub static VAR: Keys = Keys {
    id: "var",
    doc: "A variable as a template declares it",
    known: &[
        key(
            "type",
            Shape::Choice(&["string", "integer", "boolean", "enum"]),
            "What its value must be; left out: a string, number or boolean",
        ),
        key("default", Shape::Scalar, "Its value where neither the customer nor a template above gives one"),
        key("required", Shape::Boolean, "The customer must give it: so it is where there is no default"),
        key("values", TEXTS, "Of an enum: what it may be"),
        key("pattern", Shape::Text, "Of a string: a regular expression that the whole value must match"),
        key("description", Shape::Text, "What it is for, said where it is missing"),
    ],
    not_yet: &[],
    refused: &[],
};

pub static SUSPEND: Keys = Keys {
    id: "suspend",
    doc: "A hold with its reason and, if it ends by itself, its end",
    known: &[
        key("reason", Shape::Text, "Why, for the people who see it in `skep status`"),
        key(
            "until",
            Shape::Any(&[Shape::Datetime]),
            "When the hold ends by itself: a date and time with an offset, e.g. 2026-12-01T08:00:00Z",
        ),
    ],
    not_yet: &[],
    refused: &[],
};

const SUSPEND_SHAPE: Shape = Shape::Any(&[Shape::Text, Shape::Table(&SUSPEND)]);

pub static VERSION: Keys = Keys {
    id: "version",
    doc: "Which versions may run",
    known: &[
        key("require", Shape::Text, "A semver requirement as Cargo reads it, e.g. \"^1.4\"; default \"*\""),
        key(
            "prerelease",
            Shape::Any(&[Shape::Boolean, TEXTS]),
            "Which pre-releases may be chosen: false, true, or first identifiers such as [\"rc\"]; default false",
        ),
        key(
            "tags",
            Shape::Text,
            "How tags spell the version: text with one {version}, e.g. \"{version}-alpine\"; default \"{version}\", a leading v allowed",
        ),
        key(
            "exclude",
            TEXTS,
            "Never chosen: requirements, or full versions, which mean exactly themselves (\"1.4.2\" is \"=1.4.2\")",
        ),
        key(
            "min_age",
            Shape::Text,
            "How long ago skep must first have seen this tag and digest, e.g. \"2h\"; default \"0s\"",
        ),
        key(
            "retag",
            Shape::Choice(&["follow", "hold"]),
            "When the tag's digest changes: follow (pull again) or hold (stay); default follow",
        ),
        key("downgrade", Shape::Boolean, "May the version go down; default false"),
    ],
    not_yet: &[],
    refused: &[
        ("requirement", "write `require`"),
        ("req", "write `require`"),
        ("pre", "write `prerelease`"),
        ("pattern", "write `tags`"),
    ],
};

const VERSION_SHAPE: Shape = Shape::Any(&[Shape::Text, Shape::Table(&VERSION)]);
const JOINED_SHAPE: Shape =
    Shape::Any(&[TEXTS, Shape::Map { pattern: None, value: &Shape::Table(&SERVICE_NETWORK) }]);

const DRIFT_SHAPE: Shape = Shape::Choice(&["correct", "warn"]);
const DRIFT_DOC: &str = "When somebody else changes a field that skep owns: correct (put it back) or warn (only tell, until the spec or the version changes); default correct";

const OWN_SERVICE_KEYS: [Key; 18] = [
    key(
        "image",
        Shape::Text,
        "A repository without a tag (skep chooses the highest version), a full version tag, or a digest",
    ),
    key(
        "version",
        VERSION_SHAPE,
        "Which versions may run: a semver requirement, or a table; left out: the highest release",
    ),
    key("adopt", Shape::Boolean, "Take over a service of this name that skep did not create"),
    key("suspend", SUSPEND_SHAPE, "Hold this service: nothing is changed, everything is still shown"),
    key(
        "on_failure",
        Shape::Choice(&["rollback", "hold"]),
        "When a rollout failed and Swarm did not roll back by itself: rollback (once, to the last good image) or hold; default rollback",
    ),
    key(
        "after",
        TEXTS,
        "Keys of services that must be in sync and running before this one is created or changed; default none",
    ),
    key("drift", DRIFT_SHAPE, DRIFT_DOC),
    key("environment", PAIRS, "Environment variables: a table, or a list of \"KEY=VALUE\""),
    key(
        "env_file",
        container::ONE_OR_MORE,
        "Files beside this one with lines KEY=VALUE, which `environment` overrides",
    ),
    key("command", compose::WORDS, "The command: a list, or a string that is split into words"),
    key("entrypoint", compose::WORDS, "The entry point: a list, or a string that is split into words"),
    key("labels", PAIRS, "Labels of the containers"),
    key("healthcheck", Shape::Table(&HEALTHCHECK), "How to tell that a container is healthy"),
    key("networks", JOINED_SHAPE, "Keys of the top-level networks: a list, or a table with aliases"),
    key("ports", compose::PORTS, "Published ports, short (\"8080:80/tcp\") or long"),
    key("secrets", secret::REFERENCES, "Keys of the top-level secrets, or tables that say which file"),
    key("configs", secret::REFERENCES, "Keys of the top-level configs, or tables that say which file"),
    key("deploy", Shape::Table(&DEPLOY), "How Swarm runs the service"),
];

const SERVICE_KEYS: [Key; OWN_SERVICE_KEYS.len() + container::KEYS.len()] =
    joined(OWN_SERVICE_KEYS, container::KEYS);

pub static SERVICE: Keys = Keys {
    id: "service",
    doc: "A service: which version runs, and how (Compose keys)",
    known: &SERVICE_KEYS,
    not_yet: compose::NOT_YET,
    refused: compose::REFUSED,
};

/// All tables, for the schema and for tests.
pub static ALL: &[&Keys] = &[
    &SPEC,
    &VAR,
    &SUSPEND,
    &NETWORK,
    &IPAM,
    &SUBNET,
    &SERVICE,
    &VERSION,
    &HEALTHCHECK,
    &SERVICE_NETWORK,
    &PORT,
    &DEPLOY,
    &UPDATE_CONFIG,
    &ROLLBACK_CONFIG,
    &RESTART_POLICY,
    &PLACEMENT,
    &PREFERENCE,
    &RESOURCES,
    &LIMITS,
    &RESERVATIONS,
    &GENERIC_RESOURCE,
    &DISCRETE_RESOURCE,
    &ULIMIT,
    &LOGGING,
    &CREDENTIAL_SPEC,
    &MOUNT,
    &BIND,
    &VOLUME_OPTIONS,
    &TMPFS,
    &VOLUME,
    &SECRET,
    &CONFIG,
    &FILE,
];
