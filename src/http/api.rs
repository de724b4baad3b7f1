//! `/api/v1`: what stands, and what people ask for.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Served;
use super::access::{Hosts, Secret};
use super::board::Board;
use super::ledger::Ledger;
use crate::controller::orders::Orders;
use crate::controller::wakeups::Poke;
use crate::memory::{Hold, HoldMemory, Memory, hold_name};
use crate::text::printable;

/// Requests that may wait for a reconcile at the same time.
const WAITERS_MAX: usize = 16;
pub(super) const REASON_CHARS_MAX: usize = 500;

/// What the API's handlers work with.
pub struct Api {
    pub token: Secret,
    pub hosts: Hosts,
    pub board: Arc<Board>,
    pub ledger: Arc<Ledger>,
    /// The directory of the event log.
    pub events: PathBuf,
    pub memory: Arc<dyn Memory>,
    pub orders: Orders,
    pub poke: Poke,
    /// Ends what would go on by itself.
    pub stop: CancellationToken,
    pub limits: Limits,
}

/// How many may wait or listen at once.
pub struct Limits {
    pub(super) waiters: Semaphore,
    pub(super) listeners: Arc<Semaphore>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            waiters: Semaphore::new(WAITERS_MAX),
            listeners: Arc::new(Semaphore::new(super::stream::LISTENERS_MAX)),
        }
    }
}

/// An answer that says what is wrong.
pub struct Refused(pub StatusCode, pub String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({"error": printable(&self.1, 400)}))).into_response()
    }
}

/// What holds a customer or service at run time now.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub customer: String,
    pub service: Option<String>,
    pub suspended: bool,
    pub reason: Option<String>,
    pub until: Option<Timestamp>,
    /// Services of the customer that are held by themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub still_held: Vec<String>,
}

/// The body of `suspend`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspending {
    pub reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

pub(super) type Answer<T> = Result<T, Refused>;

impl Api {
    pub(super) fn customer(&self, name: &str) -> Answer<Vec<String>> {
        self.board.services(name).ok_or_else(|| {
            let names = self.board.names();
            let near = crate::text::nearest(name, names.iter().map(String::as_str));
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            Refused(StatusCode::NOT_FOUND, format!("no customer {name:?} is known here{hint}"))
        })
    }

    pub(super) fn service(&self, customer: &str, service: &str) -> Answer<()> {
        let services = self.customer(customer)?;
        if services.iter().any(|known| known == service) {
            return Ok(());
        }
        Err(Refused(StatusCode::NOT_FOUND, format!("{customer} has no service {service:?}")))
    }

    /// Writes a hold, or takes it away.
    async fn put_hold(&self, name: String, hold: Option<Hold>) -> Answer<()> {
        let memory = Arc::clone(&self.memory);
        let written = crate::blocking::run(move || memory.put_hold(&name, HoldMemory { hold })).await;
        written.and_then(|result| result).map_err(|error| {
            Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot remember it: {error}"))
        })
    }

    fn held(&self, customer: &str, service: Option<&str>) -> Held {
        let hold = self.memory.hold(&hold_name(customer, service)).hold;
        let below = format!("{customer}/");
        let still =
            self.memory.holds().into_keys().filter(|name| service.is_none() && name.starts_with(&below));
        Held {
            customer: customer.to_owned(),
            service: service.map(str::to_owned),
            suspended: hold.is_some(),
            reason: hold.as_ref().map(|hold| hold.reason.clone()),
            until: hold.and_then(|hold| hold.until),
            still_held: still.collect(),
        }
    }

    async fn suspend(&self, customer: &str, service: Option<&str>, body: &[u8]) -> Answer<Json<Held>> {
        let asked: Suspending = serde_json::from_slice(body).map_err(|error| {
            Refused(
                StatusCode::BAD_REQUEST,
                format!("the body is to be {{\"reason\": …, \"until\": …}}: {error}"),
            )
        })?;
        let now = Timestamp::now();
        let reason = check_hold(&asked.reason, asked.until, now)
            .map_err(|message| Refused(StatusCode::BAD_REQUEST, message))?;
        let hold = Hold { reason, until: asked.until, since: now };
        self.put_hold(hold_name(customer, service), Some(hold)).await?;
        self.poke.manual(Some(customer.to_owned())).await;
        Ok(Json(self.held(customer, service)))
    }

    async fn resume(&self, customer: &str, service: Option<&str>) -> Answer<Json<Held>> {
        if service.is_some() && self.memory.hold(&hold_name(customer, None)).hold.is_some() {
            let message = format!("{customer} is held as a whole; resume {customer}");
            return Err(Refused(StatusCode::CONFLICT, message));
        }
        if self.memory.hold(&hold_name(customer, service)).hold.is_none()
            && self.is_held_by_spec(customer, service)
        {
            let message = "its spec holds it; take `suspend` out of the spec".to_owned();
            return Err(Refused(StatusCode::CONFLICT, message));
        }
        self.put_hold(hold_name(customer, service), None).await?;
        self.poke.manual(Some(customer.to_owned())).await;
        Ok(Json(self.held(customer, service)))
    }

    /// Without a hold of ours, what is suspended is so by its spec.
    fn is_held_by_spec(&self, customer: &str, service: Option<&str>) -> bool {
        let report = self.board.report(Some(customer));
        let services = report.customers.iter().flat_map(|customer| &customer.services);
        let mut wanted = services.filter(|found| service.is_none_or(|only| only == found.service)).peekable();
        let ours = |found: &crate::report::ServiceStatus| {
            self.memory.hold(&hold_name(customer, Some(&found.service))).hold.is_some()
        };
        wanted.peek().is_some()
            && wanted.all(|found| found.state == crate::report::SyncState::Suspended && !ours(found))
    }
}

/// The reason fit to keep, or what is wrong with a hold.
///
/// # Errors
/// An empty or endless reason, a time that is over.
pub fn check_hold(reason: &str, until: Option<Timestamp>, now: Timestamp) -> Result<String, String> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err("a hold needs a reason, for those who find it".into());
    }
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(format!("a reason has at most {REASON_CHARS_MAX} characters"));
    }
    if let Some(until) = until.filter(|until| *until <= now) {
        return Err(format!("{until} is over already"));
    }
    Ok(printable(reason, REASON_CHARS_MAX))
}

pub(super) fn busy(message: &str) -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
}

pub(super) async fn customers(State(served): State<Served>) -> Response {
    Json(served.api.board.report(None)).into_response()
}

pub(super) async fn customer(State(served): State<Served>, Path(name): Path<String>) -> Answer<Response> {
    let report = served.api.board.report(Some(&name));
    if report.customers.is_empty() {
        served.api.customer(&name)?;
    }
    Ok(Json(report).into_response())
}

pub(super) async fn suspend(
    State(served): State<Served>,
    Path(name): Path<String>,
    body: Bytes,
) -> Answer<Json<Held>> {
    served.api.customer(&name)?;
    served.api.suspend(&name, None, &body).await
}

pub(super) async fn suspend_service(
    State(served): State<Served>,
    Path((name, service)): Path<(String, String)>,
    body: Bytes,
) -> Answer<Json<Held>> {
    served.api.service(&name, &service)?;
    served.api.suspend(&name, Some(&service), &body).await
}

pub(super) async fn resume(State(served): State<Served>, Path(name): Path<String>) -> Answer<Json<Held>> {
    served.api.customer(&name)?;
    served.api.resume(&name, None).await
}

pub(super) async fn resume_service(
    State(served): State<Served>,
    Path((name, service)): Path<(String, String)>,
) -> Answer<Json<Held>> {
    // A service that left its spec may have left a hold.
    served.api.customer(&name)?;
    served.api.resume(&name, Some(&service)).await
}

/// The middleware before everything under `/api` and the page: `Host`, and the token for
/// whatever is no mere look.
pub(super) async fn guard(
    State(served): State<Served>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let headers: &HeaderMap = request.headers();
    let host = headers.get(axum::http::header::HOST).map(|host| host.as_bytes());
    if !served.api.hosts.allow(host) {
        let message = "this Host is not allowed; name it in http.hosts".to_owned();
        return Refused(StatusCode::MISDIRECTED_REQUEST, message).into_response();
    }
    let looks = matches!(*request.method(), axum::http::Method::GET | axum::http::Method::HEAD);
    if !looks && !served.api.token.is_bearer(headers) {
        let message = "a bearer token is needed: the content of http.token_file, or of api-token in the state directory";
        let refused = Refused(StatusCode::UNAUTHORIZED, message.to_owned()).into_response();
        return ([(axum::http::header::WWW_AUTHENTICATE, "Bearer")], refused).into_response();
    }
    next.run(request).await
}
