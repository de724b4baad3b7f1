//! Connections that somebody else makes: in-memory streams to an embedded engine or registry.

use std::io;
use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// Two ways for bytes, as a socket has them.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub type Dialing = BoxFuture<'static, io::Result<Box<dyn Stream>>>;
/// Connects to the one place it knows.
pub type Dialer = Arc<dyn Fn() -> Dialing + Send + Sync>;
/// Connects to a `host:port`.
pub type Dial = Arc<dyn Fn(&str) -> Dialing + Send + Sync>;

/// Connects by TCP, as everybody does.
pub fn tcp() -> Dial {
    Arc::new(|address| {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    })
}
