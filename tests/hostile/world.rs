//! One customer on an embedded Swarm, its registry, and a neighbour that the registry would like to be asked.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE, Engine as _};
use futures::future::BoxFuture;
use skep::sim::engine::{Engine, HostOptions, Options, Role, Timing};
use skep::sim::handler::{Handler, Request, Response, full};
use skep::sim::registry::{Auth, ImageSpec, Options as RegistryOptions, Registry};
use skep::sim::wire::{Server, serve_tcp, serve_unix};

use crate::deeds::{Answer, Then};

/// The registry's password: to be seen by the registry and in `X-Registry-Auth`, nowhere else.
const CANARY: &str = "canary-of-the-registry-5501";
pub const REPOSITORY: &str = "acme/web";

/// The embedded registry, until it is told to misbehave.
struct Gate {
    honest: Registry,
    answer: Mutex<Option<Answer>>,
    /// `host:port` of the neighbour.
    neighbour: String,
    /// Requests so far, for deeds that change their mind.
    count: Mutex<u64>,
}

/// What a deed may know.
pub struct Setting {
    pub neighbour: String,
    pub count: u64,
}

impl Handler for Gate {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        let answer = *self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count += 1;
        let setting = Setting { neighbour: self.neighbour.clone(), count: *count };
        match answer.and_then(|answer| answer(&request, &setting)) {
            Some(response) => Box::pin(std::future::ready(response)),
            None => self.honest.handle(request),
        }
    }
}

/// Somebody else's host; remembers whoever shows it credentials.
#[derive(Default)]
struct Neighbour(Mutex<Vec<String>>);

impl Handler for Neighbour {
    fn handle(&self, request: Request) -> BoxFuture<'static, Response> {
        if let Some(shown) = request.headers().get("authorization") {
            let shown = format!("{}: {shown:?}", request.uri());
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(shown);
        }
        let list = full(r#"{"name":"acme/web","tags":["66.6.6"]}"#);
        Box::pin(std::future::ready(Response::new(list)))
    }
}

pub struct World {
    dir: tempfile::TempDir,
    engine: Engine,
    gate: Arc<Gate>,
    neighbour: Arc<Neighbour>,
    /// Images of 1.0.0 and 1.1.0 by digest.
    digests: [String; 2],
    _servers: [Server; 3],
    moving: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.moving.abort();
    }
}

/// A command that ended.
pub struct Ran {
    pub status: Option<i32>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Ran {
    pub fn all(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr))
    }

    /// It ended in its own way, and said nothing that harms a terminal or tells a secret.
    pub fn check(&self, line: &str) -> Result<(), String> {
        let all = self.all();
        let said = || all.chars().take(2_000).collect::<String>();
        if !matches!(self.status, Some(0..=2)) || all.contains("panicked") {
            return Err(format!("`{line}` ended with {:?}:\n{}", self.status, said()));
        }
        if let Some(control) = all.chars().find(|c| c.is_control() && !matches!(c, '\n')) {
            return Err(format!("`{line}` printed {control:?}:\n{}", said().escape_debug()));
        }
        if all.len() > 64 << 10 {
            return Err(format!("`{line}` printed {} bytes", all.len()));
        }
        leaks(&all).map_or(Ok(()), |leak| Err(format!("`{line}` printed {leak}:\n{}", said())))
    }
}

/// The canary in any of its spellings.
fn leaks(text: &str) -> Option<String> {
    let pair = format!("ci:{CANARY}");
    let spelt = [CANARY.to_owned(), BASE64_STANDARD.encode(&pair), BASE64_URL_SAFE.encode(&pair)];
    spelt.into_iter().find(|spelt| text.contains(spelt.as_str()))
}

impl World {
    pub async fn start() -> Self {
        let auth = Auth::Basic { user: "ci".into(), password: CANARY.into() };
        let honest = Registry::new(RegistryOptions { auth, ..RegistryOptions::default() });
        let old = honest.push(REPOSITORY, "1.0.0", &ImageSpec::new("1.0.0")).unwrap();
        // Elsewhere, for its digest.
        let new = honest.push("acme/scratch", "1.1.0", &ImageSpec::new("1.1.0")).unwrap();
        let hosts = vec![HostOptions::new("n0", Role::Manager)];
        let options = Options { hosts, timing: Timing::fast(), ..Options::default() };
        let engine = Engine::new(options, Arc::new(honest.clone()));
        let moving = tokio::spawn({
            let engine = engine.clone();
            async move { engine.run().await }
        });
        let neighbour = Arc::new(Neighbour::default());
        let dir = tempfile::tempdir().unwrap();
        let next_door = serve_tcp("127.0.0.1:0", Arc::clone(&neighbour) as Arc<dyn Handler>).await.unwrap();
        let gate = Arc::new(Gate {
            honest: honest.clone(),
            answer: Mutex::default(),
            neighbour: next_door.address().to_owned(),
            count: Mutex::default(),
        });
        let registry = serve_tcp("127.0.0.1:0", Arc::clone(&gate) as Arc<dyn Handler>).await.unwrap();
        let socket = serve_unix(&dir.path().join("docker.sock"), Arc::new(engine.clone())).unwrap();
        let write = |file: &str, text: String| {
            let path = dir.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("password", CANARY.to_owned());
        write(
            "skep.toml",
            format!(
                "[docker]\nhost = \"unix://{}\"\n[registries.\"{}\"]\nplain_http = true\nusername = \"ci\"\n\
                 password_file = \"password\"\n",
                dir.path().join("docker.sock").display(),
                registry.address(),
            ),
        );
        let image = format!("{}/{REPOSITORY}", registry.address());
        write("specs/acme.toml", format!("[services.web]\nimage = \"{image}\"\n"));
        Self {
            dir,
            engine,
            gate,
            neighbour,
            digests: [old, new],
            _servers: [registry, next_door, socket],
            moving,
        }
    }

    /// 1.0.0 runs; then 1.1.0 is pushed.
    pub async fn honest_start(&self) -> Result<(), String> {
        let ran = self.skep("apply", Duration::from_secs(60)).await?;
        if ran.status != Some(0) || !self.image().ends_with(&self.digests[0]) {
            return Err(format!("the start failed: {}", ran.all()));
        }
        let pushed = self.gate.honest.push(REPOSITORY, "1.1.0", &ImageSpec::new("1.1.0"));
        if pushed.as_ref().ok() != Some(&self.digests[1]) {
            return Err("the digest of 1.1.0 is another".to_owned());
        }
        Ok(())
    }

    pub fn misbehave(&self, answer: Answer) {
        *self.gate.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    pub async fn skep(&self, line: &str, within: Duration) -> Result<Ran, String> {
        let mut command = tokio::process::Command::new(assert_cmd::cargo::cargo_bin("skep"));
        command.args(line.split_whitespace()).current_dir(self.dir.path()).env_clear();
        command.env("HOME", self.dir.path()).stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(within, command.output()).await;
        let output = ended.map_err(|_| format!("`{line}` hangs"))?.map_err(|error| error.to_string())?;
        Ok(Ran { status: output.status.code(), stdout: output.stdout, stderr: output.stderr })
    }

    fn image(&self) -> String {
        self.engine.with(|state| {
            let service = state.services.values().next();
            let image = service.map(|it| it.object.spec["TaskTemplate"]["ContainerSpec"]["Image"].clone());
            image.and_then(|image| image.as_str().map(str::to_owned)).unwrap_or_default()
        })
    }

    /// What must hold at the end.
    pub fn check(&self, then: Then) -> Result<(), String> {
        let image = self.image();
        let is = |number: usize| image.ends_with(&format!("@{}", self.digests[number]));
        let right = match then {
            Then::Kept => is(0),
            Then::Newest => is(1),
            Then::Sound => is(0) || is(1),
        };
        if !right {
            return Err(format!("{then:?}, but {image} runs"));
        }
        let shown = self.neighbour.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !shown.is_empty() {
            return Err(format!("the neighbour was shown credentials: {shown:?}"));
        }
        let specs = self.engine.with(|state| {
            state.services.values().map(|service| service.object.spec.to_string()).collect::<String>()
        });
        if let Some(leak) = leaks(&specs) {
            return Err(format!("{leak} stands in a service's spec"));
        }
        let mut files = vec![self.dir.path().join(".skep")];
        while let Some(path) = files.pop() {
            if path.is_dir() {
                files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if let Some(leak) = leaks(&String::from_utf8_lossy(&std::fs::read(&path).unwrap())) {
                return Err(format!("{leak} stands in {}", path.display()));
            }
        }
        Ok(())
    }
}
