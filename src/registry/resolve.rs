//! From a tag to its digest, and from a digest to the platforms it offers (semver.md rule 10).

use std::collections::BTreeSet;
use std::sync::Mutex;

use http::{HeaderMap, HeaderValue, Method, header};

use super::api::Api;
use super::cache::{Bounded, lock};
use super::endpoint::Endpoint;
use super::manifest::{self, ACCEPT, Manifest};
use super::transport::{Answer, Ask};
use super::{RegistryError, RegistryErrorKind as Kind};
use crate::image::{Digest, is_tag};
use crate::text::printable;
use crate::version::Platform;

/// The registry's own word for a manifest's digest.
const DIGEST_HEADER: &str = "docker-content-digest";

/// Platforms by digest: content never changes, so this never grows old.
pub(super) type Platforms = Mutex<Bounded<Digest, BTreeSet<Platform>>>;

/// One lookup.
struct Lookup<'a> {
    api: &'a Api,
    endpoint: &'a Endpoint,
    reference: &'a str,
}

/// The digest of a tag or digest: one HEAD where the registry gives it so.
pub(super) async fn digest(api: &Api, endpoint: &Endpoint, reference: &str) -> Result<Digest, RegistryError> {
    let lookup = Lookup { api, endpoint, reference };
    let wanted = reference.parse::<Digest>().ok();
    if wanted.is_none() && !is_tag(reference) {
        return Err(lookup.error(Kind::NotFound, "is neither a tag nor a sha256 digest"));
    }
    let digest = lookup.digest().await?;
    if wanted.is_some_and(|wanted| wanted != digest) {
        return Err(lookup.error(Kind::Untrusted, "was answered with another digest"));
    }
    Ok(digest)
}

/// The platforms that the manifest of this digest offers; asked once.
pub(super) async fn platforms(
    api: &Api,
    known: &Platforms,
    endpoint: &Endpoint,
    digest: &Digest,
) -> Result<BTreeSet<Platform>, RegistryError> {
    if let Some(platforms) = lock(known).get(digest) {
        return Ok(platforms.clone());
    }
    let lookup = Lookup { api, endpoint, reference: digest.as_str() };
    let body = lookup.content("manifests", digest).await?;
    let found = lookup.platforms(&body).await?;
    lock(known).insert(digest.clone(), found.clone());
    Ok(found)
}

impl Lookup<'_> {
    /// By HEAD; where that gives no digest, by GET, hashing the body.
    async fn digest(&self) -> Result<Digest, RegistryError> {
        let head = self.api.fetch(self.endpoint, self.ask(Method::HEAD, "manifests", self.reference)).await?;
        // Some registries do not know HEAD.
        if !matches!(head.answer.status.as_u16(), 405 | 501) {
            let answer = head.success(self.endpoint)?;
            self.refuse_schema1(&answer)?;
            if let Some(digest) = self.stated(&answer.headers)? {
                return Ok(digest);
            }
        }
        let get = self.api.fetch(self.endpoint, self.ask(Method::GET, "manifests", self.reference)).await?;
        let answer = get.success(self.endpoint)?;
        self.refuse_schema1(&answer)?;
        let digest = Digest::of(&answer.body);
        if self.stated(&answer.headers)?.is_some_and(|stated| stated != digest) {
            return Err(self.error(Kind::Untrusted, "has another digest than the registry says"));
        }
        Ok(digest)
    }

    /// A manifest or blob by digest, checked to be that.
    async fn content(&self, kind: &str, digest: &Digest) -> Result<Vec<u8>, RegistryError> {
        let fetched = self.api.fetch(self.endpoint, self.ask(Method::GET, kind, digest.as_str())).await?;
        let answer = fetched.success(self.endpoint).map_err(|mut error| {
            // The reference was found; what it leads to is missing.
            if error.kind == Kind::NotFound {
                error.kind = Kind::Untrusted;
            }
            error
        })?;
        if Digest::of(&answer.body) != *digest {
            return Err(
                self.error(Kind::Untrusted, "came with content that has not the digest it should have")
            );
        }
        Ok(answer.body)
    }

    async fn platforms(&self, body: &[u8]) -> Result<BTreeSet<Platform>, RegistryError> {
        let untrusted = |why: String| self.error(Kind::Untrusted, &why);
        match manifest::read(body).map_err(untrusted)? {
            Manifest::Index(platforms) => Ok(platforms),
            Manifest::Image { config } => {
                manifest::config_platforms(&self.content("blobs", &config).await?).map_err(untrusted)
            }
        }
    }

    fn ask(&self, method: Method, kind: &str, reference: &str) -> Ask {
        let noun = if kind == "blobs" { "the configuration of" } else { "the manifest of" };
        let what = format!("{noun} {}", self.name());
        let url = self.endpoint.url(&format!("{kind}/{reference}"));
        let mut ask = Ask::new(method, url, what, self.api.transport.limits().manifest_bytes);
        if kind == "manifests" {
            ask.headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        }
        ask
    }

    /// The digest in the header, if there is one.
    fn stated(&self, headers: &HeaderMap) -> Result<Option<Digest>, RegistryError> {
        let Some(value) = headers.get(DIGEST_HEADER) else { return Ok(None) };
        match value.to_str().ok().and_then(|text| text.trim().parse().ok()) {
            Some(digest) => Ok(Some(digest)),
            None => Err(self.error(Kind::Untrusted, "was answered with a digest that is not sha256")),
        }
    }

    fn refuse_schema1(&self, answer: &Answer) -> Result<(), RegistryError> {
        let media_type = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if media_type.is_some_and(manifest::is_schema1) {
            return Err(self.error(Kind::Untrusted, manifest::SCHEMA1));
        }
        Ok(())
    }

    fn name(&self) -> String {
        let joint = if self.reference.contains(':') { '@' } else { ':' };
        format!("{}{joint}{}", self.endpoint.repository.path(), printable(self.reference, 80))
    }

    fn error(&self, kind: Kind, why: &str) -> RegistryError {
        RegistryError::new(kind, self.endpoint.registry(), &format!("{} {why}", self.name()))
    }
}
