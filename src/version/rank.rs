//! The order of a repository's tags under a policy (design: semver.md rules 1 to 5).

use std::cmp::Ordering;

use semver::{Version, VersionReq};

use super::{
    Candidate, Parsed, Ranking, RejectReason, Rejected, parse_tag, requirement, shown, spelling, tag,
};
use crate::spec::{Prerelease, VersionPolicy};

/// A tag that is a version.
struct Entry<'t> {
    parsed: Parsed,
    tag: &'t str,
}

/// Sorts all tags into candidates, highest first, and rejected ones with their reasons:
/// first the versions, highest first, then what is no version, in the order of the text.
///
/// The order of the list, and tags listed twice, make no difference.
pub fn rank(policy: &VersionPolicy, tags: &[impl AsRef<str>]) -> Ranking {
    let mut versions = Vec::with_capacity(tags.len());
    let mut others = Vec::new();
    for tag in tags.iter().map(AsRef::as_ref) {
        match parse_tag(tag, &policy.tags) {
            Some(parsed) => versions.push(Entry { parsed, tag }),
            None => others.push(tag),
        }
    }
    versions.sort_unstable_by(highest_first);
    versions.dedup_by(|a, b| a.tag == b.tag);
    others.sort_unstable();
    others.dedup();

    let warnings = spelling::warnings(versions.iter().map(|entry| &entry.parsed.version.pre));
    let newest = versions.iter().map(|entry| &entry.parsed.version).find(|v| v.pre.is_empty()).cloned();
    let (candidates, mut rejected) = judge_all(policy, versions);
    rejected.extend(others.into_iter().map(|tag| Rejected {
        tag: tag.to_owned(),
        reason: RejectReason::NotSemver,
        message: tag::why_not(tag, &policy.tags),
    }));
    Ranking { candidates, rejected, newest, warnings }
}

/// By precedence; equals in the order of rule 6: without `v` first, then the lexically
/// greatest.
fn highest_first(a: &Entry<'_>, b: &Entry<'_>) -> Ordering {
    let (x, y) = (&a.parsed, &b.parsed);
    y.version
        .cmp_precedence(&x.version)
        .then_with(|| x.leading_v.cmp(&y.leading_v))
        .then_with(|| b.tag.cmp(a.tag))
}

/// Equals in precedence share their verdict, so each class is judged once.
fn judge_all(policy: &VersionPolicy, versions: Vec<Entry<'_>>) -> (Vec<Candidate>, Vec<Rejected>) {
    let require = shown(&policy.require.to_string());
    let mut candidates: Vec<Candidate> = Vec::with_capacity(versions.len());
    let mut rejected = Vec::new();
    let mut class: Option<(Version, Option<RejectReason>)> = None;
    for Entry { parsed: Parsed { version, .. }, tag } in versions {
        let tag = tag.to_owned();
        let known = class.as_ref().filter(|(first, _)| first.cmp_precedence(&version).is_eq());
        let (verdict, is_new) = match known {
            Some((_, verdict)) => (*verdict, false),
            None => (judge(policy, &version), true),
        };
        match (verdict, candidates.last_mut()) {
            (Some(reason), _) => {
                let message = message(policy, &version, reason, &require);
                rejected.push(Rejected { tag, reason, message });
            }
            (None, Some(candidate)) if !is_new => candidate.tags.push(tag),
            (None, _) => candidates.push(Candidate { version: version.clone(), tags: vec![tag] }),
        }
        if is_new {
            class = Some((version, verdict));
        }
    }
    (candidates, rejected)
}

fn judge(policy: &VersionPolicy, version: &Version) -> Option<RejectReason> {
    if !lets_in(&policy.prerelease, version) {
        Some(RejectReason::Prerelease)
    } else if !requirement::matches(&policy.require, version) {
        Some(RejectReason::NotMatching)
    } else if excluding(policy, version).is_some() {
        Some(RejectReason::Excluded)
    } else {
        None
    }
}

fn lets_in(prerelease: &Prerelease, version: &Version) -> bool {
    version.pre.is_empty()
        || match prerelease {
            Prerelease::None => false,
            Prerelease::All => true,
            Prerelease::Channels(channels) => {
                let first = version.pre.split('.').next();
                channels.iter().any(|channel| Some(channel.as_str()) == first)
            }
        }
}

fn excluding<'p>(policy: &'p VersionPolicy, version: &Version) -> Option<&'p VersionReq> {
    policy.exclude.iter().find(|exclude| requirement::matches(exclude, version))
}

fn message(policy: &VersionPolicy, version: &Version, reason: RejectReason, require: &str) -> String {
    match reason {
        RejectReason::Prerelease if policy.prerelease == Prerelease::None => "a pre-release".to_owned(),
        RejectReason::Prerelease => "a pre-release that is not let in".to_owned(),
        RejectReason::Excluded => {
            let by = excluding(policy, version).map(ToString::to_string).unwrap_or_default();
            format!("excluded by {}", shown(&by))
        }
        _ => format!("does not match {require}"),
    }
}
