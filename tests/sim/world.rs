//! What outlives skep: a Swarm, a registry, the specs and the state directory.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use skep::events::Clock;
use skep::sim::engine::state::State;
use skep::sim::handler::Handler;
use skep::sim::wire::{Memory as Server, Tap};
use skep::sim::{Engine, Registry, Request};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::plan::{REGISTRY, SWARM};
use crate::witness::{Noted, Witness, Witnessed};

/// The one registry.
pub const REGISTRY_HOST: &str = "registry.test:5000";
/// How often skep asks the registry; a tenth of what people have it do, as all times here.
pub const POLL: Duration = Duration::from_secs(10);
pub const RESYNC: Duration = Duration::from_secs(30);
pub const ROLLOUT_TIMEOUT: Duration = Duration::from_secs(60);
/// Where the clocks of the world begin: in seconds since 1970.
const EPOCH: i64 = 1_800_000_000;

pub struct World {
    pub engine: Arc<Engine>,
    pub registry: Arc<Registry>,
    pub witness: Arc<Witness>,
    pub tap: Tap,
    dir: tempfile::TempDir,
    begun: Instant,
    files: watch::Sender<()>,
    servers: Mutex<Vec<[Server; 2]>>,
    password: Mutex<Option<PathBuf>>,
}

pub fn epoch() -> Timestamp {
    Timestamp::from_second(EPOCH).unwrap()
}

impl World {
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn specs_dir(&self) -> PathBuf {
        self.dir.path().join("specs")
    }
}
