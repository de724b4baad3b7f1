//! Tells that something in the specs directory may have changed, and where: a wake-up, no more.
//!
//! Bursts (a `git pull`, an editor's write-and-rename) come as one. The watch is on the
//! directory's tree and on the folder that holds it, so that a directory or symlink put in
//! its place is seen; now and then it looks whether it still watches the right one.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;
use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Touched;

/// How often to look whether the directory is still the one that is watched. Most
/// replacements are seen at once; this is for those further up the path.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// More paths than these are not remembered one by one: then everything is to be read.
const TOUCHED_MAX: usize = 64;

/// How changes are gathered into one wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Debounce {
    /// Nothing may happen for so long before the wake-up.
    pub quiet: Duration,
    /// A burst that does not end gives a wake-up after so long.
    pub most: Duration,
}

impl Default for Debounce {
    fn default() -> Self {
        Self { quiet: Duration::from_millis(50), most: Duration::from_secs(1) }
    }
}

/// A stream of wake-ups for changes beneath `dir`; see [`Watch`].
pub fn watch(dir: &Path, debounce: Debounce) -> impl Stream<Item = Touched> + Send + Unpin + use<> {
    let watch = Watch::new(dir, debounce);
    Box::pin(futures::stream::unfold(watch, |mut watch| async {
        let touched = watch.changed().await;
        Some((touched, watch))
    }))
}

/// Watches a directory that may not be there yet, may go, and may come back. Where the
/// system cannot watch, it says so once, and changes are left to periodic reading.
pub struct Watch {
    dir: PathBuf,
    debounce: Debounce,
    /// Told by the watcher's thread.
    changes: Arc<Heard>,
    armed: Option<Armed>,
    warned: bool,
    next_look: Instant,
}

/// What was heard and not yet told.
#[derive(Default)]
struct Heard {
    /// Holds one wake-up at most.
    wake: Notify,
    touched: Mutex<Option<Touched>>,
    /// Something was done to the directory itself. What was moved away and put back is the same one, and is
    /// not watched any more.
    is_moved: AtomicBool,
}

impl Heard {
    fn hear(&self, touched: Touched) {
        self.add(touched);
        self.wake.notify_one();
    }

    fn add(&self, touched: Touched) {
        let mut held = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some(match (held.take(), touched) {
            (Some(Touched::Files(mut held)), Touched::Files(more)) => {
                held.extend(more);
                if held.len() > TOUCHED_MAX { Touched::Anywhere } else { Touched::Files(held) }
            }
            (None, touched) => touched,
            (Some(_), _) => Touched::Anywhere,
        });
    }

    fn take(&self) -> Touched {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or(Touched::Anywhere)
    }
}

struct Armed {
    /// Ends the watch when dropped. `None`: the system could not; it is asked again.
    watcher: Option<Watchers>,
    identity: Identity,
}

/// Each has a queue of its own: to a queue that others fill without a pause, as a log in the
/// folder may, a second path is not added before they rest, and the caller waits.
struct Watchers {
    _tree: Option<RecommendedWatcher>,
    _folder: Option<RecommendedWatcher>,
}

fn watcher(
    path: &Path,
    mode: RecursiveMode,
    handler: impl notify::EventHandler,
) -> notify::Result<RecommendedWatcher> {
    // A symlink may lead anywhere, and what lies outside is refused anyway.
    let config = notify::Config::default().with_follow_symlinks(false);
    let mut watcher = RecommendedWatcher::new(handler, config)?;
    watcher.watch(path, mode)?;
    Ok(watcher)
}

/// What stands at the path: where it really is, and which one. `None`: nothing that can be read.
type Identity = Option<(PathBuf, u64, u64)>;

impl Watch {
    /// Changes after this returns are told. Must be called in a Tokio runtime with time.
    pub fn new(dir: &Path, debounce: Debounce) -> Self {
        let mut watch = Self {
            dir: dir.to_owned(),
            debounce,
            changes: Arc::default(),
            armed: None,
            warned: false,
            next_look: Instant::now() + LOOK_EVERY,
        };
        watch.arm();
        watch
    }

    /// Waits for the next change, and says where. May be cancelled; a change is not lost by that.
    pub async fn changed(&mut self) -> Touched {
        loop {
            tokio::select! {
                () = self.changes.wake.notified() => break,
                () = tokio::time::sleep_until(self.next_look) => {
                    self.next_look = Instant::now() + LOOK_EVERY;
                    if self.arm() {
                        self.changes.add(Touched::Anywhere);
                        break;
                    }
                }
            }
        }
        // From here on a cancelled call must leave the wake-up for the next one.
        let unfinished = Unfinished(&self.changes.wake);
        let until = Instant::now() + self.debounce.most;
        while Instant::now() < until {
            let quiet = (Instant::now() + self.debounce.quiet).min(until);
            if tokio::time::timeout_at(quiet, self.changes.wake.notified()).await.is_err() {
                break;
            }
        }
        std::mem::forget(unfinished);
        // If the directory itself was replaced, what comes next happens in another one.
        if self.arm() {
            self.changes.add(Touched::Anywhere);
        }
        self.changes.take()
    }

    /// Watches what is at the path now; false if that is what was watched already.
    fn arm(&mut self) -> bool {
        let identity = identity(&self.dir);
        let moved = self.changes.is_moved.swap(false, Ordering::AcqRel);
        let same = self.armed.as_ref().filter(|a| a.identity == identity && !moved);
        if same.is_some_and(|a| a.watcher.is_some()) {
            return false;
        }
        let same = same.is_some();
        let watcher = match self.start(identity.as_ref().map(|(path, ..)| path.as_path())) {
            Ok(watcher) => Some(watcher),
            // It changed between the look and the watch; the next look arms anew.
            Err(_) if self::identity(&self.dir) != identity => {
                self.armed = None;
                return true;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!(
                        dir = %self.dir.display(), %error,
                        "cannot watch the specs directory; changes are seen by periodic reading only"
                    );
                }
                None
            }
        };
        // A watch that is still not possible is no news.
        let news = !same || watcher.is_some();
        self.armed = Some(Armed { watcher, identity });
        news
    }

    fn start(&self, root: Option<&Path>) -> notify::Result<Watchers> {
        let changes = Arc::clone(&self.changes);
        let parent = parent_of(&self.dir);
        let interest = Interest {
            root: root.map(Path::to_owned),
            entry: parent.as_ref().zip(self.dir.file_name()).map(|(p, name)| p.join(name)),
        };
        let handler = move |event: notify::Result<notify::Event>| {
            let is_moved = event.as_ref().is_ok_and(|event| interest.is_moved_by(event));
            let touched = event.map_or(Some(Touched::Anywhere), |event| interest.touched_by(&event));
            if let Some(touched) = touched {
                changes.is_moved.fetch_or(is_moved, Ordering::AcqRel);
                changes.hear(touched);
            }
        };
        let tree = root.map(|root| watcher(root, RecursiveMode::Recursive, handler.clone())).transpose()?;
        // Without it a replaced directory is seen at the next look.
        let folder = parent.and_then(|parent| watcher(&parent, RecursiveMode::NonRecursive, handler).ok());
        Ok(Watchers { _tree: tree, _folder: folder })
    }
}

/// Puts the wake-up back when `changed` is dropped before it returned.
struct Unfinished<'a>(&'a Notify);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn identity(dir: &Path) -> Identity {
    let path = std::fs::canonicalize(dir).ok()?;
    let metadata = std::fs::metadata(&path).ok().filter(std::fs::Metadata::is_dir)?;
    Some((path, metadata.dev(), metadata.ino()))
}

/// The folder that holds the name that was given, which may be a symlink's.
fn parent_of(dir: &Path) -> Option<PathBuf> {
    dir.file_name()?;
    let parent = dir.parent()?;
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    std::fs::canonicalize(parent).ok()
}

/// Which of the system's events matter.
#[derive(Clone)]
struct Interest {
    root: Option<PathBuf>,
    /// The path of the directory (or symlink) itself.
    entry: Option<PathBuf>,
}

impl Interest {
    /// Where something may be otherwise by this event; `None`: nowhere that matters.
    fn touched_by(&self, event: &notify::Event) -> Option<Touched> {
        // Our own reading must not wake us.
        let reading =
            matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        if reading {
            return None;
        }
        if event.need_rescan() || event.paths.is_empty() {
            return Some(Touched::Anywhere);
        }
        let mut files = BTreeSet::new();
        for path in &event.paths {
            match self.touched_at(path) {
                Touched::Files(more) => files.extend(more),
                Touched::Anywhere => return Some(Touched::Anywhere),
            }
        }
        (!files.is_empty()).then_some(Touched::Files(files))
    }

    /// Whether it is about the directory itself, or the name that leads to it.
    fn is_moved_by(&self, event: &notify::Event) -> bool {
        let watched = [self.root.as_deref(), self.entry.as_deref()];
        event.paths.iter().any(|path| watched.contains(&Some(path.as_path())))
    }

    fn touched_at(&self, path: &Path) -> Touched {
        if self.entry.as_deref() == Some(path) {
            return Touched::Anywhere;
        }
        let inside = self.root.as_ref().and_then(|root| path.strip_prefix(root).ok());
        // git works in there without end; what it means for us happens outside.
        let inside = inside.filter(|inside| !inside.components().any(|part| part.as_os_str() == ".git"));
        let Some(inside) = inside else { return Touched::Files(BTreeSet::new()) };
        match inside.to_str() {
            Some(file) if !file.is_empty() => Touched::Files([file.to_owned()].into()),
            _ => Touched::Anywhere,
        }
    }
}

#[cfg(test)]
mod tests;
