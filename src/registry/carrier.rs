//! One HTTP exchange: over the network by reqwest, or by hyper over a connection that
//! somebody else makes. Both end alike: in time, and with the same kinds of failure.

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Incoming};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use url::{Position, Url};

use super::transport::Ask;
use crate::dial::Dial;

/// What carries requests.
pub(super) enum Carrier {
    Network(reqwest::Client),
    Dialed(Dialed),
}

/// Plain HTTP over a dialed connection, one a request, whatever the URL's scheme: in memory
/// there is nobody to hide from.
#[derive(Clone)]
pub(super) struct Dialed {
    pub(super) dial: Dial,
    pub(super) user_agent: String,
    pub(super) connect: Duration,
    /// Between two pieces of an answer.
    pub(super) idle: Duration,
}

/// Why there is no answer, or not all of it.
pub(super) struct Broken {
    pub(super) connect: bool,
    pub(super) timeout: bool,
    /// The innermost cause, without the URL, which may hold a signature.
    pub(super) cause: String,
}

/// An answer whose body is still to come.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Bytes of the body, if they are said.
    pub(super) length: Option<u64>,
    body: Body,
}

enum Body {
    Network(reqwest::Response),
    Dialed(Incoming, Duration),
}

impl Carrier {
    pub(super) async fn send(&self, ask: &Ask) -> Result<Reply, Broken> {
        match self {
            Self::Network(client) => network(client, ask).await,
            Self::Dialed(dialed) => dialed.send(ask).await,
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn network(client: &reqwest::Client, ask: &Ask) -> Result<Reply, Broken> {
    let mut request = client.request(ask.method.clone(), ask.url.clone()).headers(ask.headers.clone());
    if let Some(authorization) = &ask.authorization {
        request = request.header(header::AUTHORIZATION, authorization.clone());
    }
    if let Some(body) = &ask.body {
        if !ask.headers.contains_key(header::CONTENT_TYPE) {
            request = request.header(header::CONTENT_TYPE, FORM);
        }
        request = request.body(body.clone());
    }
    let mut response = request.send().await.map_err(|e| Broken::network(&e))?;
    Ok(Reply {
        status: response.status(),
        headers: std::mem::take(response.headers_mut()),
        length: response.content_length(),
        body: Body::Network(response),
    })
}

impl Dialed {
    async fn send(&self, ask: &Ask) -> Result<Reply, Broken> {
        let request = self.request(ask).map_err(|e| Broken::dialed(&e))?;
        let dialing = (self.dial)(&address(&ask.url));
        let stream = match timeout(self.connect, dialing).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => return Err(Broken { connect: true, ..Broken::io(&e) }),
            Err(_) => return Err(Broken { connect: true, ..Broken::late() }),
        };
        let exchange = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            // Ends with the answer's body, or when that is dropped.
            tokio::spawn(async move { connection.await.ok() });
            sender.send_request(request).await
        };
        let response = timeout(self.idle, exchange)
            .await
            .map_err(|_| Broken::late())?
            .map_err(|e| Broken::dialed(&e))?;
        let (parts, body) = response.into_parts();
        let length = body.size_hint().exact();
        let body = Body::Dialed(body, self.idle);
        Ok(Reply { status: parts.status, headers: parts.headers, length, body })
    }

    /// With the headers that reqwest would add; no compression, which nothing here undoes.
    fn request(&self, ask: &Ask) -> Result<http::Request<Full<Bytes>>, http::Error> {
        let body = ask.body.clone().unwrap_or_default();
        let mut request = http::Request::builder()
            .method(ask.method.clone())
            .uri(&ask.url[Position::BeforePath..Position::AfterQuery])
            .body(Full::new(Bytes::from(body)))?;
        let headers = request.headers_mut();
        *headers = ask.headers.clone();
        let mut add = |name: HeaderName, text: &str| -> Result<(), http::Error> {
            headers.entry(name).or_insert(HeaderValue::from_str(text)?);
            Ok(())
        };
        add(header::HOST, &ask.url[Position::BeforeHost..Position::AfterPort])?;
        add(header::USER_AGENT, &self.user_agent)?;
        add(header::ACCEPT, "*/*")?;
        if ask.body.is_some() {
            add(header::CONTENT_TYPE, FORM)?;
        }
        if let Some(authorization) = &ask.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }
}

impl Reply {
    /// The next piece of the body.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        match &mut self.body {
            Body::Network(response) => response.chunk().await.map_err(|e| Broken::network(&e)),
            Body::Dialed(body, idle) => loop {
                match timeout(*idle, body.frame()).await.map_err(|_| Broken::late())? {
                    None => return Ok(None),
                    Some(Err(e)) => return Err(Broken::dialed(&e)),
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            return Ok(Some(data));
                        }
                    }
                }
            },
        }
    }
}

impl Broken {
    fn network(error: &reqwest::Error) -> Self {
        let cause = error.source().map_or_else(|| "no cause was given".to_owned(), innermost);
        Self { connect: error.is_connect(), timeout: error.is_timeout(), cause }
    }

    fn dialed(error: &(dyn Error + 'static)) -> Self {
        Self { connect: false, timeout: false, cause: innermost(error) }
    }

    fn io(error: &io::Error) -> Self {
        Self { timeout: error.kind() == io::ErrorKind::TimedOut, ..Self::dialed(error) }
    }

    fn late() -> Self {
        Self { connect: false, timeout: true, cause: "operation timed out".to_owned() }
    }
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

/// `host:port`.
fn address(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
