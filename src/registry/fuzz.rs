//! What holds of this module's parsers whatever they read. `crate::fuzz` gives them the bytes.

use url::Url;

use super::docker_config::DockerConfig;
use super::manifest::{self, Manifest};
use super::{challenge, link, tags};
use crate::image::{Repository, is_tag};

/// A `Link` header, one value a line: what is asked next is on the host that was asked.
pub(crate) fn link(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(target) = link::next(text.lines()) else { return };
    assert!(text.contains(target), "{target:?} was made up");
    for current in ["https://r.example.com/v2/a/tags/list?n=2", "http://127.0.0.1:5000/v2/a/tags/list"] {
        let Ok(current) = Url::parse(current) else { continue };
        if let Ok(next) = tags::next_url(&current, target) {
            let origin = |url: &Url| (url.scheme().to_owned(), url.host_str().map(str::to_owned), url.port());
            assert_eq!(origin(&next), origin(&current), "{target:?}");
            assert!(next.username().is_empty() && next.password().is_none() && next.fragment().is_none());
        }
    }
}

/// A `WWW-Authenticate` header, one value a line: bounded, and nothing is made up.
pub(crate) fn challenge(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let all = challenge::parse(text.lines());
    assert!(all.len() <= 16);
    let lower = text.to_ascii_lowercase();
    for challenge in all {
        assert!(lower.contains(&challenge.scheme) && !challenge.scheme.is_empty());
        if let Some(realm) = challenge.get("realm") {
            assert!(realm.len() <= text.len());
        }
    }
}

/// A page of tags: those of them that are tags.
pub(crate) fn tag_list(data: &[u8]) -> Vec<String> {
    let mut listed = tags::page(data).unwrap_or_default();
    listed.retain(|tag| is_tag(tag));
    listed
}

/// A manifest, and the configuration of an image.
pub(crate) fn manifest(data: &[u8]) {
    let sound =
        |text: &str| (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    let config = manifest::config_platforms(data).unwrap_or_default();
    let index = match manifest::read(data) {
        Ok(Manifest::Index(platforms)) => platforms,
        Ok(Manifest::Image { config }) => {
            assert_eq!(config.as_str().len(), 71);
            return;
        }
        Err(why) => return assert!(!why.chars().any(char::is_control), "{why:?}"),
    };
    assert!(index.len() <= 256);
    for platform in index.iter().chain(&config) {
        assert!(sound(&platform.os) && sound(&platform.architecture), "{platform:?}");
    }
}

/// docker's `config.json`: errors repeat nothing but keys, and a helper is named or not.
pub(crate) fn docker_config(data: &[u8]) {
    let config = match DockerConfig::parse(data) {
        Ok(config) => config,
        Err(why) => return assert!(why.len() < 200, "{why:?}"),
    };
    for name in ["nginx", "r.io:5000/team/x", "gcr.io/a/b", "localhost/x"] {
        let Ok(repository) = name.parse::<Repository>() else { continue };
        assert!(config.helper(&repository).is_none_or(|helper| !helper.is_empty()));
        let _ = config.stored(&repository);
    }
}
