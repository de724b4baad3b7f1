//! Which of the candidates to run (design: semver.md rules 6 to 8, 10 and 11).
//!
//! What is already known of refusals, ages and the floor decides without asking; only then
//! is a digest asked for, of one candidate at a time.

use std::cmp::Reverse;
use std::time::Duration;

use semver::Version;

use super::{
    Candidate, Choice, Chosen, Facts, NoChoice, Platform, Ranking, RefusedImage, RejectReason, Rejected,
    Resolved, parse_tag, shown,
};
use crate::image::Digest;
use crate::spec::{TagPattern, VersionPolicy};

/// How many candidates have their digests asked for before the search ends, so that many
/// refused versions do not become many requests.
pub const CANDIDATES_MAX: usize = 50;
/// How many spellings of one version have their digests asked for; CI that writes build
/// metadata can leave hundreds.
pub const SPELLINGS_MAX: usize = 8;
/// Platforms named in a message.
const PLATFORMS_SHOWN: usize = 8;

/// Picks the highest candidate that may run, or says which digests it needs to go on, or
/// why there is none. It never answers below the floor unless the policy permits it, and
/// then not because of a failure.
///
/// A tag whose digest turns out to be gone is for the caller to leave out of the ranking.
pub fn choose(policy: &VersionPolicy, ranking: &Ranking, facts: &Facts<'_>) -> Choice {
    let mut search = Search::new(policy, facts);
    for candidate in &ranking.candidates {
        if let Some(end) = search.end_before(candidate) {
            return end;
        }
        match search.examine(candidate) {
            Outcome::Need(tags) => return Choice::Need(tags),
            Outcome::Take { option, ambiguous } => return search.take(candidate, option, ambiguous),
            Outcome::Pass(rejected) => search.passed_over.extend(rejected),
        }
    }
    search.nothing()
}

/// One walk down the candidates.
struct Search<'a> {
    policy: &'a VersionPolicy,
    facts: &'a Facts<'a>,
    passed_over: Vec<Rejected>,
    /// The highest version that was passed over as refused.
    refused: Option<Version>,
    /// Candidates whose digests were needed.
    examined: usize,
    below_floor: bool,
}

enum Outcome<'a> {
    Need(Vec<String>),
    Take {
        option: Spelling<'a>,
        /// The spellings with different digests, if there are such.
        ambiguous: Vec<&'a str>,
    },
    Pass(Vec<Rejected>),
}

/// A spelling of a candidate that may run.
struct Spelling<'a> {
    tag: &'a str,
    digest: &'a Digest,
    /// The digest is the running one: the registry's is newer, and too young.
    held: bool,
}

impl<'a> Search<'a> {
    fn new(policy: &'a VersionPolicy, facts: &'a Facts<'a>) -> Self {
        Self { policy, facts, passed_over: Vec::new(), refused: None, examined: 0, below_floor: false }
    }

    /// The answer, if the search must not go on to `candidate`.
    fn end_before(&mut self, candidate: &Candidate) -> Option<Choice> {
        if self.examined >= CANDIDATES_MAX {
            if let Some(last) = self.passed_over.last_mut() {
                last.message.push_str("; lower versions were not looked at");
            }
            return Some(self.nothing());
        }
        let floor =
            self.facts.floor.as_ref().filter(|floor| candidate.version.cmp_precedence(floor).is_lt())?;
        if std::mem::replace(&mut self.below_floor, true) {
            return None;
        }
        if self.refused.is_some() {
            // Even where the version may go down: a failure never sends it there.
            return Some(self.nothing());
        }
        (!self.policy.downgrade).then(|| {
            Choice::Nothing(NoChoice::WouldDowngrade {
                best: candidate.version.clone(),
                floor: floor.clone(),
                passed_over: std::mem::take(&mut self.passed_over),
            })
        })
    }

    fn examine(&mut self, candidate: &'a Candidate) -> Outcome<'a> {
        let mut passed = Vec::new();
        let mut open = Vec::new();
        for tag in &candidate.tags {
            match self.too_young(tag).filter(|_| !self.is_running(tag)) {
                Some(message) => passed.push(rejected(tag, RejectReason::TooYoung, message)),
                None => open.push(tag.as_str()),
            }
        }
        if open.is_empty() {
            return Outcome::Pass(passed);
        }
        let open = self.bounded(open);
        let need: Vec<String> = open
            .iter()
            .filter(|tag| !self.facts.digests.contains_key(*tag))
            .map(ToString::to_string)
            .collect();
        if !need.is_empty() {
            return Outcome::Need(need);
        }
        self.examined += 1;
        let mut options = Vec::new();
        for tag in open {
            match self.assess(candidate, tag) {
                Ok(option) => options.push(option),
                Err(why) => passed.push(why),
            }
        }
        if self.refused.is_none()
            && passed.iter().any(|r| r.reason == RejectReason::Refused)
            && options.is_empty()
        {
            self.refused = Some(candidate.version.clone());
        }
        self.settle(options).unwrap_or(Outcome::Pass(passed))
    }

    /// The first few spellings, and the running one wherever it stands.
    fn bounded(&self, mut tags: Vec<&'a str>) -> Vec<&'a str> {
        if let Some(at) = tags.iter().position(|tag| self.is_running(tag)).filter(|at| *at >= SPELLINGS_MAX) {
            tags.swap(SPELLINGS_MAX - 1, at);
        }
        tags.truncate(SPELLINGS_MAX);
        tags
    }

    /// Whether this spelling may run, its digest being known.
    fn assess(&self, candidate: &Candidate, tag: &'a str) -> Result<Spelling<'a>, Rejected> {
        let Some(resolved) = self.facts.digests.get(tag) else {
            return Err(rejected(tag, RejectReason::Platform, "its digest is not known".to_owned()));
        };
        let mut option = Spelling { tag, digest: &resolved.digest, held: false };
        if let Some(message) = self.too_young(tag)
            && self.running_digest() != Some(&resolved.digest)
        {
            // What runs stays while the new content of its tag is too young.
            let Some(running) = self.running_digest() else {
                return Err(rejected(tag, RejectReason::TooYoung, message));
            };
            option = Spelling { tag, digest: running, held: true };
        }
        if self.is_refused(&candidate.version, option.digest) {
            let message = format!("its rollout failed with {}", short(option.digest));
            return Err(rejected(tag, RejectReason::Refused, message));
        }
        match self.misfit(resolved) {
            Some(message) if !option.held => Err(rejected(tag, RejectReason::Platform, message)),
            _ => Ok(option),
        }
    }

    /// The tie rule. What runs wins: its content first, then its spelling; else the order
    /// of the candidate's tags.
    fn settle(&self, options: Vec<Spelling<'a>>) -> Option<Outcome<'a>> {
        let differ = options.windows(2).any(|pair| pair[0].digest != pair[1].digest);
        let ambiguous = if differ { options.iter().map(|option| option.tag).collect() } else { Vec::new() };
        let preference = |option: &Spelling<'_>| {
            Reverse((self.running_digest() == Some(option.digest), self.is_running(option.tag)))
        };
        let option = options.into_iter().min_by_key(preference)?;
        Some(Outcome::Take { option, ambiguous })
    }

    fn take(self, candidate: &Candidate, option: Spelling<'_>, ambiguous: Vec<&str>) -> Choice {
        let mut warnings = Vec::new();
        if !ambiguous.is_empty() {
            let tags = ambiguous.iter().map(|tag| shown(tag)).collect::<Vec<_>>().join(", ");
            warnings.push(format!(
                "{tags} are one version with different digests; {} is taken",
                shown(option.tag)
            ));
        }
        if option.held {
            let min_age = humantime::format_duration(self.policy.min_age);
            warnings.push(format!(
                "{} has a new digest, younger than {min_age}; {} stays until then",
                shown(option.tag),
                short(option.digest)
            ));
        }
        // The tag's own version: the candidate's may be another spelling's.
        let version = parse_tag(option.tag, &self.policy.tags).map(|parsed| parsed.version);
        Choice::Chosen(Chosen {
            tag: option.tag.to_owned(),
            version: version.unwrap_or_else(|| candidate.version.clone()),
            digest: option.digest.clone(),
            warnings,
            passed_over: self.passed_over,
        })
    }

    fn nothing(&mut self) -> Choice {
        let passed_over = std::mem::take(&mut self.passed_over);
        Choice::Nothing(match self.refused.take() {
            Some(version) => NoChoice::Refused { version, passed_over },
            None => NoChoice::NoVersionFits { passed_over },
        })
    }

    fn is_running(&self, tag: &str) -> bool {
        self.facts.running.as_ref().is_some_and(|running| running.tag.as_deref() == Some(tag))
    }

    fn running_digest(&self) -> Option<&'a Digest> {
        self.facts.running.as_ref()?.digest.as_ref()
    }

    /// The message, if the tag has not been known for long enough.
    fn too_young(&self, tag: &str) -> Option<String> {
        let min_age = self.policy.min_age;
        if min_age.is_zero() {
            return None;
        }
        let wanted = humantime::format_duration(min_age);
        let Some(&first_seen) = self.facts.first_seen_ms.get(tag) else {
            return Some(format!("not seen before, younger than {wanted}"));
        };
        // Tags of the first list ever seen, which count as old whatever the clock says.
        if first_seen == 0 {
            return None;
        }
        // A clock that went back makes the tag young, never old.
        let age = u64::try_from(self.facts.now_ms.saturating_sub(first_seen)).unwrap_or(0);
        let age = Duration::from_millis(age);
        (age < min_age).then(|| {
            let seconds = humantime::format_duration(Duration::from_secs(age.as_secs()));
            format!("first seen {seconds} ago, younger than {wanted}")
        })
    }

    fn is_refused(&self, version: &Version, digest: &Digest) -> bool {
        let pattern = &self.policy.tags;
        self.facts.refused.iter().any(|r| r.digest == *digest && names(r, version, pattern))
    }

    /// The message, if no eligible node can run what the manifest offers.
    fn misfit(&self, resolved: &Resolved) -> Option<String> {
        let offered: Vec<&Platform> = resolved.platforms.iter().filter(|p| p.is_stated()).collect();
        let nodes: Vec<&Platform> = self.facts.platforms.iter().collect();
        if offered.is_empty() || nodes.is_empty() {
            return None;
        }
        let fits = offered.iter().any(|image| nodes.iter().any(|node| image.runs_on(node)));
        (!fits).then(|| format!("offers {}, eligible nodes have {}", list(&offered), list(&nodes)))
    }
}

/// Whether a refusal is of this version. It may be remembered by the version or by the tag.
fn names(refused: &RefusedImage, version: &Version, pattern: &TagPattern) -> bool {
    let same = |refused: Version| refused.cmp_precedence(version).is_eq();
    Version::parse(&refused.version).is_ok_and(same)
        || parse_tag(&refused.version, pattern).is_some_and(|parsed| same(parsed.version))
}

fn rejected(tag: &str, reason: RejectReason, message: String) -> Rejected {
    Rejected { tag: tag.to_owned(), reason, message }
}

/// Enough of a digest to tell it from others.
fn short(digest: &Digest) -> String {
    digest.as_str().chars().take("sha256:".len() + 12).collect()
}

fn list(platforms: &[&Platform]) -> String {
    let names: Vec<String> = platforms.iter().take(PLATFORMS_SHOWN).map(ToString::to_string).collect();
    let more = if platforms.len() > PLATFORMS_SHOWN { ", …" } else { "" };
    format!("{}{more}", names.join(", "))
}
