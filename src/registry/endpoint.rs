//! Where a repository's registry is, and what the configuration says of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::{Host, Url};

use super::{RegistryError, RegistryErrorKind};
use crate::config::RegistryConfig;
use crate::image::{DOCKER_HUB, Repository};

/// Docker Hub's API does not live at the name that references give.
const DOCKER_HUB_API: &str = "registry-1.docker.io";
/// The key under which docker keeps Docker Hub's credentials.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The `[registries]` of the configuration, ready to be asked.
#[derive(Debug)]
pub(super) struct Settings {
    /// The longest prefix first.
    entries: Vec<Entry>,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// As written in the configuration, for messages.
    pub(super) key: String,
    scope: Scope,
    pub(super) config: RegistryConfig,
}

/// A registry, or a part of it: `host[:port][/prefix]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) host: String,
    /// Whole path components; empty: the whole registry.
    pub(super) prefix: String,
}

/// One repository's registry as it is reached.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    pub(super) repository: Repository,
    /// Scheme, host and port; the path is `/`.
    pub(super) base: Url,
    /// An additional certificate authority.
    pub(super) ca: Option<PathBuf>,
    /// The host of a token server elsewhere, which credentials are for too.
    pub(super) realm: Option<String>,
}

impl Scope {
    /// Reads a key of `[registries]` or of docker's `auths`: a scheme, and the `/v1/` or
    /// `/v2/` that docker appends, do not count. Docker Hub has several names.
    pub(super) fn parse(key: &str) -> Self {
        let key = key.trim();
        let key = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let (host, path) = key.split_once('/').unwrap_or((key, ""));
        let prefix = match path.trim_matches('/') {
            "v1" | "v2" => "",
            prefix => prefix,
        };
        let host = match host {
            "index.docker.io" | DOCKER_HUB_API => DOCKER_HUB,
            host => host,
        };
        Self { host: host.to_owned(), prefix: prefix.to_owned() }
    }

    /// Whether the repository lies within, by whole path components.
    pub(super) fn covers(&self, repository: &Repository) -> bool {
        self.host == repository.registry()
            && match repository.path().strip_prefix(&self.prefix) {
                Some(rest) => self.prefix.is_empty() || rest.is_empty() || rest.starts_with('/'),
                None => false,
            }
    }
}

impl Settings {
    pub(super) fn new(registries: &BTreeMap<String, RegistryConfig>) -> Self {
        let mut entries: Vec<Entry> = registries
            .iter()
            .map(|(key, config)| Entry { key: key.clone(), scope: Scope::parse(key), config: config.clone() })
            .collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.scope.prefix.len()));
        Self { entries }
    }

    /// The entries for a repository, the most specific first: what one leaves out, the next
    /// may say.
    pub(super) fn of(&self, repository: &Repository) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.scope.covers(repository))
    }

    /// Where to ask for a repository, in order: its mirrors, then the registry itself. A mirror is a
    /// registry of its own, with its own entry for credentials, certificates and plain HTTP.
    pub(super) fn endpoints(&self, repository: &Repository) -> Result<Vec<Endpoint>, RegistryError> {
        let stated = self.of(repository).find(|entry| !entry.config.mirrors.is_empty());
        let mirrors = stated.into_iter().flat_map(|entry| &entry.config.mirrors);
        let mut endpoints = Vec::new();
        for mirror in mirrors {
            let name = format!("{mirror}/{}", repository.path());
            let mirrored: Repository = name.parse().map_err(|_| not_a_host(repository))?;
            endpoints.push(self.endpoint(&mirrored)?);
        }
        endpoints.push(self.endpoint(repository)?);
        Ok(endpoints)
    }

    /// How the repository's registry is reached: plain HTTP where the configuration says so,
    /// or at loopback where it does not say otherwise.
    pub(super) fn endpoint(&self, repository: &Repository) -> Result<Endpoint, RegistryError> {
        let host = match repository.registry() {
            DOCKER_HUB => DOCKER_HUB_API,
            host => host,
        };
        let https = Url::parse(&format!("https://{host}/")).map_err(|_| not_a_host(repository))?;
        let plain = self
            .of(repository)
            .find_map(|entry| entry.config.plain_http)
            .unwrap_or_else(|| is_loopback(&https));
        let base = if plain {
            Url::parse(&format!("http://{host}/")).map_err(|_| not_a_host(repository))?
        } else {
            https
        };
        let ca = self.of(repository).find_map(|entry| entry.config.ca.clone());
        let realm = self.of(repository).find_map(|entry| entry.config.realm.clone());
        Ok(Endpoint { repository: repository.clone(), base, ca, realm })
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// `example.com` of `registry.example.com`; what is left of `quay.io` is nobody's domain.
fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'))
}

fn not_a_host(repository: &Repository) -> RegistryError {
    let message = "this is not a host name or address: check the image's name";
    RegistryError::new(RegistryErrorKind::Unavailable, repository.registry(), message)
}

impl Endpoint {
    pub(super) fn registry(&self) -> &str {
        self.repository.registry()
    }

    pub(super) fn is_plain(&self) -> bool {
        self.base.scheme() == "http"
    }

    /// `/v2/<repository>/<rest>`.
    pub(super) fn url(&self, rest: &str) -> Url {
        let mut url = self.base.clone();
        let (path, query) = rest.split_once('?').map_or((rest, None), |(p, q)| (p, Some(q)));
        url.set_path(&format!("/v2/{}/{path}", self.repository.path()));
        url.set_query(query);
        url
    }

    /// Whether a URL that an answer named may be asked, without credentials if it is on
    /// another host. No way leads from TLS to plain HTTP, nor from elsewhere to this machine.
    pub(super) fn may_go_to(&self, url: &Url) -> Result<(), &'static str> {
        match url.scheme() {
            "https" => {}
            "http" if self.is_plain() => {}
            "http" => return Err("from https to plain http"),
            _ => return Err("to something that is not http"),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("to a URL with credentials in it");
        }
        if is_loopback(url) && !is_loopback(&self.base) {
            return Err("to this machine's loopback");
        }
        Ok(())
    }

    /// Whether a token server is shown the registry's credentials: on the registry's own host, in the
    /// domain of that, or named by the configuration. Docker shows them to whoever the registry says.
    pub(super) fn may_show_to(&self, realm: &Url) -> bool {
        let (Some(home), Some(host)) = (self.base.host(), realm.host()) else { return false };
        let named = self.realm.as_deref().is_some_and(|named| Some(named) == realm.host_str());
        named
            || match (home, host) {
                (Host::Domain(home), Host::Domain(host)) => {
                    let in_domain = |domain: &str| host == domain || is_below(host, domain);
                    in_domain(home) || parent(home).is_some_and(in_domain)
                }
                (home, host) => home == host,
            }
    }

    /// Whether the URL is on the registry's own scheme, host and port.
    pub(super) fn is_own(&self, url: &Url) -> bool {
        self.base.origin() == url.origin()
    }
}

/// What docker calls the registry when it stores or sends credentials.
pub(super) fn server_address(repository: &Repository) -> &str {
    match repository.registry() {
        DOCKER_HUB => DOCKER_HUB_KEY,
        host => host,
    }
}

/// 127.0.0.0/8, ::1 and `localhost`.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(entries: &[(&str, RegistryConfig)]) -> Settings {
        Settings::new(&entries.iter().map(|(k, c)| ((*k).to_owned(), c.clone())).collect())
    }

    fn plain(value: bool) -> RegistryConfig {
        RegistryConfig { plain_http: Some(value), ..Default::default() }
    }

    #[test]
    fn finds_the_registry() {
        let set = settings(&[
            ("insecure.example.com:5000", plain(true)),
            ("127.0.0.2:443", plain(false)),
            ("mixed.example.com", plain(true)),
            ("mixed.example.com/tls", plain(false)),
        ]);
        for (image, expected) in [
            ("nginx", "https://registry-1.docker.io/v2/library/nginx/x"),
            ("quay.io/a/b", "https://quay.io/v2/a/b/x"),
            ("localhost:5000/a", "http://localhost:5000/v2/a/x"),
            ("127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/a/x"),
            ("127.9.9.9/a", "http://127.9.9.9/v2/a/x"),
            ("[::1]:5000/a", "http://[::1]:5000/v2/a/x"),
            ("10.0.0.1:5000/a", "https://10.0.0.1:5000/v2/a/x"),
            ("insecure.example.com:5000/a", "http://insecure.example.com:5000/v2/a/x"),
            ("insecure.example.com/a", "https://insecure.example.com/v2/a/x"),
            ("127.0.0.2:443/a", "https://127.0.0.2/v2/a/x"),
            ("mixed.example.com/a", "http://mixed.example.com/v2/a/x"),
            ("mixed.example.com/tls/a", "https://mixed.example.com/v2/tls/a/x"),
            ("mixed.example.com/tlsx/a", "http://mixed.example.com/v2/tlsx/a/x"),
        ] {
            let endpoint = set.endpoint(&image.parse().unwrap()).unwrap();
            assert_eq!(endpoint.url("x").as_str(), expected, "{image}");
        }
        assert!(set.endpoint(&"999.1.1.1/a".parse().unwrap()).is_err());
    }

    #[test]
    fn the_most_specific_entry_speaks_first() {
        let user = |name: &str| RegistryConfig { username: Some(name.into()), ..Default::default() };
        let set = settings(&[
            ("r.io", plain(true)),
            ("r.io/a/b/", user("inner")),
            ("https://r.io/a", user("outer")),
            ("index.docker.io/team", user("hub")),
        ]);
        for (image, expected) in [
            ("r.io/a/b", Some("inner")),
            ("r.io/a/b/c", Some("inner")),
            ("r.io/a/bc", Some("outer")),
            ("r.io/ab", None),
            ("team/x", Some("hub")),
            ("nginx", None),
        ] {
            let repository = image.parse().unwrap();
            let name = set.of(&repository).find_map(|e| e.config.username.clone());
            assert_eq!(name.as_deref(), expected, "{image}");
        }
        assert!(set.endpoint(&"r.io/a/b".parse().unwrap()).unwrap().is_plain(), "inherited");
    }

    #[test]
    fn reads_docker_keys() {
        for (key, host, prefix) in [
            ("https://index.docker.io/v1/", "docker.io", ""),
            ("docker.io", "docker.io", ""),
            ("registry-1.docker.io/v2", "docker.io", ""),
            ("http://r.io:5000/v2/", "r.io:5000", ""),
            ("r.io/team", "r.io", "team"),
        ] {
            assert_eq!(Scope::parse(key), Scope { host: host.into(), prefix: prefix.into() }, "{key}");
        }
    }

    #[test]
    fn credentials_stay_in_the_registrys_domain() {
        let named = RegistryConfig { realm: Some("login.example.net".into()), ..Default::default() };
        let set = settings(&[("named.example.com", named)]);
        for (image, realm, shown) in [
            ("nginx", "https://auth.docker.io/token", true),
            ("registry.gitlab.com/a/b", "https://gitlab.com/jwt/auth", true),
            ("registry.example.com/a", "https://gitlab.example.com/jwt/auth", true),
            ("ghcr.io/a/b", "https://ghcr.io/token", true),
            ("quay.io/a/b", "https://auth.quay.io/token", true),
            ("192.168.1.2:5000/a", "https://192.168.1.2:5001/token", true),
            ("named.example.com/a", "https://login.example.net/token", true),
            ("quay.io/a/b", "https://evil.io/token", false),
            ("registry.example.com/a", "https://login.example.net/token", false),
            ("registry.example.com/a", "https://evilexample.com/token", false),
            ("registry.example.com/a", "https://example.com.evil.net/token", false),
            ("192.168.1.2:5000/a", "https://192.168.1.3/token", false),
            ("127.0.0.1:5000/a", "http://localhost:5000/token", false),
        ] {
            let endpoint = set.endpoint(&image.parse().unwrap()).unwrap();
            assert_eq!(endpoint.may_show_to(&Url::parse(realm).unwrap()), shown, "{image} {realm}");
        }
    }

    #[test]
    fn some_ways_are_barred() {
        let url = |text: &str| Url::parse(text).unwrap();
        let set = settings(&[("plain.example.com", plain(true))]);
        let tls = set.endpoint(&"r.io/a".parse().unwrap()).unwrap();
        let plain = set.endpoint(&"plain.example.com/a".parse().unwrap()).unwrap();
        let local = set.endpoint(&"127.0.0.1:5000/a".parse().unwrap()).unwrap();
        for (endpoint, to, ok) in [
            (&tls, "https://storage.example.com/x", true),
            (&tls, "http://r.io/x", false),
            (&tls, "https://127.0.0.1/x", false),
            (&tls, "https://u:p@storage.example.com/x", false),
            (&tls, "file:///etc/passwd", false),
            (&plain, "http://storage.example.com/x", true),
            (&plain, "http://localhost:2375/x", false),
            (&plain, "http://[::1]/x", false),
            (&local, "http://localhost:5001/x", true),
        ] {
            assert_eq!(endpoint.may_go_to(&url(to)).is_ok(), ok, "{to}");
        }
    }
}
