//! The API, through `Handler::handle`.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::*;

struct NoImages;

impl Images for NoImages {
    fn pull(&self, _: &str, _: Option<&str>) -> Result<Pulled, PullError> {
        Err(PullError::Unreachable)
    }
}

fn engine() -> Engine {
    Engine::new(Options::default(), Arc::new(NoImages))
}

async fn call(engine: &Engine, method: &str, path: &str, body: Value) -> (u16, Value) {
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = http::Request::builder().method(method).uri(path).body(body).unwrap();
    let response = engine.handle(request).await;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
}

fn spec(name: &str) -> Value {
    json!({"Name": name, "TaskTemplate": {"ContainerSpec": {"Image": "nowhere:1"}},
        "Mode": {"Replicated": {"Replicas": 0}}})
}

#[tokio::test(start_paused = true)]
async fn a_service_is_created_shown_updated_and_removed() {
    let engine = engine();
    let (status, made) = call(&engine, "POST", "/v1.41/services/create", spec("m1")).await;
    assert_eq!((status, made["ID"].as_str().map(str::len)), (201, Some(25)));
    let (_, shown) = call(&engine, "GET", "/v1.41/services/m1", Value::Null).await;
    assert_eq!(shown["Endpoint"], json!({"Spec": {}}));
    let index = shown["Version"]["Index"].as_u64().unwrap();
    let path = format!("/v1.41/services/m1/update?version={index}");
    let mut changed = spec("m1");
    changed["Labels"] = json!({"a": "b"});
    assert_eq!(call(&engine, "POST", &path, changed.clone()).await, (200, json!({"Warnings": null})));
    let (status, refused) = call(&engine, "POST", &path, changed).await;
    let message = "rpc error: code = Unknown desc = update out of sequence";
    assert_eq!((status, refused), (500, json!({ "message": message })));
    let (_, after) = call(&engine, "GET", "/services", Value::Null).await;
    assert_eq!(after[0]["PreviousSpec"], shown["Spec"]);
    assert!(after[0]["Version"]["Index"].as_u64().unwrap() > index);
    assert_eq!(call(&engine, "DELETE", "/v1.41/services/m1", Value::Null).await.0, 200);
    assert_eq!(call(&engine, "DELETE", "/v1.41/services/m1", Value::Null).await.0, 404);
}
