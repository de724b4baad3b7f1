//! Bodies that are cut or made of pieces.

use std::io;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use http::{HeaderValue, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::serve::reset;
use crate::sim::handler::{Body, Response};

pub(super) fn streamed(pieces: BoxStream<'static, io::Result<Bytes>>) -> Body {
    BodyExt::boxed_unsync(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))))
}

/// The data of a body, piece by piece.
pub(super) fn pieces(body: Body) -> BoxStream<'static, io::Result<Bytes>> {
    body.into_data_stream().boxed()
}

/// The end of a connection, when what was sent before has left.
async fn breaking() -> io::Result<Bytes> {
    tokio::task::yield_now().await;
    Err(io::Error::from(io::ErrorKind::ConnectionReset))
}

/// The first half of the response's body, and then the connection breaks. `endless`: only the
/// first piece, for there is no half.
pub(super) async fn half(response: Response, endless: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    if endless {
        let cut = pieces(body).take(1).chain(futures::stream::once(breaking()));
        return Response::from_parts(parts, streamed(cut.boxed()));
    }
    let Ok(whole) = body.collect().await else { return reset() };
    let whole = whole.to_bytes();
    if whole.len() < 2 {
        return reset();
    }
    parts.headers.remove(header::TRANSFER_ENCODING);
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(whole.len()));
    let first = whole.slice(..whole.len() / 2);
    let cut = futures::stream::once(async { Ok(first) }).chain(futures::stream::once(breaking()));
    Response::from_parts(parts, streamed(cut.boxed()))
}
