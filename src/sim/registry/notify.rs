//! Notifications to a webhook, in docker-registry's own form: one envelope an event, in
//! order, tried again until it is taken.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use url::{Position, Url};

use super::store::Manifest;
use crate::dial::Dial;
use crate::image::Digest;

const MEDIA_TYPE: &str = "application/vnd.docker.distribution.events.v1+json";
/// How long an answer is waited for, and how long after a failure it is tried again.
const TIMEOUT: Duration = Duration::from_secs(5);
const BACKOFF: Duration = Duration::from_secs(1);
/// Events that wait; the oldest give way.
const WAITING_MAX: usize = 1_000;

/// Where events are sent.
#[derive(Clone)]
pub struct Hook {
    /// Connects to the URL's host.
    pub dial: Dial,
    /// `http://host:port/path`.
    pub url: Url,
    /// Of `Authorization`, whole.
    pub authorization: Option<String>,
}

/// What happened, to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Notice {
    action: &'static str,
    pub(super) targets: Vec<Value>,
}

/// Objects of events.
pub(super) struct Target;

impl Notice {
    pub(super) fn new(action: &'static str, target: Value) -> Self {
        Self { action, targets: vec![target] }
    }
}

impl Target {
    pub(super) fn manifest(name: &str, digest: &Digest, manifest: &Manifest, tag: Option<&str>) -> Value {
        let size = manifest.body.len();
        let mut target = json!({
            "mediaType": manifest.media_type, "size": size, "digest": digest.as_str(), "length": size,
            "repository": name, "url": format!("/v2/{name}/manifests/{digest}"),
        });
        if let Some(tag) = tag {
            target["tag"] = json!(tag);
        }
        target
    }

    pub(super) fn blob(name: &str, digest: &Digest, size: usize) -> Value {
        json!({
            "mediaType": "application/octet-stream", "size": size, "digest": digest.as_str(), "length": size,
            "repository": name, "url": format!("/v2/{name}/blobs/{digest}"),
        })
    }

    pub(super) fn deleted(name: &str, digest: Option<&Digest>, tag: Option<&str>) -> Value {
        let mut target = serde_json::Map::new();
        target.extend(digest.map(|digest| ("digest".to_owned(), json!(digest.as_str()))));
        target.insert("repository".to_owned(), json!(name));
        target.extend(tag.map(|tag| ("tag".to_owned(), json!(tag))));
        Value::Object(target)
    }
}

/// The request that an event came of.
pub(super) struct Cause {
    pub(super) id: String,
    /// Of each event.
    pub(super) event_ids: Vec<String>,
    pub(super) time: Timestamp,
    pub(super) host: String,
    pub(super) method: String,
    pub(super) user_agent: String,
    pub(super) user: Option<String>,
}

/// An envelope for each target.
fn envelopes(notice: Notice, cause: &Cause) -> Vec<Value> {
    let Notice { action, targets } = notice;
    let ids = cause.event_ids.iter().map(String::as_str).chain(std::iter::repeat(""));
    targets
        .into_iter()
        .zip(ids)
        .map(|(mut target, id)| {
            if let Some(path) = target.get("url").and_then(Value::as_str) {
                target["url"] = json!(format!("http://{}{path}", cause.host));
            }
            let actor = cause.user.as_ref().map_or_else(|| json!({}), |user| json!({"name": user}));
            json!({"events": [{
                "id": id,
                "timestamp": cause.time.to_string(),
                "action": action,
                "target": target,
                "request": {
                    "id": cause.id, "addr": "@", "host": cause.host,
                    "method": cause.method, "useragent": cause.user_agent,
                },
                "actor": actor,
                "source": {"addr": "skep-sim", "instanceID": "00000000-0000-4000-8000-000000000000"},
            }]})
        })
        .collect()
}

/// Sends events in order.
pub(super) struct Notifier {
    hook: Hook,
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Value>,
    sending: bool,
}

impl Notifier {
    pub(super) fn new(hook: Hook) -> Self {
        Self { hook, queue: Arc::default() }
    }

    /// Must be called within a runtime.
    pub(super) fn tell(&self, notice: Notice, cause: &Cause) {
        let mut queue = lock(&self.queue);
        queue.waiting.extend(envelopes(notice, cause));
        while queue.waiting.len() > WAITING_MAX {
            queue.waiting.pop_front();
        }
        if !std::mem::replace(&mut queue.sending, true) {
            tokio::spawn(send_all(self.hook.clone(), Arc::clone(&self.queue)));
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn send_all(hook: Hook, queue: Arc<Mutex<Queue>>) {
    loop {
        let next = {
            let mut queue = lock(&queue);
            let next = queue.waiting.pop_front();
            queue.sending = next.is_some();
            next
        };
        let Some(envelope) = next else { return };
        while !matches!(tokio::time::timeout(TIMEOUT, send(&hook, &envelope)).await, Ok(Ok(true))) {
            tokio::time::sleep(BACKOFF).await;
        }
    }
}

/// Whether the event was taken.
async fn send(hook: &Hook, envelope: &Value) -> io::Result<bool> {
    let host = &hook.url[Position::BeforeHost..Position::AfterPort];
    let mut request = http::Request::post(&hook.url[Position::BeforePath..Position::AfterQuery])
        .header(header::HOST, host)
        .header(header::USER_AGENT, "Go-http-client/1.1")
        .header(header::CONTENT_TYPE, MEDIA_TYPE);
    if let Some(authorization) = &hook.authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    let body = serde_json::to_vec_pretty(envelope)?;
    let request = request.body(Full::new(Bytes::from(body))).map_err(io::Error::other)?;
    let port = hook.url.port_or_known_default().unwrap_or(80);
    let address = format!("{}:{port}", hook.url.host_str().unwrap_or_default());
    let stream = (hook.dial)(&address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move { connection.await.ok() });
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    let taken = response.status().is_success();
    response.into_body().collect().await.map_err(io::Error::other)?;
    Ok(taken)
}
