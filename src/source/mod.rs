//! Where specs come from: a directory of TOML files (contract §1), read as text and watched.

mod contents;
mod directory;
pub mod git;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub use contents::{Beside, Standing};
pub use directory::{Changes, Reader, read};
pub use watch::{Debounce, Watch, watch};

/// What a specs directory held at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The text of each `*.toml`, by path relative to the directory, `/` between parts.
    pub files: BTreeMap<String, String>,
    /// What could not be read; the rest is good.
    pub problems: Vec<Problem>,
}

/// Where something may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Nobody knows.
    Anywhere,
    /// At these paths only, as in [`Snapshot::files`]; not each need be of a spec.
    Files(BTreeSet<String>),
}

/// A file or folder that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// As in `Snapshot::files`; for a folder, everything beneath it is unknown.
    pub file: String,
    /// What is wrong, and the mend.
    pub message: String,
    /// It could not be read, so nobody can tell; else what it is makes it no valid spec.
    pub unread: bool,
}

impl Snapshot {
    /// Whether the directory may well hold this file although it is not in `files`: it, or
    /// a folder above it, could not be read. Such a file must not be taken for removed.
    pub fn is_unknown(&self, file: &str) -> bool {
        self.problems.iter().any(|problem| problem.covers(file))
    }
}

impl Problem {
    /// Whether it is about this file, or about a folder above it.
    pub fn covers(&self, file: &str) -> bool {
        file.strip_prefix(self.file.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Why nothing can be said about the specs. Never to be taken for "there are no specs".
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("no specs directory at {}; make it, or name another with --specs or SKEP_SPECS", .0.display())]
    Missing(PathBuf),
    #[error("{} is not a directory; name the folder that holds the specs with --specs or SKEP_SPECS", .0.display())]
    NotADirectory(PathBuf),
    #[error("cannot read the specs directory {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error(
        "{} holds more than {limit} files and folders; is it the right directory? \
         Name another with --specs or SKEP_SPECS",
        path.display()
    )]
    TooMany { path: PathBuf, limit: usize },
    #[error("git: {0}")]
    Git(git::GitError),
    /// The first fetch is still under way.
    #[error("git: the first commit is being fetched")]
    Pending,
}
