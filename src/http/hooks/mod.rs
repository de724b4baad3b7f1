//! Webhooks: a git server or a registry says that it has news. Polling is the truth; a call only
//! makes it sooner, and wakes nothing but what the specs and the configuration name already.

mod answer;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod git;
mod payload;
mod proof;
mod receive;
mod registry;
mod seen;
#[cfg(test)]
mod tests;

use axum::http::HeaderMap;

pub use answer::Hooks;
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::fuzz;
pub use git::GitSource;
pub use proof::check_secret;
#[cfg(test)]
pub(super) use receive::BODY_BYTES_MAX;
pub(super) use receive::{nowhere, receive};

/// One call, whole.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub headers: &'a HeaderMap,
    pub query: Option<&'a str>,
    pub body: &'a [u8],
}

impl<'a> Call<'a> {
    /// A header's value, if it is there once.
    fn header(&self, name: &str) -> Option<&'a [u8]> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        values.next().is_none().then(|| value.as_bytes())
    }

    /// The same of a header that is text.
    fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.header(name)?).ok()
    }
}
