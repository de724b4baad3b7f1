//! The one way to the server that is allowed, what opens it, and why it stays shut.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::command::{Environment, absolute};
use super::{GitError, Repository, Trouble};
use crate::config::GitAccess;

/// A token, or a private key.
const SECRET_BYTES_MAX: u64 = 64 << 10;
/// As ssh has it: others may not even read a private key.
const OPEN_TO_OTHERS: u32 = 0o077;

impl Repository {
    /// # Errors
    /// When a file that it takes cannot be used.
    pub(super) fn access(&self) -> Result<Environment, GitError> {
        let config = &self.config;
        let mut environment = Environment::default();
        let mut setting = |key: String, value: String| environment.settings.push((key, value));
        setting(format!("protocol.{}.allow", config.scheme()), "always".into());
        // Should we die, it does not wait for ever.
        setting("http.lowSpeedLimit".into(), "1".into());
        setting("http.lowSpeedTime".into(), config.timeout.as_secs().max(1).to_string());
        if let Some(ca) = &config.ca_file {
            setting("http.sslCAInfo".into(), absolute(ca));
        }
        match &config.access {
            GitAccess::None => {}
            GitAccess::Password { username, file } => {
                let secret = read_secret(file)?;
                let pair = BASE64_STANDARD.encode(format!("{username}:{secret}"));
                let key = format!("http.{}.extraHeader", config.origin());
                setting(key, format!("Authorization: Basic {pair}"));
                environment.secrets.extend([secret, pair]);
            }
            GitAccess::Ssh { key, known_hosts } => {
                check_key(key)?;
                environment.variables.push(("GIT_SSH_COMMAND".into(), ssh_command(key, known_hosts)));
            }
        }
        Ok(environment)
    }

    /// What to do about a complaint of git's, curl's or ssh's.
    pub(super) fn mend(&self, complaint: &str) -> Option<String> {
        mend(&self.config.access, complaint)
    }
}

/// The complaint has the URL in it, whose port may be any number.
fn mend(access: &GitAccess, complaint: &str) -> Option<String> {
    let says = |words: &[&str]| words.iter().any(|word| complaint.contains(word));
    match access {
        GitAccess::Ssh { known_hosts, .. } if says(&["Host key verification failed"]) => {
            let file = known_hosts.display();
            return Some(format!(
                "{file} has another host key of it, or none: ask its operator which is right"
            ));
        }
        GitAccess::Ssh { key, .. } if says(&["Permission denied (", "Too many authentication failures"]) => {
            return Some(format!("the server does not know the key {}: add its public half", key.display()));
        }
        GitAccess::Password { file, .. }
            if says(&["Authentication failed", "could not read", "error: 403"]) =>
        {
            return Some(format!("the server refuses the secret in {}", file.display()));
        }
        GitAccess::None if says(&["Authentication failed", "could not read Username"]) => {
            return Some("the server wants credentials: set `token_file`".into());
        }
        _ => {}
    }
    if says(&["certificate"]) {
        return Some("name its authority with `ca_file`".into());
    }
    says(&["error: 30", "redirect"]).then(|| "write the URL that it redirects to".into())
}

/// Git gives this line to a shell, so each word is quoted; the configuration lets only plain
/// paths through.
fn ssh_command(key: &Path, known_hosts: &Path) -> String {
    let options = [
        "BatchMode=yes".to_owned(),
        "IdentitiesOnly=yes".into(),
        "IdentityAgent=none".into(),
        format!("IdentityFile={}", absolute(key)),
        "StrictHostKeyChecking=yes".into(),
        format!("UserKnownHostsFile={}", absolute(known_hosts)),
        "GlobalKnownHostsFile=/dev/null".into(),
        "UpdateHostKeys=no".into(),
        "PreferredAuthentications=publickey".into(),
        "ClearAllForwardings=yes".into(),
        "ForwardAgent=no".into(),
        "PermitLocalCommand=no".into(),
        "ConnectTimeout=15".into(),
        "ServerAliveInterval=15".into(),
    ];
    let mut line = "ssh -F /dev/null".to_owned();
    for option in options {
        line.push_str(" -o ");
        line.push_str(&quoted(&option));
    }
    line
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn read_text(file: &Path) -> Result<String, GitError> {
    let mut text = String::new();
    let read = File::open(file).and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text));
    let shown = file.display();
    read.map_err(|error| GitError::new(Trouble::Local, format!("cannot read {shown}: {error}")))?;
    Ok(text)
}

fn read_secret(file: &Path) -> Result<String, GitError> {
    let text = read_text(file)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.chars().any(char::is_control) {
        let message = format!("{} is to hold one line, the secret, and nothing else", file.display());
        return Err(GitError::new(Trouble::Local, message));
    }
    Ok(secret.to_owned())
}

/// Ssh would refuse such a key too, in many words, or ask for a passphrase where nobody answers.
fn check_key(key: &Path) -> Result<(), GitError> {
    let text = read_text(key)?;
    let shown = key.display();
    let found = std::fs::metadata(key)
        .map_err(|error| GitError::new(Trouble::Local, format!("cannot read {shown}: {error}")))?;
    let mode = found.mode() & 0o7777;
    let is_ours = found.uid() == rustix::process::geteuid().as_raw();
    let message = if is_ours && mode & OPEN_TO_OTHERS != 0 {
        format!(
            "the key {shown} is open to others (mode {mode:04o}), and ssh takes no such key: chmod 600 it"
        )
    } else if is_encrypted(&text) {
        format!("the key {shown} has a passphrase, which nobody can type here; make one without")
    } else {
        return Ok(());
    };
    Err(GitError::new(Trouble::Local, message))
}

/// Whether a private key in OpenSSH's or PEM's form wants a passphrase.
fn is_encrypted(key: &str) -> bool {
    if key.contains("ENCRYPTED") {
        return true;
    }
    let body: String = key.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
    let Ok(body) = BASE64_STANDARD.decode(body) else { return false };
    // The magic, then the cipher's name after its length.
    body.strip_prefix(b"openssh-key-v1\0").is_some_and(|rest| !rest.starts_with(b"\0\0\0\x04none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_seen_in_the_key() {
        let openssh = |cipher: &str| {
            let mut body = b"openssh-key-v1\0\0\0\0".to_vec();
            body.push(u8::try_from(cipher.len()).unwrap());
            body.extend(cipher.bytes());
            let text = BASE64_STANDARD.encode(body);
            format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{text}\n-----END OPENSSH PRIVATE KEY-----\n")
        };
        assert!(is_encrypted(&openssh("aes256-ctr")));
        assert!(!is_encrypted(&openssh("none")));
        assert!(is_encrypted("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"));
        assert!(is_encrypted("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nAAAA\n"));
        assert!(!is_encrypted("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n"));
        assert!(!is_encrypted("rubbish"));
    }

    #[test]
    fn a_port_is_no_answer_of_the_server() {
        let access = GitAccess::Password { username: "x".into(), file: "/token".into() };
        let said = |code: u16| {
            let error = format!("'http://git.test:40301/a.git/': The requested URL returned error: {code}");
            mend(&access, &error).unwrap_or_default()
        };
        assert!(said(403).contains("refuses the secret"), "{}", said(403));
        assert!(said(302).contains("redirects to"), "{}", said(302));
        assert_eq!(said(500), "");
    }

    #[test]
    fn words_for_the_shell_stay_words() {
        let line = ssh_command(Path::new("/k;touch x"), Path::new("/h'$(x)"));
        assert!(line.contains("-o 'IdentityFile=/k;touch x' "), "{line}");
        assert!(line.contains(r"-o 'UserKnownHostsFile=/h'\''$(x)' "), "{line}");
        assert!(line.contains("'BatchMode=yes'"), "{line}");
    }
}
