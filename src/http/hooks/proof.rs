//! What shows that a call comes from somebody who knows the secret. It is looked at before the
//! body is read as anything but bytes, and compared in a time that tells nothing.

use axum::http::header;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::Call;
use crate::config::Hook;
use crate::http::Secret;

/// A signing token of GitLab's begins so, as <https://www.standardwebhooks.com> has it.
const SIGNING_TOKEN: &str = "whsec_";
/// How far a signed time may be from ours, in seconds.
const SKEW_MAX: u64 = 300;
const SHA256_HEX: usize = 64;

/// Why a call is not believed. Nothing of the call stands in it.
pub(super) type Doubt = &'static str;

/// # Errors
/// When a secret cannot be what that hook's sender uses.
pub fn check_secret(hook: Hook, secret: &Secret) -> Result<(), Doubt> {
    match signing_key(secret) {
        Some(None) if hook == Hook::GitGitlab => {
            Err("it begins with whsec_, but no base64 follows, so it is no signing token of GitLab's")
        }
        _ => Ok(()),
    }
}

/// # Errors
/// When nothing shows that the caller knows the secret. `now` is in seconds since 1970.
pub(super) fn check(hook: Hook, secret: &Secret, call: &Call<'_>, now: i64) -> Result<(), Doubt> {
    match hook {
        Hook::GitGithub | Hook::RegistryGithub => signature(secret, call, "x-hub-signature-256", "sha256="),
        Hook::GitGitea => signature(secret, call, "x-gitea-signature", ""),
        Hook::GitGeneric | Hook::RegistryGeneric => {
            signature(secret, call, "x-skep-signature-256", "sha256=")
        }
        Hook::GitGitlab => match signing_key(secret) {
            Some(key) => standard(&key.ok_or("the secret is no signing token")?, call, now),
            None => same(secret, call.header("x-gitlab-token")),
        },
        Hook::RegistryDistribution | Hook::RegistryHarbor => authorization(secret, call),
        Hook::RegistryDockerHub | Hook::RegistryQuay => query_token(secret, call.query),
    }
}

/// The key in a signing token; `None`: it is another kind of secret.
fn signing_key(secret: &Secret) -> Option<Option<Vec<u8>>> {
    let text = secret.expose().strip_prefix(SIGNING_TOKEN)?;
    Some(STANDARD.decode(text).ok().filter(|key| !key.is_empty()))
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    // A key of any length will do, so this does not fail.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}

fn same(secret: &Secret, given: Option<&[u8]>) -> Result<(), Doubt> {
    let given = given.ok_or("the header with the token is missing, or there more than once")?;
    if secret.is(given) { Ok(()) } else { Err("the token is not the configured secret") }
}

/// The body's HMAC-SHA256 in hexadecimal digits.
fn signature(secret: &Secret, call: &Call<'_>, name: &str, prefix: &str) -> Result<(), Doubt> {
    let given = call.text(name).ok_or("the header with the signature is missing, or there more than once")?;
    let given = given.strip_prefix(prefix).and_then(from_hex);
    let given = given.ok_or("the signature is not a SHA-256 in hexadecimal digits, as this hook wants it")?;
    let right =
        mac(secret.expose().as_bytes(), &[call.body]).is_some_and(|mac| mac.verify_slice(&given).is_ok());
    if right { Ok(()) } else { Err("the signature does not fit body and secret") }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.len() != SHA256_HEX || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..SHA256_HEX).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

/// As Standard Webhooks have it: ID, time and body are signed.
fn standard(key: &[u8], call: &Call<'_>, now: i64) -> Result<(), Doubt> {
    let headers = ("webhook-id", "webhook-timestamp", "webhook-signature");
    let missing = "webhook-id, -timestamp or -signature is missing, or there more than once";
    let id = call.text(headers.0).ok_or(missing)?;
    let time = call.text(headers.1).ok_or(missing)?;
    let signatures = call.text(headers.2).ok_or(missing)?;
    let is_right = |signature: &str| {
        let given = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok());
        let parts: [&[u8]; 5] = [id.as_bytes(), b".", time.as_bytes(), b".", call.body];
        given.is_some_and(|given| mac(key, &parts).is_some_and(|mac| mac.verify_slice(&given).is_ok()))
    };
    if !signatures.split(' ').any(is_right) {
        return Err("no signature fits ID, time, body and secret");
    }
    match time.parse::<i64>() {
        Ok(time) if time.abs_diff(now) <= SKEW_MAX => Ok(()),
        _ => Err("it was signed more than five minutes from now; is a clock wrong?"),
    }
}

/// The secret as a bearer token, as the password of basic authentication, or as the whole value.
fn authorization(secret: &Secret, call: &Call<'_>) -> Result<(), Doubt> {
    let missing = "the header Authorization is missing, or there more than once";
    let given = call.header(header::AUTHORIZATION.as_str()).ok_or(missing)?;
    let after = |scheme: &str| {
        let (name, rest) = given.split_at_checked(scheme.len())?;
        name.eq_ignore_ascii_case(scheme.as_bytes()).then(|| rest.trim_ascii())
    };
    let password = after("basic ").and_then(|pair| {
        let pair = STANDARD.decode(pair).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        Some(pair[colon + 1..].to_vec())
    });
    let is_right = secret.is(given)
        || after("bearer ").is_some_and(|token| secret.is(token))
        || password.is_some_and(|password| secret.is(&password));
    if is_right { Ok(()) } else { Err("Authorization does not hold the configured secret") }
}

/// `?token=`, for senders that can do nothing else.
fn query_token(secret: &Secret, query: Option<&str>) -> Result<(), Doubt> {
    let pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let mut tokens = pairs.filter(|(name, _)| name == "token").map(|(_, token)| token);
    let token = tokens.next().ok_or("?token= is missing in the URL")?;
    if tokens.next().is_some() {
        return Err("?token= is there more than once");
    }
    if secret.is(token.as_bytes()) { Ok(()) } else { Err("?token= is not the configured secret") }
}
