//! The embedded Swarm manager: the Engine API over a `State`, which the orchestrator moves.
//!
//! `state` is plain data. `orchestrate` is pure: it moves tasks and updates to where they
//! are at a given time. `api` reads and changes the state by requests. `Engine` holds them
//! together, on tokio's clock.

pub mod api;
mod feed;
pub mod image;
mod index;
mod lists;
mod options;
pub mod orchestrate;
pub mod state;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::handler::{Handler, Request, Response, full};
use feed::Feed;
pub use image::{Behaviour, Images, PullError, Pulled};
pub use index::{Services, Tasks};
use lists::Lists;
pub use options::{HostOptions, Options, Role};
pub use orchestrate::Timing;
pub use state::State;
use state::{Event, Node};

/// An embedded Swarm manager. Clones are the same one. Its tasks move only while [`Engine::run`]
/// is awaited somewhere.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    options: Options,
    images: Arc<dyn Images>,
    started: Instant,
    state: Mutex<State>,
    feed: Mutex<Feed>,
    changed: Notify,
    /// Grows whenever the state may have changed; only under its lock.
    changes: AtomicU64,
    lists: Mutex<Lists>,
    requests: AtomicU64,
}

impl Engine {
    /// A new Swarm of these hosts, the first manager among which answers.
    pub fn new(options: Options, images: Arc<dyn Images>) -> Self {
        let state = options::first_state(&options);
        let feed = Feed::new(options.listener_events_max);
        Self {
            inner: Arc::new(Inner {
                options,
                images,
                started: Instant::now(),
                state: Mutex::new(state),
                feed: Mutex::new(feed),
                changed: Notify::new(),
                changes: AtomicU64::new(0),
                lists: Mutex::default(),
                requests: AtomicU64::new(0),
            }),
        }
    }

    /// The engine's clock: its epoch, and what tokio's clock counted since.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.inner.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.inner.options.epoch.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Moves tasks and updates, for ever.
    pub async fn run(&self) {
        loop {
            let changed = self.inner.changed.notified();
            match self.step() {
                Some(at) => {
                    let pause = std::time::Duration::try_from(at.duration_since(self.now()));
                    tokio::time::timeout(pause.unwrap_or_default(), changed).await.ok();
                }
                None => changed.await,
            }
        }
    }

    /// Does all that is due now; when something is due next.
    pub fn step(&self) -> Option<Timestamp> {
        let now = self.now();
        let mut state = self.lock_to_change();
        let next = orchestrate::step(&mut state, now, &self.inner.options.timing, &*self.inner.images);
        self.publish(&mut state);
        next
    }

    /// Changes the state, and wakes the orchestrator.
    pub fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock_to_change();
        let result = change(&mut state);
        self.publish(&mut state);
        drop(state);
        self.inner.changed.notify_one();
        result
    }

    /// Reads the state.
    pub fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.lock())
    }

    /// Cuts a host off from the managers, or connects it again.
    pub fn set_node_reachable(&self, hostname: &str, reachable: bool) {
        let now = self.now();
        self.change_node(hostname, |node| {
            node.lost = if reachable { None } else { node.lost.or(Some(now)) };
        });
    }

    /// `active`, `pause` or `drain`, as an operator sets it.
    pub fn set_node_availability(&self, hostname: &str, availability: &str) {
        let now = self.now();
        self.with(|state| {
            let Some(id) = node_id(state, hostname) else { return };
            let Some(mut spec) = state.nodes.get(&id).map(|node| node.object.spec.clone()) else { return };
            spec["Availability"] = Value::from(availability);
            api::write_node(state, &id, spec, now);
        });
    }

    fn change_node(&self, hostname: &str, change: impl FnOnce(&mut Node)) {
        self.with(|state| {
            let Some(id) = node_id(state, hostname) else { return };
            if let Some(node) = state.nodes.get_mut(&id) {
                change(node);
            }
            state.touch_node(&id);
        });
    }

    /// As after a restart of the manager: streams are cut off and past events forgotten; what
    /// the Swarm keeps stays.
    pub fn restart(&self) {
        self.feed().restart();
    }

    /// Requests that were answered or are being answered.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_to_change(&self) -> MutexGuard<'_, State> {
        let state = self.lock();
        self.inner.changes.fetch_add(1, Ordering::SeqCst);
        state
    }

    /// The list that is asked for: the one answered before, if nothing changed since.
    fn listed(&self, asked: &str, list: impl FnOnce() -> api::Answer) -> api::Answer {
        let lists = || self.inner.lists.lock().unwrap_or_else(PoisonError::into_inner);
        // Read before the state is: what is kept is at least as new as it says.
        let change = self.inner.changes.load(Ordering::SeqCst);
        let known = lists().get(change, asked);
        if let Some(text) = known {
            return Ok(api::json(text));
        }
        let (parts, body) = list()?.into_parts();
        let Some(Ok(text)) = body.collect().now_or_never() else { unreachable!("a list is there at once") };
        let text = text.to_bytes();
        lists().keep(change, asked, &text);
        Ok(Response::from_parts(parts, full(text)))
    }

    fn feed(&self) -> MutexGuard<'_, Feed> {
        self.inner.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, state: &mut State) {
        if !state.events.is_empty() {
            let mut feed = self.feed();
            state.events.drain(..).for_each(|event| feed.publish(event));
        }
    }
}

fn node_id(state: &State, hostname: &str) -> Option<String> {
    state.nodes.values().find(|node| node.hostname == hostname).map(|node| node.object.id.clone())
}

impl Handler for Engine {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        self.inner.requests.fetch_add(1, Ordering::Relaxed);
        let engine = self.clone();
        Box::pin(async move { api::answer(&engine, &request) })
    }
}

impl State {
    /// An event of swarm scope, to be published.
    fn tell(&mut self, kind: &'static str, action: &'static str, id: &str, name: &str, now: Timestamp) {
        let attributes = [("name".to_owned(), name.to_owned())].into();
        self.events.push(Event { kind, action, id: id.to_owned(), attributes, time: now });
    }
}
