//! The embedded OCI registry: the distribution API over a store in memory, as docker-registry
//! 2.8.2 has it, with pages, authentication, notifications, and misbehaviour on demand.

mod answer;
mod auth;
mod content;
mod image;
mod lists;
mod misbehave;
mod notify;
mod pull;
mod route;
mod store;
#[cfg(test)]
mod tests;
mod uploads;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use http::header;
use jiff::Timestamp;
use tokio::time::Instant;

use crate::image::{Digest, is_tag};
use crate::sim::engine::Pulled;
use crate::sim::handler::{Handler, Request, Response};
use auth::Tokens;
use notify::{Cause, Notice, Notifier, Target};
use route::Route;
use store::Store;

pub use auth::Auth;
pub use image::{BEHAVIOUR_LABEL, ImageSpec, SAYS_LABEL, behaviour_label, parse_behaviour};
pub use misbehave::Misbehaviour;
pub use notify::Hook;
pub use pull::Registries;
pub use store::Full;

/// Requests remembered; the oldest give way.
const REQUESTS_MAX: usize = 100_000;

/// How the registry is.
#[derive(Clone)]
pub struct Options {
    /// What its own pushes call it in notifications.
    pub host: String,
    pub auth: Auth,
    /// The most tags a page; without it all come at once, as from docker-registry 2.8.2.
    pub page: Option<usize>,
    pub hook: Option<Hook>,
    /// The time when it is made, by its own clock.
    pub epoch: Timestamp,
    /// Bytes of all it holds.
    pub bytes_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            host: "registry.example.com".to_owned(),
            auth: Auth::None,
            page: None,
            hook: None,
            epoch: Timestamp::UNIX_EPOCH,
            bytes_max: 256 << 20,
        }
    }
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Whether it had credentials, right or wrong.
    pub authorized: bool,
}

/// An embedded registry. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

struct Shared {
    options: Options,
    began: Instant,
    notifier: Option<Notifier>,
    inner: Mutex<Inner>,
}

struct Inner {
    store: Store,
    auth: Auth,
    tokens: Tokens,
    /// By repository; of none: of all.
    misbehaviour: BTreeMap<Option<String>, Misbehaviour>,
    requests: VecDeque<Seen>,
}

impl Inner {
    fn misbehaviour(&self, repository: Option<&str>) -> Option<&Misbehaviour> {
        let own = repository.and_then(|name| self.misbehaviour.get(&Some(name.to_owned())));
        own.or_else(|| self.misbehaviour.get(&None))
    }
}

impl Registry {
    /// Make it within the runtime whose clock it is to have.
    pub fn new(options: Options) -> Self {
        let inner = Inner {
            store: Store::new(options.bytes_max),
            auth: options.auth.clone(),
            tokens: Tokens::default(),
            misbehaviour: BTreeMap::new(),
            requests: VecDeque::new(),
        };
        let notifier = options.hook.clone().map(Notifier::new);
        let shared = Shared { options, began: Instant::now(), notifier, inner: Mutex::new(inner) };
        Self { shared: Arc::new(shared) }
    }

    fn options(&self) -> &Options {
        &self.shared.options
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes an image under a tag; a tag that is there moves. The digest is that of the
    /// manifest, or of the index if it has one.
    ///
    /// # Errors
    /// When the store is full.
    pub fn push(&self, repository: &str, tag: &str, image: &ImageSpec) -> Result<String, Full> {
        let digest = image::store(&mut self.inner().store, repository, Some(tag), image)?;
        self.tell_push(repository, tag, &digest);
        Ok(digest.to_string())
    }

    /// Gives another tag to what is under a tag or digest; whether that is there.
    pub fn tag(&self, repository: &str, reference: &str, tag: &str) -> bool {
        debug_assert!(is_tag(tag), "{tag:?} is no tag");
        let mut inner = self.inner();
        let Some(known) = inner.store.repositories.get_mut(repository) else { return false };
        let meant = known.tags.get(reference).cloned().or_else(|| reference.parse().ok());
        let Some(digest) = meant.filter(|digest| known.manifests.contains_key(digest)) else { return false };
        known.tagged = true;
        known.tags.insert(tag.to_owned(), digest.clone());
        drop(inner);
        self.tell_push(repository, tag, &digest);
        true
    }

    /// Deletes a tag and leaves its content, which the API cannot do; whether it was there.
    pub fn delete_tag(&self, repository: &str, tag: &str) -> bool {
        let mut inner = self.inner();
        let known = inner.store.repositories.get_mut(repository);
        known.is_some_and(|known| known.tags.remove(tag).is_some())
    }

    /// Deletes a manifest with all its tags; whether it was there.
    pub fn delete(&self, repository: &str, digest: &str) -> bool {
        let Ok(digest) = digest.parse::<Digest>() else { return false };
        self.inner().store.delete_manifest(repository, &digest).is_some()
    }

    /// The digest under a tag.
    pub fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        self.inner().store.repository(repository)?.tags.get(tag).map(ToString::to_string)
    }

    /// What nodes get of a tag or digest, if they may pull.
    pub fn image(&self, repository: &str, reference: &str) -> Option<Pulled> {
        pull::find(&self.inner().store, repository, reference)
    }

    /// From now on it is to be asked so; tokens that were given out are void.
    pub fn set_auth(&self, auth: Auth) {
        let mut inner = self.inner();
        inner.auth = auth;
        inner.tokens = Tokens::default();
    }

    /// From now on the whole registry misbehaves, or no longer.
    pub fn set_fault(&self, fault: Option<Misbehaviour>) {
        self.misbehave(None, fault);
    }

    /// From now on one repository misbehaves, or as all others do.
    pub fn set_fault_of(&self, repository: &str, fault: Option<Misbehaviour>) {
        self.misbehave(Some(repository.to_owned()), fault);
    }

    fn misbehave(&self, place: Option<String>, fault: Option<Misbehaviour>) {
        let mut inner = self.inner();
        match fault {
            Some(fault) => drop(inner.misbehaviour.insert(place, fault)),
            None => drop(inner.misbehaviour.remove(&place)),
        }
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.inner().requests.iter().cloned().collect()
    }

    fn now(&self) -> Timestamp {
        self.shared.options.epoch.checked_add(self.shared.began.elapsed()).unwrap_or(Timestamp::MAX)
    }

    fn tell_push(&self, repository: &str, tag: &str, digest: &Digest) {
        let inner = self.inner();
        let manifest = inner.store.repository(repository).and_then(|known| known.manifests.get(digest));
        let target = manifest.map(|manifest| Target::manifest(repository, digest, manifest, Some(tag)));
        drop(inner);
        if let Some(target) = target {
            let host = self.options().host.clone();
            self.tell(Notice::new("push", target), "PUT", host, String::new(), None);
        }
    }

    fn tell(&self, notice: Notice, method: &str, host: String, user_agent: String, user: Option<String>) {
        let Some(notifier) = &self.shared.notifier else { return };
        let mut inner = self.inner();
        let id = inner.store.next_id();
        let event_ids = notice.targets.iter().map(|_| inner.store.next_id()).collect();
        drop(inner);
        let time = self.now();
        let cause = Cause { id, event_ids, time, host, method: method.to_owned(), user_agent, user };
        notifier.tell(notice, &cause);
    }

    /// The right answer to a request.
    fn answer(&self, request: &Request, route: &Route) -> Response {
        let mut inner = self.inner();
        match route {
            Route::Root => return answer::root(),
            Route::Nothing => return answer::not_found(),
            Route::Moved(path) => return answer::moved(request, path),
            Route::Token => {
                let auth = inner.auth.clone();
                return auth::give_token(&auth, &mut inner.tokens, request);
            }
            _ => {}
        }
        let user = match auth::check(&inner.auth, &inner.tokens, request, route) {
            Ok(user) => user,
            Err(refusal) => return *refusal,
        };
        let methods = route.methods();
        if !methods.is_empty() && !methods.contains(&request.method().as_str()) {
            return answer::not_allowed(&methods.join(", "));
        }
        let store = &mut inner.store;
        let (response, notice) = match route {
            Route::Catalog => (lists::catalog(store, request), None),
            Route::Tags { name } => (lists::tags(store, request, name, self.options().page), None),
            Route::Manifest { name, reference } => content::manifest(store, request, name, reference),
            Route::Blob { name, digest } => content::blob(store, request, name, digest),
            Route::Uploads { name } => uploads::begin(store, request, name),
            Route::Upload { name, id } => uploads::go_on(store, request, name, id),
            _ => {
                let json = [("content-type", "application/json; charset=utf-8")];
                (answer::answer(200, &json, "{}"), None)
            }
        };
        drop(inner);
        if let Some(notice) = notice {
            let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
            let host = text(header::HOST).unwrap_or_default().to_owned();
            let user_agent = text(header::USER_AGENT).unwrap_or_default().to_owned();
            self.tell(notice, request.method().as_str(), host, user_agent, user);
        }
        response
    }
}

impl Handler for Registry {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        let registry = self.clone();
        Box::pin(async move {
            let route = route::parse(request.uri().path());
            let misbehaviour = {
                let mut inner = registry.inner();
                if inner.requests.len() >= REQUESTS_MAX {
                    inner.requests.pop_front();
                }
                inner.requests.push_back(Seen {
                    method: request.method().to_string(),
                    path: request.uri().path().to_owned(),
                    query: request.uri().query().unwrap_or_default().to_owned(),
                    authorized: request.headers().contains_key(header::AUTHORIZATION),
                });
                inner.misbehaviour(route.name()).cloned()
            };
            let Some(misbehaviour) = misbehaviour else { return registry.answer(&request, &route) };
            if let Some(answer) = misbehaviour.instead().await {
                return answer;
            }
            let right = registry.answer(&request, &route);
            misbehaviour.spoil(&route, &request.uri().to_string(), right).await
        })
    }
}
