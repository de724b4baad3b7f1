//! The client that the rest of skep holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;

use super::api::Api;
use super::auth::Auth;
use super::cache::{Bounded, Flights};
use super::credentials::{self, Credentials};
use super::ecr::{AwsEnvironment, Ecr};
use super::endpoint::{Endpoint, Settings};
use super::limits::{REFERENCES_MAX, REPOSITORIES_MAX};
use super::resolve::{self, Platforms};
use super::tags::{self, TagList};
use super::transport::{Observer, Transport};
use super::{Limits, RateLimit, Registry, RegistryError, RegistryErrorKind};
use crate::config::RegistryConfig;
use crate::dial::Dial;
use crate::image::{Digest, Repository};
use crate::version::Platform;

/// How the client behaves.
#[derive(Clone)]
pub struct Options {
    /// Sent with each request.
    pub user_agent: String,
    /// The directory of docker's `config.json`; `None`: docker's credentials are not looked at.
    pub docker_config: Option<PathBuf>,
    /// Where credential helpers are looked for before the `PATH`.
    pub helper_dirs: Vec<PathBuf>,
    /// AWS's variables, for registries of ECR's.
    pub aws: AwsEnvironment,
    /// Told of each HTTP request, for the metrics.
    pub observer: Option<Observer>,
    pub limits: Limits,
    /// Makes the connections, in place of the network: for embedded registries.
    pub dial: Option<Dial>,
}

impl Default for Options {
    /// As docker finds its configuration: `DOCKER_CONFIG`, else `.docker` in the home
    /// directory.
    fn default() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        Self {
            user_agent: concat!("skep/", env!("CARGO_PKG_VERSION")).to_owned(),
            docker_config: set("DOCKER_CONFIG").or_else(|| set("HOME").map(|home| home.join(".docker"))),
            helper_dirs: Vec::new(),
            aws: AwsEnvironment::new(|name| std::env::var(name).ok().filter(|value| !value.is_empty())),
            observer: None,
            limits: Limits::default(),
            dial: None,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("user_agent", &self.user_agent)
            .field("docker_config", &self.docker_config)
            .field("helper_dirs", &self.helper_dirs)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// All registries, over HTTP. Shared by reference: it holds the caches that make many
/// services cost one query.
pub struct Client {
    api: Api,
    tags: Flights<Repository, TagList>,
    digests: Flights<(Repository, String), Digest>,
    platforms: Platforms,
}

impl Client {
    /// A client for the `[registries]` of the configuration, by `host[:port][/prefix]`.
    pub fn new(registries: &BTreeMap<String, RegistryConfig>, options: Options) -> Self {
        let settings = Arc::new(Settings::new(registries));
        let Options { user_agent, docker_config, helper_dirs, aws, observer, limits, dial } = options;
        let error_ttl = limits.error_ttl;
        let transport = Arc::new(Transport::new(user_agent, observer, limits, dial));
        let ecr = Ecr::new(aws, Arc::clone(&transport));
        let credentials = Credentials::new(Arc::clone(&settings), docker_config, helper_dirs, ecr);
        Self {
            api: Api { settings, credentials, auth: Auth::new(), transport },
            tags: Flights::new(REPOSITORIES_MAX, error_ttl),
            digests: Flights::new(REFERENCES_MAX, error_ttl),
            platforms: Mutex::new(Bounded::new(REFERENCES_MAX)),
        }
    }
}

impl Registry for Client {
    fn tags(
        &self,
        repository: &Repository,
        max_age: Duration,
    ) -> BoxFuture<'_, Result<Arc<[String]>, RegistryError>> {
        let repository = repository.clone();
        Box::pin(async move {
            let endpoints = self.api.settings.endpoints(&repository)?;
            let ask = |last: Option<TagList>| {
                first(&endpoints, move |endpoint| tags::list(&self.api, endpoint, last.clone()))
            };
            Ok(self.tags.get(&repository, max_age, ask).await?.tags)
        })
    }

    fn digest(
        &self,
        repository: &Repository,
        reference: &str,
        max_age: Duration,
    ) -> BoxFuture<'_, Result<Digest, RegistryError>> {
        let key = (repository.clone(), reference.to_owned());
        Box::pin(async move {
            let endpoints = self.api.settings.endpoints(&key.0)?;
            let ask = |_| first(&endpoints, |endpoint| resolve::digest(&self.api, endpoint, &key.1));
            self.digests.get(&key, max_age, ask).await
        })
    }

    fn platforms(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> BoxFuture<'_, Result<BTreeSet<Platform>, RegistryError>> {
        let (repository, digest) = (repository.clone(), digest.clone());
        Box::pin(async move {
            let endpoints = self.api.settings.endpoints(&repository)?;
            first(&endpoints, |endpoint| resolve::platforms(&self.api, &self.platforms, endpoint, &digest))
                .await
        })
    }

    fn pull_auth(&self, repository: &Repository) -> BoxFuture<'_, Result<Option<String>, RegistryError>> {
        let repository = repository.clone();
        Box::pin(async move {
            let found = self.api.credentials.find(&repository).await?;
            Ok(found.map(|found| credentials::registry_auth(&repository, &found.credential)))
        })
    }

    fn renewal(&self, repository: &Repository) -> BoxFuture<'_, Option<Duration>> {
        let repository = repository.clone();
        Box::pin(async move { self.api.credentials.renewal(&repository).await })
    }

    fn rate_limit(&self, registry: &str) -> Option<RateLimit> {
        self.api.transport.rate_limit(registry)
    }
}

/// The first answer of several who may be asked; the last one's error. What a mirror lacks or refuses, the
/// registry may have.
async fn first<'a, T, F>(
    endpoints: &'a [Endpoint],
    ask: impl Fn(&'a Endpoint) -> F,
) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>>,
{
    let Some((registry, mirrors)) = endpoints.split_last() else {
        return Err(RegistryError::new(RegistryErrorKind::Unavailable, "", "nobody to ask"));
    };
    for mirror in mirrors {
        match ask(mirror).await {
            Ok(answer) => return Ok(answer),
            Err(error) => tracing::debug!(%error, "a mirror is passed over"),
        }
    }
    ask(registry).await
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("settings", &self.api.settings).finish_non_exhaustive()
    }
}
