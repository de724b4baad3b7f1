//! `/events`.

use std::pin::Pin;

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::Receiver;
use tokio::time::Sleep;

use super::Call;
use super::answer::{Answer, Refusal};
use super::query::Filters;
use crate::sim::engine::state::Event;
use crate::sim::handler::{Body, Response};

/// Filters by ID or name; they hold for events of any type.
const NAMED: [&str; 10] =
    ["config", "container", "daemon", "image", "network", "node", "plugin", "secret", "service", "volume"];

pub(super) fn stream(call: &Call<'_>, _: &str) -> Answer {
    let now = call.engine.now();
    let since = time(call.query.get("since"), now)?;
    let until = time(call.query.get("until"), now)?;
    if let (Some(since), Some(until)) = (since, until)
        && until < since
    {
        return Err(Refusal::bad(format!(
            "`since` time ({}) cannot be after `until` time ({})",
            call.query.get("since"),
            call.query.get("until")
        )));
    }
    let filters = call.query.any_filters()?;
    let past_wanted = since.is_some() || until.is_some();
    let mut feed = call.engine.feed();
    let wants = move |event: &Event| wanted(&filters, event);
    let past = |event: &Event| {
        past_wanted
            && since.is_none_or(|since| event.time >= since)
            && until.is_none_or(|until| event.time <= until)
    };
    let past = feed.past(|event| past(event) && wants(event));
    let past = stream::iter(past.into_iter().map(Ok));
    if until.is_some_and(|until| until < now) {
        return Ok(response(past.boxed()));
    }
    let end = until.map(|until| {
        let pause = std::time::Duration::try_from(until.duration_since(now)).unwrap_or_default();
        Box::pin(tokio::time::sleep(pause))
    });
    let live = live(feed.listen(Box::new(wants)), end);
    Ok(response(past.chain(live).boxed()))
}

type Line = Result<Bytes, std::io::Error>;

fn response(lines: BoxStream<'static, Line>) -> Response {
    let body: Body = BodyExt::boxed_unsync(StreamBody::new(lines.map(|line| line.map(Frame::data))));
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Events as they come, until the end or until the engine is restarted, which breaks the
/// stream off.
fn live(queue: Receiver<Bytes>, end: Option<Pin<Box<Sleep>>>) -> impl futures::Stream<Item = Line> + Send {
    stream::unfold(Some((queue, end)), |state| async move {
        let (mut queue, mut end) = state?;
        let next = match end.as_mut() {
            Some(end) => tokio::select! {
                biased;
                line = queue.recv() => line,
                () = end => return None,
            },
            None => queue.recv().await,
        };
        match next {
            Some(line) => Some((Ok(line), Some((queue, end)))),
            None => Some((Err(std::io::ErrorKind::ConnectionReset.into()), None)),
        }
    })
}

fn wanted(filters: &Filters, event: &Event) -> bool {
    let name = event.attributes.get("name").map(String::as_str).unwrap_or_default();
    let labels = || {
        let pairs = event.attributes.iter().map(|(key, value)| (key.clone(), value.clone().into()));
        serde_json::Value::Object(pairs.collect())
    };
    filters.exact("event", event.action)
        && filters.exact("type", event.kind)
        && filters.exact("scope", "swarm")
        && NAMED.iter().all(|kind| filters.prefix(kind, &event.id) || filters.prefix(kind, name))
        && (!filters.has("label") || filters.labels("label", Some(&labels())))
}

/// Seconds with a fraction, a time, or how long ago.
fn time(text: &str, now: Timestamp) -> Result<Option<Timestamp>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    let seconds = text.split_once('.').unwrap_or((text, ""));
    let (whole, fraction) = (seconds.0.parse::<i64>(), seconds.1);
    if let Ok(whole) = whole
        && fraction.bytes().all(|b| b.is_ascii_digit())
    {
        let nanoseconds = format!("{fraction:0<9}").get(..9).and_then(|digits| digits.parse().ok());
        let time = Timestamp::new(whole, nanoseconds.unwrap_or(0));
        return time.map(Some).map_err(|error| Refusal::server(error.to_string()));
    }
    if let Ok(ago) = text.parse::<SignedDuration>() {
        return Ok(now.checked_sub(ago).ok());
    }
    let message = || Refusal::server(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"));
    text.parse().map(Some).map_err(|_| message())
}
