//! The Engine API client: raw JSON for what is written, bollard for streams and version.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bollard::Docker;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request};
use serde_json::{Value, json};

use super::list::{List, Texts};
use super::look::{Answers, Look, Scope};
use super::query::{Lists, filtered};
use super::refusal::refusal;
use super::{
    ErrorClass, Info, MESSAGE_CHARS_MAX, Swarm, SwarmError, Wakeup, convert, not_json, transport::Endpoint,
};
use crate::state::ObjectKind;
use crate::text::printable;

/// A call that has not ended by then is given up; a leader election takes up to 20 s (measured).
pub const SWARM_TIMEOUT: Duration = Duration::from_secs(30);
/// 100,000 services are about 100 MB; no honest answer is larger.
const BODY_BYTES_MAX: usize = 512 << 20;
/// The lowest engine API (Docker 20.10) whose services keep all fields.
const API_MIN: (u32, u32) = (1, 41);
/// A stream that is silently dead is replaced after this long.
const STREAM_AGE_MAX: Duration = Duration::from_secs(15 * 60);

/// Counts calls: operation, and status code if there was an answer.
pub type Observer = Arc<dyn Fn(&'static str, Option<u16>) + Send + Sync>;

/// A client of one engine.
#[derive(Clone)]
pub struct Client {
    endpoint: Endpoint,
    /// The engine's own API version, asked once and again after a failure to connect.
    version: Arc<RwLock<Option<String>>>,
    observer: Observer,
}

struct Call {
    operation: &'static str,
    method: Method,
    path: String,
    auth: Option<String>,
    body: Option<Value>,
}

impl Client {
    pub fn new(endpoint: Endpoint, observer: Observer) -> Self {
        Self { endpoint, version: Arc::default(), observer }
    }

    /// The engine's own API version (`1.41`), to be put in every path: without one an engine
    /// answers as its newest, and an update through a lower one strips fields (measured).
    async fn api_version(&self) -> Result<String, SwarmError> {
        if let Some(version) = self.version.read().ok().and_then(|v| v.clone()) {
            return Ok(version);
        }
        let body = self.exchange("version", Method::GET, "/version", None, None).await?;
        let version = body.get("ApiVersion").and_then(Value::as_str).unwrap_or_default();
        let parsed = version.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        match parsed {
            Some(found) if found >= API_MIN => {}
            Some(_) => {
                return Err(terminal(format!(
                    "the engine at {} speaks API {version}; skep needs 1.41 (Docker 20.10) or newer: upgrade it",
                    self.endpoint.describe()
                )));
            }
            None => {
                return Err(terminal(format!(
                    "{} does not answer as a Docker engine",
                    self.endpoint.describe()
                )));
            }
        }
        if let Ok(mut slot) = self.version.write() {
            *slot = Some(version.to_owned());
        }
        Ok(version.to_owned())
    }

    /// One call of the API; the answer's JSON (null for an empty body).
    async fn call(&self, call: Call) -> Result<Value, SwarmError> {
        let version = self.api_version().await?;
        let path = format!("/v{version}{}", call.path);
        self.exchange(call.operation, call.method, &path, call.auth, call.body).await
    }

    async fn get(&self, operation: &'static str, path: String) -> Result<Value, SwarmError> {
        self.call(Call { operation, method: Method::GET, path, auth: None, body: None }).await
    }

    /// The elements of a list, each as text.
    async fn list(&self, operation: &'static str, path: String) -> Result<Texts, SwarmError> {
        let version = self.api_version().await?;
        let path = format!("/v{version}{path}");
        let list: List = self.exchange_as(operation, Method::GET, &path, None, None).await?;
        list.finish().map_err(|error| not_json(&error))
    }

    async fn exchange(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        auth: Option<String>,
        body: Option<Value>,
    ) -> Result<Value, SwarmError> {
        parse(&self.exchange_as::<Vec<u8>>(operation, method, path, auth, body).await?)
    }

    async fn exchange_as<T: Receive>(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        auth: Option<String>,
        body: Option<Value>,
    ) -> Result<T, SwarmError> {
        let exchange = self.exchange_unbounded(method, path, auth, body);
        let answer = match tokio::time::timeout(SWARM_TIMEOUT, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in 30 s")),
        };
        match answer {
            Ok((status, answer)) => {
                (self.observer)(operation, Some(status.as_u16()));
                answer.map_err(|said| refusal(status.as_u16(), &said))
            }
            Err(error) => {
                (self.observer)(operation, None);
                // The engine may come back as another version.
                if let Ok(mut slot) = self.version.write() {
                    *slot = None;
                }
                Err(self.unreachable(&error))
            }
        }
    }

    /// The status, and what was asked for, or else what was said instead.
    async fn exchange_unbounded<T: Receive>(
        &self,
        method: Method,
        path: &str,
        auth: Option<String>,
        body: Option<Value>,
    ) -> io::Result<(hyper::StatusCode, Result<T, Vec<u8>>)> {
        let mut request = Request::builder().method(method).uri(path).header("Host", "docker");
        if let Some(auth) = auth {
            request = request.header("X-Registry-Auth", auth);
        }
        let bytes = match body {
            Some(value) => {
                request = request.header("Content-Type", "application/json");
                Bytes::from(serde_json::to_vec(&value)?)
            }
            None => Bytes::new(),
        };
        let request = request.body(Full::new(bytes)).map_err(io::Error::other)?;
        let response = self.endpoint.send(request).await?;
        let status = response.status();
        let body = response.into_body();
        let answer = if status.is_success() { Ok(receive(body).await?) } else { Err(receive(body).await?) };
        Ok((status, answer))
    }

    fn unreachable(&self, error: &io::Error) -> SwarmError {
        let mend = match (error.kind(), &self.endpoint) {
            (io::ErrorKind::PermissionDenied, _) => ": run as root or as a member of the socket's group",
            (io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, Endpoint::Unix(_)) => {
                ": is dockerd running? (--docker-host or DOCKER_HOST names another one)"
            }
            _ => "",
        };
        let text =
            format!("cannot reach the Docker engine at {}: {}{mend}", self.endpoint.describe(), chain(error));
        SwarmError { class: ErrorClass::Transient, message: printable(&text, MESSAGE_CHARS_MAX) }
    }

    /// bollard over our transport.
    fn bollard(&self, version: &str) -> Result<Docker, SwarmError> {
        let endpoint = self.endpoint.clone();
        let prefix = format!("/v{version}");
        let transport = move |mut request: bollard::BollardRequest| {
            let endpoint = endpoint.clone();
            let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
            let uri = format!("{prefix}{path}").parse();
            async move {
                *request.uri_mut() = uri.map_err(io::Error::other)?;
                request.headers_mut().insert("Host", http::HeaderValue::from_static("docker"));
                Ok(endpoint.send(request).await?)
            }
        };
        Docker::connect_with_custom_transport(
            transport,
            Some("http://docker"),
            SWARM_TIMEOUT.as_secs(),
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|e| terminal(e.to_string()))
    }
}

/// What an answer becomes while it comes.
trait Receive: Default {
    fn take(&mut self, text: &[u8]);
}

impl Receive for Vec<u8> {
    fn take(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }
}

impl Receive for List {
    fn take(&mut self, text: &[u8]) {
        self.push(text);
    }
}

async fn receive<T: Receive>(body: Incoming) -> io::Result<T> {
    let mut body = Limited::new(body, BODY_BYTES_MAX);
    let mut received = T::default();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            received.take(&data);
        }
    }
    Ok(received)
}

impl Swarm for Client {
    fn look(&self, scope: Scope, detail: Vec<String>) -> BoxFuture<'_, Result<Look, SwarmError>> {
        Box::pin(async move {
            // Once, and not by each of the calls below.
            self.api_version().await?;
            let lists = Lists::of(&scope);
            // All at once: each task is compared with its service's spec, so that a service
            // written in between cannot look converged by tasks of another spec.
            let (services, tasks, all_tasks, nodes, networks, more_networks, predefined, secrets, configs) =
                futures::try_join!(
                    self.list("service_list", lists.services),
                    self.list("task_list", lists.tasks),
                    self.detailed_tasks(&detail, lists.all_tasks),
                    self.list("node_list", "/nodes".into()),
                    self.list("network_list", lists.networks),
                    self.list_if("network_list", lists.named_networks),
                    futures::future::try_join_all(
                        lists.predefined.into_iter().map(|path| self.predefined(path))
                    ),
                    self.list("secret_list", lists.secrets),
                    self.list("config_list", lists.configs),
                )?;
            let networks = [networks, more_networks];
            let predefined = predefined.into_iter().flatten().collect();
            let tasks = [tasks, all_tasks];
            let answers = Answers { services, tasks, nodes, networks, predefined, secrets, configs };
            Look::read(scope, answers).map_err(|error| not_json(&error))
        })
    }

    fn create_service(&self, spec: Value, auth: Option<String>) -> BoxFuture<'_, Result<String, SwarmError>> {
        Box::pin(async move {
            let path = "/services/create".to_owned();
            let operation = "service_create";
            id_of(&self.call(Call { operation, method: Method::POST, path, auth, body: Some(spec) }).await?)
        })
    }

    fn update_service(
        &self,
        id: String,
        index: u64,
        spec: Value,
        auth: Option<String>,
    ) -> BoxFuture<'_, Result<(), SwarmError>> {
        Box::pin(async move {
            let path = format!("/services/{id}/update?version={index}");
            let operation = "service_update";
            self.call(Call { operation, method: Method::POST, path, auth, body: Some(spec) }).await.map(drop)
        })
    }

    fn create_object(&self, kind: ObjectKind, spec: Value) -> BoxFuture<'_, Result<String, SwarmError>> {
        Box::pin(async move {
            let operation = operations(kind).create;
            let path = format!("/{}s/create", kind.as_str());
            let call = Call { operation, method: Method::POST, path, auth: None, body: Some(spec) };
            id_of(&self.call(call).await?)
        })
    }

    fn labels_of(
        &self,
        kind: ObjectKind,
        id: String,
    ) -> BoxFuture<'_, Result<Option<BTreeMap<String, String>>, SwarmError>> {
        Box::pin(async move {
            let path = format!("/{}s/{id}", kind.as_str());
            match self.get(operations(kind).inspect, path).await {
                Ok(found) if kind == ObjectKind::Network => Ok(Some(convert::labels(&found, "/Labels"))),
                Ok(found) => Ok(Some(convert::labels(&found, "/Spec/Labels"))),
                Err(error) if error.is_gone() => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn remove(&self, kind: ObjectKind, id: String) -> BoxFuture<'_, Result<(), SwarmError>> {
        Box::pin(async move {
            let operation = operations(kind).remove;
            let path = format!("/{}s/{id}", kind.as_str());
            let call = Call { operation, method: Method::DELETE, path, auth: None, body: None };
            // The engine knows a network of its own longer than the Swarm does, and says so with a 500.
            let missing = format!("{id} not found");
            match self.call(call).await {
                Err(error) if error.is_gone() || error.message.contains(&missing) => Ok(()),
                // What uses it is about to go, else nobody would ask.
                Err(error) if error.message.contains("is in use by") => {
                    Err(SwarmError { class: ErrorClass::Transient, ..error })
                }
                answer => answer.map(drop),
            }
        })
    }

    fn wakeups(&self) -> BoxStream<'static, Result<Wakeup, SwarmError>> {
        let client = self.clone();
        let opened = async move {
            let version = client.api_version().await?;
            let docker = client.bollard(&version)?;
            let filters = HashMap::from([
                ("scope".to_owned(), vec!["swarm".to_owned()]),
                ("type".to_owned(), vec!["service".to_owned(), "node".to_owned()]),
            ]);
            let options =
                bollard::query_parameters::EventsOptionsBuilder::default().filters(&filters).build();
            let observer = Arc::clone(&client.observer);
            let events = docker.events(Some(options)).map(move |event| match event {
                Ok(event) => Ok(wakeup(event)),
                Err(error) => {
                    observer("events", None);
                    let message =
                        printable(&format!("the engine's event stream ended: {error}"), MESSAGE_CHARS_MAX);
                    Err(SwarmError { class: ErrorClass::Transient, message })
                }
            });
            let connected = futures::stream::once(async { Ok(Wakeup::Connected) });
            Ok::<_, SwarmError>(connected.chain(events))
        };
        futures::stream::once(opened)
            .flat_map(|opened| match opened {
                Ok(stream) => stream.boxed(),
                Err(error) => futures::stream::once(async { Err(error) }).boxed(),
            })
            .take_until(tokio::time::sleep(STREAM_AGE_MAX))
            .boxed()
    }

    fn info(&self) -> BoxFuture<'_, Result<Info, SwarmError>> {
        Box::pin(async move {
            let api_version = self.api_version().await?;
            let info = self.get("info", "/info".into()).await?;
            let text =
                |pointer: &str| info.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            Ok(Info {
                engine_version: text("/ServerVersion"),
                api_version,
                swarm_state: text("/Swarm/LocalNodeState"),
                is_manager: info.pointer("/Swarm/ControlAvailable").and_then(Value::as_bool).unwrap_or(false),
                swarm_error: printable(&text("/Swarm/Error"), MESSAGE_CHARS_MAX),
                system_time: text("/SystemTime").parse().ok(),
            })
        })
    }
}

/// How calls on an object of some kind are counted.
struct Operations {
    create: &'static str,
    inspect: &'static str,
    remove: &'static str,
}

fn operations(kind: ObjectKind) -> Operations {
    let (create, inspect, remove) = match kind {
        ObjectKind::Service => ("service_create", "service_inspect", "service_remove"),
        ObjectKind::Network => ("network_create", "network_inspect", "network_remove"),
        ObjectKind::Secret => ("secret_create", "secret_inspect", "secret_remove"),
        ObjectKind::Config => ("config_create", "config_inspect", "config_remove"),
    };
    Operations { create, inspect, remove }
}

impl Client {
    /// The networks of swarm scope with all that the engine says of them.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn networks(&self) -> Result<Vec<Value>, SwarmError> {
        let path = filtered("/networks", &json!({"scope": ["swarm"]}));
        Ok(list(self.get("network_list", path).await?))
    }

    /// All configs as the engine has them, with what they hold.
    ///
    /// # Errors
    /// When the engine does not answer.
    pub async fn configs(&self) -> Result<Vec<Value>, SwarmError> {
        Ok(list(self.get("config_list", "/configs".to_owned()).await?))
    }

    /// `all` lists more, in any case.
    async fn detailed_tasks(&self, services: &[String], all: String) -> Result<Texts, SwarmError> {
        if services.is_empty() {
            return Ok(Vec::new());
        }
        match self.list("task_list", filtered("/tasks", &json!({"service": services}))).await {
            // One of them is gone, which the engine takes for an error of the whole list.
            Err(error) if error.is_gone() => self.list("task_list", all).await,
            answer => answer,
        }
    }

    /// A network that every node has of its own, as the Swarm knows it.
    async fn predefined(&self, path: String) -> Result<Option<Value>, SwarmError> {
        match self.get("network_inspect", path).await {
            Err(error) if error.is_gone() => Ok(None),
            answer => answer.map(Some),
        }
    }

    async fn list_if(&self, operation: &'static str, path: Option<String>) -> Result<Texts, SwarmError> {
        match path {
            Some(path) => self.list(operation, path).await,
            None => Ok(Vec::new()),
        }
    }
}

fn wakeup(event: bollard::models::EventMessage) -> Wakeup {
    let actor = event.actor.unwrap_or_default();
    let name = actor.attributes.unwrap_or_default().remove("name");
    match (event.typ, name) {
        (Some(bollard::models::EventMessageTypeEnum::SERVICE), Some(name)) => Wakeup::Service(name),
        _ => Wakeup::Node,
    }
}

fn parse(bytes: &[u8]) -> Result<Value, SwarmError> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(bytes).map_err(|error| not_json(&error))
}

fn list(answer: Value) -> Vec<Value> {
    match answer {
        Value::Array(list) => list,
        _ => Vec::new(),
    }
}

fn id_of(answer: &Value) -> Result<String, SwarmError> {
    let id = answer.get("ID").or_else(|| answer.get("Id")).and_then(Value::as_str);
    id.map(str::to_owned).ok_or_else(|| terminal("the engine's answer names no ID".into()))
}

fn terminal(message: String) -> SwarmError {
    SwarmError { class: ErrorClass::Terminal, message: printable(&message, MESSAGE_CHARS_MAX) }
}

/// An error with its causes, each said once.
fn chain(error: &io::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}
