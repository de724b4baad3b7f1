//! Who may sign, by ssh-keygen's and gpg's own keys.

use std::process::Command;

use skep::source::git::Trouble;

use crate::origin::{GOOD, Origin};

fn ssh_key(origin: &Origin, name: &str) -> String {
    let key = origin.path(name);
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    std::fs::read_to_string(key.with_extension("pub")).unwrap()
}

pub fn sign_with_ssh(origin: &Origin, name: &str) {
    origin.run(&["config", "gpg.format", "ssh"]);
    origin.run(&["config", "user.signingKey", origin.path(name).to_str().unwrap()]);
    origin.run(&["config", "commit.gpgSign", "true"]);
}

/// In `skep.toml`, after `prepare`.
pub const LINES: &str = "verify = \"head\"\nallowed_signers_file = \"signers\"";

/// Ada may sign, and does from now on; Mallory may not.
pub fn prepare(origin: &Origin) {
    let public = ssh_key(origin, "ada");
    ssh_key(origin, "mallory");
    origin.file("signers", &format!("ada@example.com {public}"));
    sign_with_ssh(origin, "ada");
}

fn gpg(origin: &Origin, arguments: &[&str]) -> Vec<u8> {
    use std::os::unix::fs::DirBuilderExt;
    let home = origin.path("gnupg");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&home).unwrap();
    let output =
        Command::new("gpg").arg("--homedir").arg(&home).arg("--batch").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn gpg_key(origin: &Origin, who: &str) -> Vec<u8> {
    gpg(origin, &["--passphrase", "", "--quick-generate-key", who, "ed25519", "sign", "never"]);
    gpg(origin, &["--armor", "--export", who])
}

/// Ends the agent that gpg started for this home.
struct Agent<'a>(&'a Origin);

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        let home = self.0.path("gnupg");
        let _ = Command::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]).status();
    }
}

#[test]
fn only_commits_signed_by_an_allowed_ssh_key_are_taken() {
    let origin = Origin::new();
    let public = ssh_key(&origin, "ada");
    ssh_key(&origin, "mallory");
    origin.file("signers", &format!("ada@example.com {public}"));
    let lines = "verify = \"head\"\nallowed_signers_file = \"signers\"";
    let repository = origin.repository(&origin.url(), lines);
    let refused = |words: &str| {
        let error = repository.fetch().unwrap_err();
        assert_eq!(error.trouble, Trouble::Refused);
        assert!(error.message.contains("no allowed key has signed it"), "{error}");
        assert!(error.message.contains(words), "{error}");
    };
    refused("it is not signed");
    assert_eq!(repository.last_good().unwrap(), None);
    sign_with_ssh(&origin, "ada");
    let signed = origin.push("specs/acme.toml", &format!("{GOOD}# 2\n"), "signed");
    assert_eq!(repository.fetch().unwrap().revision.commit, signed);
    sign_with_ssh(&origin, "mallory");
    origin.push("specs/acme.toml", &format!("{GOOD}# 3\n"), "foreign");
    refused("");
    origin.run(&["config", "commit.gpgSign", "false"]);
    origin.push("specs/acme.toml", &format!("{GOOD}# 4\n"), "unsigned");
    refused("it is not signed");
    assert_eq!(repository.last_good().unwrap().unwrap().revision.commit, signed);
    // A key that is taken from the list counts no more.
    sign_with_ssh(&origin, "ada");
    let again = origin.push("specs/acme.toml", &format!("{GOOD}# 5\n"), "signed again");
    std::fs::write(origin.path("signers"), "").unwrap();
    refused("");
    std::fs::write(origin.path("signers"), format!("ada@example.com {public}")).unwrap();
    assert_eq!(repository.fetch().unwrap().revision.commit, again);
}

#[test]
fn only_commits_signed_by_a_gpg_key_of_the_keyring_are_taken() {
    let origin = Origin::new();
    let _agent = Agent(&origin);
    let public = gpg_key(&origin, "ada@example.com");
    gpg_key(&origin, "mallory@example.com");
    std::fs::write(origin.path("keys.asc"), public).unwrap();
    let lines = "verify = \"head\"\ngpg_keyring_file = \"keys.asc\"";
    let repository = origin.repository(&origin.url(), lines);
    origin.run(&["config", "commit.gpgSign", "true"]);
    origin.run(&["config", "user.signingKey", "ada@example.com"]);
    let signed = origin.push("specs/acme.toml", &format!("{GOOD}# 2\n"), "signed");
    assert_eq!(repository.fetch().unwrap().revision.commit, signed);
    origin.run(&["config", "user.signingKey", "mallory@example.com"]);
    origin.push("specs/acme.toml", &format!("{GOOD}# 3\n"), "foreign");
    assert_eq!(repository.fetch().unwrap_err().trouble, Trouble::Refused);
    // A good SSH signature is nobody's when no SSH key is allowed.
    ssh_key(&origin, "ssh");
    sign_with_ssh(&origin, "ssh");
    origin.push("specs/acme.toml", &format!("{GOOD}# 4\n"), "by ssh");
    assert_eq!(repository.fetch().unwrap_err().trouble, Trouble::Refused);
    assert_eq!(repository.last_good().unwrap().unwrap().revision.commit, signed);
    let left: Vec<_> = std::fs::read_dir(origin.state().join("git")).unwrap().collect();
    assert!(
        left.iter().all(|entry| !entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("keys-"))
    );
}

/// What was signed while the key was good stays as good as the key: who stole an old one can put back the clock.
#[test]
fn a_key_that_has_expired_signs_nothing() {
    let origin = Origin::new();
    let _agent = Agent(&origin);
    let who = "ada@example.com";
    gpg(
        &origin,
        &[
            "--faked-system-time=20200101T000000!",
            "--passphrase",
            "",
            "--quick-generate-key",
            who,
            "ed25519",
            "sign",
            "1d",
        ],
    );
    std::fs::write(origin.path("keys.asc"), gpg(&origin, &["--armor", "--export", who])).unwrap();
    let old = origin.file("old-gpg", "#!/bin/sh\nexec gpg --faked-system-time=20200101T120000! \"$@\"\n");
    std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let repository = origin.repository(&origin.url(), "verify = \"head\"\ngpg_keyring_file = \"keys.asc\"");
    origin.run(&["config", "commit.gpgSign", "true"]);
    origin.run(&["config", "user.signingKey", who]);
    origin.run(&["config", "gpg.program", old.to_str().unwrap()]);
    origin.push("specs/acme.toml", &format!("{GOOD}# 2\n"), "signed by an expired key");
    let error = repository.fetch().unwrap_err();
    assert_eq!(error.trouble, Trouble::Refused, "{error}");
    assert!(error.message.contains("expired"), "{error}");
    assert_eq!(repository.last_good().unwrap(), None);
}

#[test]
fn a_signed_tag_stands_for_its_commit() {
    let origin = Origin::new();
    let public = ssh_key(&origin, "ada");
    origin.file("signers", &format!("ada@example.com {public}"));
    let mut config = origin.config(&origin.url(), "verify = \"head\"\nallowed_signers_file = \"signers\"");
    (config.branch, config.tag) = (None, Some("v1".into()));
    let repository = skep::source::git::Repository::new(&config, &origin.state());
    origin.run(&["tag", "-a", "-m", "v1", "v1"]);
    origin.run(&["push", "-q", "origin", "v1"]);
    assert_eq!(repository.fetch().unwrap_err().trouble, Trouble::Refused);
    sign_with_ssh(&origin, "ada");
    origin.run(&["tag", "-f", "-s", "-m", "v1", "v1"]);
    origin.run(&["push", "-q", "-f", "origin", "v1"]);
    assert_eq!(repository.fetch().unwrap().revision.commit, origin.head());
}
