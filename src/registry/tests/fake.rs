//! A registry on loopback that does what a test wants, and remembers what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::HeaderMap;

use crate::config::RegistryConfig;
use crate::image::Repository;
use crate::registry::{AwsEnvironment, Client, Limits, Options};

/// The password of all tests; never to be seen in an error.
pub(super) const CANARY: &str = "CANARY:pass wörd/+_-";

#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

pub(super) struct Fake {
    /// `127.0.0.1:port`
    pub(super) host: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// `make` is given the host and gives the handler.
    pub(super) async fn start<H>(make: impl FnOnce(String) -> H) -> Self
    where
        H: Fn(&Seen) -> Response + Send + Sync + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let handler = Arc::new(make(host.clone()));
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        let app = axum::Router::new().fallback(move |request: Request| {
            let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let seen = Seen {
                    method: parts.method.to_string(),
                    path: parts.uri.path().to_owned(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                };
                log.lock().unwrap().push(seen.clone());
                handler(&seen)
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { host, seen, task }
    }

    pub(super) fn repository(&self, path: &str) -> Repository {
        format!("{}/{path}", self.host).parse().unwrap()
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// `METHOD path?query` of each request so far.
    pub(super) fn asked(&self) -> Vec<String> {
        let line = |s: &Seen| match s.query.as_str() {
            "" => format!("{} {}", s.method, s.path),
            query => format!("{} {}?{query}", s.method, s.path),
        };
        self.seen().iter().map(line).collect()
    }
}

/// An answer with headers.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap()
}

pub(super) fn json(body: impl Into<String>) -> Response {
    answer(200, &[("content-type", "application/json")], body.into())
}

/// A tag list.
pub(super) fn listing(tags: &[&str]) -> Response {
    json(serde_json::json!({"name": "x", "tags": tags}).to_string())
}

/// Small limits, no credentials of docker's.
pub(super) fn options() -> Options {
    Options { docker_config: None, aws: AwsEnvironment::default(), ..Options::default() }
}

pub(super) fn limits(change: impl FnOnce(&mut Limits)) -> Options {
    let mut options = options();
    change(&mut options.limits);
    options
}

pub(super) fn client(options: Options) -> Client {
    Client::new(&BTreeMap::new(), options)
}

pub(super) fn configured(host: &str, config: RegistryConfig, options: Options) -> Client {
    Client::new(&BTreeMap::from([(host.to_owned(), config)]), options)
}

/// User `ci` with the canary as password, in a file of the directory.
pub(super) fn login(dir: &std::path::Path) -> RegistryConfig {
    let path = dir.join("password");
    std::fs::write(&path, format!("{CANARY}\n")).unwrap();
    RegistryConfig { username: Some("ci".into()), password_file: Some(path), ..Default::default() }
}

/// Moves tokio's clock on, without letting it jump while a socket is waited for.
pub(super) async fn skip(duration: Duration) {
    tokio::time::pause();
    tokio::time::advance(duration).await;
    tokio::time::resume();
}
