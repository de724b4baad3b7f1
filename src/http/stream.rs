//! `/api/v1/events`: as JSON, or as a stream of server-sent events.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use jiff::Timestamp;
use serde::Deserialize;

use super::Served;
use super::api::{Refused, busy};
use crate::events::{self, Filter, Follow, Kind, Reason, Since};

/// Each costs a look at the log five times a second.
pub(super) const LISTENERS_MAX: usize = 16;
const HEARTBEAT: Duration = Duration::from_secs(15);
const LINES_DEFAULT: usize = 100;
const LINES_MAX: usize = 1000;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    customer: Option<String>,
    service: Option<String>,
    r#type: Option<String>,
    reason: Option<String>,
    since: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

impl Asked {
    fn filter(&self) -> Result<Filter, String> {
        let kind = match self.r#type.as_deref() {
            None => None,
            Some(text) if text.eq_ignore_ascii_case("normal") => Some(Kind::Normal),
            Some(text) if text.eq_ignore_ascii_case("warning") => Some(Kind::Warning),
            Some(_) => return Err("`type` is Normal or Warning".into()),
        };
        let mut reasons = Vec::new();
        for name in self.reason.iter().flat_map(|list| list.split(',')) {
            let known = Reason::ALL.iter().find(|reason| reason.as_str().eq_ignore_ascii_case(name.trim()));
            reasons.push(*known.ok_or_else(|| format!("{name:?} is no reason"))?);
        }
        let since = self.since.as_deref().map(str::parse::<Since>).transpose();
        Ok(Filter {
            customer: self.customer.clone(),
            service: self.service.clone(),
            kind,
            reasons,
            since: since
                .map_err(|why| format!("`since`: {why}"))?
                .map(|since| since.resolve(Timestamp::now())),
            after: self.after,
            last: None,
        })
    }
}

pub(super) async fn events(
    State(served): State<Served>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let refused = |message| Refused(StatusCode::BAD_REQUEST, message);
    let mut filter = asked.filter().map_err(refused)?;
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accept.contains("text/event-stream") {
        filter.last = Some(asked.limit.unwrap_or(LINES_DEFAULT).min(LINES_MAX));
        return list(&served, filter).await;
    }
    if let Some(last) = headers.get("last-event-id") {
        let seq = last.to_str().ok().and_then(|text| text.trim().parse().ok());
        filter.after = Some(seq.ok_or_else(|| refused("`Last-Event-ID` is the seq of an event".into()))?);
    }
    // Whoever does not say from where on wants what comes.
    let from_somewhere = filter.after.is_some() || filter.since.is_some();
    filter.last = match asked.limit {
        Some(limit) => Some(limit.min(LINES_MAX)),
        None => (!from_somewhere).then_some(0),
    };
    follow(&served, filter)
}

async fn list(served: &Served, filter: Filter) -> Result<Response, Refused> {
    let dir = served.api.events.clone();
    let read = crate::blocking::run(move || {
        let mut body = String::from("{\"events\":[");
        for (at, line) in events::read(&dir, &filter)?.enumerate() {
            body.push_str(if at == 0 { "\n" } else { ",\n" });
            body.push_str(&line?.raw);
        }
        body.push_str("]}\n");
        std::io::Result::Ok(body)
    });
    let body = read.await.and_then(|result| result).map_err(unreadable)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn unreadable(error: std::io::Error) -> Refused {
    Refused(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot read the event log: {error}"))
}

fn follow(served: &Served, filter: Filter) -> Result<Response, Refused> {
    let place = served.api.limits.listeners.clone().try_acquire_owned();
    let place = place.map_err(|_| busy("too many listen already"))?;
    let follow = Follow::new(&served.api.events, filter).map_err(unreadable)?;
    let state = (follow, served.api.stop.clone(), place);
    let lines = stream::unfold(state, |(mut follow, stop, place)| async move {
        let line = tokio::select! {
            () = stop.cancelled() => return None,
            line = follow.next() => line.inspect_err(|error| tracing::warn!(%error, "a listener's log")).ok()?,
        };
        let sent = Sent::default().id(line.head.seq.to_string()).data(line.raw);
        Some((Ok::<_, Infallible>(sent), (follow, stop, place)))
    });
    let heartbeat = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    Ok(Sse::new(lines).keep_alive(heartbeat).into_response())
}
