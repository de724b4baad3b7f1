//! The selection's answers in words.

use std::fmt;

use crate::text::printable;

use super::{NoChoice, Platform, RejectReason, Rejected};

/// Characters of a foreign text in our messages: a tag has at most 128.
const SHOWN_MAX: usize = 128;
/// Versions passed over that a sentence names.
const PASSED_OVER_SHOWN: usize = 3;

impl RejectReason {
    /// As in the JSON of `explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotSemver => "NotSemver",
            Self::Prerelease => "Prerelease",
            Self::NotMatching => "NotMatching",
            Self::Excluded => "Excluded",
            Self::Refused => "Refused",
            Self::TooYoung => "TooYoung",
            Self::Platform => "Platform",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `1.5.0: first seen 5m ago, younger than 2h`.
impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", shown(&self.tag), self.message)
    }
}

impl fmt::Display for NoChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let passed_over = match self {
            Self::NoVersionFits { passed_over } => {
                f.write_str("no tag of the repository may be chosen")?;
                passed_over
            }
            Self::WouldDowngrade { best, floor, passed_over } => {
                write!(f, "the highest allowed version is {best}, lower than {floor}, which was complete")?;
                passed_over
            }
            Self::Refused { version, passed_over } => {
                write!(f, "the rollout of {version} failed before, and no other version may replace it")?;
                passed_over
            }
        };
        for (i, rejected) in passed_over.iter().take(PASSED_OVER_SHOWN).enumerate() {
            write!(f, "{}{rejected}", if i == 0 { " (" } else { "; " })?;
        }
        match passed_over.len() {
            0 => Ok(()),
            n if n > PASSED_OVER_SHOWN => write!(f, "; and {} more)", n - PASSED_OVER_SHOWN),
            _ => f.write_str(")"),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", shown(&self.os), shown(&self.architecture))
    }
}

/// A foreign text made fit for a terminal, and bounded.
pub(super) fn shown(text: &str) -> String {
    printable(text, SHOWN_MAX)
}
