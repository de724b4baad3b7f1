//! Payloads of git servers, and whether they are about the repository that specs come from.

use serde::Deserialize;
use url::Url;

use super::Call;
use super::payload::{News, Told, json};
use crate::config::{GitConfig, Hook};

/// Longer ones name nothing that can be configured.
const URL_BYTES_MAX: usize = 2000;

/// A branch or tag moved, was made or was deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    /// The repository's URLs; none: the sender does not say.
    urls: Vec<String>,
    /// `refs/heads/…` or `refs/tags/…`; `None`: the sender does not say.
    reference: Option<String>,
    default_branch: Option<String>,
}

/// The repository and ref that specs come from, as far as payloads can name them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitSource {
    address: Address,
    /// `None`: the default branch.
    reference: Option<String>,
}

/// What is the same in all URLs of a repository: its host and its path, in small letters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    host: String,
    path: String,
}

impl Address {
    /// Reads `scheme://host[:port]/path`, `user@host:path`, or a path.
    fn of(url: &str) -> Option<Self> {
        if url.len() > URL_BYTES_MAX {
            return None;
        }
        let (host, path) = match (url.contains("://"), url.split_once(':')) {
            (true, _) => {
                let url = Url::parse(url).ok()?;
                (url.host_str().unwrap_or_default().to_owned(), url.path().to_owned())
            }
            (false, Some((host, path))) => (host.rsplit('@').next()?.to_owned(), path.to_owned()),
            (false, None) => (String::new(), url.to_owned()),
        };
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path).to_lowercase();
        (!path.is_empty()).then(|| Self { host: host.to_lowercase(), path })
    }
}

impl GitSource {
    /// `None` if the URL is none, which the configuration does not let through.
    pub fn new(config: &GitConfig) -> Option<Self> {
        let reference = Some(config.remote_ref()).filter(|reference| reference != "HEAD");
        Some(Self { address: Address::of(&config.url)?, reference })
    }

    /// Whether a fetch would find something new.
    pub(super) fn is_meant(&self, moved: &Moved) -> bool {
        let here = moved.urls.is_empty()
            || moved.urls.iter().any(|url| Address::of(url).as_ref() == Some(&self.address));
        let Some(reference) = &moved.reference else { return here };
        here && match (&self.reference, &moved.default_branch) {
            (Some(wanted), _) => wanted == reference,
            (None, Some(branch)) => reference.strip_prefix("refs/heads/") == Some(branch),
            (None, None) => reference.starts_with("refs/heads/"),
        }
    }
}

/// GitHub's, and Gitea's, which has the same names.
#[derive(Default, Deserialize)]
struct Push {
    r#ref: Option<String>,
    repository: Option<Hosted>,
}

#[derive(Default, Deserialize)]
struct Hosted {
    clone_url: Option<String>,
    ssh_url: Option<String>,
    html_url: Option<String>,
    default_branch: Option<String>,
}

#[derive(Default, Deserialize)]
struct GitlabPush {
    object_kind: Option<String>,
    /// Of hooks of a whole instance.
    event_name: Option<String>,
    r#ref: Option<String>,
    project: Option<GitlabProject>,
}

#[derive(Default, Deserialize)]
struct GitlabProject {
    git_http_url: Option<String>,
    git_ssh_url: Option<String>,
    web_url: Option<String>,
    default_branch: Option<String>,
}

/// Our own.
#[derive(Default, Deserialize)]
struct Said {
    repository: Option<String>,
    r#ref: Option<String>,
}

/// Reads what a git server says.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(hook: Hook, call: &Call<'_>) -> Result<Told, String> {
    match hook {
        Hook::GitGithub => hosted(call, "x-github-event", "x-github-delivery"),
        Hook::GitGitea => hosted(call, "x-gitea-event", "x-gitea-delivery"),
        Hook::GitGitlab => gitlab(call),
        _ => {
            let said: Said = json(call.body)?;
            let urls = said.repository.into_iter().collect();
            let moved = Moved { urls, reference: said.r#ref, default_branch: None };
            Ok(Told::new(call.text("x-skep-delivery"), News::Moved(moved)))
        }
    }
}

fn hosted(call: &Call<'_>, event: &str, delivery: &str) -> Result<Told, String> {
    let id = call.text(delivery);
    let event = call.text(event).ok_or_else(|| format!("the header {event} is missing"))?;
    let push: Push = json(call.body)?;
    let news = match event {
        "ping" => News::Ping,
        "push" => {
            let hosted = push.repository.unwrap_or_default();
            moved([hosted.clone_url, hosted.ssh_url, hosted.html_url], push.r#ref, hosted.default_branch)?
        }
        _ => News::Other("not a push"),
    };
    Ok(Told::new(id, news))
}

fn gitlab(call: &Call<'_>) -> Result<Told, String> {
    // The first two are of one delivery; the last may be of several, when hooks cause each other.
    let ids = ["webhook-id", "idempotency-key", "x-gitlab-event-uuid"];
    let id = ids.iter().find_map(|name| call.text(name));
    let push: GitlabPush = json(call.body)?;
    let kind = push.object_kind.or(push.event_name);
    let news = match kind.as_deref() {
        Some("push" | "tag_push") => {
            let project = push.project.unwrap_or_default();
            let urls = [project.git_http_url, project.git_ssh_url, project.web_url];
            moved(urls, push.r#ref, project.default_branch)?
        }
        Some(_) => News::Other("not a push"),
        None => return Err("the payload has no `object_kind`".into()),
    };
    Ok(Told::new(id, news))
}

/// A server that signs names the repository and the ref.
fn moved(
    urls: [Option<String>; 3],
    reference: Option<String>,
    default_branch: Option<String>,
) -> Result<News, String> {
    let urls: Vec<String> = urls.into_iter().flatten().collect();
    if urls.is_empty() || reference.is_none() {
        return Err("the payload of a push names no repository or no `ref`".into());
    }
    Ok(News::Moved(Moved { urls, reference, default_branch }))
}
