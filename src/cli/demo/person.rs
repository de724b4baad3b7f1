//! People with the docker CLI: what they deploy by hand, as the CLI sends it to the engine.

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::world::USER;
use crate::sim::{Engine, Handler as _};

/// What the CLI sends with `--with-registry-auth`.
pub(super) enum Login<'a> {
    /// With this password.
    In(&'a str),
    /// Of somebody who never logged in.
    Out,
}

impl Login<'_> {
    fn header(&self) -> String {
        let auth = match self {
            Self::In(password) => json!({"username": USER, "password": password}),
            Self::Out => json!({}),
        };
        URL_SAFE.encode(auth.to_string())
    }
}

/// A service of a stack.
pub(super) struct Deployed<'a> {
    pub(super) key: &'a str,
    pub(super) image: String,
    pub(super) replicas: u64,
}

/// `docker stack deploy --with-registry-auth`.
///
/// # Errors
/// When the engine refuses it.
pub(super) async fn stack_deploy(
    engine: &Engine,
    stack: &str,
    services: &[Deployed<'_>],
    login: &Login<'_>,
) -> anyhow::Result<()> {
    let labels = json!({"com.docker.stack.namespace": stack});
    let network = json!({"Name": format!("{stack}_default"), "Driver": "overlay", "Labels": labels});
    let network = call(engine, "POST", "/networks/create", Some(&network), None).await?;
    for service in services {
        let image = service.image.split('@').next().unwrap_or_default();
        let spec = json!({
            "Name": format!("{stack}_{}", service.key),
            "Labels": {"com.docker.stack.image": image, "com.docker.stack.namespace": stack},
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": service.image,
                    "Labels": labels,
                    "Env": [format!("CUSTOMER={stack}")],
                    "Isolation": "default",
                },
                "Resources": {},
                "Placement": {},
                "Networks": [{"Target": network["Id"], "Aliases": [service.key]}],
                "ForceUpdate": 0,
            },
            "Mode": {"Replicated": {"Replicas": service.replicas}},
            "EndpointSpec": {"Mode": "vip"},
        });
        call(engine, "POST", "/services/create", Some(&spec), Some(login)).await?;
    }
    Ok(())
}

/// `docker service update --with-registry-auth --no-resolve-image --image IMAGE SERVICE`.
///
/// # Errors
/// When the engine refuses it.
pub(super) async fn service_update(
    engine: &Engine,
    service: &str,
    image: &str,
    login: &Login<'_>,
) -> anyhow::Result<()> {
    let mut found = call(engine, "GET", &format!("/services/{service}"), None, None).await?;
    let index =
        found.pointer("/Version/Index").and_then(Value::as_u64).context("a service without a version")?;
    let id = found["ID"].as_str().context("a service without an ID")?.to_owned();
    found["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] = image.into();
    let path = format!("/services/{id}/update?version={index}");
    call(engine, "POST", &path, Some(&found["Spec"]), Some(login)).await?;
    Ok(())
}

async fn call(
    engine: &Engine,
    method: &str,
    path: &str,
    body: Option<&Value>,
    login: Option<&Login<'_>>,
) -> anyhow::Result<Value> {
    let mut request = http::Request::builder().method(method).uri(format!("/v1.41{path}"));
    if let Some(login) = login {
        request = request.header("X-Registry-Auth", login.header());
    }
    if body.is_some() {
        request = request.header("Content-Type", "application/json");
    }
    let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let response = engine.handle(request.body(body)?).await;
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&bytes));
    }
    Ok(if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes)? })
}
