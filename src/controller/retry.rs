//! How long to wait before a key is tried again. The only file that uses the crate `backoff`,
//! which is unmaintained (docs/adr/0001-backoff.md says how to leave it).

use std::collections::HashMap;
use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

use super::Jitter;

const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(300);
const MULTIPLIER: f64 = 2.0;
/// Keys that failed together must not come back together.
const JITTER: f64 = 0.3;

/// Delays by key, growing with each failure in a row.
#[derive(Default)]
pub struct Retries {
    keys: HashMap<String, ExponentialBackoff>,
    jitter: Jitter,
}

impl Retries {
    pub fn new(jitter: Jitter) -> Self {
        Self { keys: HashMap::new(), jitter }
    }

    /// The delay after one more failure of `key`.
    pub fn failed(&mut self, key: &str) -> Duration {
        let backoff = self.keys.entry(key.to_owned()).or_insert_with(|| {
            ExponentialBackoffBuilder::new()
                .with_initial_interval(FIRST)
                .with_max_interval(MAX)
                .with_multiplier(MULTIPLIER)
                .with_randomization_factor(0.0)
                .with_max_elapsed_time(None)
                .build()
        });
        self.jitter.spread(backoff.next_backoff().unwrap_or(MAX), JITTER)
    }

    /// `key` went well: its next failure counts as the first.
    pub fn succeeded(&mut self, key: &str) {
        self.keys.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_are_bounded_and_start_over() {
        let mut retries = Retries::default();
        let first = retries.failed("a");
        assert!(first >= FIRST.mul_f64(1.0 - JITTER) && first <= FIRST.mul_f64(1.0 + JITTER));
        let last = (0..20).map(|_| retries.failed("a")).last().unwrap();
        assert!(last >= MAX.mul_f64(1.0 - JITTER) && last <= MAX.mul_f64(1.0 + JITTER), "{last:?}");
        assert!(retries.failed("b") < Duration::from_secs(2));
        retries.succeeded("a");
        assert!(retries.failed("a") < Duration::from_secs(2));
    }
}
