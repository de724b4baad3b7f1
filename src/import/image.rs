//! `image` and `version` of what is imported: what runs now stays, and a comment says how to let skep choose.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Draft, Note};
use crate::image::{Digest, ImageRef, Repository};
use crate::spec::TagPattern;
use crate::spec::parse::following;
use crate::version::parse_tag;

/// What a reference without a tag and digest names.
const DEFAULT_TAG: &str = "latest";

fn tag(image: &ImageRef) -> &str {
    image.tag.as_deref().unwrap_or(DEFAULT_TAG)
}

fn full_version(tag: &str) -> Option<semver::Version> {
    parse_tag(tag, &TagPattern::default()).map(|parsed| parsed.version)
}

/// The tag whose digest must be known to keep what runs, if one must.
pub(super) fn question(image: &ImageRef) -> Option<(Repository, String)> {
    let full = image.tag.as_deref().and_then(full_version).is_some();
    (full == image.digest.is_some()).then(|| (image.repository.clone(), tag(image).to_owned()))
}

/// Where an answer to a question stands.
pub fn answer_key(repository: &Repository, tag: &str) -> String {
    format!("{repository}:{tag}")
}

pub(super) fn put(draft: &mut Draft, service: &str, image: &ImageRef, digests: &BTreeMap<String, Digest>) {
    let repository = &image.repository;
    let known = digests.get(&answer_key(repository, tag(image)));
    let at = |name: &str| ["services", service, name].map(str::to_owned).to_vec();
    let version = image.tag.as_deref().and_then(full_version);
    let mut hint = |message: String| draft.notes.push(Note { path: at("image"), message, hint: true });
    let (value, note) = match (&version, &image.digest) {
        (Some(version), digest) => {
            if version.pre.is_empty() {
                let range = format!("^{}.{}", version.major, version.minor);
                hint(format!(
                    "to follow new versions write image = \"{repository}\" and version = \"{range}\""
                ));
            }
            match digest {
                Some(digest) if known != Some(digest) => {
                    let why = match known {
                        Some(_) => "the registry has other content under this tag than what runs",
                        None => "the registry would not say what it has under this tag",
                    };
                    (image.to_string(), Some(format!("pinned to the content that runs: {why}")))
                }
                _ => (format!("{repository}:{}", tag(image)), None),
            }
        }
        (None, Some(_)) => {
            if image.tag.is_some() {
                hint(follow(repository, tag(image)));
            }
            (image.to_string(), None)
        }
        (None, None) => match known {
            Some(digest) => {
                hint(follow(repository, tag(image)));
                let pinned = format!("{repository}:{}@{digest}", tag(image));
                (pinned, Some(format!("`{}` is a floating tag: pinned to what it names now", tag(image))))
            }
            None => {
                let (require, tags) = following(tag(image));
                let version = match tags {
                    None => json!(require),
                    Some(tags) => json!({ "require": require, "tags": tags }),
                };
                draft.set(&at("version"), version);
                let why = format!(
                    "`{}` is a floating tag and no registry said what it names now: the highest version that fits instead",
                    tag(image)
                );
                (repository.to_string(), Some(why))
            }
        },
    };
    if let Some(message) = note {
        draft.note(&["services", service, "image"], message);
    }
    put_first(draft, service, &value);
}

fn follow(repository: &Repository, tag: &str) -> String {
    let (require, tags) = following(tag);
    let version = match tags {
        None => format!("\"{require}\""),
        Some(tags) => format!("{{ require = \"{require}\", tags = \"{tags}\" }}"),
    };
    format!("to follow new versions write image = \"{repository}\" and version = {version}")
}

/// The image is what people look for first.
fn put_first(draft: &mut Draft, service: &str, image: &str) {
    let services = draft.root.get_mut("services").and_then(serde_json::Value::as_object_mut);
    let Some(table) = services.and_then(|services| services.get_mut(service)?.as_object_mut()) else {
        return;
    };
    let rest = std::mem::take(table);
    table.insert("image".into(), json!(image));
    let (version, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(key, _)| key == "version");
    table.extend(version);
    table.extend(rest);
}
