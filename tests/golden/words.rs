//! Digests as words: `sha256:frontend-1.10.0` in a scenario's files stands for the digest of
//! that word, and the expectations say it the same way.

use std::collections::BTreeMap;

use skep::image::Digest;

const PREFIX: &str = "sha256:";

/// The words met so far, by digest.
#[derive(Clone, Debug, Default)]
pub struct Words(BTreeMap<String, String>);

impl Words {
    /// The text with every word made a digest.
    pub fn expand(&mut self, text: &str) -> String {
        let mut parts = text.split(PREFIX);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end =
                part.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c)).unwrap_or(part.len());
            let (word, rest) = part.split_at(end);
            if word.len() == 64 || word.is_empty() {
                out += PREFIX;
                out += word;
            } else {
                let digest = Digest::of(word.as_bytes()).to_string();
                out += &digest;
                self.0.insert(digest, word.to_owned());
            }
            out += rest;
        }
        out
    }

    /// The text with the words back in place of their digests, short ones too.
    pub fn contract(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (digest, word) in &self.0 {
            text = text.replace(digest, &format!("{PREFIX}{word}"));
            text = text.replace(&digest[..PREFIX.len() + 12], &format!("{PREFIX}{word}~"));
        }
        text
    }
}
