//! What `skep run` shows of what its controller does: metrics, readiness, the board.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::{apply, convert};
use crate::controller::{Fetch, Observer, Report, SpecsRead};
use crate::http::{Board, Health, Highest, HttpState, Ledger, Metrics, Part};
use crate::plan::Plan;
use crate::state::WaitingReason;
use crate::swarm::SwarmError;

/// The loop goes round at least every ten seconds.
const HEARTBEAT_MAX: Duration = Duration::from_secs(60);

/// Counters and readiness of a process that begins.
pub fn state() -> HttpState {
    HttpState { metrics: Arc::new(Metrics::new()), health: Arc::new(Health::new(HEARTBEAT_MAX)) }
}

/// Turns what the controller does into metrics and readiness.
pub struct Watcher {
    pub state: HttpState,
    pub board: Arc<Board>,
    pub ledger: Arc<Ledger>,
    /// The services of each customer at its last pass.
    known: Mutex<HashMap<String, Vec<String>>>,
    /// Customers for whom a registry does not answer, and why.
    dark: Mutex<BTreeMap<String, String>>,
}

impl Observer for Watcher {
    fn pass(&self, customer: &str, duration: Duration, result: Result<&Report, &SwarmError>) {
        self.state.metrics.reconciled(duration);
        match result {
            Ok(report) => {
                self.state.health.seen(Part::Swarm, Ok(()));
                self.planned(customer, &report.plan);
            }
            Err(error) => {
                self.state.health.seen(Part::Swarm, Err(&error.message));
                self.unknown(customer);
            }
        }
    }

    fn queue_depth(&self, depth: usize) {
        self.state.metrics.queue_depth(depth);
    }

    fn specs_read(&self, result: Result<&SpecsRead, &str>) {
        let health = &self.state.health;
        health.seen(Part::Specs, result.map(drop));
        let read = match result {
            Ok(read) => read,
            Err(message) => return self.board.specs_were_read(Err(message)),
        };
        if read.customers == 0 {
            // Without a customer there is nothing more to see.
            health.seen(Part::Swarm, Ok(()));
            health.seen(Part::Registries, Ok(()));
        }
        self.board.specs(&read.services, read.all);
        self.seed(read);
    }

    fn specs_fetched(&self, fetch: &Fetch) {
        self.board.specs_were_fetched(fetch);
    }

    fn specs_gone(&self, gone: &BTreeMap<String, Timestamp>) {
        self.board.set_gone(gone);
    }

    fn did(&self, customer: &str, begun: tokio::time::Instant, result: Result<&Report, &SwarmError>) {
        self.ledger.pass(customer, begun, result);
        let shown = result.map(|report| convert::status(&report.plan, report.revision.as_deref()));
        self.board.pass(customer, begun, shown.map_err(|error| error.message.as_str()));
    }

    fn specs_invalid(&self, invalid: &BTreeMap<String, String>) {
        self.board.invalid(invalid);
        // The last that is told of a reading.
        self.board.specs_were_read(Ok(()));
    }

    fn forget(&self, customer: &str) {
        self.board.forget(customer);
        self.state.metrics.forget_customer(customer);
        if let Ok(mut known) = self.known.lock() {
            known.remove(customer);
        }
        self.registries(customer, None);
    }

    fn heartbeat(&self) {
        self.state.health.beat();
    }
}

impl Watcher {
    pub fn new(state: HttpState) -> Self {
        let ledger = Arc::new(Ledger::new(apply::customer));
        Self { state, board: Arc::default(), ledger, known: Mutex::default(), dark: Mutex::default() }
    }

    /// Nobody can tell of a service until its first pass, and that must be seen too: an
    /// engine that is down from the start lets no pass come so far.
    fn seed(&self, read: &SpecsRead) {
        let Ok(mut known) = self.known.lock() else { return };
        let metrics = &self.state.metrics;
        // Of specs that another configuration named.
        known.retain(|customer, _| {
            let keep = !read.all || read.services.contains_key(customer);
            if !keep {
                metrics.forget_customer(customer);
            }
            keep
        });
        for (customer, services) in &read.services {
            let before = known.insert(customer.clone(), services.clone()).unwrap_or_default();
            for new in services.iter().filter(|service| !before.contains(service)) {
                metrics.set_service(customer, new, Highest::Unknown, None, None);
            }
            for gone in before.iter().filter(|service| !services.contains(service)) {
                metrics.forget_service(customer, gone);
            }
        }
    }

    fn planned(&self, customer: &str, plan: &Plan) {
        let metrics = &self.state.metrics;
        for (service, view) in &plan.services {
            let highest = match view.highest {
                Some(true) => Highest::Yes,
                Some(false) => Highest::No,
                None => Highest::Unknown,
            };
            let runs = view.running.first().map(|(image, _)| image);
            let version = runs.and_then(|image| image.version.as_deref());
            metrics.set_service(
                customer,
                service,
                highest,
                version,
                runs.and_then(|image| image.digest.as_deref()),
            );
        }
        let services: Vec<String> = plan.services.keys().cloned().collect();
        let before = self.known.lock().ok().and_then(|mut known| known.insert(customer.to_owned(), services));
        for gone in before.into_iter().flatten().filter(|service| !plan.services.contains_key(service)) {
            metrics.forget_service(customer, &gone);
        }
        let dark = |waiting: &&crate::plan::Waiting| {
            matches!(waiting.reason, WaitingReason::RegistryUnavailable | WaitingReason::TagListTruncated)
        };
        let why = plan.waiting.iter().find(dark).map(|waiting| waiting.message.clone());
        if why.is_none() {
            metrics.succeeded(customer, Timestamp::now());
        }
        self.registries(customer, why);
    }

    /// Ready as long as the registries of all customers answer.
    fn registries(&self, customer: &str, why: Option<String>) {
        let Ok(mut dark) = self.dark.lock() else { return };
        match why {
            Some(why) => drop(dark.insert(customer.to_owned(), why)),
            None => drop(dark.remove(customer)),
        }
        self.state.health.seen(Part::Registries, dark.values().next().map_or(Ok(()), |why| Err(why)));
    }

    /// The Swarm does not answer, so nobody can tell.
    fn unknown(&self, customer: &str) {
        let services =
            self.known.lock().ok().and_then(|known| known.get(customer).cloned()).unwrap_or_default();
        for service in services {
            self.state.metrics.set_service(customer, &service, Highest::Unknown, None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::ErrorClass;

    #[test]
    fn services_are_unknown_before_anything_was_seen_of_them() {
        let state = state();
        let watcher = Watcher::new(state.clone());
        let read = |services: BTreeMap<String, Vec<String>>, all| {
            let customers = services.len();
            SpecsRead { services, all, customers }
        };
        let specs = |keys: &[&str]| {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            read(BTreeMap::from([("acme".to_owned(), keys)]), false)
        };
        watcher.specs_read(Ok(&specs(&["web", "db"])));
        let error = SwarmError { class: ErrorClass::Transient, message: "down".into() };
        watcher.pass("acme", Duration::ZERO, Err(&error));
        let unknown = |service: &str| {
            let line = format!("skep_service_unknown{{customer=\"acme\",service=\"{service}\"}} 1");
            state.metrics.encode().contains(&line)
        };
        assert!(unknown("web") && unknown("db"));
        watcher.specs_read(Ok(&specs(&["web"])));
        assert!(unknown("web") && !unknown("db"), "a service that left the spec leaves the metrics");
        watcher.specs_read(Ok(&read(BTreeMap::new(), true)));
        assert!(!unknown("web"));
    }
}
