//! What `skep run` serves: health, metrics, the API and a page (contract §5).

mod access;
mod act;
mod api;
mod board;
mod health;
mod holds;
pub(crate) mod hooks;
mod ledger;
mod metrics;
mod page;
mod routes;
mod serve;
mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use access::{Hosts, Secret, TOKEN_FILE, token, token_path};
pub use act::Reconciled;
pub use api::{Api, Held, Limits, Suspending, check_hold};
pub use board::Board;
pub use health::{Health, Part, Readiness, Unready};
pub use holds::end_holds;
pub use hooks::{Call, GitSource, Hooks, check_secret};
pub use ledger::{Ledger, Tell};
pub use metrics::{Highest, Metrics};
pub use serve::{Listener, serve};

/// What lives as long as the process. Cheap to clone.
#[derive(Clone)]
pub struct HttpState {
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
}

/// What the handlers look at. Cheap to clone.
#[derive(Clone)]
pub struct Served {
    pub state: HttpState,
    pub api: Arc<Api>,
    pub hooks: Arc<Hooks>,
}
