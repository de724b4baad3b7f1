//! For tests that open thousands of logs and pull no plug.

use std::io;
use std::path::Path;

use super::{Files, Real, Writable};

/// The real file system, which here need not survive a power loss.
#[derive(Debug)]
pub(crate) struct NoSync;

impl Files for NoSync {
    fn append(&self, path: &Path) -> io::Result<Box<dyn Writable>> {
        Ok(Box::new(NoSyncFile(Real.append(path)?)))
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn Writable>> {
        Ok(Box::new(NoSyncFile(Real.create(path)?)))
    }
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        Real.make_dir(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Real.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        Real.remove(path)
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

struct NoSyncFile(Box<dyn Writable>);

impl Writable for NoSyncFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
}
