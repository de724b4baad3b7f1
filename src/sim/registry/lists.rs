//! Tag lists and the catalog.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::{error, json_answer};
use super::route::parameter;
use super::store::Store;
use crate::sim::handler::{Request, Response};

/// Repositories a page of the catalog, if the client does not say, and at most.
const CATALOG_PAGE: usize = 100;
const CATALOG_PAGE_MAX: usize = 1_000;

fn bad_number(n: &Value) -> Response {
    error(400, "PAGINATION_NUMBER_INVALID", "invalid number of results requested", json!({"n": n}))
}

/// `page`: the most tags a page; without it all come at once, whatever is asked for, as from
/// docker-registry 2.8.2.
pub(super) fn tags(store: &Store, request: &Request, name: &str, page: Option<usize>) -> Response {
    let Some(repository) = store.repository(name).filter(|repository| repository.tagged) else {
        let message = "repository name not known to registry";
        return error(404, "NAME_UNKNOWN", message, json!({"name": name}));
    };
    let all: Vec<&str> = repository.tags.keys().map(String::as_str).collect();
    let Some(page) = page else {
        let tags = if all.is_empty() { Value::Null } else { json!(all) };
        return json_answer(200, &[], &json!({"name": name, "tags": tags}));
    };
    let asked = match parameter(request, "n") {
        None => page,
        Some(n) => match n.parse::<usize>() {
            Ok(n) => n.min(page),
            Err(_) => return bad_number(&json!(n)),
        },
    };
    let last = parameter(request, "last").unwrap_or_default();
    let after: Vec<&str> = all.into_iter().filter(|tag| last.is_empty() || *tag > last.as_str()).collect();
    let shown = &after[..asked.min(after.len())];
    let body = json!({"name": name, "tags": shown});
    match shown.last() {
        Some(end) if shown.len() < after.len() => {
            let link = next_link(&format!("/v2/{name}/tags/list"), end, asked);
            json_answer(200, &[("link", &link)], &body)
        }
        _ => json_answer(200, &[], &body),
    }
}

pub(super) fn catalog(store: &Store, request: &Request) -> Response {
    let n = parameter(request, "n").and_then(|n| n.parse::<usize>().ok()).unwrap_or(CATALOG_PAGE);
    if n > CATALOG_PAGE_MAX {
        return bad_number(&json!(n));
    }
    let last = parameter(request, "last").unwrap_or_default();
    let listed = store.repositories.iter().filter(|(_, repository)| repository.listed);
    let names: Vec<&str> =
        listed.map(|(name, _)| name.as_str()).filter(|name| *name > last.as_str()).take(n).collect();
    let body = json!({"repositories": names});
    match names.last() {
        // A full page has a link, though nothing may follow.
        Some(end) if names.len() == n => {
            json_answer(200, &[("link", &next_link("/v2/_catalog", end, n))], &body)
        }
        _ => json_answer(200, &[], &body),
    }
}

fn next_link(path: &str, last: &str, n: usize) -> String {
    let last: String = form_urlencoded::byte_serialize(last.as_bytes()).collect();
    format!("<{path}?last={last}&n={n}>; rel=\"next\"")
}
