//! Waiting for a condition, never for a time.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// Between two looks.
const STEP: Duration = Duration::from_millis(50);

/// Asks `probe` until it says `Ok`, and returns what that holds.
///
/// # Panics
/// After `limit`, with what was awaited and the state that `probe` reported last.
#[track_caller]
pub fn wait_until<T, E: Display>(limit: Duration, what: &str, mut probe: impl FnMut() -> Result<T, E>) -> T {
    let start = Instant::now();
    loop {
        let state = match probe() {
            Ok(value) => return value,
            Err(state) => state,
        };
        assert!(
            start.elapsed() < limit,
            "waited {:.1} s in vain until {what}; last state: {state}",
            start.elapsed().as_secs_f64()
        );
        std::thread::sleep(STEP);
    }
}

/// `Ok` if `condition`, else the state as text: for `wait_until`.
///
/// # Errors
/// `state()`, when the condition does not hold.
pub fn check(condition: bool, state: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(state()) }
}
