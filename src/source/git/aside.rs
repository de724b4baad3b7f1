//! A repository for one look, in the folder for temporary files. One that a killed skep has left there is removed by
//! the next look.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};

use super::{GitError, Repository, Trouble};
use crate::config::GitConfig;

/// What the names of such folders begin with.
const PREFIX: &str = "skep-git-";
/// The same of a folder that is being made.
const UNMADE: &str = ".skep-git-";
/// In each: locked by the skep that uses it, as long as that lives. So no process number is asked for, which may be
/// another's.
const OWNER: &str = "owner";
/// One that is being made is that no longer after this.
const UNMADE_MAX: Duration = Duration::from_secs(3600);

/// A folder for as long as this lives.
pub(super) struct Aside {
    dir: PathBuf,
    _owner: File,
}

impl Aside {
    /// Makes one beneath `place`, and removes those there that nobody uses any more.
    pub(super) fn new(place: &Path, config: &GitConfig) -> Result<Self, GitError> {
        sweep(place, config);
        let name = uuid::Uuid::now_v7();
        let dir = place.join(format!("{PREFIX}{name}"));
        Self::make(&place.join(format!("{UNMADE}{name}")), dir.clone())
            .map_err(|error| GitError::new(Trouble::Local, format!("cannot make {}: {error}", dir.display())))
    }

    /// It has its name only once its owner is known, so that nobody takes it for one that is left.
    fn make(unmade: &Path, dir: PathBuf) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(unmade)?;
        let owner = owner_of(unmade, true)?;
        flock(&owner, FlockOperation::NonBlockingLockExclusive)?;
        fs::rename(unmade, &dir)?;
        Ok(Self { dir, _owner: owner })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        remove(&self.dir);
    }
}

fn owner_of(dir: &Path, create: bool) -> io::Result<File> {
    let no_links = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(create).custom_flags(no_links).mode(0o600);
    options.open(dir.join(OWNER))
}

fn remove(dir: &Path) {
    if let Err(error) = fs::remove_dir_all(dir) {
        tracing::debug!(dir = %dir.display(), %error, "cannot remove a temporary repository");
    }
}

/// Removes what skeps of this user that died have left.
fn sweep(place: &Path, config: &GitConfig) {
    for entry in fs::read_dir(place).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_made = name.starts_with(PREFIX);
        if !is_made && !name.starts_with(UNMADE) {
            continue;
        }
        let dir = entry.path();
        // Of the entry itself: a link leads nowhere here, and what others own is theirs.
        let Ok(metadata) = entry.metadata() else { continue };
        let is_ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
        if is_ours && (is_made && is_left(&dir) || !is_made && is_old(&metadata)) {
            tracing::info!(dir = %dir.display(), "removing a repository that an earlier look has left");
            // Ends a git that goes on there, if there is one.
            let _hold = Repository::at(config, dir.clone()).hold();
            remove(&dir);
        }
    }
}

/// Whether the skep that made it is no more.
fn is_left(dir: &Path) -> bool {
    match owner_of(dir, false) {
        Ok(owner) => flock(&owner, FlockOperation::NonBlockingLockExclusive).is_ok(),
        // Of a skep that knew no owners, or half removed.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::metadata(dir).is_ok_and(|metadata| is_old(&metadata))
        }
        Err(_) => false,
    }
}

fn is_old(metadata: &fs::Metadata) -> bool {
    let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
    age.is_some_and(|age| age > UNMADE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(place: &Path) -> Vec<String> {
        let names = fs::read_dir(place).unwrap().flatten().map(|entry| entry.file_name());
        let mut names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn what_a_dead_skep_left_is_removed_and_nothing_else() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path();
        let config = super::super::tests::config();
        let first = Aside::new(place, &config).unwrap();
        assert!(first.dir().is_dir());
        // As one leaves it that is killed: the lock ends with it.
        let left = Aside::new(place, &config).unwrap();
        let dead = left.dir().to_owned();
        fs::write(dead.join("pack"), "x").unwrap();
        let Aside { _owner, .. } = &left;
        flock(_owner, FlockOperation::Unlock).unwrap();
        std::mem::forget(left);
        fs::create_dir(place.join("skep-git-of-old-and-young")).unwrap();
        fs::create_dir(place.join(".skep-git-being-made")).unwrap();
        fs::create_dir(place.join("skep-other")).unwrap();
        fs::write(place.join("skep-git-a-file"), "x").unwrap();
        fs::create_dir(place.join("target")).unwrap();
        fs::write(place.join("target/owner"), "").unwrap();
        std::os::unix::fs::symlink(place.join("target"), place.join("skep-git-link")).unwrap();
        let before = entries(place);
        let second = Aside::new(place, &config).unwrap();
        assert!(!dead.exists() && first.dir().is_dir() && second.dir().is_dir());
        assert!(place.join("target/owner").is_file());
        drop(second);
        assert_eq!(entries(place).len(), before.len() - 1, "all else stays: {before:?}");
        drop(first);
        assert_eq!(entries(place).len(), before.len() - 2);
    }
}
