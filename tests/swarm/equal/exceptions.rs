//! Where a stack that skep makes is meant to differ from the docker CLI's, and why.

use std::collections::BTreeSet;

/// Of what the docker CLI makes its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    WhatRenderPrints,
    TheWords,
}

/// A difference that is meant.
struct Exception {
    /// Made of this; `None`: of either.
    of: Option<Of>,
    /// The spec; `*`: all.
    spec: &'static str,
    /// How the pointer begins.
    at: &'static str,
    why: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        of: None,
        spec: "*",
        at: "service /Labels/skep.",
        why: "what skep knows its own by, and applied",
    },
    Exception { of: None, spec: "*", at: "network /Labels/skep.", why: "what skep knows its own by" },
    Exception {
        of: Some(Of::TheWords),
        spec: "*",
        at: "secret /Labels/skep.",
        why: "what skep knows its own by",
    },
    Exception {
        of: Some(Of::TheWords),
        spec: "*",
        at: "config /Labels/skep.",
        why: "what skep knows its own by",
    },
    Exception {
        of: Some(Of::TheWords),
        spec: "tmpfs",
        at: "service /TaskTemplate/ContainerSpec/Mounts",
        why: "the docker CLI reads the key and does nothing; skep mounts memory, and render prints it as a mount",
    },
    Exception {
        of: Some(Of::TheWords),
        spec: "unused",
        at: "secret ",
        why: "skep makes a secret when a service uses it",
    },
    Exception {
        of: Some(Of::TheWords),
        spec: "unused",
        at: "config ",
        why: "skep makes a config when a service uses it",
    },
];

/// A spec that the docker CLI 20.10 refuses: how it is made, and what it says.
type Refusal = (Of, &'static str, &'static str);

const REFUSED: &[Refusal] = &[
    // Later ones know them.
    (Of::WhatRenderPrints, "mode-global-job", "Unknown mode: global-job"),
    (Of::WhatRenderPrints, "mode-replicated-job", "Unknown mode: replicated-job"),
    (Of::TheWords, "mode-global-job", "Unknown mode: global-job"),
    (Of::TheWords, "mode-replicated-job", "Unknown mode: replicated-job"),
    // What skep takes and render spells as the docker CLI wants it.
    (Of::TheWords, "booleans", "must be a string, number or null"),
    (Of::TheWords, "credential-spec-external", "no such config can be found"),
    (Of::TheWords, "dollars-alone", "invalid interpolation format"),
];

/// The only spec that cannot be written as a compose file with its own words.
pub const OF_TEMPLATES: &str = "template-and-vars";

/// Which exception, by its place in the list, allows the difference.
pub fn excuse(of: Of, spec: &str, pointer: &str) -> Option<usize> {
    EXCEPTIONS.iter().position(|it| {
        it.of.is_none_or(|only| only == of)
            && (it.spec == "*" || it.spec == spec)
            && pointer.starts_with(it.at)
    })
}

/// What the docker CLI says when it refuses the spec; `None`: it takes it.
pub fn refusal(of: Of, spec: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(made, name, _)| *made == of && *name == spec).map(|(_, _, said)| *said)
}

/// The exceptions that excuse nothing any more.
pub fn needless(used: &BTreeSet<usize>) -> Vec<String> {
    let needless = EXCEPTIONS.iter().enumerate().filter(|(at, _)| !used.contains(at));
    needless.map(|(_, it)| format!("{}: {}: excuses nothing ({})", it.spec, it.at, it.why)).collect()
}
