//! Manifests and blobs.

use bytes::Bytes;
use http::{Method, header};
use serde_json::{Value, json};

use super::answer::{
    CONTENT_DIGEST, answer, digest_invalid, entry, error, json_answer, text, too_large, unknown,
};
use super::notify::{Notice, Target};
use super::store::{DOCKER_LIST, DOCKER_MANIFEST, Manifest, OCI_INDEX, OCI_MANIFEST, Repository, Store};
use crate::image::Digest;
use crate::sim::handler::{Request, Response};

/// Bytes of a manifest that is taken.
const MANIFEST_BYTES_MAX: usize = 4 << 20;

/// What was done, and whom to tell of it.
pub(super) type Done = (Response, Option<Notice>);

pub(super) fn manifest(store: &mut Store, request: &Request, name: &str, reference: &str) -> Done {
    match *request.method() {
        Method::PUT => put_manifest(store, request, name, reference),
        Method::DELETE => delete_manifest(store, name, reference),
        _ => get_manifest(store, request, name, reference),
    }
}

fn manifest_unknown(detail: Value) -> Response {
    error(404, "MANIFEST_UNKNOWN", "manifest unknown", detail)
}

fn get_manifest(store: &Store, request: &Request, name: &str, reference: &str) -> Done {
    let digest = reference.parse::<Digest>().ok();
    if digest.is_none() && reference.contains(':') {
        return (unknown(), None);
    }
    let repository = store.repository(name);
    let by_tag = digest.is_none();
    let digest = digest.or_else(|| repository?.tags.get(reference).cloned());
    let found =
        digest.as_ref().and_then(|digest| Some((digest, repository?, repository?.manifests.get(digest)?)));
    let Some((digest, repository, manifest)) = found else {
        let detail = match digest.filter(|_| !by_tag) {
            Some(digest) => json!({"Name": name, "Revision": digest.as_str()}),
            None => json!({"Tag": reference}),
        };
        return (manifest_unknown(detail), None);
    };
    if is_known(request, digest) {
        return (answer(304, &[], Bytes::new()), None);
    }
    let (digest, manifest) = match chosen(request, repository, digest, manifest, by_tag) {
        Ok(chosen) => chosen,
        Err(refused) => return (*refused, None),
    };
    let etag = format!("\"{digest}\"");
    let headers = [
        ("content-type", manifest.media_type.as_str()),
        (CONTENT_DIGEST, digest.as_str()),
        ("etag", etag.as_str()),
    ];
    let target = Target::manifest(name, digest, manifest, by_tag.then_some(reference));
    (answer(200, &headers, manifest.body.clone()), Some(Notice::new("pull", target)))
}

/// `If-None-Match`, with its quotes or without.
fn is_known(request: &Request, digest: &Digest) -> bool {
    let known = request.headers().get_all(header::IF_NONE_MATCH);
    known.iter().any(|value| value.to_str().is_ok_and(|value| value.trim_matches('"') == digest.as_str()))
}

/// What the client can read of what it asked for.
fn chosen<'a>(
    request: &Request,
    repository: &'a Repository,
    digest: &'a Digest,
    manifest: &'a Manifest,
    by_tag: bool,
) -> Result<(&'a Digest, &'a Manifest), Box<Response>> {
    let accepts = |media_type: &str| {
        let values = request.headers().get_all(header::ACCEPT);
        let mut types = values.iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
        types.any(|accepted| accepted.split(';').next().is_some_and(|kind| kind.trim() == media_type))
    };
    let refuse = |kind: &str, kinds: &str| {
        let message = format!("OCI {kind} found, but accept header does not support OCI {kinds}");
        Box::new(error(404, "MANIFEST_UNKNOWN", &message, Value::Null))
    };
    // docker's own are turned into the form of 2014 for those who ask for nothing else, which
    // fails for images like ours.
    let outdated = || Box::new(error(400, "MANIFEST_INVALID", "manifest invalid", json!({})));
    match manifest.media_type.as_str() {
        OCI_MANIFEST if !accepts(OCI_MANIFEST) => Err(refuse("manifest", "manifests")),
        OCI_INDEX if !accepts(OCI_INDEX) => Err(refuse("index", "indexes")),
        DOCKER_MANIFEST if by_tag && !accepts(DOCKER_MANIFEST) => Err(outdated()),
        DOCKER_LIST if by_tag && !accepts(DOCKER_LIST) => {
            let (digest, manifest) = usual_platform(repository, manifest)
                .ok_or_else(|| Box::new(manifest_unknown(Value::Null)))?;
            if accepts(DOCKER_MANIFEST) { Ok((digest, manifest)) } else { Err(outdated()) }
        }
        _ => Ok((digest, manifest)),
    }
}

/// Of a list, the manifest for linux/amd64.
fn usual_platform<'a>(repository: &'a Repository, list: &Manifest) -> Option<(&'a Digest, &'a Manifest)> {
    let list: Value = serde_json::from_slice(&list.body).ok()?;
    let usual = json!({"architecture": "amd64", "os": "linux"});
    let same = |entry: &&Value, key: &str| entry.pointer(&format!("/platform/{key}")) == usual.get(key);
    let mut entries = list.get("manifests")?.as_array()?.iter();
    let entry = entries.find(|entry| same(entry, "architecture") && same(entry, "os"))?;
    let digest: Digest = entry.get("digest")?.as_str()?.parse().ok()?;
    repository.manifests.get_key_value(&digest)
}

fn put_manifest(store: &mut Store, request: &Request, name: &str, reference: &str) -> Done {
    let invalid = |detail: Value| (error(400, "MANIFEST_INVALID", "manifest invalid", detail), None);
    let body = request.body();
    let media_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if ![DOCKER_MANIFEST, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX].contains(&media_type)
        || body.len() > MANIFEST_BYTES_MAX
    {
        return invalid(json!({}));
    }
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(e) => return invalid(json!({"Offset": if e.is_eof() { body.len() } else { e.column() }})),
    };
    let stated = value.get("mediaType").and_then(Value::as_str);
    let may_be_silent = matches!(media_type, OCI_MANIFEST | OCI_INDEX);
    if stated.map_or(!may_be_silent, |stated| stated != media_type) {
        return invalid(json!({}));
    }
    if value.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return (unknown(), None);
    }
    let digest = Digest::of(body);
    let tag = match reference.parse::<Digest>() {
        Ok(wanted) if wanted != digest => return (digest_invalid(Value::Null), None),
        Ok(_) => None,
        Err(_) if reference.contains(':') => return (unknown(), None),
        Err(_) => Some(reference),
    };
    let missing = missing_parts(store, name, &value);
    if !missing.is_empty() {
        let errors: Vec<Value> = missing
            .into_iter()
            .map(|digest| entry("MANIFEST_BLOB_UNKNOWN", "blob unknown to registry", json!(digest)))
            .collect();
        return (json_answer(400, &[], &json!({"errors": errors})), None);
    }
    let manifest = Manifest { media_type: media_type.to_owned(), body: body.clone() };
    let target = Target::manifest(name, &digest, &manifest, tag);
    if store.put_manifest(name, tag, manifest).is_err() {
        return (too_large(), None);
    }
    let location = format!("{}/v2/{name}/manifests/{digest}", base(request));
    let headers = [(CONTENT_DIGEST, digest.as_str()), ("location", location.as_str())];
    (answer(201, &headers, Bytes::new()), Some(Notice::new("push", target)))
}

/// The digests that a manifest or index names and the repository has not.
fn missing_parts(store: &Store, name: &str, manifest: &Value) -> Vec<String> {
    let list = |key: &str| manifest.get(key).and_then(Value::as_array).into_iter().flatten();
    let digest = |part: &Value| part.get("digest").and_then(Value::as_str).unwrap_or_default().to_owned();
    let has_blob = |text: &String| text.parse().is_ok_and(|digest| store.blob(name, &digest).is_some());
    let has_manifest = |text: &String| {
        let repository = store.repository(name);
        text.parse().is_ok_and(|digest| repository.is_some_and(|r| r.manifests.contains_key(&digest)))
    };
    // A layer with URLs is elsewhere.
    let layers = list("layers").filter(|layer| layer.get("urls").is_none());
    let blobs = manifest.get("config").into_iter().chain(layers).map(digest);
    let manifests = list("manifests").map(digest);
    let missing_blobs = blobs.filter(|digest| !has_blob(digest));
    missing_blobs.chain(manifests.filter(|digest| !has_manifest(digest))).collect()
}

fn delete_manifest(store: &mut Store, name: &str, reference: &str) -> Done {
    let Ok(digest) = reference.parse::<Digest>() else { return (digest_invalid(Value::Null), None) };
    match store.delete_manifest(name, &digest) {
        None => (manifest_unknown(Value::Null), None),
        Some(tags) => {
            let mut notice = Notice::new("delete", Target::deleted(name, Some(&digest), None));
            notice.targets.extend(tags.iter().map(|tag| Target::deleted(name, None, Some(tag))));
            (answer(202, &[], Bytes::new()), Some(notice))
        }
    }
}

pub(super) fn blob(store: &mut Store, request: &Request, name: &str, digest: &Digest) -> Done {
    let missing = |detail: Value| (error(404, "BLOB_UNKNOWN", "blob unknown to registry", detail), None);
    if request.method() == Method::DELETE {
        if !store.delete_blob(name, digest) {
            return missing(Value::Null);
        }
        let notice = Notice::new("delete", Target::deleted(name, Some(digest), None));
        return (answer(202, &[], Bytes::new()), Some(notice));
    }
    let Some(body) = store.blob(name, digest) else { return missing(json!(digest.as_str())) };
    let etag = format!("\"{digest}\"");
    let common = [("cache-control", "max-age=31536000"), (CONTENT_DIGEST, digest.as_str()), ("etag", &etag)];
    if is_known(request, digest) {
        return (answer(304, &common, Bytes::new()), None);
    }
    let mut headers = common.to_vec();
    headers.extend([("accept-ranges", "bytes"), ("content-type", "application/octet-stream")]);
    let notice = Notice::new("pull", Target::blob(name, digest, body.len()));
    let Some(range) = request.headers().get(header::RANGE) else {
        return (answer(200, &headers, body.clone()), Some(notice));
    };
    match range.to_str().ok().and_then(|range| byte_range(range, body.len())) {
        None => (text(416, &[], "invalid range"), None),
        Some((first, last)) => {
            let place = format!("bytes {first}-{last}/{}", body.len());
            headers.push(("content-range", &place));
            (answer(206, &headers, body.slice(first..=last)), Some(notice))
        }
    }
}

/// One range of bytes, both ends included, within the length.
fn byte_range(text: &str, length: usize) -> Option<(usize, usize)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1)?;
    let (first, last) = match (first, last) {
        ("", count) => (length.saturating_sub(count.parse().ok()?), end),
        (first, "") => (first.parse().ok()?, end),
        (first, last) => (first.parse().ok()?, last.parse::<usize>().ok()?.min(end)),
    };
    (first <= last).then_some((first, last))
}

/// The address under which the client knows the registry.
pub(super) fn base(request: &Request) -> String {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    format!("http://{}", host.unwrap_or("localhost"))
}

#[cfg(test)]
mod tests {
    use super::byte_range;

    #[test]
    fn ranges_are_read() {
        for (text, expected) in [
            ("bytes=2-5", Some((2, 5))),
            ("bytes=2-", Some((2, 9))),
            ("bytes=-3", Some((7, 9))),
            ("bytes=2-500", Some((2, 9))),
            ("bytes=10-", None),
            ("bytes=5-2", None),
            ("nonsense", None),
        ] {
            assert_eq!(byte_range(text, 10), expected, "{text}");
        }
        assert_eq!(byte_range("bytes=0-", 0), None);
    }
}
