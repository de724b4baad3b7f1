//! Tags and policies: ranking, and choosing from it.

use std::collections::BTreeSet;

use semver::{Version, VersionReq};

use crate::image::Digest;
use crate::spec::{Prerelease, TagPattern, VersionPolicy};
use crate::version::{
    CANDIDATES_MAX, Choice, Chosen, Facts, NoChoice, Ranking, RefusedImage, Resolved, Running, choose,
    parse_tag, rank,
};

/// Lines: the requirement; `true`, `false` or channels; the pattern of tags; what is excluded;
/// the floor; what runs; `down` where the version may go down; then the tags. A tag with a `!`
/// before it is refused.
pub fn ranking(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (require, prerelease, pattern, exclude) = (line(), line(), line(), line());
    let (floor, running, downgrade) = (line(), line(), line());
    let (prefix, suffix) = pattern.split_once("{version}").unwrap_or_default();
    let policy = VersionPolicy {
        require: require.parse().unwrap_or(VersionReq::STAR),
        prerelease: match prerelease {
            "true" => Prerelease::All,
            "false" | "" => Prerelease::None,
            channels => Prerelease::Channels(channels.split(',').map(str::to_owned).collect()),
        },
        tags: TagPattern { prefix: prefix.to_owned(), suffix: suffix.to_owned() },
        exclude: exclude.split(';').filter_map(|text| text.parse().ok()).collect(),
        downgrade: downgrade == "down",
        ..VersionPolicy::default()
    };
    let (refused, mut tags): (Vec<&str>, Vec<&str>) = lines.partition(|tag| tag.starts_with('!'));
    let refused: Vec<&str> = refused.into_iter().map(|tag| &tag[1..]).collect();
    tags.extend(&refused);
    let tags: Vec<String> = tags.into_iter().map(str::to_owned).collect();
    let ranking = check_ranking(&policy, &tags);
    let facts = Facts {
        floor: Version::parse(floor).ok(),
        refused: refused
            .iter()
            .map(|tag| RefusedImage { version: (*tag).to_owned(), digest: digest(tag) })
            .collect(),
        running: (!running.is_empty())
            .then(|| Running { tag: Some(running.to_owned()), digest: Some(digest(running)) }),
        ..Facts::default()
    };
    check_choice(&policy, &ranking, facts);
}

fn digest(tag: &str) -> Digest {
    Digest::of(tag.as_bytes())
}

/// Every tag is a candidate or has its reason, the highest comes first, and the order of the
/// list makes no difference.
pub(super) fn check_ranking(policy: &VersionPolicy, tags: &[String]) -> Ranking {
    let ranking = rank(policy, tags);
    let backwards: Vec<&String> = tags.iter().rev().chain(tags.first()).collect();
    assert_eq!(rank(policy, &backwards), ranking);
    let mut seen = BTreeSet::new();
    let candidates = ranking.candidates.iter().flat_map(|candidate| &candidate.tags);
    for tag in candidates.chain(ranking.rejected.iter().map(|rejected| &rejected.tag)) {
        assert!(seen.insert(tag.clone()), "{tag:?} stands there twice");
    }
    assert_eq!(seen, tags.iter().cloned().collect());
    for pair in ranking.candidates.windows(2) {
        assert!(pair[0].version.cmp_precedence(&pair[1].version).is_gt(), "{pair:?}");
    }
    for candidate in &ranking.candidates {
        for tag in &candidate.tags {
            let parsed = parse_tag(tag, &policy.tags).map(|parsed| parsed.version);
            assert!(
                parsed.is_some_and(|version| version.cmp_precedence(&candidate.version).is_eq()),
                "{tag:?}"
            );
        }
    }
    ranking
}

/// What is chosen was offered, was not refused, and is not below the floor unless it may be.
fn check_choice<'a>(policy: &VersionPolicy, ranking: &'a Ranking, mut facts: Facts<'a>) {
    for _ in 0..=CANDIDATES_MAX {
        match choose(policy, ranking, &facts) {
            Choice::Need(wanted) => {
                let before = facts.digests.len();
                let tags = ranking.candidates.iter().flat_map(|candidate| &candidate.tags);
                for tag in tags.filter(|tag| wanted.contains(tag)) {
                    facts.digests.insert(tag, Resolved { digest: digest(tag), platforms: BTreeSet::new() });
                }
                assert!(facts.digests.len() > before, "asks again for {wanted:?}");
            }
            Choice::Chosen(chosen) => return check_chosen(policy, ranking, &facts, &chosen),
            Choice::Nothing(NoChoice::WouldDowngrade { best, floor, .. }) => {
                return assert!(!policy.downgrade && best.cmp_precedence(&floor).is_lt());
            }
            Choice::Nothing(_) => return,
        }
    }
    panic!("never ends");
}

fn check_chosen(policy: &VersionPolicy, ranking: &Ranking, facts: &Facts<'_>, chosen: &Chosen) {
    let candidate = ranking.candidates.iter().find(|candidate| candidate.tags.contains(&chosen.tag));
    let Some(candidate) = candidate else { panic!("{} was not offered", chosen.tag) };
    assert!(candidate.version.cmp_precedence(&chosen.version).is_eq());
    assert_eq!(chosen.digest, digest(&chosen.tag));
    let below = |floor: &Version| chosen.version.cmp_precedence(floor).is_lt();
    assert!(policy.downgrade || !facts.floor.as_ref().is_some_and(below), "{chosen:?} is below the floor");
    let refused = |refused: &RefusedImage| refused.digest == chosen.digest && refused.version == chosen.tag;
    assert!(!facts.refused.iter().any(refused), "{chosen:?} was refused");
}
