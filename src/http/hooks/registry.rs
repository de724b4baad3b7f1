//! Payloads of registries: which repository has something new.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Call;
use super::payload::{News, Told, fingerprint, json};
use crate::config::Hook;
use crate::image::{DOCKER_HUB, ImageRef, Repository};

/// What docker-registry calls a layer.
const LAYER: &str = "application/octet-stream";
const NO_IMAGE: News = News::Other("it names no repository of images");

/// A repository as its registry calls it: many do not know the name by which others reach them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    /// `None`: whichever.
    registry: Option<String>,
    path: String,
}

impl Named {
    /// A full reference; a tag or digest behind it does not matter.
    fn full(reference: &str) -> Option<Self> {
        let image: ImageRef = reference.trim_end_matches(':').parse().ok()?;
        let repository = &image.repository;
        Some(Self { registry: Some(repository.registry().to_owned()), path: repository.path().to_owned() })
    }

    /// A path in some registry.
    fn path(path: &str) -> Option<Self> {
        // What no reference can have in it names nothing that a spec does.
        let repository: Repository = format!("any.invalid/{path}").parse().ok()?;
        Some(Self { registry: None, path: repository.path().to_owned() })
    }

    /// The repository, if it is a certain one.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn repository(&self) -> Option<Repository> {
        format!("{}/{}", self.registry.as_ref()?, self.path).parse().ok()
    }
}

/// Whether a repository is among these.
pub(super) fn is_meant(names: &BTreeSet<Named>, repository: &Repository) -> bool {
    let named = |registry: Option<&str>| {
        names.contains(&Named { registry: registry.map(str::to_owned), path: repository.path().to_owned() })
    };
    named(None) || named(Some(repository.registry()))
}

/// <https://distribution.github.io/distribution/about/notifications/>
#[derive(Deserialize)]
struct Envelope {
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    id: Option<String>,
    action: Option<String>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    #[serde(rename = "mediaType")]
    media_type: Option<String>,
    repository: Option<String>,
}

/// Reads docker-registry's envelope, which may hold several events.
///
/// # Errors
/// What is wrong with it.
pub(super) fn distribution(call: &Call<'_>) -> Result<Vec<Told>, String> {
    let envelope: Envelope = json(call.body)?;
    let told = envelope.events.into_iter().map(|event| {
        let target = event.target.as_ref();
        let is_layer = target.is_some_and(|target| target.media_type.as_deref() == Some(LAYER));
        let news = match event.action.as_deref() {
            Some("push" | "delete") if is_layer => News::Other("a layer"),
            Some("push" | "delete") => image(target.and_then(|it| Named::path(it.repository.as_deref()?))),
            _ => News::Other("neither a push nor a deletion"),
        };
        Told::new(event.id.as_deref(), news)
    });
    let told: Vec<Told> = told.collect();
    Ok(if told.is_empty() { vec![Told::new(None, News::Other("no event"))] } else { told })
}

fn image(named: Option<Named>) -> News {
    named.map_or(NO_IMAGE, News::Image)
}

/// Reads what another registry says.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(hook: Hook, call: &Call<'_>) -> Result<Told, String> {
    match hook {
        Hook::RegistryHarbor => harbor(call),
        Hook::RegistryGithub => github(call),
        Hook::RegistryDockerHub => docker_hub(call),
        Hook::RegistryQuay => quay(call),
        _ => generic(call),
    }
}

/// Both of Harbor's formats, its own and CloudEvents.
#[derive(Deserialize)]
struct Harbor {
    r#type: Option<String>,
    /// Of CloudEvents.
    id: Option<String>,
    event_data: Option<HarborData>,
    data: Option<HarborData>,
}

#[derive(Deserialize)]
struct HarborData {
    repository: Option<HarborRepository>,
}

#[derive(Deserialize)]
struct HarborRepository {
    repo_full_name: Option<String>,
}

fn harbor(call: &Call<'_>) -> Result<Told, String> {
    let harbor: Harbor = json(call.body)?;
    // Its own format holds the time, so that no two are the same.
    let id = harbor.id.unwrap_or_else(|| fingerprint(call.body));
    let news = match harbor.r#type.as_deref() {
        Some("PUSH_ARTIFACT" | "DELETE_ARTIFACT" | "harbor.artifact.pushed" | "harbor.artifact.deleted") => {
            let repository = harbor.event_data.or(harbor.data).and_then(|data| data.repository);
            image(repository.and_then(|repository| Named::path(&repository.repo_full_name?)))
        }
        Some(_) => News::Other("neither a push nor a deletion"),
        None => return Err("the payload has no `type`".into()),
    };
    Ok(Told::new(Some(&id), news))
}

#[derive(Deserialize)]
struct GithubPackages {
    registry_package: Option<GithubPackage>,
    /// The name in an older event.
    package: Option<GithubPackage>,
}

#[derive(Deserialize)]
struct GithubPackage {
    name: Option<String>,
    namespace: Option<String>,
    package_type: Option<String>,
    package_version: Option<GithubVersion>,
}

#[derive(Deserialize)]
struct GithubVersion {
    package_url: Option<String>,
}

fn github(call: &Call<'_>) -> Result<Told, String> {
    let event = call.text("x-github-event").ok_or("the header x-github-event is missing")?;
    let packages: GithubPackages = json(call.body)?;
    let news = match event {
        "ping" => News::Ping,
        "registry_package" | "package" => {
            let package = packages.registry_package.or(packages.package);
            let package = package.ok_or("the payload has neither `registry_package` nor `package`")?;
            github_package(&package)
        }
        _ => News::Other("not about a package"),
    };
    Ok(Told::new(call.text("x-github-delivery"), news))
}

fn github_package(package: &GithubPackage) -> News {
    let kind = package.package_type.as_deref().unwrap_or_default();
    if !["container", "docker"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
        return News::Other("not a package of images");
    }
    let url = package.package_version.as_ref().and_then(|version| version.package_url.as_deref());
    let by_url = url.and_then(|url| Named::full(&url.to_lowercase()));
    let by_name = || {
        let path = format!("{}/{}", package.namespace.as_ref()?, package.name.as_ref()?);
        Named::path(&path.to_lowercase())
    };
    image(by_url.or_else(by_name))
}

/// Its `callback_url` is not even read.
#[derive(Deserialize)]
struct DockerHub {
    repository: Option<DockerHubRepository>,
}

#[derive(Deserialize)]
struct DockerHubRepository {
    repo_name: Option<String>,
}

fn docker_hub(call: &Call<'_>) -> Result<Told, String> {
    let hub: DockerHub = json(call.body)?;
    let name = hub.repository.and_then(|repository| repository.repo_name);
    let name = name.ok_or("the payload has no `repository.repo_name`")?;
    // The payload holds the time, and a URL that is new each time.
    let id = fingerprint(call.body);
    Ok(Told::new(Some(&id), image(Named::full(&format!("{DOCKER_HUB}/{name}")))))
}

#[derive(Deserialize)]
struct Quay {
    docker_url: Option<String>,
    /// A list, or a table in older versions; only pushes have it.
    updated_tags: Option<serde::de::IgnoredAny>,
}

fn quay(call: &Call<'_>) -> Result<Told, String> {
    let quay: Quay = json(call.body)?;
    let news = match quay.updated_tags {
        // Two pushes of one tag look the same, so that nobody can tell a second try.
        Some(_) => image(quay.docker_url.as_deref().and_then(Named::full)),
        None => News::Other("not a push"),
    };
    Ok(Told::new(None, news))
}

/// Our own.
#[derive(Deserialize)]
struct Said {
    repository: Option<String>,
}

fn generic(call: &Call<'_>) -> Result<Told, String> {
    let said: Said = json(call.body)?;
    let name = said.repository.ok_or("the payload has no `repository`")?;
    let full = Named::full(&name);
    let says_registry = full
        .as_ref()
        .is_some_and(|named| named.registry.as_deref() != Some(DOCKER_HUB) || name.starts_with(DOCKER_HUB));
    let named = if says_registry { full } else { Named::path(&name) };
    Ok(Told::new(call.text("x-skep-delivery"), image(named)))
}
