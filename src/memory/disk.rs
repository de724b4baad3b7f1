//! The memory on disk: one small JSON file a service or repository, replaced whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest as _, Sha256};

use super::{HoldMemory, Memory, Removed, RepositoryMemory, ServiceMemory, in_memory};
use crate::files::{Files, Real, at, make_dirs};

/// Raised when the files' meaning changes; a newer one is refused rather than misread.
const FORMAT: u32 = 1;

/// Writers of different names need not wait for each other's disk.
const WRITE_LOCKS: usize = 64;

/// File systems take 255 bytes; the suffixes `.json.corrupt` and `.json.tmp` must fit too.
const FILE_STEM_BYTES_MAX: usize = 200;

/// Whether what is put is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// For commands that change nothing: `put` changes the copy in memory only, and a
    /// directory that is not there is an empty memory.
    ReadOnly,
    /// The lock of the state directory must be held.
    ReadWrite,
}

/// The store under `<state>/memory`.
#[derive(Debug)]
pub struct Disk {
    services: Store<ServiceMemory>,
    repositories: Store<RepositoryMemory>,
    holds: Store<HoldMemory>,
}

impl Disk {
    /// Reads everything that is remembered. A file that cannot be understood is told as a
    /// warning and taken as absent (moved aside to `*.corrupt` unless read-only).
    ///
    /// # Errors
    /// When the directory or a file in it cannot be read (or made), or a newer skep wrote it.
    pub fn open(dir: &Path, mode: Mode) -> io::Result<Self> {
        Self::on(Arc::new(Real), dir, mode)
    }

    /// `open` on this file system.
    ///
    /// # Errors
    /// As `open`.
    pub fn on(files: Arc<dyn Files>, dir: &Path, mode: Mode) -> io::Result<Self> {
        if mode == Mode::ReadWrite {
            make_dirs(files.as_ref(), dir)?;
        }
        Ok(Self {
            services: Store::open(Arc::clone(&files), dir.join("services"), mode)?,
            repositories: Store::open(Arc::clone(&files), dir.join("repositories"), mode)?,
            holds: Store::open(files, dir.join("holds"), mode)?,
        })
    }
}

impl Memory for Disk {
    fn service(&self, name: &str) -> ServiceMemory {
        self.services.get(name)
    }

    fn removed(&self) -> BTreeMap<String, Removed> {
        in_memory::removed(&self.services.values.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_service(&self, name: &str, memory: ServiceMemory) -> io::Result<()> {
        self.services.put(name, memory.bounded())
    }

    fn repository(&self, name: &str) -> RepositoryMemory {
        self.repositories.get(name)
    }

    fn put_repository(&self, name: &str, memory: RepositoryMemory) -> io::Result<()> {
        self.repositories.put(name, memory)
    }

    fn hold(&self, name: &str) -> HoldMemory {
        self.holds.get(name)
    }

    fn holds(&self) -> BTreeMap<String, HoldMemory> {
        self.holds.values.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put_hold(&self, name: &str, memory: HoldMemory) -> io::Result<()> {
        self.holds.put(name, memory)
    }
}

/// What stands in a file. The name is inside, for the file's own name may be a hash.
#[derive(Serialize, Deserialize)]
struct Stored<T> {
    format: u32,
    name: String,
    memory: T,
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Debug)]
struct Store<T> {
    files: Arc<dyn Files>,
    dir: PathBuf,
    mode: Mode,
    values: RwLock<BTreeMap<String, T>>,
    locks: Vec<Mutex<()>>,
    /// Names whose last write failed, so that nobody knows what is on disk.
    unsure: Mutex<BTreeSet<String>>,
}

impl<T: Clone + Default + PartialEq + Serialize + DeserializeOwned> Store<T> {
    fn open(files: Arc<dyn Files>, dir: PathBuf, mode: Mode) -> io::Result<Self> {
        if mode == Mode::ReadWrite {
            make_dirs(files.as_ref(), &dir)?;
            // Who put the last one there may have been killed before it was durable, and from
            // now on it counts.
            files.sync_dir(&dir).map_err(|e| at(&dir, e))?;
        }
        let values = RwLock::new(load(files.as_ref(), &dir, mode)?);
        Ok(Self {
            files,
            dir,
            mode,
            values,
            locks: (0..WRITE_LOCKS).map(|_| Mutex::new(())).collect(),
            unsure: Mutex::default(),
        })
    }

    fn get(&self, name: &str) -> T {
        self.values.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    fn put(&self, name: &str, value: T) -> io::Result<()> {
        let _turn = lock(&self.locks[shard(name)]);
        if self.mode == Mode::ReadWrite {
            let unsure = lock(&self.unsure).contains(name);
            if self.get(name) == value && !unsure {
                return Ok(());
            }
            lock(&self.unsure).insert(name.to_owned());
            self.write(name, &value)?;
            lock(&self.unsure).remove(name);
        }
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        if value == T::default() {
            values.remove(name)
        } else {
            values.insert(name.to_owned(), value)
        };
        Ok(())
    }

    /// What equals the default needs no file.
    fn write(&self, name: &str, value: &T) -> io::Result<()> {
        let path = self.dir.join(file_stem(name) + ".json");
        if *value == T::default() {
            match self.files.remove(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(at(&path, e)),
                _ => {}
            }
        } else {
            let stored = Stored { format: FORMAT, name: name.to_owned(), memory: value };
            let mut text = serde_json::to_vec_pretty(&stored).map_err(io::Error::other)?;
            text.push(b'\n');
            replace(self.files.as_ref(), &path, &text).map_err(|e| at(&path, e))?;
        }
        self.files.sync_dir(&self.dir).map_err(|e| at(&self.dir, e))
    }
}

/// Puts `text` in place of the file: the old or the new one is there, never a part.
fn replace(files: &dyn Files, path: &Path, text: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("json.tmp");
    let mut file = files.create(&temporary)?;
    let written = file.write(text).and_then(|()| file.sync());
    written.and_then(|()| files.rename(&temporary, path)).inspect_err(|_| {
        let _ = files.remove(&temporary);
    })
}

fn load<T: DeserializeOwned>(files: &dyn Files, dir: &Path, mode: Mode) -> io::Result<BTreeMap<String, T>> {
    let mut values = BTreeMap::new();
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(values),
        entries => entries.map_err(|e| at(dir, e))?,
    };
    for entry in entries {
        let path = entry.map_err(|e| at(dir, e))?.path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("json") => {
                if let Some(stored) = read(files, &path, mode)? {
                    values.insert(stored.name, stored.memory);
                }
            }
            // What a crash left of a write that nobody was told of.
            Some("tmp") if mode == Mode::ReadWrite => files.remove(&path).map_err(|e| at(&path, e))?,
            _ => {}
        }
    }
    Ok(values)
}

fn read<T: DeserializeOwned>(files: &dyn Files, path: &Path, mode: Mode) -> io::Result<Option<Stored<T>>> {
    let text = match fs::read(path) {
        // A reader beside a running controller may see a file go.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|e| at(path, e))?,
    };
    if let Ok(Format { format }) = serde_json::from_slice(&text)
        && format > FORMAT
    {
        let message = format!(
            "{}: a newer skep wrote this (format {format}, this one knows {FORMAT}); use that one, or remove \
             the file to forget what it remembers",
            path.display()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let parsed = serde_json::from_slice::<Stored<T>>(&text).map_err(|e| e.to_string()).and_then(|stored| {
        let expected = path.file_stem().and_then(|s| s.to_str()) == Some(&file_stem(&stored.name));
        expected.then_some(stored).ok_or_else(|| "it is about something else than its name says".into())
    });
    match parsed {
        Ok(stored) => Ok(Some(stored)),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "what skep remembered here cannot be read and is forgotten");
            if mode == Mode::ReadWrite {
                let aside = path.with_extension("json.corrupt");
                files.rename(path, &aside).map_err(|e| at(path, e))?;
            }
            Ok(None)
        }
    }
}

/// A file name for `name`: percent-encoded but for `a-z0-9_-` and inner dots, so that names
/// that differ only in case stay apart on file systems that ignore it; a hash if too long.
fn file_stem(name: &str) -> String {
    let mut stem = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => stem.push(char::from(byte)),
            b'.' if !stem.is_empty() => stem.push('.'),
            _ => stem.push_str(&format!("%{byte:02x}")),
        }
    }
    if stem.len() <= FILE_STEM_BYTES_MAX {
        return stem;
    }
    let hash = Sha256::digest(name.as_bytes());
    let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256%{hex}")
}

fn shard(name: &str) -> usize {
    name.bytes().fold(0usize, |sum, b| sum.wrapping_mul(31).wrapping_add(usize::from(b))) % WRITE_LOCKS
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
