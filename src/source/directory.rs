//! Reads a specs directory as one snapshot.
//!
//! What one file does wrong is a problem of that file. The tree is listed before and after
//! it is read, and read again when the two differ, so that an editor's save or a `git pull`
//! under way is not taken for a missing or half a spec.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::{Problem, Snapshot, SourceError};

mod touched;

/// The largest fleet that is measured has ten thousand customers; more than twice that is a wrong
/// directory. Counts everything listed.
const ENTRIES_MAX: usize = 20_000;

/// Folders only group; deeper is a mistake.
const DEPTH_MAX: usize = 32;

/// A spec has a few kilobytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// How often a tree that changes under the reader is read before what does not stand still
/// is called a problem.
const TRIES: usize = 3;

/// Reads all specs beneath `dir`: `*.toml`, names that begin with a dot left out.
///
/// # Errors
/// When nothing can be said about the directory as a whole; the last good state holds then.
pub fn read(dir: &Path) -> Result<Snapshot, SourceError> {
    let mut reader = Reader::default();
    let problems = reader.read(dir)?.problems;
    let files = reader.known.into_iter().map(|(file, known)| (file, String::from(&*known.text)));
    Ok(Snapshot { files: files.collect(), problems })
}

/// Reads a directory again and again; of files that stand as they stood, the text is not read again.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    known: BTreeMap<String, Known>,
    /// The directory without symlinks, if every file beneath it has one name only and could be read.
    plain: Option<PathBuf>,
}

/// What a reading found to be otherwise.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Files that are new or have another text.
    pub changed: BTreeSet<String>,
    /// Files that are gone, or cannot be read any more.
    pub gone: BTreeSet<String>,
    /// As in [`Snapshot::problems`].
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug)]
struct Known {
    stamp: Stamp,
    /// It was written so long before it was read that another text would have another stamp.
    settled: bool,
    text: Arc<str>,
}

impl Reader {
    /// Reads what may have changed since the last time.
    ///
    /// # Errors
    /// As [`read`]; what was read before stays.
    pub fn read(&mut self, dir: &Path) -> Result<Changes, SourceError> {
        self.plain = None;
        let mut before = list(dir)?;
        let mut tries = 1;
        let (known, problems) = loop {
            let (known, problems) = self.texts(&before);
            let after = list(dir)?;
            if after == before {
                break (known, problems);
            }
            if tries == TRIES {
                break without_moving(known, problems, &before, &after);
            }
            before = after;
            tries += 1;
        };
        self.plain = (problems.is_empty() && !before.has_symlinks).then_some(before.root);
        let before = std::mem::replace(&mut self.known, known);
        Ok(self.since(before, problems))
    }

    /// Puts what was read elsewhere in the place of what was read before.
    pub fn replace(&mut self, snapshot: Snapshot) -> Changes {
        let stamp = Stamp::default();
        let known = |text: String| Known { stamp, settled: false, text: Arc::from(text) };
        let files = snapshot.files.into_iter().map(|(file, text)| (file, known(text))).collect();
        let before = std::mem::replace(&mut self.known, files);
        self.plain = None;
        self.since(before, snapshot.problems)
    }

    /// What is otherwise than it was before.
    fn since(&self, before: BTreeMap<String, Known>, problems: Vec<Problem>) -> Changes {
        let is_new =
            |(file, now): &(&String, &Known)| before.get(*file).is_none_or(|old| old.text != now.text);
        Changes {
            changed: self.known.iter().filter(is_new).map(|(file, _)| file.clone()).collect(),
            gone: before.into_keys().filter(|file| !self.known.contains_key(file)).collect(),
            problems,
        }
    }

    /// The files that could be read, with their text, by path as in [`Snapshot::files`].
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.known.iter().map(|(file, known)| (file.as_str(), &*known.text))
    }

    /// The text of a file that could be read.
    pub fn text(&self, file: &str) -> Option<Arc<str>> {
        self.known.get(file).map(|known| Arc::clone(&known.text))
    }

    fn texts(&self, listing: &Listing) -> (BTreeMap<String, Known>, Vec<Problem>) {
        let settled_before = seconds_now() - SETTLED_SECONDS;
        let mut known = BTreeMap::new();
        let mut problems = listing.problems.clone();
        for (file, found) in &listing.files {
            let held = self.known.get(file).filter(|held| held.settled && held.stamp == found.stamp);
            let text = match held {
                Some(held) => Ok(Arc::clone(&held.text)),
                None => read_file(&found.path).map(Arc::from),
            };
            match text {
                Ok(text) => {
                    let settled = found.stamp.changed.0.max(found.stamp.modified.0) < settled_before;
                    known.insert(file.clone(), Known { stamp: found.stamp, settled, text });
                }
                Err((message, unread)) => problems.push(Problem { file: file.clone(), message, unread }),
            }
        }
        (known, problems)
    }
}

/// Times of files are coarse: one that was written just now may be written again without another stamp.
const SETTLED_SECONDS: i64 = 2;

fn seconds_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Takes out what changed while it was read.
fn without_moving(
    mut known: BTreeMap<String, Known>,
    mut problems: Vec<Problem>,
    before: &Listing,
    after: &Listing,
) -> (BTreeMap<String, Known>, Vec<Problem>) {
    for file in before.files.keys().chain(after.files.keys()) {
        let told = problems.iter().any(|problem| problem.covers(file));
        if before.files.get(file) != after.files.get(file) && !told {
            known.remove(file);
            let message = "kept changing while it was read; it is read again at the next look".into();
            problems.push(Problem { file: file.clone(), message, unread: true });
        }
    }
    (known, problems)
}

/// What the tree looks like without its text.
#[derive(Debug, Default, PartialEq, Eq)]
struct Listing {
    /// Without symlinks.
    root: PathBuf,
    has_symlinks: bool,
    files: BTreeMap<String, Found>,
    problems: Vec<Problem>,
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    /// With no symlink in it.
    path: PathBuf,
    stamp: Stamp,
}

/// Changes when a file does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

fn list(dir: &Path) -> Result<Listing, SourceError> {
    let root = fs::canonicalize(dir).map_err(|e| whole(dir, e))?;
    let mut walk = Walk { root: &root, listing: Listing::default(), seen: 0 };
    let entries = fs::read_dir(&root).map_err(|e| whole(dir, e))?;
    let folders = vec![root.clone()];
    match walk.folder("", entries, &folders) {
        Ok(()) => Ok(Listing { root: root.clone(), ..walk.listing }),
        Err(Stop::TooMany) => Err(SourceError::TooMany { path: dir.to_owned(), limit: ENTRIES_MAX }),
        Err(Stop::Root(source)) => Err(whole(dir, source)),
    }
}

fn whole(dir: &Path, source: io::Error) -> SourceError {
    let path = dir.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => SourceError::Missing(path),
        io::ErrorKind::NotADirectory => SourceError::NotADirectory(path),
        _ => SourceError::Unreadable { path, source },
    }
}

/// What ends the walk without a listing.
enum Stop {
    TooMany,
    /// The directory itself broke off.
    Root(io::Error),
}

struct Walk<'a> {
    root: &'a Path,
    listing: Listing,
    seen: usize,
}

impl Walk<'_> {
    /// `folders` are the folders that we are in, without symlinks, outermost first.
    fn folder(&mut self, prefix: &str, entries: fs::ReadDir, folders: &[PathBuf]) -> Result<(), Stop> {
        let mut found = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => found.push((entry.file_name(), entry)),
                Err(e) if prefix.is_empty() => return Err(Stop::Root(e)),
                Err(e) => {
                    self.unread(prefix, &e);
                    return Ok(());
                }
            }
            self.seen += 1;
            if self.seen > ENTRIES_MAX {
                return Err(Stop::TooMany);
            }
        }
        // The order of a directory is chance; problems are to come in the same order each time.
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        for (name, entry) in found {
            let shown = name.to_string_lossy();
            if shown.starts_with('.') {
                continue;
            }
            let file = if prefix.is_empty() { shown.to_string() } else { format!("{prefix}/{shown}") };
            let parent = folders.last().map_or(self.root, PathBuf::as_path);
            self.entry(&file, &parent.join(&name), &entry, folders)?;
        }
        Ok(())
    }

    fn entry(&mut self, file: &str, path: &Path, entry: &DirEntry, folders: &[PathBuf]) -> Result<(), Stop> {
        let is_spec = file.ends_with(".toml");
        let resolved = entry.metadata().and_then(|metadata| match metadata.is_symlink() {
            true => fs::canonicalize(path).and_then(|p| fs::metadata(&p).map(|m| (p, m))),
            // The folder is named without symlinks.
            false => Ok((path.to_owned(), metadata)),
        });
        self.listing.has_symlinks |= entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let (real, metadata) = match resolved {
            Ok(found) => found,
            Err(error) => {
                self.unresolved(file, path, is_spec, &error);
                return Ok(());
            }
        };
        if !metadata.is_dir() && !is_spec {
            return Ok(());
        }
        if !real.starts_with(self.root) {
            let target = real.display();
            self.problem(file, format!("leads out of the specs directory, to {target}; put a copy here"));
        } else if metadata.is_dir() {
            return self.enter(file, real, folders);
        } else if file.contains('\u{fffd}') && path.to_str().is_none() {
            self.problem(file, "its name is not UTF-8; rename it".into());
        } else if !metadata.is_file() {
            self.problem(file, "is not a regular file".into());
        } else if metadata.size() > FILE_BYTES_MAX {
            self.problem(file, too_large());
        } else {
            let stamp = Stamp::of(&metadata);
            self.listing.files.insert(file.to_owned(), Found { path: real, stamp });
        }
        Ok(())
    }

    fn unresolved(&mut self, file: &str, path: &Path, is_spec: bool, error: &io::Error) {
        let link = fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
        match error.kind() {
            // Gone since the folder was listed; the second listing tells.
            io::ErrorKind::NotFound if !link => {}
            io::ErrorKind::NotFound if is_spec => {
                self.problem(file, "is a symlink that leads nowhere".into());
            }
            // A dangling link that is no spec by its name is nobody's concern.
            io::ErrorKind::NotFound => {}
            _ => self.unread(file, error),
        }
    }

    fn enter(&mut self, file: &str, real: PathBuf, folders: &[PathBuf]) -> Result<(), Stop> {
        if folders.contains(&real) {
            self.problem(file, "is a symlink to a folder that it is in".into());
            return Ok(());
        }
        if folders.len() > DEPTH_MAX {
            self.problem(file, format!("lies more than {DEPTH_MAX} folders deep"));
            return Ok(());
        }
        match fs::read_dir(&real) {
            Ok(entries) => {
                let mut inner = folders.to_vec();
                inner.push(real);
                self.folder(file, entries, &inner)
            }
            Err(error) => {
                self.unread(file, &error);
                Ok(())
            }
        }
    }

    fn problem(&mut self, file: &str, message: String) {
        self.listing.problems.push(Problem { file: file.to_owned(), message, unread: false });
    }

    fn unread(&mut self, file: &str, error: &io::Error) {
        let message = cannot_be_read(error);
        self.listing.problems.push(Problem { file: file.to_owned(), message, unread: true });
    }
}

fn too_large() -> String {
    format!("is larger than {} KiB; a spec has a few", FILE_BYTES_MAX / 1024)
}

fn cannot_be_read(error: &io::Error) -> String {
    format!("cannot be read: {error}")
}

/// An error is what is wrong, and whether that is that it could not be read.
fn read_file(path: &Path) -> Result<String, (String, bool)> {
    let bytes = open(path)
        .and_then(|file| read_bounded(&file, FILE_BYTES_MAX))
        .map_err(|e| (cannot_be_read(&e), true))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err((too_large(), false));
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = &e.as_bytes()[..e.utf8_error().valid_up_to()];
        let line = good.iter().filter(|b| **b == b'\n').count() + 1;
        (format!("line {line} is not UTF-8; save the file with that encoding"), false)
    })
}

/// Does not wait for the other end if somebody put a pipe there since the listing.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let no_wait = rustix::fs::OFlags::NONBLOCK.bits();
    OpenOptions::new().read(true).custom_flags(no_wait.cast_signed()).open(path)
}

/// One byte more than `bytes_max` tells that there is more.
pub(super) fn read_bounded(file: &File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
