//! Registries as they sometimes are.

use std::time::Duration;

use bytes::Bytes;
use futures::stream::StreamExt;
use http::{HeaderValue, header};
use http_body_util::BodyExt;
use serde_json::Value;

use super::answer::{CONTENT_DIGEST, answer, error};
use super::route::Route;
use crate::image::Digest;
use crate::sim::handler::{Body, Response, full};
use crate::sim::wire::reset;

/// What a registry does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Every connection breaks, and nodes reach nothing.
    Down,
    /// No answer ever.
    Hangs,
    /// 429, with `Retry-After` in seconds if that is given.
    RateLimited { retry_after: Option<u64> },
    /// A 5xx.
    Fails(u16),
    /// Bodies come a few bytes at a time, with this long between.
    SlowDrip(Duration),
    /// A tag list that ends in the middle.
    CutList,
    /// A tag list whose next page is itself.
    LoopingLink,
    /// A tag list whose next page is on another host.
    ForeignLink,
    /// A list without tags.
    EmptyList,
    /// Only the first half of the tags.
    HalfList,
    /// Manifests are said to have the digest of something else.
    WrongDigest,
}

/// Bytes at a time of a slow body.
const DRIP_BYTES: usize = 16;

impl Misbehaviour {
    /// Whether nodes that pull get nothing either.
    pub(super) fn stops_pulls(&self) -> bool {
        matches!(self, Self::Down | Self::Hangs | Self::RateLimited { .. } | Self::Fails(_))
    }

    /// The answer in place of the right one, which is not worked out then.
    pub(super) async fn instead(&self) -> Option<Response> {
        match self {
            Self::Down => Some(reset()),
            Self::Hangs => std::future::pending().await,
            Self::RateLimited { retry_after } => {
                let mut response = error(429, "TOOMANYREQUESTS", "too many requests", Value::Null);
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(*seconds));
                }
                Some(response)
            }
            Self::Fails(status) => Some(error(*status, "UNKNOWN", "unknown error", Value::Null)),
            _ => None,
        }
    }

    /// What becomes of the right answer.
    pub(super) async fn spoil(&self, route: &Route, path: &str, response: Response) -> Response {
        let list = matches!(route, Route::Tags { .. }) && response.status().is_success();
        match self {
            Self::SlowDrip(every) => slow(response, *every).await,
            Self::CutList if list => {
                let body = bytes(response).await;
                list_answer(body.slice(..body.len() / 2), None)
            }
            Self::LoopingLink if list => {
                list_answer(bytes(response).await, Some(&format!("<{path}>; rel=\"next\"")))
            }
            Self::ForeignLink if list => {
                let link = "<http://elsewhere.example/v2/x/tags/list?last=a>; rel=\"next\"";
                list_answer(bytes(response).await, Some(link))
            }
            Self::EmptyList if list => shortened(response, |_| 0).await,
            Self::HalfList if list => shortened(response, |count| count / 2).await,
            Self::WrongDigest if matches!(route, Route::Manifest { .. }) => {
                let mut response = response;
                let wrong = Digest::of(b"something else").to_string();
                if let (true, Ok(value)) = (response.status().is_success(), HeaderValue::from_str(&wrong)) {
                    response.headers_mut().insert(CONTENT_DIGEST, value);
                }
                response
            }
            _ => response,
        }
    }
}

async fn bytes(response: Response) -> Bytes {
    // All our bodies are there at once, so that none can fail.
    response.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

fn list_answer(body: Bytes, link: Option<&str>) -> Response {
    let mut headers = vec![("content-type", "application/json; charset=utf-8")];
    headers.extend(link.map(|link| ("link", link)));
    answer(200, &headers, body)
}

async fn shortened(response: Response, keep: impl Fn(usize) -> usize) -> Response {
    let mut list: Value = serde_json::from_slice(&bytes(response).await).unwrap_or_default();
    if let Some(tags) = list.get_mut("tags").and_then(Value::as_array_mut) {
        tags.truncate(keep(tags.len()));
    }
    list_answer(format!("{list}\n").into(), None)
}

async fn slow(response: Response, every: Duration) -> Response {
    let (parts, body) = response.into_parts();
    let Ok(whole) = body.collect().await else { return Response::from_parts(parts, full(Bytes::new())) };
    let whole = whole.to_bytes();
    let drops = futures::stream::unfold(whole, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let drop = rest.split_to(rest.len().min(DRIP_BYTES));
        Some((Ok::<_, std::io::Error>(hyper::body::Frame::data(drop)), rest))
    });
    let body: Body = BodyExt::boxed_unsync(http_body_util::StreamBody::new(drops.boxed()));
    Response::from_parts(parts, body)
}
