//! Event streams that lose, double and mix up what happened.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{BoxStream, StreamExt};
use tokio::time::{Instant, sleep_until};

use super::body::{pieces, streamed};
use super::fault::EventFault;
use crate::sim::handler::Response;

/// How long an overflow lasts, and how long an event waits for one to change places with.
const WINDOW: Duration = Duration::from_secs(1);

/// The response with its lines changed.
pub(super) fn transform(response: Response, fault: EventFault) -> Response {
    response.map(|body| {
        let lines = Lines { pieces: pieces(body), partial: BytesMut::new(), ready: VecDeque::new() };
        streamed(changed(lines, fault))
    })
}

/// A body cut at the ends of its lines.
struct Lines {
    pieces: BoxStream<'static, io::Result<Bytes>>,
    partial: BytesMut,
    ready: VecDeque<Bytes>,
}

impl Lines {
    /// The next line with its end. Nothing is lost if this is dropped while it waits.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(Ok(line));
            }
            match self.pieces.next().await? {
                Err(error) => return Some(Err(error)),
                Ok(piece) => self.partial.extend_from_slice(&piece),
            }
            while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                self.ready.push_back(self.partial.split_to(end + 1).freeze());
            }
        }
    }
}

fn changed(lines: Lines, fault: EventFault) -> BoxStream<'static, io::Result<Bytes>> {
    let state = State { lines, fault, count: 0, deaf: None, held: None };
    futures::stream::unfold(state, |mut state| async move {
        let piece = state.next().await?;
        Some((piece, state))
    })
    .boxed()
}

struct State {
    lines: Lines,
    fault: EventFault,
    /// Lines seen.
    count: usize,
    /// Until when lines are lost.
    deaf: Option<Instant>,
    /// A line that waits for the next one, and until when.
    held: Option<(Bytes, Instant)>,
}

impl State {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.fault == EventFault::Cut && self.count > 0 {
            return None;
        }
        loop {
            let line = match self.held.take() {
                None => self.lines.next().await?,
                Some((held, until)) => {
                    tokio::select! {
                        biased;
                        later = self.lines.next() => match later {
                            Some(Ok(later)) => return Some(Ok(joined(&later, &held))),
                            Some(Err(error)) => return Some(Err(error)),
                            None => return Some(Ok(held)),
                        },
                        () = sleep_until(until) => return Some(Ok(held)),
                    }
                }
            };
            let line = match line {
                Ok(line) => line,
                Err(error) => return Some(Err(error)),
            };
            self.count += 1;
            let now = Instant::now();
            match self.fault {
                EventFault::Off => {}
                EventFault::Drop if self.count.is_multiple_of(2) => {}
                EventFault::Overflow if self.deaf.is_some_and(|until| now < until) => {}
                EventFault::Reorder => self.held = Some((line, now + WINDOW)),
                EventFault::Double => return Some(Ok(joined(&line, &line))),
                EventFault::Drop | EventFault::Overflow | EventFault::Cut => {
                    self.deaf = Some(now + WINDOW);
                    return Some(Ok(line));
                }
            }
        }
    }
}

fn joined(first: &[u8], second: &[u8]) -> Bytes {
    Bytes::from([first, second].concat())
}
