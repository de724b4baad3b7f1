//! The twelve rules of semver.md, by example and by property. Rules 9 and 12 are the
//! registry client's: a list that cannot be trusted never gets here.

mod choosing;
mod floor;
mod properties;
mod ranking;
mod reference;

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::spec::{Prerelease, TagPattern, VersionPolicy};

fn policy(require: &str) -> VersionPolicy {
    VersionPolicy { require: require.parse().unwrap(), ..VersionPolicy::default() }
}

fn pattern(prefix: &str, suffix: &str) -> TagPattern {
    TagPattern { prefix: prefix.into(), suffix: suffix.into() }
}

fn channels(names: &[&str]) -> Prerelease {
    Prerelease::Channels(names.iter().map(ToString::to_string).collect())
}

fn version(text: &str) -> semver::Version {
    text.parse().unwrap()
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn platform(text: &str) -> Platform {
    let (os, architecture) = text.split_once('/').unwrap();
    Platform { os: os.into(), architecture: architecture.into() }
}

fn candidates(ranking: &Ranking) -> Vec<String> {
    ranking.candidates.iter().map(|candidate| candidate.tags.join(" ")).collect()
}

fn reasons(ranking: &Ranking) -> Vec<(&str, RejectReason)> {
    ranking.rejected.iter().map(|rejected| (rejected.tag.as_str(), rejected.reason)).collect()
}

/// The whole loop that the shell runs, over a registry that is a table.
#[derive(Clone, Debug)]
struct World {
    policy: VersionPolicy,
    /// Tag, name of its content, platforms.
    registry: Vec<(String, String, BTreeSet<Platform>)>,
    refused: Vec<RefusedImage>,
    /// Tag and time.
    first_seen_ms: Vec<(String, i64)>,
    now_ms: i64,
    floor: Option<semver::Version>,
    running: Option<Running>,
    platforms: BTreeSet<Platform>,
}

impl World {
    /// Tags, each with a content of its own unless written `tag=content`.
    fn new(policy: VersionPolicy, tags: &[&str]) -> Self {
        let entry = |text: &&str| {
            let (tag, content) = text.split_once('=').unwrap_or((text, text));
            (tag.to_owned(), content.to_owned(), BTreeSet::new())
        };
        Self {
            policy,
            registry: tags.iter().map(entry).collect(),
            refused: Vec::new(),
            first_seen_ms: Vec::new(),
            now_ms: 0,
            floor: None,
            running: None,
            platforms: BTreeSet::new(),
        }
    }

    fn floor(mut self, text: &str) -> Self {
        self.floor = Some(version(text));
        self
    }

    fn running(mut self, tag: &str, content: &str) -> Self {
        self.running = Some(Running { tag: Some(tag.into()), digest: Some(digest(content)) });
        self
    }

    fn refuse(mut self, version: &str, content: &str) -> Self {
        self.refused.push(RefusedImage { version: version.into(), digest: digest(content) });
        self
    }

    fn min_age(mut self, age: Duration, now_ms: i64, seen: &[(&str, i64)]) -> Self {
        self.policy.min_age = age;
        self.now_ms = now_ms;
        self.first_seen_ms = seen.iter().map(|(tag, at)| (tag.to_string(), *at)).collect();
        self
    }

    fn offers(mut self, tag: &str, platforms: &[&str]) -> Self {
        for entry in self.registry.iter_mut().filter(|entry| entry.0 == tag) {
            entry.2 = platforms.iter().map(|text| platform(text)).collect();
        }
        self
    }

    fn nodes(mut self, platforms: &[&str]) -> Self {
        self.platforms = platforms.iter().map(|text| platform(text)).collect();
        self
    }

    fn rank(&self) -> Ranking {
        let tags: Vec<&str> = self.registry.iter().map(|entry| entry.0.as_str()).collect();
        rank(&self.policy, &tags)
    }

    fn choose(&self) -> Choice {
        self.choose_counting().0
    }

    /// The answer, and the tags whose digests were asked for.
    fn choose_counting(&self) -> (Choice, Vec<String>) {
        let ranking = self.rank();
        let mut facts = Facts {
            digests: BTreeMap::new(),
            refused: self.refused.clone(),
            first_seen_ms: self.first_seen_ms.iter().map(|(tag, at)| (tag.as_str(), *at)).collect(),
            now_ms: self.now_ms,
            floor: self.floor.clone(),
            running: self.running.clone(),
            platforms: self.platforms.clone(),
        };
        let mut asked = Vec::new();
        loop {
            let Choice::Need(tags) = choose(&self.policy, &ranking, &facts) else {
                return (choose(&self.policy, &ranking, &facts), asked);
            };
            assert!(!tags.is_empty(), "nothing asked for");
            for tag in tags {
                let (known, content, platforms) = self.registry.iter().find(|entry| entry.0 == tag).unwrap();
                let resolved = Resolved { digest: digest(content), platforms: platforms.clone() };
                assert!(facts.digests.insert(known, resolved).is_none(), "{tag} asked for twice");
                asked.push(tag);
            }
        }
    }

    #[track_caller]
    fn chosen(&self) -> Chosen {
        match self.choose() {
            Choice::Chosen(chosen) => chosen,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn nothing(&self) -> NoChoice {
        match self.choose() {
            Choice::Nothing(nothing) => nothing,
            other => panic!("{other:?}"),
        }
    }
}

fn passed(list: &[Rejected]) -> Vec<(&str, RejectReason)> {
    list.iter().map(|rejected| (rejected.tag.as_str(), rejected.reason)).collect()
}
