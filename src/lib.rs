//! skep: a Kubernetes-style reconciling controller for Docker Swarm.
//!
//! `ARCHITECTURE.md` tells how the parts fit; data flows one way, from spec files,
//! registries and the Swarm through a pure planner to the engine and the event log.
#![forbid(unsafe_code)]

pub mod apply;
mod blocking;
pub mod cli;
pub mod config;
pub mod controller;
pub mod dial;
pub mod events;
#[doc(hidden)]
pub mod files;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzz;
pub mod http;
pub mod image;
pub mod import;
pub mod memory;
pub mod plan;
pub mod registry;
pub mod report;
pub mod sim;
pub mod source;
pub mod spec;
pub mod state;
pub mod state_dir;
pub mod swarm;
pub mod text;
pub mod version;
