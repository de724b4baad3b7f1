//! The writer of the log. What `append` acknowledged is on disk, whatever dies next.
//!
//! Appends that come at the same time share one write and one `fdatasync`: whoever comes
//! first writes for all that wait meanwhile.

mod scan;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Event, NewEvent};
use crate::files::{self, Files};
use writer::{Batch, Writer};

pub use scan::open_intents;

/// How much log is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of a segment before a new one is begun.
    pub max_bytes: u64,
    /// How many segments are kept beside the live one.
    pub keep: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_bytes: 64 * 1024 * 1024, keep: 8 }
    }
}

/// The log, open for writing. Only one may be open on a directory: hold the lock of the
/// state directory.
pub struct Log {
    queue: Mutex<Queue>,
    /// Told when a write is finished.
    turn: Condvar,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Queue {
    /// What waits to be written, at most one batch a caller.
    waiting: Vec<Batch>,
    /// Results whose callers have not yet taken them.
    finished: BTreeMap<u64, io::Result<Vec<Event>>>,
    /// Somebody is writing.
    busy: bool,
    tickets: u64,
}

impl Log {
    /// Opens the log in `dir`, which is made if it is not there. A torn last line is cut
    /// off; a rotation that was interrupted is finished.
    ///
    /// # Errors
    /// When the directory or a segment cannot be read or written; the message names it.
    pub fn open(dir: &Path, options: Options) -> io::Result<Self> {
        Self::on(Arc::new(files::Real), dir, options)
    }

    /// `open` on this file system.
    ///
    /// # Errors
    /// As `open`.
    pub fn on(files: Arc<dyn Files>, dir: &Path, options: Options) -> io::Result<Self> {
        let writer = Mutex::new(Writer::open(dir, options, files)?);
        Ok(Self { queue: Mutex::default(), turn: Condvar::new(), writer })
    }

    /// Writes one event; it is on disk when this returns. Blocks for about one `fdatasync`:
    /// call it where that may block, or use [`Log::record`].
    ///
    /// # Errors
    /// When the disk did not take it. Nothing of it is left in the log then, and the next
    /// append works as soon as the disk does.
    pub fn append(&self, event: NewEvent, now: jiff::Timestamp) -> io::Result<Event> {
        let mut written = self.append_many(vec![event], now)?;
        written.pop().ok_or_else(|| io::Error::other("the log gave no event back"))
    }

    /// Writes several events with one `fdatasync`: all of them or none.
    ///
    /// # Errors
    /// As `append`.
    pub fn append_many(&self, events: Vec<NewEvent>, now: jiff::Timestamp) -> io::Result<Vec<Event>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let mut queue = lock(&self.queue);
        queue.tickets += 1;
        let ticket = queue.tickets;
        queue.waiting.push(Batch { ticket, events, now });
        loop {
            if let Some(result) = queue.finished.remove(&ticket) {
                return result;
            }
            if queue.busy {
                queue = self.turn.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if !queue.waiting.iter().any(|b| b.ticket == ticket) {
                return Err(io::Error::other("the thread that wrote this event to the log panicked"));
            }
            queue.busy = true;
            let batches = std::mem::take(&mut queue.waiting);
            drop(queue);
            self.write(batches);
            queue = lock(&self.queue);
        }
    }

    /// `append_many` for async code: on a thread that may block. Cancelling the future does
    /// not stop the write.
    ///
    /// # Errors
    /// As `append`.
    pub async fn record(
        self: &Arc<Self>,
        events: Vec<NewEvent>,
        now: jiff::Timestamp,
    ) -> io::Result<Vec<Event>> {
        let log = Arc::clone(self);
        crate::blocking::run(move || log.append_many(events, now)).await?
    }

    /// Intents without an outcome, oldest first, as of now.
    pub fn open_intents(&self) -> Vec<Event> {
        lock(&self.writer).open_intents()
    }

    /// The sequence number of the last line, 0 when there is none.
    pub fn last_seq(&self) -> u64 {
        lock(&self.writer).last_seq()
    }

    /// Writes for everybody in `batches`, and hands the pen back even if it panics.
    fn write(&self, batches: Vec<Batch>) {
        struct Pen<'a>(&'a Log, Vec<(u64, io::Result<Vec<Event>>)>);
        impl Drop for Pen<'_> {
            fn drop(&mut self) {
                let mut queue = lock(&self.0.queue);
                queue.busy = false;
                queue.finished.extend(self.1.drain(..));
                self.0.turn.notify_all();
            }
        }
        let mut pen = Pen(self, Vec::new());
        pen.1 = lock(&self.writer).commit(batches);
    }
}

/// A panic elsewhere does not spoil what these locks guard: a queue of independent entries,
/// and a writer that looks at its file before each write.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
