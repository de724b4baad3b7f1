//! Tells once that a git repository gives no new commit, and once that it does again.

use std::path::{Path, PathBuf};

use crate::events::{About, Kind, NewEvent, Reason, Trigger};
use crate::source::git::{Revision, State, Trouble};

/// What was last told. Kept on disk, so that a restart does not tell it again.
#[derive(Default)]
pub(super) struct GitTrouble {
    file: Option<PathBuf>,
    told: Option<String>,
    /// That is not on disk yet.
    is_unsaved: bool,
}

impl GitTrouble {
    pub(super) fn open(state_dir: &Path) -> Self {
        let file = state_dir.join("git-trouble");
        let told = std::fs::read_to_string(&file).ok().filter(|told| !told.is_empty());
        Self { file: Some(file), told, is_unsaved: false }
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
        if let Err(error) = std::fs::write(file, told) {
            tracing::warn!(%error, "cannot remember what was told of the git repository");
        }
    }
}
