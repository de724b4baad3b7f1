//! Errors that say which registry, what happened and the mend, and nothing secret.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;

use super::carrier::Broken;
use super::limits::RETRY_AFTER_MAX;
use super::{RegistryError, RegistryErrorKind as Kind};
use crate::text::printable;

/// Characters of a message.
const MESSAGE_MAX: usize = 300;
/// Characters of a foreign text within a message.
const DETAIL_MAX: usize = 120;

/// The error codes of the distribution API. Only these are repeated from a registry's
/// answer: free text could hold the credentials that were sent.
const CODES: [&str; 17] = [
    "BLOB_UNKNOWN",
    "DENIED",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "MANIFEST_UNVERIFIED",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "PAGINATION_NUMBER_INVALID",
    "RANGE_INVALID",
    "SIZE_INVALID",
    "TAG_INVALID",
    "TOOMANYREQUESTS",
    "UNAUTHORIZED",
    "UNAVAILABLE",
    "UNSUPPORTED",
];

impl RegistryError {
    /// An error whose message is escaped, bounded and led by the registry's name.
    pub fn new(kind: Kind, registry: &str, message: &str) -> Self {
        let message = printable(&format!("{registry}: {message}"), MESSAGE_MAX);
        Self { kind, registry: registry.to_owned(), message, retry_after: None }
    }
}

/// The error for an answer that is not the success that was asked for. `source`: where the
/// credentials that were sent come from.
pub(super) fn for_status(
    registry: &str,
    what: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    source: Option<&str>,
) -> RegistryError {
    let code = code(body).map(|code| format!(" ({code})")).unwrap_or_default();
    let number = status.as_u16();
    let (kind, message) = match number {
        401 | 403 => (Kind::Unauthorized, unauthorized(registry, number, what, source)),
        404 => (Kind::NotFound, format!("{what} not found{code}: check the name, and that it was pushed")),
        429 => (Kind::RateLimited, format!("429 for {what}: too many requests; asked again later")),
        408 | 500..=599 => {
            (Kind::Unavailable, format!("{number} for {what}{code}: the registry has a fault of its own"))
        }
        _ => (Kind::Untrusted, format!("unexpected status {number} for {what}{code}: is this a registry?")),
    };
    let mut error = RegistryError::new(kind, registry, &message);
    if matches!(number, 429 | 503) {
        error.retry_after = retry_after(headers, Timestamp::now());
    }
    error
}

pub(super) fn unauthorized(registry: &str, status: u16, what: &str, source: Option<&str>) -> String {
    let place = printable(registry, DETAIL_MAX);
    let name = if status == 403 { "Forbidden" } else { "Unauthorized" };
    match source {
        Some(source) => {
            format!(
                "{status} {name} for {what}: the credentials from {source} are wrong or give no right to it; correct them there"
            )
        }
        None => format!(
            "{status} {name} for {what}: missing credentials: set [registries.\"{place}\"] in skep.toml or run `docker login {place}`"
        ),
    }
}

/// The error for a request that got no answer.
pub(super) fn for_transport(registry: &str, what: &str, broken: &Broken) -> RegistryError {
    let cause = printable(&broken.cause, DETAIL_MAX);
    let mend = if cause.contains("certificate") {
        ": trust its authority with `ca` under [registries] in skep.toml"
    } else if cause.contains("InvalidContentType") {
        ": if it speaks plain HTTP, set `plain_http = true` under [registries] in skep.toml"
    } else if broken.connect {
        ": check that it is up and that its name and port are right"
    } else {
        ""
    };
    let verb = if broken.timeout {
        "no answer in time"
    } else if broken.connect {
        "cannot connect"
    } else {
        "the connection broke"
    };
    RegistryError::new(Kind::Unavailable, registry, &format!("{verb} for {what}: {cause}{mend}"))
}

/// The first known code in `{"errors":[{"code":…}]}`.
fn code(body: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        code: String,
    }
    let errors: Errors = serde_json::from_slice(body).ok()?;
    errors.errors.iter().find_map(|e| CODES.into_iter().find(|code| *code == e.code))
}

/// `Retry-After` in either form (RFC 9110, section 10.2.3), at most an hour. A date is taken
/// against the server's own `Date`, else against `now`: clocks differ.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are more than the bound, too.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX));
    }
    let until = http_date(text)?;
    let from = headers.get(header::DATE).and_then(|v| v.to_str().ok()).and_then(http_date).unwrap_or(now);
    let wait = until.duration_since(from);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO).min(RETRY_AFTER_MAX))
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn headers(retry_after: &str, date: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_str(retry_after).unwrap());
        if let Some(date) = date {
            headers.insert(header::DATE, HeaderValue::from_str(date).unwrap());
        }
        headers
    }

    #[test]
    fn reads_retry_after() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (value, server, expected) in [
            ("30", None, Some(30)),
            (" 30 ", None, Some(30)),
            ("0", None, Some(0)),
            ("999999", None, Some(3600)),
            ("99999999999999999999999", None, Some(3600)),
            (date, None, Some(30)),
            (date, Some("Sun, 06 Nov 1994 08:49:27 GMT"), Some(10)),
            (date, Some("Sun, 06 Nov 1994 08:50:27 GMT"), Some(0)),
            (date, Some("Sat, 05 Nov 1994 08:50:27 GMT"), Some(3600)),
            ("-1", None, None),
            ("soon", None, None),
            ("", None, None),
        ] {
            let got = retry_after(&headers(value, server), now).map(|d| d.as_secs());
            assert_eq!(got, expected, "{value} {server:?}");
        }
    }

    #[test]
    fn repeats_known_codes_only() {
        let error = |body: &str| {
            for_status("r", "tags", StatusCode::NOT_FOUND, &HeaderMap::new(), body.as_bytes(), None).message
        };
        assert!(error(r#"{"errors":[{"code":"X"},{"code":"NAME_UNKNOWN"}]}"#).contains("(NAME_UNKNOWN)"));
        assert!(!error(r#"{"errors":[{"code":"hunter2","message":"hunter2"}]}"#).contains("hunter2"));
    }

    proptest! {
        #[test]
        fn retry_after_never_panics(value in "[ -~]{0,60}") {
            let wait = retry_after(&headers(&value, None), Timestamp::UNIX_EPOCH);
            prop_assert!(wait.is_none_or(|d| d <= RETRY_AFTER_MAX));
        }

        #[test]
        fn messages_are_bounded(text in "(?s).{0,500}") {
            let message = RegistryError::new(Kind::Untrusted, "r", &text).message;
            prop_assert!(message.chars().count() <= MESSAGE_MAX && !message.contains(char::is_control));
        }
    }
}
