//! The API, through `Handler::handle`.

mod events;
mod refusals;
mod services;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;

/// Images by reference.
#[derive(Default)]
struct Shelf(Mutex<BTreeMap<String, Pulled>>);

impl Shelf {
    fn put(&self, reference: &str, digit: char) {
        let digest = format!("sha256:{}", String::from(digit).repeat(64));
        let image = Pulled {
            digest,
            says: format!("{reference} is here"),
            behaviour: Behaviour::Runs,
            platform: "linux/amd64".to_owned(),
        };
        self.0.lock().unwrap().insert(reference.to_owned(), image);
    }
}

impl Images for Shelf {
    fn pull(&self, reference: &str, _: Option<&str>) -> Result<Pulled, PullError> {
        self.0.lock().unwrap().get(reference).cloned().ok_or(PullError::NotFound)
    }
}

/// An engine that runs, with the image `r:5000/web:1` and two workers.
fn engine() -> Engine {
    let shelf = Shelf::default();
    shelf.put("r:5000/web:1", 'a');
    shelf.put("r:5000/web:2", 'b');
    let hosts = vec![
        HostOptions::new("n0", Role::Manager),
        HostOptions::new("n1", Role::Worker),
        HostOptions::new("n2", Role::Worker),
    ];
    let options = Options { hosts, timing: Timing::fast(), listener_events_max: 3, ..Options::default() };
    let engine = Engine::new(options, Arc::new(shelf));
    let running = engine.clone();
    tokio::spawn(async move { running.run().await });
    engine
}

async fn send(engine: &Engine, method: &str, path: &str, body: &str) -> http::Response<crate::sim::Body> {
    let body = Bytes::from(body.to_owned());
    let request = http::Request::builder().method(method).uri(path.replace('"', "%22")).body(body).unwrap();
    engine.handle(request).await
}

/// The status and the JSON, or else the text.
async fn call(engine: &Engine, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let response = send(engine, method, path, &body).await;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
}

async fn get(engine: &Engine, path: &str) -> Value {
    let (status, body) = call(engine, "GET", path, Value::Null).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

fn spec(name: &str, image: &str, replicas: u64) -> Value {
    json!({"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": image}},
        "Mode": {"Replicated": {"Replicas": replicas}}})
}

async fn create(engine: &Engine, spec: Value) -> String {
    let (status, made) = call(engine, "POST", "/v1.41/services/create", spec).await;
    assert_eq!(status, 201, "{made}");
    made["ID"].as_str().unwrap().to_owned()
}

/// Updates a service at its present version.
async fn update(engine: &Engine, name: &str, query: &str, spec: Value) -> (u16, Value) {
    let index = get(engine, &format!("/v1.41/services/{name}")).await["Version"]["Index"].clone();
    call(engine, "POST", &format!("/v1.41/services/{name}/update?version={index}{query}"), spec).await
}

/// On a paused clock this is done at once.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
