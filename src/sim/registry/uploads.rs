//! Uploads of blobs: begun by POST, in pieces by PATCH, ended by PUT.

use bytes::Bytes;
use http::{Method, header};
use serde_json::{Value, json};

use super::answer::{CONTENT_DIGEST, answer, digest_invalid, error, too_large, unknown};
use super::content::{Done, base};
use super::notify::{Notice, Target};
use super::route::parameter;
use super::store::Store;
use crate::image::Digest;
use crate::sim::handler::{Request, Response};

/// Begins an upload, or takes the blob from another repository at once.
pub(super) fn begin(store: &mut Store, request: &Request, name: &str) -> Done {
    let mount = parameter(request, "mount").and_then(|digest| digest.parse::<Digest>().ok());
    if let (Some(digest), Some(from)) = (mount, parameter(request, "from"))
        && let Some(size) = store.blob(&from, &digest).map(Bytes::len)
    {
        store.link_blob(name, digest.clone());
        let notice = Notice::new("mount", Target::blob(name, &digest, size));
        return (created(request, name, &digest), Some(notice));
    }
    let id = store.begin_upload(name);
    (progress(202, request, name, &id, 0), None)
}

fn created(request: &Request, name: &str, digest: &Digest) -> Response {
    let location = format!("{}/v2/{name}/blobs/{digest}", base(request));
    answer(201, &[("location", &location), (CONTENT_DIGEST, digest.as_str())], Bytes::new())
}

/// How far an upload is, and where it goes on.
fn progress(status: u16, request: &Request, name: &str, id: &str, length: usize) -> Response {
    let state = state(id, length);
    let location = format!("{}/v2/{name}/blobs/uploads/{id}?_state={state}", base(request));
    let range = format!("0-{}", length.saturating_sub(1));
    let headers = [("docker-upload-uuid", id), ("location", location.as_str()), ("range", range.as_str())];
    answer(status, &headers, Bytes::new())
}

/// Proves that the client knows how far the upload is.
fn state(id: &str, length: usize) -> String {
    let digest = Digest::of(format!("{id}:{length}").as_bytes()).to_string();
    format!("{}.{length}", digest.trim_start_matches("sha256:"))
}

fn upload_invalid(detail: Value) -> Response {
    error(404, "BLOB_UPLOAD_INVALID", "blob upload invalid", detail)
}

pub(super) fn go_on(store: &mut Store, request: &Request, name: &str, id: &str) -> Done {
    let given = parameter(request, "_state").unwrap_or_default();
    let offset = given.rsplit_once('.').and_then(|(_, offset)| offset.parse::<usize>().ok());
    let Some(offset) = offset.filter(|offset| state(id, *offset) == given) else {
        return (upload_invalid(json!({})), None);
    };
    let upload = store.uploads.get(id).filter(|upload| upload.repository == name);
    let Some(length) = upload.map(|upload| upload.data.len()) else {
        let message = "blob upload unknown to registry";
        return (error(404, "BLOB_UPLOAD_UNKNOWN", message, json!({})), None);
    };
    if length != offset {
        return (upload_invalid(Value::Null), None);
    }
    match *request.method() {
        Method::POST => begin(store, request, name),
        Method::DELETE => {
            store.end_upload(id);
            (answer(204, &[("docker-upload-uuid", id)], Bytes::new()), None)
        }
        Method::PATCH => (append(store, request, name, id), None),
        Method::PUT => finish(store, request, name, id),
        _ => (progress(204, request, name, id, length), None),
    }
}

fn append(store: &mut Store, request: &Request, name: &str, id: &str) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| kind != "application/octet-stream") {
        return unknown();
    }
    if store.append(id, request.body()).is_err() {
        return too_large();
    }
    let length = store.uploads.get(id).map_or(0, |upload| upload.data.len());
    progress(202, request, name, id, length)
}

fn finish(store: &mut Store, request: &Request, name: &str, id: &str) -> Done {
    let Some(stated) = parameter(request, "digest").filter(|digest| !digest.is_empty()) else {
        return (digest_invalid(json!("digest missing")), None);
    };
    let Ok(digest) = stated.parse::<Digest>() else {
        return (digest_invalid(json!("digest parsing failed")), None);
    };
    if store.append(id, request.body()).is_err() {
        return (too_large(), None);
    }
    let matches = store.uploads.get(id).is_some_and(|upload| Digest::of(&upload.data) == digest);
    if !matches {
        return (digest_invalid(json!({"Digest": stated, "Reason": {}})), None);
    }
    let data = store.end_upload(id);
    let size = data.len();
    match store.put_blob(name, data.into()) {
        Err(_) => (too_large(), None),
        Ok(digest) => {
            let notice = Notice::new("push", Target::blob(name, &digest, size));
            (created(request, name, &digest), Some(notice))
        }
    }
}
