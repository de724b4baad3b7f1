//! Asks each registry from time to time, once a repository for all who use it, and says which
//! repositories have something new. Polling is the truth; whatever else wakes skep is sooner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use tokio::time::Instant;

use super::Jitter;
use crate::image::{Digest, Repository};
use crate::registry::Registry;

/// Repositories asked at once; the client bounds the calls to each registry besides.
const CONCURRENCY: usize = 8;
/// A tag that no pass has looked up for so long is not asked for any more.
const TAG_IDLE_MAX: Duration = Duration::from_secs(30 * 60);

/// The tags whose digests are in use, noted by the passes and asked again by the poller.
#[derive(Clone, Default)]
pub struct Watched {
    tags: Arc<Mutex<BTreeMap<Repository, Tags>>>,
}

/// Each tag's digest, and when a pass last looked it up.
type Tags = BTreeMap<String, (Digest, Instant)>;

impl Watched {
    /// Notes that a pass looked up this tag.
    pub fn note(&self, repository: &Repository, tag: &str, digest: &Digest) {
        if let Ok(mut tags) = self.tags.lock() {
            let of_repository = tags.entry(repository.clone()).or_default();
            of_repository.insert(tag.to_owned(), (digest.clone(), Instant::now()));
        }
    }

    fn of(&self, repository: &Repository) -> Vec<(String, Digest)> {
        let Ok(mut tags) = self.tags.lock() else { return Vec::new() };
        let Some(of_repository) = tags.get_mut(repository) else { return Vec::new() };
        of_repository.retain(|_, (_, noted)| noted.elapsed() < TAG_IDLE_MAX);
        of_repository.iter().map(|(tag, (digest, _))| (tag.clone(), digest.clone())).collect()
    }
}

/// Remembers what each repository last said.
pub struct Poller {
    registry: Arc<dyn Registry>,
    watched: Watched,
    interval: Duration,
    repositories: BTreeMap<Repository, Polled>,
    jitter: Jitter,
}

struct Polled {
    next: Instant,
    /// What the last answer was; `None` before the first and after an error.
    said: Option<Said>,
}

#[derive(Clone, PartialEq)]
struct Said {
    tags: Arc<[String]>,
    digests: Vec<(String, Digest)>,
}

impl Poller {
    pub fn new(registry: Arc<dyn Registry>, watched: Watched, interval: Duration, jitter: Jitter) -> Self {
        Self { registry, watched, interval, repositories: BTreeMap::new(), jitter }
    }

    /// The repositories in use from now on. New ones have just been asked by their first pass.
    pub fn set(&mut self, repositories: &BTreeSet<Repository>) {
        self.repositories.retain(|repository, _| repositories.contains(repository));
        for repository in repositories {
            let next = Instant::now() + self.jitter.poll(self.interval);
            self.repositories.entry(repository.clone()).or_insert(Polled { next, said: None });
        }
    }

    /// Lets every repository be asked at once.
    pub fn all_due(&mut self) {
        let now = Instant::now();
        self.repositories.values_mut().for_each(|polled| polled.next = now);
    }

    /// When the next repository is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.repositories.values().map(|polled| polled.next).min()
    }

    /// Asks those that are due. Those whose answer is new, or an error, come back.
    pub async fn poll(&mut self) -> BTreeSet<Repository> {
        let now = Instant::now();
        let due: Vec<Repository> = self
            .repositories
            .iter()
            .filter(|(_, polled)| polled.next <= now)
            .map(|(name, _)| name.clone())
            .collect();
        let (registry, watched) = (&self.registry, &self.watched);
        let asking = due.into_iter().map(|repository| async move {
            let said = ask(registry.as_ref(), &repository, watched.of(&repository)).await;
            (repository, said)
        });
        let answers: Vec<_> = futures::stream::iter(asking).buffer_unordered(CONCURRENCY).collect().await;
        let mut changed = BTreeSet::new();
        for (repository, said) in answers {
            let interval = self.interval_of(repository.registry());
            let Some(polled) = self.repositories.get_mut(&repository) else { continue };
            polled.next = Instant::now() + self.jitter.poll(interval);
            if said.is_none() || polled.said != said {
                changed.insert(repository);
            }
            polled.said = said;
        }
        changed
    }
}

/// Asks a repository at once, so that whoever looks next has its list and digests fresh.
pub(super) async fn refresh(registry: &dyn Registry, repository: &Repository, watched: &Watched) {
    let _ = ask(registry, repository, watched.of(repository)).await;
}

impl Poller {
    /// Longer than what is configured where the registry's allowance would be used up.
    fn interval_of(&self, registry: &str) -> Duration {
        let Some(limit) = self.registry.rate_limit(registry) else { return self.interval };
        let own = self.repositories.iter().filter(|(repository, _)| repository.registry() == registry);
        // A list, and the digests that were asked for last time.
        let requests = own.map(|(_, polled)| 1 + polled.said.as_ref().map_or(0, |said| said.digests.len()));
        let interval = limit.spacing(self.interval, requests.sum::<usize>() as u64);
        if interval > self.interval {
            tracing::debug!(registry, ?limit, ?interval, "polled less often, to stay within its allowance");
        }
        interval
    }
}

/// `None` on any error: the pass that is woken finds out and says so.
async fn ask(
    registry: &dyn Registry,
    repository: &Repository,
    watched: Vec<(String, Digest)>,
) -> Option<Said> {
    let tags = registry.tags(repository, Duration::ZERO).await.ok()?;
    let mut digests = Vec::new();
    for (tag, _) in watched {
        // A tag that is gone is seen in the list.
        if tags.contains(&tag) {
            let digest = registry.digest(repository, &tag, Duration::ZERO).await.ok()?;
            digests.push((tag, digest));
        }
    }
    digests.sort();
    Some(Said { tags, digests })
}
