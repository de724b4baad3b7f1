//! The embedded engine and registry, over in-memory streams, on a clock that stands still while nobody waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use skep::sim::engine::orchestrate::Timing;
use skep::sim::engine::{Behaviour, Engine, HostOptions, Options, Role};
use skep::sim::registry::{self, ImageSpec, Registries, Registry};
use skep::sim::wire::Memory;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::bed::http::Answer;
use crate::op::{Does, To};
use crate::play::REGISTRY;
use crate::target::{Ask, Target};

/// What a request takes.
const TICK: Duration = Duration::from_millis(1);

pub struct Sim {
    runtime: Runtime,
    engine: Memory,
    registry: Registry,
    door: Memory,
    start: Instant,
}

impl Sim {
    pub fn new() -> Self {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let entered = runtime.enter();
        let options = registry::Options { host: REGISTRY.to_owned(), ..registry::Options::default() };
        let registry = Registry::new(options);
        let registries = Registries::default();
        registries.insert(REGISTRY, registry.clone());
        let options = Options {
            hosts: vec![HostOptions::new("n0", Role::Manager), HostOptions::new("n1", Role::Worker)],
            timing: Timing::real(),
            ..Options::default()
        };
        let engine = Engine::new(options, Arc::new(registries));
        let running = engine.clone();
        runtime.spawn(async move { running.run().await });
        let start = Instant::now();
        let engine = Memory::new(Arc::new(engine));
        let door = Memory::new(Arc::new(registry.clone()));
        drop(entered);
        Self { runtime, engine, registry, door, start }
    }

    async fn exchange(&self, ask: &Ask<'_>) -> Answer {
        // No two things happen at the same moment, as on a real clock.
        tokio::time::sleep(TICK).await;
        let server = match ask.to {
            To::Engine => &self.engine,
            To::Registry => &self.door,
        };
        let stream = (server.dialer())().await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request =
            http::Request::builder().method(ask.method).uri(ask.path).header("Host", "localhost");
        for (name, value) in ask.headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(ask.body))).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let headers = headers.collect();
        let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
        Answer { status, headers, body }
    }
}

impl Target for Sim {
    fn ask(&self, ask: Ask<'_>) -> Answer {
        self.runtime.block_on(self.exchange(&ask))
    }

    fn push(&self, repository: &str, tag: &str, says: &str, does: Does) -> String {
        let behaviour = match does {
            Does::Runs | Does::Healthy => Behaviour::Runs,
            Does::Unhealthy => Behaviour::Unhealthy,
            Does::Fails => Behaviour::Exits { after: Duration::ZERO, code: 1 },
            Does::Crashes => Behaviour::Exits { after: Duration::from_secs(1), code: 1 },
            Does::Finishes => Behaviour::Exits { after: Duration::ZERO, code: 0 },
        };
        let image = ImageSpec { behaviour, ..ImageSpec::new(says) };
        self.registry.push(repository, tag, &image).expect("the registry is not full")
    }

    fn delete_tag(&self, repository: &str, tag: &str) {
        assert!(self.registry.delete_tag(repository, tag), "{repository}:{tag} is there");
    }

    fn pause(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    fn now(&self) -> Timestamp {
        let ask = Ask { to: To::Engine, method: "GET", path: "/v1.41/info", headers: &[], body: b"" };
        let time = self.ask(ask).json()["SystemTime"].as_str().and_then(|time| time.parse().ok());
        time.expect("/info says what time it is")
    }

    fn elapsed(&self) -> Duration {
        self.runtime.block_on(async { self.start.elapsed() })
    }
}
