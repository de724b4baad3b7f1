//! Gets the newest commit, and accepts it or not.

use std::os::unix::fs::DirBuilderExt;

use super::tree::short;
use super::{GitError, Repository, Tree, Trouble};

impl Repository {
    /// Fetches; gives the specs at the newest commit once it is accepted and remembered.
    ///
    /// # Errors
    /// When it cannot be had or is not accepted: the last good commit stays the last good one.
    pub fn fetch(&self) -> Result<Tree, GitError> {
        self.prepare()?;
        let good = self.resolve(&self.good())?;
        self.get(good.is_none())?;
        let Some(commit) = self.resolve(&self.seen())? else {
            return Err(GitError::new(Trouble::Refused, "what was fetched is not a commit"));
        };
        self.verify(&commit)?;
        if good.as_deref() == Some(commit.as_str()) {
            return self.tree(&commit);
        }
        if let Some(good) = &good {
            self.follows(good, &commit)?;
        }
        let tree = self.tree(&commit)?;
        let set = self.git(&["update-ref", "--no-deref", &self.good(), &commit], &[])?;
        if !set.success {
            let message = format!("cannot remember commit {}: {}", short(&commit), set.complaint);
            return Err(GitError::new(Trouble::Local, message));
        }
        self.tidy();
        Ok(tree)
    }

    fn prepare(&self) -> Result<(), GitError> {
        if self.dir.join("HEAD").is_file() {
            return Ok(());
        }
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        let shown = self.dir.display();
        made.map_err(|error| GitError::new(Trouble::Local, format!("cannot make {shown}: {error}")))?;
        let made = self.git(&["init", "--quiet", "--bare", "--template="], &[])?;
        if made.success {
            return Ok(());
        }
        Err(GitError::new(Trouble::Local, format!("cannot make {shown}: {}", made.complaint)))
    }

    /// Only the first fetch is shallow: later ones bring what came since, so that it can be
    /// seen whether a commit follows the last good one.
    fn get(&self, first: bool) -> Result<(), GitError> {
        let depth = format!("--depth={}", self.config.depth);
        let refspec = format!("+{}:{}", self.config.remote_ref(), self.seen());
        let mut arguments = vec!["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force"];
        arguments.extend(["--no-recurse-submodules", "--no-auto-maintenance", "--update-shallow"]);
        if first && self.config.depth > 0 {
            arguments.push(&depth);
        }
        arguments.extend(["--end-of-options", &self.config.url, &refspec]);
        let output = self.git_remote(&arguments)?;
        if output.success {
            return Ok(());
        }
        let (trouble, what) = if output.complaint.contains("couldn't find remote ref") {
            (Trouble::Missing, format!("{} is not there", self.config.wanted()))
        } else {
            (Trouble::Unreachable, "cannot fetch".to_owned())
        };
        let message = format!("{what} at {}: {}", self.config.shown_url(), output.complaint);
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
    fn tidy(&self) {
        match self.git(&["gc", "--auto", "--quiet"], &[]) {
            Ok(output) if !output.success => tracing::debug!(output.complaint, "git gc"),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "git gc"),
        }
    }
}
