//! Receives a call, within bounds of size, time and number.

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::json;

use super::answer::{Answer, Outcome, busy};
use super::{Call, Hooks};
use crate::config::Hook;
use crate::http::Served;
use crate::text::printable;

pub(in crate::http) const BODY_BYTES_MAX: usize = 256 << 10;
/// When to come again.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("1");

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let message = printable(&self.message, 400);
        let body = match self.status.is_success() {
            true => json!({"outcome": self.outcome.as_str(), "message": message}),
            false => json!({"error": message}),
        };
        let mut response = (self.status, Json(body)).into_response();
        if self.outcome == Outcome::Busy {
            response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        }
        response
    }
}

/// The handler of each hook.
pub(in crate::http) async fn receive(hook: Hook, served: Served, request: Request) -> Response {
    let answer = answer(hook, &served.hooks, request).await;
    served.hooks.note(hook, &answer);
    answer.into_response()
}

/// A path below `/hooks/` that is none.
pub(in crate::http) async fn nowhere() -> Response {
    let known: Vec<&str> = Hook::ALL.iter().map(|hook| hook.name()).collect();
    let error = format!("no such hook; below /hooks/ there are {}", known.join(", "));
    (StatusCode::NOT_FOUND, Json(json!({"error": error}))).into_response()
}

async fn answer(hook: Hook, hooks: &Hooks, request: Request) -> Answer {
    // Of a closed hook no byte is received.
    if let Err(closed) = hooks.secret(hook) {
        return closed;
    }
    let Ok(_place) = hooks.places.try_acquire() else { return busy("too many hooks are called at once") };
    let (head, body) = request.into_parts();
    let body = match tokio::time::timeout(hooks.body_within, whole(body)).await {
        Ok(Ok(body)) => body,
        Ok(Err(answer)) => return answer,
        Err(_) => {
            let message = format!("the body did not come within {:?}", hooks.body_within);
            return Answer::new(StatusCode::REQUEST_TIMEOUT, Outcome::Slow, message);
        }
    };
    hooks.take(hook, &Call { headers: &head.headers, query: head.uri.query(), body: &body })
}

async fn whole(body: Body) -> Result<Bytes, Answer> {
    let received = Limited::new(body, BODY_BYTES_MAX).collect().await;
    received.map(http_body_util::Collected::to_bytes).map_err(|error| match error.is::<LengthLimitError>() {
        true => {
            let message = format!("the body has more than {} KiB", BODY_BYTES_MAX >> 10);
            Answer::new(StatusCode::PAYLOAD_TOO_LARGE, Outcome::TooLarge, message)
        }
        false => Answer::new(StatusCode::BAD_REQUEST, Outcome::Invalid, "the body broke off"),
    })
}
