//! What a customer took from outside its spec files, told by keyed hashes: enough to know it again, and nothing to
//! learn from for who lacks the key.

use std::collections::BTreeMap;

use super::{Blob, ContentKey, Customer, Seal, Suspend};

/// Keyed hashes of what stands in no spec file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outside {
    /// The seals of secrets, by key.
    pub secrets: BTreeMap<String, Seal>,
    pub configs: BTreeMap<String, Seal>,
    /// Of the whole environment of each service, by key: what `env_file` holds stands in it.
    pub environments: BTreeMap<String, String>,
}

impl Customer {
    /// What it took from outside; it is sealed with this key.
    pub fn outside(&self, key: &ContentKey) -> Outside {
        let seals = |blobs: &BTreeMap<String, Blob>| {
            let sealed = blobs.iter().filter_map(|(name, blob)| Some((name.clone(), blob.seal.clone()?)));
            sealed.collect()
        };
        let services = self.services.keys().filter(|_| !self.contents.is_empty());
        Outside {
            secrets: seals(&self.secrets),
            configs: seals(&self.configs),
            environments: services.map(|name| (name.clone(), self.environment(name, key))).collect(),
        }
    }

    /// Makes it again what it was when this was outside. Where that is not there any more, a secret or config
    /// keeps the object that held it, and a service whose environment is not known is held.
    pub fn as_it_was(&mut self, outside: Outside, key: &ContentKey) {
        for (blobs, seals) in [(&mut self.secrets, outside.secrets), (&mut self.configs, outside.configs)] {
            for (name, seal) in seals {
                let blob = blobs.get_mut(&name).filter(|blob| blob.seal.as_ref() != Some(&seal));
                if let Some(blob) = blob {
                    (blob.content, blob.seal) = (None, Some(seal));
                }
            }
        }
        for (name, hash) in outside.environments {
            let is_known = self.environment(&name, key) == hash;
            if let Some(service) = self.services.get_mut(&name).filter(|_| !is_known) {
                let reason =
                    "its `env_file` is not what it was when the spec was last good; mend the spec".into();
                service.suspend = Some(Suspend { reason, until: None });
            }
        }
    }

    /// A keyed hash of a service's environment.
    fn environment(&self, service: &str, key: &ContentKey) -> String {
        let environment = self.services.get(service).map(|service| &service.compose.environment);
        let mut parts: Vec<&[u8]> = vec![b"environment", self.name.as_bytes(), service.as_bytes()];
        for (name, value) in environment.into_iter().flatten() {
            parts.push(name.as_bytes());
            match value {
                Some(value) => parts.extend([b"=".as_slice(), value.as_bytes()]),
                None => parts.push(b""),
            }
        }
        key.hash(&parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::parse::{SpecFiles, load_with};
    use crate::spec::{Content, Contents, FoundFile, SecretBytes};

    const SPEC: &str = "[services.web]\nimage = 'r.example.com/web'\nsecrets = ['token']\n\
        [services.api]\nimage = 'r.example.com/api'\nenv_file = 'api.env'\n\
        [services.db]\nimage = 'r.example.com/db'\nenvironment = { A = '1' }\n\
        [secrets]\ntoken.file = 'token'\n[configs]\nmotd.content = 'hello'\n";

    /// What the two files hold; `None`: nobody can read it.
    struct Given(Option<&'static str>, Option<&'static str>);

    impl Contents for Given {
        fn file(&self, path: &str, _: usize) -> FoundFile {
            let held = if path == "token" { self.0 } else { self.1 };
            held.map_or(Content::Unknown, |held| Content::Found(SecretBytes::new(held.as_bytes()))).into()
        }

        fn variable(&self, _: &str) -> Content {
            Content::Unknown
        }
    }

    fn customer(given: &Given) -> Customer {
        let files = SpecFiles { files: BTreeMap::from([("acme.toml".to_owned(), SPEC.to_owned())]) };
        let mut loaded = load_with(&files, given);
        assert!(loaded.invalid.is_empty(), "{:?}", loaded.invalid);
        let mut customer = loaded.customers.remove("acme").unwrap();
        customer.seal(&key());
        customer
    }

    fn key() -> ContentKey {
        ContentKey::new([7; ContentKey::BYTES])
    }

    #[test]
    fn what_is_there_still_makes_the_same_customer() {
        let given = Given(Some("hunter2"), Some("A=hunter3"));
        let before = customer(&given);
        let outside = before.outside(&key());
        assert!(!format!("{outside:?}").contains("hunter"));
        let mut again = customer(&given);
        again.as_it_was(outside, &key());
        assert_eq!(again, before);
    }

    #[test]
    fn what_is_gone_or_changed_keeps_the_object_and_holds_the_service() {
        let before = customer(&Given(Some("hunter2"), Some("A=1")));
        for given in [Given(None, None), Given(Some("other"), Some("A=2")), Given(Some("other"), None)] {
            let mut again = customer(&given);
            again.as_it_was(before.outside(&key()), &key());
            let (now, then) = (&again.secrets["token"], &before.secrets["token"]);
            assert_eq!((now.swarm_name(), &now.content), (then.swarm_name(), &None));
            assert_eq!(again.configs, before.configs, "it stands in the spec");
            let held = |name: &str| again.services[name].suspend.is_some();
            assert!(held("api") && !held("web") && !held("db"));
        }
        // A key of its own makes other hashes of all.
        let other = ContentKey::new([8; ContentKey::BYTES]);
        assert_ne!(before.outside(&key()).environments, before.outside(&other).environments);
    }
}
