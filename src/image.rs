//! Image references: registry, repository, tag and digest, read as Docker reads them.
//!
//! The grammar and the short names (`nginx` is `docker.io/library/nginx`) are those of
//! the `distribution/reference` package that dockerd itself uses.

use std::fmt;
use std::str::FromStr;

/// The registry that Docker takes when a reference names none.
pub const DOCKER_HUB: &str = "docker.io";

/// A repository in a registry, normalised: two spellings of one repository are equal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Repository {
    registry: String,
    path: String,
}

/// A content digest, `sha256:` and 64 lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

/// `repository[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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
}

impl Digest {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;
    fn from_str(_text: &str) -> Result<Self, ImageError> {
        Err(ImageError("to be written".into()))
    }
}
