//! Rankings that many services share: those of one repository under one policy.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::image::Repository;
use crate::spec::VersionPolicy;
use crate::version::{self, Ranking};

/// Tags of all rankings held; a hundred bytes and more each.
const TAGS_MAX: usize = 100_000;

/// Ranks each tag list once a policy.
#[derive(Default)]
pub struct Rankings {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    by_repository: HashMap<Repository, Ranked>,
    tags: usize,
}

/// What was made of one tag list.
struct Ranked {
    tags: Arc<[String]>,
    /// A repository is used with few policies.
    rankings: Vec<(VersionPolicy, Arc<Ranking>)>,
}

impl Rankings {
    /// The ranking of this very list (not of an equal one) under the policy.
    pub fn get(&self, repository: &Repository, policy: &VersionPolicy, tags: &Arc<[String]>) -> Arc<Ranking> {
        if let Some(ranking) = self.find(repository, policy, tags) {
            return ranking;
        }
        let ranking = Arc::new(version::rank(policy, tags));
        self.keep(repository, policy, tags, &ranking);
        ranking
    }

    fn find(
        &self,
        repository: &Repository,
        policy: &VersionPolicy,
        tags: &Arc<[String]>,
    ) -> Option<Arc<Ranking>> {
        let held = self.held.lock().ok()?;
        let ranked = held.by_repository.get(repository).filter(|ranked| Arc::ptr_eq(&ranked.tags, tags))?;
        let known = ranked.rankings.iter().find(|(known, _)| known == policy);
        known.map(|(_, ranking)| Arc::clone(ranking))
    }

    fn keep(
        &self,
        repository: &Repository,
        policy: &VersionPolicy,
        tags: &Arc<[String]>,
        ranking: &Arc<Ranking>,
    ) {
        let Ok(mut held) = self.held.lock() else { return };
        let old = held.by_repository.get(repository).filter(|ranked| !Arc::ptr_eq(&ranked.tags, tags));
        if let Some(count) = old.map(|ranked| ranked.tags.len() * ranked.rankings.len()) {
            held.tags -= count;
            held.by_repository.remove(repository);
        }
        if held.tags + tags.len() > TAGS_MAX {
            *held = Held::default();
        }
        if tags.len() > TAGS_MAX {
            return;
        }
        held.tags += tags.len();
        let empty = || Ranked { tags: Arc::clone(tags), rankings: Vec::new() };
        let ranked = held.by_repository.entry(repository.clone()).or_insert_with(empty);
        ranked.rankings.push((policy.clone(), Arc::clone(ranking)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(list: &[&str]) -> Arc<[String]> {
        list.iter().map(ToString::to_string).collect()
    }

    fn requiring(require: &str) -> VersionPolicy {
        VersionPolicy { require: require.parse().unwrap(), ..VersionPolicy::default() }
    }

    #[test]
    fn a_list_is_ranked_once_a_policy() {
        let (rankings, list) = (Rankings::default(), tags(&["1.0.0", "2.0.0"]));
        let repository: Repository = "r.example/a".parse().unwrap();
        let first = rankings.get(&repository, &requiring("^1"), &list);
        assert_eq!(first.candidates[0].tags, ["1.0.0"]);
        assert!(Arc::ptr_eq(&first, &rankings.get(&repository, &requiring("^1"), &list)));
        let other = rankings.get(&repository, &requiring("*"), &list);
        assert_eq!(other.candidates[0].tags, ["2.0.0"]);
        assert!(Arc::ptr_eq(&first, &rankings.get(&repository, &requiring("^1"), &list)));
    }

    #[test]
    fn a_new_list_is_ranked_anew() {
        let rankings = Rankings::default();
        let repository: Repository = "r.example/a".parse().unwrap();
        rankings.get(&repository, &requiring("*"), &tags(&["1.0.0"]));
        let ranking = rankings.get(&repository, &requiring("*"), &tags(&["1.0.0", "1.1.0"]));
        assert_eq!(ranking.candidates[0].tags, ["1.1.0"]);
        assert_eq!(rankings.held.lock().unwrap().tags, 2);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let rankings = Rankings::default();
        let many: Arc<[String]> = (0..TAGS_MAX / 4).map(|n| format!("1.0.{n}")).collect();
        for name in ["a", "b", "c", "d", "e", "f"] {
            let repository: Repository = format!("r.example/{name}").parse().unwrap();
            rankings.get(&repository, &requiring("*"), &many);
            let held = rankings.held.lock().unwrap();
            let counted: usize =
                held.by_repository.values().map(|ranked| ranked.tags.len() * ranked.rankings.len()).sum();
            assert!(held.tags <= TAGS_MAX && held.tags == counted, "{} {counted}", held.tags);
        }
    }
}
