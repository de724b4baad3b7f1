//! A work queue of keys: deduplicated, never the same key twice at once, the earliest due
//! first. Of two requests for one key the earlier time wins; a key that is asked for while it
//! is worked on comes again afterwards.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Mutex;

use tokio::sync::Notify;
use tokio::time::Instant;

/// The queue. `K` is small and cheap to clone.
pub struct Queue<K> {
    state: Mutex<State<K>>,
    changed: Notify,
}

struct State<K> {
    /// In order of time; the counter keeps keys of one instant first come, first served.
    later: BTreeSet<(Instant, u64, K)>,
    /// The same of keys that were found to be due.
    due: BTreeSet<(Instant, u64, K)>,
    queued: HashMap<K, (Instant, u64)>,
    working: HashSet<K>,
    /// Asked for while being worked on.
    again: HashMap<K, Instant>,
    counter: u64,
}

impl<K: Ord + Hash + Clone> Default for Queue<K> {
    fn default() -> Self {
        let state = State {
            later: BTreeSet::new(),
            due: BTreeSet::new(),
            queued: HashMap::new(),
            working: HashSet::new(),
            again: HashMap::new(),
            counter: 0,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }
}

impl<K: Ord + Hash + Clone> State<K> {
    fn schedule(&mut self, key: K, at: Instant) {
        if let Some((queued_at, counter)) = self.queued.get(&key).copied() {
            if queued_at <= at {
                return;
            }
            self.unlink(queued_at, counter, &key);
        }
        self.counter += 1;
        self.queued.insert(key.clone(), (at, self.counter));
        self.later.insert((at, self.counter, key));
    }

    fn unlink(&mut self, at: Instant, counter: u64, key: &K) {
        let entry = (at, counter, key.clone());
        if !self.later.remove(&entry) {
            self.due.remove(&entry);
        }
    }

    /// Finds those that have become due.
    fn advance(&mut self, now: Instant) {
        while self.later.first().is_some_and(|(at, _, _)| *at <= now) {
            self.due.extend(self.later.pop_first());
        }
    }

    fn take_due(&mut self, now: Instant) -> Result<K, Option<Instant>> {
        self.advance(now);
        let Some((_, _, key)) = self.due.pop_first() else {
            return Err(self.later.first().map(|(at, _, _)| *at));
        };
        self.queued.remove(&key);
        self.working.insert(key.clone());
        Ok(key)
    }
}

impl<K: Ord + Hash + Clone> Queue<K> {
    /// Asks for `key` to be worked on at `at` or sooner.
    pub fn add(&self, key: K, at: Instant) {
        self.with(|state| {
            if state.working.contains(&key) {
                let again = state.again.entry(key).or_insert(at);
                *again = (*again).min(at);
            } else {
                state.schedule(key, at);
            }
        });
        self.changed.notify_one();
    }

    /// Waits for the next key that is due. The caller works on it and then calls `done`.
    pub async fn next(&self) -> K {
        loop {
            let changed = self.changed.notified();
            match self.with(|state| state.take_due(Instant::now())) {
                Ok(key) => return key,
                Err(Some(at)) => {
                    tokio::select! {
                        biased;
                        () = tokio::time::sleep_until(at) => {}
                        () = changed => {}
                    }
                }
                Err(None) => changed.await,
            }
        }
    }

    /// Ends the work on `key`.
    pub fn done(&self, key: &K) {
        self.with(|state| {
            state.working.remove(key);
            if let Some(at) = state.again.remove(key) {
                state.schedule(key.clone(), at);
            }
        });
        self.changed.notify_one();
    }

    /// Forgets `key` unless it is being worked on.
    pub fn remove(&self, key: &K) {
        self.with(|state| {
            if let Some((at, counter)) = state.queued.remove(key) {
                state.unlink(at, counter, key);
            }
            state.again.remove(key);
        });
    }

    /// How many keys are due now or being worked on.
    pub fn depth(&self) -> usize {
        let now = Instant::now();
        self.with(|state| {
            state.advance(now);
            state.due.len() + state.working.len()
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut State<K>) -> T) -> T {
        // A panic while the lock is held is impossible to leave half done: every change is
        // a few map operations that do not panic.
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        work(&mut state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn try_next(queue: &Queue<&'static str>) -> Option<&'static str> {
        queue.with(|state| state.take_due(Instant::now())).ok()
    }

    #[tokio::test(start_paused = true)]
    async fn earliest_first_and_deduplicated() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.add("late", now + Duration::from_secs(5));
        queue.add("b", now);
        queue.add("a", now);
        queue.add("b", now);
        assert_eq!(queue.next().await, "b");
        assert_eq!(queue.next().await, "a");
        assert_eq!(try_next(&queue), None);
        assert_eq!(queue.next().await, "late");
        assert_eq!(now.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn the_earlier_time_wins() {
        let queue = Queue::default();
        let now = Instant::now();
        queue.add("a", now + Duration::from_secs(60));
        queue.add("a", now + Duration::from_secs(1));
        queue.add("a", now + Duration::from_secs(30));
        assert_eq!(queue.next().await, "a");
        assert_eq!(now.elapsed(), Duration::from_secs(1));
        queue.done(&"a");
        assert_eq!(try_next(&queue), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_never_worked_on_twice_at_once() {
        let queue = Queue::default();
        queue.add("a", Instant::now());
        assert_eq!(queue.next().await, "a");
        queue.add("a", Instant::now());
        assert_eq!(try_next(&queue), None);
        queue.done(&"a");
        assert_eq!(try_next(&queue), Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_wakes_when_something_sooner_comes() {
        let queue = std::sync::Arc::new(Queue::default());
        queue.add("late", Instant::now() + Duration::from_secs(3600));
        let waiter = tokio::spawn({
            let queue = std::sync::Arc::clone(&queue);
            async move { queue.next().await }
        });
        tokio::task::yield_now().await;
        queue.add("soon", Instant::now());
        assert_eq!(waiter.await.unwrap(), "soon");
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_key_does_not_starve_the_others() {
        let queue = Queue::default();
        for key in ["busy", "x", "y"] {
            queue.add(key, Instant::now());
        }
        let mut order = Vec::new();
        for _ in 0..4 {
            let key = queue.next().await;
            order.push(key);
            queue.done(&key);
            if key == "busy" {
                queue.add("busy", Instant::now());
            }
        }
        assert_eq!(order, ["busy", "x", "y", "busy"]);
    }
}
