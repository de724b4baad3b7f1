//! Finds out which image each service of a customer is to have: the shell around
//! `version::rank` and `version::choose`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::poll::Watched;
use super::rankings::Rankings;
use crate::image::Repository;
use crate::memory::{Image, Memory, Purpose, Refusal, ServiceMemory, TagMemory};
use crate::plan::{desired_hash, labels, placement, service_name};
use crate::registry::{Registry, RegistryError, RegistryErrorKind};
use crate::spec::{self, ImagePolicy, TagPattern, VersionPolicy};
use crate::state::{DesiredImage, ObservedService, ObservedState, Target, WaitingReason};
use crate::version::{
    self, Choice, Facts, NoChoice, Platform, Ranking, RefusedImage, RejectReason, Rejected, Resolved, Running,
};

/// Services of one customer looked up at once.
const CONCURRENCY: usize = 16;
/// `choose` looks at a bounded number of candidates; more rounds than that are a mistake.
const ROUNDS_MAX: usize = 64;
/// Versions that are too young whose digests are asked for at each look.
const YOUNG_WATCHED_MAX: usize = 4;
/// Tags that may turn out to be gone in one look; more is a list that cannot be trusted.
const TAGS_GONE_MAX: usize = 8;

/// Looks images up, for all customers.
pub struct Resolver {
    pub registry: Arc<dyn Registry>,
    pub memory: Arc<dyn Memory>,
    /// Notes the tags that are in use, for the poller.
    pub watched: Watched,
    /// The tag lists last written to memory, so that an unchanged one costs nothing.
    recorded: Mutex<HashMap<Repository, Arc<[String]>>>,
    rankings: Rankings,
}

/// One service's question.
struct Question<'a> {
    repository: &'a Repository,
    memory: ServiceMemory,
    spec_hash: String,
    observed: Option<&'a ObservedService>,
    owned: bool,
    /// How tags spell versions.
    tags: &'a TagPattern,
    platforms: BTreeSet<Platform>,
    max_age: Duration,
    now: Timestamp,
}

/// What `explain` shows of the way to an answer.
pub struct Explained {
    pub ranking: Option<Arc<Ranking>>,
    pub image: DesiredImage,
}

impl Resolver {
    pub fn new(registry: Arc<dyn Registry>, memory: Arc<dyn Memory>) -> Self {
        Self {
            registry,
            memory,
            watched: Watched::default(),
            recorded: Mutex::default(),
            rankings: Rankings::default(),
        }
    }

    /// Begins to ask for the tag lists that a customer needs, so that they come while the Swarm
    /// is looked at. Nobody waits here; whoever needs a list joins the request under way, and
    /// tells its errors.
    pub fn prefetch(&self, customer: &spec::Customer, max_age: Duration) {
        let repositories = customer.services.values().filter_map(|service| match &service.image {
            ImagePolicy::Highest { repository, .. } => Some(repository),
            ImagePolicy::Tag { .. } | ImagePolicy::Digest { .. } => None,
        });
        for repository in repositories.collect::<BTreeSet<&Repository>>() {
            let (registry, repository) = (Arc::clone(&self.registry), repository.clone());
            tokio::spawn(async move { registry.tags(&repository, max_age).await.map(drop) });
        }
    }

    /// The images of a customer's services, by key. What the registry does not tell is `None`
    /// with the reason; nothing here fails as a whole.
    pub async fn resolve(
        &self,
        customer: &spec::Customer,
        observed: &ObservedState,
        max_age: Duration,
        now: Timestamp,
    ) -> BTreeMap<String, DesiredImage> {
        // Boxed in a loop: a closure over references is "not general enough" for a spawned task.
        let mut services: Vec<BoxFuture<'_, (String, DesiredImage)>> = Vec::new();
        for service in customer.services.values() {
            services.push(Box::pin(async move {
                let explained = self.explain(customer, service, observed, max_age, now).await;
                (service.key.clone(), explained.image)
            }));
        }
        futures::stream::iter(services).buffer_unordered(CONCURRENCY).collect().await
    }

    /// The image of one service, and the ranking that led to it.
    pub async fn explain(
        &self,
        customer: &spec::Customer,
        service: &spec::Service,
        observed: &ObservedState,
        max_age: Duration,
        now: Timestamp,
    ) -> Explained {
        let name = service_name(&customer.name, &service.key);
        let found = observed.services.get(&name);
        let question = Question {
            repository: service.image.repository(),
            memory: self.memory.service(&name),
            spec_hash: desired_hash(customer, service),
            observed: found,
            owned: found.is_some_and(|found| found.label(labels::CUSTOMER) == Some(customer.name.as_str())),
            tags: service.image.tags(),
            platforms: eligible_platforms(service, found, observed),
            max_age,
            now,
        };
        match &service.image {
            ImagePolicy::Highest { policy, .. } => self.highest(&question, policy).await,
            ImagePolicy::Tag { tag, version, .. } => {
                Explained { ranking: None, image: self.pinned(&question, tag, version).await }
            }
            ImagePolicy::Digest { repository, tag, digest } => {
                let version = tag.as_deref().and_then(|tag| version::parse_tag(tag, &TagPattern::default()));
                let image = DesiredImage::Chosen(Target {
                    repository: repository.clone(),
                    tag: tag.clone(),
                    version: version.map(|parsed| parsed.version),
                    digest: digest.clone(),
                    warnings: Vec::new(),
                    passed_over: Vec::new(),
                });
                Explained { ranking: None, image }
            }
        }
    }

    async fn pinned(&self, question: &Question<'_>, tag: &str, version: &semver::Version) -> DesiredImage {
        match self.lookup(question, tag).await {
            Ok(resolved) if !fits(&resolved.platforms, &question.platforms) => {
                let offered: Vec<String> = resolved.platforms.iter().map(ToString::to_string).collect();
                let message = format!(
                    "{}:{tag} is for {}, and no eligible node is",
                    question.repository,
                    offered.join(", ")
                );
                DesiredImage::None { reason: WaitingReason::NoVersionFits, message, passed_over: Vec::new() }
            }
            Ok(resolved) => DesiredImage::Chosen(Target {
                repository: question.repository.clone(),
                tag: Some(tag.to_owned()),
                version: Some(version.clone()),
                digest: resolved.digest,
                warnings: Vec::new(),
                passed_over: Vec::new(),
            }),
            Err(error) if error.kind == RegistryErrorKind::NotFound => DesiredImage::None {
                reason: WaitingReason::NoVersionFits,
                message: format!("{}:{tag} does not exist", question.repository),
                passed_over: Vec::new(),
            },
            Err(error) => unavailable(&error),
        }
    }

    async fn highest(&self, question: &Question<'_>, policy: &VersionPolicy) -> Explained {
        let tags = match self.registry.tags(question.repository, question.max_age).await {
            Ok(tags) => tags,
            Err(error) => return Explained { ranking: None, image: unavailable(&error) },
        };
        if tags.is_empty() && self.had_tags(question) {
            let message =
                format!("{} lists no tags any more, which is not to be trusted", question.repository);
            let reason = WaitingReason::RegistryUnavailable;
            let image = DesiredImage::None { reason, message, passed_over: Vec::new() };
            return Explained { ranking: None, image };
        }
        self.record_first_seen(question.repository, &tags, question.now);
        let mut ranking = self.rankings.get(question.repository, policy, &tags);
        let mut gone: Vec<String> = Vec::new();
        loop {
            let image = match self.choose(question, policy, &ranking).await {
                Ok(image) => image,
                // Deleted since the list was read, or listed without a manifest.
                Err((tag, error))
                    if error.kind == RegistryErrorKind::NotFound && gone.len() < TAGS_GONE_MAX =>
                {
                    gone.push(tag);
                    let left: Vec<&String> = tags.iter().filter(|tag| !gone.contains(tag)).collect();
                    ranking = Arc::new(version::rank(policy, &left));
                    continue;
                }
                Err((_, error)) => unavailable(&error),
            };
            return Explained { ranking: Some(ranking), image };
        }
    }

    /// Whether the repository is known to have had tags: an empty list then chooses nothing
    /// (semver.md rule 9).
    fn had_tags(&self, question: &Question<'_>) -> bool {
        let image = question.observed.and_then(ObservedService::image);
        image.is_some_and(|image| image.repository == *question.repository)
            || !self.memory.repository(&question.repository.normalized()).tags.is_empty()
    }

    /// The answer, or the tag that could not be looked up and why.
    async fn choose(
        &self,
        question: &Question<'_>,
        policy: &VersionPolicy,
        ranking: &Ranking,
    ) -> Result<DesiredImage, (String, RegistryError)> {
        let mut resolved: BTreeMap<String, Resolved> = BTreeMap::new();
        for _ in 0..ROUNDS_MAX {
            let seen = self.ages(question, policy);
            let facts = facts(question, &resolved, &seen);
            let needed = match version::choose(policy, ranking, &facts) {
                Choice::Need(tags) => tags,
                Choice::Chosen(chosen) => {
                    self.watch_the_young(question, policy, &chosen.passed_over).await;
                    return Ok(DesiredImage::Chosen(Target {
                        repository: question.repository.clone(),
                        tag: Some(chosen.tag),
                        version: Some(chosen.version),
                        digest: chosen.digest,
                        warnings: chosen.warnings,
                        passed_over: chosen.passed_over,
                    }));
                }
                Choice::Nothing(why) => {
                    self.watch_the_young(question, policy, passed_over(&why)).await;
                    return Ok(nothing(question, why));
                }
            };
            for tag in needed {
                match self.lookup(question, &tag).await {
                    Ok(found) => {
                        self.record_digest(question, policy, &tag, &found);
                        resolved.insert(tag, found);
                    }
                    Err(error) => return Err((tag, error)),
                }
            }
        }
        let message = format!("{}: no choice after {ROUNDS_MAX} look-ups", question.repository);
        Ok(DesiredImage::None { reason: WaitingReason::NoVersionFits, message, passed_over: Vec::new() })
    }

    /// Notes the digests of versions that are still too young, so that content which is pushed
    /// under their tags meanwhile begins a new age (semver.md rule 11).
    async fn watch_the_young(
        &self,
        question: &Question<'_>,
        policy: &VersionPolicy,
        passed_over: &[Rejected],
    ) {
        let young = passed_over.iter().filter(|rejected| rejected.reason == RejectReason::TooYoung);
        for rejected in young.take(YOUNG_WATCHED_MAX) {
            let tag = &rejected.tag;
            if let Ok(digest) = self.registry.digest(question.repository, tag, question.max_age).await {
                self.record_digest(question, policy, tag, &Resolved { digest, platforms: BTreeSet::new() });
            }
        }
    }

    /// The tag's digest; its platforms too, but for the digest that runs already.
    async fn lookup(&self, question: &Question<'_>, tag: &str) -> Result<Resolved, RegistryError> {
        let digest = self.registry.digest(question.repository, tag, question.max_age).await?;
        self.watched.note(question.repository, tag, &digest);
        let running = question.observed.and_then(ObservedService::image).and_then(|image| image.digest);
        let platforms = if running.as_ref() == Some(&digest) {
            BTreeSet::new()
        } else {
            self.registry.platforms(question.repository, &digest).await?
        };
        Ok(Resolved { digest, platforms })
    }

    /// Remembers when tags were first listed (semver.md rule 11); the first list's are old.
    fn record_first_seen(&self, repository: &Repository, tags: &Arc<[String]>, now: Timestamp) {
        if let Ok(mut recorded) = self.recorded.lock() {
            if recorded.get(repository).is_some_and(|last| Arc::ptr_eq(last, tags)) {
                return;
            }
            recorded.insert(repository.clone(), Arc::clone(tags));
        }
        let name = repository.normalized();
        let mut memory = self.memory.repository(&name);
        let first_seen_ms = if memory.listed { now.as_millisecond() } else { 0 };
        let known = memory.tags.len();
        let versions = tags.iter().filter(|tag| tag.bytes().any(|byte| byte.is_ascii_digit()));
        for tag in versions {
            if !memory.tags.contains_key(tag) {
                memory.tags.insert(tag.clone(), TagMemory { first_seen_ms, digest: None });
            }
        }
        if memory.listed && memory.tags.len() == known {
            return;
        }
        memory.listed = true;
        if let Err(error) = self.memory.put_repository(&name, memory) {
            tracing::warn!(repository = %repository, %error, "cannot remember when tags were first seen");
        }
    }

    /// A tag's age starts again when its digest changes.
    fn record_digest(&self, question: &Question<'_>, policy: &VersionPolicy, tag: &str, found: &Resolved) {
        if policy.min_age.is_zero() {
            return;
        }
        let name = question.repository.normalized();
        let mut memory = self.memory.repository(&name);
        let entry = memory.tags.entry(tag.to_owned()).or_default();
        let digest = found.digest.to_string();
        if entry.digest.as_ref() == Some(&digest) {
            return;
        }
        // Content that was not looked at when its tag appeared may have come later.
        if entry.digest.is_some() || entry.first_seen_ms != 0 {
            entry.first_seen_ms = question.now.as_millisecond();
        }
        entry.digest = Some(digest);
        if let Err(error) = self.memory.put_repository(&name, memory) {
            tracing::warn!(repository = %question.repository, %error, "cannot remember a tag's digest");
        }
    }

    fn ages(&self, question: &Question<'_>, policy: &VersionPolicy) -> BTreeMap<String, i64> {
        if policy.min_age.is_zero() {
            return BTreeMap::new();
        }
        let memory = self.memory.repository(&question.repository.normalized());
        memory.tags.into_iter().map(|(tag, seen)| (tag, seen.first_seen_ms)).collect()
    }
}

/// Whether a manifest that offers these platforms runs on some eligible node; where one of the
/// two is not known, it is taken to (semver.md rule 10).
fn fits(offered: &BTreeSet<Platform>, nodes: &BTreeSet<Platform>) -> bool {
    offered.is_empty()
        || nodes.is_empty()
        || offered.iter().any(|platform| nodes.iter().any(|node| platform.runs_on(node)))
}

fn facts<'a>(
    question: &Question<'_>,
    resolved: &'a BTreeMap<String, Resolved>,
    seen: &'a BTreeMap<String, i64>,
) -> Facts<'a> {
    let holds = |refusal: &&Refusal| refusal.holds(&question.spec_hash, question.now);
    let refused = question.memory.refused.iter().filter(holds);
    let refused = refused.filter_map(|refusal| {
        Some(RefusedImage {
            version: refusal.image.version.clone()?,
            digest: refusal.image.digest.parse().ok()?,
        })
    });
    let image = question.observed.and_then(ObservedService::image);
    let running = image.filter(|image| image.repository == *question.repository);
    Facts {
        digests: resolved.iter().map(|(tag, found)| (tag.as_str(), found.clone())).collect(),
        refused: refused.collect(),
        first_seen_ms: seen.iter().map(|(tag, first)| (tag.as_str(), *first)).collect(),
        now_ms: question.now.as_millisecond(),
        floor: floor(question),
        running: running.map(|image| Running { tag: image.tag, digest: image.digest }),
        platforms: question.platforms.clone(),
    }
}

/// The version below which the service must not go (semver.md rule 7): of the last complete
/// rollout of this repository, else by skep's label, else, for a service being adopted, what runs.
fn floor(question: &Question<'_>) -> Option<semver::Version> {
    let memory = &question.memory;
    // What is being rolled out counts too, or a list that lost it would take it back half way.
    let rolling = memory.rollout.as_ref().filter(|rollout| rollout.purpose == Purpose::Forward);
    let rolling = rolling.map(|rollout| &rollout.to).filter(|to| {
        !memory
            .refused
            .iter()
            .any(|it| it.holds(&question.spec_hash, question.now) && it.image.digest == to.digest)
    });
    let of_repository = |image: &&Image| image.repository == question.repository.normalized();
    let remembered = memory.last_good.iter().chain(rolling).filter(of_repository);
    let versions = remembered.filter_map(|image| semver::Version::parse(image.version.as_deref()?).ok());
    if memory.last_good.is_some() {
        return versions.max_by(semver::Version::cmp_precedence);
    }
    let observed = question.observed?;
    let image = observed.image().filter(|image| image.repository == *question.repository)?;
    let label = observed.label(labels::VERSION).filter(|_| question.owned);
    label.and_then(|version| semver::Version::parse(version).ok()).or_else(|| {
        let parsed = version::parse_tag(image.tag.as_deref()?, question.tags)?;
        Some(parsed.version)
    })
}

/// The platforms of the nodes that may run the service.
fn eligible_platforms(
    service: &spec::Service,
    found: Option<&ObservedService>,
    observed: &ObservedState,
) -> BTreeSet<Platform> {
    let constraints =
        service.compose.deploy.placement.as_ref().and_then(|placement| placement.constraints.clone());
    let wanted =
        constraints.map(|list| serde_json::json!({"TaskTemplate": {"Placement": {"Constraints": list}}}));
    let mut spec = wanted.or_else(|| found.map(|found| found.spec.clone())).unwrap_or_default();
    // The engine notes there which platforms the present image has; the next may have others.
    if let Some(platforms) = spec.pointer_mut("/TaskTemplate/Placement/Platforms") {
        *platforms = serde_json::Value::Null;
    }
    let eligible = observed.nodes.values().filter(|node| placement::is_eligible(node, &spec));
    eligible.filter_map(|node| node.platform.clone()).collect()
}

fn passed_over(why: &NoChoice) -> &[Rejected] {
    match why {
        NoChoice::NoVersionFits { passed_over }
        | NoChoice::WouldDowngrade { passed_over, .. }
        | NoChoice::Refused { passed_over, .. } => passed_over,
    }
}

fn unavailable(error: &RegistryError) -> DesiredImage {
    let reason = match error.kind {
        RegistryErrorKind::Truncated => WaitingReason::TagListTruncated,
        _ => WaitingReason::RegistryUnavailable,
    };
    DesiredImage::None { reason, message: error.to_string(), passed_over: Vec::new() }
}

fn nothing(question: &Question<'_>, why: NoChoice) -> DesiredImage {
    let (reason, message, passed_over) = match why {
        NoChoice::NoVersionFits { passed_over } => (
            WaitingReason::NoVersionFits,
            format!("no tag of {} fits the spec", question.repository),
            passed_over,
        ),
        NoChoice::WouldDowngrade { best, floor, passed_over } => (
            WaitingReason::WouldDowngrade,
            format!(
                "the highest allowed is {best}, below {floor} which ran; `downgrade = true` in `version` permits it"
            ),
            passed_over,
        ),
        NoChoice::Refused { version, passed_over } => (
            WaitingReason::VersionRefused,
            format!("{version} failed before and nothing else fits"),
            passed_over,
        ),
    };
    let why: Vec<String> =
        passed_over.iter().take(3).map(|tag| format!("{}: {}", tag.tag, tag.message)).collect();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
    let failed = question.memory.refused.last().filter(|_| reason == WaitingReason::VersionRefused);
    let failed = failed.map(|refusal| format!(": {}", refusal.why)).unwrap_or_default();
    DesiredImage::None { reason, message: format!("{message}{why}{failed}"), passed_over }
}
