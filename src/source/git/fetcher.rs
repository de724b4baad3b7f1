//! Fetches by the clock and when it is poked, on a thread of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use futures::Stream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{GitError, Repository, Tree, Trouble};

/// What is known of the repository.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The specs of the last good commit.
    pub tree: Option<Arc<Tree>>,
    /// Why the newest commit is not in force; `None` also before the first fetch ended.
    pub error: Option<GitError>,
    /// Whether a fetch has ended.
    pub fetched: bool,
    /// When the last one that has ended began.
    pub begun: Option<Instant>,
}

/// Fetches now instead of later. What is under way is followed by one more fetch.
#[derive(Clone, Debug)]
pub struct Poke(SyncSender<()>);

impl Poke {
    pub fn poke(&self) {
        // Full: somebody has poked already.
        let _ = self.0.try_send(());
    }
}

/// The state as it comes, and the poke.
#[derive(Clone, Debug)]
pub struct Feed {
    state: watch::Receiver<State>,
    poke: Poke,
    _fetcher: Arc<Fetcher>,
}

impl Feed {
    pub fn state(&self) -> State {
        let state = self.state.borrow().clone();
        // The thread has the other end.
        match self.state.has_changed() {
            Ok(_) => state,
            Err(_) => State { error: Some(ended()), fetched: true, ..state },
        }
    }

    pub fn poke(&self) {
        self.poke.poke();
    }

    pub fn poker(&self) -> Poke {
        self.poke.clone()
    }

    /// Wakes whenever there is something new.
    pub fn changes(&self) -> impl Stream<Item = ()> + Send + use<> {
        let state = self.state.clone();
        futures::stream::unfold(state, |mut state| async {
            // The thread ends only with the feed.
            state.changed().await.ok()?;
            Some(((), state))
        })
    }
}

/// The thread; it ends, and what it runs is killed, when this is dropped.
#[derive(Debug)]
pub struct Fetcher {
    repository: Repository,
    poke: Option<Poke>,
    thread: Option<JoinHandle<()>>,
}

impl Fetcher {
    /// Starts with the last good commit of an earlier run and fetches at once; `interval` gives the time until the
    /// next fetch, after each.
    pub fn start(repository: Repository, interval: impl Fn() -> Duration + Send + 'static) -> Feed {
        let (poke, poked) = sync_channel(1);
        let (send, state) = watch::channel(State::default());
        let poke = Poke(poke);
        let worker = repository.clone();
        let before = worker.last_good();
        send.send_modify(|state| match before {
            Ok(tree) => state.tree = tree.map(Arc::new),
            Err(error) => tracing::warn!(%error, "cannot read the last good commit"),
        });
        let thread = std::thread::spawn(move || work(&worker, &interval, &poked, &send));
        let fetcher = Self { repository, poke: Some(poke.clone()), thread: Some(thread) };
        Feed { state, poke, _fetcher: Arc::new(fetcher) }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.repository.cancelled.store(true, Ordering::Relaxed);
        if let Some(poke) = self.poke.take() {
            poke.poke();
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn work(
    repository: &Repository,
    interval: &dyn Fn() -> Duration,
    poked: &Receiver<()>,
    send: &watch::Sender<State>,
) {
    let cancelled = || repository.cancelled.load(Ordering::Relaxed);
    let mut is_asked_for = false;
    while !cancelled() {
        let known = send.borrow().tree.clone();
        let begun = Instant::now();
        let fetched = or_trouble(|| repository.fetch_since(known.as_ref()));
        if cancelled() {
            return;
        }
        let is_new = fetched.as_ref().is_ok_and(|tree| known.as_ref() != Some(tree));
        send.send_if_modified(|state| note(state, begun, is_asked_for, fetched));
        if is_new {
            // Nobody waits for that.
            let _ = or_trouble(|| {
                repository.tidy();
                Ok(())
            });
        }
        is_asked_for = match poked.recv_timeout(interval()) {
            Ok(()) => true,
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => return,
        };
    }
}

/// What it gives; a panic is trouble as any other, and the next round may be better.
fn or_trouble<T>(round: impl FnOnce() -> Result<T, GitError>) -> Result<T, GitError> {
    // What a round works on is its own. The panic itself is in the log.
    catch_unwind(AssertUnwindSafe(round)).unwrap_or_else(|_| {
        let message = "skep failed over what it fetched, which is a fault in it; its log says where";
        Err(GitError::new(Trouble::Local, message))
    })
}

fn ended() -> GitError {
    GitError::new(Trouble::Local, "nothing is fetched any more, for the fetcher has ended; restart skep")
}

/// Whether that is to be told: news, or the end of a fetch for which somebody waits.
fn note(state: &mut State, begun: Instant, is_asked_for: bool, fetched: Result<Arc<Tree>, GitError>) -> bool {
    let first = !std::mem::replace(&mut state.fetched, true);
    state.begun = Some(begun);
    let news = match fetched {
        Ok(tree) => {
            let recovered = state.error.take().is_some();
            let new = state.tree.as_ref() != Some(&tree);
            state.tree = Some(tree);
            first || recovered || new
        }
        Err(error) => {
            let news = state.error.as_ref() != Some(&error);
            if news {
                tracing::warn!(%error, "no new commit; the last good one stays in force");
            }
            state.error = Some(error);
            first || news
        }
    };
    news || is_asked_for
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::git::Trouble;

    #[test]
    fn an_end_is_told_when_it_is_news_or_waited_for() {
        let mut state = State::default();
        let down = || Err(GitError::new(Trouble::Unreachable, "down"));
        let begun = Instant::now();
        assert!(note(&mut state, begun, false, down()), "the first one");
        assert!(!note(&mut state, begun, false, down()), "the same again");
        let later = begun + Duration::from_secs(1);
        assert!(note(&mut state, later, true, down()), "somebody asked for it");
        assert_eq!(state.begun, Some(later));
    }

    #[test]
    fn each_fetch_has_a_time_of_its_own_until_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::at(&super::super::tests::config(), dir.path().to_owned());
        let (send, asked) = std::sync::mpsc::channel();
        let feed = Fetcher::start(repository, move || {
            send.send(()).unwrap();
            Duration::from_millis(1)
        });
        for _ in 0..3 {
            asked.recv_timeout(Duration::from_secs(60)).expect("it is asked after each fetch");
        }
        drop(feed);
    }

    #[test]
    fn a_panic_is_trouble_and_the_next_round_goes_on() {
        let error = or_trouble(|| -> Result<(), GitError> { panic!("hunter2") }).unwrap_err();
        assert_eq!(error.trouble, Trouble::Local);
        assert!(error.message.contains("a fault in it") && !error.message.contains("hunter2"), "{error}");
        assert_eq!(or_trouble(|| Ok(1)), Ok(1));
    }

    #[test]
    fn a_thread_that_ended_is_told() {
        let (send, state) = watch::channel(State::default());
        let (poke, _poked) = sync_channel(1);
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::at(&super::super::tests::config(), dir.path().to_owned());
        let fetcher = Arc::new(Fetcher { repository, poke: None, thread: None });
        let feed = Feed { state, poke: Poke(poke), _fetcher: fetcher };
        assert!(feed.state().error.is_none());
        drop(send);
        let state = feed.state();
        assert!(state.fetched && state.error.unwrap().message.contains("restart skep"));
    }
}
