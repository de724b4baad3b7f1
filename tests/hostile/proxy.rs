//! Proxies as the environment names them: what goes through, what goes past, and what they see.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// The authority, and a key and certificate of its for [`NAME`], valid for a hundred years: they protect nothing but
/// this test.
const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hostile/tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key");
/// A name that nobody but a proxy can make anything of.
const NAME: &str = "registry.skep.test";
const LIMIT: Duration = Duration::from_secs(90);

/// A proxy that knows where one registry is; the heads of all requests that it was sent.
struct Proxy {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&heads);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let log = Arc::clone(&log);
                tokio::spawn(async move {
                    let head = read_head(&mut stream).await;
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
                    if head.starts_with("CONNECT ") {
                        stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                        tls(stream).await;
                    } else {
                        answer(&mut stream, &head).await;
                    }
                });
            }
        });
        Self { address, heads }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines of all that it was sent.
    fn asked(&self) -> Vec<String> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().map(|head| head.lines().next().unwrap_or_default().to_owned()).collect()
    }

    fn saw(&self, text: &str) -> bool {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().any(|head| head.to_ascii_lowercase().contains(text))
    }
}

/// The end of the tunnel: the registry's own TLS.
async fn tls(stream: TcpStream) {
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let head = read_head(&mut stream).await;
    answer(&mut stream, &head).await;
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or_default() == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A registry with two versions of acme/web, for whoever shows something.
async fn answer(stream: &mut (impl AsyncWrite + Unpin), head: &str) {
    let known = head.to_ascii_lowercase().contains("\r\nauthorization: basic ");
    let (status, headers, body) = if !known {
        ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n".to_owned(), "")
    } else if head.contains("/v2/acme/web/tags/list") {
        ("200 OK", String::new(), r#"{"name":"acme/web","tags":["1.0.0","1.1.0"]}"#)
    } else if head.starts_with("HEAD ") {
        ("200 OK", format!("Docker-Content-Digest: sha256:{}\r\n", "a".repeat(64)), "")
    } else {
        ("404 Not Found", String::new(), "")
    };
    let length = body.len();
    let text =
        format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.ok();
    stream.shutdown().await.ok();
}

/// `skep audit` of a compose file with one image of this registry.
async fn audit(registry: &str, entry: &str, environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let dir = tempfile::tempdir().unwrap();
    let write = |file: &str, text: String| std::fs::write(dir.path().join(file), text).unwrap();
    write("compose.yml", format!("services:\n  web:\n    image: {registry}/acme/web:1.0.0\n"));
    write("password", "canary-behind-the-proxy".to_owned());
    write(
        "skep.toml",
        format!("[registries.\"{registry}\"]\nusername = \"ci\"\npassword_file = \"password\"\n{entry}\n"),
    );
    let mut command = tokio::process::Command::new(assert_cmd::cargo::cargo_bin("skep"));
    command.args(["audit", "-f", "compose.yml", "--output", "json"]).current_dir(dir.path()).env_clear();
    command.env("HOME", dir.path()).envs(environment.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.unwrap().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn found((status, said): &(Option<i32>, String)) -> bool {
    assert!(!said.contains("canary"), "{said}");
    *status == Some(1) && said.contains("\"highest\": \"1.1.0\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_goes_through_the_proxy() {
    let proxy = Proxy::start().await;
    let registry = format!("{NAME}:5000");
    for name in ["HTTP_PROXY", "http_proxy"] {
        let audited = audit(&registry, "plain_http = true", &[(name, &proxy.url())]).await;
        assert!(found(&audited), "{name}: {audited:?}");
    }
    let first = format!("GET http://{registry}/v2/acme/web/tags/list?n=1000 HTTP/1.1");
    assert_eq!(proxy.asked()[0], first);
    // The host of the registry alone decides; the variable for TLS says nothing of plain HTTP.
    let before = proxy.asked().len();
    let past = [("HTTP_PROXY", proxy.url()), ("NO_PROXY", format!("other.test,{NAME}"))];
    for environment in [&[("HTTPS_PROXY", proxy.url())][..], &past] {
        let environment: Vec<(&str, &str)> = environment.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let (status, said) = audit(&registry, "plain_http = true", &environment).await;
        assert_eq!(status, Some(2), "nobody else knows the name: {said}");
    }
    assert_eq!(proxy.asked().len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_goes_through_a_tunnel_that_sees_nothing() {
    let proxy = Proxy::start().await;
    let entry = format!("ca = \"{CA}\"");
    let audited = audit(NAME, &entry, &[("HTTPS_PROXY", &proxy.url())]).await;
    assert!(found(&audited), "{audited:?}");
    let asked = proxy.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|line| *line == format!("CONNECT {NAME}:443 HTTP/1.1")),
        "{asked:?}"
    );
    assert!(!proxy.saw("authorization"), "credentials are for the registry");
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_is_never_asked_through_a_proxy() {
    let proxy = Proxy::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_head(&mut stream).await;
            answer(&mut stream, &head).await;
        }
    });
    let audited = audit(&registry, "", &[("HTTP_PROXY", &proxy.url()), ("ALL_PROXY", &proxy.url())]).await;
    assert!(found(&audited), "{audited:?}");
    assert_eq!(proxy.asked(), Vec::<String>::new());
}
