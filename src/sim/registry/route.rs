//! Paths of the distribution API.

use url::form_urlencoded;

use crate::image::{Digest, Repository, is_tag};
use crate::sim::handler::Request;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Base,
    Catalog,
    Tags {
        name: String,
    },
    Manifest {
        name: String,
        reference: String,
    },
    Blob {
        name: String,
        digest: Digest,
    },
    Uploads {
        name: String,
    },
    Upload {
        name: String,
        id: String,
    },
    Token,
    Root,
    /// Another path is meant.
    Moved(String),
    Nothing,
}

impl Route {
    /// `GET, HEAD` and so on; empty: whatever comes.
    pub(super) fn methods(&self) -> &'static [&'static str] {
        match self {
            Self::Catalog | Self::Tags { .. } => &["GET"],
            Self::Manifest { .. } => &["DELETE", "GET", "HEAD", "PUT"],
            Self::Blob { .. } => &["DELETE", "GET", "HEAD"],
            Self::Uploads { .. } => &["POST"],
            Self::Upload { .. } => &["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"],
            Self::Token => &["GET", "POST"],
            _ => &[],
        }
    }

    /// The repository that it is in.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Tags { name }
            | Self::Manifest { name, .. }
            | Self::Blob { name, .. }
            | Self::Uploads { name }
            | Self::Upload { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// A parameter of the request's query.
pub(super) fn parameter(request: &Request, name: &str) -> Option<String> {
    pair(request.uri().query().unwrap_or_default(), name)
}

/// A value in a query or form.
pub(super) fn pair(form: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(form.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

pub(super) fn parse(path: &str) -> Route {
    match path {
        "/" => return Route::Root,
        "/token" => return Route::Token,
        "/v2" => return Route::Moved("/v2/".to_owned()),
        _ => {}
    }
    let Some(rest) = path.strip_prefix("/v2/") else { return Route::Nothing };
    if path.contains("//") {
        let mut clean = path.to_owned();
        while clean.contains("//") {
            clean = clean.replace("//", "/");
        }
        return Route::Moved(clean);
    }
    if rest.is_empty() {
        return Route::Base;
    }
    if rest == "_catalog" {
        return Route::Catalog;
    }
    within(rest).unwrap_or(Route::Nothing)
}

/// A path below a repository's name.
fn within(rest: &str) -> Option<Route> {
    let named = |name: &str| is_name(name).then(|| name.to_owned());
    if let Some(name) = rest.strip_suffix("/tags/list") {
        return named(name).map(|name| Route::Tags { name });
    }
    if let Some(name) = rest.strip_suffix("/tags/list/") {
        return named(name).map(|name| Route::Moved(format!("/v2/{name}/tags/list")));
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads/") {
        return named(name).map(|name| Route::Uploads { name });
    }
    if let Some(name) = rest.strip_suffix("/blobs/uploads") {
        return named(name).map(|name| Route::Moved(format!("/v2/{name}/blobs/uploads/")));
    }
    let (before, last) = rest.rsplit_once('/')?;
    if let Some(name) = before.strip_suffix("/blobs/uploads") {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.=".contains(c);
        return named(name)
            .filter(|_| last.chars().all(fits))
            .map(|name| Route::Upload { name, id: last.to_owned() });
    }
    if let Some(name) = before.strip_suffix("/blobs") {
        let digest = last.parse().ok()?;
        return named(name).map(|name| Route::Blob { name, digest });
    }
    let name = before.strip_suffix("/manifests")?;
    // What looks like a digest and is none is let through, as the real one does.
    let fits = is_tag(last) || last.split_once(':').is_some_and(|(kind, hex)| is_tag(kind) && is_tag(hex));
    named(name).filter(|_| fits).map(|name| Route::Manifest { name, reference: last.to_owned() })
}

fn is_name(name: &str) -> bool {
    // The name of a registry in front, so that the first part is not taken for one.
    format!("registry.invalid/{name}").parse::<Repository>().is_ok_and(|parsed| parsed.path() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let digest = Digest::of(b"x");
        let name = || "a/b".to_owned();
        for (path, expected) in [
            ("/v2/".to_owned(), Route::Base),
            ("/v2".to_owned(), Route::Moved("/v2/".into())),
            ("/v2/_catalog".to_owned(), Route::Catalog),
            ("/v2/a/b/tags/list".to_owned(), Route::Tags { name: name() }),
            ("/v2/a//b/tags/list".to_owned(), Route::Moved("/v2/a/b/tags/list".into())),
            ("/v2/a/b/tags/list/".to_owned(), Route::Moved("/v2/a/b/tags/list".into())),
            ("/v2/a/b/manifests/1.0".to_owned(), Route::Manifest { name: name(), reference: "1.0".into() }),
            (
                format!("/v2/a/b/manifests/{digest}"),
                Route::Manifest { name: name(), reference: digest.to_string() },
            ),
            (format!("/v2/a/b/blobs/{digest}"), Route::Blob { name: name(), digest: digest.clone() }),
            ("/v2/a/b/blobs/uploads/".to_owned(), Route::Uploads { name: name() }),
            ("/v2/a/b/blobs/uploads".to_owned(), Route::Moved("/v2/a/b/blobs/uploads/".into())),
            ("/v2/a/b/blobs/uploads/x-1".to_owned(), Route::Upload { name: name(), id: "x-1".into() }),
            (
                "/v2/a/manifests/b/manifests/1".to_owned(),
                Route::Manifest { name: "a/manifests/b".into(), reference: "1".into() },
            ),
            ("/v2/a/b/blobs/xx".to_owned(), Route::Nothing),
            ("/v2/a/b/manifests/-bad".to_owned(), Route::Nothing),
            ("/v2/UPPER/tags/list".to_owned(), Route::Nothing),
            ("/v2/foo".to_owned(), Route::Nothing),
            ("/v1/".to_owned(), Route::Nothing),
        ] {
            assert_eq!(parse(&path), expected, "{path}");
        }
    }
}
