//! docker's own `config.json`, as far as credentials go.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;

use super::endpoint::{Scope, server_address};
use super::secret::{Credential, Secret};
use crate::image::Repository;

/// Bytes of the file.
pub(super) const FILE_MAX: u64 = 1 << 20;

/// As docker writes it; other keys are none of our business.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DockerConfig {
    auths: BTreeMap<String, Option<Entry>>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default, Clone)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

impl DockerConfig {
    /// Reads the file's text. The error says where, and repeats nothing of the text.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|e| {
            format!("is not what docker writes, at line {} column {}: mend it", e.line(), e.column())
        })
    }

    /// The helper that keeps the repository's credentials, if one does.
    pub(super) fn helper(&self, repository: &Repository) -> Option<&str> {
        best(&self.cred_helpers, repository, |_| true)
            .map(|(_, name)| name.as_str())
            .or(self.creds_store.as_deref())
            .filter(|name| !name.is_empty())
    }

    /// The helper of the registry alone, as cloud providers have one; a store for all keeps passwords.
    pub(super) fn expiring_helper(&self, repository: &Repository) -> Option<&str> {
        best(&self.cred_helpers, repository, |name| !name.is_empty()).map(|(_, name)| name.as_str())
    }

    /// The credentials in the file itself.
    pub(super) fn stored(&self, repository: &Repository) -> Result<Option<Credential>, String> {
        let filled = |entry: &Option<Entry>| entry.as_ref().is_some_and(Entry::is_filled);
        match best(&self.auths, repository, filled) {
            Some((key, Some(entry))) => entry.credential(key).map(Some),
            _ => Ok(None),
        }
    }
}

impl Entry {
    fn is_filled(&self) -> bool {
        let filled = |text: &Option<String>| text.as_ref().is_some_and(|t| !t.is_empty());
        filled(&self.auth) || filled(&self.identitytoken) || filled(&self.password)
    }

    fn credential(&self, key: &str) -> Result<Credential, String> {
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.is_empty()) {
            return Ok(Credential::IdentityToken(Secret::new(token.clone())));
        }
        if let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) {
            return decode(auth)
                .ok_or_else(|| format!("has an `auth` for {key} that is not base64 of user:password"));
        }
        Ok(Credential::Password {
            username: Secret::new(self.username.clone().unwrap_or_default()),
            password: Secret::new(self.password.clone().unwrap_or_default()),
        })
    }
}

/// The entry whose key fits best: docker's own key for the registry, else the longest prefix.
fn best<'a, V>(
    map: &'a BTreeMap<String, V>,
    repository: &Repository,
    usable: impl Fn(&V) -> bool,
) -> Option<(&'a String, &'a V)> {
    map.iter()
        .filter(|(_, value)| usable(value))
        .filter_map(|(key, value)| {
            let scope = Scope::parse(key);
            let exact = key == server_address(repository);
            scope.covers(repository).then_some(((scope.prefix.len(), exact), key, value))
        })
        .max_by_key(|(rank, _, _)| *rank)
        .map(|(_, key, value)| (key, value))
}

/// Base64 of `user:password`. The password may hold colons; docker pads it with NULs.
pub(super) fn decode(auth: &str) -> Option<Credential> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    // Some tools write the URL-safe alphabet.
    let text: String = auth
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    let bytes = GeneralPurpose::new(&STANDARD, config).decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    Some(Credential::Password {
        username: Secret::new(username),
        password: Secret::new(password.trim_matches('\0')),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::prelude::*;
    use proptest::prelude::*;

    fn password(username: &str, password: &str) -> Credential {
        Credential::Password { username: Secret::new(username), password: Secret::new(password) }
    }

    fn stored(json: &str, image: &str) -> Result<Option<Credential>, String> {
        DockerConfig::parse(json.as_bytes())?.stored(&image.parse().unwrap())
    }

    #[test]
    fn finds_the_entry() {
        let json = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOmh1Yg=="},
            "docker.io": {"auth": "b3RoZXI6b3RoZXI="},
            "r.io:5000": {"auth": "YTpi"},
            "https://old.io/v1/": {"auth": "YTpi", "email": "x"},
            "r.io:5000/team": {"username": "t", "password": "p"},
            "id.io": {"auth": "YTpi", "identitytoken": "tok"},
            "empty.io": {}, "null.io": null
        }, "HttpHeaders": {"a": "b"}}"#;
        for (image, expected) in [
            ("nginx", Some(password("hub", "hub"))),
            ("r.io:5000/x", Some(password("a", "b"))),
            ("r.io:5000/team/x", Some(password("t", "p"))),
            ("r.io:5000/teams/x", Some(password("a", "b"))),
            ("old.io/x", Some(password("a", "b"))),
            ("id.io/x", Some(Credential::IdentityToken(Secret::new("tok")))),
            ("empty.io/x", None),
            ("null.io/x", None),
            ("r.io/x", None),
        ] {
            assert_eq!(stored(json, image), Ok(expected), "{image}");
        }
    }

    #[test]
    fn finds_the_helper() {
        let config = DockerConfig::parse(
            br#"{"credsStore": "desktop", "credHelpers": {"gcr.io": "gcloud", "docker.io": "hub"}}"#,
        )
        .unwrap();
        let helper = |image: &str| config.helper(&image.parse().unwrap()).map(str::to_owned);
        assert_eq!(helper("gcr.io/a").as_deref(), Some("gcloud"));
        assert_eq!(helper("nginx").as_deref(), Some("hub"));
        assert_eq!(helper("r.io/a").as_deref(), Some("desktop"));
        assert_eq!(DockerConfig::default().helper(&"a".parse().unwrap()), None);
    }

    #[test]
    fn errors_repeat_nothing() {
        for json in [
            r#"{"auths": "hunter2"}"#,
            r#"{"auths": {"r.io": {"auth": ["hunter2"]}}}"#,
            r#"{"auths": {"r.io": {"auth": "hunter2!"}}}"#,
            "hunter2",
        ] {
            let error = stored(json, "r.io/a").unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn decodes_any_password(user in "[^:\0]{0,12}", secret in "[^\0]{0,24}") {
            let text = format!("{user}:{secret}");
            let expected = Some(password(&user, &secret));
            prop_assert_eq!(&decode(&BASE64_STANDARD.encode(&text)), &expected);
            prop_assert_eq!(&decode(&BASE64_STANDARD_NO_PAD.encode(&text)), &expected);
            prop_assert_eq!(&decode(&BASE64_URL_SAFE.encode(&text)), &expected);
            prop_assert_eq!(&decode(&BASE64_STANDARD.encode(format!("{text}\0\0"))), &expected);
        }

        #[test]
        fn never_panics(auth in "(?s).{0,40}") {
            let _ = decode(&auth);
            let _ = DockerConfig::parse(auth.as_bytes());
        }
    }
}
