//! The paths and their answers.

use std::time::Instant;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::HttpState;

/// <https://prometheus.io/docs/specs/om/open_metrics_spec/>, "Overall Structure".
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const BODY_BYTES_MAX: usize = 64 << 10;

pub(super) fn router(state: HttpState) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(state)
}

async fn healthz(State(state): State<HttpState>) -> Response {
    match state.health.stuck_for(Instant::now()) {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(since) => {
            let message = format!("the loop has not gone round for {} s\n", since.as_secs());
            (StatusCode::SERVICE_UNAVAILABLE, message).into_response()
        }
    }
}

async fn readyz(State(state): State<HttpState>) -> Response {
    let readiness = state.health.readiness();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(readiness)).into_response()
}

async fn metrics(State(state): State<HttpState>) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], state.metrics.encode()).into_response()
}
