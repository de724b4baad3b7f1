//! Connections to an engine: unix socket, TCP, TLS; one HTTP/1.1 connection a request, as
//! the docker CLI's short calls have it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::config;
use crate::dial::Dialer;

/// A manager that does not even accept a connection in this time is taken for dead.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the engine listens.
#[derive(Clone)]
pub enum Endpoint {
    Unix(PathBuf),
    Tcp(String),
    Tls {
        address: String,
        name: ServerName<'static>,
        config: Arc<rustls::ClientConfig>,
    },
    /// An embedded engine.
    Memory(Dialer),
}

impl Endpoint {
    /// The engine that the configuration names, with its certificates read.
    ///
    /// # Errors
    /// An address of another kind, or certificates that cannot be read.
    pub fn new(docker: &config::Docker) -> Result<Self, String> {
        match docker.endpoint()? {
            config::Endpoint::Unix(path) => Ok(Self::Unix(path)),
            config::Endpoint::Tcp(address) if !docker.tls => Ok(Self::Tcp(address)),
            config::Endpoint::Tcp(address) => {
                let server = address.rsplit_once(':').map_or(address.as_str(), |(server, _)| server);
                let server = server.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name =
                    ServerName::try_from(server).map_err(|e| format!("Docker host {address:?}: {e}"))?;
                Ok(Self::Tls { address, name, config: Arc::new(tls_config(docker)?) })
            }
        }
    }

    /// Sends one request over a connection of its own.
    pub(super) async fn send<B>(&self, request: Request<B>) -> io::Result<Response<Incoming>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self {
            Self::Memory(dialer) => exchange(connect(dialer()).await?, request).await,
            Self::Unix(path) => exchange(connect(UnixStream::connect(path)).await?, request).await,
            Self::Tcp(address) => exchange(connect(TcpStream::connect(address)).await?, request).await,
            Self::Tls { address, name, config } => {
                let stream = connect(TcpStream::connect(address)).await?;
                let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
                exchange(connect(connector.connect(name.clone(), stream)).await?, request).await
            }
        }
    }

    /// For messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Memory(_) => "memory://".to_owned(),
            Self::Unix(path) => format!("unix://{}", path.display()),
            Self::Tcp(address) | Self::Tls { address, .. } => format!("tcp://{address}"),
        }
    }
}

async fn connect<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(CONNECT_TIMEOUT, connecting)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in 5 s"))?
}

async fn exchange<S, B>(stream: S, request: Request<B>) -> io::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // The connection ends by itself with the response's body, or when that is dropped.
    tokio::spawn(async move { connection.await.ok() });
    sender.send_request(request.map(BodyExt::boxed_unsync)).await.map_err(io::Error::other)
}

fn tls_config(docker: &config::Docker) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    match &docker.ca {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| format!("{}: {e}", path.display()))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots);
    match (&docker.cert, &docker.key) {
        (Some(cert), Some(key)) => {
            let key_der = PrivateKeyDer::from_pem_file(key).map_err(|e| format!("{}: {e}", key.display()))?;
            builder
                .with_client_auth_cert(certificates(cert)?, key_der)
                .map_err(|e| format!("{}: {e}", cert.display()))
        }
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err("docker.cert and docker.key belong together: give both or neither".to_owned()),
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|e| format!("cannot read the certificates in {}: {e}", path.display()))
}
