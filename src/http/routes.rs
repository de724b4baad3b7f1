//! The paths and their answers, in one table: the router and its description are made of it.

use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get, post};
use serde_json::{Map, Value, json};

use super::{Served, act, api, hooks, page, stream};
use crate::config::Hook;

/// <https://prometheus.io/docs/specs/om/open_metrics_spec/>, "Overall Structure".
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const BODY_BYTES_MAX: usize = 64 << 10;

/// One path and method of the API.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: String,
    summary: String,
    /// How a caller shows that it may: a name below `securitySchemes`.
    security: Option<&'static str>,
    /// Names of query parameters.
    query: &'static [&'static str],
    handler: MethodRouter<Served>,
}

impl Route {
    fn new(
        method: &'static str,
        path: &'static str,
        summary: &'static str,
        query: &'static [&'static str],
        handler: MethodRouter<Served>,
    ) -> Self {
        let security = (method != "get").then_some("token");
        Self { method, path: path.to_owned(), summary: summary.to_owned(), security, query, handler }
    }

    fn hook(hook: Hook) -> Self {
        let handler = post(move |State(served), request: Request| hooks::receive(hook, served, request));
        let (scheme, query) = hook_security(hook);
        Self {
            method: "post",
            path: format!("/hooks/{}", hook.name()),
            summary: format!("A webhook of the secret in {}", hook.key()),
            security: Some(scheme),
            query,
            handler,
        }
    }
}

/// How callers of a hook show that they know its secret.
fn hook_security(hook: Hook) -> (&'static str, &'static [&'static str]) {
    match hook {
        Hook::GitGithub | Hook::RegistryGithub => ("hubSignature", &[]),
        Hook::GitGitlab => ("gitlabToken", &[]),
        Hook::GitGitea => ("giteaSignature", &[]),
        Hook::GitGeneric | Hook::RegistryGeneric => ("skepSignature", &[]),
        Hook::RegistryDistribution | Hook::RegistryHarbor => ("token", &[]),
        Hook::RegistryDockerHub | Hook::RegistryQuay => ("queryToken", &["token"]),
    }
}

const WAIT: &[&str] = &["wait", "until", "since", "allow_prune"];
const EVENTS: &[&str] = &["customer", "service", "type", "reason", "since", "after", "limit"];

/// All that is guarded by `Host`, and by the token where it changes something.
#[rustfmt::skip]
pub(super) fn table() -> Vec<Route> {
    vec![
        Route::new("get", "/", "How everything stands, as a page", &[], get(page::page)),
        Route::new("get", "/api/v1/openapi.json", "This description", &[], get(openapi)),
        Route::new("get", "/api/v1/customers", "How all customers stand, as `skep status --output json`", &[], get(api::customers)),
        Route::new("get", "/api/v1/customers/{customer}", "How one customer stands", &[], get(api::customer)),
        Route::new("get", "/api/v1/events", "Events; with Accept: text/event-stream as they come", EVENTS, get(stream::events)),
        Route::new("post", "/api/v1/reconcile", "Look at all customers now", WAIT, post(act::reconcile_all)),
        Route::new("post", "/api/v1/reconcile/{customer}", "Look at a customer now", WAIT, post(act::reconcile)),
        Route::new("post", "/api/v1/suspend/{customer}", "Hold a customer; the body has reason and until", &[], post(api::suspend)),
        Route::new("post", "/api/v1/suspend/{customer}/{service}", "Hold a service; the body has reason and until", &[], post(api::suspend_service)),
        Route::new("post", "/api/v1/resume/{customer}", "End the hold on a customer", &[], post(api::resume)),
        Route::new("post", "/api/v1/resume/{customer}/{service}", "End the hold on a service", &[], post(api::resume_service)),
        Route::new("post", "/api/v1/retry/{customer}/{service}", "Forget refused versions and try again", &["wait", "until", "version"], post(act::retry)),
    ]
}

/// The webhooks. No `Host` is checked: a page of another site has neither their secrets nor a way
/// to sign, and senders call us by whatever name they were given.
pub(super) fn hook_table() -> Vec<Route> {
    Hook::ALL.into_iter().map(Route::hook).collect()
}

fn routes(table: Vec<Route>) -> Router<Served> {
    table.into_iter().fold(Router::new(), |all, route| all.route(&route.path, route.handler))
}

pub(super) fn router(served: Served) -> Router {
    let guarded = routes(table());
    let guarded = guarded.route_layer(from_fn_with_state(served.clone(), api::guard));
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // These have a bound of their own.
        .merge(routes(hook_table()).route("/hooks/{*rest}", any(hooks::nowhere)))
        .with_state(served)
}

async fn healthz(State(served): State<Served>) -> Response {
    match served.state.health.stuck_for(Instant::now()) {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(since) => {
            let message = format!("the loop has not gone round for {} s\n", since.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
    }
}

async fn readyz(State(served): State<Served>) -> Response {
    let readiness = served.state.health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness)).into_response()
}

async fn metrics(State(served): State<Served>) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], served.state.metrics.encode()).into_response()
}

async fn openapi() -> Response {
    axum::Json(description()).into_response()
}

/// The API in the terms of `OpenAPI` 3.1.
pub(super) fn description() -> Value {
    let mut paths = Map::new();
    for route in table().into_iter().chain(hook_table()) {
        let named = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let mut parameters: Vec<Value> = named.map(|name| parameter(name, "path")).collect();
        parameters.extend(route.query.iter().map(|name| parameter(name, "query")));
        let mut operation = json!({
            "summary": route.summary,
            "parameters": parameters,
            "responses": {"2XX": {"description": "Done, or begun"}, "default": {"description": "What is wrong, as `error`"}},
        });
        if let Some(scheme) = route.security {
            operation["security"] = json!([{scheme: []}]);
        }
        if route.path.starts_with("/hooks/") {
            operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": {
                "type": "object", "description": "As the sender writes it",
            }}}});
        }
        if route.path.contains("/suspend/") {
            operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": {
                "type": "object", "required": ["reason"],
                "properties": {"reason": {"type": "string"}, "until": {"type": "string", "format": "date-time"}},
            }}}});
        }
        paths.entry(route.path).or_insert_with(|| json!({}))[route.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {"title": "skep", "version": env!("CARGO_PKG_VERSION")},
        "paths": paths,
        "components": {"securitySchemes": {
            "token": {"type": "http", "scheme": "bearer"},
            "hubSignature": in_header("X-Hub-Signature-256"),
            "gitlabToken": in_header("X-Gitlab-Token"),
            "giteaSignature": in_header("X-Gitea-Signature"),
            "skepSignature": in_header("X-Skep-Signature-256"),
            "queryToken": {"type": "apiKey", "in": "query", "name": "token"},
        }},
    })
}

fn in_header(name: &str) -> Value {
    json!({"type": "apiKey", "in": "header", "name": name})
}

fn parameter(name: &str, place: &str) -> Value {
    json!({"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}})
}
