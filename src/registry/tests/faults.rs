use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fake::*;
use crate::image::Repository;
use crate::registry::{Registry as _, RegistryErrorKind as Kind};

/// A server that answers each connection with these bytes and then closes it, or not.
async fn raw(bytes: &'static [u8], close: bool) -> (Repository, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let repository = format!("{}/a", listener.local_addr().unwrap()).parse().unwrap();
    let task = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            socket.write_all(bytes).await.unwrap();
            if !close {
                open.push(socket);
            }
        }
    });
    (repository, task)
}

#[tokio::test]
async fn broken_answers_are_errors() {
    let table: &[(&'static [u8], bool, &str)] = &[
        (b"", true, "connection broke"),
        (b"garbage\r\n\r\n", true, "connection broke"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"tags\":[\"1.0.0\"]}", true, "connection broke"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"tag", true, "connection broke"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", true, "longer than"),
        (b"", false, "no answer in time"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", false, "no answer in time"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", false, "no answer in time"),
    ];
    for (bytes, close, text) in table {
        let (repository, task) = raw(bytes, *close).await;
        let limit = Duration::from_millis(if *close { 20_000 } else { 200 });
        let client = client(limits(|l| l.idle = limit));
        let error = client.tags(&repository, Duration::ZERO).await.unwrap_err();
        task.abort();
        let kind = if text.contains("longer") { Kind::Truncated } else { Kind::Unavailable };
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(text), "{text}: {error}");
    }
}

#[tokio::test]
async fn a_slow_drip_ends() {
    let fake = Fake::start(|_| {
        |_| {
            let drip = futures::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Some((Ok::<_, std::io::Error>(" "), ()))
            });
            answer(200, &[], axum::body::Body::from_stream(drip))
        }
    })
    .await;
    let told: std::sync::Arc<std::sync::Mutex<Vec<String>>> = Default::default();
    let log = std::sync::Arc::clone(&told);
    let mut options = limits(|l| l.request = Duration::from_millis(300));
    options.observer =
        Some(std::sync::Arc::new(move |_: &str, code: &str, _| log.lock().unwrap().push(code.into())));
    let error = client(options).tags(&fake.repository("a"), Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("no answer in time"), "{error}");
    assert_eq!(*told.lock().unwrap(), ["timeout"]);
}

#[tokio::test]
async fn a_slow_list_ends() {
    let fake = Fake::start(|_| {
        |seen| {
            let link = format!("<{}?{}x>; rel=next", seen.path, seen.query);
            let body = futures::stream::once(async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, std::io::Error>(r#"{"tags":["a"]}"#)
            });
            answer(200, &[("link", &link)], axum::body::Body::from_stream(body))
        }
    })
    .await;
    let client = client(limits(|l| l.list = Duration::from_millis(300)));
    let error = client.tags(&fake.repository("a"), Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("took longer"), "{error}");
}

#[tokio::test]
async fn plain_and_tls_are_told_apart() {
    // TLS towards a registry that speaks plain HTTP.
    let fake = Fake::start(|_| |_| listing(&[])).await;
    let config = crate::config::RegistryConfig { plain_http: Some(false), ..Default::default() };
    let client = configured(&fake.host, config, options());
    let error = client.tags(&fake.repository("a"), Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    assert!(error.message.contains("plain_http = true") || error.message.contains("TLS"), "{error}");
    assert!(fake.seen().is_empty());
    let ca = |path: std::path::PathBuf| crate::config::RegistryConfig {
        plain_http: Some(false),
        ca: Some(path),
        ..Default::default()
    };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("not.pem"), "hello").unwrap();
    for file in ["absent.pem", "not.pem"] {
        let client = configured(&fake.host, ca(dir.path().join(file)), options());
        let error = client.tags(&fake.repository("a"), Duration::ZERO).await.unwrap_err();
        assert!(error.message.contains("`ca`"), "{error}");
    }
}
