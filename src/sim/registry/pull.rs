//! How nodes pull: straight from the store, with the rights and misbehaviour of the API.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use super::Registry;
use super::image::{BEHAVIOUR_LABEL, SAYS_LABEL, parse_behaviour};
use super::store::Store;
use crate::image::{Digest, ImageRef};
use crate::sim::engine::{Images, PullError, Pulled};

impl Images for Registry {
    /// By whatever host name: who has several registries asks by [`Registries`].
    fn pull(&self, reference: &str, auth: Option<&str>) -> Result<Pulled, PullError> {
        let image: ImageRef = reference.parse().map_err(|_| PullError::NotFound)?;
        let inner = self.inner();
        let path = image.repository.path();
        if inner.misbehaviour(Some(path)).is_some_and(|misbehaviour| misbehaviour.stops_pulls()) {
            return Err(PullError::Unreachable);
        }
        if !inner.auth.may_pull(auth) {
            return Err(PullError::Unauthorized);
        }
        let reference = image.digest.as_ref().map(Digest::as_str).or(image.tag.as_deref());
        find(&inner.store, path, reference.unwrap_or("latest")).ok_or(PullError::NotFound)
    }
}

/// What is under a tag or digest.
pub(super) fn find(store: &Store, name: &str, reference: &str) -> Option<Pulled> {
    let repository = store.repository(name)?;
    let digest = repository.tags.get(reference).cloned().or_else(|| reference.parse().ok())?;
    let manifest: Value = serde_json::from_slice(&repository.manifests.get(&digest)?.body).ok()?;
    let (manifest, several) = match manifest.get("manifests").and_then(Value::as_array) {
        None => (manifest, false),
        Some(entries) => {
            let first: Digest = entries.first()?.get("digest")?.as_str()?.parse().ok()?;
            let body = &repository.manifests.get(&first)?.body;
            (serde_json::from_slice(body).ok()?, entries.len() > 1)
        }
    };
    let config: Digest = manifest.pointer("/config/digest")?.as_str()?.parse().ok()?;
    let config: Value = serde_json::from_slice(store.blob(name, &config)?).unwrap_or_default();
    let label = |name: &str| {
        let labels = config.pointer("/config/Labels");
        labels.and_then(|labels| labels.get(name)).and_then(Value::as_str).unwrap_or_default()
    };
    let text = |key: &str| config.get(key).and_then(Value::as_str).unwrap_or_default();
    Some(Pulled {
        digest: digest.to_string(),
        says: label(SAYS_LABEL).to_owned(),
        behaviour: parse_behaviour(label(BEHAVIOUR_LABEL)),
        // An image for several platforms runs on any of them.
        platform: if several { String::new() } else { format!("{}/{}", text("os"), text("architecture")) },
    })
}

/// Several registries by the host that references name; others cannot be reached.
#[derive(Clone, Default)]
pub struct Registries {
    by_host: Arc<Mutex<BTreeMap<String, Registry>>>,
}

impl Registries {
    /// `host` as references write it: `registry.example.com`, `127.0.0.1:5000`.
    pub fn insert(&self, host: &str, registry: Registry) {
        self.by_host.lock().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), registry);
    }
}

impl Images for Registries {
    fn pull(&self, reference: &str, auth: Option<&str>) -> Result<Pulled, PullError> {
        let image: ImageRef = reference.parse().map_err(|_| PullError::NotFound)?;
        let by_host = self.by_host.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = by_host.get(image.repository.registry()).cloned();
        drop(by_host);
        registry.ok_or(PullError::Unreachable)?.pull(reference, auth)
    }
}
