//! What the engine's refusals mean.

use serde_json::Value;

use super::{ErrorClass, MESSAGE_CHARS_MAX, SwarmError};
use crate::text::printable;

/// What a refused call means. A stale index is a 500 on every engine measured, so that a 500
/// must never be repeated blindly.
pub(super) fn refusal(status: u16, bytes: &[u8]) -> SwarmError {
    let body: Value = serde_json::from_slice(bytes).unwrap_or(Value::Null);
    let said = body
        .get("message")
        .and_then(Value::as_str)
        .map_or_else(|| String::from_utf8_lossy(bytes), Into::into);
    let message = match status {
        503 => format!(
            "{said} (HTTP 503: skep needs a manager of the Swarm; `docker swarm init`, or another --docker-host)"
        ),
        _ => format!("{said} (HTTP {status})"),
    };
    let class = match status {
        409 => ErrorClass::Conflict,
        404 => ErrorClass::Gone,
        500 if said.contains("out of sequence") => ErrorClass::Conflict,
        408 | 429 | 500..=599 => ErrorClass::Transient,
        _ => ErrorClass::Terminal,
    };
    SwarmError { class, message: printable(&message, MESSAGE_CHARS_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_classed_by_remedy() {
        let cases: [(u16, &str, ErrorClass); 7] = [
            (
                500,
                r#"{"message":"rpc error: code = Unknown desc = update out of sequence"}"#,
                ErrorClass::Conflict,
            ),
            (500, r#"{"message":"rpc error: code = DeadlineExceeded"}"#, ErrorClass::Transient),
            (409, r#"{"message":"name conflicts with an existing object"}"#, ErrorClass::Conflict),
            (404, r#"{"message":"service x not found"}"#, ErrorClass::Gone),
            (400, r#"{"message":"invalid mount"}"#, ErrorClass::Terminal),
            (503, r#"{"message":"This node is not a swarm manager."}"#, ErrorClass::Transient),
            (502, "<html>bad gateway</html>", ErrorClass::Transient),
        ];
        for (status, body, class) in cases {
            assert_eq!(refusal(status, body.as_bytes()).class, class, "{status} {body}");
        }
    }

    #[test]
    fn messages_are_printable_and_bounded() {
        let body = format!(r#"{{"message":"\u001b[31m{}"}}"#, "x".repeat(10_000));
        let error = refusal(400, body.as_bytes());
        assert!(!error.message.contains('\u{1b}'));
        assert!(error.message.chars().count() <= MESSAGE_CHARS_MAX + 1);
    }
}
