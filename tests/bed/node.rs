//! One host of the Swarm: its dockerd, and what can go wrong with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::control::Control;
use super::http::{Answer, Request, over_socket};
use super::wait::wait_until;

pub struct Node {
    control: Arc<Control>,
    dir: PathBuf,
    /// `n0`, `n1`, …: also the host's name.
    pub name: String,
    /// On the bed's network.
    pub address: String,
    options: String,
}

impl Node {
    pub(super) fn start(control: &Arc<Control>, dir: &Path, number: usize, options: &[String]) -> Self {
        let name = format!("n{number}");
        let address = format!("192.168.77.{}", 11 + number);
        let options: String = options.iter().map(|option| format!(" '{option}'")).collect();
        let node = Node { control: Arc::clone(control), dir: dir.join(&name), name, address, options };
        node.control.run(&format!("add_host {} {}", node.name, node.address));
        node.control.run(&format!("node_up {}{}", node.name, node.options));
        node
    }

    /// For `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// What dockerd has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.dir.join("dockerd.log")).unwrap_or_default()).into_owned()
    }

    // --- the Engine API ---

    /// # Errors
    /// There was no answer: the daemon is away.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<Answer> {
        let text = body.map(Value::to_string).unwrap_or_default();
        let headers: &[(&str, &str)] =
            if body.is_some() { &[("Content-Type", "application/json")] } else { &[] };
        over_socket(&self.socket(), Request { method, path, headers, body: text.as_bytes() })
    }

    /// # Panics
    /// Without an answer, or when it is an error.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        self.expect("GET", path, None)
    }

    /// # Panics
    /// Without an answer, or when it is an error.
    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Value {
        self.expect("POST", path, Some(body))
    }

    /// # Panics
    /// Without an answer, or when it is an error.
    #[track_caller]
    pub fn delete(&self, path: &str) -> Value {
        self.expect("DELETE", path, None)
    }

    #[track_caller]
    fn expect(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        match self.call(method, path, body) {
            Ok(answer) if answer.status < 400 => answer.json(),
            Ok(answer) => panic!("{}: {method} {path}: {} {}", self.name, answer.status, answer.text()),
            Err(error) => panic!("{}: {method} {path}: {error}", self.name),
        }
    }

    /// What a container has printed, stdout and stderr in their order.
    pub fn container_log(&self, id: &str) -> String {
        let path = format!("/containers/{id}/logs?stdout=1&stderr=1");
        let Ok(answer) = self.call("GET", &path, None) else { return String::new() };
        // Frames: one byte for the stream, three of padding, four for the length.
        let mut text = Vec::new();
        let mut rest = answer.body.as_slice();
        while let Some((head, tail)) = rest.split_first_chunk::<8>() {
            let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
            let length = length.min(tail.len());
            text.extend_from_slice(&tail[..length]);
            rest = &tail[length..];
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Its ID in the Swarm.
    pub fn id(&self) -> String {
        self.get("/info")["Swarm"]["NodeID"].as_str().unwrap_or_default().to_owned()
    }

    /// Pulls an image that needs no password, as `docker pull` does.
    pub fn pull(&self, image: &str) {
        let (name, tag) = image.rsplit_once(':').expect("repository:tag");
        let path = format!("/images/create?fromImage={}&tag={tag}", super::http::percent_encode(name));
        let answer = self.call("POST", &path, None).expect("the daemon is there");
        let text = answer.text();
        assert!(answer.status == 200 && !text.contains("errorDetail"), "pull {image}: {text}");
    }

    // --- faults ---

    /// Until the daemon answers, and, where it is in a Swarm, is active in it.
    pub fn ready(&self) {
        wait_until(Duration::from_secs(60), &format!("dockerd of {} answers", self.name), || {
            let answer = self.call("GET", "/info", None).map_err(|e| format!("{e}\n{}", self.log_tail()))?;
            let info = answer.json();
            match info["Swarm"]["LocalNodeState"].as_str() {
                Some("active" | "inactive") => Ok(()),
                _ => Err(answer.text()),
            }
        });
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    /// Ends dockerd as `systemctl stop docker` does: its containers end too.
    pub fn stop(&self) {
        self.control.run(&format!("node_down {} TERM", self.name));
    }

    /// `kill -9` of dockerd: its containers run on without it.
    pub fn kill9(&self) {
        self.control.run(&format!("node_down {} KILL", self.name));
    }

    /// The whole host loses power: dockerd and all its containers end at once.
    pub fn crash(&self) {
        self.control.run(&format!("node_crash {}", self.name));
    }

    /// Starts dockerd again after [`Node::stop`], [`Node::kill9`] or [`Node::crash`], and waits until it answers.
    pub fn start_again(&self) {
        self.control.run(&format!("node_up {}{}", self.name, self.options));
        self.ready();
    }

    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Pulls its network cable.
    pub fn cut_off(&self) {
        self.control.run(&format!("ip -n sw link set v{} down", self.name));
    }

    /// Plugs the cable in again.
    pub fn reconnect(&self) {
        self.control.run(&format!("ip -n sw link set v{} up", self.name));
    }

    // --- Swarm ---

    pub(super) fn init_swarm(&self, heartbeat: Option<Duration>) {
        let mut spec = json!({});
        if let Some(heartbeat) = heartbeat {
            spec["Dispatcher"] = json!({"HeartbeatPeriod": heartbeat.as_nanos() as u64});
        }
        let address = format!("{}:2377", self.address);
        self.post("/swarm/init", &json!({"ListenAddr": address, "AdvertiseAddr": address, "Spec": spec}));
    }

    pub(super) fn join_swarm(&self, first: &Node, token: &str) {
        let address = format!("{}:2377", self.address);
        let remote = format!("{}:2377", first.address);
        let body = json!({
            "ListenAddr": address, "AdvertiseAddr": address, "RemoteAddrs": [remote], "JoinToken": token
        });
        self.post("/swarm/join", &body);
    }
}
