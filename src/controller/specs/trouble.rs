//! Tells once that a git repository gives no new commit, and once that it does again.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::events::{About, Kind, NewEvent, Reason, Trigger};
use crate::files::{Files, Real};
use crate::source::git::{Revision, State, Trouble};

/// What was last told. Kept on disk, so that a restart does not tell it again.
pub(super) struct GitTrouble {
    files: Arc<dyn Files>,
    file: Option<PathBuf>,
    told: Option<String>,
    /// That is not on disk yet.
    is_unsaved: bool,
}

impl Default for GitTrouble {
    /// Remembers nothing.
    fn default() -> Self {
        Self { files: Arc::new(Real), file: None, told: None, is_unsaved: false }
    }
}

impl GitTrouble {
    pub(super) fn open(state_dir: &Path) -> Self {
        Self::on(Arc::new(Real), state_dir)
    }

    fn on(files: Arc<dyn Files>, state_dir: &Path) -> Self {
        let file = state_dir.join("git-trouble");
        let told = std::fs::read_to_string(&file).ok().filter(|told| !told.is_empty());
        Self { files, file: Some(file), told, is_unsaved: false }
    }

    /// What is to be told now.
    pub(super) fn look(&mut self, state: &State, good: &Revision, trigger: Trigger) -> Option<NewEvent> {
        if !state.fetched {
            return None;
        }
        // Messages of one kind differ by times and addresses, except that each refused commit is
        // news.
        let now = state.error.as_ref().map(|error| match error.trouble {
            Trouble::Refused => error.message.clone(),
            kind => format!("{kind:?}"),
        });
        if now == self.told {
            return None;
        }
        self.told.clone_from(&now);
        self.is_unsaved = true;
        let about = About { customer: None, trigger, revision: Some(good.commit.clone()) };
        Some(match &state.error {
            Some(error) => {
                let message = format!("git: {error}; {} stays in force", good.told());
                about.event(Kind::Warning, Reason::SpecInvalid, None, message)
            }
            None => {
                let message = format!("git: {} is in force, the newest", good.told());
                about.event(Kind::Normal, Reason::Recovered, None, message)
            }
        })
    }

    /// The last event is in the log: remembers it.
    pub(super) fn note_told(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.is_unsaved) else { return };
        self.is_unsaved = false;
        let told = self.told.as_deref().unwrap_or_default();
        if let Err(error) = replace(self.files.as_ref(), file, told.as_bytes()) {
            tracing::warn!(%error, "cannot remember what was told of the git repository");
        }
    }
}

/// The old text or the new one is there whenever the machine stops, and the new one once this is done.
fn replace(files: &dyn Files, file: &Path, text: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    let mut out = files.create(&new)?;
    out.write(text)?;
    out.sync()?;
    files.rename(&new, file)?;
    file.parent().map_or(Ok(()), |dir| files.sync_dir(dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::model::{Disk, Fault};
    use crate::source::git::GitError;

    #[test]
    fn what_was_told_outlives_a_power_loss() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::new(dir.path(), Fault::None);
        let mut trouble = GitTrouble::on(disk.files(), dir.path());
        let good =
            Revision { commit: "a".repeat(40), author: String::new(), subject: String::new(), time: 0 };
        for error in [Some("no signature"), Some("another"), None, Some("no signature")] {
            let error = error.map(|message| GitError { trouble: Trouble::Refused, message: message.into() });
            let state = State { error, fetched: true, ..State::default() };
            assert!(trouble.look(&state, &good, Trigger::Spec).is_some());
            trouble.note_told();
            for image in disk.after_power_loss() {
                let root = tempfile::tempdir().unwrap();
                let _found = Disk::of(root.path(), &image, Fault::None);
                let mut again = GitTrouble::open(root.path());
                assert_eq!(again.told, trouble.told);
                assert!(again.look(&state, &good, Trigger::Spec).is_none(), "it is not told again");
            }
        }
    }
}
