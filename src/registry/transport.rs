//! Sending requests: bounded in time, size and number; redirects with the credentials left
//! behind; a registry that is down or wants a rest is left alone.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::cache::{Bounded, lock};
use super::carrier::{Broken, Carrier, Dialed};
use super::endpoint::{Endpoint, is_loopback};
use super::limits::{ERROR_BODY_MAX, REDIRECTS_MAX, RETRY_AFTER_DEFAULT};
use super::{Limits, RateLimit, RegistryError, RegistryErrorKind as Kind, error};
use crate::dial::Dial;

/// Told once for each HTTP request: the registry, the status code, `error` or `timeout`, and what the
/// answer says of our allowance.
pub type Observer = Arc<dyn Fn(&str, &str, Option<RateLimit>) + Send + Sync>;

/// Hosts whose state is remembered.
const HOSTS_MAX: usize = 1_024;

/// A request.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) url: Url,
    /// What is asked for, for messages.
    pub(super) what: String,
    pub(super) headers: HeaderMap,
    /// Sent to the URL's own scheme, host and port only.
    pub(super) authorization: Option<HeaderValue>,
    /// What is sent along: a form, unless the headers say otherwise.
    pub(super) body: Option<String>,
    /// Bytes of the body, and what it means when there are more.
    pub(super) limit: usize,
    pub(super) too_long: Kind,
    pub(super) follow: bool,
}

impl Ask {
    pub(super) fn new(method: Method, url: Url, what: String, limit: usize) -> Self {
        Self {
            method,
            url,
            what,
            headers: HeaderMap::new(),
            authorization: None,
            body: None,
            limit,
            too_long: Kind::Untrusted,
            follow: true,
        }
    }
}

/// An answer with its whole body.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Who answered, after redirects.
    pub(super) url: Url,
    pub(super) body: Vec<u8>,
}

pub(super) struct Transport {
    user_agent: String,
    observer: Option<Observer>,
    limits: Limits,
    /// In place of `clients`.
    dialed: Option<Dialed>,
    clients: tokio::sync::Mutex<HashMap<ClientKey, reqwest::Client>>,
    gates: Mutex<Bounded<String, Arc<Gate>>>,
    /// By registry, as references name it.
    rate_limits: Mutex<Bounded<String, RateLimit>>,
}

/// What makes one HTTP client different from another.
#[derive(Clone, PartialEq, Eq, Hash)]
struct ClientKey {
    tls: bool,
    /// Never through a proxy, as Go (so docker) does it.
    loopback: bool,
    ca: Option<PathBuf>,
}

/// A host's share of requests, and whether it is to be left alone.
struct Gate {
    permits: Semaphore,
    shut: Mutex<Option<Shut>>,
}

struct Shut {
    until: Instant,
    kind: Kind,
    /// The first error, in full.
    message: String,
}

/// A request without an answer.
struct Lost {
    error: RegistryError,
    timeout: bool,
    /// Nothing came back at all.
    unreachable: bool,
}

/// Who may pass a gate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    All,
    /// The host did not answer before; until this one knows more, nobody else waits for it.
    Probe,
}

impl Gate {
    fn check(&self, registry: &str, probe_time: Duration) -> Result<Pass, RegistryError> {
        let mut shut = lock(&self.shut);
        let Some(current) = &mut *shut else { return Ok(Pass::All) };
        let now = Instant::now();
        let rest = current.until.saturating_duration_since(now);
        if rest.is_zero() && current.kind == Kind::RateLimited {
            *shut = None;
            return Ok(Pass::All);
        }
        if rest.is_zero() {
            // Should the probe be given up, the next one may pass then.
            current.until = now + probe_time;
            return Ok(Pass::Probe);
        }
        let limited = current.kind == Kind::RateLimited;
        Err(RegistryError {
            kind: current.kind,
            registry: registry.to_owned(),
            message: current.message.clone(),
            retry_after: limited.then_some(rest),
        })
    }

    /// What a probe found; a rest that the host asked for meanwhile goes on.
    fn probed(&self, answered: bool, until: Instant) {
        let mut shut = lock(&self.shut);
        match &mut *shut {
            Some(current) if current.kind == Kind::RateLimited => {}
            Some(current) if !answered => current.until = until,
            _ => *shut = None,
        }
    }

    /// The longer rest wins.
    fn shut(&self, until: Instant, error: &RegistryError) {
        let mut shut = lock(&self.shut);
        if shut.as_ref().is_none_or(|s| s.until < until) {
            *shut = Some(Shut { until, kind: error.kind, message: error.message.clone() });
        }
    }
}

impl Transport {
    /// `dial` makes the connections if it is there.
    pub(super) fn new(
        user_agent: String,
        observer: Option<Observer>,
        limits: Limits,
        dial: Option<Dial>,
    ) -> Self {
        let (connect, idle) = (limits.connect, limits.idle);
        let dialed = dial.map(|dial| Dialed { dial, user_agent: user_agent.clone(), connect, idle });
        // Fails only when the process has chosen a provider before, which serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            user_agent,
            observer,
            limits,
            dialed,
            clients: tokio::sync::Mutex::new(HashMap::new()),
            gates: Mutex::new(Bounded::new(HOSTS_MAX)),
            rate_limits: Mutex::new(Bounded::new(HOSTS_MAX)),
        }
    }

    /// What the registry last said of our allowance.
    pub(super) fn rate_limit(&self, registry: &str) -> Option<RateLimit> {
        lock(&self.rate_limits).get(&registry.to_owned()).copied()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Sends a request to the host of its URL and follows redirects. Any status is an answer;
    /// a 429 also shuts the host's gate for as long as it asks.
    pub(super) async fn send(&self, endpoint: &Endpoint, ask: Ask) -> Result<Answer, RegistryError> {
        let host = ask.url.origin().ascii_serialization();
        let gate = lock(&self.gates).get_or_insert_with(&host, || {
            Arc::new(Gate { permits: Semaphore::new(self.limits.parallel.max(1)), shut: Mutex::new(None) })
        });
        let probe_time = self.limits.request;
        let pass = gate.check(endpoint.registry(), probe_time)?;
        // Never closed, so this cannot fail.
        let _permit = gate.permits.acquire().await.ok();
        let pass = if pass == Pass::Probe { pass } else { gate.check(endpoint.registry(), probe_time)? };
        let answer = self.hops(endpoint, &gate, ask).await;
        if pass == Pass::Probe {
            gate.probed(answer.is_ok(), Instant::now() + self.limits.error_ttl);
        }
        let answer = answer?;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            let error =
                error::for_status(endpoint.registry(), "requests", answer.status, &answer.headers, &[], None);
            let rest = error.retry_after.unwrap_or(RETRY_AFTER_DEFAULT);
            gate.shut(Instant::now() + rest, &error);
        }
        Ok(answer)
    }

    async fn hops(&self, endpoint: &Endpoint, gate: &Gate, mut ask: Ask) -> Result<Answer, RegistryError> {
        let home = ask.url.origin();
        let authorization = ask.authorization.take();
        let deadline = Instant::now() + self.limits.request;
        for hop in 0..=REDIRECTS_MAX {
            ask.authorization = authorization.clone().filter(|_| ask.url.origin() == home);
            let answer = match self.hop(endpoint, &ask, deadline).await {
                Ok(answer) => answer,
                Err(lost) => {
                    if lost.unreachable && hop == 0 {
                        gate.shut(Instant::now() + self.limits.error_ttl, &lost.error);
                    }
                    return Err(lost.error);
                }
            };
            if !ask.follow || !is_redirect(answer.status) {
                return Ok(answer);
            }
            ask.url = redirect_target(endpoint, &answer)
                .map_err(|why| untrusted(endpoint, &format!("{} was redirected {why}", ask.what)))?;
        }
        Err(untrusted(endpoint, &format!("more than {REDIRECTS_MAX} redirects for {}", ask.what)))
    }

    async fn hop(&self, endpoint: &Endpoint, ask: &Ask, deadline: Instant) -> Result<Answer, Lost> {
        let carrier = self.carrier(endpoint, &ask.url).await.map_err(|error| Lost {
            error,
            timeout: false,
            unreachable: false,
        })?;
        let mut arrived = false;
        let result = match timeout_at(deadline, self.exchange(endpoint, carrier, ask, &mut arrived)).await {
            Ok(result) => result,
            Err(_) => {
                let message = format!("no answer in time for {}: is it overloaded?", ask.what);
                let error = RegistryError::new(Kind::Unavailable, endpoint.registry(), &message);
                Err(Lost { error, timeout: true, unreachable: !arrived })
            }
        };
        let allowance = result.as_ref().ok().and_then(|answer| self.allowance(endpoint, answer));
        if let Some(observer) = &self.observer {
            let code = match &result {
                Ok(answer) => answer.status.as_str(),
                Err(lost) if lost.timeout => "timeout",
                Err(_) => "error",
            };
            observer(endpoint.registry(), code, allowance);
        }
        result
    }

    /// What an answer says of our allowance, which is remembered. A token server's is another one.
    fn allowance(&self, endpoint: &Endpoint, answer: &Answer) -> Option<RateLimit> {
        let own = endpoint.is_own(&answer.url);
        let stated = RateLimit::read(&answer.headers, Timestamp::now()).filter(|_| own)?;
        lock(&self.rate_limits).insert(endpoint.registry().to_owned(), stated);
        Some(stated)
    }

    async fn exchange(
        &self,
        endpoint: &Endpoint,
        carrier: Carrier,
        ask: &Ask,
        arrived: &mut bool,
    ) -> Result<Answer, Lost> {
        let lost = |e: &Broken, unreachable| Lost {
            error: error::for_transport(endpoint.registry(), &ask.what, e),
            timeout: e.timeout,
            unreachable,
        };
        let mut reply = carrier.send(ask).await.map_err(|e| lost(&e, true))?;
        *arrived = true;
        let success = reply.status.is_success();
        let limit = if success { ask.limit } else { ERROR_BODY_MAX };
        let mut body = Vec::new();
        let mut over = success && reply.length.is_some_and(|n| n > limit as u64);
        while !over && !is_redirect(reply.status) {
            match reply.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > limit => over = true,
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(e) if success => return Err(lost(&e, false)),
                // The status says enough.
                Err(_) => break,
            }
        }
        if over && success {
            let message = format!("{} is longer than {limit} bytes, the bound", ask.what);
            let error = RegistryError::new(ask.too_long, endpoint.registry(), &message);
            return Err(Lost { error, timeout: false, unreachable: false });
        }
        Ok(Answer { status: reply.status, headers: reply.headers, url: ask.url.clone(), body })
    }

    async fn carrier(&self, endpoint: &Endpoint, url: &Url) -> Result<Carrier, RegistryError> {
        match &self.dialed {
            Some(dialed) => Ok(Carrier::Dialed(dialed.clone())),
            None => Ok(Carrier::Network(self.client(endpoint, url).await?)),
        }
    }

    /// The HTTP client for a URL, made when first needed: to load the system's certificate
    /// authorities takes time, and fails on systems that have none.
    async fn client(&self, endpoint: &Endpoint, url: &Url) -> Result<reqwest::Client, RegistryError> {
        let tls = url.scheme() == "https";
        let key = ClientKey { tls, loopback: is_loopback(url), ca: endpoint.ca.clone().filter(|_| tls) };
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let unusable = |message: &str| RegistryError::new(Kind::Unavailable, endpoint.registry(), message);
        let pem =
            match &key.ca {
                Some(path) => Some(tokio::fs::read(path).await.map_err(|e| {
                    unusable(&format!("cannot read its `ca` {}: {}", path.display(), e.kind()))
                })?),
                None => None,
            };
        let builder = self.builder(&key);
        let built = tokio::task::spawn_blocking(move || build(builder, tls, pem)).await;
        let client = match built {
            Ok(Ok(client)) => client,
            Ok(Err(why)) => return Err(unusable(&format!("cannot set up TLS: {why}"))),
            Err(_) => return Err(unusable("cannot set up TLS")),
        };
        clients.insert(key, client.clone());
        Ok(client)
    }

    fn builder(&self, key: &ClientKey) -> reqwest::ClientBuilder {
        let builder = reqwest::Client::builder()
            .user_agent(&self.user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.limits.connect)
            .read_timeout(self.limits.idle)
            .pool_max_idle_per_host(self.limits.parallel);
        if key.loopback { builder.no_proxy() } else { builder }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

fn build(builder: reqwest::ClientBuilder, tls: bool, ca: Option<Vec<u8>>) -> Result<reqwest::Client, String> {
    let builder = match ca {
        _ if !tls => builder.tls_certs_only([]),
        Some(pem) => {
            let all = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|_| "`ca` is not a PEM certificate".to_owned())?;
            if all.is_empty() {
                return Err("`ca` has no PEM certificate in it".to_owned());
            }
            builder.tls_certs_merge(all)
        }
        None => builder,
    };
    builder.build().map_err(|e| {
        use std::error::Error as _;
        e.source().map_or_else(|| e.to_string(), ToString::to_string)
    })
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, if that is a way we go.
fn redirect_target(endpoint: &Endpoint, answer: &Answer) -> Result<Url, &'static str> {
    let location = answer.headers.get(header::LOCATION).ok_or("without a location")?;
    let location = location.to_str().map_err(|_| "to something unreadable")?;
    let url = answer.url.join(location).map_err(|_| "to something that is not a URL")?;
    endpoint.may_go_to(&url)?;
    // Once on TLS, always on TLS, whatever the registry itself speaks.
    if answer.url.scheme() == "https" && url.scheme() == "http" {
        return Err("from https to plain http");
    }
    Ok(url)
}

fn untrusted(endpoint: &Endpoint, message: &str) -> RegistryError {
    RegistryError::new(Kind::Untrusted, endpoint.registry(), message)
}
