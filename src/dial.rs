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
