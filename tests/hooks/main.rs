//! Webhooks against a real `skep run` on an embedded Swarm and registry. Polls are an hour apart, so
//! that whatever happens within a test was woken by a call.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod hostile;
mod pushes;
mod secrets;
mod world;
