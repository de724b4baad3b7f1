//! HTTP/1.1 servers around a [`Handler`]: in memory, at a unix socket, at a TCP port.
//! Connections are kept alive as the real servers keep them.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{JoinHandle, JoinSet};

use crate::dial::{Dial, Dialer, Dialing, Stream};
use crate::sim::handler::{Handler, Response, full};

/// Bytes of a request's body: no image of ours, and no spec, is larger.
const REQUEST_BYTES_MAX: usize = 64 << 20;
/// Bytes in flight in one direction of an in-memory stream, as a socket's buffer has them.
const STREAM_BYTES: usize = 64 << 10;

/// Marks a response in place of which the connection is closed.
#[derive(Clone, Copy)]
struct Reset;

/// Not a response: the connection is closed without one.
pub fn reset() -> Response {
    let mut response = Response::new(full(Bytes::new()));
    response.extensions_mut().insert(Reset);
    response
}

pub(super) fn is_reset(response: &Response) -> bool {
    response.extensions().get::<Reset>().is_some()
}

/// Serves one connection to its end.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, handler: Arc<dyn Handler>) {
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let handler = Arc::clone(&handler);
        async move {
            let (parts, body) = request.into_parts();
            let Ok(body) = Limited::new(body, REQUEST_BYTES_MAX).collect().await else {
                let mut refused = Response::new(full(Bytes::new()));
                *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
                return Ok(refused);
            };
            let response = handler.handle(http::Request::from_parts(parts, body.to_bytes())).await;
            if is_reset(&response) {
                return Err(io::Error::from(io::ErrorKind::ConnectionReset));
            }
            Ok(response)
        }
    });
    // An error ends the connection, which is all that the other side is to see of it.
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
}

/// A listener. Dropping it closes it and all its connections.
#[derive(Debug)]
pub struct Server {
    task: JoinHandle<()>,
    address: String,
    /// The socket's file, removed in the end.
    path: Option<PathBuf>,
}

impl Server {
    /// `host:port`, or the path of the socket.
    pub fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The connections live in the task.
        self.task.abort();
        if let Some(path) = &self.path {
            std::fs::remove_file(path).ok();
        }
    }
}

/// Serves at a TCP address; port 0 takes a free one.
///
/// # Errors
/// When nothing can listen there.
pub async fn serve_tcp(address: &str, handler: Arc<dyn Handler>) -> io::Result<Server> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?.to_string();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&handler)))),
                // Of one connection, or too many of them: others may still come.
                Err(_) => tokio::task::yield_now().await,
            }
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Server { task, address, path: None })
}

/// Serves at a unix socket, which must not be there yet.
///
/// # Errors
/// When nothing can listen there.
pub fn serve_unix(path: &Path, handler: Arc<dyn Handler>) -> io::Result<Server> {
    let listener = UnixListener::bind(path)?;
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            match listener.accept().await {
                Ok((stream, _)) => drop(connections.spawn(serve(stream, Arc::clone(&handler)))),
                Err(_) => tokio::task::yield_now().await,
            }
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Server { task, address: path.display().to_string(), path: Some(path.to_owned()) })
}

/// A server at in-memory streams. Dropping it closes all its connections, and no more are
/// accepted.
#[derive(Debug)]
pub struct Memory {
    shared: Arc<Shared>,
}

struct Shared {
    handler: Arc<dyn Handler>,
    /// `None`: nobody listens.
    connections: Mutex<Option<JoinSet<()>>>,
}

impl Memory {
    pub fn new(handler: Arc<dyn Handler>) -> Self {
        let shared = Shared { handler, connections: Mutex::new(Some(JoinSet::new())) };
        Self { shared: Arc::new(shared) }
    }

    /// Connects to this server, for as long as it listens.
    pub fn dialer(&self) -> Dialer {
        let shared = Arc::clone(&self.shared);
        Arc::new(move || shared.dial())
    }

    /// As when the server's process dies: connections break, new ones are refused.
    pub fn close(&self) {
        *self.shared.connections() = None;
    }

    /// As when it is started again.
    pub fn open(&self) {
        self.shared.connections().get_or_insert_with(JoinSet::new);
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dial(self: &Arc<Self>) -> Dialing {
        let shared = Arc::clone(self);
        Box::pin(async move {
            let (ours, theirs) = tokio::io::duplex(STREAM_BYTES);
            let mut connections = shared.connections();
            let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused");
            let open = connections.as_mut().ok_or_else(refused)?;
            while open.try_join_next().is_some() {}
            open.spawn(serve(theirs, Arc::clone(&shared.handler)));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// In-memory servers by `host:port`: a network with nothing else in it.
#[derive(Clone, Default)]
pub struct Hosts {
    dialers: Arc<Mutex<BTreeMap<String, Dialer>>>,
}

impl Hosts {
    pub fn insert(&self, address: &str, dialer: Dialer) {
        self.dialers.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned(), dialer);
    }

    /// Connects by name; whom nobody knows is not found.
    pub fn dial(&self) -> Dial {
        let hosts = self.clone();
        Arc::new(move |address| {
            let known = hosts.dialers.lock().unwrap_or_else(PoisonError::into_inner).get(address).cloned();
            match known {
                Some(dialer) => dialer(),
                None => Box::pin(async { Err(io::Error::new(io::ErrorKind::NotFound, "no such host")) }),
            }
        })
    }
}
