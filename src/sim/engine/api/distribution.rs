//! `/distribution/{name}/json`: what a registry says of an image.

use http::StatusCode;
use serde_json::json;

use super::answer::{Answer, Refusal, ok};
use super::{Call, validate};
use crate::sim::engine::PullError;

pub(super) fn inspect(call: &Call<'_>, reference: &str) -> Answer {
    if reference.to_lowercase() != reference && !reference.contains('/') {
        return Err(Refusal::bad("invalid reference format: repository name must be lowercase"));
    }
    if !validate::is_reference(reference) {
        return Err(Refusal::bad("invalid reference format"));
    }
    let (host, path) = reference.split_once('/').unwrap_or(("", reference));
    let tagged = path.contains(':') || path.contains('@');
    let whole = if tagged { reference.to_owned() } else { format!("{reference}:latest") };
    match call.engine.inner.images.pull(&whole, super::services::auth(call).as_deref()) {
        Ok(image) => {
            let (os, architecture) = image.platform.split_once('/').unwrap_or(("linux", "amd64"));
            ok(&json!({
                "Descriptor": {
                    "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                    "digest": image.digest,
                },
                "Platforms": [{"architecture": architecture, "os": os}],
            }))
        }
        Err(PullError::NotFound) => {
            Err(Refusal::new(StatusCode::NOT_FOUND, "manifest unknown: manifest unknown"))
        }
        Err(PullError::Unauthorized) => {
            let (repository, tag) = path.rsplit_once(':').unwrap_or((path, "latest"));
            let url = format!("http://{host}/v2/{repository}/manifests/{tag}");
            Err(Refusal::server(format!("Head {url:?}: no basic auth credentials")))
        }
        Err(PullError::Unreachable) => {
            let url = format!("http://{host}/v2/");
            Err(Refusal::server(format!("Get {url:?}: dial tcp {host}: connect: connection refused")))
        }
    }
}
