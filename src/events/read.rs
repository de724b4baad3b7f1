//! Reading the log: all of it in order, the last lines of it, or on and on (`follow`).

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use super::segments::{self, Identity, LIVE, LineReader, RawLine};
use super::{Event, Kind, Reason};

/// A line as it stands on disk, and what it says.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    pub raw: String,
    pub head: Head,
    /// `None`: another skep wrote it, with a reason or the like that this one does not know.
    pub event: Option<Event>,
}

/// What can be told of every line, whichever skep wrote it: it has an id and a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    pub seq: u64,
    pub time: Option<jiff::Timestamp>,
    pub kind: String,
    pub reason: String,
    pub customer: Option<String>,
    pub service: Option<String>,
    pub message: String,
}

impl Head {
    fn of(line: &serde_json::Value) -> Option<Self> {
        let text = |key: &str| line.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        text("id")?;
        Some(Self {
            seq: line.get("seq")?.as_u64().filter(|seq| *seq <= segments::SEQ_MAX)?,
            time: text("time").and_then(|time| time.parse().ok()),
            kind: text("type").unwrap_or_default(),
            reason: text("reason").unwrap_or_default(),
            customer: text("customer"),
            service: text("service"),
            message: text("message").unwrap_or_default(),
        })
    }
}

/// Which lines are wanted. The default wants all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    pub customer: Option<String>,
    pub service: Option<String>,
    pub kind: Option<Kind>,
    /// Any of these; empty: any reason.
    pub reasons: Vec<Reason>,
    /// Not older than this.
    pub since: Option<jiff::Timestamp>,
    /// With a higher number than this.
    pub after: Option<u64>,
    /// Of what is there already, only the last so many that fit.
    pub last: Option<usize>,
}

impl Filter {
    /// Whether the line is wanted, `last` not considered.
    pub fn matches(&self, line: &Head) -> bool {
        let same = |want: &Option<String>, have: &Option<String>| want.is_none() || want == have;
        same(&self.customer, &line.customer)
            && same(&self.service, &line.service)
            && self.kind.is_none_or(|kind| kind.as_str() == line.kind)
            && (self.reasons.is_empty() || self.reasons.iter().any(|reason| reason.as_str() == line.reason))
            && self.after.is_none_or(|seq| line.seq > seq)
            && self.since.is_none_or(|since| line.time.is_some_and(|time| time >= since))
    }
}

/// Reads the log in `dir` as it is now, oldest line first. Lines that cannot be read are
/// passed over with a warning. Needs no lock; the log may be written meanwhile.
///
/// # Errors
/// When a segment cannot be read. A directory that is not there is an empty log.
pub fn read(dir: &Path, filter: &Filter) -> io::Result<Reader> {
    let (ready, cursor) = begin(dir, filter)?;
    Ok(Reader { ready, cursor, filter: filter.clone() })
}

/// The lines that were there when it was asked.
#[derive(Debug)]
pub struct Reader {
    ready: VecDeque<Line>,
    cursor: Cursor,
    filter: Filter,
}

impl Iterator for Reader {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(line) = self.ready.pop_front() {
            return Some(Ok(line));
        }
        if self.filter.last.is_some() {
            return None;
        }
        loop {
            match self.cursor.next_line().transpose()? {
                Ok(line) if !self.filter.matches(&line.head) => {}
                result => return Some(result),
            }
        }
    }
}

/// Where to begin: for "the last n" what fits is read already, from the newest segment
/// backwards, so that a long log is not read whole.
pub(super) fn begin(dir: &Path, filter: &Filter) -> io::Result<(VecDeque<Line>, Cursor)> {
    let Some(last) = filter.last else {
        return Ok((VecDeque::new(), Cursor::at_oldest(dir)));
    };
    let mut cursor = Cursor::at_newest(dir)?;
    let begin = cursor.identity()?;
    let older = before(dir, begin)?;
    let mut ready = keep_last(&mut cursor, filter, last)?;
    for path in older.iter().rev() {
        if ready.len() >= last {
            break;
        }
        let mut segment = match Cursor::within(dir, path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => break,
            segment => segment?,
        };
        let mut found = keep_last(&mut segment, filter, last - ready.len())?;
        found.append(&mut ready);
        ready = found;
    }
    Ok((ready, cursor))
}

/// The older segments before the one that is `identity`.
fn before(dir: &Path, identity: Option<Identity>) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    let Some(identity) = identity else { return Ok(paths) };
    for older in segments::older(dir)? {
        if Identity::of_path(&older.path)? == Some(identity) {
            break;
        }
        paths.push(older.path);
    }
    Ok(paths)
}

fn keep_last(cursor: &mut Cursor, filter: &Filter, last: usize) -> io::Result<VecDeque<Line>> {
    let mut kept = VecDeque::new();
    while let Some(line) = cursor.next_line()? {
        if last > 0 && filter.matches(&line.head) {
            if kept.len() == last {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    }
    Ok(kept)
}

/// A place in the log that moves from segment to segment as they are written and renamed.
/// It holds its segment open, so it loses nothing when that is renamed or removed.
#[derive(Debug)]
pub(super) struct Cursor {
    dir: PathBuf,
    segment: Option<LineReader>,
    last_seq: u64,
    /// Stay in this segment.
    only: bool,
}

impl Cursor {
    fn at_oldest(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), segment: None, last_seq: 0, only: false }
    }

    /// In the live segment, or in the newest older one while a rotation is under way.
    fn at_newest(dir: &Path) -> io::Result<Self> {
        let newest = match LineReader::open(&dir.join(LIVE)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                segments::older(dir)?.last().map(|o| LineReader::open(&o.path))
            }
            live => Some(live),
        };
        Ok(Self { segment: newest.transpose()?, ..Self::at_oldest(dir) })
    }

    fn within(dir: &Path, path: &Path) -> io::Result<Self> {
        Ok(Self { segment: Some(LineReader::open(path)?), only: true, ..Self::at_oldest(dir) })
    }

    fn identity(&self) -> io::Result<Option<Identity>> {
        self.segment.as_ref().map(LineReader::identity).transpose()
    }

    /// The next line that can be read, or `None` when there is none yet.
    pub(super) fn next_line(&mut self) -> io::Result<Option<Line>> {
        while let Some((line, path)) = self.next_raw()? {
            match parse(&line) {
                Some(line) => {
                    self.last_seq = line.head.seq;
                    return Ok(Some(line));
                }
                None => tracing::warn!(
                    path = %path.display(), offset = line.offset,
                    "passed over a line of the event log that this skep cannot read"
                ),
            }
        }
        Ok(None)
    }

    fn next_raw(&mut self) -> io::Result<Option<(RawLine, PathBuf)>> {
        loop {
            if let Some(segment) = self.segment.as_mut() {
                if let Some(line) = segment.next_line()? {
                    return Ok(Some((line, segment.path().to_owned())));
                }
                if self.only {
                    return Ok(None);
                }
                if Identity::of_path(&self.dir.join(LIVE))? == Some(segment.identity()?) {
                    segment.follow_cut()?;
                    return Ok(None);
                }
                // The writer is done with this segment, but may have added to it since we
                // looked: only what is empty now is finished.
                if let Some(line) = segment.next_line()? {
                    return Ok(Some((line, segment.path().to_owned())));
                }
            }
            if !self.advance()? {
                return Ok(None);
            }
        }
    }

    /// Goes on to the segment after this one; false when there is none yet.
    fn advance(&mut self) -> io::Result<bool> {
        // Each failed try means that the writer rotated meanwhile, which it does not do
        // faster than we look; the bound is for a disk that plays tricks.
        for _ in 0..100 {
            let next = self.choose_next()?;
            let opened = match LineReader::open(&next.path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && next.path.ends_with(LIVE) => {
                    return Ok(false);
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?,
            };
            // The live segment may have been renamed while we chose. And a listing may show
            // what was renamed during it, and not what was renamed before that; only what a
            // second one confirms is sure to be the next.
            if self.choose_next()? != next {
                continue;
            }
            if next.gap {
                tracing::warn!(
                    after = self.last_seq,
                    "the event log was removed before it was read; lines are missing"
                );
            }
            self.segment = Some(opened);
            return Ok(true);
        }
        Err(io::Error::other("the event log changes faster than it can be read"))
    }

    fn choose_next(&self) -> io::Result<Next> {
        let older = segments::older(&self.dir)?;
        let to = |segment: Option<&segments::Older>, gap| Next {
            path: segment.map_or_else(|| self.dir.join(LIVE), |o| o.path.clone()),
            gap,
        };
        let Some(mine) = &self.segment else { return Ok(to(older.first(), false)) };
        let identity = Some(mine.identity()?);
        // It is the one that still has the name it was opened by, or it was the live one,
        // and then not long ago.
        let named = older.iter().position(|o| o.path == mine.path());
        for i in named.into_iter().chain((0..older.len()).rev()) {
            if Identity::of_path(&older[i].path)? == identity {
                return Ok(to(older.get(i + 1), false));
            }
        }
        // Ours was removed: read on at what is left after it, else the log was begun anew.
        Ok(to(older.iter().find(|o| o.first_seq > self.last_seq), true))
    }
}

/// Where a cursor goes on.
#[derive(PartialEq, Eq)]
struct Next {
    path: PathBuf,
    /// The segment that was read before is gone, and maybe others with it.
    gap: bool,
}

impl Line {
    /// A line of a log, or `None` if it is none.
    pub fn parse(raw: &str) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(raw).ok()?;
        let head = Head::of(&value)?;
        Some(Self { raw: raw.to_owned(), head, event: serde_json::from_value(value).ok() })
    }
}

fn parse(line: &RawLine) -> Option<Line> {
    Line::parse(std::str::from_utf8(&line.bytes).ok()?)
}

#[cfg(test)]
mod tests;
