//! Tag lists: all pages or nothing (semver.md rule 9).

use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use url::Url;

use super::api::Api;
use super::endpoint::Endpoint;
use super::transport::Ask;
use super::{RegistryError, RegistryErrorKind as Kind, link};
use crate::image::is_tag;

/// Tags asked for a page. Registries may give fewer, or all.
const PAGE: usize = 1_000;

/// A repository's whole list.
#[derive(Clone, Debug)]
pub(super) struct TagList {
    /// Sorted as text, each once.
    pub(super) tags: Arc<[String]>,
    /// Known if the list was one page: then it tells whether that changed.
    etag: Option<HeaderValue>,
}

/// A page; `tags` must be there, but `null` is an empty list. The `name` is not looked at:
/// mirrors answer with the name they have upstream.
#[derive(Deserialize)]
struct Page {
    #[serde(deserialize_with = "Option::deserialize")]
    tags: Option<Vec<String>>,
}

/// One walk over the pages.
struct Walk<'a> {
    api: &'a Api,
    endpoint: &'a Endpoint,
    tags: Vec<String>,
    bytes: usize,
    invalid: usize,
}

/// Asks for all tags. `last`: the last good list; a list that became empty is not believed.
pub(super) async fn list(
    api: &Api,
    endpoint: &Endpoint,
    last: Option<TagList>,
) -> Result<TagList, RegistryError> {
    let limit = api.transport.limits().list;
    let mut walk = Walk { api, endpoint, tags: Vec::new(), bytes: 0, invalid: 0 };
    match tokio::time::timeout(limit, walk.all(last)).await {
        Ok(result) => result,
        Err(_) => Err(walk.error(
            Kind::Unavailable,
            &format!("the tag list took longer than {limit:?}: is it overloaded?"),
        )),
    }
}

impl Walk<'_> {
    async fn all(&mut self, last: Option<TagList>) -> Result<TagList, RegistryError> {
        let mut url = self.endpoint.url(&format!("tags/list?n={PAGE}"));
        let mut seen = HashSet::from([url.to_string()]);
        let mut first_etag = None;
        for number in 1..=self.api.transport.limits().pages {
            let known = last.as_ref().and_then(|l| l.etag.clone()).filter(|_| number == 1);
            let Some((etag, next)) = self.page(number, url, known).await? else {
                return last.ok_or_else(|| self.error(Kind::Untrusted, "not changed, but nothing is known"));
            };
            if number == 1 {
                first_etag = etag;
            }
            let Some(next) = next else {
                return self.finish(first_etag.filter(|_| number == 1), last.as_ref());
            };
            if !seen.insert(next.to_string()) {
                return Err(self.error(Kind::Untrusted, "the pages of its tag list go round in a circle"));
            }
            url = next;
        }
        Err(self.error(
            Kind::Truncated,
            &format!("the tag list has more than {} pages, the bound", seen.len() - 1),
        ))
    }

    /// Reads one page: its entity tag and the next page. `None`: not changed.
    async fn page(
        &mut self,
        number: usize,
        url: Url,
        known: Option<HeaderValue>,
    ) -> Result<Option<(Option<HeaderValue>, Option<Url>)>, RegistryError> {
        let limits = self.api.transport.limits();
        let what = format!("the tag list of {}", self.endpoint.repository.path());
        let mut ask = Ask::new(Method::GET, url, what, limits.tags_bytes - self.bytes);
        ask.too_long = Kind::Truncated;
        ask.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let conditional = known.is_some();
        if let Some(known) = known {
            ask.headers.insert(header::IF_NONE_MATCH, known);
        }
        let fetched = self.api.fetch(self.endpoint, ask).await.map_err(|error| match error.kind {
            // What is left for this page is no bound that a person knows.
            Kind::Truncated => self.error(
                error.kind,
                &format!("the tag list is longer than {} bytes, the bound", limits.tags_bytes),
            ),
            _ => error,
        })?;
        if conditional && fetched.answer.status == StatusCode::NOT_MODIFIED {
            return Ok(None);
        }
        let answer = fetched.success(self.endpoint).map_err(|error| match error.kind {
            // The repository is there; a part of its list is not.
            Kind::NotFound if number > 1 => {
                self.error(Kind::Untrusted, &format!("page {number} of its tag list is missing"))
            }
            _ => error,
        })?;
        self.bytes += answer.body.len();
        self.take(&answer.body)?;
        let links = answer.headers.get_all(header::LINK);
        let next = match link::next(links.iter().filter_map(|value| value.to_str().ok())) {
            Some(target) => {
                Some(next_url(&answer.url, target).map_err(|why| self.error(Kind::Untrusted, why))?)
            }
            None => None,
        };
        Ok(Some((answer.headers.get(header::ETAG).cloned(), next)))
    }

    /// Adds a page's tags.
    fn take(&mut self, body: &[u8]) -> Result<(), RegistryError> {
        let listed = page(body).map_err(|e| {
            let message = format!(
                "its tag list is not one (line {} column {}): is this a registry?",
                e.line(),
                e.column()
            );
            self.error(Kind::Untrusted, &message)
        })?;
        let max = self.api.transport.limits().tags;
        if self.tags.len() + self.invalid + listed.len() > max {
            return Err(self.error(Kind::Truncated, &format!("it lists more than {max} tags, the bound")));
        }
        let before = self.tags.len();
        let count = listed.len();
        self.tags.extend(listed.into_iter().filter(|tag| is_tag(tag)));
        self.invalid += count - (self.tags.len() - before);
        Ok(())
    }

    fn finish(
        &mut self,
        etag: Option<HeaderValue>,
        last: Option<&TagList>,
    ) -> Result<TagList, RegistryError> {
        if self.invalid > 0 {
            tracing::warn!(
                repository = %self.endpoint.repository,
                count = self.invalid,
                "the registry lists names that are not tags; they are passed over"
            );
        }
        let mut tags = std::mem::take(&mut self.tags);
        tags.sort_unstable();
        tags.dedup();
        if tags.is_empty() && last.is_some_and(|last| !last.tags.is_empty()) {
            let message = "its tag list is empty where it was not before, which is not believed; the last good list is kept";
            return Err(self.error(Kind::Untrusted, message));
        }
        Ok(TagList { tags: tags.into(), etag })
    }

    fn error(&self, kind: Kind, message: &str) -> RegistryError {
        let message = format!("{}: {message}", self.endpoint.repository.path());
        RegistryError::new(kind, self.endpoint.registry(), &message)
    }
}

/// The names that a page lists, be they tags or not.
pub(super) fn page(body: &[u8]) -> serde_json::Result<Vec<String>> {
    Ok(serde_json::from_slice::<Page>(body)?.tags.unwrap_or_default())
}

/// The next page, on the host that gave this one and by the same scheme and port: proxies
/// that end TLS make registries write `http://` into absolute links.
pub(super) fn next_url(current: &Url, target: &str) -> Result<Url, &'static str> {
    let next = current.join(target).map_err(|_| "the link to the next page of its tag list is not a URL")?;
    let same_port = next.port_or_known_default() == current.port_or_known_default()
        || (next.port(), current.port()) == (None, None);
    let web = matches!(next.scheme(), "http" | "https");
    if !web || next.host() != current.host() || !same_port {
        return Err("the next page of its tag list is said to be on another host, where nothing is asked");
    }
    let mut url = current.clone();
    url.set_path(next.path());
    url.set_query(next.query());
    url.set_fragment(None);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::next_url;
    use url::Url;

    #[test]
    fn stays_on_its_host() {
        let tls = "https://r.io/v2/a/tags/list?n=2";
        let plain = "http://127.0.0.1:5000/v2/a/tags/list?n=2";
        for (current, target, expected) in [
            (tls, "/v2/a/tags/list?last=b", Some("https://r.io/v2/a/tags/list?last=b")),
            (tls, "?last=b", Some("https://r.io/v2/a/tags/list?last=b")),
            (tls, "https://r.io/v2/a/tags/list?last=b#x", Some("https://r.io/v2/a/tags/list?last=b")),
            (tls, "https://R.io:443/v2/b", Some("https://r.io/v2/b")),
            (tls, "http://r.io/v2/b", Some("https://r.io/v2/b")),
            (tls, "https://u:p@r.io/v2/b", Some("https://r.io/v2/b")),
            (tls, "https://r.io:8443/v2/b", None),
            (tls, "https://evil.example/v2/b", None),
            (tls, "//evil.example/v2/b", None),
            (tls, "file:///etc/passwd", None),
            (tls, "https://[", None),
            (plain, "http://127.0.0.1:5000/v2/b", Some("http://127.0.0.1:5000/v2/b")),
            (plain, "http://127.0.0.1/v2/b", None),
            (plain, "http://localhost:5000/v2/b", None),
        ] {
            let got = next_url(&Url::parse(current).unwrap(), target);
            assert_eq!(got.as_ref().ok().map(Url::as_str), expected, "{target}");
        }
    }
}
