//! What skep asks of the file system where nothing may be lost. Tests put one in its place
//! that fails, or that forgets what was not synced.

#[cfg(test)]
pub(crate) mod model;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod no_sync;

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

pub trait Files: Debug + Send + Sync {
    /// Opens for appending, and creates what is not there.
    fn append(&self, path: &Path) -> io::Result<Box<dyn Writable>>;
    /// Creates, or empties what is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Writable>>;
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

pub trait Writable: Send {
    /// Appends all of `bytes`, or some of them and fails.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Makes the content and length durable; not the name.
    fn sync(&mut self) -> io::Result<()>;
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

#[derive(Debug)]
pub struct Real;

impl Files for Real {
    fn append(&self, path: &Path) -> io::Result<Box<dyn Writable>> {
        Ok(Box::new(OpenOptions::new().append(true).create(true).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Writable>> {
        Ok(Box::new(File::create(path)?))
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

impl Writable for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }
}

/// Makes `dir`, and its parents where they are not there. What was made is durable, and so is
/// `dir` if it was there already, for whoever made it may have died before that.
///
/// # Errors
/// When one cannot be made or synced; the message names it.
pub(crate) fn make_dirs(files: &dyn Files, dir: &Path) -> io::Result<()> {
    let Some(parent) = dir.parent() else { return Ok(()) };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    if !dir.is_dir() {
        if !parent.is_dir() {
            make_dirs(files, parent)?;
        }
        match files.make_dir(dir) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(at(dir, e)),
            _ => {}
        }
    }
    files.sync_dir(parent).map_err(|e| at(parent, e))
}

/// Says which file an error is about.
pub(crate) fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
