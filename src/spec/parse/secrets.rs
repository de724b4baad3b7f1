//! `[secrets]` and `[configs]`, and what of them services use.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Context, Item, TableReader};
use super::report::Span;
use super::service::read_labels;
use super::tree::Value;
use super::volumes::read_options;
use crate::spec::fleet::is_reserved;
use crate::spec::keys::{CONFIG, FILE, SECRET};
use crate::spec::{
    Blob, BlobRef, Content, ContentSource, FoundFile, NamedContent, SUFFIX_DIGITS, SecretBytes,
};
use crate::state::ObjectKind;
use crate::text::{nearest, printable};

/// Entries of one of the two tables.
const BLOBS_MAX: usize = 100;
/// Characters of a name in the Swarm.
const NAME_MAX: usize = 64;
/// What the engine takes is below these (measured).
const SECRET_BYTES: usize = 512_000;
const CONFIG_BYTES: usize = 1_024_000;
const RIGHTS_MAX: u64 = 0o777;

pub(super) fn read_blobs(cx: &mut Context<'_>, item: &Item<'_>, kind: ObjectKind) -> BTreeMap<String, Blob> {
    let mut blobs = BTreeMap::new();
    let what = kind.as_str();
    let entries = item.entries(cx, &format!("a table of {what}s")).unwrap_or_default();
    for (count, (key, span, item)) in entries.into_iter().enumerate() {
        if count >= BLOBS_MAX {
            cx.error(span, &item.key, format!("more than {BLOBS_MAX} {what}s"), "");
            break;
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if key.is_empty() || !key.bytes().all(allowed) {
            let message = format!("not a {what} key");
            cx.error(span, &item.key, message, "letters, digits, `.`, `_` and `-`");
            continue;
        }
        // Faulty ones too, so that services that name them are not blamed as well.
        let blob = read_blob(cx, key, span, &item, kind);
        blobs.insert(key.to_owned(), blob);
    }
    blobs
}

fn read_blob(cx: &mut Context<'_>, key: &str, span: Span, item: &Item<'_>, kind: ObjectKind) -> Blob {
    let mut blob = Blob {
        key: key.to_owned(),
        external: false,
        name: format!("{}_{key}", cx.customer.unwrap_or_default()),
        labels: BTreeMap::new(),
        driver: None,
        template_driver: None,
        content: None,
        seal: None,
        kept: None,
    };
    let keys = if kind == ObjectKind::Secret { &SECRET } else { &CONFIG };
    let Some(mut table) = item.table(cx, keys) else { return blob };
    blob.external = table.take("external").and_then(|item| item.boolean(cx)).unwrap_or(false);
    if blob.external {
        blob.name = key.to_owned();
    }
    let given = table.take("name");
    if let Some(name) = given.as_ref().and_then(|given| given.string(cx)) {
        blob.name = name;
    }
    let (span, place) = given.as_ref().map_or((span, &item.key), |given| (given.node.span, &given.key));
    let shown = given.as_ref().map_or_else(|| printable(&blob.name, 80), |given| given.shown(&blob.name, 80));
    check_name(cx, &blob, span, place, &shown);
    read_own(cx, &mut table, &mut blob, item, kind);
    table.finish(cx);
    blob
}

fn check_name(cx: &mut Context<'_>, blob: &Blob, span: Span, place: &str, shown: &str) {
    let name = &blob.name;
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    // The suffix ends with a letter or digit.
    let ends = end(name.as_bytes().first()) && (!blob.external || end(name.as_bytes().last()));
    let suffix = if blob.external { 0 } else { 1 + SUFFIX_DIGITS };
    if cx.partial || (plain && ends && name.len() + suffix <= NAME_MAX) {
        return;
    }
    if plain && ends {
        let message = format!("the name in the Swarm, `{shown}`, has {} characters", name.len());
        let help = match suffix {
            0 => format!("at most {NAME_MAX}"),
            _ => format!("at most {}, for skep adds {suffix}", NAME_MAX - suffix),
        };
        return cx.error(span, place, message, help);
    }
    let help = "letters, digits, `.`, `_` and `-`, with a letter or digit at both ends";
    cx.error(span, place, format!("`{shown}` is not a name that Swarm takes"), help);
}

/// How it is made; an external one is made by somebody else.
fn read_own(
    cx: &mut Context<'_>,
    table: &mut TableReader<'_>,
    blob: &mut Blob,
    item: &Item<'_>,
    kind: ObjectKind,
) {
    let [file, environment, labels, template] =
        ["file", "environment", "labels", "template_driver"].map(|name| table.take(name));
    let is_secret = kind == ObjectKind::Secret;
    let (driver, options, content) = if is_secret {
        (table.take("driver"), table.take("driver_opts"), None)
    } else {
        (None, None, table.take("content"))
    };
    let given = [&file, &environment, &labels, &template, &driver, &options, &content];
    if blob.external
        && let Some(item) = given.into_iter().flatten().next()
    {
        let message = format!("an external {} is made by somebody else", kind.as_str());
        item.error(cx, message, "take this key, or `external`, out");
    }
    blob.labels = labels.map(|item| read_labels(cx, &item)).unwrap_or_default();
    blob.template_driver = template.and_then(|item| item.string(cx));
    let options = options.map(|item| read_options(cx, &item)).unwrap_or_default();
    let sources = [&file, &environment, &content, &driver].into_iter().flatten().count();
    if !blob.external && sources != 1 && !(cx.partial && sources == 0) {
        let choice = if is_secret {
            "`file`, `environment` and `driver`"
        } else {
            "`file`, `environment` and `content`"
        };
        item.error(cx, format!("exactly one of {choice}"), "or `external = true` if somebody else makes it");
    }
    blob.driver = driver.and_then(|item| item.string(cx)).map(|name| (name, options));
    let bytes_max = if is_secret { SECRET_BYTES } else { CONFIG_BYTES };
    let of = if is_secret { "secrets" } else { "configs" };
    blob.content = read_content(cx, [file, environment, content], &[of, &blob.key], bytes_max);
}

fn read_content(
    cx: &mut Context<'_>,
    [file, environment, content]: [Option<Item<'_>>; 3],
    at: &[&str],
    bytes_max: usize,
) -> Option<SecretBytes> {
    let found = |cx: &mut Context<'_>, item: &Item<'_>, found| taken(cx, item, found, bytes_max);
    if let Some(item) = file {
        let bytes = read_file(cx, &item, &[at, &["file"]].concat(), bytes_max)?;
        return found(cx, &item, Content::Found(bytes));
    }
    if let Some(item) = environment {
        let name = item.string(cx)?;
        if name.is_empty() || name.contains(['=', '\0']) {
            item.error(cx, "not a variable name", "at least one character, no `=` and no NUL");
            return None;
        }
        name_content(cx, &[at, &["environment"]].concat(), ContentSource::Variable(name.clone()));
        // The rules say so; whether it is there is nobody's business.
        if is_reserved(&name) {
            return None;
        }
        return match cx.contents.variable(&name) {
            Content::Missing => {
                let message = format!("the environment has no variable `{}`", item.shown(&name, 80));
                item.error(cx, message, "set it where skep runs");
                None
            }
            value => found(cx, &item, value),
        };
    }
    let item = content?;
    let text = item.string(cx)?;
    found(cx, &item, Content::Found(SecretBytes::new(text.into_bytes())))
}

/// The bytes, if the engine takes them.
fn taken(cx: &mut Context<'_>, item: &Item<'_>, content: Content, bytes_max: usize) -> Option<SecretBytes> {
    let bytes = match content {
        Content::Found(bytes) if bytes.reveal().is_empty() => {
            item.error(cx, "the content is empty", "Swarm takes no empty ones");
            return None;
        }
        Content::Found(bytes) if bytes.reveal().len() < bytes_max => return Some(bytes),
        Content::Found(_) | Content::TooLarge => {
            format!("the content is too large: Swarm takes less than {bytes_max} bytes")
        }
        Content::Unknown => return None,
        Content::Missing => "there is no such content".to_owned(),
        Content::Bad(why) => why,
    };
    item.error(cx, bytes, "");
    None
}

/// Notes what is taken from elsewhere, for the fleet's rules.
fn name_content(cx: &mut Context<'_>, key: &[&str], source: ContentSource) {
    cx.named.push(NamedContent { key: key.iter().map(|part| (*part).to_owned()).collect(), source });
}

/// The bytes of a file that a value names, relative to the file that the value stands in. `key` is where the value
/// stands, part by part.
pub(super) fn read_file(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    key: &[&str],
    bytes_max: usize,
) -> Option<SecretBytes> {
    let given = item.string(cx)?;
    let shown = item.shown(&given, 80);
    let Some(path) = beside(cx.sources.path(item.node.span.file), &given) else {
        let help = "name a file in the specs directory, relative to this one";
        item.error(cx, format!("`{shown}` leads out of the specs directory"), help);
        return None;
    };
    let FoundFile { content, led_to } = cx.contents.file(&path, bytes_max);
    name_content(cx, key, ContentSource::File { path: path.clone(), led_to });
    match content {
        Content::Found(bytes) => return Some(bytes),
        Content::Unknown => {}
        Content::Missing => {
            item.error(
                cx,
                format!("there is no file `{shown}`"),
                if item.hides() {
                    String::new()
                } else {
                    format!("looked for {path} in the specs directory")
                },
            );
        }
        Content::TooLarge => {
            item.error(cx, format!("`{shown}` is too large: Swarm takes less than {bytes_max} bytes"), "");
        }
        Content::Bad(why) => item.error(cx, format!("`{shown}` {why}"), ""),
    }
    None
}

/// The path of a file that is named beside another; `None`: it leads out of the directory.
fn beside(file: &str, given: &str) -> Option<String> {
    if given.is_empty() || given.starts_with('/') || given.contains(['\0', '\\']) {
        return None;
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in given.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// `secrets` or `configs` of a service: keys, or tables.
pub(super) fn read_references(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    declared: &BTreeMap<String, Blob>,
    table: &str,
) -> Option<Vec<BlobRef>> {
    let mut out: Vec<BlobRef> = Vec::new();
    let mut targets = BTreeSet::new();
    for item in item.list(cx, &format!("{table}' keys"))? {
        let Some(reference) = read_reference(cx, &item, declared, table) else { continue };
        if !targets.insert(reference.target.clone()) {
            // Without a target of its own it is called as its source.
            let given = if item.has("target") { "target" } else { "source" };
            let message = format!("`{}` stands here twice", item.within(given).shown(&reference.target, 60));
            item.error(cx, message, "give each a `target` of its own");
        }
        out.push(reference);
    }
    Some(out)
}

fn read_reference(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    declared: &BTreeMap<String, Blob>,
    of: &str,
) -> Option<BlobRef> {
    let plain = |source: String| BlobRef {
        target: source.clone(),
        source,
        uid: "0".into(),
        gid: "0".into(),
        mode: 0o444,
    };
    if !matches!(item.node.value, Value::Table(_)) {
        if !matches!(item.node.value, Value::String(_)) {
            return item.mismatch(cx, "a key, or a table with `source`", "");
        }
        return read_source(cx, item, declared, of).map(plain);
    }
    let mut table = item.table(cx, &FILE)?;
    let given = table.take("source");
    if given.is_none() && !cx.partial {
        item.error(cx, "`source` is missing", format!("write a key of [{of}]"));
    }
    let source = given.and_then(|item| read_source(cx, &item, declared, of));
    let target = table.take("target").and_then(|item| item.string(cx).map(|text| (text, item)));
    let [uid, gid] = ["uid", "gid"].map(|name| table.take(name));
    let (uid, gid) = (uid.and_then(|item| read_id(cx, &item)), gid.and_then(|item| read_id(cx, &item)));
    let mode = table.take("mode").and_then(|item| read_mode(cx, &item));
    table.finish(cx);
    let mut reference = plain(source?);
    if let Some((target, item)) = target {
        if target.is_empty() || target.contains('\0') {
            item.error(cx, "not a file name", "");
        }
        reference.target = target;
    }
    reference.uid = uid.unwrap_or(reference.uid);
    reference.gid = gid.unwrap_or(reference.gid);
    reference.mode = mode.unwrap_or(reference.mode);
    Some(reference)
}

/// A key of the table `[of]`.
pub(super) fn read_source(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    declared: &BTreeMap<String, Blob>,
    of: &str,
) -> Option<String> {
    let key = item.string(cx)?;
    if cx.partial || declared.contains_key(&key) || cx.report.is_full() {
        return Some(key);
    }
    let shown = item.shown(&key, 60);
    let help = match nearest(&key, declared.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write `[{of}.{shown}]`, with `external = true` if somebody else makes it"),
    };
    item.error(cx, format!("there is no `{shown}` under [{of}]"), help);
    None
}

fn read_id(cx: &mut Context<'_>, item: &Item<'_>) -> Option<String> {
    let text = item.scalar(cx)?;
    if text.parse::<u32>().is_err() {
        item.error(cx, format!("`{}` is not a number", item.shown(&text, 60)), "e.g. \"1000\"");
        return None;
    }
    Some(text)
}

fn read_mode(cx: &mut Context<'_>, item: &Item<'_>) -> Option<u32> {
    const HELP: &str = "write e.g. 0o440 or \"0440\"";
    let mode = match &item.node.value {
        Value::String(_) => {
            let text = item.string(cx)?;
            let digits = text.strip_prefix("0o").unwrap_or(&text);
            let mode = u64::from_str_radix(digits, 8).ok();
            mode.filter(|mode| *mode <= RIGHTS_MAX).filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
        }
        Value::Integer(_) => {
            let mode = item.count(cx)?;
            // 440 is hardly meant to be 0o670.
            Some(mode).filter(|mode| *mode <= RIGHTS_MAX && (*mode < 8 || item.raw(cx).starts_with("0o")))
        }
        _ => return item.mismatch(cx, "the file's rights", HELP),
    };
    if mode.is_none() {
        item.error(cx, "not a file's rights", HELP);
    }
    mode.and_then(|mode| u32::try_from(mode).ok())
}
