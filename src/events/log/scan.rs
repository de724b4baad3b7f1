//! What is there already: numbers, open intents, and what a crash left at the end.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use serde::Deserialize;

use super::super::segments::{self, Identity, LINE_BYTES_MAX, LIVE, LineReader, SEQ_MAX};
use super::super::{Event, Phase};
use crate::files::{Writable, at};

/// The intents of the log in `dir` that have no outcome, oldest first; for those who only read.
///
/// # Errors
/// When a segment cannot be read.
pub fn open_intents(dir: &Path) -> io::Result<Vec<Event>> {
    let mut scan = Scan::default();
    for older in segments::older(dir)? {
        scan.read(&older.path, false)?;
    }
    let live = dir.join(LIVE);
    if Identity::of_path(&live)?.is_some() {
        scan.read(&live, false)?;
    }
    Ok(in_order(scan.open))
}

pub(super) fn in_order(open: BTreeMap<String, Event>) -> Vec<Event> {
    let mut events: Vec<Event> = open.into_values().collect();
    events.sort_by_key(|e| e.seq);
    events
}

pub(super) fn track(open: &mut BTreeMap<String, Event>, event: &Event) {
    match event.phase {
        Some(Phase::Intent) => {
            open.insert(event.id.clone(), event.clone());
        }
        Some(Phase::Done | Phase::Failed) => {
            open.remove(&event.id);
        }
        None => {}
    }
}

/// What the writer must know of segments that are there already.
#[derive(Default)]
pub(super) struct Scan {
    pub(super) first_seq: Option<u64>,
    pub(super) last_seq: u64,
    /// Of the whole lines of the segment that was read last.
    pub(super) length: u64,
    /// Intents without outcome so far; segments are read oldest first.
    pub(super) open: BTreeMap<String, Event>,
}

/// As little of a line as shows that it is one; a newer skep may write reasons that this one
/// does not know.
#[derive(Deserialize)]
struct Stub {
    seq: u64,
}

impl Stub {
    fn of(line: &[u8]) -> Option<Self> {
        // Readers take the last of two numbers, which only damage leaves.
        let lenient = || serde_json::from_slice::<serde_json::Value>(line).ok()?.get("seq")?.as_u64();
        let seq = serde_json::from_slice(line).map_or_else(|_| lenient(), |stub: Self| Some(stub.seq))?;
        (seq <= SEQ_MAX).then_some(Self { seq })
    }
}

impl Scan {
    /// Reads a segment; every line, or only those that may be intents and outcomes. Says
    /// where the last line begins if a crash left it half written.
    pub(super) fn read(&mut self, path: &Path, every_line: bool) -> io::Result<Option<u64>> {
        let mut reader = LineReader::open(path)?;
        let mut torn_last = None;
        while let Some(line) = reader.next_line()? {
            torn_last = None;
            let has_phase = contains_phase(&line.bytes);
            if !every_line && !has_phase {
                continue;
            }
            let Some(stub) = Stub::of(&line.bytes) else {
                // Blocks that never reached the disk read as zeros; other damage is nothing
                // that a crash of ours leaves.
                torn_last = line.bytes.contains(&0).then_some(line.offset);
                if every_line {
                    // It had a number, which is not to be given again.
                    self.last_seq = (self.last_seq + 1).min(SEQ_MAX);
                }
                continue;
            };
            self.first_seq.get_or_insert(stub.seq);
            self.last_seq = self.last_seq.max(stub.seq);
            if has_phase && let Ok(event) = serde_json::from_slice::<Event>(&line.bytes) {
                track(&mut self.open, &event);
            }
        }
        self.length = reader.offset();
        Ok(torn_last)
    }

    /// Reads the live segment, cuts off what a crash left half written at its end, and makes
    /// sure that the rest is on disk: who wrote it may have been killed before its sync, and
    /// from now on it counts.
    pub(super) fn repair(
        path: &Path,
        file: &mut dyn Writable,
        open: BTreeMap<String, Event>,
    ) -> io::Result<Self> {
        let mut scan = Self { open, ..Self::default() };
        let torn_last = scan.read(path, true)?;
        let length = std::fs::metadata(path).map_err(|e| at(path, e))?.len();
        let good = if length > scan.length { scan.length } else { torn_last.unwrap_or(length) };
        if let Some(seq) = damaged_newline(path, scan.length, length)? {
            tracing::warn!(path = %path.display(), offset = scan.length, "ended a damaged line of the event log");
            file.write(b"\n").map_err(|e| at(path, e))?;
            scan.length = length + 1;
            scan.last_seq = scan.last_seq.max(seq);
        } else if good < length {
            tracing::warn!(path = %path.display(), bytes = length - good, "cut a torn line off the event log");
            file.truncate(good).map_err(|e| at(path, e))?;
            if good < scan.length {
                // A whole line went, and gives its number back.
                scan.last_seq -= 1;
            }
            scan.length = good;
        }
        file.sync().map_err(|e| at(path, e))?;
        Ok(scan)
    }
}

/// The number of a whole line between `from` and the end of the file whose newline became
/// something else. A crash of ours leaves nothing after a line but its newline or zeros, so
/// this one was acknowledged.
fn damaged_newline(path: &Path, from: u64, end: u64) -> io::Result<Option<u64>> {
    let Some(length) = usize::try_from(end - from).ok().filter(|length| *length <= LINE_BYTES_MAX + 1) else {
        return Ok(None);
    };
    let mut tail = vec![0; length];
    let read = std::fs::File::open(path).and_then(|file| file.read_exact_at(&mut tail, from));
    read.map_err(|e| at(path, e))?;
    let Some((newline, line)) = tail.split_last().filter(|(newline, _)| **newline != 0) else {
        return Ok(None);
    };
    Ok(Stub::of(line).filter(|_| !newline.is_ascii_whitespace()).map(|stub| stub.seq))
}

/// A quick look before a line is read as JSON. A message cannot fake it: its quotes are escaped.
fn contains_phase(line: &[u8]) -> bool {
    std::str::from_utf8(line).is_ok_and(|l| l.contains(r#""phase":"#))
}
