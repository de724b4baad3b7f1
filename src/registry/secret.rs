//! Credentials as values that cannot be printed.

use std::fmt;

/// A password or token. Neither `Display` nor `Serialize`, and `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
    /// The value itself, for the header or body it is meant for.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What a registry is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    Password {
        username: Secret,
        password: Secret,
    },
    /// An OAuth2 refresh token, exchanged for access tokens.
    IdentityToken(Secret),
}

/// A credential and where it comes from, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) credential: Credential,
    pub(super) source: String,
}
