//! A file system that knows what of it survives a power loss, and that fails on demand.
//!
//! What is visible is in a real directory, since readers use the real file system. What is on
//! the disk is known of each file and name: what was not synced may be there, in part, as
//! zeros, or not at all; creations, renames and removals that were not synced may each be
//! undone. `after_power_loss` gives every such state.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Files, Real, Writable};

/// What a disk holds: contents by path, `None` for a directory.
pub(crate) type Image = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// What goes wrong, at a call counted from 0.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    None,
    /// The process dies before it: this call and all later ones do nothing.
    Death(usize),
    /// This call fails, and a write leaves so many bytes.
    Once(usize, usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    root: PathBuf,
    inodes: Vec<Inode>,
    visible: BTreeMap<PathBuf, Node>,
    durable: BTreeMap<PathBuf, Node>,
    pending: Vec<NameChange>,
    calls: usize,
    fault: Fault,
    /// Bytes that the disk still takes; `None`: any number.
    space: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, Node),
    Rename(PathBuf, PathBuf, Node),
    Remove(PathBuf),
}

#[derive(Debug, Default)]
struct Inode {
    visible: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Bytes that a failed sync gave up: later ones do not write them either.
    lost: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
enum Change {
    Write(Vec<u8>),
    Truncate(usize),
}

impl Disk {
    /// An empty one, visible at `root`.
    pub(crate) fn new(root: &Path, fault: Fault) -> Self {
        Self::of(root, &Image::new(), fault)
    }

    /// One that holds this and nothing else, visible at `root`.
    pub(crate) fn of(root: &Path, image: &Image, fault: Fault) -> Self {
        let mut state = State {
            root: root.to_owned(),
            inodes: Vec::new(),
            visible: BTreeMap::new(),
            durable: BTreeMap::new(),
            pending: Vec::new(),
            calls: 0,
            fault,
            space: None,
        };
        for (path, content) in image {
            let node = match content {
                None => {
                    std::fs::create_dir(root.join(path)).unwrap();
                    Node::Directory
                }
                Some(content) => {
                    std::fs::write(root.join(path), content).unwrap();
                    state.inodes.push(Inode {
                        visible: content.clone(),
                        durable: content.clone(),
                        ..Inode::default()
                    });
                    Node::File(state.inodes.len() - 1)
                }
            };
            state.durable.insert(path.clone(), node);
        }
        state.visible = state.durable.clone();
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn files(&self) -> Arc<dyn Files> {
        Arc::new(self.clone())
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> usize {
        self.0.lock().unwrap().calls
    }

    /// From now on nothing fails: another process begins, the machine having run on.
    pub(crate) fn mend(&self) {
        let mut state = self.0.lock().unwrap();
        state.fault = Fault::None;
        state.space = None;
    }

    /// The disk takes so many bytes more.
    pub(crate) fn fill(&self, space: usize) {
        self.0.lock().unwrap().space = Some(space);
    }

    /// All that the disk may hold if the power fails now.
    pub(crate) fn after_power_loss(&self) -> BTreeSet<Image> {
        let state = self.0.lock().unwrap();
        let mut images = BTreeSet::new();
        assert!(state.pending.len() <= 8, "too many states");
        for kept in 0..1_u32 << state.pending.len() {
            let mut names = state.durable.clone();
            let changes = state.pending.iter().enumerate().filter(|(i, _)| kept & (1 << i) != 0);
            changes.for_each(|(_, change)| change.apply(&mut names));
            images.extend(state.images(&names));
        }
        images
    }
}

impl State {
    fn images(&self, names: &BTreeMap<PathBuf, Node>) -> Vec<Image> {
        let mut images = vec![Image::new()];
        for (path, node) in names {
            // What lies in a directory that is gone is gone.
            let parents = path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty());
            if !parents.into_iter().all(|parent| names.get(parent) == Some(&Node::Directory)) {
                continue;
            }
            let contents: Vec<Option<Vec<u8>>> = match node {
                Node::Directory => vec![None],
                Node::File(inode) => self.inodes[*inode].after_power_loss().into_iter().map(Some).collect(),
            };
            let with = |image: &Image, content: &Option<Vec<u8>>| {
                let mut image = image.clone();
                image.insert(path.clone(), content.clone());
                image
            };
            images = images.iter().flat_map(|image| contents.iter().map(move |c| with(image, c))).collect();
        }
        images
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or(path).to_owned()
    }

    /// Counts a call; how much of a write is to be left if it fails.
    fn call(&mut self) -> Result<(), (io::Error, usize)> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Fault::Death(at) if call >= at => Err((io::ErrorKind::BrokenPipe.into(), 0)),
            Fault::Once(at, left) if call == at => Err((io::ErrorKind::StorageFull.into(), left)),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.visible);
        self.pending.push(change);
    }

    fn needs_room(&self) -> io::Result<()> {
        if self.space == Some(0) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn open(&mut self, path: &Path) -> io::Result<usize> {
        let relative = self.relative(path);
        if let Some(Node::File(inode)) = self.visible.get(&relative) {
            return Ok(*inode);
        }
        self.needs_room()?;
        self.inodes.push(Inode::default());
        let inode = self.inodes.len() - 1;
        self.change(NameChange::Add(relative, Node::File(inode)));
        Ok(inode)
    }

    fn write(&mut self, inode: usize, bytes: &[u8]) {
        let file = &mut self.inodes[inode];
        let from = file.visible.len();
        file.lost.retain(|at| *at < from);
        file.visible.extend_from_slice(bytes);
        file.pending.push(Change::Write(bytes.to_vec()));
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Add(path, node) => drop(names.insert(path.clone(), *node)),
            Self::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
            Self::Remove(path) => drop(names.remove(path)),
        }
    }

    fn is_in(&self, dir: &Path) -> bool {
        let (Self::Add(path, _) | Self::Rename(_, path, _) | Self::Remove(path)) = self;
        path.parent() == Some(dir)
    }
}

impl Inode {
    /// What was changed since the last sync is there up to some point; the change at that
    /// point in part, or in place as zeros.
    fn after_power_loss(&self) -> BTreeSet<Vec<u8>> {
        let mut states = BTreeSet::from([self.durable.clone()]);
        let mut content = self.durable.clone();
        for change in &self.pending {
            if let Change::Write(bytes) = change {
                let length = bytes.len();
                for part in [1, length / 2, length.saturating_sub(1)] {
                    states.insert([&content[..], &bytes[..part.min(length)]].concat());
                }
                for zeros in [0..length, 0..length / 2, length / 2..length, length / 3..2 * length / 3] {
                    let mut bytes = bytes.clone();
                    bytes[zeros].fill(0);
                    states.insert([content.clone(), bytes].concat());
                }
            }
            change.apply(&mut content);
            states.insert(content.clone());
        }
        states
    }

    fn sync(&mut self) {
        self.durable.clone_from(&self.visible);
        for at in &self.lost {
            self.durable[*at] = 0;
        }
        self.pending.clear();
    }

    /// The system gives up what it could not write, and tells it once.
    fn fail_to_sync(&mut self) {
        let written: usize = self
            .pending
            .iter()
            .map(|change| if let Change::Write(bytes) = change { bytes.len() } else { 0 })
            .sum();
        let end = self.visible.len();
        self.lost.extend(end - written.min(end)..end);
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(bytes) => content.extend_from_slice(bytes),
            Self::Truncate(length) => content.truncate(*length),
        }
    }
}

impl Files for Disk {
    fn append(&self, path: &Path) -> io::Result<Box<dyn Writable>> {
        let mut state = self.0.lock().unwrap();
        state.call().map_err(|(error, _)| error)?;
        let inode = state.open(path)?;
        Ok(Box::new(OpenFile { disk: self.clone(), inode, real: Real.append(path)? }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Writable>> {
        let mut state = self.0.lock().unwrap();
        state.call().map_err(|(error, _)| error)?;
        let inode = state.open(path)?;
        let file = &mut state.inodes[inode];
        if !file.visible.is_empty() {
            file.visible.clear();
            file.pending.push(Change::Truncate(0));
        }
        Ok(Box::new(OpenFile { disk: self.clone(), inode, real: Real.create(path)? }))
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call().map_err(|(error, _)| error)?;
        state.needs_room()?;
        let relative = state.relative(path);
        state.change(NameChange::Add(relative, Node::Directory));
        Real.make_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call().map_err(|(error, _)| error)?;
        Real.rename(from, to)?;
        let (from, to) = (state.relative(from), state.relative(to));
        let node = state.visible[&from];
        state.change(NameChange::Rename(from, to, node));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call().map_err(|(error, _)| error)?;
        Real.remove(path)?;
        let relative = state.relative(path);
        state.change(NameChange::Remove(relative));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock().unwrap();
        state.call().map_err(|(error, _)| error)?;
        let dir = state.relative(dir);
        let (done, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.pending).into_iter().partition(|change| change.is_in(&dir));
        done.iter().for_each(|change| change.apply(&mut state.durable));
        state.pending = pending;
        Ok(())
    }
}

struct OpenFile {
    disk: Disk,
    inode: usize,
    real: Box<dyn Writable>,
}

impl Writable for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        let (result, taken) = match state.call() {
            Err((error, left)) => (Err(error), left.min(bytes.len())),
            Ok(()) => match state.space {
                Some(space) if space < bytes.len() => (Err(io::ErrorKind::StorageFull.into()), space),
                _ => (Ok(()), bytes.len()),
            },
        };
        if taken > 0 {
            state.space = state.space.map(|space| space - taken);
            state.write(self.inode, &bytes[..taken]);
            self.real.write(&bytes[..taken])?;
        }
        result
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        match state.call() {
            Ok(()) => state.inodes[self.inode].sync(),
            Err((error, _)) => {
                if matches!(state.fault, Fault::Once(..)) {
                    state.inodes[self.inode].fail_to_sync();
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock().unwrap();
        state.call().map_err(|(error, _)| error)?;
        let wanted = usize::try_from(length).unwrap();
        let file = &mut state.inodes[self.inode];
        let freed = file.visible.len().saturating_sub(wanted);
        if freed > 0 {
            file.visible.truncate(wanted);
            file.lost.retain(|at| *at < wanted);
            file.pending.push(Change::Truncate(wanted));
            state.space = state.space.map(|space| space + freed);
        }
        self.real.truncate(length)
    }
}
