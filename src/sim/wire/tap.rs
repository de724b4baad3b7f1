//! A tap between a server and its handler: records every exchange, injects faults.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::body::half;
use super::events;
use super::fault::{Fault, Plan};
use super::serve::{is_reset, reset};
use crate::sim::handler::{Handler, Request, Response, full};

/// Exchanges kept; later ones are only counted.
const EXCHANGES_MAX: usize = 100_000;
/// Answers kept of one path, for stale reads.
const REMEMBERED_MAX: usize = 256;
/// Characters of a body's digest.
const DIGEST_CHARS: usize = 12;
/// Parts of queries that differ from run to run, or say nothing about what is asked.
const VOLATILE: [&str; 4] = ["version", "since", "until", "_state"];

/// One request, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    pub target: String,
    /// From 0, by target.
    pub number: usize,
    pub method: Method,
    pub path: String,
    /// Without what is volatile.
    pub query: String,
    /// Of the request's body; empty if that is empty.
    pub digest: String,
    /// `None`: no answer came, or not yet.
    pub status: Option<u16>,
    pub fault: Option<Fault>,
    /// Since the tap was made.
    pub at: Duration,
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{} {} {}", self.target, self.number, self.method, self.path)?;
        if !self.query.is_empty() {
            write!(f, "?{}", self.query)?;
        }
        if !self.digest.is_empty() {
            write!(f, " {{{}}}", self.digest)?;
        }
        match self.status {
            Some(status) => write!(f, " {status}")?,
            None => write!(f, " -")?,
        }
        self.fault.map_or(Ok(()), |fault| write!(f, " ! {fault}"))
    }
}

/// Told of a request before the server sees it.
pub type Hook = Arc<dyn Fn(&Request) + Send + Sync>;
/// Chooses a fault for an exchange.
pub type Rule = Arc<dyn Fn(&Exchange) -> Option<Fault> + Send + Sync>;

/// What the wires of one simulation have in common. Cheap to clone. It keeps tokio's time from
/// when it was made, so make it within the runtime.
#[derive(Clone)]
pub struct Tap {
    inner: Arc<Inner>,
}

struct Inner {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    exchanges: Vec<Exchange>,
    numbers: BTreeMap<String, usize>,
    plans: Vec<Plan>,
    rule: Option<Rule>,
    crash: Option<Arc<dyn Fn() + Send + Sync>>,
    conflict: Option<Hook>,
    /// How long answers are kept for stale reads; zero: not at all.
    remember: Duration,
    remembered: HashMap<(String, String), VecDeque<Remembered>>,
}

#[derive(Clone)]
struct Remembered {
    time: Instant,
    status: StatusCode,
    headers: http::HeaderMap,
    body: Bytes,
}

impl Default for Tap {
    fn default() -> Self {
        Self { inner: Arc::new(Inner { began: Instant::now(), state: Mutex::default() }) }
    }
}

impl Tap {
    /// A handler around another one, whose exchanges are the target's.
    pub fn wire(&self, target: &str, handler: Arc<dyn Handler>) -> Wire {
        Wire { tap: self.clone(), target: target.to_owned(), handler }
    }

    /// Adds a plan; of several for one exchange the first holds.
    pub fn plan(&self, plan: Plan) {
        let mut state = self.state();
        if let Fault::Stale(age) = plan.fault {
            state.remember = state.remember.max(age);
        }
        state.plans.push(plan);
    }

    /// Asked for each exchange that no plan is about.
    pub fn rule(&self, rule: Rule) {
        self.state().rule = Some(rule);
    }

    /// No more faults.
    pub fn heal(&self) {
        let mut state = self.state();
        state.plans.clear();
        state.rule = None;
    }

    /// Called when skep is to die.
    pub fn on_crash(&self, crash: Arc<dyn Fn() + Send + Sync>) {
        self.state().crash = Some(crash);
    }

    /// Called with a request before or after which somebody else is to change the same object.
    pub fn on_conflict(&self, conflict: Hook) {
        self.state().conflict = Some(conflict);
    }

    /// Keeps answers this long, for stale reads that a rule asks for. Plans see to it themselves.
    pub fn remember(&self, age: Duration) {
        self.state().remember = age;
    }

    /// All exchanges so far, in the order in which they began.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.state().exchanges.clone()
    }

    /// How many exchanges the target had.
    pub fn count(&self, target: &str) -> usize {
        self.state().numbers.get(target).copied().unwrap_or(0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers the exchange and chooses its fault; gives its place in the record.
    fn begin(&self, target: &str, request: &Request) -> (usize, Option<Fault>) {
        let mut state = self.state();
        let next = state.numbers.entry(target.to_owned()).or_default();
        let number = *next;
        *next += 1;
        let mut exchange = Exchange {
            target: target.to_owned(),
            number,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: steady(request.uri().query().unwrap_or_default()),
            digest: digest(request.body()),
            status: None,
            fault: None,
            at: self.inner.began.elapsed(),
        };
        let planned = state
            .plans
            .iter()
            .find(|plan| plan.target == target && plan.at.contains(&number) && is_about(plan.fault, request));
        let fault = match planned {
            Some(plan) => Some(plan.fault),
            None => {
                // Not under the lock: a rule may ask the tap.
                let rule = state.rule.clone();
                drop(state);
                let fault = rule.and_then(|rule| rule(&exchange));
                state = self.state();
                fault
            }
        };
        exchange.fault = fault;
        let place = state.exchanges.len();
        if place < EXCHANGES_MAX {
            state.exchanges.push(exchange);
        }
        (place, fault)
    }

    fn answered(&self, place: usize, status: StatusCode) {
        if let Some(exchange) = self.state().exchanges.get_mut(place) {
            exchange.status = Some(status.as_u16());
        }
    }

    fn conflict(&self, request: &Request) {
        let conflict = self.state().conflict.clone();
        if let Some(conflict) = conflict {
            conflict(request);
        }
    }

    async fn crash(&self) -> Response {
        let crash = self.state().crash.clone();
        if let Some(crash) = crash {
            crash();
        }
        std::future::pending().await
    }

    /// Keeps an answer for stale reads if anybody wants them, and gives the oldest one that is
    /// no older than `age`; the fresh one if that is zero.
    async fn remembering(&self, key: (String, String), response: Response, age: Duration) -> Response {
        let (parts, body) = response.into_parts();
        let Ok(body) = body.collect().await else { return reset() };
        let fresh = Remembered {
            time: Instant::now(),
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        };
        let mut state = self.state();
        let keep = state.remember;
        let kept = state.remembered.entry(key).or_default();
        if fresh.status.is_success() {
            kept.push_back(fresh.clone());
        }
        let old = |limit: Duration| move |known: &Remembered| known.time.elapsed() > limit;
        while kept.len() > REMEMBERED_MAX || kept.front().is_some_and(old(keep)) {
            kept.pop_front();
        }
        let stale = kept.iter().find(|known| !age.is_zero() && !old(age)(known)).cloned();
        let told = stale.unwrap_or(fresh);
        drop(state);
        let mut response = Response::new(full(told.body));
        *response.status_mut() = told.status;
        *response.headers_mut() = told.headers;
        response
    }
}

/// A [`Handler`] around another one, with a tap on it.
#[derive(Clone)]
pub struct Wire {
    tap: Tap,
    target: String,
    handler: Arc<dyn Handler>,
}

impl Handler for Wire {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        let wire = self.clone();
        Box::pin(async move {
            let (place, fault) = wire.tap.begin(&wire.target, &request);
            let response = wire.faulty(request, fault).await;
            if !is_reset(&response) {
                wire.tap.answered(place, response.status());
            }
            response
        })
    }
}

impl Wire {
    async fn faulty(&self, request: Request, fault: Option<Fault>) -> Response {
        let endless = is_endless(&request);
        match fault {
            None => self.read(request, Duration::ZERO).await,
            Some(Fault::Stale(age)) => self.read(request, age).await,
            Some(Fault::ErrorBefore(status)) => self.error(status),
            Some(Fault::ErrorAfter(status)) => {
                self.handler.handle(request).await;
                self.error(status)
            }
            Some(Fault::Conflict) => {
                self.tap.conflict(&request);
                self.handler.handle(request).await
            }
            Some(Fault::ConflictAfter) => {
                let response = self.handler.handle(request.clone()).await;
                self.tap.conflict(&request);
                response
            }
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::HangAfter) => {
                self.handler.handle(request).await;
                std::future::pending().await
            }
            Some(Fault::Reset) => reset(),
            Some(Fault::ResetAfter) => {
                self.handler.handle(request).await;
                reset()
            }
            Some(Fault::ResetMidBody) => half(self.handler.handle(request).await, endless).await,
            Some(Fault::CrashBefore) => self.tap.crash().await,
            Some(Fault::CrashAfter) => {
                self.handler.handle(request).await;
                self.tap.crash().await
            }
            Some(Fault::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                self.read(request, Duration::ZERO).await
            }
            Some(Fault::Events(fault)) if endless => {
                events::transform(self.handler.handle(request).await, fault)
            }
            Some(Fault::Events(_)) => self.read(request, Duration::ZERO).await,
        }
    }

    /// Answers, as of up to `age` ago if it is a read.
    async fn read(&self, request: Request, age: Duration) -> Response {
        let read = request.method() == Method::GET && !is_endless(&request);
        let wanted = !self.tap.state().remember.is_zero() || !age.is_zero();
        let key = (self.target.clone(), request.uri().to_string());
        let response = self.handler.handle(request).await;
        if read && wanted { self.tap.remembering(key, response, age).await } else { response }
    }

    /// An error in the server's own form.
    fn error(&self, status: u16) -> Response {
        let body = if self.target == "registry" {
            let (code, message) = match status {
                503 => ("UNAVAILABLE", "service unavailable"),
                _ => ("UNKNOWN", "unknown error"),
            };
            serde_json::json!({"errors": [{"code": code, "message": message}]})
        } else {
            let message = match status {
                503 => {
                    "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to \
                     connect this node to swarm and try again."
                }
                _ => "rpc error: code = DeadlineExceeded desc = context deadline exceeded",
            };
            serde_json::json!({"message": message})
        };
        let mut response = Response::new(full(body.to_string()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

/// Faults of event streams and of reads leave other exchanges to other plans.
fn is_about(fault: Fault, request: &Request) -> bool {
    match fault {
        Fault::Events(_) => is_endless(request),
        Fault::Stale(_) => request.method() == Method::GET && !is_endless(request),
        _ => true,
    }
}

/// Whether the answer is a stream without an end.
fn is_endless(request: &Request) -> bool {
    request.uri().path().ends_with("/events")
}

fn steady(query: &str) -> String {
    let kept = query.split('&').filter(|part| {
        let name = part.split_once('=').map_or(*part, |(name, _)| name);
        !VOLATILE.contains(&name)
    });
    kept.collect::<Vec<_>>().join("&")
}

fn digest(body: &[u8]) -> String {
    if body.is_empty() {
        return String::new();
    }
    let mut text = format!("{:x}", Sha256::digest(body));
    text.truncate(DIGEST_CHARS);
    text
}
