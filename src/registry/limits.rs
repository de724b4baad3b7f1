//! Every bound of the registry client in one place.

use std::time::Duration;

/// Bounds in time and size. The defaults are what users get; tests make them small.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To open a connection, TLS included.
    pub connect: Duration,
    /// A whole request, redirects and body included.
    pub request: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// All pages of a tag list together.
    pub list: Duration,
    /// Tags of a repository (semver.md rule 9).
    pub tags: usize,
    /// Bytes of all pages of a tag list (semver.md rule 9).
    pub tags_bytes: usize,
    /// Pages of a tag list; some registries give 50 tags a page whatever is asked for.
    pub pages: usize,
    /// Bytes of a manifest or image configuration; what registries accept.
    pub manifest_bytes: usize,
    /// Bytes of a token server's answer.
    pub token_bytes: usize,
    /// Requests at once to one registry.
    pub parallel: usize,
    /// How long an error is given again without asking: a burst of reconciles costs a dead
    /// registry one try.
    pub error_ttl: Duration,
    /// How long a credential helper may take.
    pub helper: Duration,
    /// How long a helper's answer is used again.
    pub helper_ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(15),
            list: Duration::from_secs(120),
            tags: 100_000,
            tags_bytes: 64 << 20,
            pages: 2_000,
            manifest_bytes: 4 << 20,
            token_bytes: 256 << 10,
            parallel: 8,
            error_ttl: Duration::from_secs(2),
            helper: Duration::from_secs(10),
            helper_ttl: Duration::from_secs(60),
        }
    }
}

/// Redirects followed for one request.
pub(super) const REDIRECTS_MAX: usize = 5;
/// The longest that `Retry-After` is obeyed.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);
/// How long a registry is left alone after a 429 that does not say how long.
pub(super) const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);
/// Bytes read of an error's body, for the code in it.
pub(super) const ERROR_BODY_MAX: usize = 8 << 10;
/// What is remembered: repositories' lists and tokens, and references or digests.
pub(super) const REPOSITORIES_MAX: usize = 4_096;
pub(super) const REFERENCES_MAX: usize = 16_384;
