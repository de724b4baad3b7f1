//! The embedded Swarm manager: the Engine API over a `State`, which the orchestrator moves.
//!
//! `state` is plain data. `orchestrate` is pure: it moves tasks and updates to where they
//! are at a given time. `api` reads and changes the state by requests.

pub mod image;
pub mod orchestrate;
pub mod state;

pub use image::{Behaviour, Images, PullError, Pulled};
pub use state::State;

/// An embedded Swarm manager.
pub struct Engine;
