//! Whether a commit or tag is signed by somebody who may.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::{Input, absolute};
use super::tree::short;
use super::{GitError, Repository, Trouble};

impl Repository {
    /// Passes when no signatures are asked for. A signed tag stands for its commit.
    ///
    /// # Errors
    /// `Refused` when the signature is missing, wrong, or nobody's who is allowed.
    pub(super) fn verify(&self, commit: &str) -> Result<(), GitError> {
        if !self.config.verify {
            return Ok(());
        }
        let home = Home::new(&self.dir)?;
        if let Some(keyring) = &self.config.gpg_keyring_file {
            self.import(&home, keyring)?;
        }
        let said = self.signed(&home, "verify-commit", commit)?;
        let Some(mut said) = said else { return Ok(()) };
        if self.config.tag.is_some() {
            match self.signed(&home, "verify-tag", &self.seen())? {
                None => return Ok(()),
                Some(of_tag) => said = of_tag,
            }
        }
        let why = if said.is_empty() { "it is not signed" } else { &said };
        let message = format!("commit {} is refused, for no allowed key has signed it: {why}", short(commit));
        Err(GitError::new(Trouble::Refused, message))
    }

    /// `None` when it is; else what git says.
    fn signed(&self, home: &Home, verb: &str, what: &str) -> Result<Option<String>, GitError> {
        let mut settings = vec![
            ("gpg.x509.program".to_owned(), "/bin/false".to_owned()),
            ("gpg.minTrustLevel".to_owned(), "undefined".to_owned()),
        ];
        let none = home.0.join("none");
        let signers = self.config.allowed_signers_file.as_deref().unwrap_or(&none);
        settings.push(("gpg.ssh.allowedSignersFile".to_owned(), absolute(signers)));
        let variables = vec![("GNUPGHOME".to_owned(), home.0.display().to_string())];
        let output = self.git_with(&[verb, what], settings, variables)?;
        Ok((!output.success).then_some(output.complaint))
    }

    /// The keys as the file has them now: one that was taken out counts no more.
    fn import(&self, home: &Home, keyring: &Path) -> Result<(), GitError> {
        let mut gpg = Command::new("gpg");
        gpg.args(["--batch", "--no-autostart", "--quiet", "--homedir"]).arg(&home.0);
        gpg.args(["--import", "--", &absolute(keyring)]);
        let output = self.run_program(gpg, Input::Bytes(&[]), &[])?;
        if output.success {
            return Ok(());
        }
        let message = format!("cannot read the keys in {}: {}", keyring.display(), output.complaint);
        Err(GitError::new(Trouble::Local, message))
    }
}

/// A folder for one use of gpg.
struct Home(PathBuf);

impl Home {
    /// Short, since gpg puts sockets beside it, and their paths are bounded.
    fn new(dir: &Path) -> Result<Self, GitError> {
        let name = uuid::Uuid::now_v7().simple().to_string();
        let path = dir.join(format!("keys-{name}"));
        std::fs::DirBuilder::new().mode(0o700).create(&path).map_err(|error| {
            GitError::new(Trouble::Local, format!("cannot make {}: {error}", path.display()))
        })?;
        Ok(Self(path))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!(%error, "cannot remove a temporary folder");
        }
    }
}
