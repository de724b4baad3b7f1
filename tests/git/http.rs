//! Over http: a small bridge to `git http-backend`, with basic authentication.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use tokio::io::AsyncWriteExt;

use crate::origin::{CANARY, Origin};

#[derive(Clone)]
struct Bridge {
    root: std::path::PathBuf,
    /// `Authorization` must be this.
    wanted: String,
    /// Where all is redirected to.
    elsewhere: Option<String>,
    heard: Arc<Mutex<Vec<Option<String>>>>,
}

impl Bridge {
    fn new(origin: &Origin) -> Self {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("git:{CANARY}"));
        let root = origin.root.path().to_owned();
        Self { root, wanted: format!("Basic {pair}"), elsewhere: None, heard: Arc::default() }
    }

    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}/origin.git")
    }
}

async fn answer(State(bridge): State<Bridge>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let authorization = text(header::AUTHORIZATION);
    bridge.heard.lock().unwrap().push(authorization.clone());
    if let Some(elsewhere) = &bridge.elsewhere {
        let target = format!("{elsewhere}/info/refs?service=git-upload-pack");
        return (StatusCode::FOUND, [(header::LOCATION, target)]).into_response();
    }
    if authorization.as_deref() != Some(bridge.wanted.as_str()) {
        return (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic")], "no").into_response();
    }
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let mut git = tokio::process::Command::new("git");
    git.arg("http-backend").env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    git.env("GIT_PROJECT_ROOT", &bridge.root).env("GIT_HTTP_EXPORT_ALL", "1");
    git.env("PATH_INFO", parts.uri.path()).env("QUERY_STRING", parts.uri.query().unwrap_or_default());
    git.env("REQUEST_METHOD", parts.method.as_str()).env("CONTENT_LENGTH", body.len().to_string());
    git.env("CONTENT_TYPE", text(header::CONTENT_TYPE).unwrap_or_default());
    git.env("HTTP_CONTENT_ENCODING", text(header::CONTENT_ENCODING).unwrap_or_default());
    if let Some(protocol) = parts.headers.get("git-protocol") {
        git.env("GIT_PROTOCOL", protocol.to_str().unwrap());
    }
    let mut git = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    git.stdin.take().unwrap().write_all(&body).await.unwrap();
    let output = git.wait_with_output().await.unwrap().stdout;
    let split = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in String::from_utf8_lossy(&output[..split]).lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = match name {
            "Status" => response.status(value[..3].parse::<u16>().unwrap()),
            _ => response.header(name, value),
        };
    }
    response.body(Body::from(output[split + 4..].to_vec())).unwrap()
}

async fn fetch(origin: &Origin, url: &str) -> Result<String, String> {
    let repository = origin.repository(url, "token_file = \"token\"");
    let fetched = tokio::task::spawn_blocking(move || repository.fetch()).await.unwrap();
    fetched.map(|tree| tree.revision.commit).map_err(|error| error.message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_opens_it_and_a_wrong_one_does_not() {
    let origin = Origin::new();
    let url = Bridge::new(&origin).serve().await;
    origin.file("token", &format!("{CANARY}\n"));
    assert_eq!(fetch(&origin, &url).await.unwrap(), origin.head());
    origin.file("token", &format!("{CANARY}-wrong"));
    let error = fetch(&origin, &url).await.unwrap_err();
    assert!(error.contains("cannot fetch") && !error.contains(CANARY), "{error}");
    origin.file("token", "");
    assert!(fetch(&origin, &url).await.unwrap_err().contains("one line, the secret"));
    // Nothing of it stays on the disk.
    for file in ["config", "FETCH_HEAD", "HEAD"] {
        let text = std::fs::read_to_string(origin.state().join("git").join(file)).unwrap_or_default();
        assert!(!text.contains(CANARY) && !text.contains("Basic"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_gets_no_credentials() {
    let origin = Origin::new();
    let other = Bridge::new(&origin);
    let elsewhere = other.serve().await;
    let first = Bridge { elsewhere: Some(elsewhere), heard: Arc::default(), ..Bridge::new(&origin) };
    let url = first.serve().await;
    origin.file("token", CANARY);
    let error = fetch(&origin, &url).await.unwrap_err();
    assert!(error.contains("cannot fetch") && !error.contains(CANARY), "{error}");
    assert_eq!(first.heard.lock().unwrap().len(), 1);
    assert_eq!(*other.heard.lock().unwrap(), Vec::<Option<String>>::new());
}
