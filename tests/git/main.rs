//! Specs from git: real repositories over file and http (`git http-backend`), all
//! started here on loopback, in temporary folders.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod beside;
mod deeds;
mod feed;
mod fleet;
mod hostile;
mod http;
mod origin;
mod running;
mod signatures;
mod source;
mod ssh;
