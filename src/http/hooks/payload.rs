//! What a believed call says.

use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use super::Call;
use super::git::{self, Moved};
use super::registry::{self, Named};
use crate::config::Hook;
use crate::text::printable;

/// Deliveries in one call; docker-registry puts one event into each.
pub(super) const DELIVERIES_MAX: usize = 1000;
const ERROR_CHARS_MAX: usize = 200;

/// What one delivery tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The sender tries whether we are there.
    Ping,
    /// Nothing that could concern a spec; what it is instead.
    Other(&'static str),
    /// This repository of images has something new.
    Image(Named),
    /// A branch or tag of a git repository moved.
    Moved(Moved),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The same for each try of one delivery; `None`: nobody can tell deliveries apart.
    pub(super) id: Option<String>,
    pub(super) news: News,
}

impl Told {
    pub(super) fn new(id: Option<&str>, news: News) -> Self {
        Self { id: id.filter(|id| !id.is_empty()).map(str::to_owned), news }
    }
}

/// Reads a payload in its sender's own form.
///
/// # Errors
/// What is wrong with it, fit to print.
pub(super) fn read(hook: Hook, call: &Call<'_>) -> Result<Vec<Told>, String> {
    let told = match hook {
        Hook::GitGithub | Hook::GitGitlab | Hook::GitGitea | Hook::GitGeneric => vec![git::read(hook, call)?],
        Hook::RegistryDistribution => registry::distribution(call)?,
        _ => vec![registry::read(hook, call)?],
    };
    if told.len() > DELIVERIES_MAX {
        return Err(format!("{} events in one call; the most is {DELIVERIES_MAX}", told.len()));
    }
    Ok(told)
}

pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| {
        let error = printable(&error.to_string(), ERROR_CHARS_MAX);
        format!("the body is not the JSON that this hook's sender writes: {error}")
    })
}

/// Stands in for an ID where a payload is never the same twice.
pub(super) fn fingerprint(body: &[u8]) -> String {
    Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect()
}
