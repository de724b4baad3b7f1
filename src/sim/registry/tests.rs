//! Through the production client in memory, and by the bare API as docker-registry 2.8.2
//! was measured to answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE};
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::store::{DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use super::*;
use crate::config::RegistryConfig;
use crate::image::Repository;
use crate::registry::{self, Client, Registry as _, RegistryErrorKind as Kind};
use crate::sim::engine::{Behaviour, Images, PullError};
use crate::sim::handler::full;
use crate::sim::wire::{Hosts, Memory};

const HOST: &str = "registry.example.com";
const NOW: Duration = Duration::ZERO;

fn shop() -> Repository {
    "registry.example.com/shop/web".parse().unwrap()
}

struct Bench {
    registry: Registry,
    hosts: Hosts,
    _memory: Memory,
}

fn bench(options: Options) -> Bench {
    let registry = Registry::new(options);
    let memory = Memory::new(Arc::new(registry.clone()));
    let hosts = Hosts::default();
    hosts.insert("registry.example.com:443", memory.dialer());
    Bench { registry, hosts, _memory: memory }
}

impl Bench {
    fn client_with(&self, config: RegistryConfig) -> Client {
        let options = registry::Options {
            docker_config: None,
            dial: Some(self.hosts.dial()),
            ..registry::Options::default()
        };
        Client::new(&BTreeMap::from([(HOST.to_owned(), config)]), options)
    }

    fn client(&self) -> Client {
        self.client_with(RegistryConfig::default())
    }

    fn push(&self, tag: &str) -> String {
        self.registry.push("shop/web", tag, &ImageSpec::new(tag)).unwrap()
    }
}

async fn tags(client: &Client) -> Result<Vec<String>, registry::RegistryError> {
    client.tags(&shop(), NOW).await.map(|tags| tags.to_vec())
}

#[tokio::test(start_paused = true)]
async fn tags_and_digests_are_found() {
    let bench = bench(Options::default());
    let client = bench.client();
    assert_eq!(tags(&client).await.unwrap_err().kind, Kind::NotFound);
    tokio::time::advance(Duration::from_secs(5)).await;
    let first = bench.push("1.0.0");
    let second = bench.push("1.1.0");
    assert_ne!(first, second);
    assert_eq!(tags(&client).await.unwrap(), ["1.0.0", "1.1.0"]);
    let resolved = client.resolve(&shop(), "1.0.0", NOW).await.unwrap();
    assert_eq!(resolved.digest.as_str(), first);
    let platforms: Vec<String> = resolved.platforms.iter().map(ToString::to_string).collect();
    assert_eq!(platforms, ["linux/amd64"]);
    assert!(bench.registry.tag("shop/web", "1.1.0", "1.0.0"), "a tag is pushed anew");
    assert_eq!(client.digest(&shop(), "1.0.0", NOW).await.unwrap().as_str(), second);
    assert!(bench.registry.delete_tag("shop/web", "1.1.0"));
    assert_eq!(tags(&client).await.unwrap(), ["1.0.0"]);
}

#[tokio::test(start_paused = true)]
async fn images_of_both_families_with_and_without_index_are_resolved() {
    let bench = bench(Options::default());
    let client = bench.client();
    for (n, (index, oci)) in
        [(false, false), (true, false), (false, true), (true, true)].into_iter().enumerate()
    {
        let platforms = vec!["linux/amd64".to_owned(), "linux/arm64".to_owned()];
        let platforms = if index { platforms } else { platforms[..1].to_vec() };
        let spec = ImageSpec { platforms: platforms.clone(), index, oci, ..ImageSpec::new("x") };
        let tag = format!("t{n}");
        let digest = bench.registry.push("shop/web", &tag, &spec).unwrap();
        let resolved = client.resolve(&shop(), &tag, NOW).await.unwrap();
        assert_eq!(resolved.digest.as_str(), digest);
        let found: Vec<String> = resolved.platforms.iter().map(ToString::to_string).collect();
        assert_eq!(found, platforms, "index {index} oci {oci}");
    }
}

#[tokio::test(start_paused = true)]
async fn long_lists_come_in_pages() {
    let bench = bench(Options { page: Some(3), ..Options::default() });
    let expected: Vec<String> = (0..10).map(|n| format!("1.{n}.0")).collect();
    for tag in &expected {
        bench.push(tag);
    }
    assert_eq!(tags(&bench.client()).await.unwrap(), expected);
    let asked: Vec<String> = bench.registry.requests().into_iter().map(|seen| seen.query).collect();
    assert_eq!(asked, ["n=1000", "last=1.2.0&n=3", "last=1.5.0&n=3", "last=1.8.0&n=3"]);
}

fn password(directory: &std::path::Path, text: &str) -> RegistryConfig {
    let path = directory.join("password");
    std::fs::write(&path, text).unwrap();
    RegistryConfig { username: Some("ci".into()), password_file: Some(path), ..Default::default() }
}

fn token_auth(anonymous: bool) -> Auth {
    Auth::Token {
        user: "ci".into(),
        password: "secret".into(),
        realm: "https://registry.example.com/token".into(),
        service: "registry.example.com".into(),
        expires: Duration::from_secs(300),
        anonymous,
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_open_what_they_should() {
    let directory = tempfile::tempdir().unwrap();
    let basic = Auth::Basic { user: "ci".into(), password: "secret".into() };
    for auth in [basic, token_auth(false)] {
        let bench = bench(Options { auth: auth.clone(), ..Options::default() });
        bench.push("1.0.0");
        let error = tags(&bench.client()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Unauthorized, "{auth:?}: {error}");
        let wrong = bench.client_with(password(directory.path(), "guess"));
        assert_eq!(tags(&wrong).await.unwrap_err().kind, Kind::Unauthorized, "{auth:?}");
        let right = bench.client_with(password(directory.path(), "secret"));
        assert_eq!(tags(&right).await.unwrap(), ["1.0.0"], "{auth:?}");
    }
    let open = bench(Options { auth: token_auth(true), ..Options::default() });
    open.push("1.0.0");
    assert_eq!(tags(&open.client()).await.unwrap(), ["1.0.0"]);
}

#[tokio::test(start_paused = true)]
async fn tokens_expire_and_are_asked_for_again() {
    let bench = bench(Options { auth: token_auth(true), ..Options::default() });
    bench.push("1.0.0");
    let client = bench.client();
    let tokens = || bench.registry.requests().into_iter().filter(|seen| seen.path == "/token").count();
    tags(&client).await.unwrap();
    tags(&client).await.unwrap();
    assert_eq!(tokens(), 1);
    tokio::time::advance(Duration::from_secs(301)).await;
    tags(&client).await.unwrap();
    assert_eq!(tokens(), 2);
}

#[tokio::test(start_paused = true)]
async fn misbehaviour_is_seen_for_what_it_is() {
    use Misbehaviour::*;
    for (fault, kind, seconds) in [
        (Down, Some(Kind::Unavailable), 0),
        (Hangs, Some(Kind::Unavailable), 15),
        (RateLimited { retry_after: Some(7) }, Some(Kind::RateLimited), 0),
        (Fails(500), Some(Kind::Unavailable), 0),
        (Fails(503), Some(Kind::Unavailable), 0),
        (SlowDrip(Duration::from_secs(1)), None, 3),
        (SlowDrip(Duration::from_secs(14)), Some(Kind::Unavailable), 30),
        (CutList, Some(Kind::Untrusted), 0),
        (LoopingLink, Some(Kind::Untrusted), 0),
        (ForeignLink, Some(Kind::Untrusted), 0),
        (EmptyList, Some(Kind::Untrusted), 0),
        (HalfList, None, 0),
    ] {
        let bench = bench(Options::default());
        bench.push("1.0.0");
        bench.push("1.1.0");
        let client = bench.client();
        assert_eq!(tags(&client).await.unwrap().len(), 2);
        bench.registry.set_fault(Some(fault.clone()));
        let began = Instant::now();
        let answer = tags(&client).await;
        assert_eq!(answer.as_ref().err().map(|error| error.kind), kind, "{fault:?}: {answer:?}");
        assert_eq!(began.elapsed().as_secs(), seconds, "{fault:?}");
        if fault == HalfList {
            assert_eq!(answer.unwrap(), ["1.0.0"]);
        } else if fault == (RateLimited { retry_after: Some(7) }) {
            assert_eq!(answer.unwrap_err().retry_after, Some(Duration::from_secs(7)));
        }
        bench.registry.set_fault(None);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(tags(&client).await.unwrap().len(), 2, "{fault:?} is over");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_digest_is_not_believed_and_one_repository_can_fail_alone() {
    let bench = bench(Options::default());
    let digest = bench.push("1.0.0");
    bench.registry.set_fault(Some(Misbehaviour::WrongDigest));
    let client = bench.client();
    assert_eq!(client.digest(&shop(), &digest, NOW).await.unwrap_err().kind, Kind::Untrusted);
    bench.registry.set_fault(None);
    bench.registry.push("shop/api", "1.0.0", &ImageSpec::new("api")).unwrap();
    bench.registry.set_fault_of("shop/api", Some(Misbehaviour::Fails(502)));
    let api: Repository = "registry.example.com/shop/api".parse().unwrap();
    assert_eq!(client.tags(&api, NOW).await.unwrap_err().kind, Kind::Unavailable);
    assert_eq!(tags(&client).await.unwrap(), ["1.0.0"]);
}

#[tokio::test(start_paused = true)]
async fn nodes_pull_what_is_there_as_it_behaves() {
    let bench = bench(Options::default());
    let exits = Behaviour::Exits { after: Duration::from_secs(2), code: 1 };
    let spec = ImageSpec { behaviour: exits.clone(), ..ImageSpec::new("broken") };
    let digest = bench.registry.push("shop/web", "2.0.0", &spec).unwrap();
    let registries = Registries::default();
    registries.insert(HOST, bench.registry.clone());
    for reference in [
        "registry.example.com/shop/web:2.0.0".to_owned(),
        format!("registry.example.com/shop/web@{digest}"),
        format!("registry.example.com/shop/web:gone@{digest}"),
    ] {
        let pulled = registries.pull(&reference, None).unwrap();
        assert_eq!((pulled.digest.as_str(), pulled.says.as_str()), (digest.as_str(), "broken"));
        assert_eq!((&pulled.behaviour, pulled.platform.as_str()), (&exits, "linux/amd64"));
    }
    let pull = |reference: &str| registries.pull(reference, None).unwrap_err();
    assert_eq!(pull("registry.example.com/shop/web"), PullError::NotFound);
    assert_eq!(pull("registry.example.com/shop/api:1"), PullError::NotFound);
    assert_eq!(pull("other.example.com/shop/web:2.0.0"), PullError::Unreachable);
    bench.registry.set_fault(Some(Misbehaviour::Down));
    assert_eq!(pull("registry.example.com/shop/web:2.0.0"), PullError::Unreachable);
}

#[tokio::test(start_paused = true)]
async fn nodes_need_credentials_too() {
    let auth = Auth::Basic { user: "ci".into(), password: "secret".into() };
    let bench = bench(Options { auth, ..Options::default() });
    bench.push("1.0.0");
    let pull = |auth: Option<&str>| bench.registry.pull("registry.example.com/shop/web:1.0.0", auth);
    let encoded =
        |password: &str| BASE64_URL_SAFE.encode(json!({"username": "ci", "password": password}).to_string());
    assert_eq!(pull(None), Err(PullError::Unauthorized));
    assert_eq!(bench.registry.image("shop/web", "1.0.0").unwrap().says, "1.0.0");
    assert_eq!(pull(Some(&encoded("guess"))), Err(PullError::Unauthorized));
    assert!(pull(Some(&encoded("secret"))).is_ok());
    bench.registry.set_auth(Auth::None);
    assert!(pull(None).is_ok());
}

/// A webhook that refuses the first event once.
#[derive(Default)]
struct Sink {
    events: Mutex<Vec<Value>>,
    refused: Mutex<bool>,
}

impl Handler for Sink {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        assert_eq!(request.uri().path(), "/hook");
        assert_eq!(request.headers()["authorization"], "Bearer x");
        assert_eq!(request.headers()["content-type"], "application/vnd.docker.distribution.events.v1+json");
        let mut response = Response::new(full(Bytes::new()));
        if std::mem::replace(&mut *self.refused.lock().unwrap(), true) {
            self.events.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap());
        } else {
            *response.status_mut() = http::StatusCode::BAD_GATEWAY;
        }
        Box::pin(async move { response })
    }
}

#[tokio::test(start_paused = true)]
async fn pushes_are_told_to_a_webhook() {
    let sink = Arc::new(Sink::default());
    let memory = Memory::new(Arc::clone(&sink) as Arc<dyn Handler>);
    let hosts = Hosts::default();
    hosts.insert("skep.example:9741", memory.dialer());
    let hook = Hook {
        dial: hosts.dial(),
        url: "http://skep.example:9741/hook".parse().unwrap(),
        authorization: Some("Bearer x".into()),
    };
    let bench = bench(Options { hook: Some(hook), ..Options::default() });
    let first = bench.push("1.0.0");
    bench.push("1.1.0");
    bench.client().digest(&shop(), "1.0.0", NOW).await.unwrap();
    while sink.events.lock().unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let events = sink.events.lock().unwrap().clone();
    let event = &events[0]["events"][0];
    assert_eq!(event["action"], "push");
    assert_eq!(event["target"]["digest"], first);
    assert_eq!(event["target"]["repository"], "shop/web");
    assert_eq!(event["target"]["tag"], "1.0.0");
    let url = format!("http://{HOST}/v2/shop/web/manifests/{first}");
    assert_eq!(event["target"]["url"], url);
    assert_eq!(events[1]["events"][0]["target"]["tag"], "1.1.0");
    assert_eq!(events[2]["events"][0]["action"], "pull");
    assert_eq!(events[2]["events"][0]["request"]["method"], "HEAD");
}

/// The bare API.
async fn ask(
    registry: &Registry,
    request: http::request::Builder,
    body: &[u8],
) -> (u16, http::HeaderMap, Bytes) {
    let request = request.header("host", "r.example:5000").body(Bytes::copy_from_slice(body)).unwrap();
    let (parts, body) = registry.handle(request).await.into_parts();
    (parts.status.as_u16(), parts.headers, body.collect().await.unwrap().to_bytes())
}

async fn get(registry: &Registry, path: &str, accept: &str) -> (u16, http::HeaderMap, Bytes) {
    ask(registry, http::Request::get(path).header("accept", accept), b"").await
}

fn code(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).unwrap();
    value["errors"][0]["code"].as_str().unwrap().to_owned()
}

async fn begin(registry: &Registry, name: &str) -> String {
    let path = format!("/v2/{name}/blobs/uploads/");
    let (status, headers, _) = ask(registry, http::Request::post(path), b"").await;
    assert_eq!(status, 202);
    let location = headers["location"].to_str().unwrap();
    location.strip_prefix("http://r.example:5000").unwrap().to_owned()
}

async fn upload(registry: &Registry, name: &str, blob: &[u8]) -> String {
    let location = begin(registry, name).await;
    let digest = Digest::of(blob).to_string();
    let put = http::Request::put(format!("{location}&digest={digest}"));
    let (status, headers, _) = ask(registry, put, blob).await;
    assert_eq!((status, headers["docker-content-digest"].to_str().unwrap()), (201, digest.as_str()));
    digest
}

/// A manifest of two blobs.
fn manifest(media_type: &str, config: &str, layer: &str) -> String {
    let part = |digest: &str| json!({"mediaType": "x/y", "size": 1, "digest": digest});
    json!({"schemaVersion": 2, "mediaType": media_type, "config": part(config), "layers": [part(layer)]})
        .to_string()
}

#[tokio::test(start_paused = true)]
async fn clients_push_by_the_api() {
    let registry = Registry::new(Options::default());
    let labels = json!({SAYS_LABEL: "pushed", BEHAVIOUR_LABEL: "unhealthy"});
    let config = json!({"os": "linux", "architecture": "arm64", "config": {"Labels": labels}}).to_string();
    let config = upload(&registry, "a/b", config.as_bytes()).await;
    // In two pieces, with what is wrong refused on the way.
    let location = begin(&registry, "a/b").await;
    let (status, headers, _) = ask(&registry, http::Request::patch(&location), b"lay").await;
    assert_eq!((status, headers["range"].to_str().unwrap()), (202, "0-2"));
    let (status, _, body) = ask(&registry, http::Request::patch(&location), b"er").await;
    assert_eq!((status, code(&body).as_str()), (404, "BLOB_UPLOAD_INVALID"), "an old state");
    let location = headers["location"].to_str().unwrap().strip_prefix("http://r.example:5000").unwrap();
    for digest in ["", "nonsense", Digest::of(b"other").as_str()] {
        let put = http::Request::put(format!("{location}&digest={digest}"));
        let (status, _, body) = ask(&registry, put, b"").await;
        assert_eq!((status, code(&body).as_str()), (400, "DIGEST_INVALID"), "{digest:?}");
    }
    let layer = Digest::of(b"layer").to_string();
    let put = http::Request::put(format!("{location}&digest={layer}"));
    assert_eq!(ask(&registry, put, b"er").await.0, 201);
    let put = |body: &str, reference: &str, media_type: &str| {
        let request = http::Request::put(format!("/v2/a/b/manifests/{reference}"));
        let (body, request) = (body.to_owned(), request.header("content-type", media_type));
        let registry = registry.clone();
        async move { ask(&registry, request, body.as_bytes()).await }
    };
    let whole = manifest(DOCKER_MANIFEST, &config, &layer);
    let digest = Digest::of(whole.as_bytes()).to_string();
    for (body, reference, media_type, status, expected) in [
        (whole.as_str(), "1.0", DOCKER_MANIFEST, 201, ""),
        (&whole, &digest, DOCKER_MANIFEST, 201, ""),
        (&whole, layer.as_str(), DOCKER_MANIFEST, 400, "DIGEST_INVALID"),
        (&whole, "1.0", "application/json", 400, "MANIFEST_INVALID"),
        (&whole, "1.0", OCI_MANIFEST, 400, "MANIFEST_INVALID"),
        ("{", "1.0", DOCKER_MANIFEST, 400, "MANIFEST_INVALID"),
        (&manifest(DOCKER_MANIFEST, &config, &digest), "1.0", DOCKER_MANIFEST, 400, "MANIFEST_BLOB_UNKNOWN"),
    ] {
        let (got, _, answer) = put(body, reference, media_type).await;
        assert_eq!(got, status, "{reference} {media_type}");
        if status != 201 {
            assert_eq!(code(&answer), expected, "{reference} {media_type}");
        }
    }
    let pulled = registry.pull("r.example:5000/a/b:1.0", None).unwrap();
    assert_eq!((pulled.says.as_str(), pulled.behaviour), ("pushed", Behaviour::Unhealthy));
    assert_eq!((pulled.digest, pulled.platform.as_str()), (digest.clone(), "linux/arm64"));
    // Away again.
    let delete = |path: String| ask(&registry, http::Request::delete(path), b"");
    assert_eq!(delete("/v2/a/b/manifests/1.0".into()).await.0, 400);
    assert_eq!(delete(format!("/v2/a/b/manifests/{digest}")).await.0, 202);
    assert_eq!(delete(format!("/v2/a/b/manifests/{digest}")).await.0, 404);
    let (status, _, body) = get(&registry, "/v2/a/b/tags/list", "*/*").await;
    assert_eq!((status, body.as_ref()), (200, b"{\"name\":\"a/b\",\"tags\":null}\n".as_slice()));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_depends_on_what_is_accepted() {
    let registry = Registry::new(Options::default());
    for (tag, index, oci) in
        [("image", false, false), ("list", true, false), ("oci", false, true), ("index", true, true)]
    {
        let spec = ImageSpec { index, oci, ..ImageSpec::default() };
        registry.push("a/b", tag, &spec).unwrap();
    }
    for (tag, accept, status, media_type) in [
        ("image", DOCKER_MANIFEST, 200, DOCKER_MANIFEST),
        ("image", "*/*", 400, ""),
        ("image", OCI_MANIFEST, 400, ""),
        ("list", DOCKER_LIST, 200, DOCKER_LIST),
        ("list", DOCKER_MANIFEST, 200, DOCKER_MANIFEST),
        ("list", "*/*", 400, ""),
        ("oci", OCI_MANIFEST, 200, OCI_MANIFEST),
        ("oci", DOCKER_MANIFEST, 404, ""),
        ("index", OCI_INDEX, 200, OCI_INDEX),
        ("index", OCI_MANIFEST, 404, ""),
        ("none", OCI_INDEX, 404, ""),
    ] {
        let (got, headers, _) = get(&registry, &format!("/v2/a/b/manifests/{tag}"), accept).await;
        assert_eq!(got, status, "{tag} as {accept}");
        if status == 200 {
            assert_eq!(headers["content-type"], media_type, "{tag} as {accept}");
        }
    }
    let image = registry.digest("a/b", "image").unwrap();
    let by_digest = format!("/v2/a/b/manifests/{image}");
    assert_eq!(get(&registry, &by_digest, "*/*").await.0, 200, "docker's are given by digest to all");
    let known = http::Request::get("/v2/a/b/manifests/image").header("if-none-match", format!("\"{image}\""));
    assert_eq!(ask(&registry, known, b"").await.0, 304);
}

#[tokio::test(start_paused = true)]
async fn other_paths_and_methods_are_refused_as_they_are() {
    let registry = Registry::new(Options::default());
    let blob = upload(&registry, "a/b", b"0123456789").await;
    for (method, path, status) in [
        ("GET", "/v2/", 200),
        ("GET", "/v2", 301),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/a/b/tags/list", 404),
        ("HEAD", "/v2/a/b/tags/list", 405),
        ("PATCH", "/v2/a/b/manifests/1", 405),
        ("GET", "/v2/a/b/manifests/sha256:abc", 500),
        ("GET", "/v2/_catalog?n=1001", 400),
        ("POST", "/v2/a/b/blobs/uploads", 301),
        ("GET", "/token", 404),
    ] {
        let request = http::Request::builder().method(method).uri(path);
        let (got, headers, _) = ask(&registry, request, b"").await;
        assert_eq!(got, status, "{method} {path}");
        assert_eq!(headers["docker-distribution-api-version"], "registry/2.0");
        let plain = headers.get("content-type").is_some_and(|kind| kind == "text/plain; charset=utf-8");
        assert_eq!(headers.contains_key("x-content-type-options"), plain, "{method} {path}");
    }
    let path = format!("/v2/a/b/blobs/{blob}");
    let (status, headers, body) =
        ask(&registry, http::Request::get(&path).header("range", "bytes=2-5"), b"").await;
    assert_eq!((status, body.as_ref()), (206, b"2345".as_slice()));
    assert_eq!(headers["content-range"], "bytes 2-5/10");
    let mount = format!("/v2/c/d/blobs/uploads/?mount={blob}&from=a/b");
    assert_eq!(ask(&registry, http::Request::post(mount), b"").await.0, 201);
    let (_, headers, body) = get(&registry, "/v2/_catalog?n=1", "*/*").await;
    assert_eq!(body.as_ref(), b"{\"repositories\":[\"a/b\"]}\n");
    assert_eq!(headers["link"], "</v2/_catalog?last=a%2Fb&n=1>; rel=\"next\"");
    assert_eq!(ask(&registry, http::Request::delete(&path), b"").await.0, 202);
    assert_eq!(get(&registry, &path, "*/*").await.0, 404);
}

#[tokio::test(start_paused = true)]
async fn challenges_say_what_is_needed() {
    let registry = Registry::new(Options { auth: token_auth(false), ..Options::default() });
    let realm = "Bearer realm=\"https://registry.example.com/token\",service=\"registry.example.com\"";
    for (method, path, scope) in [
        ("GET", "/v2/", ""),
        ("GET", "/v2/a/b/tags/list", ",scope=\"repository:a/b:pull\""),
        ("DELETE", "/v2/a/b/manifests/x", ",scope=\"repository:a/b:delete\""),
        ("GET", "/v2/_catalog", ",scope=\"registry:catalog:*\""),
        (
            "POST",
            "/v2/a/b/blobs/uploads/?from=c/d&mount=x",
            ",scope=\"repository:a/b:pull,push repository:c/d:pull\"",
        ),
    ] {
        let request = http::Request::builder().method(method).uri(path);
        let (status, headers, body) = ask(&registry, request, b"").await;
        assert_eq!((status, code(&body).as_str()), (401, "UNAUTHORIZED"), "{path}");
        assert_eq!(headers["www-authenticate"], format!("{realm}{scope}"), "{path}");
    }
    let token = |scope: &str| {
        let path = format!("/token?service=registry.example.com&scope={scope}");
        let basic = format!("Basic {}", BASE64_STANDARD.encode("ci:secret"));
        let (registry, request) = (registry.clone(), http::Request::get(path).header("authorization", basic));
        async move {
            let (_, _, body) = ask(&registry, request, b"").await;
            let value: Value = serde_json::from_slice(&body).unwrap();
            format!("Bearer {}", value["token"].as_str().unwrap())
        }
    };
    let pull = token("repository:a/b:pull").await;
    for (authorization, method, problem) in [
        ("Bearer forged", "GET", Some("invalid_token")),
        (pull.as_str(), "POST", Some("insufficient_scope")),
        (pull.as_str(), "GET", None),
    ] {
        let path = if method == "GET" { "/v2/a/b/tags/list" } else { "/v2/a/b/blobs/uploads/" };
        let request =
            http::Request::builder().method(method).uri(path).header("authorization", authorization);
        let (status, headers, _) = ask(&registry, request, b"").await;
        match problem {
            None => assert_eq!(status, 404, "may, but there is nothing"),
            Some(problem) => {
                let challenge = headers["www-authenticate"].to_str().unwrap();
                assert!(challenge.ends_with(&format!(",error=\"{problem}\"")), "{challenge}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_is_bounded() {
    let registry = Registry::new(Options { bytes_max: 4_000, ..Options::default() });
    registry.push("a/b", "1", &ImageSpec::new("1")).unwrap();
    registry.push("a/b", "1", &ImageSpec::new("1")).unwrap();
    let full = (0..10).find_map(|n| registry.push("a/b", "2", &ImageSpec::new(&n.to_string())).err());
    assert_eq!(full, Some(Full));
    let location = begin(&registry, "a/b").await;
    let (status, _, body) = ask(&registry, http::Request::patch(location), &[0; 4_000]).await;
    assert_eq!((status, code(&body).as_str()), (413, "SIZE_INVALID"));
}
