use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::fake::*;
use crate::config::RegistryConfig;
use crate::registry::{Registry as _, RegistryErrorKind as Kind};

/// The authority, and a key and certificate of its for 127.0.0.1, valid for a hundred years:
/// they protect nothing but this test.
const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/registry/tests/tls/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("tls/server.pem");
const KEY: &[u8] = include_bytes!("tls/server.key");

/// A registry with one tag behind TLS.
async fn registry() -> (String, tokio::task::JoinHandle<()>) {
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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let task = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut socket) = acceptor.accept(socket).await else { continue };
            let mut request = [0; 4096];
            let _ = socket.read(&mut request).await;
            let body = r#"{"tags":["1.0.0"]}"#;
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    });
    (host, task)
}

fn tls(ca: Option<&str>) -> RegistryConfig {
    RegistryConfig { plain_http: Some(false), ca: ca.map(Into::into), ..Default::default() }
}

#[tokio::test]
async fn an_own_authority_is_trusted_only_where_it_is_named() {
    let (host, task) = registry().await;
    let repository = format!("{host}/a").parse().unwrap();
    let tags = configured(&host, tls(Some(CA)), options()).tags(&repository, Duration::ZERO).await.unwrap();
    assert_eq!(*tags, ["1.0.0".to_owned()]);

    let error = configured(&host, tls(None), options()).tags(&repository, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable);
    // On a system without any authorities, TLS cannot be set up at all.
    let message = &error.message;
    assert!(message.contains("trust its authority with `ca`") || message.contains("No CA"), "{error}");
    task.abort();
}
