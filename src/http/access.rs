//! Who may do what: the bearer token, and hosts that no foreign web page can name.

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// The file that skep makes in the state directory when no `token_file` is configured.
pub const TOKEN_FILE: &str = "api-token";
/// A secret is a line of text; more is some other file.
const SECRET_BYTES_MAX: u64 = 4096;
const TOKEN_BYTES: usize = 32;

/// A secret that never shows itself. It is compared in a time that tells nothing of it.
#[derive(Clone)]
pub struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.is(other.bytes())
    }
}

impl Secret {
    /// `None` if there is nothing but white space.
    pub fn new(text: &str) -> Option<Self> {
        Some(text.trim()).filter(|text| !text.is_empty()).map(|text| Self(text.to_owned()))
    }

    /// # Errors
    /// When the file cannot be read, is too large, or holds nothing: nobody is let in by an
    /// empty secret.
    pub fn read(path: &Path) -> io::Result<Self> {
        let told = |message: String| io::Error::other(format!("{}: {message}", path.display()));
        let failed = |error: io::Error| crate::files::at(path, error);
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        let read = file.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text);
        read.map_err(failed)?;
        if text.len() as u64 > SECRET_BYTES_MAX {
            return Err(told("it is larger than 4 KiB, which is no secret".into()));
        }
        Self::new(&text).ok_or_else(|| told("the secret is empty".into()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// For a client that is to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is this. Hashes are compared, so that not even the length is told.
    pub fn is(&self, given: &[u8]) -> bool {
        Sha256::digest(self.bytes()).ct_eq(&Sha256::digest(given)).into()
    }

    /// Whether `Authorization` carries it as a bearer token.
    pub fn is_bearer(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
        let token = given.and_then(|given| {
            let (scheme, token) = given.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token.trim_ascii())
        });
        token.is_some_and(|token| self.is(token))
    }
}

/// Where the API's token is.
pub fn token_path(configured: Option<&Path>, state_dir: &Path) -> PathBuf {
    configured.map_or_else(|| state_dir.join(TOKEN_FILE), Path::to_owned)
}

/// The token that is configured, else the one in the state directory, which is made (mode
/// 0600) if it is not there.
///
/// # Errors
/// When it cannot be read or made, or is empty.
pub fn token(configured: Option<&Path>, state_dir: &Path) -> io::Result<Secret> {
    let path = token_path(configured, state_dir);
    if configured.is_none() && !path.exists() {
        make(&path).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))?;
    }
    Secret::read(&path)
}

/// Makes a token that is there whole or not at all: one that a crash left empty would let nobody in
/// again, and stop every later start.
fn make(path: &Path) -> io::Result<()> {
    let random: [u8; TOKEN_BYTES] = rand::random();
    let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    let written = write_private(&unfinished, &format!("{text}\n"));
    // Unlike a rename it leaves a token alone that somebody else made meanwhile.
    let linked = written.and_then(|()| std::fs::hard_link(&unfinished, path));
    let _ = std::fs::remove_file(&unfinished);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Names under which the API may be called. A page of a foreign site can make its own name
/// mean our address, but cannot make the browser send another name than its own.
#[derive(Clone, Debug, Default)]
pub struct Hosts(pub Vec<String>);

impl Hosts {
    /// Whether `Host` is an address, a loopback name, or one that is configured.
    pub fn allow(&self, host: Option<&[u8]>) -> bool {
        let Some(host) = host.and_then(|host| std::str::from_utf8(host).ok()) else { return false };
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, _)) => address,
            None => host.split(':').next().unwrap_or_default(),
        };
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_and_for_us_alone() {
        let dir = tempfile::tempdir().unwrap();
        let made = token(None, dir.path()).unwrap();
        let path = dir.path().join(TOKEN_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(made.expose().len(), 64);
        assert_eq!(token(None, dir.path()).unwrap().expose(), made.expose());
        make(&path).unwrap();
        assert_eq!(token(None, dir.path()).unwrap().expose(), made.expose(), "another's is left alone");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left there");
        std::fs::write(&path, " \n").unwrap();
        let error = token(None, dir.path()).unwrap_err().to_string();
        assert!(error.contains("the secret is empty"), "{error}");
        let error = token(Some(&dir.path().join("none")), dir.path()).unwrap_err().to_string();
        assert!(error.contains("none"), "a configured one is not made: {error}");
        assert!(!format!("{made:?}").contains(made.expose()));
    }

    #[test]
    fn only_the_whole_token_is_let_in() {
        let secret = Secret::new("s3cret\n").unwrap();
        let headers = |value: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, header::HeaderValue::from_static(value))])
        };
        assert!(secret.is_bearer(&headers("Bearer s3cret")) && secret.is_bearer(&headers("bearer s3cret")));
        for wrong in ["Bearer s3cre", "Bearer s3crett", "Bearer ", "Bearer", "s3cret", "Basic s3cret", ""] {
            assert!(!secret.is_bearer(&headers(wrong)), "{wrong:?}");
        }
        assert!(!secret.is_bearer(&HeaderMap::new()));
    }

    #[test]
    fn a_foreign_name_is_no_host_of_ours() {
        let hosts = Hosts(vec!["skep.example.com".into()]);
        for host in
            ["127.0.0.1:9741", "localhost", "LOCALHOST:1", "[::1]:9741", "10.0.0.5", "Skep.example.com:443"]
        {
            assert!(hosts.allow(Some(host.as_bytes())), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example:9741",
            "127.0.0.1.evil.example",
            "",
            "[evil]",
            "skep.example.com.evil",
        ] {
            assert!(!hosts.allow(Some(host.as_bytes())), "{host}");
        }
        assert!(!hosts.allow(None));
    }
}
