//! Which deliveries came before.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::config::Hook;

/// Deliveries remembered; the oldest give way. A replay beyond that wakes what polling would.
const DELIVERIES_MAX: usize = 8192;

/// A delivery, whatever its sender calls it.
pub(super) type Key = [u8; 16];

/// The last deliveries.
#[derive(Default)]
pub(super) struct Seen(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    known: HashSet<Key>,
    order: VecDeque<Key>,
}

/// The key of a delivery: of each hook by itself.
pub(super) fn key(hook: Hook, id: &str) -> Key {
    let digest = Sha256::new().chain_update(hook.name()).chain_update([0]).chain_update(id).finalize();
    let mut key = Key::default();
    key.copy_from_slice(&digest[..16]);
    key
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a delivery; whether it is new.
    pub(super) fn note(&self, key: Key) -> bool {
        let mut inner = self.lock();
        if !inner.known.insert(key) {
            return false;
        }
        inner.order.push_back(key);
        if inner.order.len() > DELIVERIES_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.known.remove(&oldest);
        }
        true
    }

    /// Nothing came of it, so it may come again.
    pub(super) fn forget(&self, keys: &[Key]) {
        let mut inner = self.lock();
        for key in keys {
            inner.known.remove(key);
        }
        inner.order.retain(|key| !keys.contains(key));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_known_by_its_hook_and_id() {
        let seen = Seen::default();
        let one = key(Hook::GitGithub, "1");
        assert!(seen.note(one) && !seen.note(one));
        assert!(seen.note(key(Hook::RegistryGithub, "1")), "another hook's");
        seen.forget(&[one]);
        assert!(seen.note(one));
    }

    #[test]
    fn the_oldest_give_way() {
        let seen = Seen::default();
        for id in 0..=DELIVERIES_MAX {
            assert!(seen.note(key(Hook::GitGithub, &id.to_string())));
        }
        let inner = seen.lock();
        assert_eq!((inner.known.len(), inner.order.len()), (DELIVERIES_MAX, DELIVERIES_MAX));
        drop(inner);
        assert!(!seen.note(key(Hook::GitGithub, "1")) && seen.note(key(Hook::GitGithub, "0")));
    }
}
