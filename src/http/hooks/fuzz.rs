//! What holds of every payload, also of one whose sender knows the secret: for `crate::fuzz`.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::payload::{self, DELIVERIES_MAX, News};
use super::registry::{Named, is_meant};
use super::{Call, proof};
use crate::config::Hook;
use crate::http::Secret;

/// The first byte chooses the hook, the rest is the body.
pub fn fuzz(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let hook = Hook::ALL[usize::from(*first) % Hook::ALL.len()];
    let event = if hook == Hook::RegistryGithub { "registry_package" } else { "push" };
    let names = ["x-github-event", "x-gitea-event"].map(HeaderName::from_static);
    let headers: HeaderMap = names.map(|name| (name, HeaderValue::from_static(event))).into_iter().collect();
    let text = String::from_utf8_lossy(body);
    let call = Call { headers: &headers, query: Some(&text), body };
    if let Some(secret) = Secret::new("a secret that nobody guesses") {
        assert!(proof::check(hook, &secret, &call, 0).is_err());
    }
    match payload::read(hook, &call) {
        Ok(told) => {
            assert!(told.len() <= DELIVERIES_MAX);
            let named = told.into_iter().filter_map(|told| match told.news {
                News::Image(named) => Some(named),
                _ => None,
            });
            let named: BTreeSet<Named> = named.collect();
            for repository in named.iter().filter_map(Named::repository) {
                assert!(is_meant(&named, &repository), "{repository}");
            }
        }
        Err(error) => assert!(!error.chars().any(char::is_control) && error.len() < 2000, "{error:?}"),
    }
}
