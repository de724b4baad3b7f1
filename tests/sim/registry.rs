//! A registry with just what the campaigns need.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use futures::future::BoxFuture;
use http::{Method, StatusCode};
use serde_json::json;
use sha2::Digest as _;
use skep::sim::engine::{Behaviour, Images, PullError, Pulled};
use skep::sim::handler::{Handler, full};
use skep::sim::{Request, Response};

#[derive(Default)]
pub struct Shop {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By repository and tag.
    tags: BTreeMap<String, BTreeMap<String, String>>,
    /// By repository and digest.
    manifests: BTreeMap<(String, String), (String, Behaviour)>,
    pushes: u64,
    password: Option<String>,
    down: bool,
}

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

impl Shop {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// New content under a tag.
    pub fn push(&self, repository: &str, tag: &str, behaviour: Behaviour) {
        let mut inner = self.inner();
        inner.pushes += 1;
        let hash = |text: String| format!("sha256:{:x}", sha2::Sha256::digest(text));
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": hash(format!("{repository} {tag} {}", inner.pushes)),
                "size": 500,
                "platform": { "architecture": "amd64", "os": "linux" },
            }],
        })
        .to_string();
        let digest = hash(manifest.clone());
        inner.tags.entry(repository.to_owned()).or_default().insert(tag.to_owned(), digest.clone());
        inner.manifests.insert((repository.to_owned(), digest), (manifest, behaviour));
    }

    pub fn untag(&self, repository: &str, tag: &str) {
        if let Some(tags) = self.inner().tags.get_mut(repository) {
            tags.remove(tag);
        }
    }

    pub fn set_password(&self, password: &str) {
        self.inner().password = Some(password.to_owned());
    }

    /// Nodes cannot reach it.
    pub fn set_down(&self, down: bool) {
        self.inner().down = down;
    }

    fn answer(&self, request: &Request) -> Response {
        let inner = self.inner();
        if let Some(password) = &inner.password {
            let basic = base64::engine::general_purpose::STANDARD.encode(format!("ci:{password}"));
            let given = request.headers().get("authorization").and_then(|given| given.to_str().ok());
            if given != Some(format!("Basic {basic}").as_str()) {
                let mut refused = refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED");
                let challenge = http::HeaderValue::from_static("Basic realm=\"test\"");
                refused.headers_mut().insert("www-authenticate", challenge);
                return refused;
            }
        }
        let path = request.uri().path().trim_start_matches("/v2/");
        if let Some(repository) = path.strip_suffix("/tags/list") {
            return match inner.tags.get(repository) {
                None => refusal(StatusCode::NOT_FOUND, "NAME_UNKNOWN"),
                Some(tags) => {
                    let tags: Vec<&String> = tags.keys().collect();
                    json_response(StatusCode::OK, json!({"name": repository, "tags": tags}).to_string())
                }
            };
        }
        let Some((repository, reference)) = path.split_once("/manifests/") else {
            return refusal(StatusCode::NOT_FOUND, "NAME_UNKNOWN");
        };
        let Some((digest, manifest, _)) = inner.find(repository, reference) else {
            return refusal(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN");
        };
        let body = if request.method() == Method::HEAD { String::new() } else { manifest };
        let mut response = json_response(StatusCode::OK, body);
        let header = |text: &str| http::HeaderValue::from_str(text).unwrap();
        response.headers_mut().insert("content-type", header(INDEX));
        response.headers_mut().insert("docker-content-digest", header(&digest));
        response
    }
}

impl Inner {
    /// Digest, manifest and behaviour of a tag or digest.
    fn find(&self, repository: &str, reference: &str) -> Option<(String, String, Behaviour)> {
        let digest = match reference.starts_with("sha256:") {
            true => reference.to_owned(),
            false => self.tags.get(repository)?.get(reference)?.clone(),
        };
        let (manifest, behaviour) = self.manifests.get(&(repository.to_owned(), digest.clone()))?.clone();
        Some((digest, manifest, behaviour))
    }
}

impl Images for Shop {
    fn pull(&self, reference: &str, auth: Option<&str>) -> Result<Pulled, PullError> {
        let inner = self.inner();
        if inner.down {
            return Err(PullError::Unreachable);
        }
        if let Some(password) = &inner.password {
            let text = auth.and_then(|auth| base64::engine::general_purpose::URL_SAFE.decode(auth).ok());
            let text = text.and_then(|text| String::from_utf8(text).ok()).unwrap_or_default();
            if !text.contains(password) {
                return Err(PullError::Unauthorized);
            }
        }
        let (_, rest) = reference.split_once('/').ok_or(PullError::NotFound)?;
        let (name, digest) = rest.split_once('@').map_or((rest, None), |(name, digest)| (name, Some(digest)));
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let (digest, _, behaviour) =
            inner.find(repository, digest.unwrap_or(tag)).ok_or(PullError::NotFound)?;
        Ok(Pulled { digest, says: name.to_owned(), behaviour, platform: "linux/amd64".to_owned() })
    }
}

impl Handler for Shop {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        let response = self.answer(&request);
        Box::pin(async move { response })
    }
}

fn json_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert("content-type", json);
    response
}

fn refusal(status: StatusCode, code: &str) -> Response {
    json_response(status, json!({"errors": [{"code": code, "message": code}]}).to_string())
}
