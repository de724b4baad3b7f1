//! Shared answers: one request in flight a key, answers served while young enough, errors
//! for a moment, memory bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::RegistryError;

/// A map that forgets what was used least recently.
pub(super) struct Bounded<K, V> {
    entries: HashMap<K, (u64, V)>,
    capacity: usize,
    tick: u64,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity: capacity.max(1), tick: 0 }
    }

    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        self.tick += 1;
        let (used, value) = self.entries.get_mut(key)?;
        *used = self.tick;
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.tick += 1;
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            // A scan, but only when thousands of keys are in use.
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(k, _)| k.clone());
            if let Some(oldest) = oldest {
                self.entries.remove(&oldest);
            }
        }
        self.entries.insert(key, (self.tick, value));
    }

    pub(super) fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> V
    where
        V: Clone,
    {
        if let Some(value) = self.get(key) {
            return value.clone();
        }
        let value = make();
        self.insert(key.clone(), value.clone());
        value
    }

    pub(super) fn retain(&mut self, keep: impl Fn(&K) -> bool) {
        self.entries.retain(|key, _| keep(key));
    }
}

/// A lock on plain data: a panic elsewhere leaves it whole, so poison means nothing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers by key.
pub(super) struct Flights<K, V> {
    slots: Mutex<Bounded<K, Arc<Flight<V>>>>,
    error_ttl: Duration,
}

struct Flight<V> {
    /// Held by whoever asks.
    slot: tokio::sync::Mutex<Slot<V>>,
    /// Why the last request failed, while another is under way.
    retried: Mutex<Option<RegistryError>>,
}

struct Slot<V> {
    good: Option<Outcome<V>>,
    bad: Option<Outcome<RegistryError>>,
}

struct Outcome<T> {
    value: T,
    asked: Instant,
    answered: Instant,
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    pub(super) fn new(capacity: usize, error_ttl: Duration) -> Self {
        Self { slots: Mutex::new(Bounded::new(capacity)), error_ttl }
    }

    /// The answer for `key`: one asked for at most `max_age` before we came, or while we waited for
    /// whoever was asking already, or else a new one. `ask` is given the last good answer;
    /// an error does not displace that. While one caller tries again what failed, the others
    /// are told of the failure at once: a registry that hangs holds up one. If the caller that asks goes away, the next one in
    /// the queue asks.
    pub(super) async fn get<F, Fut>(&self, key: &K, max_age: Duration, ask: F) -> Result<V, RegistryError>
    where
        F: FnOnce(Option<V>) -> Fut,
        Fut: Future<Output = Result<V, RegistryError>>,
    {
        let arrived = Instant::now();
        let flight = lock(&self.slots).get_or_insert_with(key, || {
            let slot = tokio::sync::Mutex::new(Slot { good: None, bad: None });
            Arc::new(Flight { slot, retried: Mutex::new(None) })
        });
        let retried = lock(&flight.retried).clone();
        let mut slot = match (flight.slot.try_lock(), retried) {
            (Ok(slot), _) => slot,
            (Err(_), Some(error)) => return Err(error),
            (Err(_), None) => flight.slot.lock().await,
        };
        if let Some(answer) = slot.fresh(arrived, max_age, self.error_ttl) {
            return answer;
        }
        let asked = Instant::now();
        let last = slot.good.as_ref().map(|good| good.value.clone());
        *lock(&flight.retried) = slot.bad.as_ref().map(|bad| bad.value.clone());
        let result = ask(last).await;
        *lock(&flight.retried) = None;
        let answered = Instant::now();
        match &result {
            Ok(value) => {
                slot.bad = None;
                slot.good = Some(Outcome { value: value.clone(), asked, answered });
            }
            Err(error) => slot.bad = Some(Outcome { value: error.clone(), asked, answered }),
        }
        result
    }

    /// Forgets the answers whose key does not pass.
    pub(super) fn retain(&self, keep: impl Fn(&K) -> bool) {
        lock(&self.slots).retain(keep);
    }
}

impl<V: Clone> Slot<V> {
    fn fresh(
        &self,
        arrived: Instant,
        max_age: Duration,
        error_ttl: Duration,
    ) -> Option<Result<V, RegistryError>> {
        let now = Instant::now();
        // Answers that came while this caller waited: the last one counts.
        let shared_bad = self.bad.as_ref().filter(|bad| bad.answered > arrived);
        if let Some(good) = &self.good {
            // What was asked for before that may lack what we were told of.
            let young = arrived.saturating_duration_since(good.asked) <= max_age;
            let shared = good.answered > arrived && young && shared_bad.is_none();
            if shared || now.duration_since(good.asked) < max_age {
                return Some(Ok(good.value.clone()));
            }
        }
        let bad = self.bad.as_ref().filter(|bad| now.duration_since(bad.answered) < error_ttl);
        shared_bad.or(bad).map(|bad| Err(bad.value.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::RegistryErrorKind;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn failure() -> RegistryError {
        RegistryError::new(RegistryErrorKind::Unavailable, "r", "down")
    }

    #[test]
    fn forgets_what_was_used_least_recently() {
        let mut map = Bounded::new(2);
        map.insert(1, 'a');
        map.insert(2, 'b');
        assert_eq!(map.get(&1), Some(&'a'));
        map.insert(3, 'c');
        assert_eq!((map.get(&1).copied(), map.get(&2).copied()), (Some('a'), None));
        assert_eq!(map.get(&3), Some(&'c'));
        map.insert(3, 'd');
        assert_eq!((map.get(&1).copied(), map.get(&3).copied()), (Some('a'), Some('d')));
    }

    #[tokio::test(start_paused = true)]
    async fn serves_what_is_young_enough() {
        let flights = Flights::new(8, Duration::from_secs(2));
        let count = AtomicUsize::new(0);
        let get = |max_age| {
            flights.get(&"k", Duration::from_secs(max_age), |_| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, RegistryError>(count.fetch_add(1, Ordering::SeqCst))
            })
        };
        assert_eq!(get(0).await.unwrap(), 0);
        tokio::time::advance(Duration::from_secs(3)).await;
        // Asked four seconds ago, though answered only three.
        assert_eq!(get(5).await.unwrap(), 0);
        assert_eq!(get(4).await.unwrap(), 1);
        assert_eq!(get(0).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_later_is_not_given_what_was_asked_for_before() {
        let flights: Flights<&str, usize> = Flights::new(8, Duration::ZERO);
        let count = AtomicUsize::new(0);
        let ask = |_| async {
            let answer = count.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(2)).await;
            Ok(answer)
        };
        let after = |key: &'static str, wait: u64, max_age: u64| {
            let flights = &flights;
            async move {
                tokio::time::sleep(Duration::from_secs(wait)).await;
                flights.get(&key, Duration::from_secs(max_age), ask).await.unwrap()
            }
        };
        let answers = tokio::join!(after("k", 0, 0), after("k", 1, 0), after("k", 1, 0));
        assert_eq!(answers, (0, 1, 1), "those that came together share the second request");
        let answers = tokio::join!(after("l", 0, 0), after("l", 1, 1), after("l", 1, 60));
        assert_eq!(answers, (2, 2, 2), "unless it is young enough for them");
    }

    #[tokio::test(start_paused = true)]
    async fn callers_at_once_share_a_request_and_its_error() {
        let flights: Flights<&str, usize> = Flights::new(8, Duration::from_secs(2));
        let count = AtomicUsize::new(0);
        let get = || {
            flights.get(&"k", Duration::ZERO, |_| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                count.fetch_add(1, Ordering::SeqCst);
                Err(failure())
            })
        };
        let all = futures::future::join_all((0..100).map(|_| get())).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!(count.load(Ordering::SeqCst), 1);
        // Those that waited share it even if errors are not kept at all.
        let strict: Flights<&str, usize> = Flights::new(8, Duration::ZERO);
        let asked = AtomicUsize::new(0);
        let fail = |_| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            asked.fetch_add(1, Ordering::SeqCst);
            Err(failure())
        };
        let all = futures::future::join_all((0..100).map(|_| strict.get(&"k", Duration::ZERO, fail))).await;
        assert!(all.iter().all(Result::is_err));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        get().await.unwrap_err();
        assert_eq!(count.load(Ordering::SeqCst), 1, "within the error's time");
        tokio::time::advance(Duration::from_secs(2)).await;
        get().await.unwrap_err();
        assert_eq!(count.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn another_try_of_what_failed_holds_up_one_caller() {
        let flights: Flights<&str, u8> = Flights::new(8, Duration::ZERO);
        let hang = |_| async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Err(failure())
        };
        flights.get(&"k", Duration::ZERO, hang).await.unwrap_err();
        let begun = Instant::now();
        let second = flights.get(&"k", Duration::ZERO, hang);
        let others = async {
            tokio::task::yield_now().await;
            for _ in 0..100 {
                flights.get(&"k", Duration::ZERO, hang).await.unwrap_err();
            }
            begun.elapsed()
        };
        let (second, others) = tokio::join!(second, others);
        assert!(second.is_err());
        assert_eq!(others, Duration::ZERO);
        assert_eq!(flights.get(&"k", Duration::ZERO, |_| async { Ok(1) }).await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_keeps_the_last_good_answer() {
        let flights = Flights::new(8, Duration::from_secs(2));
        let minute = Duration::from_secs(60);
        assert_eq!(flights.get(&"k", minute, |_| async { Ok(7) }).await.unwrap(), 7);
        tokio::time::advance(Duration::from_secs(10)).await;
        let seen = flights
            .get(&"k", Duration::ZERO, |last| async move {
                assert_eq!(last, Some(7));
                Err(failure())
            })
            .await;
        assert!(seen.is_err());
        assert_eq!(flights.get(&"k", minute, |_| async { Ok(8) }).await.unwrap(), 7, "still young enough");
        assert!(flights.get(&"k", Duration::from_secs(5), |_| async { Ok(8) }).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_goes_away_does_not_hold_up_the_next() {
        let flights: Arc<Flights<&str, u8>> = Arc::new(Flights::new(8, Duration::from_secs(2)));
        let stuck = Arc::clone(&flights);
        let first =
            tokio::spawn(async move { stuck.get(&"k", Duration::ZERO, |_| std::future::pending()).await });
        tokio::task::yield_now().await;
        let next = flights.get(&"k", Duration::ZERO, |_| async { Ok(1) });
        first.abort();
        assert_eq!(next.await.unwrap(), 1);
    }
}
