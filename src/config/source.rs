//! `[source.git]`: where specs come from if not from a directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::{Config, Problem};
use crate::text::{is_unsafe, printable};

/// A git repository that holds the specs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitConfig {
    /// `https://…`, `ssh://…`, `file://…`, or `http://…` on this machine; without a secret.
    pub url: String,
    /// At most one of the two; neither: the remote's `HEAD`.
    pub branch: Option<String>,
    pub tag: Option<String>,
    /// The folder with the specs, `/` between parts; empty: all of it.
    pub path: String,
    /// How often it is fetched.
    pub interval: Duration,
    /// A single git command may take so long.
    pub timeout: Duration,
    /// Commits that the first fetch brings; 0: all.
    pub depth: usize,
    pub access: GitAccess,
    /// Certificate authorities for https, PEM, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the head must be signed by a key of the two files.
    pub verify: bool,
    pub allowed_signers_file: Option<PathBuf>,
    pub gpg_keyring_file: Option<PathBuf>,
    /// Whether a commit that does not follow the last good one is taken.
    pub follow_force_push: bool,
}

/// What opens the repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GitAccess {
    #[default]
    None,
    /// By basic authentication, as tokens go too. The file is read at each use.
    Password {
        username: String,
        file: PathBuf,
    },
    Ssh {
        key: PathBuf,
        known_hosts: PathBuf,
    },
}

/// What was typed, before it is known what it makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Typed {
    pub url: Option<String>,
    pub branch: Option<String>,
    pub tag: Option<String>,
    pub path: Option<String>,
    pub interval: Option<Duration>,
    pub timeout: Option<Duration>,
    pub depth: Option<usize>,
    pub username: Option<String>,
    pub token_file: Option<PathBuf>,
    pub password_file: Option<PathBuf>,
    pub ssh_key_file: Option<PathBuf>,
    pub known_hosts_file: Option<PathBuf>,
    pub ca_file: Option<PathBuf>,
    pub verify: Option<String>,
    pub allowed_signers_file: Option<PathBuf>,
    pub gpg_keyring_file: Option<PathBuf>,
    pub force_push: Option<String>,
}

impl GitConfig {
    /// The name that is asked for.
    pub fn remote_ref(&self) -> String {
        match (&self.branch, &self.tag) {
            (Some(branch), _) => format!("refs/heads/{branch}"),
            (_, Some(tag)) => format!("refs/tags/{tag}"),
            _ => "HEAD".into(),
        }
    }

    /// The same for people.
    pub fn wanted(&self) -> String {
        match (&self.branch, &self.tag) {
            (Some(branch), _) => format!("branch {branch}"),
            (_, Some(tag)) => format!("tag {tag}"),
            _ => "the default branch".into(),
        }
    }

    pub fn scheme(&self) -> &str {
        self.url.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// Scheme, host and port: whom credentials are for.
    pub fn origin(&self) -> String {
        Url::parse(&self.url)
            .map(|url| format!("{}/", url.origin().ascii_serialization()))
            .unwrap_or_default()
    }

    /// For messages.
    pub fn shown_url(&self) -> String {
        printable(&self.url, 200)
    }
}

/// Makes what was typed into what is meant.
pub(super) fn finish(config: &mut Config) -> Vec<Problem> {
    let typed = &config.git_typed;
    if *typed == Typed::default() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let checked = check(typed, &mut errors);
    if errors.is_empty() {
        config.git = Some(checked);
    }
    errors.into_iter().map(|message| Problem::elsewhere("source.git", message)).collect()
}

fn check(typed: &Typed, errors: &mut Vec<String>) -> GitConfig {
    let url = typed.url.clone().unwrap_or_default();
    if let Err(error) = check_url(&url) {
        errors.push(error);
    }
    if typed.branch.is_some() && typed.tag.is_some() {
        errors.push("has both `branch` and `tag`; keep one".into());
    }
    for (key, name) in [("branch", &typed.branch), ("tag", &typed.tag)] {
        if name.as_deref().is_some_and(|name| !is_ref_name(name)) {
            let shown = printable(name.as_deref().unwrap_or_default(), 80);
            errors.push(format!("`{key}` is `{shown}`, which git allows no {key} to be named"));
        }
    }
    let path =
        typed.path.clone().unwrap_or_default().trim_end_matches('/').trim_start_matches("./").to_owned();
    if path.split('/').any(|part| part.is_empty() || matches!(part, "." | ".." | ".git"))
        && !path.is_empty()
        && path != "."
        || path.chars().any(is_unsafe)
    {
        errors.push(format!("`path` is `{}`, not a folder inside the repository", printable(&path, 80)));
    }
    let verify = typed.verify.as_deref() == Some("head");
    if typed.verify.is_some() && !verify {
        errors.push("`verify` is to be \"head\", or to be left out".into());
    }
    let keys = typed.allowed_signers_file.is_some() || typed.gpg_keyring_file.is_some();
    if verify != keys {
        errors.push(
            "needs `verify = \"head\"` and `allowed_signers_file` or `gpg_keyring_file` together".into(),
        );
    }
    if !matches!(typed.force_push.as_deref(), None | Some("refuse" | "follow")) {
        errors.push("`force_push` is to be \"refuse\" or \"follow\"".into());
    }
    GitConfig {
        access: check_access(typed, &url, errors),
        url,
        branch: typed.branch.clone(),
        tag: typed.tag.clone(),
        path: if path == "." { String::new() } else { path },
        interval: typed.interval.unwrap_or(Duration::from_secs(60)),
        timeout: typed.timeout.unwrap_or(Duration::from_secs(60)),
        depth: typed.depth.unwrap_or(1),
        ca_file: typed.ca_file.clone(),
        verify,
        allowed_signers_file: typed.allowed_signers_file.clone(),
        gpg_keyring_file: typed.gpg_keyring_file.clone(),
        follow_force_push: typed.force_push.as_deref() == Some("follow"),
    }
}

fn check_url(text: &str) -> Result<(), String> {
    let shapes = "https://…, ssh://user@host/path or file:///path";
    if text.is_empty() {
        return Err(format!("needs `url`: {shapes}"));
    }
    // Nothing of it is shown: it may hold a secret.
    let url = Url::parse(text).map_err(|_| format!("`url` is none; write {shapes}"))?;
    if url.password().is_some() || (!url.username().is_empty() && url.scheme() != "ssh") {
        return Err("`url` holds credentials; put the secret in a file and name it: token_file".into());
    }
    if text.chars().any(|c| is_unsafe(c) || c.is_whitespace())
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(format!("`url` holds what no repository's address has; write {shapes}"));
    }
    // A host or user that begins with a dash would be taken for an option.
    if url.host_str().is_some_and(|host| host.starts_with('-')) || url.username().starts_with('-') {
        return Err("`url` names a host or user that begins with a dash".into());
    }
    match url.scheme() {
        "https" | "ssh" if url.has_host() => Ok(()),
        "file" if url.host_str().is_none() => Ok(()),
        "http" if url.host().is_some_and(|host| is_loopback(&host)) => Ok(()),
        "http" => Err("`url` is plain http, which only this machine may speak; write https://…".into()),
        _ => Err(format!("`url` is to be {shapes}")),
    }
}

fn is_loopback(host: &url::Host<&str>) -> bool {
    match host {
        url::Host::Domain(name) => *name == "localhost",
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
    }
}

fn check_access(typed: &Typed, url: &str, errors: &mut Vec<String>) -> GitAccess {
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    let web = matches!(scheme, "https" | "http");
    let secret = match (&typed.token_file, &typed.password_file) {
        (Some(_), Some(_)) => {
            errors.push("has both `token_file` and `password_file`; keep one".into());
            None
        }
        (token, password) => token.clone().or(password.clone()),
    };
    if (secret.is_some() || typed.username.is_some()) && !web {
        errors.push("has `username`, `token_file` or `password_file`, which are for https only".into());
    }
    if typed.password_file.is_some() != typed.username.is_some() && typed.token_file.is_none() {
        errors.push("needs `username` and `password_file` together".into());
    }
    if typed.username.as_deref().is_some_and(|name| name.chars().any(|c| is_unsafe(c) || c == ':')) {
        errors.push("`username` holds a colon or control characters".into());
    }
    match (scheme, &typed.ssh_key_file, &typed.known_hosts_file) {
        ("ssh", Some(key), Some(known_hosts)) => {
            if !is_plain(key) || !is_plain(known_hosts) {
                errors.push("`ssh_key_file` and `known_hosts_file` hold spaces, quotes, `%` or `$`, which ssh reads in its own way".into());
            }
            return GitAccess::Ssh { key: key.clone(), known_hosts: known_hosts.clone() };
        }
        ("ssh", _, _) => errors.push("needs `ssh_key_file` and `known_hosts_file` for ssh".into()),
        (_, None, None) => {}
        _ => errors.push("has `ssh_key_file` or `known_hosts_file`, which are for ssh only".into()),
    }
    match secret {
        Some(file) => {
            let username = typed.username.clone().unwrap_or_else(|| "git".into());
            GitAccess::Password { username, file }
        }
        None => GitAccess::None,
    }
}

fn is_plain(path: &Path) -> bool {
    let odd = |c: char| is_unsafe(c) || c.is_whitespace() || "%$\"'\\~#".contains(c);
    path.to_str().is_some_and(|text| !text.chars().any(odd))
}

/// The rules of `git check-ref-format` for a branch or tag.
fn is_ref_name(name: &str) -> bool {
    let odd = |c: char| is_unsafe(c) || c.is_whitespace() || "~^:?*[\\".contains(c);
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    !name.starts_with('-')
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && name != "@"
        && !name.chars().any(odd)
        && name.split('/').all(part)
}
