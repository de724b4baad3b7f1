//! Over http and https: a small bridge to `git http-backend`, with basic authentication.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use skep::source::git::Trouble;
use tokio::io::AsyncWriteExt;

use crate::fleet::skep_in;
use crate::origin::{CANARY, GOOD, Origin};

/// The authority of the registry's tests, and a key and certificate of its for 127.0.0.1.
const TLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/registry/tests/tls");
const ANOTHER_CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/git/other-ca.pem");

/// How the server behaves.
#[derive(Clone)]
pub enum Mood {
    Honest,
    /// Takes requests, and never answers.
    Silent,
    /// Dies in the middle of a pack.
    Half,
    /// Sends everybody there.
    Elsewhere(String),
    /// Says this, whatever it is asked.
    Says(fn() -> Response),
}

/// Clones are the same server.
#[derive(Clone)]
pub struct Bridge {
    root: PathBuf,
    /// `Authorization` must be this.
    wanted: String,
    mood: Arc<Mutex<Mood>>,
    heard: Arc<Mutex<Vec<Option<String>>>>,
}

fn pair(username: &str, secret: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{username}:{secret}"))
}

impl Bridge {
    pub fn new(origin: &Origin) -> Self {
        Self::for_user(origin, "git")
    }

    fn for_user(origin: &Origin, username: &str) -> Self {
        let wanted = format!("Basic {}", pair(username, CANARY));
        let root = origin.root.path().to_owned();
        Self { root, wanted, mood: Arc::new(Mutex::new(Mood::Honest)), heard: Arc::default() }
    }

    /// The credentials as they travel.
    pub fn pair(&self) -> String {
        self.wanted.trim_start_matches("Basic ").to_owned()
    }

    pub fn mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    async fn listen(&self) -> std::net::SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = axum::Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    pub async fn serve(&self) -> String {
        format!("http://{}/origin.git", self.listen().await)
    }

    /// The same behind TLS.
    pub async fn serve_tls(&self) -> String {
        let inner = self.listen().await;
        let acceptor = acceptor();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut outer = acceptor.accept(socket).await?;
                    let mut inner = tokio::net::TcpStream::connect(inner).await?;
                    tokio::io::copy_bidirectional(&mut outer, &mut inner).await
                });
            }
        });
        format!("https://{address}/origin.git")
    }
}

fn acceptor() -> tokio_rustls::TlsAcceptor {
    let read = |name: &str| std::fs::read(format!("{TLS}/{name}")).unwrap();
    let certificate = CertificateDer::from_pem_slice(&read("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(&read("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    tokio_rustls::TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()))
}

async fn answer(State(bridge): State<Bridge>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let authorization = text(header::AUTHORIZATION);
    bridge.heard.lock().unwrap().push(authorization.clone());
    let mood = bridge.mood.lock().unwrap().clone();
    match &mood {
        Mood::Silent => return std::future::pending().await,
        Mood::Says(answer) => return answer(),
        Mood::Elsewhere(elsewhere) => {
            let target = format!("{elsewhere}/info/refs?service=git-upload-pack");
            return (StatusCode::FOUND, [(header::LOCATION, target)]).into_response();
        }
        Mood::Honest | Mood::Half => {}
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
    let content = output[split + 4..].to_vec();
    let is_pack = content.windows(4).any(|window| window == b"PACK");
    if matches!(mood, Mood::Half) && is_pack {
        let begun: Result<Bytes, std::io::Error> = Ok(content[..content.len() / 2].to_vec().into());
        let died = Err(std::io::Error::other("the server died"));
        return response.body(Body::from_stream(futures::stream::iter([begun, died]))).unwrap();
    }
    response.body(Body::from(content)).unwrap()
}

const TOKEN: &str = "token_file = \"token\"";

async fn fetch(origin: &Origin, url: &str, lines: &str) -> Result<String, String> {
    let repository = origin.repository(url, lines);
    let fetched = tokio::task::spawn_blocking(move || repository.fetch()).await.unwrap();
    let fetched = fetched.map(|tree| tree.revision.commit).map_err(|error| error.message);
    if let Err(error) = &fetched {
        assert!(!error.contains(CANARY) && !error.chars().any(char::is_control), "{error}");
    }
    fetched
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_opens_it_and_a_wrong_one_does_not() {
    let origin = Origin::new();
    let url = Bridge::new(&origin).serve().await;
    origin.file("token", &format!("{CANARY}\n"));
    assert_eq!(fetch(&origin, &url, TOKEN).await.unwrap(), origin.head());
    origin.file("token", &format!("{CANARY}-wrong"));
    let error = fetch(&origin, &url, TOKEN).await.unwrap_err();
    assert!(error.contains("cannot fetch") && error.contains("refuses the secret in"), "{error}");
    origin.file("token", "");
    assert!(fetch(&origin, &url, TOKEN).await.unwrap_err().contains("one line, the secret"));
    let error = fetch(&origin, &url, "").await.unwrap_err();
    assert!(error.contains("wants credentials: set `token_file`"), "{error}");
    // Nothing of it stays on the disk.
    for file in ["config", "FETCH_HEAD", "HEAD", "hold"] {
        let text = std::fs::read_to_string(origin.state().join("git").join(file)).unwrap_or_default();
        assert!(!text.contains(CANARY) && !text.contains("Basic"), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_gets_no_credentials() {
    let origin = Origin::new();
    let ca = format!("{TOKEN}\nca_file = \"{TLS}/ca.pem\"");
    origin.file("token", CANARY);
    for tls in [false, true] {
        let (first, other) = (Bridge::new(&origin), Bridge::new(&origin));
        let serve = async |bridge: &Bridge| if tls { bridge.serve_tls().await } else { bridge.serve().await };
        first.mood(Mood::Elsewhere(serve(&other).await));
        let url = serve(&first).await;
        let error = fetch(&origin, &url, if tls { &ca } else { TOKEN }).await.unwrap_err();
        assert!(error.contains("cannot fetch") && error.contains("the URL that it redirects to"), "{error}");
        assert_eq!(first.heard.lock().unwrap().len(), 1);
        assert_eq!(*other.heard.lock().unwrap(), Vec::<Option<String>>::new());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_own_authority_is_trusted_only_where_it_is_named() {
    let origin = Origin::new();
    let bridge = Bridge::for_user(&origin, "deploy");
    let url = bridge.serve_tls().await;
    std::fs::copy(format!("{TLS}/ca.pem"), origin.path("ca.pem")).unwrap();
    origin.file("password", CANARY);
    let basic = "username = \"deploy\"\npassword_file = \"password\"";
    let with = |ca: &str| format!("{basic}\nca_file = \"{ca}\"");
    assert_eq!(fetch(&origin, &url, &with("ca.pem")).await.unwrap(), origin.head());
    let heard = bridge.heard.lock().unwrap().len();
    for lines in [with(ANOTHER_CA), basic.to_owned()] {
        let error = fetch(&origin, &url, &lines).await.unwrap_err();
        assert!(error.contains("name its authority with `ca_file`"), "{error}");
    }
    assert!(fetch(&origin, &url, &with("absent.pem")).await.unwrap_err().contains("cannot fetch"));
    // The certificate is of 127.0.0.1, which is not what localhost asks for.
    let named = url.replace("127.0.0.1", "localhost");
    assert!(fetch(&origin, &named, &with("ca.pem")).await.unwrap_err().contains("cannot fetch"));
    assert_eq!(bridge.heard.lock().unwrap().len(), heard, "nothing is said before it is known to whom");
    let wrong = with("ca.pem").replace("\"deploy\"", "\"somebody\"");
    assert!(fetch(&origin, &url, &wrong).await.unwrap_err().contains("refuses the secret in"));

    // A path in skep.toml is meant from there, also for a git that works elsewhere.
    origin.config(&url, &with("ca.pem"));
    let mut skep = skep_in(origin.root.path(), "plan -vv");
    skep.env("DOCKER_HOST", format!("unix://{}", origin.path("none.sock").display()));
    let output = tokio::task::spawn_blocking(move || skep.output().unwrap()).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        !said.contains("cannot fetch") && said.contains("none.sock"),
        "it came as far as the engine: {said}"
    );
    assert!(!said.contains(CANARY) && !said.contains(&bridge.pair()), "{said}");
}

/// A server that dies in the middle of a pack; then it is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_pack_is_no_commit() {
    let origin = Origin::new();
    let bridge = Bridge::new(&origin);
    let url = bridge.serve().await;
    origin.file("token", CANARY);
    let first = fetch(&origin, &url, TOKEN).await.unwrap();
    // Large, and nothing that could be made smaller.
    let noise: Vec<u8> = (0..400_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    origin.write("specs/noise.bin", &noise);
    let second = origin.push("specs/acme.toml", &format!("{GOOD}# 2\n"), "second");
    bridge.mood(Mood::Half);
    for _ in 0..2 {
        let repository = origin.repository(&url, TOKEN);
        let error = tokio::task::spawn_blocking(move || repository.fetch().unwrap_err()).await.unwrap();
        assert_eq!(error.trouble, Trouble::Unreachable, "{error}");
        let good = origin.repository(&url, TOKEN).last_good().unwrap().unwrap();
        assert_eq!(good.revision.commit, first);
    }
    bridge.mood(Mood::Honest);
    assert_eq!(fetch(&origin, &url, TOKEN).await.unwrap(), second);
    let packs = std::fs::read_dir(origin.state().join("git/objects/pack")).unwrap();
    let names: Vec<String> = packs.map(|it| it.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert!(names.iter().all(|name| name.starts_with("pack-")), "{names:?}");
}
