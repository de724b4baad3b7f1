//! Whether the webhooks that the configuration opens can wake anything, and nobody but their senders can.

use std::collections::BTreeSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::check;
use crate::config::{Config, Hook};
use crate::http::{Secret, check_secret};
use crate::image::DOCKER_HUB;
use crate::report::{Check, CheckStatus};

/// Others may read or change the file.
const OTHERS: u32 = 0o006;

/// The checks of each webhook that has a secret. `registries`: those whose images the specs use, if that is known.
pub(super) fn check_hooks(config: &Config, registries: Option<&BTreeSet<&str>>) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut secrets: Vec<(Hook, Secret)> = Vec::new();
    for (hook, path) in &config.hook_secrets {
        let name = format!("hook {}", hook.name());
        match Secret::read(path).and_then(|secret| Ok((secret, std::fs::metadata(path)?))) {
            Err(error) => checks.push(unreadable(&name, path, &error)),
            Ok((secret, metadata)) => {
                checks.push(secret_is(&name, *hook, path, &secret, &metadata));
                checks.extend(shared(&name, *hook, &secret, &secrets));
                secrets.push((*hook, secret));
            }
        }
        checks.extend(wakes_nothing(&name, *hook, config, registries));
    }
    checks
}

fn unreadable(name: &str, path: &Path, error: &io::Error) -> Check {
    let (status, mend) = match error.kind() {
        io::ErrorKind::PermissionDenied => (
            CheckStatus::Unknown,
            "run doctor as the user that runs skep; if this is the one, let it read the file".to_owned(),
        ),
        io::ErrorKind::NotFound => (CheckStatus::Problem, write_one(path)),
        _ => (CheckStatus::Problem, format!("{}, and give it to the sender too", write_one(path))),
    };
    check(name, status, error.to_string(), Some(&mend))
}

fn write_one(path: &Path) -> String {
    format!("write one line into it: `(umask 077; openssl rand -hex 32 > {})`", path.display())
}

fn secret_is(name: &str, hook: Hook, path: &Path, secret: &Secret, metadata: &Metadata) -> Check {
    let shown = path.display();
    if let Err(doubt) = check_secret(hook, secret) {
        let mend = format!("copy the signing token anew into {shown}, or take another secret");
        return check(name, CheckStatus::Problem, format!("{shown}: {doubt}"), Some(&mend));
    }
    if metadata.mode() & OTHERS != 0 {
        let message = format!("{shown}: every user of this machine may read or change it");
        let mend =
            format!("`chmod o= {shown}`; in a stack, `mode = 0o400` where the service names the secret");
        return check(name, CheckStatus::Warning, message, Some(&mend));
    }
    check(name, CheckStatus::Ok, format!("{shown} has a secret"), None)
}

/// A secret that stands in a URL, and so in logs of proxies, lets nobody in elsewhere.
fn shared(name: &str, hook: Hook, secret: &Secret, others: &[(Hook, Secret)]) -> Option<Check> {
    let in_url = |hook: Hook| matches!(hook, Hook::RegistryDockerHub | Hook::RegistryQuay);
    let same = |(other, its): &&(Hook, Secret)| its == secret && (in_url(hook) || in_url(*other));
    let (other, _) = others.iter().find(same)?;
    let message = format!("its secret is that of {} too, and stands in a URL", other.name());
    Some(check(name, CheckStatus::Warning, message, Some("give each of them a secret of its own")))
}

/// A hook whose calls can name nothing that skep knows.
fn wakes_nothing(
    name: &str,
    hook: Hook,
    config: &Config,
    registries: Option<&BTreeSet<&str>>,
) -> Option<Check> {
    let is_local = config.git.as_ref().is_some_and(|git| git.url.starts_with("file:"));
    let host = match hook {
        Hook::GitGithub | Hook::GitGitlab | Hook::GitGitea if is_local => {
            let message = "`source.git.url` is a folder of this machine, which no push of that server names";
            let mend = "fetch from the server's URL, or have a post-receive hook call hooks/git/generic";
            return Some(check(name, CheckStatus::Warning, message, Some(mend)));
        }
        Hook::RegistryDockerHub => DOCKER_HUB,
        Hook::RegistryGithub => "ghcr.io",
        _ => return None,
    };
    if registries.is_none_or(|registries| registries.is_empty() || registries.contains(host)) {
        return None;
    }
    let message = format!("no spec uses an image of {host}, so that its calls wake nothing");
    let mend = format!("take `{}` out, or use the hook of the registry that the specs name", hook.key());
    Some(check(name, CheckStatus::Warning, message, Some(&mend)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::config::{GitAccess, GitConfig};

    struct Place(tempfile::TempDir, Config);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap(), Config::default())
        }

        /// A hook, with what its file holds.
        fn hook(mut self, hook: Hook, text: Option<&str>, mode: u32) -> Self {
            let path = self.0.path().join(hook.name().replace('/', "-"));
            if let Some(text) = text {
                std::fs::write(&path, text).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            self.1.hook_secrets.insert(hook, path);
            self
        }

        /// Statuses, with message and mend in one text.
        fn found(&self, registries: Option<&[&str]>) -> Vec<(CheckStatus, String)> {
            let registries: Option<BTreeSet<&str>> = registries.map(|names| names.iter().copied().collect());
            let checks = check_hooks(&self.1, registries.as_ref()).into_iter();
            let text = |check: &Check| format!("{}: {}; {:?}", check.name, check.message, check.mend);
            checks.map(|check| (check.status, text(&check))).collect()
        }

        fn one(&self, registries: Option<&[&str]>, status: CheckStatus, words: &[&str]) {
            let found = self.found(registries);
            let is_it = |(at, text): &&(CheckStatus, String)| {
                *at == status && words.iter().all(|word| text.contains(word))
            };
            assert_eq!(found.iter().filter(is_it).count(), 1, "{words:?}: {found:?}");
        }
    }

    fn git(url: &str) -> GitConfig {
        GitConfig {
            url: url.to_owned(),
            branch: None,
            tag: None,
            path: String::new(),
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(60),
            depth: 1,
            access: GitAccess::None,
            ca_file: None,
            verify: false,
            allowed_signers_file: None,
            gpg_keyring_file: None,
            follow_force_push: false,
        }
    }

    #[test]
    fn each_secret_file_is_looked_at() {
        let of = |hook, text, mode| Place::new().hook(hook, text, mode);
        let github = Hook::GitGithub;
        of(github, Some("canary\n"), 0o600).one(None, CheckStatus::Ok, &["hook git/github", "has a secret"]);
        of(github, None, 0).one(None, CheckStatus::Problem, &["No such file", "openssl rand"]);
        of(github, Some(" \n"), 0o600).one(
            None,
            CheckStatus::Problem,
            &["is empty", "openssl rand", "sender"],
        );
        for mode in [0o644, 0o602] {
            of(github, Some("canary"), mode).one(None, CheckStatus::Warning, &["every user", "chmod o="]);
        }
        let token = of(Hook::GitGitlab, Some("whsec_%"), 0o600);
        token.one(None, CheckStatus::Problem, &["no base64 follows", "signing token anew"]);
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        // Root may read all, so that a file cannot show it.
        let denied = unreadable("x", Path::new("/x"), &denied);
        assert_eq!(denied.status, CheckStatus::Unknown);
        assert!(denied.mend.unwrap().contains("as the user that runs skep"));
        for place in [of(github, Some("canary"), 0o644), token] {
            assert!(!format!("{:?}", place.found(None)).contains("canary"));
        }
        assert_eq!(Place::new().found(None), []);
    }

    #[test]
    fn what_can_wake_nothing_or_lets_in_too_many_is_told() {
        let hub = |text| Place::new().hook(Hook::RegistryDockerHub, Some(text), 0o600);
        assert_eq!(hub("a").found(Some(&["docker.io"])).len(), 1);
        assert_eq!(hub("a").found(Some(&[])).len(), 1, "there are no specs yet");
        hub("a").one(Some(&["ghcr.io"]), CheckStatus::Warning, &["no spec uses an image of docker.io"]);
        let both = |text| hub("a").hook(Hook::GitGeneric, Some(text), 0o600);
        both("a").one(None, CheckStatus::Warning, &["stands in a URL", "secret of its own"]);
        assert_eq!(both("b").found(None).len(), 2);
        let mut local = Place::new().hook(Hook::GitGitea, Some("a"), 0o600);
        local.1.git = Some(git("file:///srv/fleet.git"));
        local.one(None, CheckStatus::Warning, &["is a folder of this machine", "hooks/git/generic"]);
    }
}
