//! The embedded engine and registry, over in-memory streams, on a clock that stands still while nobody waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use skep::sim::engine::orchestrate::Timing;
use skep::sim::engine::{Behaviour, Engine, HostOptions, Images, Options, PullError, Pulled, Role};
use skep::sim::wire::Memory;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::bed::http::Answer;
use crate::op::{Does, To};
use crate::target::{Ask, Target};

#[derive(Default)]
struct Shelf {
    images: Mutex<BTreeMap<String, Pulled>>,
}

impl Images for Shelf {
    fn pull(&self, reference: &str, _: Option<&str>) -> Result<Pulled, PullError> {
        let images = self.images.lock().unwrap();
        if let Some((name, digest)) = reference.split_once('@') {
            let repository = name.rsplit_once(':').map_or(name, |(r, _)| r);
            return images
                .iter()
                .find(|(n, i)| n.starts_with(repository) && i.digest == digest)
                .map(|(_, i)| i.clone())
                .ok_or(PullError::NotFound);
        }
        images.get(reference).cloned().ok_or(PullError::NotFound)
    }
}

pub struct Sim {
    runtime: Runtime,
    engine: Memory,
    shelf: Arc<Shelf>,
    start: Instant,
}

impl Sim {
    pub fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let shelf = Arc::new(Shelf::default());
        let options = Options {
            hosts: vec![HostOptions::new("n0", Role::Manager), HostOptions::new("n1", Role::Worker)],
            timing: Timing::real(),
            ..Options::default()
        };
        let _entered = runtime.enter();
        let engine = Engine::new(options, Arc::clone(&shelf) as Arc<dyn Images>);
        let running = engine.clone();
        runtime.spawn(async move { running.run().await });
        let start = Instant::now();
        let engine = Memory::new(Arc::new(engine));
        drop(_entered);
        Self { runtime, engine, shelf, start }
    }

    async fn exchange(&self, ask: &Ask<'_>) -> Answer {
        let stream = match ask.to {
            To::Engine => (self.engine.dialer())().await.unwrap(),
            To::Registry => {
                return Answer { status: 599, headers: Vec::new(), body: Vec::new() };
            }
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let mut request = http::Request::builder().method(ask.method).uri(ask.path).header("Host", "localhost");
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
        use sha2::Digest;
        let sum = sha2::Sha256::digest(format!("{repository}{says}{does:?}"));
        let digest = sum.iter().fold("sha256:".to_owned(), |t, b| t + &format!("{b:02x}"));
        let image = Pulled { digest: digest.clone(), says: says.into(), behaviour, platform: "linux/amd64".into() };
        self.shelf.images.lock().unwrap().insert(format!("{}/{repository}:{tag}", crate::play::REGISTRY), image);
        digest
    }

    fn delete_tag(&self, repository: &str, tag: &str) {
        self.shelf.images.lock().unwrap().remove(&format!("{}/{repository}:{tag}", crate::play::REGISTRY));
    }

    fn pause(&self, time: Duration) {
        self.runtime.block_on(tokio::time::sleep(time));
    }

    fn elapsed(&self) -> Duration {
        self.runtime.block_on(async { self.start.elapsed() })
    }
}
