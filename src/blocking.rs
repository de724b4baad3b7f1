//! Work that may wait for the disk, called from async code.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};

/// Runs `work` on a thread that may block, and goes on to its end when the future is dropped.
/// A runtime of one thread, which only simulations and tests have, runs it at once: their
/// order is then the same in each run.
///
/// # Errors
/// When the work panicked.
pub async fn run<T, F>(work: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
