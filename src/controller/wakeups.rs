//! All that can wake the loop, as one stream: files, the Swarm, registries, time, signals.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{BoxStream, FuturesUnordered};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::Jitter;
use super::poll::{self, Poller, Watched};
use crate::events::Trigger;
use crate::image::Repository;
use crate::registry::Registry;
use crate::source::Touched;
use crate::swarm::{Swarm, Wakeup};

/// Wake-ups that may wait; more are dropped, as the loop looks at everything anyway.
const BACKLOG: usize = 1024;
/// Pause before the event stream is opened again.
const REOPEN_DELAY: Duration = Duration::from_secs(1);
/// File systems without notification are read this often.
const REREAD: Duration = Duration::from_secs(30);

/// A reason to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wake {
    /// The specs directory changed, or it is time to read it again.
    Specs(Trigger),
    /// At these paths of the specs directory something changed.
    Files(BTreeSet<String>),
    /// Compare everything again.
    Resync,
    /// Something that concerns all services, or the event stream is new.
    Swarm,
    /// Something happened to this service.
    Service(String),
    /// Somebody says that the source of the specs has something new: fetch it, or read it again.
    Pushed,
    /// These repositories have something new, or cannot be asked.
    Registry(BTreeSet<Repository>),
    /// A person asks: read the specs and look at this customer, or at all, with nothing from a cache.
    Manual(Option<String>),
    /// As `Manual`, and a person asks for all removals.
    Prune(Option<String>),
    /// SIGHUP: read and ask everything again.
    Hangup,
}

/// The sources of wake-ups; they end when this is dropped.
pub struct Wakeups {
    wakes: mpsc::Receiver<Wake>,
    repositories: watch::Sender<BTreeSet<Repository>>,
    poke: Poke,
    _sources: JoinSet<()>,
}

/// What came of waking a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poked {
    /// No spec uses it.
    Nothing,
    /// So many are asked now.
    Woken(usize),
    /// Too many wait already; this one is not among them.
    Full,
}

/// Wakes the loop from outside: for the API and for webhooks. Names nothing to deploy.
#[derive(Clone)]
pub struct Poke {
    wakes: mpsc::Sender<Wake>,
    pushed: mpsc::Sender<BTreeSet<Repository>>,
    repositories: watch::Receiver<BTreeSet<Repository>>,
}

impl Poke {
    /// One that wakes nothing: what it would is received instead.
    #[cfg(test)]
    pub(crate) fn detached(
        known: BTreeSet<Repository>,
    ) -> (Self, mpsc::Receiver<Wake>, mpsc::Receiver<BTreeSet<Repository>>) {
        let (wakes, woken) = mpsc::channel(BACKLOG);
        let (pushed, pushes) = mpsc::channel(BACKLOG);
        (Self { wakes, pushed, repositories: watch::channel(known).1 }, woken, pushes)
    }

    /// Has a customer, or all of them, looked at anew. False: the loop has ended.
    pub async fn manual(&self, customer: Option<String>) -> bool {
        self.wakes.send(Wake::Manual(customer)).await.is_ok()
    }

    /// As `manual`, with all removals allowed until the customers have come to rest.
    pub async fn prune(&self, customer: Option<String>) -> bool {
        self.wakes.send(Wake::Prune(customer)).await.is_ok()
    }

    /// The source of the specs may have something new. False: too much waits already.
    pub fn pushed(&self) -> bool {
        self.wakes.try_send(Wake::Pushed).is_ok()
    }

    /// Has those of the specs' repositories asked at once that `is_meant` accepts, and whoever
    /// uses them looked at then.
    pub fn registry(&self, is_meant: impl Fn(&Repository) -> bool) -> Poked {
        let known = self.repositories.borrow();
        let meant: BTreeSet<Repository> = known.iter().filter(|known| is_meant(known)).cloned().collect();
        drop(known);
        match meant.len() {
            0 => Poked::Nothing,
            count if self.pushed.try_send(meant).is_ok() => Poked::Woken(count),
            _ => Poked::Full,
        }
    }
}

/// What to listen to.
pub struct Sources {
    /// Says when and where the specs may have changed.
    pub files: BoxStream<'static, Touched>,
    pub swarm: Arc<dyn Swarm>,
    pub registry: Arc<dyn Registry>,
    pub watched: Watched,
    pub poll_registry: Duration,
    pub resync: Duration,
    pub jitter: Jitter,
    /// Woken by SIGHUP.
    pub hangup: Arc<Notify>,
}

impl Wakeups {
    /// Starts listening.
    pub fn start(sources: Sources) -> Self {
        let (send, wakes) = mpsc::channel(BACKLOG);
        let (repositories, repositories_seen) = watch::channel(BTreeSet::new());
        let all_due = Arc::new(Notify::new());
        let mut tasks = JoinSet::new();
        tasks.spawn(files(sources.files, send.clone()));
        tasks.spawn(swarm(sources.swarm, send.clone()));
        let (pushed, pushes) = mpsc::channel(BACKLOG);
        let poke = Poke { wakes: send.clone(), pushed, repositories: repositories_seen.clone() };
        let asker = (Arc::clone(&sources.registry), sources.watched.clone());
        tasks.spawn(pushes_told(asker, pushes, send.clone()));
        let poller = Poller::new(sources.registry, sources.watched, sources.poll_registry, sources.jitter);
        tasks.spawn(registries(poller, repositories_seen, Arc::clone(&all_due), send.clone()));
        tasks.spawn(every(sources.resync, Wake::Resync, send.clone()));
        tasks.spawn(every(REREAD, Wake::Specs(Trigger::Resync), send.clone()));
        tasks.spawn(hangups(sources.hangup, all_due, send));
        Self { wakes, repositories, poke, _sources: tasks }
    }

    /// A handle to wake the loop by.
    pub fn poke(&self) -> Poke {
        self.poke.clone()
    }

    /// Waits for the next wake-up.
    pub async fn next(&mut self) -> Wake {
        match self.wakes.recv().await {
            Some(wake) => wake,
            // Every source has died, which none does by itself; the resync goes on.
            None => std::future::pending().await,
        }
    }

    /// Polls these repositories from now on.
    pub fn poll_repositories(&self, repositories: BTreeSet<Repository>) {
        self.repositories.send_if_modified(|held| {
            let changed = *held != repositories;
            *held = repositories;
            changed
        });
    }
}

async fn files(mut changes: BoxStream<'static, Touched>, send: mpsc::Sender<Wake>) {
    while let Some(touched) = changes.next().await {
        let wake = match touched {
            Touched::Anywhere => Wake::Specs(Trigger::Spec),
            Touched::Files(files) => Wake::Files(files),
        };
        if send.send(wake).await.is_err() {
            return;
        }
    }
}

async fn swarm(swarm: Arc<dyn Swarm>, send: mpsc::Sender<Wake>) {
    // The first connection is as old as the first pass over everything.
    let mut first = true;
    loop {
        let mut events = swarm.wakeups();
        while let Some(event) = events.next().await {
            let wake = match event {
                Ok(Wakeup::Connected) if std::mem::take(&mut first) => continue,
                Ok(Wakeup::Connected | Wakeup::Node) => Wake::Swarm,
                Ok(Wakeup::Service(name)) => Wake::Service(name),
                Err(error) => {
                    tracing::debug!(%error, "event stream");
                    // What the first pass saw is as old as the failure.
                    first = false;
                    break;
                }
            };
            // A full backlog drops wake-ups, but then the loop is busy looking already.
            if let Err(mpsc::error::TrySendError::Closed(_)) = send.try_send(wake) {
                return;
            }
        }
        tokio::time::sleep(REOPEN_DELAY).await;
    }
}

async fn registries(
    mut poller: Poller,
    mut repositories: watch::Receiver<BTreeSet<Repository>>,
    all_due: Arc<Notify>,
    send: mpsc::Sender<Wake>,
) {
    loop {
        let due = poller.next_due();
        let until_due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            changed = repositories.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = repositories.borrow_and_update().clone();
                poller.set(&now);
            }
            () = all_due.notified() => poller.all_due(),
            () = until_due => {
                let changed = poller.poll().await;
                if !changed.is_empty() && send.send(Wake::Registry(changed)).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Asks a repository as soon as somebody says that it has something new, each by itself, so
/// that a registry that hangs holds up no other; what comes meanwhile is asked once more.
async fn pushes_told(
    (registry, watched): (Arc<dyn Registry>, Watched),
    mut pushes: mpsc::Receiver<BTreeSet<Repository>>,
    send: mpsc::Sender<Wake>,
) {
    let mut asking = FuturesUnordered::new();
    let mut under_way: BTreeMap<Repository, bool> = BTreeMap::new();
    loop {
        let begin: Vec<Repository> = tokio::select! {
            pushed = pushes.recv() => {
                let Some(pushed) = pushed else { return };
                let mut begin = Vec::new();
                for repository in pushed {
                    match under_way.get_mut(&repository) {
                        Some(again) => *again = true,
                        None => begin.push(repository),
                    }
                }
                begin
            }
            Some(asked) = asking.next(), if !asking.is_empty() => {
                let repository: Repository = asked;
                if send.send(Wake::Registry(BTreeSet::from([repository.clone()]))).await.is_err() {
                    return;
                }
                let again = under_way.remove(&repository) == Some(true);
                again.then_some(repository).into_iter().collect()
            }
        };
        for repository in begin {
            under_way.insert(repository.clone(), false);
            let (registry, watched) = (Arc::clone(&registry), watched.clone());
            asking.push(async move {
                // Whatever came of it, the pass finds out from the same answers, and says so.
                poll::refresh(registry.as_ref(), &repository, &watched).await;
                repository
            });
        }
    }
}

async fn every(interval: Duration, wake: Wake, send: mpsc::Sender<Wake>) {
    loop {
        tokio::time::sleep(interval).await;
        if send.send(wake.clone()).await.is_err() {
            return;
        }
    }
}

async fn hangups(hangup: Arc<Notify>, all_due: Arc<Notify>, send: mpsc::Sender<Wake>) {
    loop {
        hangup.notified().await;
        all_due.notify_one();
        if send.send(Wake::Hangup).await.is_err() {
            return;
        }
    }
}
