//! What `skep run` serves: `/healthz`, `/readyz` and `/metrics` (contract §5).

mod health;
mod metrics;
mod routes;
mod serve;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use health::{Health, Part, Readiness, Unready};
pub use metrics::{Highest, Metrics};
pub use serve::serve;

/// What the handlers look at. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
}
