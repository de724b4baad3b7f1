//! A git repository as the source of specs: fetched into a bare repository in the state
//! directory, and read from its object store at one commit.
//!
//! Nothing is ever checked out, and no hook, filter, submodule or symlink is followed. The
//! `git` program is used, with argument lists (ADR 3).

mod access;
mod aside;
mod beside;
mod command;
mod fetch;
mod fetcher;
mod hold;
mod listing;
mod tree;
mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sha2::{Digest as _, Sha256};

use super::{Snapshot, SourceError};
use aside::Aside;
pub use fetcher::{Feed, Fetcher, Poke, State};

use crate::config::GitConfig;
use crate::spec::Content;

/// The repository's folder in the state directory.
const FOLDER: &str = "git";

/// A commit, as people name it. All text is fit to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub commit: String,
    pub author: String,
    pub subject: String,
    /// Seconds since 1970, as the commit says.
    pub time: i64,
}

impl Revision {
    /// Who did what, for the message of an event.
    pub fn told(&self) -> String {
        let short = self.commit.get(..12).unwrap_or(&self.commit);
        format!("commit {short} by {}: {}", self.author, self.subject)
    }
}

/// The specs at one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    pub revision: Revision,
    pub snapshot: Snapshot,
    /// What stands at the paths that the specs name: secrets, configs, `env_file`.
    pub beside: Arc<BTreeMap<String, Content>>,
}

/// What kind of trouble it is: the same kind is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server does not answer, or not as it should.
    Unreachable,
    /// The branch or tag is not there.
    Missing,
    /// The commit is there and not accepted.
    Refused,
    /// Something is wrong on this machine: no `git`, a full disk.
    Local,
}

/// Why there is no new commit to use. The message is fit to print and holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GitError {
    pub trouble: Trouble,
    pub message: String,
}

impl GitError {
    fn new(trouble: Trouble, message: impl Into<String>) -> Self {
        Self { trouble, message: message.into() }
    }
}

/// A configured source with its bare repository.
#[derive(Clone, Debug)]
pub struct Repository {
    config: GitConfig,
    dir: PathBuf,
    /// What was recorded for another URL or branch is not ours.
    refs: String,
    /// Set when nobody waits for the answer any more.
    cancelled: Arc<AtomicBool>,
}

impl Repository {
    /// The repository in the state directory; nothing is made or fetched yet.
    pub fn new(config: &GitConfig, state_dir: &Path) -> Self {
        Self::at(config, state_dir.join(FOLDER))
    }

    fn at(config: &GitConfig, dir: PathBuf) -> Self {
        let digest = Sha256::digest(format!("{}\0{}", config.url, config.remote_ref()));
        let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Self {
            config: config.clone(),
            dir: std::path::absolute(&dir).unwrap_or(dir),
            refs: format!("refs/skep/{name}"),
            cancelled: Arc::default(),
        }
    }

    /// The specs of the last good commit, if there is one. Writes nothing.
    ///
    /// # Errors
    /// When the repository is there and cannot be read.
    pub fn last_good(&self) -> Result<Option<Tree>, GitError> {
        if !self.dir.join("HEAD").is_file() {
            return Ok(None);
        }
        match self.resolve(&self.good())? {
            Some(commit) => self.tree(&commit).map(Some),
            None => Ok(None),
        }
    }

    fn seen(&self) -> String {
        format!("{}/seen", self.refs)
    }

    fn good(&self) -> String {
        format!("{}/good", self.refs)
    }
}

/// The specs of the last good commit, for commands that only look.
///
/// # Errors
/// When nothing was fetched yet, or it cannot be read.
pub fn read_last(config: &GitConfig, state_dir: &Path) -> Result<Tree, SourceError> {
    let tree = Repository::new(config, state_dir).last_good().map_err(SourceError::Git)?;
    tree.ok_or_else(|| {
        let message = "no commit was fetched yet; `skep run` or `skep apply` does it".to_owned();
        SourceError::Git(GitError::new(Trouble::Missing, message))
    })
}

/// Fetches into the state directory and gives the specs of the commit. Holders of the
/// state directory's lock only.
///
/// # Errors
/// When the newest commit cannot be had or is refused.
pub fn fetch(config: &GitConfig, state_dir: &Path) -> Result<Tree, SourceError> {
    Repository::new(config, state_dir).fetch().map_err(SourceError::Git)
}

/// Fetches beside the state directory, in which nothing is written: for `skep plan`.
///
/// # Errors
/// As `fetch`.
pub fn look(config: &GitConfig) -> Result<Tree, SourceError> {
    let aside = Aside::new(&std::env::temp_dir(), config).map_err(SourceError::Git)?;
    Repository::at(config, aside.dir().to_owned()).fetch().map_err(SourceError::Git)
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn config() -> GitConfig {
        GitConfig {
            url: "file:///nowhere".to_owned(),
            branch: None,
            tag: None,
            path: String::new(),
            interval: std::time::Duration::from_secs(60),
            timeout: std::time::Duration::from_secs(60),
            depth: 1,
            access: crate::config::GitAccess::None,
            ca_file: None,
            verify: false,
            allowed_signers_file: None,
            gpg_keyring_file: None,
            follow_force_push: false,
        }
    }
}
