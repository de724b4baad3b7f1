//! Image references: registry, repository, tag and digest, read as Docker reads them.
//!
//! The grammar and the short names (`nginx` is `docker.io/library/nginx`) are those of
//! the `distribution/reference` package that dockerd itself uses. Two things differ: a
//! digest is sha256 only, and the familiar form keeps `docker.io/` where leaving it out
//! would name another registry (`docker.io/a.b/c`).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::text::printable;

#[cfg(test)]
mod tests;

/// The registry that Docker takes when a reference names none.
pub const DOCKER_HUB: &str = "docker.io";
/// What Docker Hub was called once; an alias.
const DOCKER_HUB_OLD: &str = "index.docker.io";
/// The path that Docker puts before names without one on Docker Hub.
const OFFICIAL: &str = "library/";
/// Characters of a registry and path together.
const NAME_MAX: usize = 255;
/// Characters of a tag.
const TAG_MAX: usize = 128;
/// Characters of a foreign text in our messages.
const SHOWN_MAX: usize = 100;

/// A repository in a registry, normalised: two spellings of one repository are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Repository {
    registry: String,
    path: String,
}

/// A content digest, `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

/// `repository[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    pub repository: Repository,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

/// Why a text is not an image reference; says what is wrong and the mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ImageError(pub String);

impl Repository {
    /// The registry's host and port as written in references (`docker.io` for Docker Hub).
    pub fn registry(&self) -> &str {
        &self.registry
    }
    /// The path inside the registry, `library/` included where Docker adds it.
    pub fn path(&self) -> &str {
        &self.path
    }
    /// The full form, e.g. `docker.io/library/nginx`; `Display` gives the familiar one.
    pub fn normalized(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// Reads a name, without tag and digest. `whole` is the text for messages.
    fn parse(name: &str, whole: &str) -> Result<Self, ImageError> {
        if name.contains("://") {
            return Err(error(whole, "leave out the scheme: write host[:port]/path"));
        }
        if name.len() == 64 && name.bytes().all(is_lower_hex) {
            return Err(error(whole, "64 hexadecimal digits are an image ID, not a repository"));
        }
        let (registry, rest) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => (first, rest),
            _ => (DOCKER_HUB, name),
        };
        let registry = if registry == DOCKER_HUB_OLD { DOCKER_HUB } else { registry };
        let path = match registry {
            DOCKER_HUB if !rest.contains('/') => format!("{OFFICIAL}{rest}"),
            _ => rest.to_owned(),
        };
        check_host(registry).map_err(|why| error(whole, &why))?;
        check_path(rest).map_err(|why| error(whole, &why))?;
        if registry.len() + 1 + path.len() > NAME_MAX {
            return Err(error(whole, &format!("the name is longer than {NAME_MAX} characters")));
        }
        Ok(Self { registry: registry.to_owned(), path })
    }
}

impl Digest {
    /// The digest as text, `sha256:…`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// The digest of a content.
    pub fn of(content: &[u8]) -> Self {
        let mut text = String::from("sha256:");
        for byte in Sha256::digest(content) {
            text.push_str(&format!("{byte:02x}"));
        }
        Self(text)
    }
}

impl ImageRef {
    /// Puts a reference together. The tag is taken as it is: see [`check_tag`].
    pub fn new(repository: Repository, tag: Option<String>, digest: Option<Digest>) -> Self {
        Self { repository, tag, digest }
    }
}

/// Whether a text is a tag by the grammar: 1 to 128 of `[A-Za-z0-9_.-]`, the first neither
/// `.` nor `-`.
pub fn is_tag(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= TAG_MAX
        && !text.starts_with(['.', '-'])
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// [`is_tag`] with a message that names the fault.
pub fn check_tag(tag: &str) -> Result<(), ImageError> {
    if is_tag(tag) {
        return Ok(());
    }
    Err(ImageError(tag_fault(tag)))
}

impl fmt::Display for Repository {
    /// The familiar form, as docker prints it: `nginx`, `lighttag/frontend`, `quay.io/a/b`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.registry != DOCKER_HUB {
            return write!(f, "{}/{}", self.registry, self.path);
        }
        let short = match self.path.strip_prefix(OFFICIAL) {
            Some(name) if !name.contains('/') => name,
            _ => &self.path,
        };
        let host_like = short.split_once('/').is_some_and(|(first, _)| is_host(first));
        let id_like = short.len() == 64 && short.bytes().all(is_lower_hex);
        if host_like || id_like { f.write_str(&self.normalized()) } else { f.write_str(short) }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ImageRef {
    /// The familiar form, as docker prints and writes it: `nginx:1.2@sha256:…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Repository {
    type Err = ImageError;
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let image: ImageRef = text.parse()?;
        match (&image.tag, &image.digest) {
            (None, None) => Ok(image.repository),
            (Some(tag), _) => {
                Err(error(text, &format!("only the repository belongs here: leave out the tag `:{tag}`")))
            }
            (None, Some(_)) => {
                Err(error(text, "only the repository belongs here: leave out the digest `@sha256:…`"))
            }
        }
    }
}

impl FromStr for Digest {
    type Err = ImageError;
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let why = match text.split_once(':') {
            Some(("sha256", hex)) if hex.len() == 64 && hex.bytes().all(is_lower_hex) => {
                return Ok(Self(text.to_owned()));
            }
            Some(("sha256", _)) => "after `sha256:` come 64 lower-case hexadecimal digits",
            Some(_) => "only sha256 digests are known",
            None => "a digest is `sha256:` and 64 lower-case hexadecimal digits",
        };
        Err(ImageError(format!("invalid digest `{}`: {why}", printable(text, SHOWN_MAX))))
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;
    fn from_str(text: &str) -> Result<Self, ImageError> {
        if text.is_empty() {
            return Err(ImageError("an image is empty: write e.g. registry.example.com/team/app".into()));
        }
        if text.trim() != text {
            return Err(error(text, "take away the white space around it"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                let digest = digest.parse().map_err(|e: ImageError| error(text, &e.0))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (name, tag) = split_tag(rest);
        let repository = Repository::parse(name, text)?;
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(error(text, &tag_fault(tag)));
        }
        Ok(Self { repository, tag: tag.map(str::to_owned), digest })
    }
}

/// The tag follows the first colon after the last slash; a colon before that is a port's.
fn split_tag(text: &str) -> (&str, Option<&str>) {
    let last = text.rfind('/').map_or(0, |slash| slash + 1);
    match text[last..].find(':') {
        Some(colon) => (&text[..last + colon], Some(&text[last + colon + 1..])),
        None => (text, None),
    }
}

/// Whether the first of several components is a registry and not part of a path.
fn is_host(component: &str) -> bool {
    component.contains(['.', ':'])
        || component == "localhost"
        || component.bytes().any(|b| b.is_ascii_uppercase())
}

fn check_host(text: &str) -> Result<(), String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => (address, None),
        Some((address, rest)) => (address, Some(rest.strip_prefix(':').unwrap_or(""))),
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let host_ok = if text.starts_with('[') {
        host.contains(':') && host.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
    } else {
        host.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        })
    };
    if !host_ok {
        return Err(format!("`{}` is not a registry's host name or address", printable(text, SHOWN_MAX)));
    }
    match port {
        Some(port) if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) => {
            Err(format!("`{}` has no number after the colon: write host:port", printable(text, SHOWN_MAX)))
        }
        Some(port) if port.parse::<u16>().is_err() => {
            Err(format!("`{}` has a port above 65535", printable(text, SHOWN_MAX)))
        }
        _ => Ok(()),
    }
}

fn check_path(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("the repository's name is missing".into());
    }
    for component in path.split('/') {
        if component.is_empty() {
            return Err("a part of the path between two slashes is empty".into());
        }
        if component.bytes().any(|b| b.is_ascii_uppercase()) {
            let shown = printable(component, SHOWN_MAX);
            return Err(format!(
                "repository names are lower case: write `{}` for `{shown}`",
                shown.to_ascii_lowercase()
            ));
        }
        if !is_component(component) {
            return Err(format!(
                "`{}` is not a path component: lower-case letters and digits, joined by one `.`, one or two `_`, or `-`",
                printable(component, SHOWN_MAX)
            ));
        }
    }
    Ok(())
}

/// `[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !text.starts_with(alphanumeric) || !text.ends_with(alphanumeric) {
        return false;
    }
    text.split(alphanumeric)
        .all(|joint| matches!(joint, "" | "." | "_" | "__") || joint.bytes().all(|b| b == b'-'))
}

fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

fn tag_fault(tag: &str) -> String {
    if tag.is_empty() {
        return "the tag after the colon is missing".into();
    }
    if tag.len() > TAG_MAX {
        return format!("the tag is longer than {TAG_MAX} characters");
    }
    format!(
        "`{}` is not a tag: letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`",
        printable(tag, SHOWN_MAX)
    )
}

fn error(text: &str, why: &str) -> ImageError {
    ImageError(format!("invalid image `{}`: {why}", printable(text, SHOWN_MAX)))
}

macro_rules! as_text {
    ($($kind:ty),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = ImageError;
            fn try_from(text: String) -> Result<Self, ImageError> {
                text.parse()
            }
        }
        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.to_string()
            }
        }
    )*};
}
as_text!(Repository, Digest, ImageRef);
