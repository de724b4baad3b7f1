//! One writer at a time: numbering, rotation, and repair of the live segment.
//!
//! Rotation is: rename the live segment, sync the directory, create a new one, sync again,
//! remove what is too old. A crash after any of these leaves a state that `ensure_live` goes
//! on from, and nothing is written to the new segment before its name is durable. Between the
//! first two a power loss may undo the renaming, but never leave a new segment in its place.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::super::segments::{self, Identity, LINE_BYTES_MAX, LIVE};
use super::super::{Event, NewEvent, text};
use super::Options;
use super::scan::{Scan, in_order, track};
use crate::files::{Files, Writable, at, make_dirs};

/// What one caller wants written.
pub(super) struct Batch {
    pub(super) ticket: u64,
    pub(super) events: Vec<NewEvent>,
    pub(super) now: jiff::Timestamp,
}

type Answer = (u64, io::Result<Vec<Event>>);

pub(super) struct Writer {
    dir: PathBuf,
    options: Options,
    files: Arc<dyn Files>,
    /// `None` after a failure between two steps; made anew before the next write.
    live: Option<Live>,
    last_seq: u64,
    open: BTreeMap<String, Event>,
    /// So that a rotation that keeps failing is told once.
    rotation_failed: bool,
}

struct Live {
    file: Box<dyn Writable>,
    identity: Identity,
    /// Of its whole, acknowledged lines.
    length: u64,
    first_seq: Option<u64>,
    /// A failed write may have left something beyond `length`, here or on the disk.
    dirty: bool,
}

impl Writer {
    pub(super) fn open(dir: &Path, options: Options, files: Arc<dyn Files>) -> io::Result<Self> {
        make_dirs(files.as_ref(), dir)?;
        let mut history = Scan::default();
        let older = segments::older(dir)?;
        for (i, segment) in older.iter().enumerate() {
            // The newest one says how far the numbers went, in the others only intents matter.
            history.read(&segment.path, i + 1 == older.len())?;
            history.last_seq = history.last_seq.max(segment.first_seq);
        }
        let mut writer = Self {
            dir: dir.to_owned(),
            options,
            files,
            live: None,
            last_seq: history.last_seq,
            open: history.open,
            rotation_failed: false,
        };
        writer.ensure_live()?;
        writer.remove_oldest();
        Ok(writer)
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    pub(super) fn open_intents(&self) -> Vec<Event> {
        in_order(self.open.clone())
    }

    /// Writes all batches at once and answers each.
    pub(super) fn commit(&mut self, batches: Vec<Batch>) -> Vec<Answer> {
        let mut bytes = Vec::new();
        let mut answers: Vec<Answer> = Vec::with_capacity(batches.len());
        let mut seq = self.last_seq;
        for batch in batches {
            answers.push((batch.ticket, number_and_encode(batch, &mut seq, &mut bytes)));
        }
        if bytes.is_empty() {
            return answers;
        }
        match self.write(&bytes) {
            Ok(()) => {
                self.last_seq = seq;
                for event in answers.iter().filter_map(|(_, a)| a.as_ref().ok()).flatten() {
                    track(&mut self.open, event);
                }
            }
            Err(error) => {
                for (_, answer) in answers.iter_mut().filter(|(_, a)| a.is_ok()) {
                    *answer = Err(io::Error::new(error.kind(), error.to_string()));
                }
            }
        }
        answers
    }

    /// Appends `bytes`, whole lines from `last_seq + 1` on, and syncs them.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.ensure_live()?;
        self.rotate_if_full(bytes.len() as u64)?;
        let path = self.dir.join(LIVE);
        let first_seq = self.last_seq + 1;
        let live = self.live.as_mut().ok_or_else(|| io::Error::other("the log has no live segment"))?;
        if live.dirty {
            live.file.truncate(live.length).map_err(|e| at(&path, e))?;
        }
        if let Err(error) = live.file.write(bytes).and_then(|()| live.file.sync()) {
            live.dirty = true;
            // For readers; done again, and synced, before anything is added.
            let _ = live.file.truncate(live.length);
            return Err(at(&path, error));
        }
        live.dirty = false;
        live.length += bytes.len() as u64;
        live.first_seq.get_or_insert(first_seq);
        Ok(())
    }

    /// Opens or creates the live segment unless it is open already. One that somebody moved
    /// or removed under us is made anew.
    fn ensure_live(&mut self) -> io::Result<()> {
        let path = self.dir.join(LIVE);
        let there = Identity::of_path(&path)?;
        if self.live.as_ref().is_some_and(|l| Some(l.identity) == there) {
            return Ok(());
        }
        if self.live.take().is_some() {
            tracing::warn!(path = %path.display(), "somebody moved or removed the live event log; a new one is begun");
        }
        if there.is_none() {
            make_dirs(self.files.as_ref(), &self.dir)?;
            // Else a power loss might undo the renaming of what had the name, and keep the new.
            self.files.sync_dir(&self.dir).map_err(|e| at(&self.dir, e))?;
        }
        let mut file = self.files.append(&path).map_err(|e| at(&path, e))?;
        let scan = Scan::repair(&path, file.as_mut(), self.open.clone())?;
        self.files.sync_dir(&self.dir).map_err(|e| at(&self.dir, e))?;
        let identity = Identity::of_path(&path)?.ok_or_else(|| at(&path, io::ErrorKind::NotFound.into()))?;
        self.last_seq = self.last_seq.max(scan.last_seq);
        self.live =
            Some(Live { file, identity, length: scan.length, first_seq: scan.first_seq, dirty: false });
        self.open = scan.open;
        Ok(())
    }

    /// Begins a new segment when `more` bytes would make the live one too large. A rename
    /// that fails is no reason to refuse events: the segment grows on.
    fn rotate_if_full(&mut self, more: u64) -> io::Result<()> {
        let Some(live) = self.live.as_mut() else { return Ok(()) };
        if live.length == 0 || live.length + more <= self.options.max_bytes {
            return Ok(());
        }
        if live.dirty {
            // What is renamed is never touched again, so it must be clean on the disk before.
            let cleaned = live.file.truncate(live.length).and_then(|()| live.file.sync());
            cleaned.map_err(|e| at(&self.dir.join(LIVE), e))?;
            live.dirty = false;
        }
        let first_seq = live.first_seq.unwrap_or(self.last_seq + 1);
        if let Err(error) = self.rename_live(first_seq) {
            if !std::mem::replace(&mut self.rotation_failed, true) {
                tracing::warn!(%error, "the event log cannot be rotated; it grows on");
            }
            return Ok(());
        }
        self.rotation_failed = false;
        self.live = None;
        self.ensure_live()?;
        self.remove_oldest();
        Ok(())
    }

    fn rename_live(&self, first_seq: u64) -> io::Result<()> {
        // Damage may have made a first line's number one that is taken; names must rise.
        let newest = segments::older(&self.dir)?.last().map_or(0, |o| o.first_seq + 1);
        let to = self.dir.join(segments::older_name(first_seq.max(newest)));
        self.files.rename(&self.dir.join(LIVE), &to).map_err(|e| at(&to, e))
    }

    /// Removes what exceeds `keep`. What cannot be removed is tried again at the next rotation.
    fn remove_oldest(&self) {
        let older = match segments::older(&self.dir) {
            Ok(older) => older,
            Err(error) => return tracing::warn!(%error, "old event logs cannot be listed"),
        };
        for segment in &older[..older.len().saturating_sub(self.options.keep)] {
            if let Err(error) = self.files.remove(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %error, "an old event log cannot be removed");
            }
        }
    }
}

/// Gives a caller's events their numbers and adds their lines to `bytes`; neither when one
/// of them cannot be written.
fn number_and_encode(batch: Batch, seq: &mut u64, bytes: &mut Vec<u8>) -> io::Result<Vec<Event>> {
    let begin = bytes.len();
    let mut next = *seq;
    let mut events = Vec::with_capacity(batch.events.len());
    for new in batch.events {
        next += 1;
        let event = complete(new, next, batch.now);
        let line = serde_json::to_vec(&event).map_err(io::Error::other);
        match line {
            Ok(line) if line.len() <= LINE_BYTES_MAX => bytes.extend_from_slice(&line),
            other => {
                bytes.truncate(begin);
                let length = other?.len();
                let message =
                    format!("an event of {length} bytes is too long for the log (at most {LINE_BYTES_MAX})");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
            }
        }
        bytes.push(b'\n');
        events.push(event);
    }
    *seq = next;
    Ok(events)
}

/// Times are kept to the millisecond.
fn complete(new: NewEvent, seq: u64, now: jiff::Timestamp) -> Event {
    let time = jiff::Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
    Event {
        id: new.id.unwrap_or_else(|| new_id(now)),
        seq,
        time,
        kind: new.kind,
        reason: new.reason,
        customer: new.customer,
        service: new.service,
        message: text::clean(&new.message, text::MESSAGE_BYTES_MAX),
        from: new.from,
        to: new.to,
        trigger: new.trigger,
        revision: new.revision,
        phase: new.phase,
        count: new.count,
        first_time: new.first_time,
        target: new.target,
    }
}

/// A UUID of version 7 (RFC 9562): sorts by time.
fn new_id(now: jiff::Timestamp) -> String {
    let seconds = u64::try_from(now.as_second()).unwrap_or(0);
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    Uuid::new_v7(uuid::Timestamp::from_unix_time(seconds, nanos, 0, 0)).to_string()
}
