//! Calls of webhooks, right and wrong.

use std::path::Path;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use skep::config::Hook;

pub const CANARY: &str = "canary-of-a-hook";

/// The secret of a hook: to be seen nowhere.
pub fn secret(hook: Hook) -> String {
    format!("{CANARY}-{}", hook.name().replace('/', "-"))
}

/// The status in an answer; 0 if there is none.
pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}

/// The HMAC-SHA256 of a body, in hexadecimal digits.
pub fn signature(secret: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A call that is right until it is made wrong.
#[derive(Clone)]
pub struct Post {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(&'static str, Vec<u8>)>,
    pub body: Vec<u8>,
}

impl Post {
    /// With what shows the hook's secret.
    pub fn right(hook: Hook, body: impl Into<Vec<u8>>) -> Self {
        let (body, secret) = (body.into(), secret(hook));
        let mut path = format!("/hooks/{}", hook.name());
        let signed = || signature(&secret, &body);
        let mut headers = match hook {
            Hook::GitGithub => vec![
                ("X-GitHub-Event", "push".to_owned()),
                ("X-Hub-Signature-256", format!("sha256={}", signed())),
            ],
            Hook::RegistryGithub => vec![
                ("X-GitHub-Event", "registry_package".to_owned()),
                ("X-Hub-Signature-256", format!("sha256={}", signed())),
            ],
            Hook::GitGitlab => {
                vec![("X-Gitlab-Event", "Push Hook".into()), ("X-Gitlab-Token", secret.clone())]
            }
            Hook::GitGitea => vec![("X-Gitea-Event", "push".into()), ("X-Gitea-Signature", signed())],
            Hook::GitGeneric | Hook::RegistryGeneric => {
                vec![("X-Skep-Signature-256", format!("sha256={}", signed()))]
            }
            Hook::RegistryDistribution | Hook::RegistryHarbor => {
                vec![("Authorization", format!("Bearer {secret}"))]
            }
            Hook::RegistryDockerHub | Hook::RegistryQuay => {
                path += &format!("?token={secret}");
                Vec::new()
            }
        };
        headers.push(("Content-Type", "application/json".to_owned()));
        let headers = headers.into_iter().map(|(name, value)| (name, value.into_bytes())).collect();
        Self { method: "POST", path, headers, body }
    }

    /// The recorded payload of this name.
    pub fn recorded(hook: Hook, name: &str) -> Self {
        Self::right(hook, payload(name))
    }

    pub fn with(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub fn instead(self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.without(name).with(name, value)
    }

    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn head(&self) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nHost: skep.example\r\nConnection: close\r\n", self.method, self.path)
                .into_bytes();
        for (name, value) in &self.headers {
            bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        bytes
    }

    pub fn bytes(&self) -> Vec<u8> {
        let length = format!("Content-Length: {}\r\n\r\n", self.body.len());
        [self.head(), length.into_bytes(), self.body.clone()].concat()
    }

    /// In chunks as they are, with nothing after them.
    pub fn chunked(&self, chunks: &[u8]) -> Vec<u8> {
        [&self.head()[..], b"Transfer-Encoding: chunked\r\n\r\n", chunks].concat()
    }
}

pub fn payload(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/hooks/payloads/{name}.json"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
