//! `tail -F` for the log: everything that is asked for, then what comes.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::read::{Cursor, Filter, Line, begin};

/// How long nothing may be known of a new line. Looking costs two `stat`s, and works on file
/// systems that notify nobody.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// So many lines may be passed over before other tasks have their turn.
const LINES_AT_ONCE: usize = 256;

/// Reads the log and goes on as it grows; survives rotation, and a writer that stops and
/// comes back. No line comes twice.
#[derive(Debug)]
pub struct Follow {
    ready: VecDeque<Line>,
    cursor: Cursor,
    filter: Filter,
}

impl Follow {
    /// Begins with what is in the log already, as `filter` (with its `last`) says.
    ///
    /// # Errors
    /// When a segment cannot be read. A directory that is not there yet is waited for.
    pub fn new(dir: &Path, filter: Filter) -> io::Result<Self> {
        let (ready, cursor) = begin(dir, &filter)?;
        Ok(Self { ready, cursor, filter })
    }

    /// The next line; waits for it. May be cancelled at any time without loss.
    ///
    /// # Errors
    /// When a segment cannot be read.
    pub async fn next(&mut self) -> io::Result<Line> {
        loop {
            for _ in 0..LINES_AT_ONCE {
                match self.next_now()? {
                    Some(line) if self.filter.matches(&line.head) => return Ok(line),
                    Some(_) => {}
                    None => {
                        tokio::time::sleep(LOOK_EVERY).await;
                        break;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn next_now(&mut self) -> io::Result<Option<Line>> {
        match self.ready.pop_front() {
            Some(line) => Ok(Some(line)),
            None => self.cursor.next_line(),
        }
    }
}

#[cfg(test)]
mod tests;
