//! The client of a running controller's API.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};

use crate::config::{Config, Listen};
use crate::dial::Stream;
use crate::http::{self, Secret};
use crate::state_dir::StateDir;
use crate::text::printable;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For answers that wait for nothing.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 64 << 20;
const JSON: (HeaderName, &str) = (header::ACCEPT, "application/json");
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Where the controller is.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    Tcp(String),
    Unix(PathBuf),
}

/// A controller to be asked.
#[derive(Clone, Debug)]
pub struct Remote {
    place: Place,
    /// As it is told in errors.
    name: String,
    token: Option<Secret>,
    /// Why there is none.
    no_token: String,
}

/// An answer that says what is wrong.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub status: StatusCode,
    message: String,
}

impl Remote {
    /// The one that `--server` names, else the one at work on the state directory, else the one
    /// that this configuration would run.
    pub fn new(config: &Config) -> Self {
        let known = config.server.clone().or_else(|| StateDir::api(&config.state_dir));
        Self::at(
            config,
            known.unwrap_or_else(|| match &config.http_listen {
                Listen::Tcp(address) => format!("http://{address}"),
                Listen::Unix(path) => format!("unix://{}", path.display()),
            }),
        )
    }

    /// The one at work on the state directory.
    pub fn beside(config: &Config) -> Option<Self> {
        StateDir::api(&config.state_dir).map(|url| Self::at(config, url))
    }

    fn at(config: &Config, name: String) -> Self {
        let place = place(&name);
        let path = http::token_path(config.http_token_file.as_deref(), &config.state_dir);
        let (token, no_token) = match Secret::read(&path) {
            Ok(token) => (Some(token), String::new()),
            Err(error) => (None, error.to_string()),
        };
        Self { place, name, token, no_token }
    }

    /// As it is told.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The answer to a look.
    ///
    /// # Errors
    /// When there is none, or it says what is wrong.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.answer(self.send("GET", path, Vec::new(), &[JSON]), ANSWER_TIMEOUT).await
    }

    /// The answer to something asked for, which may take `within`.
    ///
    /// # Errors
    /// When there is no token to show, no answer, or it says what is wrong.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Vec<u8>,
        within: Duration,
    ) -> anyhow::Result<T> {
        if self.token.is_none() {
            bail!("no token for {}: {}; name it with http.token_file", self.name, self.no_token);
        }
        self.answer(self.send("POST", path, body, &[JSON]), within + ANSWER_TIMEOUT).await
    }

    /// A stream of server-sent events after the one with the ID `last`; it comes as long as the
    /// controller sends it.
    ///
    /// # Errors
    /// When there is no answer, or (a [`Refusal`]) it says what is wrong.
    pub async fn stream(&self, path: &str, last: u64) -> anyhow::Result<Incoming> {
        let headers = [(header::ACCEPT, "text/event-stream"), (LAST_EVENT_ID, &last.to_string())];
        let begun = async {
            let response = self.send("GET", path, Vec::new(), &headers).await?;
            if response.status().is_success() {
                return Ok(response.into_body());
            }
            let (status, body) = self.read(response).await?;
            Err(self.refusal(status, &body).into())
        };
        let begun = tokio::time::timeout(ANSWER_TIMEOUT, begun).await;
        begun.with_context(|| format!("{} does not answer", self.name))?
    }

    async fn answer<T: DeserializeOwned>(
        &self,
        sent: impl Future<Output = anyhow::Result<Response<Incoming>>>,
        within: Duration,
    ) -> anyhow::Result<T> {
        let read = async { self.read(sent.await?).await };
        let answered = tokio::time::timeout(within, read).await;
        let (status, body) = answered.with_context(|| format!("{} does not answer", self.name))??;
        if !status.is_success() {
            return Err(self.refusal(status, &body).into());
        }
        serde_json::from_slice(&body)
            .with_context(|| format!("{} is no skep: its answer cannot be read", self.name))
    }

    async fn read(&self, response: Response<Incoming>) -> anyhow::Result<(StatusCode, Bytes)> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("{}: its answer broke off: {error}", self.name))?;
        Ok((status, body.to_bytes()))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Refusal {
        Refusal { message: format!("{}: {}", self.name, told(status, body)), status }
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        body: Vec<u8>,
        headers: &[(HeaderName, &str)],
    ) -> anyhow::Result<Response<Incoming>> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await;
        let connected = connected.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut));
        let stream = connected.and_then(|stream| stream).with_context(|| {
            format!(
                "no controller answers at {}; is `skep run` at work, or does --server name another?",
                self.name
            )
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move { connection.await.ok() });
        let host = match &self.place {
            Place::Tcp(address) => address.as_str(),
            Place::Unix(_) => "localhost",
        };
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, host);
        request = request.header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        if let Some(token) = self.token.as_ref().filter(|_| method != "GET") {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let request = request.body(Full::new(Bytes::from(body))).context("the token cannot be sent")?;
        sender.send_request(request).await.with_context(|| format!("{} broke off", self.name))
    }

    async fn connect(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match &self.place {
            Place::Tcp(address) => Box::new(TcpStream::connect(address).await?),
            Place::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }
}

fn place(server: &str) -> Place {
    if let Some(path) = server.strip_prefix("unix://") {
        return Place::Unix(path.into());
    }
    let authority = server.strip_prefix("http://").unwrap_or(server);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    Place::Tcp(if has_port { authority.to_owned() } else { format!("{authority}:80") })
}

/// What the API says is wrong.
fn told(status: StatusCode, body: &[u8]) -> String {
    let error = serde_json::from_slice::<serde_json::Value>(body).ok();
    let error = error.and_then(|body| Some(body.get("error")?.as_str()?.to_owned()));
    error.map_or_else(|| status.to_string(), |error| printable(&error, 400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_by_their_urls() {
        for (server, expected) in [
            ("http://127.0.0.1:9741", Place::Tcp("127.0.0.1:9741".into())),
            ("http://skep.example/", Place::Tcp("skep.example:80".into())),
            ("http://[::1]:9", Place::Tcp("[::1]:9".into())),
            ("http://[::1]", Place::Tcp("[::1]:80".into())),
            ("unix:///run/skep.sock", Place::Unix("/run/skep.sock".into())),
        ] {
            assert_eq!(place(server), expected, "{server}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_in_the_servers_words() {
        let status = StatusCode::NOT_FOUND;
        assert_eq!(told(status, br#"{"error":"no customer"}"#), "no customer");
        assert_eq!(told(status, b"<html>"), "404 Not Found");
        assert!(!told(status, b"{\"error\":\"\\u001b[0m\"}").contains('\u{1b}'));
    }
}
