//! The state directory: where it is, what is in it, and who may write to it.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rand::RngCore as _;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::spec::ContentKey;

/// The file of the key that names of secrets and configs are made with.
const CONTENT_KEY: &str = "content.key";
/// The file that says where the holder of the lock serves its API.
const API: &str = "api-address";
/// More than a URL that anybody listens at.
const API_BYTES_MAX: u64 = 4096;
/// More than a process id and a command line that is fit to show.
const HOLDER_BYTES_MAX: u64 = 512;

/// A state directory that is there.
#[derive(Clone, Debug)]
pub struct StateDir {
    path: PathBuf,
}

/// Why there is no state directory to work with; says the mend.
#[derive(Debug, thiserror::Error)]
pub enum StateDirError {
    #[error(
        "no state directory at {}; `skep run` makes it, or name another with --state-dir or SKEP_STATE_DIR",
        .0.display()
    )]
    Missing(PathBuf),
    #[error(
        "{} is not a directory; name another state directory with --state-dir or SKEP_STATE_DIR",
        .0.display()
    )]
    NotADirectory(PathBuf),
    #[error(
        "cannot use the state directory {}: {source}; let this user write there, or name another with \
         --state-dir or SKEP_STATE_DIR",
        path.display()
    )]
    Unusable { path: PathBuf, source: io::Error },
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process holds it.
    #[error("{} is in use by {holder}; wait for it to end, or stop it", path.display())]
    Held { path: PathBuf, holder: Holder },
    #[error("cannot lock {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Who holds the lock, as far as the lock file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    pub pid: Option<u32>,
    pub command: String,
}

/// Held as long as it lives; the system releases it when the process dies, however it dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
    /// Where the holder's API is told.
    api: PathBuf,
}

impl Lock {
    /// Tells others where the API of this process is, as long as it holds the lock.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn tell_api(&self, url: &str) -> io::Result<()> {
        let new = self.api.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(format!("{url}\n").as_bytes())?;
        std::fs::rename(&new, &self.api)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Whoever takes the lock next removes what a process left that was killed.
        let _ = std::fs::remove_file(&self.api);
    }
}

impl StateDir {
    /// Whether it looks as if some skep kept its state there: the key of the names is in it.
    pub fn is_one(path: &Path) -> bool {
        path.join(CONTENT_KEY).exists()
    }

    /// Opens the directory, and makes it (mode 0700) if it is not there.
    ///
    /// # Errors
    /// When something else is there, or it cannot be made.
    pub fn open(path: &Path) -> Result<Self, StateDirError> {
        match Self::existing(path) {
            Err(StateDirError::Missing(_)) => {}
            found => return found,
        }
        let unusable = |source| StateDirError::Unusable { path: path.to_owned(), source };
        let there = path.ancestors().position(Path::is_dir).unwrap_or_default();
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        for parent in path.ancestors().skip(1).take(there) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(unusable)?;
        }
        Self::existing(path)
    }

    /// Opens the directory for those who only read.
    ///
    /// # Errors
    /// When it is not there.
    pub fn existing(path: &Path) -> Result<Self, StateDirError> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self { path: path.to_owned() }),
            Ok(_) => Err(StateDirError::NotADirectory(path.to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StateDirError::Missing(path.to_owned())),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                Err(StateDirError::NotADirectory(path.to_owned()))
            }
            Err(source) => Err(StateDirError::Unusable { path: path.to_owned(), source }),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the event log is.
    pub fn events(&self) -> PathBuf {
        self.path.join("events")
    }

    /// Where the memory is.
    pub fn memory(&self) -> PathBuf {
        self.path.join("memory")
    }

    /// The cluster's key for names of secrets and configs; made (mode 0600) at its first use. The
    /// caller holds the lock.
    ///
    /// # Errors
    /// When it cannot be read or made, or is damaged: another one is never put in its place.
    pub fn content_key(&self) -> io::Result<ContentKey> {
        let path = self.path.join(CONTENT_KEY);
        if let Some(key) = read_key(&path)? {
            return Ok(key);
        }
        let mut bytes = [0; ContentKey::BYTES];
        rand::rng().fill_bytes(&mut bytes);
        let new = path.with_extension("new");
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, &path)?;
        File::open(&self.path)?.sync_all()?;
        Ok(ContentKey::new(bytes))
    }

    /// The key, if there is one that this user may read.
    pub fn existing_content_key(path: &Path) -> Option<ContentKey> {
        read_key(&path.join(CONTENT_KEY)).ok().flatten()
    }

    /// Where the process that holds the lock serves its API, if it serves one.
    pub fn api(path: &Path) -> Option<String> {
        let mut text = String::new();
        File::open(path.join(API)).ok()?.take(API_BYTES_MAX).read_to_string(&mut text).ok()?;
        Some(text.trim().to_owned()).filter(|url| !url.is_empty())
    }

    /// Takes the directory for this process, without waiting.
    ///
    /// # Errors
    /// `Held` when another process has it; it says which.
    pub fn lock(&self) -> Result<Lock, LockError> {
        let path = self.path.join("lock");
        let failed = |source| LockError::Io { path: path.clone(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                let holder = Holder::read(&mut file);
                return Err(LockError::Held { path: self.path.clone(), holder });
            }
            Err(e) => return Err(failed(e.into())),
        }
        // For people only; the lock is held whether or not this can be written.
        if let Err(error) = Holder::this_process().write(&mut file) {
            tracing::warn!(path = %path.display(), %error, "cannot note who holds the lock");
        }
        let lock = Lock { _file: file, api: self.path.join(API) };
        // Of one that died: nobody answers there, or somebody else does.
        let _ = std::fs::remove_file(&lock.api);
        Ok(lock)
    }
}

fn read_key(path: &Path) -> io::Result<Option<ContentKey>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(ContentKey::BYTES as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match bytes.try_into() {
        Ok(bytes) => Ok(Some(ContentKey::new(bytes))),
        Err(_) => {
            let message = format!("{} is damaged; bring it back from a backup, or remove it", path.display());
            Err(io::Error::new(io::ErrorKind::InvalidData, message))
        }
    }
}

impl Holder {
    fn this_process() -> Self {
        let arguments = std::env::args_os().take(2);
        let command: Vec<String> = arguments.map(|a| a.to_string_lossy().into_owned()).collect();
        Self { pid: Some(std::process::id()), command: command.join(" ") }
    }

    fn write(&self, file: &mut File) -> io::Result<()> {
        let text = format!("{} {}\n", self.pid.unwrap_or_default(), self.command);
        file.set_len(0)?;
        file.rewind()?;
        file.write_all(text.as_bytes())
    }

    /// What cannot be read is left out: the message is good without it.
    fn read(file: &mut File) -> Self {
        let mut text = String::new();
        let _ = file.take(HOLDER_BYTES_MAX).read_to_string(&mut text);
        let (pid, command) = text.trim_end().split_once(' ').unwrap_or((text.trim_end(), ""));
        Self { pid: pid.parse().ok(), command: crate::events::text::clean(command, 200) }
    }
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.pid, self.command.as_str()) {
            (None, _) => f.write_str("another process"),
            (Some(pid), "") => write!(f, "process {pid}"),
            (Some(pid), command) => write!(f, "process {pid} (`{command}`)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn makes_a_private_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/.skep");
        assert!(matches!(StateDir::existing(&path), Err(StateDirError::Missing(_))));
        let state = StateDir::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(state.events(), path.join("events"));
        StateDir::open(&path).unwrap();
    }

    #[test]
    fn says_what_is_wrong_and_the_mend() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let check = |result: Result<StateDir, StateDirError>, words: &[&str]| {
            let text = result.unwrap_err().to_string();
            for word in words {
                assert!(text.contains(word), "{text}");
            }
        };
        check(StateDir::open(&file), &["file is not a directory", "--state-dir"]);
        check(StateDir::open(&file.join("below")), &["file/below", "--state-dir"]);
        check(
            StateDir::existing(&dir.path().join("x")),
            &["no state directory at", "/x", "skep run", "--state-dir"],
        );
    }

    #[test]
    fn one_holder_at_a_time_and_its_name_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let lock = state.lock().unwrap();
        let error = state.lock().unwrap_err();
        let LockError::Held { holder, .. } = &error else { panic!("{error}") };
        assert_eq!(holder.pid, Some(std::process::id()));
        assert!(error.to_string().contains(&format!("process {} (`", std::process::id())), "{error}");
        drop(lock);
        drop(state.lock().unwrap());
        // Rubbish in the file hinders nobody.
        std::fs::write(dir.path().join("lock"), [0xff, 0x1b, b'[', 0]).unwrap();
        let _lock = state.lock().unwrap();
    }

    #[test]
    fn the_api_is_told_as_long_as_the_lock_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        assert_eq!(StateDir::api(dir.path()), None);
        let lock = state.lock().unwrap();
        lock.tell_api("http://127.0.0.1:1").unwrap();
        lock.tell_api("http://127.0.0.1:2").unwrap();
        assert_eq!(StateDir::api(dir.path()).as_deref(), Some("http://127.0.0.1:2"));
        assert!(state.lock().is_err());
        assert!(StateDir::api(dir.path()).is_some(), "who was refused takes nothing away");
        drop(lock);
        assert_eq!(StateDir::api(dir.path()), None);
        // What a killed process left is no word of the next holder's.
        std::fs::write(dir.path().join(API), "http://127.0.0.1:3\n").unwrap();
        let _lock = state.lock().unwrap();
        assert_eq!(StateDir::api(dir.path()), None);
    }

    #[test]
    fn holder_that_cannot_be_read_is_another_process() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let _lock = state.lock().unwrap();
        std::fs::write(dir.path().join("lock"), b"\x1b[31m").unwrap();
        let text = state.lock().unwrap_err().to_string();
        assert!(text.contains("in use by another process"), "{text}");
    }

    /// The text only tells people who holds the lock; the lock is held without it.
    #[test]
    fn full_disk_and_damage_hinder_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateDir::open(dir.path()).unwrap();
        let path = dir.path().join("lock");
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let lock = state.lock().unwrap();
        let text = state.lock().unwrap_err().to_string();
        assert!(text.contains("in use by another process"), "{text}");
        drop(lock);
        std::fs::remove_file(&path).unwrap();
        drop(state.lock().unwrap());
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x80;
            for text in [&flipped, &whole[..at]] {
                let held = state.lock().unwrap();
                std::fs::write(&path, text).unwrap();
                let error = state.lock().unwrap_err();
                assert!(matches!(&error, LockError::Held { .. }), "{error}");
                assert!(!error.to_string().chars().any(char::is_control), "{error}");
                drop(held);
            }
        }
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        let error = state.lock().unwrap_err().to_string();
        assert!(error.contains("cannot lock") && error.contains("/lock"), "{error}");
    }
}
