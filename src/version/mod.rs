//! Which tag is the highest version (design: semver.md; SemVer 2.0.0 section 11).
//!
//! Pure: `rank` orders a repository's tags by policy, `choose` picks from the ranking with
//! what is known of digests, refusals and ages. The shell resolves the digests that
//! `choose` asks for, from the top down, until it answers.

mod choose;
mod display;
mod platform;
mod rank;
mod requirement;
mod spelling;
mod tag;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::image::Digest;

pub use choose::{CANDIDATES_MAX, SPELLINGS_MAX, choose};
use display::shown;
pub use rank::rank;
pub use requirement::matches;
pub use tag::{Parsed, TAG_MAX, parse_tag};

/// A repository's tags as the policy sees them.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// Allowed versions, highest first.
    pub candidates: Vec<Candidate>,
    /// The versions among them highest first, then what is no version, sorted as text.
    pub rejected: Vec<Rejected>,
    /// The highest release (no pre-release) among all tags that are versions by the
    /// policy's pattern, whatever the requirement says. For information only.
    pub newest: Option<semver::Version>,
    /// E.g. pre-releases spelt `rc10`, which compare as text.
    pub warnings: Vec<String>,
}

/// One precedence class: tags that differ only in a leading `v` or in build metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    pub version: semver::Version,
    /// At least one; in the order of rule 6 without regard to what runs (no `v` first, then
    /// the lexically greatest).
    pub tags: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    pub tag: String,
    pub reason: RejectReason,
    /// For people, e.g. "does not match ^1.4".
    pub message: String,
}

/// Why a tag is not a candidate. `as_str` gives the PascalCase of `explain`'s JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectReason {
    /// Not a version by semver.md rules 1 to 3.
    NotSemver,
    Prerelease,
    NotMatching,
    Excluded,
    /// Its rollout failed with this digest before.
    Refused,
    /// Younger than `min_age`.
    TooYoung,
    /// The manifest offers no platform that an eligible node has.
    Platform,
}

/// What is known when choosing. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, Default)]
pub struct Facts<'a> {
    /// Digests resolved so far in this pass, by tag.
    pub digests: BTreeMap<&'a str, Resolved>,
    /// (version or tag, digest) whose rollout failed for this service.
    pub refused: Vec<RefusedImage>,
    /// When a tag was first listed, or its digest last changed; 0 for the tags of the first
    /// list ever seen. A tag that is absent is as young as can be.
    pub first_seen_ms: BTreeMap<&'a str, i64>,
    pub now_ms: i64,
    /// The version of the last complete rollout (rule 7).
    pub floor: Option<semver::Version>,
    /// What the service's spec in the Swarm says now.
    pub running: Option<Running>,
    /// `os/architecture` of the nodes that may run the service; empty: unknown, all fit.
    pub platforms: BTreeSet<Platform>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedImage {
    pub version: String,
    pub digest: Digest,
}

/// A tag's manifest as the registry gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    pub digest: Digest,
    /// Empty: the manifest states none, which is taken to fit.
    pub platforms: BTreeSet<Platform>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platform {
    pub os: String,
    pub architecture: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// The answer of `choose`.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// These tags' digests are needed first.
    Need(Vec<String>),
    Chosen(Chosen),
    Nothing(NoChoice),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Chosen {
    pub tag: String,
    /// As this tag spells it, with its build metadata.
    pub version: semver::Version,
    /// The tag's, or the running one while the tag's new one is too young.
    pub digest: Digest,
    /// E.g. two spellings of one version have different digests.
    pub warnings: Vec<String>,
    /// The tags of the higher candidates that were passed over, highest first, with the
    /// reason (refused, too young, platform).
    pub passed_over: Vec<Rejected>,
}

/// Why nothing was chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum NoChoice {
    /// No tag satisfies the policy.
    NoVersionFits { passed_over: Vec<Rejected> },
    /// The best allowed version is below the floor (rule 7).
    WouldDowngrade { best: semver::Version, floor: semver::Version, passed_over: Vec<Rejected> },
    /// All that is higher than the floor was refused (rule 8).
    Refused { version: semver::Version, passed_over: Vec<Rejected> },
}
