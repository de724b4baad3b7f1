//! All that can wake the loop, as one stream: files, the Swarm, registries, time, signals.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::Jitter;
use super::poll::{Poller, Watched};
use crate::events::Trigger;
use crate::image::Repository;
use crate::registry::Registry;
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
    /// Compare everything again.
    Resync,
    /// Something that concerns all services, or the event stream is new.
    Swarm,
    /// Something happened to this service.
    Service(String),
    /// These repositories have something new, or cannot be asked.
    Registry(BTreeSet<Repository>),
    /// SIGHUP: read and ask everything again.
    Hangup,
}

/// The sources of wake-ups; they end when this is dropped.
pub struct Wakeups {
    wakes: mpsc::Receiver<Wake>,
    repositories: watch::Sender<BTreeSet<Repository>>,
    _sources: JoinSet<()>,
}

/// What to listen to.
pub struct Sources {
    /// Says when the specs directory may have changed.
    pub files: BoxStream<'static, ()>,
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
        let poller = Poller::new(sources.registry, sources.watched, sources.poll_registry, sources.jitter);
        tasks.spawn(registries(poller, repositories_seen, Arc::clone(&all_due), send.clone()));
        tasks.spawn(every(sources.resync, Wake::Resync, send.clone()));
        tasks.spawn(every(REREAD, Wake::Specs(Trigger::Resync), send.clone()));
        tasks.spawn(hangups(sources.hangup, all_due, send));
        Self { wakes, repositories, _sources: tasks }
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

async fn files(mut changes: BoxStream<'static, ()>, send: mpsc::Sender<Wake>) {
    while changes.next().await.is_some() {
        if send.send(Wake::Specs(Trigger::Spec)).await.is_err() {
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
