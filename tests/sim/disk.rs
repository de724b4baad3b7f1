//! The file system of skep's state directory, at any call of which skep may die.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use skep::files::{Files, Real, Writable};

/// Counts the calls of all incarnations of skep.
#[derive(Default)]
pub struct Disk {
    calls: AtomicUsize,
    dies_at: Mutex<Option<usize>>,
    /// Of the skep that is alive.
    mounted: Mutex<Option<Arc<Mounted>>>,
}

impl Disk {
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// skep dies before this call, counted from 0.
    pub fn die_at(&self, call: usize) {
        *self.dies_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(call);
    }

    /// For the next skep; `on_death` is called when it dies by the plan.
    pub fn mount(self: &Arc<Self>, on_death: Arc<dyn Fn() + Send + Sync>) -> Arc<dyn Files> {
        let mounted = Arc::new(Mounted { disk: Arc::clone(self), dead: AtomicBool::new(false), on_death });
        *self.mounted.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&mounted));
        Arc::new(Handle(mounted))
    }

    /// The skep that was alive writes nothing any more.
    pub fn unmount(&self) {
        if let Some(mounted) = self.mounted.lock().unwrap_or_else(PoisonError::into_inner).take() {
            mounted.dead.store(true, Ordering::Relaxed);
        }
    }
}

struct Mounted {
    disk: Arc<Disk>,
    dead: AtomicBool,
    on_death: Arc<dyn Fn() + Send + Sync>,
}

impl Mounted {
    /// Before each call: whether skep still lives.
    fn call(&self) -> io::Result<()> {
        let gone = || Err(io::Error::other("skep is dead"));
        if self.dead.load(Ordering::Relaxed) {
            return gone();
        }
        let call = self.disk.calls.fetch_add(1, Ordering::Relaxed);
        if *self.disk.dies_at.lock().unwrap_or_else(PoisonError::into_inner) != Some(call) {
            return Ok(());
        }
        self.dead.store(true, Ordering::Relaxed);
        (self.on_death)();
        gone()
    }
}

struct Handle(Arc<Mounted>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a disk")
    }
}

struct Open {
    mounted: Arc<Mounted>,
    file: Box<dyn Writable>,
}

impl Handle {
    fn opened(&self, file: Box<dyn Writable>) -> Box<dyn Writable> {
        Box::new(Open { mounted: Arc::clone(&self.0), file })
    }
}

impl Files for Handle {
    fn append(&self, path: &Path) -> io::Result<Box<dyn Writable>> {
        self.0.call()?;
        Ok(self.opened(Real.append(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn Writable>> {
        self.0.call()?;
        Ok(self.opened(Real.create(path)?))
    }

    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.0.call()?;
        Real.make_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.call()?;
        Real.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.call()?;
        Real.remove(path)
    }

    /// Nothing is lost here but what was not done: no call is needed to keep it.
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.0.call()
    }
}

impl Writable for Open {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.mounted.call()?;
        self.file.write(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.mounted.call()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.mounted.call()?;
        self.file.truncate(length)
    }
}
