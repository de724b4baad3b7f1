//! The Engine API: routes, versions and headers.

mod allocate;
mod answer;
mod blobs;
mod distribution;
mod events;
mod json_fault;
mod logs;
mod networks;
mod nodes;
mod query;
mod services;
mod shapes;
mod spec;
mod system;
mod tasks;
mod template;
mod typed;
mod validate;
pub(super) mod view;

use http::header::{HeaderName, HeaderValue, SERVER};
use http::{Method, StatusCode};

use super::Engine;
use crate::sim::handler::{Request, Response};
pub(super) use answer::Answer;
use answer::{Refusal, with_type};
pub(super) use nodes::write_node;
use query::Query;

/// The oldest API that the engine speaks.
const API_MIN: (u32, u32) = (1, 12);

/// One request of a known route.
struct Call<'a> {
    engine: &'a Engine,
    request: &'a Request,
    query: Query,
}

/// Answers a call; the text is the ID or name in its path.
type Action = fn(&Call<'_>, &str) -> Answer;

/// Answers a request.
pub(super) fn answer(engine: &Engine, request: &Request) -> Response {
    let (version, path) = split_version(request.uri().path());
    let Some((action, id)) = route(request.method(), path) else {
        return Refusal::new(StatusCode::NOT_FOUND, "page not found").response();
    };
    let call = Call { engine, request, query: Query::of(request) };
    let refused = version.and_then(|version| refused_version(engine, version));
    // What is refused for its version does not say whether this is an experimental engine.
    let says_all = refused.is_none();
    let answer = || match is_list(request.method(), path) {
        true => engine.listed(&request.uri().to_string(), || action(&call, &id)),
        false => action(&call, &id),
    };
    let mut response = refused.unwrap_or_else(|| answer().unwrap_or_else(Refusal::response));
    headers(engine, &mut response);
    if says_all {
        response.headers_mut().insert("docker-experimental", HeaderValue::from_static("false"));
    }
    response
}

/// What the state alone decides, and is asked for by URI.
fn is_list(method: &Method, path: &str) -> bool {
    const LISTS: [&str; 6] = ["/services", "/tasks", "/nodes", "/networks", "/configs", "/secrets"];
    method == Method::GET && LISTS.contains(&path)
}

/// 200 with JSON as it is.
pub(super) fn json(text: bytes::Bytes) -> Response {
    with_type(StatusCode::OK, text, "application/json")
}

fn route(method: &Method, path: &str) -> Option<(Action, String)> {
    // A reference has slashes itself.
    let reference = path.strip_prefix("/distribution/").and_then(|rest| rest.strip_suffix("/json"));
    if let Some(reference) = reference.filter(|_| method == Method::GET) {
        return Some((distribution::inspect, decoded(reference)));
    }
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let none = "";
    let (action, id): (Action, &str) = match (method.as_str(), segments.as_slice()) {
        ("GET" | "HEAD", ["_ping"]) => (system::ping, none),
        ("GET", ["version"]) => (system::version, none),
        ("GET", ["info"]) => (system::info, none),
        ("GET", ["services"]) => (services::list, none),
        ("POST", ["services", "create"]) => (services::create, none),
        ("GET", ["services", id]) => (services::inspect, id),
        ("DELETE", ["services", id]) => (services::remove, id),
        ("POST", ["services", id, "update"]) => (services::update, id),
        ("GET", ["networks"]) => (networks::list, none),
        ("GET", ["networks", id]) => (networks::inspect, id),
        ("POST", ["networks", "create"]) => (networks::create, none),
        ("DELETE", ["networks", id]) => (networks::remove, id),
        ("GET", ["events"]) => (events::stream, none),
        ("GET", ["services", id, "logs"]) => (logs::of_service, id),
        ("GET", ["tasks", id, "logs"]) => (logs::of_task, id),
        ("GET", ["configs"]) => (blobs::list_configs, none),
        ("POST", ["configs", "create"]) => (blobs::create_config, none),
        ("GET", ["configs", id]) => (blobs::inspect_config, id),
        ("DELETE", ["configs", id]) => (blobs::remove_config, id),
        ("POST", ["configs", id, "update"]) => (blobs::update_config, id),
        ("GET", ["secrets"]) => (blobs::list_secrets, none),
        ("POST", ["secrets", "create"]) => (blobs::create_secret, none),
        ("GET", ["secrets", id]) => (blobs::inspect_secret, id),
        ("DELETE", ["secrets", id]) => (blobs::remove_secret, id),
        ("POST", ["secrets", id, "update"]) => (blobs::update_secret, id),
        ("GET", ["tasks"]) => (tasks::list, none),
        ("GET", ["tasks", id]) => (tasks::inspect, id),
        ("GET", ["nodes"]) => (nodes::list, none),
        ("GET", ["nodes", id]) => (nodes::inspect, id),
        ("POST", ["nodes", id, "update"]) => (nodes::update, id),
        _ => return None,
    };
    (!segments.contains(&"")).then(|| (action, decoded(id)))
}

fn decoded(segment: &str) -> String {
    // A plus is a plus in a path.
    let escaped = segment.replace('+', "%2B");
    url::form_urlencoded::parse(escaped.as_bytes())
        .next()
        .map(|(key, _)| key.into_owned())
        .unwrap_or_default()
}

/// `/v1.41/services` → `1.41`, `/services`.
fn split_version(path: &str) -> (Option<&str>, &str) {
    let split = path.strip_prefix("/v").and_then(|rest| rest.split_once('/'));
    match split {
        Some((version, _))
            if !version.is_empty() && version.bytes().all(|b| b == b'.' || b.is_ascii_digit()) =>
        {
            (Some(version), &path[version.len() + 2..])
        }
        _ => (None, path),
    }
}

fn refused_version(engine: &Engine, version: &str) -> Option<Response> {
    let newest = engine.inner.options.api;
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let asked = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if asked > newest {
        let (major, minor) = newest;
        let message =
            format!("client version {version} is too new. Maximum supported API version is {major}.{minor}");
        return Some(Refusal::bad(message).response());
    }
    if asked < API_MIN {
        let (major, minor) = API_MIN;
        // Such clients read no JSON.
        let message = format!(
            "client version {version} is too old. Minimum supported API version is {major}.{minor}, please \
             upgrade your client to a newer version\n"
        );
        return Some(with_type(StatusCode::BAD_REQUEST, message.into(), "text/plain; charset=utf-8"));
    }
    None
}

fn headers(engine: &Engine, response: &mut Response) {
    let options = &engine.inner.options;
    let (major, minor) = options.api;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    };
    set(HeaderName::from_static("api-version"), format!("{major}.{minor}"));
    set(HeaderName::from_static("ostype"), "linux".to_owned());
    set(SERVER, format!("Docker/{} (linux)", options.version));
}
