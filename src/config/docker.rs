//! Where the Docker engine is: `--docker-host`, `DOCKER_HOST` and its companions.

use std::path::{Path, PathBuf};

use super::error::Place;
use super::{Config, Docker, Problem, Sources};

/// The socket that Docker's own tools use when told nothing.
const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// An engine's address, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A unix socket.
    Unix(PathBuf),
    /// `host:port`, with TLS or without by `Docker::tls`.
    Tcp(String),
}

impl Docker {
    /// The engine to talk to; without a host the usual socket.
    ///
    /// # Errors
    /// When `DOCKER_HOST` holds what skep does not speak (ssh, npipe) or cannot read.
    pub fn endpoint(&self) -> Result<Endpoint, String> {
        match &self.host {
            Some(host) => parse_docker_host(host).map_err(|error| format!("the Docker host {error}")),
            None => Ok(Endpoint::Unix(PathBuf::from(USUAL_SOCKET))),
        }
    }
}

/// Reads `unix:///path` and `tcp://host:port` (a port left out is docker's 2375).
///
/// # Errors
/// What is wrong and what to write instead, to follow the name of where it was written.
pub fn parse_docker_host(text: &str) -> Result<Endpoint, String> {
    let shown = crate::text::printable(text, 80);
    let Some((scheme, rest)) = text.split_once("://") else {
        let guess = if text.starts_with('/') { format!("unix://{shown}") } else { format!("tcp://{shown}") };
        return Err(format!("is `{shown}`, which has no scheme; write `{guess}`"));
    };
    match scheme {
        "unix" if rest.starts_with('/') => Ok(Endpoint::Unix(PathBuf::from(rest))),
        "unix" => Err(format!("is `{shown}`; write an absolute path, such as unix:///var/run/docker.sock")),
        "tcp" => tcp(rest)
            .ok_or_else(|| format!("is `{shown}`; write a host and a port, such as tcp://10.0.0.1:2376")),
        "ssh" => Err(format!(
            "is `{shown}`, and skep does not speak ssh; forward the socket (ssh -L /tmp/docker.sock:{USUAL_SOCKET} …) \
             and write unix:///tmp/docker.sock"
        )),
        _ => Err(format!(
            "is `{shown}`; skep speaks unix:// and tcp:// (with TLS when certificates are given)"
        )),
    }
}

fn tcp(rest: &str) -> Option<Endpoint> {
    let url = url::Url::parse(&format!("tcp://{rest}")).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?;
    if !url.username().is_empty() || url.query().is_some() || !matches!(url.path(), "" | "/") {
        return None;
    }
    Some(Endpoint::Tcp(format!("{host}:{}", url.port().unwrap_or(2375))))
}

/// Takes up `DOCKER_HOST`, and `DOCKER_TLS_VERIFY` with `DOCKER_CERT_PATH`, as the docker
/// CLI does: TLS when the former is not empty; certificates from the latter, else from the
/// CLI's configuration directory; of those, a client pair only where it is there.
pub(super) fn apply_env(sources: &Sources, docker: &mut Docker) {
    if let Some(host) = sources.var("DOCKER_HOST") {
        docker.host = Some(host.to_owned());
    }
    if sources.var("DOCKER_TLS_VERIFY").is_none() {
        return;
    }
    docker.tls = true;
    let Some(directory) = cert_dir(sources) else { return };
    let in_dir = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
    // The authority is named whether it is there or not: TLS without it would trust
    // others than were meant.
    docker.ca = Some(directory.join("ca.pem"));
    docker.cert = in_dir("cert.pem");
    docker.key = in_dir("key.pem");
}

/// Certificates mean TLS, whichever source named them; a client pair is useless by half.
pub(super) fn finish(sources: &Sources, config: &mut Config, in_file: Option<Place>) -> Option<Problem> {
    let docker = &mut config.docker;
    docker.tls |= docker.ca.is_some() || docker.cert.is_some();
    let (lone, other) = match (&docker.cert, &docker.key) {
        (Some(_), None) => ("cert", "key"),
        (None, Some(_)) => ("key", "cert"),
        _ => return None,
    };
    let variable = format!("SKEP_DOCKER__{}", lone.to_uppercase());
    let (origin, place) = match (&config.file, in_file) {
        _ if sources.var(&variable).is_some() => (variable, None),
        // What is wrong with Docker's own settings must not stop commands that need no engine.
        _ if sources.var("DOCKER_TLS_VERIFY").is_some() => return None,
        (Some(file), place) => (file.display().to_string(), place),
        (None, _) => (variable, None),
    };
    let message = format!("`docker.{lone}` without `docker.{other}`");
    Some(Problem { origin, message, help: Some("give both or neither".into()), place })
}

fn cert_dir(sources: &Sources) -> Option<PathBuf> {
    let named = ["DOCKER_CERT_PATH", "DOCKER_CONFIG"].iter().find_map(|name| sources.var(name));
    match named {
        Some(directory) => Some(PathBuf::from(directory)),
        None => sources.var("HOME").map(|home| Path::new(home).join(".docker")),
    }
}
