//! Which tags are versions (design: semver.md rules 1 to 3).

use semver::Version;

use crate::spec::TagPattern;

/// The longest tag that the OCI distribution specification allows, in characters.
pub const TAG_MAX: usize = 128;

/// A tag read as a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// With the build metadata that the tag spells after a `_`.
    pub version: Version,
    /// The tag is spelt `v1.2.3`.
    pub leading_v: bool,
}

/// Reads a tag as a full version, without guessing: no missing or additional numbers, no
/// leading zeros, no number above 2^64 - 1. `None`: the tag is floating.
///
/// A `_` stands for the `+` of build metadata, which a tag cannot hold. One leading `v` is
/// taken only without a pattern; a pattern's own text matches exactly.
pub fn parse_tag(tag: &str, pattern: &TagPattern) -> Option<Parsed> {
    let (text, leading_v) = version_text(tag, pattern)?;
    Some(Parsed { version: parse_version(text)?, leading_v })
}

/// What a tag holds at the place of `{version}`, and whether a `v` was taken off.
fn version_text<'t>(tag: &'t str, pattern: &TagPattern) -> Option<(&'t str, bool)> {
    if tag.len() > TAG_MAX {
        return None;
    }
    if is_default(pattern) {
        return Some(match tag.strip_prefix('v') {
            Some(text) => (text, true),
            None => (tag, false),
        });
    }
    let text = tag.strip_prefix(pattern.prefix.as_str())?.strip_suffix(pattern.suffix.as_str())?;
    Some((text, false))
}

fn is_default(pattern: &TagPattern) -> bool {
    pattern.prefix.is_empty() && pattern.suffix.is_empty()
}

fn parse_version(text: &str) -> Option<Version> {
    // Most tags that are not versions are words: those are turned away at little cost.
    if !text.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    if text.contains('+') {
        return None;
    }
    let Some(at) = text.find('_') else {
        return Version::parse(text).ok();
    };
    // On the stack: CI that writes build metadata leaves many such tags.
    let mut buffer = [0; TAG_MAX];
    let spelt = buffer.get_mut(..text.len())?;
    spelt.copy_from_slice(text.as_bytes());
    spelt[at] = b'+';
    Version::parse(std::str::from_utf8(spelt).ok()?).ok()
}

/// Why `parse_tag` gave `None`, for people.
pub(super) fn why_not(tag: &str, pattern: &TagPattern) -> String {
    if tag.len() > TAG_MAX {
        return format!("longer than {TAG_MAX} characters");
    }
    let Some((text, _)) = version_text(tag, pattern) else {
        let TagPattern { prefix, suffix } = pattern;
        return format!("not spelt \"{}{{version}}{}\"", super::shown(prefix), super::shown(suffix));
    };
    why_not_version(text).to_owned()
}

fn why_not_version(text: &str) -> &'static str {
    let core = text.split(['-', '_', '+']).next().unwrap_or(text);
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !core.split('.').all(numeric) {
        return "not a version";
    }
    let count = core.split('.').count();
    if count != 3 {
        return if count < 3 {
            "not a full version: fewer than three numbers"
        } else {
            "not a version: more than three numbers"
        };
    }
    if core.split('.').any(|number| number.len() > 1 && number.starts_with('0')) {
        "not a version: a number with a leading zero"
    } else if core.split('.').any(|number| number.parse::<u64>().is_err()) {
        "not a version: a number above 2^64 - 1"
    } else {
        "not a version: malformed after the three numbers"
    }
}
