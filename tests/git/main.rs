//! Specs from git: real repositories over file and http (`git http-backend`), all
//! started here on loopback, in temporary folders.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod feed;
mod hostile;
mod http;
mod origin;
mod signatures;
mod source;
