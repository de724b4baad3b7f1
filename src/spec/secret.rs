//! Secrets and configs: what they hold, and how a cluster's key names that without giving it away.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::state::ObjectKind;

/// Content that must not be seen: it has no `Display`, and its `Debug` says only how long it is.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Arc<[u8]>);

impl SecretBytes {
    pub fn new(bytes: impl Into<Arc<[u8]>>) -> Self {
        Self(bytes.into())
    }

    /// The content itself, for the one call that makes the object.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes({} bytes)", self.0.len())
    }
}

/// A secret or a config of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// The key under `[secrets]` or `[configs]`.
    pub key: String,
    /// Somebody else makes it.
    pub external: bool,
    /// The name in the Swarm; of one that skep makes, without its suffix.
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// Who gives out the content instead of the Swarm (secrets only): a plugin and its options.
    pub driver: Option<(String, BTreeMap<String, String>)>,
    /// What fills in templates in the content, e.g. `golang`.
    pub template_driver: Option<String>,
    /// `None`: it is not skep's to make, or nobody could read it here.
    pub content: Option<SecretBytes>,
    /// What the cluster's key makes of all this. `None`: there is no key, or no content.
    pub seal: Option<Seal>,
    /// An object that is known to hold this, although its name does not say so.
    pub kept: Option<String>,
}

impl Blob {
    /// One that somebody else makes, called by its name in the Swarm.
    pub fn external(name: &str) -> Self {
        Self {
            key: name.to_owned(),
            external: true,
            name: name.to_owned(),
            labels: BTreeMap::new(),
            driver: None,
            template_driver: None,
            content: None,
            seal: None,
            kept: None,
        }
    }

    /// The name in the Swarm; `None` when it cannot be known here.
    pub fn swarm_name(&self) -> Option<String> {
        if self.external {
            return Some(self.name.clone());
        }
        let sealed = || self.seal.as_ref().map(|seal| format!("{}-{}", self.name, seal.suffix()));
        self.kept.clone().or_else(sealed)
    }

    fn sealed(&self, kind: ObjectKind, customer: &str, key: &ContentKey) -> Option<Seal> {
        let no_content: &[u8] = &[];
        let content = match (&self.content, &self.driver) {
            _ if self.external => return None,
            (Some(content), _) => content.reveal(),
            (None, Some(_)) => no_content,
            (None, None) => return None,
        };
        let mut parts: Vec<&[u8]> = vec![kind.as_str().as_bytes(), customer.as_bytes(), self.key.as_bytes()];
        for (name, value) in &self.labels {
            parts.extend([b"label".as_slice(), name.as_bytes(), value.as_bytes()]);
        }
        if let Some((driver, options)) = &self.driver {
            parts.extend([b"driver".as_slice(), driver.as_bytes()]);
            for (name, value) in options {
                parts.extend([b"option".as_slice(), name.as_bytes(), value.as_bytes()]);
            }
        }
        if let Some(driver) = &self.template_driver {
            parts.extend([b"template".as_slice(), driver.as_bytes()]);
        }
        parts.extend([b"content".as_slice(), content]);
        Some(Seal { hash: key.hash(&parts), key_id: key.id() })
    }
}

/// A keyed hash of a secret or config: who lacks the key learns nothing from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// Hexadecimal.
    pub hash: String,
    /// Tells keys apart.
    pub key_id: String,
}

/// Hexadecimal digits of a seal that stand in a name.
pub const SUFFIX_DIGITS: usize = 12;
const HASH_DIGITS: usize = 32;
const KEY_ID_DIGITS: usize = 8;

impl Seal {
    pub fn suffix(&self) -> &str {
        self.hash.get(..SUFFIX_DIGITS).unwrap_or(&self.hash)
    }
}

/// The cluster's key, which only skep's state directory holds.
#[derive(Clone, PartialEq, Eq)]
pub struct ContentKey([u8; ContentKey::BYTES]);

impl ContentKey {
    pub const BYTES: usize = 32;

    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// What the key can be told by.
    pub fn id(&self) -> String {
        let mut id = self.hash(&[b"key"]);
        id.truncate(KEY_ID_DIGITS);
        id
    }

    /// HMAC-SHA256 of the parts, each after its length, so that no two lists give the same text.
    pub(super) fn hash(&self, parts: &[&[u8]]) -> String {
        // A key of any length will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut text: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        text.truncate(HASH_DIGITS);
        text
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ContentKey")
    }
}

impl super::Customer {
    /// Whether it depends on files that are no spec files.
    pub fn names_files(&self) -> bool {
        self.contents.iter().any(|named| matches!(named.source, ContentSource::File { .. }))
    }

    /// Seals every secret and config that has content.
    pub fn seal(&mut self, key: &ContentKey) {
        for (kind, blobs) in
            [(ObjectKind::Secret, &mut self.secrets), (ObjectKind::Config, &mut self.configs)]
        {
            for blob in blobs.values_mut() {
                blob.seal = blob.sealed(kind, &self.name, key);
            }
        }
    }

    /// The secrets or the configs, by key.
    pub fn blobs(&self, kind: ObjectKind) -> &BTreeMap<String, Blob> {
        static NONE: BTreeMap<String, Blob> = BTreeMap::new();
        match kind {
            ObjectKind::Secret => &self.secrets,
            ObjectKind::Config => &self.configs,
            ObjectKind::Service | ObjectKind::Network => &NONE,
        }
    }
}

/// A secret or config as a service's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// The key under the top-level `[secrets]` or `[configs]`.
    pub source: String,
    /// The file's name; a secret's lies under `/run/secrets` unless it is a whole path.
    pub target: String,
    pub uid: String,
    pub gid: String,
    pub mode: u32,
}

impl super::Compose {
    /// The keys of the secrets or configs that the service refers to.
    pub fn blobs(&self, kind: ObjectKind) -> Vec<&str> {
        let list = match kind {
            ObjectKind::Secret => self.secrets.as_deref(),
            ObjectKind::Config => self.configs.as_deref(),
            ObjectKind::Service | ObjectKind::Network => None,
        };
        let mut keys: Vec<&str> = list.unwrap_or_default().iter().map(|one| one.source.as_str()).collect();
        if let (ObjectKind::Config, Some(super::CredentialSpec::Config(key))) =
            (kind, &self.container.credential_spec)
        {
            keys.push(key);
        }
        keys
    }
}

/// Where content comes from that specs name: files beside them, and the environment. Asked
/// while specs are read, and handed in, since reading specs itself touches no files.
pub trait Contents {
    /// A file by its path relative to the specs directory, `/` between parts.
    fn file(&self, path: &str, bytes_max: usize) -> FoundFile;
    /// A variable of the environment.
    fn variable(&self, name: &str) -> Content;
}

/// A file, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundFile {
    pub content: Content,
    /// Its path in the specs directory after all symlinks; `None`: the one that was asked for, or not known.
    pub led_to: Option<String>,
}

impl From<Content> for FoundFile {
    fn from(content: Content) -> Self {
        Self { content, led_to: None }
    }
}

/// Content that a spec takes from elsewhere, and the key that says so, part by part; an element of a list as `[3]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedContent {
    pub key: Vec<String>,
    pub source: ContentSource,
}

/// Where content is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentSource {
    /// Relative to the specs directory.
    File {
        path: String,
        /// Where symlinks led.
        led_to: Option<String>,
    },
    /// Of the environment.
    Variable(String),
}

/// What was found where content should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    Found(SecretBytes),
    /// Nobody asks here, or may know here: no error.
    Unknown,
    /// It is not there.
    Missing,
    TooLarge,
    /// What is wrong with it.
    Bad(String),
}

/// Knows of no content, and asks for none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoContents;

impl Contents for NoContents {
    fn file(&self, _: &str, _: usize) -> FoundFile {
        Content::Unknown.into()
    }

    fn variable(&self, _: &str) -> Content {
        Content::Unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(content: &str) -> Blob {
        Blob {
            key: "token".into(),
            external: false,
            name: "acme_token".into(),
            labels: BTreeMap::new(),
            driver: None,
            template_driver: None,
            content: Some(SecretBytes::new(content.as_bytes())),
            seal: None,
            kept: None,
        }
    }

    fn seal(blob: &Blob, kind: ObjectKind, customer: &str, key: u8) -> Option<Seal> {
        blob.sealed(kind, customer, &ContentKey::new([key; 32]))
    }

    #[test]
    fn content_is_never_shown() {
        let blob = blob("hunter2");
        let shown = format!("{blob:?} {blob:#?} {:?}", ContentKey::new([7; 32]));
        assert!(!shown.contains("hunter2") && !shown.contains("104"), "{shown}");
        assert!(shown.contains("7 bytes"), "{shown}");
    }

    #[test]
    fn seals_tell_all_apart_that_makes_an_object() {
        let base = blob("a");
        let changed = |change: &dyn Fn(&mut Blob)| {
            let mut blob = base.clone();
            change(&mut blob);
            blob
        };
        let all = [
            seal(&base, ObjectKind::Secret, "acme", 1),
            seal(&base, ObjectKind::Config, "acme", 1),
            seal(&base, ObjectKind::Secret, "globex", 1),
            seal(&base, ObjectKind::Secret, "acme", 2),
            seal(&blob("b"), ObjectKind::Secret, "acme", 1),
            seal(&changed(&|it| it.key = "tokens".into()), ObjectKind::Secret, "acme", 1),
            seal(&changed(&|it| it.template_driver = Some("golang".into())), ObjectKind::Secret, "acme", 1),
            seal(
                &changed(&|it| drop(it.labels.insert("a".into(), "b".into()))),
                ObjectKind::Secret,
                "acme",
                1,
            ),
            seal(
                &changed(&|it| it.driver = Some(("vault".into(), BTreeMap::new()))),
                ObjectKind::Secret,
                "acme",
                1,
            ),
        ];
        let names: std::collections::BTreeSet<String> =
            all.iter().map(|seal| seal.as_ref().unwrap().suffix().to_owned()).collect();
        assert_eq!(names.len(), all.len());
        assert!(names.iter().all(|name| name.len() == SUFFIX_DIGITS));
        let again = seal(&base.clone(), ObjectKind::Secret, "acme", 1);
        assert_eq!(all[0], again);
        assert_ne!(ContentKey::new([1; 32]).id(), ContentKey::new([2; 32]).id());
    }

    #[test]
    fn what_is_not_ours_to_make_has_no_seal() {
        let external = Blob { external: true, ..blob("a") };
        assert_eq!(seal(&external, ObjectKind::Secret, "acme", 1), None);
        assert_eq!(external.swarm_name().as_deref(), Some("acme_token"));
        let unread = Blob { content: None, ..blob("a") };
        assert_eq!(seal(&unread, ObjectKind::Secret, "acme", 1), None);
        assert_eq!(unread.swarm_name(), None);
        let kept = Blob { kept: Some("acme_token-0".into()), ..unread };
        assert_eq!(kept.swarm_name().as_deref(), Some("acme_token-0"));
    }
}
