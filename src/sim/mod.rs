//! An embedded Docker Swarm and an embedded OCI registry that speak the real protocols over
//! real HTTP, so that skep's production clients run against them unchanged: for `skep demo`
//! and for simulations. Conformance tests hold them against a real engine and registry.
//!
//! ```text
//! clients ── wire (in memory, unix socket, TCP; faults) ──┬── engine: API over State ← orchestrate
//!                                                         └── registry: API over Store
//! ```

pub mod engine;
pub mod handler;
pub mod registry;
pub mod wire;

pub use engine::Engine;
pub use handler::{Body, Handler, Request, Response};
pub use registry::{Registries, Registry};
