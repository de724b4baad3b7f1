//! The listener's loop: bounded connections, each bounded in time and bytes.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Served;
use super::routes::router;

/// A few scrapers and probes; more wait in the kernel's backlog.
const CONNECTIONS_MAX: usize = 64;
/// To send a request's head, also from the end of the last one on a kept connection.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// However slowly a peer reads, its place is free again after this.
const CONNECTION_LIFETIME_MAX: Duration = Duration::from_secs(300);
/// For answers under way when a connection or the server is told to end.
const GRACE: Duration = Duration::from_secs(5);
/// Before another try when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const HEADERS_MAX: usize = 64;
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Where requests come in.
#[derive(Debug)]
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn crate::dial::Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// Serves until `shutdown`, then lets answers under way finish, for a few seconds at most.
///
/// # Errors
/// None now; a listener that cannot go on would be one.
pub async fn serve(listener: Listener, served: Served, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let router = router(served);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let ending = CancellationToken::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let connection = connection(stream, router.clone(), ending.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    ending.cancel();
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        connections.abort_all();
    }
    Ok(())
}

type Place = tokio::sync::OwnedSemaphorePermit;

async fn accept(
    listener: &Listener,
    places: &Arc<Semaphore>,
) -> io::Result<(Box<dyn crate::dial::Stream>, Place)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let stream = listener.accept().await?;
    Ok((stream, place))
}

async fn connection(stream: Box<dyn crate::dial::Stream>, router: Router, ending: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = ending.cancelled() => None,
        () = tokio::time::sleep(CONNECTION_LIFETIME_MAX) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(GRACE, connection).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}
