//! Answers as docker-registry 2.8.2 words them.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use crate::sim::handler::{Request, Response, full};

const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub(super) const CONTENT_DIGEST: &str = "docker-content-digest";
const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// An answer with headers; those whose value is no header are left out.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response {
    let body = body.into();
    let length = body.len();
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let all = response.headers_mut();
    all.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    // Said in answers to HEAD as well, where there is no body to count.
    if !matches!(status, 204 | 304) {
        all.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(*name), HeaderValue::from_str(value)) {
            all.insert(name, value);
        }
    }
    response
}

pub(super) fn json_answer(status: u16, headers: &[(&str, &str)], value: &Value) -> Response {
    let mut response = answer(status, headers, format!("{value}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

pub(super) fn text(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
    let mut response = answer(status, headers, format!("{body}\n"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) fn not_found() -> Response {
    text(404, &[], "404 page not found")
}

pub(super) fn not_allowed(allowed: &str) -> Response {
    text(405, &[("allow", allowed)], "Method not allowed")
}

/// Outside the API.
pub(super) fn root() -> Response {
    let mut response = answer(200, &[("cache-control", "no-cache")], Bytes::new());
    response.headers_mut().remove(API_VERSION);
    response
}

/// Another path is meant; those who read get a page that says so.
pub(super) fn moved(request: &Request, path: &str) -> Response {
    let page = format!("<a href=\"{path}\">Moved Permanently</a>.\n\n");
    let html = ("content-type", "text/html; charset=utf-8");
    let cleaned = request.uri().path().contains("//");
    match *request.method() {
        Method::GET | Method::HEAD if !cleaned => answer(301, &[("location", path), html], page),
        _ => answer(301, &[("location", path)], Bytes::new()),
    }
}

/// One entry of `errors`; `detail` is left out if it is null.
pub(super) fn entry(code: &str, message: &str, detail: Value) -> Value {
    let mut entry = json!({"code": code, "message": message});
    if !detail.is_null() {
        entry["detail"] = detail;
    }
    entry
}

pub(super) fn error(status: u16, code: &str, message: &str, detail: Value) -> Response {
    json_answer(status, &[], &json!({"errors": [entry(code, message, detail)]}))
}

pub(super) fn unknown() -> Response {
    error(500, "UNKNOWN", "unknown error", json!({}))
}

pub(super) fn digest_invalid(detail: Value) -> Response {
    error(400, "DIGEST_INVALID", "provided digest did not match uploaded content", detail)
}

/// The store is full.
pub(super) fn too_large() -> Response {
    error(413, "SIZE_INVALID", "the embedded registry holds no more", Value::Null)
}
