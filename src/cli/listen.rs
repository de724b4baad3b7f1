//! The event log of a running controller, as it grows: the client of `/api/v1/events`.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::remote::{Refusal, Remote};
use crate::events::Line;

/// The most that a controller gives at once.
pub(super) const LISTED_MAX: usize = 1000;
/// Longer than the controller is ever silent: it sends a sign of life every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Before a stream that ended is asked for again, and the most that this grows to.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// Far more than a line of the log.
const FRAME_BYTES_MAX: usize = 1 << 20;

/// What `/api/v1/events` answers.
#[derive(serde::Deserialize)]
struct Listed {
    events: Vec<serde_json::Value>,
}

/// The last `limit` events that pass the filter of `query`.
pub(super) async fn list(remote: &Remote, query: &str, limit: usize) -> anyhow::Result<Vec<Line>> {
    let path = format!("/api/v1/events?limit={limit}&{query}");
    let listed: Listed = remote.get(path.trim_end_matches('&')).await?;
    Ok(listed.events.iter().filter_map(|event| Line::parse(&event.to_string())).collect())
}

/// The number of the newest event of all; 0 if there is none.
pub(super) async fn newest(remote: &Remote) -> anyhow::Result<u64> {
    let last = list(remote, "", 1).await?;
    Ok(last.first().map(|line| line.head.seq).unwrap_or_default())
}

/// Follows the log over streams that end now and then, and misses nothing in between.
pub(super) struct Listen<'a> {
    remote: &'a Remote,
    path: String,
    /// The last one seen.
    last: u64,
    stream: Option<Incoming>,
    frames: Frames,
    pause: Duration,
    /// Somebody answered: from then on an outage is waited out.
    begun: bool,
}

impl<'a> Listen<'a> {
    /// Those after `last`.
    pub(super) fn new(remote: &'a Remote, query: String, last: u64) -> Self {
        let path = format!("/api/v1/events?{query}");
        let (stream, frames, pause) = (None, Frames::default(), PAUSES.0);
        Self {
            remote,
            path: path.trim_end_matches('?').to_owned(),
            last,
            stream,
            frames,
            pause,
            begun: false,
        }
    }

    /// The next event; waits for it.
    ///
    /// # Errors
    /// When nobody answers at the start, or what is asked for is refused.
    pub(super) async fn next(&mut self) -> anyhow::Result<Line> {
        loop {
            if let Some(frame) = self.frames.next() {
                self.last = frame.id.unwrap_or(self.last);
                if let Some(line) = Line::parse(&frame.data) {
                    return Ok(line);
                }
                continue;
            }
            match &mut self.stream {
                None => self.connect().await?,
                Some(stream) => match tokio::time::timeout(SILENCE_MAX, stream.frame()).await {
                    Ok(Some(Ok(frame))) => {
                        self.pause = PAUSES.0;
                        let data = frame.into_data().unwrap_or_default();
                        if !self.frames.feed(&data) {
                            anyhow::bail!("{} is no skep: it sends a line without end", self.remote.name());
                        }
                    }
                    // It ended, broke or went silent: what comes after the last one is asked for anew.
                    _ => self.stream = None,
                },
            }
        }
    }

    async fn connect(&mut self) -> anyhow::Result<()> {
        if self.begun {
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSES.1);
        }
        self.frames = Frames::default();
        match self.remote.stream(&self.path, self.last).await {
            Ok(stream) => (self.stream, self.begun) = (Some(stream), true),
            Err(error) if !self.begun || is_final(&error) => return Err(error),
            Err(error) => tracing::warn!("{error:#}; trying again"),
        }
        Ok(())
    }
}

/// Whether asking again would bring the same answer.
fn is_final(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.status.is_client_error())
}

/// One server-sent event.
#[derive(Debug, PartialEq)]
struct Frame {
    id: Option<u64>,
    data: String,
}

/// Bytes in, server-sent events out.
#[derive(Default)]
struct Frames {
    partial: Vec<u8>,
    id: Option<u64>,
    data: Option<String>,
    ready: VecDeque<Frame>,
}

impl Frames {
    fn next(&mut self) -> Option<Frame> {
        self.ready.pop_front()
    }

    /// False: this is no stream of events.
    fn feed(&mut self, bytes: &[u8]) -> bool {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.len() + self.data.as_ref().map_or(0, String::len) > FRAME_BYTES_MAX {
                return false;
            }
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
            }
        }
        true
    }

    fn line(&mut self, line: &str) {
        if line.is_empty() {
            let id = self.id.take();
            self.ready.extend(self.data.take().map(|data| Frame { id, data }));
            return;
        }
        // A line that begins with a colon is a sign of life.
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = value.parse().ok(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(pieces: &[&str]) -> Vec<(Option<u64>, String)> {
        let mut frames = Frames::default();
        assert!(pieces.iter().all(|piece| frames.feed(piece.as_bytes())));
        std::iter::from_fn(|| frames.next()).map(|frame| (frame.id, frame.data)).collect()
    }

    #[test]
    fn events_are_read_however_they_are_cut() {
        let text = ": heartbeat\n\nid: 7\ndata: {\"a\":1}\n\nevent: x\r\ndata:one\r\ndata: two\r\nid: 8\r\n\r\nid: 9\n\ndata: half";
        let expected = vec![(Some(7), "{\"a\":1}".to_owned()), (Some(8), "one\ntwo".to_owned())];
        assert_eq!(frames(&[text]), expected);
        for at in 0..text.len() {
            assert_eq!(frames(&[&text[..at], &text[at..]]), expected, "{at}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let mut frames = Frames::default();
        let piece = "x".repeat(1 << 16);
        let fed = (0..64).take_while(|_| frames.feed(piece.as_bytes())).count();
        assert!(fed < 17, "{fed}");
    }
}
