//! The files of the log: their names, their order, and reading lines from one of them.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::files::at;

/// The segment that is written to.
pub(super) const LIVE: &str = "events.jsonl";

/// No line that skep writes is longer, its newline not counted; a longer one is damage.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// No log has more lines; a greater number is damage. (What JSON readers hold exactly.)
pub(super) const SEQ_MAX: u64 = 1 << 53;

/// How much is asked of the disk at once.
const READ_BYTES: usize = 64 * 1024;

/// A segment that is written no more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Older {
    /// Of its first line, by its name.
    pub(super) first_seq: u64,
    pub(super) path: PathBuf,
}

pub(super) fn older_name(first_seq: u64) -> String {
    format!("events-{first_seq}.jsonl")
}

/// The older segments, oldest first. A directory that is not there has none.
pub(super) fn older(dir: &Path) -> io::Result<Vec<Older>> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| at(dir, e))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|e| at(dir, e))?;
        if let Some(first_seq) = entry.file_name().to_str().and_then(first_seq_of) {
            found.push(Older { first_seq, path: entry.path() });
        }
    }
    found.sort_by_key(|o| o.first_seq);
    Ok(found)
}

fn first_seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("events-")?.strip_suffix(".jsonl")?;
    let seq = digits.parse().ok().filter(|seq| *seq <= SEQ_MAX)?;
    // `+1` and `007` parse too, but no such name is ours.
    (older_name(seq) == name).then_some(seq)
}

/// What tells one file from another, whatever their names are at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(super) fn of_file(file: &File) -> io::Result<Self> {
        file.metadata().map(|m| Self { device: m.dev(), inode: m.ino() })
    }

    /// `None` when nothing is there.
    pub(super) fn of_path(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::metadata(path) {
            Ok(m) => Ok(Some(Self { device: m.dev(), inode: m.ino() })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(at(path, e)),
        }
    }
}

/// One line, without its newline.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RawLine {
    /// Where it begins in its file.
    pub(super) offset: u64,
    /// Empty when the line is too long to be one of ours.
    pub(super) bytes: Vec<u8>,
}

/// Reads whole lines, and again from where it stopped when the file has grown. A line
/// without a newline at its end is not given out: it may be in the making.
#[derive(Debug)]
pub(super) struct LineReader {
    file: File,
    path: PathBuf,
    /// Where the line begins that is read next.
    line_start: u64,
    /// What follows from `line_start` on; empty while `too_long`.
    buffer: Vec<u8>,
    /// What is read into; of a fixed length.
    chunk: Vec<u8>,
    /// How much of `buffer` holds no newline.
    searched: usize,
    /// How many bytes from `buffer`'s begin were given out.
    taken: usize,
    /// The line is longer than any of ours: its bytes are dropped, and this many were.
    dropped: u64,
}

impl LineReader {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path).map_err(|e| at(path, e))?;
        Ok(Self {
            file,
            path: path.to_owned(),
            line_start: 0,
            buffer: Vec::new(),
            chunk: vec![0; READ_BYTES],
            searched: 0,
            taken: 0,
            dropped: 0,
        })
    }

    pub(super) fn identity(&self) -> io::Result<Identity> {
        Identity::of_file(&self.file).map_err(|e| at(&self.path, e))
    }

    /// The path it was opened by; the file may have been renamed since.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the next line begins: the length of all whole lines that were given out.
    pub(super) fn offset(&self) -> u64 {
        self.line_start
    }

    /// The next whole line, or `None` when there is none yet.
    pub(super) fn next_line(&mut self) -> io::Result<Option<RawLine>> {
        loop {
            if let Some(i) = self.buffer[self.searched..].iter().position(|b| *b == b'\n') {
                return Ok(Some(self.take(self.searched + i)));
            }
            self.searched = self.buffer.len();
            if self.searched - self.taken > LINE_BYTES_MAX {
                self.dropped += (self.searched - self.taken) as u64;
                self.forget_buffer();
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Gives out the line that ends before the newline at `end`.
    fn take(&mut self, end: usize) -> RawLine {
        let line = &self.buffer[self.taken..end];
        let length = self.dropped + line.len() as u64;
        let bytes = if length > LINE_BYTES_MAX as u64 { Vec::new() } else { line.to_vec() };
        let offset = self.line_start;
        self.line_start += length + 1;
        self.dropped = 0;
        self.taken = end + 1;
        self.searched = end + 1;
        RawLine { offset, bytes }
    }

    /// Reads more; false at the end of the file. An unfinished line is read again next time,
    /// for the writer may cut it off and write another in its place.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.taken);
        self.searched -= self.taken;
        self.taken = 0;
        let from = self.line_start + self.dropped + self.buffer.len() as u64;
        let count = loop {
            match self.file.read_at(&mut self.chunk, from) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(|e| at(&self.path, e))?,
            }
        };
        if count == 0 {
            self.forget_buffer();
        }
        self.buffer.extend_from_slice(&self.chunk[..count]);
        Ok(count > 0)
    }

    fn forget_buffer(&mut self) {
        self.buffer.clear();
        self.searched = 0;
        self.taken = 0;
    }

    /// Steps back when the file was cut shorter than what was read of it.
    pub(super) fn follow_cut(&mut self) -> io::Result<()> {
        let length = self.file.metadata().map_err(|e| at(&self.path, e))?.len();
        if length < self.line_start + self.dropped {
            self.dropped = 0;
            self.line_start = self.line_start.min(length);
            self.forget_buffer();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn all(reader: &mut LineReader) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().unwrap() {
            lines.push(String::from_utf8(line.bytes).unwrap());
        }
        lines
    }

    #[test]
    fn segments_sort_by_number_and_foreign_names_are_no_segments() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["events-10.jsonl", "events-9.jsonl", "events-007.jsonl", "events-x.jsonl", LIVE, "a"] {
            File::create(dir.path().join(name)).unwrap();
        }
        let seqs: Vec<u64> = older(dir.path()).unwrap().iter().map(|o| o.first_seq).collect();
        assert_eq!(seqs, [9, 10]);
        assert_eq!(older(&dir.path().join("absent")).unwrap(), []);
    }

    #[test]
    fn unfinished_line_is_waited_for_and_may_be_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LIVE);
        let mut file = File::create(&path).unwrap();
        let mut reader = LineReader::open(&path).unwrap();
        file.write_all(b"one\ntw").unwrap();
        assert_eq!(all(&mut reader), ["one"]);
        assert_eq!(reader.offset(), 4);
        file.set_len(4).unwrap();
        drop(file);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"other\n").unwrap();
        assert_eq!(all(&mut reader), ["other"]);
        file.set_len(4).unwrap();
        reader.follow_cut().unwrap();
        file.write_all(b"third\n").unwrap();
        assert_eq!(all(&mut reader), ["third"]);
    }

    #[test]
    fn line_that_is_too_long_comes_empty_and_offsets_stay_right() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LIVE);
        for length in [LINE_BYTES_MAX, LINE_BYTES_MAX + 1, 3 * LINE_BYTES_MAX + 17] {
            let mut text = vec![b'x'; length];
            text.extend_from_slice(b"\nshort\n");
            std::fs::write(&path, &text).unwrap();
            let mut reader = LineReader::open(&path).unwrap();
            let first = reader.next_line().unwrap().unwrap();
            assert_eq!(first.bytes.len(), if length > LINE_BYTES_MAX { 0 } else { length }, "{length}");
            let second = reader.next_line().unwrap().unwrap();
            assert_eq!((second.offset, second.bytes.as_slice()), (length as u64 + 1, &b"short"[..]));
            assert_eq!(reader.next_line().unwrap(), None);
            assert_eq!(reader.offset(), text.len() as u64);
        }
    }
}
