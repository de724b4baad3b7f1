//! The keys under `[secrets]` and `[configs]`, and of services that use them.

use super::{Key, Keys, PAIRS, Shape, key};

pub(super) const REFERENCES: Shape = Shape::List(&Shape::Any(&[Shape::Text, Shape::Table(&FILE)]));

const COMMON: [Key; 6] = [
    key(
        "file",
        Shape::Text,
        "A file beside this one that holds the content; never outside the specs directory",
    ),
    key("environment", Shape::Text, "A variable of skep's own environment that holds the content"),
    key("external", Shape::Boolean, "It is made by somebody else; default false"),
    key(
        "name",
        Shape::Text,
        "The name in the Swarm; left out: CUSTOMER_KEY, or the key if external. skep adds a suffix to what it makes",
    ),
    key("labels", PAIRS, "Its labels"),
    key("template_driver", Shape::Text, "Fills in templates in the content; Swarm knows \"golang\""),
];

const SECRET_KEYS: [Key; 8] = super::joined(
    COMMON,
    [
        key("driver", Shape::Text, "A secrets plugin that gives out the content"),
        key("driver_opts", Shape::Map { pattern: None, value: &Shape::Scalar }, "The plugin's options"),
    ],
);

const CONFIG_KEYS: [Key; 7] =
    super::joined(COMMON, [key("content", Shape::Text, "The content itself; variables are filled in")]);

pub static SECRET: Keys = Keys {
    id: "secret",
    doc: "A secret that services may use; another content makes another secret, and services move to it",
    known: &SECRET_KEYS,
    not_yet: &[],
    refused: &[("content", "a secret does not belong into a spec: write `file` or `environment`")],
};

pub static CONFIG: Keys = Keys {
    id: "config",
    doc: "A config that services may use; another content makes another config, and services move to it",
    known: &CONFIG_KEYS,
    not_yet: &[],
    refused: &[],
};

pub static FILE: Keys = Keys {
    id: "reference",
    doc: "A secret or config as a file in the containers",
    known: &[
        key("source", Shape::Text, "Its key under [secrets] or [configs]"),
        key(
            "target",
            Shape::Text,
            "The file's name, for a secret under /run/secrets, for a config under /, or its whole path; default the key",
        ),
        key("uid", Shape::Scalar, "The file's owner, by number; default \"0\""),
        key("gid", Shape::Scalar, "The file's group, by number; default \"0\""),
        key(
            "mode",
            Shape::Any(&[Shape::Integer { min: 0, max: 0o777 }, Shape::Text]),
            "The file's rights: 0o440, or in quotes \"0440\"; default 0o444",
        ),
    ],
    not_yet: &[],
    refused: &[],
};
