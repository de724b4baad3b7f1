//! The directory of a demo, which goes with it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Holds all that a demo writes. Removed when dropped.
pub(super) struct Place {
    path: PathBuf,
    /// Whether the directory itself is ours, not only what is in it.
    made: bool,
    removed: bool,
}

impl Place {
    /// A new temporary directory, or the one that is named, which must be empty or not there.
    ///
    /// # Errors
    /// When there is something in it, or it cannot be made.
    pub(super) fn new(named: Option<&Path>) -> anyhow::Result<Self> {
        let path = match named {
            Some(path) => std::path::absolute(path).with_context(|| format!("{}", path.display()))?,
            None => std::env::temp_dir().join(format!("skep-demo-{}", short_id())),
        };
        let made = match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error).context(format!("cannot make {}", path.display())),
        };
        let empty = || fs::read_dir(&path).map(|mut entries| entries.next().is_none());
        if !made && !empty().with_context(|| format!("cannot read {}", path.display()))? {
            bail!("{} is not empty; name a directory that is, or one that is not there", path.display());
        }
        Ok(Self { path, made, removed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn specs(&self) -> PathBuf {
        self.path.join("specs")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.path.join("docker.sock")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.path.join("skep.toml")
    }

    pub(super) fn password(&self) -> PathBuf {
        self.path.join("registry-password")
    }

    /// What removes it when nothing else can any more.
    pub(super) fn undo(&self) -> impl FnOnce() -> io::Result<()> + Send + use<> {
        let (path, made) = (self.path.clone(), self.made);
        move || clear(&path, made)
    }

    /// Removes what was made.
    ///
    /// # Errors
    /// When something stays.
    pub(super) fn remove(mut self) -> anyhow::Result<()> {
        self.removed = true;
        clear(&self.path, self.made).with_context(|| format!("cannot remove {}", self.path.display()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.removed {
            // On the way out of another error, which is the one to tell.
            drop(clear(&self.path, self.made));
        }
    }
}

/// Short, for the path of a socket is at most a hundred bytes or so.
fn short_id() -> String {
    let id = uuid::Uuid::now_v7().simple().to_string();
    id[id.len() - 8..].to_owned()
}

fn clear(path: &Path, whole: bool) -> io::Result<()> {
    if whole {
        return fs::remove_dir_all(path);
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_removed_and_no_more() {
        let outer = tempfile::tempdir().unwrap();
        let named = outer.path().join("demo");
        let place = Place::new(Some(&named)).unwrap();
        fs::create_dir(place.specs()).unwrap();
        fs::write(place.specs().join("a.toml"), "").unwrap();
        place.remove().unwrap();
        assert!(!named.exists());

        fs::create_dir(&named).unwrap();
        let place = Place::new(Some(&named)).unwrap();
        fs::create_dir(place.state()).unwrap();
        fs::write(place.config(), "").unwrap();
        drop(place);
        assert!(named.exists(), "the directory was there before");
        assert_eq!(fs::read_dir(&named).unwrap().count(), 0);

        fs::write(named.join("mine"), "").unwrap();
        let error = Place::new(Some(&named)).err().unwrap();
        assert!(error.to_string().contains("is not empty"), "{error}");
        assert!(named.join("mine").exists());
    }

    #[test]
    fn a_temporary_one_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::new(None).unwrap();
        let path = place.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(place);
        assert!(!path.exists());
    }
}
