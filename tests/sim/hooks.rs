//! The way of webhooks from the registry and the person who edits specs to skep, and what
//! becomes of them there: dropped, doubled, late and out of order (I9).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue, header};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sha2::Sha256;
use skep::config::Hook;
use skep::controller::wakeups::Poke;
use skep::http::{Call, Hooks, Metrics, Secret};
use skep::sim::handler::{Handler, Request, Response, full};
use skep::sim::registry;
use skep::sim::wire::{Hosts, Memory as Server};

const HOST: &str = "skep.test:9741";
pub const SECRET: &str = "canary-of-the-webhooks";
/// A late call comes after this at most: when others have come, and polls as well.
const LATE_MAX: Duration = Duration::from_secs(25);

/// What becomes of webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All come, at once.
    Straight,
    /// Each second one is lost, by chance.
    Lossy,
    /// Each comes twice, as two deliveries.
    Double,
    /// Each comes some time later, so that they come in any order.
    Late,
}

pub const WAYS: [Way; 4] = [Way::Straight, Way::Lossy, Way::Double, Way::Late];

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Straight => "straight",
            Self::Lossy => "lossy",
            Self::Double => "double",
            Self::Late => "late",
        })
    }
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        WAYS.into_iter()
            .find(|way| way.to_string() == text)
            .ok_or_else(|| format!("{text:?} is no way of webhooks"))
    }
}

/// Carries webhooks to the skep that is alive.
pub struct Carrier {
    way: Way,
    chance: Mutex<StdRng>,
    receiver: Mutex<Option<Arc<Hooks>>>,
    /// Calls that skep took and acted upon.
    woken: Mutex<usize>,
}

/// One call, to be carried.
#[derive(Clone)]
struct Message {
    hook: Hook,
    headers: HeaderMap,
    body: bytes::Bytes,
}

impl Carrier {
    pub fn new(way: Way) -> Arc<Self> {
        let chance = Mutex::new(StdRng::seed_from_u64(9));
        Arc::new(Self { way, chance, receiver: Mutex::default(), woken: Mutex::default() })
    }

    /// From now on this incarnation of skep is called.
    pub fn serve(&self, poke: Poke) {
        let secret = || Secret::new(SECRET).expect("not empty");
        let secrets = [Hook::RegistryDistribution, Hook::GitGeneric].map(|hook| (hook, secret()));
        let hooks = Hooks::new(BTreeMap::from(secrets), None, poke, Arc::new(Metrics::new()));
        *lock(&self.receiver) = Some(Arc::new(hooks));
    }

    /// Nobody is called: skep is dead.
    pub fn hang_up(&self) {
        *lock(&self.receiver) = None;
    }

    pub fn woken(&self) -> usize {
        *lock(&self.woken)
    }

    /// Where the registry sends its notifications, and what listens there for as long as it is kept.
    pub fn of_registry(self: &Arc<Self>) -> (registry::Hook, Server) {
        let server = Server::new(Arc::new(Door(Arc::clone(self))));
        let hosts = Hosts::default();
        hosts.insert(HOST, server.dialer());
        let hook = registry::Hook {
            dial: hosts.dial(),
            url: format!("http://{HOST}/hooks/registry/distribution").parse().expect("a URL"),
            authorization: Some(format!("Bearer {SECRET}")),
        };
        (hook, server)
    }

    /// Somebody pushed specs.
    pub fn specs_pushed(self: &Arc<Self>) {
        let body = bytes::Bytes::from_static(b"{}");
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length will do");
        mac.update(&body);
        let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let signature = HeaderValue::from_str(&format!("sha256={digits}")).expect("ASCII");
        let headers = HeaderMap::from_iter([("x-skep-signature-256".parse().expect("a name"), signature)]);
        self.carry(&Message { hook: Hook::GitGeneric, headers, body });
    }

    /// Whether it is taken, or is on its way.
    fn carry(self: &Arc<Self>, message: &Message) -> bool {
        match self.way {
            Way::Straight => self.deliver(message),
            Way::Lossy if lock(&self.chance).random_bool(0.5) => true,
            Way::Lossy => self.deliver(message),
            Way::Double => {
                let again = Message { body: other_ids(&message.body), ..message.clone() };
                self.deliver(message) && self.deliver(&again)
            }
            Way::Late => {
                let wait = LATE_MAX.mul_f64(lock(&self.chance).random());
                let (carrier, message) = (Arc::clone(self), message.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(wait).await;
                    carrier.deliver(&message);
                });
                true
            }
        }
    }

    fn deliver(&self, message: &Message) -> bool {
        let Some(hooks) = lock(&self.receiver).clone() else { return false };
        let call = Call { headers: &message.headers, query: None, body: &message.body };
        let answer = hooks.take(message.hook, &call);
        *lock(&self.woken) += usize::from(answer.outcome.as_str() == "woken");
        answer.status.is_success()
    }
}

/// The same events by other IDs, so that they are not known again. Only docker-registry's have any.
fn other_ids(body: &[u8]) -> bytes::Bytes {
    let Ok(mut value) = serde_json::from_slice::<serde_json::Value>(body) else {
        return body.to_vec().into();
    };
    for event in value.get_mut("events").and_then(|events| events.as_array_mut()).into_iter().flatten() {
        event["id"] = format!("again {}", event["id"]).into();
    }
    value.to_string().into()
}

/// Where the registry connects to.
struct Door(Arc<Carrier>);

impl Handler for Door {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        let mut headers = request.headers().clone();
        headers.remove(header::CONTENT_LENGTH);
        let message = Message { hook: Hook::RegistryDistribution, headers, body: request.body().clone() };
        let status = if self.0.carry(&message) { 200 } else { 503 };
        let response = http::Response::builder().status(status).body(full("")).expect("a status");
        Box::pin(std::future::ready(response))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
