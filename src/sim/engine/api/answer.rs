//! Responses, and refusals in the engine's words.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::sim::handler::{Response, full};

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub status: StatusCode,
    pub message: String,
}

/// What a handler of one route gives.
pub type Answer = Result<Response, Refusal>;

impl Refusal {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400 by the API itself.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 500 by the API itself.
    pub fn server(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    pub fn missing(kind: &str, name: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("{kind} {name} not found"))
    }

    /// By the Swarm's manager.
    pub fn swarm(code: Code, message: impl AsRef<str>) -> Self {
        let (name, status) = match code {
            Code::InvalidArgument => ("InvalidArgument", StatusCode::BAD_REQUEST),
            Code::FailedPrecondition => ("FailedPrecondition", StatusCode::BAD_REQUEST),
            Code::AlreadyExists => ("AlreadyExists", StatusCode::CONFLICT),
            Code::Unimplemented => ("Unimplemented", StatusCode::NOT_IMPLEMENTED),
            Code::Unknown => ("Unknown", StatusCode::INTERNAL_SERVER_ERROR),
        };
        Self::new(status, format!("rpc error: code = {name} desc = {}", message.as_ref()))
    }

    pub fn invalid(message: impl AsRef<str>) -> Self {
        Self::swarm(Code::InvalidArgument, message)
    }

    pub fn out_of_sequence() -> Self {
        Self::swarm(Code::Unknown, "update out of sequence")
    }

    pub fn response(self) -> Response {
        json_response(self.status, &json!({ "message": self.message }))
    }
}

/// How the Swarm's manager classes a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    InvalidArgument,
    FailedPrecondition,
    AlreadyExists,
    Unimplemented,
    Unknown,
}

pub fn json_response(status: StatusCode, body: &Value) -> Response {
    // The engine ends JSON with a line feed.
    let mut bytes = body.to_string().into_bytes();
    bytes.push(b'\n');
    with_type(status, bytes.into(), "application/json")
}

pub fn with_type(status: StatusCode, body: Bytes, content_type: &'static str) -> Response {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// 200 with JSON.
pub fn ok(body: &Value) -> Answer {
    Ok(json_response(StatusCode::OK, body))
}

/// 200 with a JSON list, of which one element is held at a time.
pub fn list(elements: impl Iterator<Item = Value>) -> Answer {
    let mut text = vec![b'['];
    for element in elements {
        if text.len() > 1 {
            text.push(b',');
        }
        let written = serde_json::to_writer(&mut text, &element);
        debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
    }
    text.extend(b"]\n");
    Ok(with_type(StatusCode::OK, text.into(), "application/json"))
}

/// 201 with JSON.
pub fn created(body: &Value) -> Answer {
    Ok(json_response(StatusCode::CREATED, body))
}

/// Without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    Ok(response)
}
