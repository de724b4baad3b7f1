//! Looks at the Swarm: one for all customers that ask at about the same time, or at one customer alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use crate::plan::fields::default_network;
use crate::spec::{Customer, Network};
use crate::state::ObservedState;
use crate::swarm::{Look, Scope, Swarm, SwarmError};

/// Takes the looks. Of those at the whole Swarm there is at most one at a time.
pub struct Snapshots {
    swarm: Arc<dyn Swarm>,
    last: tokio::sync::Mutex<Option<(Instant, Arc<Look>)>>,
    /// Services (by customer) whose finished tasks are wanted too, while they roll.
    rolling: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

/// Whose part of the Swarm is wanted.
pub struct Wanted<'a> {
    pub customer: &'a Customer,
    /// Networks of the customer's that its spec may not name any more.
    pub networks: Vec<String>,
    /// The look must have begun then or later.
    pub since: Instant,
    /// Few others are looked at now: what is looked at is this customer's part only.
    pub alone: bool,
}

impl Snapshots {
    pub fn new(swarm: Arc<dyn Swarm>) -> Self {
        Self { swarm, last: tokio::sync::Mutex::default(), rolling: Mutex::default() }
    }

    /// The customer's part of the Swarm; what does not concern it may be missing.
    ///
    /// # Errors
    /// When the Swarm does not answer, or not whole; an older look is not given in its place.
    pub async fn of(&self, wanted: Wanted<'_>) -> Result<ObservedState, SwarmError> {
        let name = &wanted.customer.name;
        if !wanted.alone {
            return self.whole(wanted.since).await?.of(name);
        }
        if let Some(look) = self.at_hand(wanted.since) {
            return look.of(name);
        }
        let mut networks: BTreeSet<String> = wanted.networks.into_iter().collect();
        networks.extend(wanted.customer.networks.values().map(|network| network.name.clone()));
        networks.insert(default_network(wanted.customer));
        let blobs = wanted.customer.secrets.values().chain(wanted.customer.configs.values());
        let rolling = self.rolling.lock().ok().and_then(|rolling| rolling.get(name).cloned());
        let scope = Scope::Customer {
            name: name.clone(),
            networks: networks.into_iter().collect(),
            blobs: blobs.map(|blob| blob.name.clone()).collect(),
        };
        self.swarm.look(scope, rolling.unwrap_or_default().into_iter().collect()).await?.of(name)
    }

    /// Adds the networks that every node has of its own, so far as the customer joins them.
    ///
    /// # Errors
    /// As `of`.
    pub async fn complete(
        &self,
        customer: &Customer,
        observed: ObservedState,
    ) -> Result<ObservedState, SwarmError> {
        add_predefined(self.swarm.as_ref(), customer, observed).await
    }

    /// The Swarm with everybody's part.
    ///
    /// # Errors
    /// As `of`.
    pub async fn all(&self, since: Instant) -> Result<ObservedState, SwarmError> {
        self.whole(since).await?.whole()
    }

    async fn whole(&self, since: Instant) -> Result<Arc<Look>, SwarmError> {
        let mut last = self.last.lock().await;
        if let Some((begun, look)) = last.as_ref()
            && *begun >= since
        {
            return Ok(Arc::clone(look));
        }
        let begun = Instant::now();
        let detail = self
            .rolling
            .lock()
            .map(|rolling| rolling.values().flatten().cloned().collect())
            .unwrap_or_default();
        // What is old is let go first: two views of a large Swarm need twice the memory.
        *last = None;
        let look = Arc::new(self.swarm.look(Scope::Whole, detail).await?);
        *last = Some((begun, Arc::clone(&look)));
        Ok(look)
    }

    /// The last look at the whole Swarm, if it is new enough. One that is under way is not waited for.
    fn at_hand(&self, since: Instant) -> Option<Arc<Look>> {
        let last = self.last.try_lock().ok()?;
        last.as_ref().filter(|(begun, _)| *begun >= since).map(|(_, look)| Arc::clone(look))
    }

    /// Nobody waits to be looked at: what is at hand would be too old for the next one.
    pub fn release(&self) {
        if let Ok(mut last) = self.last.try_lock() {
            *last = None;
        }
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

/// Adds the networks that every node has of its own, so far as the customer joins them: a look at
/// the whole Swarm has none, and hardly a customer joins any.
///
/// # Errors
/// When the Swarm does not answer.
pub async fn add_predefined(
    swarm: &dyn Swarm,
    customer: &Customer,
    mut observed: ObservedState,
) -> Result<ObservedState, SwarmError> {
    let joined = customer.networks.values().map(|network| &network.name);
    let lacking: Vec<String> = joined
        .filter(|name| Network::is_predefined(name) && !observed.networks.contains_key(*name))
        .cloned()
        .collect();
    if lacking.is_empty() {
        return Ok(observed);
    }
    let name = customer.name.clone();
    let scope = Scope::Customer { name, networks: lacking, blobs: Vec::new() };
    let mut networks = BTreeMap::clone(&observed.networks);
    let more = swarm.look(scope, Vec::new()).await?.of(&customer.name)?.networks;
    networks.extend(more.iter().map(|(name, network)| (name.clone(), network.clone())));
    observed.networks = Arc::new(networks);
    Ok(observed)
}

#[cfg(test)]
mod tests;
