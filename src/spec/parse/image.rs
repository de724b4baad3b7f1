//! `image` and `version`: how the image is chosen.

use semver::{Comparator, Op, Version, VersionReq};

use super::reader::{Context, Item, TableReader};
use super::report::Span;
use super::tree::Value;
use super::units::own_duration;
use crate::image::ImageRef;
use crate::spec::keys::VERSION;
use crate::spec::{ImagePolicy, Prerelease, Retag, TagPattern, VersionPolicy};
use crate::version::{TAG_MAX, parse_tag};

/// Bytes of a requirement. The longest useful ones have about 50.
const REQUIREMENT_BYTES_MAX: usize = 256;
/// Entries of `exclude`.
const EXCLUDE_MAX: usize = 1000;
const PLACEHOLDER: &str = "{version}";

/// Reads `image` and `version` of a service. `service` is the place to blame when `image`
/// is missing.
pub(super) fn read_image(
    cx: &mut Context<'_>,
    table: &mut TableReader<'_>,
    service: (Span, &str),
) -> Option<ImagePolicy> {
    let version_item = table.take("version");
    let policy = version_item.as_ref().map(|item| read_version(cx, item));
    let Some(item) = table.take("image") else {
        if !cx.partial {
            let help = "write `image = \"registry.example.com/team/app\"`";
            cx.error(service.0, service.1, "`image` is missing", help);
        }
        return None;
    };
    let text = item.string(cx)?;
    let image: ImageRef = match text.parse() {
        Ok(image) => image,
        Err(error) => {
            let message = match item.hides() {
                true => format!("`{}` names no image with these variables", item.shown(&text, 200)),
                false => error.to_string(),
            };
            item.error(cx, message, "");
            return None;
        }
    };
    if let Some(version) = &version_item
        && (image.tag.is_some() || image.digest.is_some())
    {
        refuse_both(cx, &item, version, &image);
        return None;
    }
    let ImageRef { repository, tag, digest } = image;
    match (tag, digest) {
        (tag, Some(digest)) => Some(ImagePolicy::Digest { repository, tag, digest }),
        (None, None) => {
            let policy = policy.unwrap_or_else(|| Some(cx.version_defaults.clone()))?;
            Some(ImagePolicy::Highest { repository, policy })
        }
        (Some(tag), None) => match full_version(&tag) {
            Some(version) => Some(ImagePolicy::Tag { repository, tag, version }),
            None => {
                let (what, help) = match item.hides() {
                    true => (item.shown(&text, 200), FLOATING_HELP.to_owned()),
                    false => (tag.clone(), floating_help(&repository.to_string(), &tag)),
                };
                let is = if item.hides() { "has" } else { "is" };
                item.error(cx, format!("`{what}` {is} a floating tag: what it names can change"), help);
                None
            }
        },
    }
}

fn refuse_both(cx: &mut Context<'_>, item: &Item<'_>, version: &Item<'_>, image: &ImageRef) {
    let what = if image.digest.is_some() { "a digest" } else { "a tag" };
    let exact =
        image.tag.as_deref().and_then(full_version).map(|v| format!("={}.{}.{}", v.major, v.minor, v.patch));
    let name = &image.repository;
    let help = match exact {
        _ if item.hides() => "leave it out of `image`, or leave out `version`".to_owned(),
        Some(exact) => {
            format!("write `image = \"{name}\"` and `version = \"{exact}\"`, or leave out `version`")
        }
        None => format!("write `image = \"{name}\"` and let `version` choose, or leave out `version`"),
    };
    let file = cx.sources.path(version.node.span.file);
    let place =
        if version.node.span.file == item.node.span.file { String::new() } else { format!(" (in {file})") };
    item.error(cx, format!("the image has {what}, and there is a `version`{place}"), help);
}

/// A tag that is a full version (semver.md rules 1 and 2).
fn full_version(tag: &str) -> Option<Version> {
    parse_tag(tag, &TagPattern::default()).map(|parsed| parsed.version)
}

/// The same where variables make the image.
const FLOATING_HELP: &str = "leave the tag out and follow the highest version by `version`, or pin the content by its digest, after `@`";

/// What to write instead of a floating tag.
fn floating_help(repository: &str, tag: &str) -> String {
    let version = match following(tag) {
        (require, None) => format!("\"{require}\""),
        (require, Some(tags)) => format!("{{ require = \"{require}\", tags = \"{tags}\" }}"),
    };
    format!(
        "follow the highest version: `image = \"{repository}\"` and `version = {version}`; or pin the content by its digest: `{repository}:{tag}@sha256:…`"
    )
}

/// The requirement that means what a floating tag means, and the spelling of its tags where that is another than
/// the usual: `16.3-alpine` names a range and a variant.
pub fn following(tag: &str) -> (String, Option<String>) {
    let number = tag.strip_prefix('v').unwrap_or(tag);
    let (number, variant) = number.split_at(number.find(['-', '_']).unwrap_or(number.len()));
    let is_range = number.split('.').count() <= 2
        && number.split('.').all(|part| part.parse::<u64>().is_ok_and(|n| n.to_string() == part));
    match (is_range, variant) {
        (false, _) => ("*".to_owned(), None),
        (true, "") => (format!("~{number}"), None),
        (true, variant) => (format!("~{number}"), Some(format!("{PLACEHOLDER}{variant}"))),
    }
}

/// `version` as a requirement or a table.
fn read_version(cx: &mut Context<'_>, item: &Item<'_>) -> Option<VersionPolicy> {
    if !matches!(item.node.value, Value::Table(_)) {
        if matches!(item.node.value, Value::Array(_)) {
            return item.mismatch(
                cx,
                "a requirement or a table",
                "join requirements with commas in one string",
            );
        }
        let require = read_requirement(cx, item)?;
        return Some(VersionPolicy { require, ..cx.version_defaults.clone() });
    }
    let mut table = item.table(cx, &VERSION)?;
    let mut policy = cx.version_defaults.clone();
    if let Some(require) = table.take("require").and_then(|item| read_requirement(cx, &item)) {
        policy.require = require;
    }
    if let Some(prerelease) = table.take("prerelease").and_then(|item| read_prerelease(cx, &item)) {
        policy.prerelease = prerelease;
    }
    if let Some(tags) = table.take("tags").and_then(|item| read_pattern(cx, &item)) {
        policy.tags = tags;
    }
    if let Some(exclude) = table.take("exclude").and_then(|item| read_exclude(cx, &item)) {
        policy.exclude = exclude;
    }
    if let Some(min_age) = table.take("min_age").and_then(|item| read_own_duration(cx, &item)) {
        policy.min_age = min_age;
    }
    if let Some(retag) = table.take("retag").and_then(|item| read_retag(cx, &item)) {
        policy.retag = retag;
    }
    if let Some(downgrade) = table.take("downgrade").and_then(|item| item.boolean(cx)) {
        policy.downgrade = downgrade;
    }
    table.finish(cx);
    Some(policy)
}

pub(super) fn read_retag(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Retag> {
    item.choice(cx, &[("follow", Retag::Follow), ("hold", Retag::Hold)])
}

fn read_requirement(cx: &mut Context<'_>, item: &Item<'_>) -> Option<VersionReq> {
    let text = item.string(cx)?;
    match requirement(&text) {
        Ok(requirement) => Some(requirement),
        Err(fault) => {
            not_a_requirement(cx, item, &text, fault);
            None
        }
    }
}

/// Why names characters of the text.
fn not_a_requirement(cx: &mut Context<'_>, item: &Item<'_>, text: &str, (why, help): (String, String)) {
    let why = if item.hides() { String::new() } else { format!(": {why}") };
    item.error(cx, format!("`{}` is not a version requirement{why}", item.shown(text, 60)), help);
}

/// A requirement as Cargo reads it; the error is a reason and a help.
fn requirement(text: &str) -> Result<VersionReq, (String, String)> {
    let fault = |why: String, help: &str| Err((why, help.to_owned()));
    if text.len() > REQUIREMENT_BYTES_MAX {
        return fault(format!("it has more than {REQUIREMENT_BYTES_MAX} bytes"), "");
    }
    if text.trim().is_empty() {
        return fault("it is empty".into(), "write `*` for every release");
    }
    let error = match VersionReq::parse(text) {
        Ok(requirement) => return Ok(requirement),
        Err(error) => error,
    };
    if text.contains("||") {
        return fault(
            "there is no `||`".into(),
            "write one range, e.g. `>=1.2, <3`, and use `exclude` for gaps",
        );
    }
    if text.contains(" - ") {
        return fault("there are no hyphen ranges".into(), "write `>=1.2, <=1.4`");
    }
    let bare = text.trim_start_matches(['^', '~', '=', '>', '<', ' ']);
    if bare.starts_with('v') && bare[1..].starts_with(|c: char| c.is_ascii_digit()) {
        return fault("versions have no leading `v` here".into(), "leave out the `v`; tags may have it");
    }
    if !text.contains(',') && text.trim().contains(' ') {
        return fault(error.to_string(), "join requirements with commas: `>=1.2, <2`");
    }
    fault(error.to_string(), "write e.g. `^1.4`, `~1.4.2`, `>=1.2, <2` or `*`")
}

pub(super) fn read_prerelease(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Prerelease> {
    const EXPECTED: &str = "true, false or a list of strings";
    match &item.node.value {
        Value::Boolean(true) => return Some(Prerelease::All),
        Value::Boolean(false) => return Some(Prerelease::None),
        Value::Array(_) => {}
        Value::String(text) => return item.mismatch(cx, EXPECTED, &format!("write `[\"{text}\"]`")),
        _ => return item.mismatch(cx, EXPECTED, ""),
    }
    let mut channels = Vec::new();
    for item in item.list(cx, "strings")? {
        let Some(text) = item.string(cx) else { continue };
        let identifier = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if text.is_empty() || !text.bytes().all(identifier) {
            let help = "only the first identifier, e.g. `rc` for 1.0.0-rc.1: letters, digits and `-`";
            item.error(cx, "not a pre-release identifier", help);
            continue;
        }
        channels.push(text);
    }
    Some(if channels.is_empty() { Prerelease::None } else { Prerelease::Channels(channels) })
}

fn read_pattern(cx: &mut Context<'_>, item: &Item<'_>) -> Option<TagPattern> {
    let text = item.string(cx)?;
    let mut parts = text.split(PLACEHOLDER);
    let (Some(prefix), Some(suffix), None) = (parts.next(), parts.next(), parts.next()) else {
        item.error(cx, "there must be one `{version}`", "write e.g. `{version}-alpine`");
        return None;
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if !prefix.bytes().chain(suffix.bytes()).all(allowed) || prefix.starts_with(['.', '-']) {
        let help = "letters, digits, `_`, `.` and `-`, not beginning with `.` or `-`";
        item.error(cx, "no tag can be spelt so", help);
        return None;
    }
    // The shortest version, 0.0.0, needs five.
    if prefix.len() + suffix.len() + 5 > TAG_MAX {
        item.error(cx, "no tag is so long", format!("a tag has at most {TAG_MAX} characters"));
        return None;
    }
    Some(TagPattern { prefix: prefix.to_owned(), suffix: suffix.to_owned() })
}

pub(super) fn read_exclude(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<VersionReq>> {
    let items = item.list(cx, "strings")?;
    if items.len() > EXCLUDE_MAX {
        item.error(
            cx,
            format!("more than {EXCLUDE_MAX} exclusions"),
            "a range such as `<1.4` says many at once",
        );
        return None;
    }
    let mut out = Vec::new();
    for item in items {
        let Some(text) = item.string(cx) else { continue };
        // A full version means itself alone, where Cargo would read `^`.
        if let Ok(version) = Version::parse(&text) {
            out.push(exactly(version));
            continue;
        }
        match requirement(&text) {
            Ok(requirement) => out.push(requirement),
            Err(fault) => not_a_requirement(cx, &item, &text, fault),
        }
    }
    Some(out)
}

/// `=VERSION`; build metadata has no precedence and so does not count.
fn exactly(version: Version) -> VersionReq {
    let Version { major, minor, patch, pre, build: _ } = version;
    VersionReq {
        comparators: vec![Comparator { op: Op::Exact, major, minor: Some(minor), patch: Some(patch), pre }],
    }
}

pub(super) fn read_own_duration(cx: &mut Context<'_>, item: &Item<'_>) -> Option<std::time::Duration> {
    let text = item.string(cx)?;
    match own_duration(&text) {
        Ok(duration) => Some(duration),
        Err(help) => {
            item.error(cx, format!("`{}` is not a duration", item.shown(&text, 60)), help);
            None
        }
    }
}
