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

impl Jitter {
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
