//! What serves HTTP, independent of what carries it.

use std::convert::Infallible;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// A request with its whole body.
pub type Request = http::Request<Bytes>;
/// A response whose body may be a stream that ends late or never.
pub type Response = http::Response<Body>;
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// Answers requests.
pub trait Handler: Send + Sync + 'static {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response>;
}

/// A body that is there at once.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}
