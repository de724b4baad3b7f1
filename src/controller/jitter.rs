//! Spreads times out, so that what began or failed together does not come back together.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Where the spread comes from; clones share it.
#[derive(Clone, Debug)]
pub struct Jitter(Arc<Mutex<StdRng>>);

impl Default for Jitter {
    /// Seeded by the operating system.
    fn default() -> Self {
        Self(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }
}

/// Part of the interval by which the next poll of a repository varies.
const POLL: f64 = 0.1;

impl Jitter {
    /// Until the next poll, where they are to be so far apart.
    pub fn poll(&self, interval: Duration) -> Duration {
        self.spread(interval, POLL)
    }

    /// The same in each run, for simulations.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// `time`, longer or shorter by at most this part of it.
    pub fn spread(&self, time: Duration, part: f64) -> Duration {
        let random: f64 = self.0.lock().unwrap_or_else(PoisonError::into_inner).random();
        time.mul_f64(1.0 + part * (random * 2.0 - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_are_spread_and_never_far() {
        let (jitter, minute) = (Jitter::seeded(1), Duration::from_secs(60));
        let drawn: Vec<Duration> = (0..100).map(|_| jitter.poll(minute)).collect();
        assert!(drawn.iter().all(|time| time.abs_diff(minute) <= minute.mul_f64(POLL)), "{drawn:?}");
        let (least, most) = (drawn.iter().min().unwrap(), drawn.iter().max().unwrap());
        assert!(*most - *least > minute.mul_f64(POLL), "{drawn:?}");
    }
}
