//! Where credentials come from: `skep.toml`, else docker's `config.json`, else (for ECR) the environment.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::prelude::*;
use serde_json::json;
use tokio::time::Instant;

use super::cache::{Bounded, Flights, lock};
use super::docker_config::{self, DockerConfig};
use super::ecr::Ecr;
use super::endpoint::{Entry, Settings, server_address};
use super::limits::REPOSITORIES_MAX;
use super::secret::{Credential, Found, Secret};
use super::{Limits, RegistryError, RegistryErrorKind as Kind, helper};
use crate::image::Repository;

/// Bytes of a password file.
const PASSWORD_MAX: u64 = 64 << 10;

pub(super) struct Credentials {
    settings: Arc<Settings>,
    /// The directory of docker's `config.json`.
    docker_config: Option<PathBuf>,
    helper_dirs: Vec<PathBuf>,
    ecr: Ecr,
    limits: Limits,
    /// What helpers said, by helper and server.
    helped: Flights<(String, String), Option<Credential>>,
    /// What `renewal` found, and when: it is asked for each service at each pass.
    renewals: Mutex<Bounded<Repository, (Instant, Option<Duration>)>>,
}

impl Credentials {
    pub(super) fn new(
        settings: Arc<Settings>,
        docker_config: Option<PathBuf>,
        helper_dirs: Vec<PathBuf>,
        ecr: Ecr,
    ) -> Self {
        let limits = ecr.limits().clone();
        let helped = Flights::new(REPOSITORIES_MAX, limits.error_ttl);
        let renewals = Mutex::new(Bounded::new(REPOSITORIES_MAX));
        Self { settings, docker_config, helper_dirs, ecr, limits, helped, renewals }
    }

    /// The credentials for a repository; files are read again each time. A source that is
    /// named but cannot be read is an error: to go on without would show fewer repositories.
    pub(super) async fn find(&self, repository: &Repository) -> Result<Option<Found>, RegistryError> {
        for entry in self.settings.of(repository) {
            if let Some(found) = self.configured(entry, repository).await? {
                return Ok(Some(found));
            }
        }
        if let Some(found) = self.docker_login(repository).await? {
            return Ok(Some(found));
        }
        match self.ecr.serves(repository.registry()) {
            true => self.aws(repository).await.map(Some),
            false => Ok(None),
        }
    }

    /// A token for the keys in the environment.
    async fn aws(&self, repository: &Repository) -> Result<Found, RegistryError> {
        let credential = self.ecr.credential(&self.settings.endpoint(repository)?).await?;
        Ok(Found { credential, source: "the AWS keys in the environment".to_owned() })
    }

    /// How often what nodes were given is to be replaced: as the configuration says, else by the
    /// life that the tokens of a helper are known to have.
    pub(super) async fn renewal(&self, repository: &Repository) -> Option<Duration> {
        if let Some((found, renewal)) = lock(&self.renewals).get(repository).copied()
            && found.elapsed() < self.limits.helper_ttl
        {
            return renewal;
        }
        let renewal = self.find_renewal(repository).await;
        lock(&self.renewals).insert(repository.clone(), (Instant::now(), renewal));
        renewal
    }

    async fn find_renewal(&self, repository: &Repository) -> Option<Duration> {
        for entry in self.settings.of(repository) {
            let config = &entry.config;
            if config.renew.is_some() {
                return config.renew;
            }
            if config.aws_environment {
                return Some(self.ecr.renewal());
            }
            if let Some(helper) = &config.credential_helper {
                return Some(helper_renewal(helper));
            }
            if config.username.is_some() {
                return None;
            }
        }
        let config = self.docker_config().await.ok()?.unwrap_or_default();
        if let Some(helper) = config.expiring_helper(repository) {
            return Some(helper_renewal(helper));
        }
        let is_stored = matches!(config.stored(repository), Ok(Some(_)));
        (!is_stored && self.ecr.serves(repository.registry())).then(|| self.ecr.renewal())
    }

    /// Forgets what helpers said of a registry, since that was refused.
    pub(super) fn forget(&self, repository: &Repository) {
        if self.by_ecr(repository) {
            self.ecr.forget();
        }
        self.helped.retain(|(_, server)| server != server_address(repository));
    }

    /// Whether ECR's tokens may have been shown to this registry.
    fn by_ecr(&self, repository: &Repository) -> bool {
        self.ecr.serves(repository.registry())
            || self.settings.of(repository).any(|entry| entry.config.aws_environment)
    }

    /// From one entry of `[registries]`, if it speaks of credentials at all.
    async fn configured(
        &self,
        entry: &Entry,
        repository: &Repository,
    ) -> Result<Option<Found>, RegistryError> {
        let place = format!("[registries.\"{}\"] in skep.toml", entry.key);
        let wrong = |why: &str| Err(unreadable(repository, &format!("{place} {why}")));
        let config = &entry.config;
        if config.aws_environment {
            return self.aws(repository).await.map(Some);
        }
        if let Some(name) = &config.credential_helper {
            let source = format!("docker-credential-{name}, named by {place}");
            return match self.ask_helper(name, repository).await? {
                Some(credential) => Ok(Some(Found { credential, source })),
                None => Err(unreadable(
                    repository,
                    &format!("docker-credential-{name} has no credentials for it: log in with it first"),
                )),
            };
        }
        match (&config.username, &config.password_file) {
            (None, None) => Ok(None),
            (Some(_), None) => wrong("has a `username` but no `password_file`"),
            (None, Some(_)) => wrong("has a `password_file` but no `username`"),
            (Some(username), Some(path)) => {
                let password = read_password(path).await.map_err(|why| {
                    unreadable(repository, &format!("password_file {} of {place} {why}", path.display()))
                })?;
                let username = Secret::new(username.clone());
                Ok(Some(Found { credential: Credential::Password { username, password }, source: place }))
            }
        }
    }

    /// As docker finds them: a helper for the registry, the store for all, the file itself.
    async fn docker_login(&self, repository: &Repository) -> Result<Option<Found>, RegistryError> {
        let Some(path) = self.docker_config_path() else { return Ok(None) };
        let wrong = |why: &str| unreadable(repository, &format!("{} {why}", path.display()));
        let Some(config) = self.docker_config().await.map_err(|why| wrong(&why))? else { return Ok(None) };
        if let Some(name) = config.helper(repository)
            && let Some(credential) = self.ask_helper(name, repository).await?
        {
            let source = format!("docker-credential-{name}, named by {}", path.display());
            return Ok(Some(Found { credential, source }));
        }
        let stored = config.stored(repository).map_err(|why| wrong(&why))?;
        Ok(stored.map(|credential| Found { credential, source: path.display().to_string() }))
    }

    fn docker_config_path(&self) -> Option<PathBuf> {
        self.docker_config.as_ref().map(|dir| dir.join("config.json"))
    }

    /// The error is a clause for a message.
    async fn docker_config(&self) -> Result<Option<DockerConfig>, String> {
        let Some(path) = self.docker_config_path() else { return Ok(None) };
        let text = read_bounded(&path, docker_config::FILE_MAX).await?;
        text.map(|text| DockerConfig::parse(&text)).transpose()
    }

    async fn ask_helper(
        &self,
        name: &str,
        repository: &Repository,
    ) -> Result<Option<Credential>, RegistryError> {
        let server = server_address(repository);
        let key = (name.to_owned(), server.to_owned());
        let ask = |_| async {
            helper::ask(name, server, &self.helper_dirs, self.limits.helper)
                .await
                .map_err(|why| unreadable(repository, &format!("docker-credential-{name} {why}")))
        };
        self.helped.get(&key, self.limits.helper_ttl, ask).await
    }
}

/// Half of what a token lives: Google's an hour, Amazon's twelve, Azure's three.
fn helper_renewal(helper: &str) -> Duration {
    match helper {
        "gcloud" | "gcr" => Duration::from_secs(30 * 60),
        "acr-env" | "acr" => Duration::from_secs(90 * 60),
        _ => Duration::from_secs(6 * 3600),
    }
}

/// The value of `X-Registry-Auth`: base64url, padded, of docker's `AuthConfig`.
pub(super) fn registry_auth(repository: &Repository, credential: &Credential) -> String {
    let serveraddress = server_address(repository);
    let config = match credential {
        Credential::Password { username, password } => {
            json!({"username": username.expose(), "password": password.expose(), "serveraddress": serveraddress})
        }
        Credential::IdentityToken(token) => {
            json!({"identitytoken": token.expose(), "serveraddress": serveraddress})
        }
    };
    BASE64_URL_SAFE.encode(config.to_string())
}

fn unreadable(repository: &Repository, message: &str) -> RegistryError {
    RegistryError::new(Kind::Credentials, repository.registry(), message)
}

/// The file's text without the newline that editors put at its end.
async fn read_password(path: &Path) -> Result<Secret, String> {
    let bytes = read_bounded(path, PASSWORD_MAX).await?.ok_or("does not exist")?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err("is empty".into());
    }
    Ok(Secret::new(text))
}

/// `None`: there is no such file.
async fn read_bounded(path: &Path, max: u64) -> Result<Option<Vec<u8>>, String> {
    let path = path.to_owned();
    let read = crate::blocking::run(move || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    });
    let bytes = match read.await.flatten() {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(format!("cannot be read: {}", e.kind())),
    };
    if bytes.len() as u64 > max {
        return Err(format!("is longer than {max} bytes"));
    }
    Ok(Some(bytes))
}
