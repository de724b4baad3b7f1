//! The table of keys: each scalar key once, for the file, the environment and flags alike.

use std::net::SocketAddr;
use std::time::Duration;

use super::values::Raw;
use super::{Config, Hook, Listen, RegistryConfig, parse_docker_host, registries};

/// How a key takes its value; the error says what is wrong with it and the mend.
pub(super) type Set<T> = fn(&mut T, &Raw<'_>) -> Result<(), String>;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A segment below this would be turned over by a handful of events.
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const SEGMENT_BYTES_MAX: u64 = 16 << 30;
const SEGMENTS_MAX: usize = 10_000;
const HOSTS_MAX: usize = 64;
/// More customers at once than this only queue up inside one Swarm manager.
const CONCURRENCY_MAX: usize = 256;

const COMMITS_MAX: usize = 1_000_000;

/// Each is one more that may hang before the registry itself is asked.
const MIRRORS_MAX: usize = 4;

/// Every key but those under `[registries]`.
pub(super) const KEYS: &[(&str, Set<Config>)] = &[
    ("docker.host", |c, v| set_docker_host(c, &v.text()?)),
    ("docker.ca", |c, v| v.path().map(|path| c.docker.ca = Some(path))),
    ("docker.cert", |c, v| v.path().map(|path| c.docker.cert = Some(path))),
    ("docker.key", |c, v| v.path().map(|path| c.docker.key = Some(path))),
    ("source.dir", |c, v| v.path().map(|path| c.specs_dir = path)),
    ("source.git.url", |c, v| v.text().map(|url| c.git_typed.url = Some(url))),
    ("source.git.branch", |c, v| v.text().map(|name| c.git_typed.branch = Some(name))),
    ("source.git.tag", |c, v| v.text().map(|name| c.git_typed.tag = Some(name))),
    ("source.git.path", |c, v| v.text().map(|path| c.git_typed.path = Some(path))),
    ("source.git.interval", |c, v| v.duration(SECOND, DAY).map(|every| c.git_typed.interval = Some(every))),
    ("source.git.timeout", |c, v| v.duration(SECOND, HOUR).map(|within| c.git_typed.timeout = Some(within))),
    ("source.git.depth", |c, v| v.count(0, COMMITS_MAX).map(|depth| c.git_typed.depth = Some(depth))),
    ("source.git.username", |c, v| v.text().map(|name| c.git_typed.username = Some(name))),
    ("source.git.token_file", |c, v| v.path().map(|path| c.git_typed.token_file = Some(path))),
    ("source.git.password_file", |c, v| v.path().map(|path| c.git_typed.password_file = Some(path))),
    ("source.git.ssh_key_file", |c, v| v.path().map(|path| c.git_typed.ssh_key_file = Some(path))),
    ("source.git.known_hosts_file", |c, v| v.path().map(|path| c.git_typed.known_hosts_file = Some(path))),
    ("source.git.ca_file", |c, v| v.path().map(|path| c.git_typed.ca_file = Some(path))),
    ("source.git.verify", |c, v| v.text().map(|what| c.git_typed.verify = Some(what))),
    ("source.git.allowed_signers_file", |c, v| {
        v.path().map(|path| c.git_typed.allowed_signers_file = Some(path))
    }),
    ("source.git.gpg_keyring_file", |c, v| v.path().map(|path| c.git_typed.gpg_keyring_file = Some(path))),
    ("source.git.force_push", |c, v| v.text().map(|how| c.git_typed.force_push = Some(how))),
    ("state.dir", |c, v| v.path().map(|path| c.state_dir = path)),
    ("poll.registry", |c, v| v.duration(SECOND, DAY).map(|every| c.poll_registry = every)),
    ("poll.resync", |c, v| v.duration(SECOND, DAY).map(|every| c.resync = every)),
    ("rollout.timeout", |c, v| v.duration(SECOND, DAY).map(|within| c.rollout_timeout = within)),
    ("rollout.concurrency", |c, v| v.count(1, CONCURRENCY_MAX).map(|count| c.rollout_concurrency = count)),
    ("http.listen", |c, v| parse_listen(&v.text()?).map(|address| c.http_listen = address)),
    ("http.allow_remote", |c, v| v.flag().map(|on| c.http_allow_remote = on)),
    ("http.hosts", |c, v| v.list(HOSTS_MAX).map(|hosts| c.http_hosts = hosts)),
    ("http.token_file", |c, v| v.path().map(|path| c.http_token_file = Some(path))),
    ("hooks.git.github.secret_file", |c, v| set_hook(c, Hook::GitGithub, v)),
    ("hooks.git.gitlab.secret_file", |c, v| set_hook(c, Hook::GitGitlab, v)),
    ("hooks.git.gitea.secret_file", |c, v| set_hook(c, Hook::GitGitea, v)),
    ("hooks.git.generic.secret_file", |c, v| set_hook(c, Hook::GitGeneric, v)),
    ("hooks.registry.distribution.secret_file", |c, v| set_hook(c, Hook::RegistryDistribution, v)),
    ("hooks.registry.harbor.secret_file", |c, v| set_hook(c, Hook::RegistryHarbor, v)),
    ("hooks.registry.github.secret_file", |c, v| set_hook(c, Hook::RegistryGithub, v)),
    ("hooks.registry.dockerhub.secret_file", |c, v| set_hook(c, Hook::RegistryDockerHub, v)),
    ("hooks.registry.quay.secret_file", |c, v| set_hook(c, Hook::RegistryQuay, v)),
    ("hooks.registry.generic.secret_file", |c, v| set_hook(c, Hook::RegistryGeneric, v)),
    ("events.max_bytes", |c, v| {
        v.size(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX).map(|size| c.events_max_bytes = size)
    }),
    ("events.keep", |c, v| v.count(1, SEGMENTS_MAX).map(|count| c.events_keep = count)),
];

/// The keys of one entry under `[registries]`.
pub(super) const REGISTRY_KEYS: &[(&str, Set<RegistryConfig>)] = &[
    ("plain_http", |r, v| v.flag().map(|on| r.plain_http = Some(on))),
    ("username", |r, v| v.text().map(|name| r.username = Some(name))),
    ("password_file", |r, v| v.path().map(|path| r.password_file = Some(path))),
    ("credential_helper", |r, v| v.text().map(|name| r.credential_helper = Some(name))),
    ("credentials", |r, v| match v.text()?.as_str() {
        "aws-environment" => {
            r.aws_environment = true;
            Ok(())
        }
        other => Err(format!("is `{}`; known is \"aws-environment\"", crate::text::printable(other, 80))),
    }),
    ("realm", |r, v| {
        let host = v.text()?.to_ascii_lowercase();
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let is_host = !host.is_empty() && host.len() <= 253 && host.chars().all(known);
        let wrong = || "is to be the host's name alone, such as \"auth.example.com\"".to_owned();
        is_host.then(|| r.realm = Some(host)).ok_or_else(wrong)
    }),
    ("ca", |r, v| v.path().map(|path| r.ca = Some(path))),
    ("renew", |r, v| v.duration(SECOND, DAY).map(|every| r.renew = Some(every))),
    ("mirrors", |r, v| {
        let mirrors: Result<_, String> = v.list(MIRRORS_MAX)?.iter().map(|name| parse_mirror(name)).collect();
        mirrors.map(|mirrors| r.mirrors = mirrors)
    }),
];

/// Keys that are promised but not built.
pub(super) const NOT_YET: &[&str] = &[];

/// Secrets that people write in by habit, and what to write instead.
pub(super) const SECRETS: &[(&str, &str)] = &[
    ("password", "password_file"),
    ("token", "token_file"),
    ("secret", "token_file"),
    ("secret", "secret_file"),
    ("token", "secret_file"),
];

/// Sets a key by its dotted name. `server` has no place in the file but is set alike.
pub(super) fn set(config: &mut Config, key: &str, value: &Raw<'_>) -> Result<(), String> {
    if key == "server" {
        return set_server(config, &value.text()?);
    }
    match KEYS.iter().find(|(name, _)| *name == key) {
        Some((_, set)) => set(config, value),
        None => Err("is not a key".into()),
    }
}

fn set_server(config: &mut Config, text: &str) -> Result<(), String> {
    let is_socket = text.strip_prefix("unix://").is_some_and(|path| path.starts_with('/'));
    let url = url::Url::parse(text).ok().filter(|url| url.scheme() == "http" && url.has_host());
    if !is_socket && url.is_none() {
        let shown = crate::text::printable(text, 80);
        return Err(format!(
            "is `{shown}`, not a URL such as http://127.0.0.1:9741 or unix:///run/skep.sock"
        ));
    }
    config.server = Some(text.to_owned());
    Ok(())
}

fn set_hook(config: &mut Config, hook: Hook, value: &Raw<'_>) -> Result<(), String> {
    value.path().map(|path| drop(config.hook_secrets.insert(hook, path)))
}

fn set_docker_host(config: &mut Config, text: &str) -> Result<(), String> {
    parse_docker_host(text)?;
    config.docker.host = Some(text.to_owned());
    Ok(())
}

fn parse_mirror(text: &str) -> Result<String, String> {
    registries::parse_name(text)
        .map_err(|mend| format!("names the mirror `{}`, which {mend}", crate::text::printable(text, 80)))
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix://").filter(|path| path.starts_with('/')) {
        return Ok(Listen::Unix(path.into()));
    }
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse::<SocketAddr>().map(Listen::Tcp).map_err(|_| {
        format!(
            "is `{}`, not an IP address and port, such as 127.0.0.1:9741, or unix:///run/skep.sock",
            crate::text::printable(text, 80)
        )
    })
}

/// The known key that a mistyped one most likely means: among its siblings, else the same
/// name in another section.
pub(super) fn nearest(key: &str, siblings: &[&str]) -> Option<String> {
    if let Some(known) = crate::text::nearest(key, siblings.iter().copied()) {
        return Some(known.to_owned());
    }
    let elsewhere = KEYS.iter().find(|(name, _)| name.rsplit('.').next() == Some(key));
    elsewhere.map(|(name, _)| (*name).to_owned())
}
