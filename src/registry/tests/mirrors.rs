//! Mirrors are asked first, with their own credentials; what they do not say, the registry does.

use std::collections::BTreeMap;
use std::time::Duration;

use rstest::rstest;

use super::fake::*;
use crate::config::RegistryConfig;
use crate::registry::{Client, Registry as _};

const NOW: Duration = Duration::ZERO;

/// A client that has a login for the registry, and these mirrors for it.
fn mirrored(registry: &Fake, mirrors: &[String], dir: &std::path::Path) -> Client {
    let config = RegistryConfig { mirrors: mirrors.to_vec(), ..login(dir) };
    Client::new(&BTreeMap::from([(registry.host.clone(), config)]), options())
}

#[tokio::test]
async fn the_mirror_answers_under_its_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Fake::start(|_| |_| panic!("not to be asked")).await;
    let mirror = Fake::start(|_| |_| listing(&["1.0.0"])).await;
    let client = mirrored(&registry, &[format!("{}/proxy", mirror.host)], dir.path());
    assert_eq!(*client.tags(&registry.repository("team/a"), NOW).await.unwrap(), ["1.0.0".to_owned()]);
    assert_eq!(mirror.asked(), ["GET /v2/proxy/team/a/tags/list?n=1000"]);
}

#[rstest]
#[case::not_found(404, "")]
#[case::refused(403, "")]
#[case::broken(500, "")]
#[case::limited(429, "")]
#[case::nonsense(200, "<html>")]
#[tokio::test]
async fn what_a_mirror_does_not_say_the_registry_does(#[case] status: u16, #[case] body: &'static str) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Fake::start(|_| |_| listing(&["1.1.0"])).await;
    let mirror = Fake::start(move |_| move |_| answer(status, &[], body)).await;
    let client = mirrored(&registry, std::slice::from_ref(&mirror.host), dir.path());
    assert_eq!(*client.tags(&registry.repository("a"), NOW).await.unwrap(), ["1.1.0".to_owned()]);
}

#[tokio::test]
async fn the_error_is_the_registrys() {
    let dir = tempfile::tempdir().unwrap();
    let registry = Fake::start(|_| |_| answer(404, &[], "")).await;
    let mirror = Fake::start(|_| |_| answer(500, &[], "")).await;
    let client = mirrored(&registry, std::slice::from_ref(&mirror.host), dir.path());
    let error = client.tags(&registry.repository("a"), NOW).await.unwrap_err();
    assert_eq!((error.registry.as_str(), registry.seen().len()), (registry.host.as_str(), 1));
}

#[tokio::test]
async fn a_mirror_is_never_shown_the_registrys_credentials() {
    let dir = tempfile::tempdir().unwrap();
    let challenge = [("www-authenticate", "Basic realm=\"x\"")];
    let handler = move |seen: &Seen| match seen.header("authorization") {
        None => answer(401, &challenge, ""),
        Some(_) => listing(&["1.0.0"]),
    };
    let registry = Fake::start(|_| handler).await;
    let mirror = Fake::start(|_| handler).await;
    let client = mirrored(&registry, std::slice::from_ref(&mirror.host), dir.path());
    client.tags(&registry.repository("a"), NOW).await.unwrap();
    assert!(!mirror.seen().is_empty() && mirror.seen().iter().all(|s| s.header("authorization").is_none()));
    assert!(registry.seen().iter().any(|s| s.header("authorization").is_some()));
}
