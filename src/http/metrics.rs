//! All metrics, registered in one place and passed in. Names and labels are the contract's.
//!
//! Series end with what they are about: a service's old version and a customer that is gone
//! leave nothing behind, so that the number of series is bounded by what exists.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::events::{Kind, Reason};
use crate::registry::RateLimit;

/// Whether a service runs the highest version it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Highest {
    Yes,
    No,
    /// Nobody can tell.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct Service {
    customer: String,
    service: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Info {
    customer: String,
    service: String,
    version: String,
    digest: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Customer {
    customer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RegistryCall {
    registry: String,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRegistry {
    registry: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SwarmCall {
    op: &'static str,
    code: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventKind {
    r#type: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HookCall {
    provider: &'static str,
    outcome: &'static str,
}

type Seconds = Gauge<f64, AtomicU64>;

/// The controller's metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    highest: Family<Service, Gauge>,
    unknown: Family<Service, Gauge>,
    info: Family<Info, Gauge>,
    last_success: Family<Customer, Seconds>,
    reconcile_duration: Histogram,
    queue_depth: Gauge,
    registry_requests: Family<RegistryCall, Counter>,
    registry_limit: Family<OfRegistry, Gauge>,
    registry_remaining: Family<OfRegistry, Gauge>,
    swarm_requests: Family<SwarmCall, Counter>,
    events: Family<EventKind, Counter>,
    hooks: Family<HookCall, Counter>,
    /// The info series each service has now.
    services: Mutex<BTreeMap<Service, Info>>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    pub fn new() -> Self {
        // From 10 ms, a pass without changes, to about 11 min, a long rollout.
        let reconcile_duration = Histogram::new(exponential_buckets(0.01, 4.0, 9));
        let mut metrics = Self {
            registry: Registry::with_prefix("skep"),
            highest: Family::default(),
            unknown: Family::default(),
            info: Family::default(),
            last_success: Family::default(),
            reconcile_duration,
            queue_depth: Gauge::default(),
            registry_requests: Family::default(),
            registry_limit: Family::default(),
            registry_remaining: Family::default(),
            swarm_requests: Family::default(),
            events: Family::default(),
            hooks: Family::default(),
            services: Mutex::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let r = &mut self.registry;
        // Counters get `_total` and every help text its full stop from the encoder.
        r.register(
            "service_highest",
            "1: every task runs the highest version its spec allows; 0: not; absent: unknown",
            self.highest.clone(),
        );
        r.register(
            "service_unknown",
            "1: nobody can tell whether it runs the highest version",
            self.unknown.clone(),
        );
        r.register("service_info", "What a service runs by its spec in the Swarm", self.info.clone());
        r.register(
            "last_success_timestamp_seconds",
            "When the customer was last reconciled without an error",
            self.last_success.clone(),
        );
        r.register("reconcile_duration_seconds", "Time of one reconcile", self.reconcile_duration.clone());
        r.register("queue_depth", "Customers that wait for a reconcile", self.queue_depth.clone());
        r.register(
            "registry_requests",
            "Requests to registries by status code, or `error` without an answer",
            self.registry_requests.clone(),
        );
        r.register(
            "registry_ratelimit_limit",
            "Requests that the registry allows in a window, if it says so",
            self.registry_limit.clone(),
        );
        r.register(
            "registry_ratelimit_remaining",
            "Requests that are left of them",
            self.registry_remaining.clone(),
        );
        r.register(
            "swarm_requests",
            "Requests to the engine by status code, or `error` without an answer",
            self.swarm_requests.clone(),
        );
        r.register("events", "Events recorded", self.events.clone());
        r.register("hooks", "Webhooks by what came of them", self.hooks.clone());
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Service, Info>> {
        self.services.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a service runs, and whether that is the highest; replaces what was said before.
    pub fn set_service(
        &self,
        customer: &str,
        service: &str,
        highest: Highest,
        version: Option<&str>,
        digest: Option<&str>,
    ) {
        let key = Service { customer: customer.into(), service: service.into() };
        let info = Info {
            customer: customer.into(),
            service: service.into(),
            version: version.unwrap_or_default().into(),
            digest: digest.unwrap_or_default().into(),
        };
        let mut services = self.lock();
        if let Some(old) = services.get(&key).filter(|old| **old != info) {
            self.info.remove(old);
        }
        self.info.get_or_create(&info).set(1);
        match highest {
            Highest::Unknown => {
                self.highest.remove(&key);
                self.unknown.get_or_create(&key).set(1);
            }
            known => {
                self.unknown.remove(&key);
                self.highest.get_or_create(&key).set(i64::from(known == Highest::Yes));
            }
        }
        services.insert(key, info);
    }

    /// The service is gone.
    pub fn forget_service(&self, customer: &str, service: &str) {
        let key = Service { customer: customer.into(), service: service.into() };
        let mut services = self.lock();
        if let Some(info) = services.remove(&key) {
            self.forget(&key, &info);
        }
    }

    /// The customer is gone, with all its services.
    pub fn forget_customer(&self, customer: &str) {
        self.lock().retain(|key, info| {
            let keep = key.customer != customer;
            if !keep {
                self.forget(key, info);
            }
            keep
        });
        self.last_success.remove(&Customer { customer: customer.into() });
    }

    fn forget(&self, key: &Service, info: &Info) {
        self.info.remove(info);
        self.highest.remove(key);
        self.unknown.remove(key);
    }

    /// A customer was reconciled without an error.
    pub fn succeeded(&self, customer: &str, at: jiff::Timestamp) {
        let seconds = at.as_duration().as_secs_f64();
        self.last_success.get_or_create(&Customer { customer: customer.into() }).set(seconds);
    }

    pub fn reconciled(&self, took: Duration) {
        self.reconcile_duration.observe(took.as_secs_f64());
    }

    pub fn queue_depth(&self, depth: usize) {
        self.queue_depth.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// A request to a registry (host and port, as configured or named by specs), and its
    /// status; `None` when there was no answer.
    pub fn registry_request(&self, registry: &str, status: Option<u16>) {
        let call = RegistryCall { registry: registry.into(), code: code(status) };
        self.registry_requests.get_or_create(&call).inc();
    }

    /// What a registry last said of our allowance.
    pub fn registry_allowance(&self, registry: &str, allowance: RateLimit) {
        let of = OfRegistry { registry: registry.into() };
        let gauge = |requests: u64| i64::try_from(requests).unwrap_or(i64::MAX);
        self.registry_limit.get_or_create(&of).set(gauge(allowance.limit));
        self.registry_remaining.get_or_create(&of).set(gauge(allowance.remaining));
    }

    /// A request to the engine. `op` is our name for it, such as `service_list`.
    pub fn swarm_request(&self, op: &'static str, status: Option<u16>) {
        self.swarm_requests.get_or_create(&SwarmCall { op, code: code(status) }).inc();
    }

    pub fn event(&self, kind: Kind, reason: Reason) {
        let r#type = match kind {
            Kind::Normal => "Normal",
            Kind::Warning => "Warning",
        };
        self.events.get_or_create(&EventKind { r#type, reason: reason.as_str() }).inc();
    }

    /// A webhook was called. Both labels are words of ours.
    pub fn hook(&self, provider: &'static str, outcome: &'static str) {
        self.hooks.get_or_create(&HookCall { provider, outcome }).inc();
    }

    /// All of it in the `OpenMetrics` text format.
    pub fn encode(&self) -> String {
        let mut page = String::new();
        // The encoder fails only when the writer does, and a `String` does not.
        let written = text::encode(&mut page, &self.registry);
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
        page
    }
}

/// HTTP knows three digits; whatever else a foreign server says is one label more, not many.
fn code(status: Option<u16>) -> String {
    match status.filter(|status| (100..600).contains(status)) {
        Some(status) => status.to_string(),
        None => "error".into(),
    }
}
