//! One view of the Swarm shared by all customers that ask at about the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::state::ObservedState;
use crate::swarm::{Swarm, SwarmError};

/// Takes snapshots, at most one at a time.
pub struct Snapshots {
    swarm: Arc<dyn Swarm>,
    last: tokio::sync::Mutex<Option<(Instant, Arc<ObservedState>)>>,
    /// Services (by customer) whose finished tasks are wanted too, while they roll.
    rolling: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Snapshots {
    pub fn new(swarm: Arc<dyn Swarm>) -> Self {
        Self { swarm, last: tokio::sync::Mutex::default(), rolling: Mutex::default() }
    }

    /// A snapshot that was begun at `since` or later.
    ///
    /// # Errors
    /// When the Swarm does not answer; the last snapshot is not given in its place.
    pub async fn since(&self, since: Instant) -> Result<Arc<ObservedState>, SwarmError> {
        let mut last = self.last.lock().await;
        if let Some((begun, snapshot)) = last.as_ref()
            && *begun >= since
        {
            return Ok(Arc::clone(snapshot));
        }
        let begun = Instant::now();
        let detail = self
            .rolling
            .lock()
            .map(|rolling| rolling.values().flatten().cloned().collect())
            .unwrap_or_default();
        // What is old is let go first: two views of a large Swarm need twice the memory.
        *last = None;
        let snapshot = Arc::new(self.swarm.snapshot(detail).await?);
        *last = Some((begun, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// Names the customer's services that roll now, instead of those named before.
    pub fn set_rolling(&self, customer: &str, services: BTreeSet<String>) {
        if let Ok(mut rolling) = self.rolling.lock() {
            if services.is_empty() {
                rolling.remove(customer);
            } else {
                rolling.insert(customer.to_owned(), services);
            }
        }
    }
}
