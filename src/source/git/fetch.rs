//! Gets the newest commit, and accepts it or not.

use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use super::hold::Hold;
use super::tree::short;
use super::{GitError, Repository, Tree, Trouble};

impl Repository {
    /// Fetches; gives the specs at the newest commit once it is accepted and remembered.
    ///
    /// # Errors
    /// When it cannot be had or is not accepted: the last good commit stays the last good one.
    pub fn fetch(&self) -> Result<Tree, GitError> {
        let tree = self.fetch_since(None)?;
        self.tidy();
        Ok(Arc::unwrap_or_clone(tree))
    }

    /// The same; what is known is not read again.
    pub(super) fn fetch_since(&self, known: Option<&Arc<Tree>>) -> Result<Arc<Tree>, GitError> {
        let hold = self.prepare()?;
        let good = self.resolve(&self.good())?;
        self.get(&hold, good.is_none())?;
        let Some(commit) = self.resolve(&self.seen())? else {
            return Err(GitError::new(Trouble::Refused, "what was fetched is not a commit"));
        };
        self.verify(&commit)?;
        let is_good = good.as_deref() == Some(commit.as_str());
        if let Some(known) = known.filter(|known| is_good && known.revision.commit == commit) {
            return Ok(Arc::clone(known));
        }
        if let Some(good) = good.filter(|_| !is_good) {
            self.follows(&good, &commit)?;
        }
        let tree = self.tree(&commit)?;
        if !is_good {
            self.accept(&hold, &commit)?;
        }
        Ok(Arc::new(tree))
    }

    /// Makes it the last good commit.
    fn accept(&self, hold: &Hold, commit: &str) -> Result<(), GitError> {
        let set = self.git_held(hold, &["update-ref", "--no-deref", &self.good(), commit])?;
        if set.success {
            return Ok(());
        }
        let message = format!("cannot remember commit {}: {}", short(commit), set.complaint);
        Err(GitError::new(Trouble::Local, message))
    }

    fn prepare(&self) -> Result<Hold, GitError> {
        let shown = self.dir.display();
        let cannot = |why: String| GitError::new(Trouble::Local, format!("cannot make {shown}: {why}"));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(|error| cannot(error.to_string()))?;
        let hold = self.hold()?;
        // Written last: a git that was killed meanwhile has made half of one.
        let ready = self.dir.join("ready");
        if !ready.is_file() {
            let made = self.git_held(&hold, &["init", "--quiet", "--bare", "--template="])?;
            if !made.success {
                return Err(cannot(made.complaint));
            }
            std::fs::write(ready, "").map_err(|error| cannot(error.to_string()))?;
        }
        Ok(hold)
    }

    /// Only the first fetch is shallow: later ones bring what came since, so that it can be
    /// seen whether a commit follows the last good one.
    fn get(&self, hold: &Hold, first: bool) -> Result<(), GitError> {
        let depth = format!("--depth={}", self.config.depth);
        let refspec = format!("+{}:{}", self.config.remote_ref(), self.seen());
        let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force"];
        arguments.extend(["--no-recurse-submodules", "--no-auto-maintenance", "--update-shallow"]);
        if first && self.config.depth > 0 {
            arguments.push(&depth);
        }
        arguments.extend(["--end-of-options", &self.config.url, &refspec]);
        let output = self.git_remote(hold, &arguments)?;
        if output.success {
            return Ok(());
        }
        let (trouble, what) = if output.all.contains("couldn't find remote ref") {
            (Trouble::Missing, format!("{} is not there", self.config.wanted()))
        } else {
            (Trouble::Unreachable, "cannot fetch".to_owned())
        };
        let mend = self.mend(&output.all).map(|mend| format!("; {mend}")).unwrap_or_default();
        let message = format!("{what} at {}: {}{mend}", self.config.shown_url(), output.complaint);
        Err(GitError::new(trouble, message))
    }

    /// Whether the new commit has the old one in its history.
    fn follows(&self, good: &str, commit: &str) -> Result<(), GitError> {
        if self.config.follow_force_push
            || self.git(&["merge-base", "--is-ancestor", good, commit], &[])?.success
        {
            return Ok(());
        }
        let message = format!(
            "{} was rewritten: commit {} does not follow {}; push one that does, or set `force_push = \"follow\"`",
            self.config.wanted(),
            short(commit),
            short(good)
        );
        Err(GitError::new(Trouble::Refused, message))
    }

    /// Packs pile up, one a push; git knows when they are too many.
    pub(super) fn tidy(&self) {
        let tidied = self.hold().and_then(|hold| self.git_held(&hold, &["gc", "--auto", "--quiet"]));
        match tidied {
            Ok(output) if !output.success => tracing::debug!(output.complaint, "git gc"),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "git gc"),
        }
    }
}
