//! Plays a sequence on a target, and writes down what it answered.

mod events;
mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::bed::http::Answer;
use crate::normal::Normal;
use crate::op::{Call, Does, Op, Sequence, To, placeholder};
use crate::outcome;
use crate::target::{Ask, Target};

/// Where the registry is, in the names of images, on both sides.
pub const REGISTRY: &str = "192.168.77.2:5000";
/// How often what is still used is asked to go, every tenth of a second.
const CLEAR_TRIES: usize = 50;
/// Between two looks at something that the Swarm fills in by itself.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 100;
const LOOKS_AGREED: usize = 3;

/// One operation and its outcome, comparable with the other side's.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As the sequence has it, without values: `POST /services/create`.
    pub call: String,
    /// With the body, for people.
    pub shown: String,
    pub status: u16,
    pub headers: Map<String, Value>,
    pub body: Value,
}

impl Entry {
    pub fn as_json(&self) -> Value {
        json!({"status": self.status, "headers": self.headers, "body": self.body})
    }
}

/// Plays all of it and clears away what it made.
pub fn play(target: &dyn Target, sequence: &Sequence, prefix: &str) -> Vec<Entry> {
    let mut player = Player::new(target, prefix);
    player.begin();
    for op in &sequence.ops {
        player.step(op);
    }
    player.clear_away();
    let mut entries = player.entries;
    for entry in &mut entries {
        player.normal.rank(&mut entry.body);
    }
    entries
}

/// An object that the sequence made.
#[derive(Clone)]
struct Bound {
    /// `/v1.41/services`.
    kind: String,
    id: String,
}

pub struct Player<'a> {
    pub target: &'a dyn Target,
    prefix: String,
    bound: BTreeMap<String, Bound>,
    /// What `{index:KEY}` last was.
    used: BTreeMap<String, u64>,
    digests: BTreeMap<String, String>,
    /// Everything that was created, also what a sequence did not bind.
    made: Vec<Bound>,
    normal: Normal,
    /// Something here has addresses, so that the Swarm writes to it after the answer.
    allocates: bool,
    /// `APP:TAG` of images whose containers end by themselves.
    ending: BTreeSet<String>,
    /// The image that each service was last told to run, by its name.
    told: BTreeMap<String, String>,
    /// Tasks ran.
    settled: bool,
    /// Host names by node ID.
    hosts: BTreeMap<String, String>,
    entries: Vec<Entry>,
    /// Of this and later moments, events were not read yet.
    events_since: Timestamp,
    /// By time and content, so that none counts twice.
    events: BTreeMap<(u64, String), Value>,
}

impl<'a> Player<'a> {
    fn new(target: &'a dyn Target, prefix: &str) -> Self {
        Self {
            target,
            prefix: prefix.to_owned(),
            bound: BTreeMap::new(),
            used: BTreeMap::new(),
            digests: BTreeMap::new(),
            made: Vec::new(),
            normal: Normal::default(),
            allocates: false,
            ending: BTreeSet::new(),
            told: BTreeMap::new(),
            settled: false,
            hosts: BTreeMap::new(),
            entries: Vec::new(),
            events_since: target.now(),
            events: BTreeMap::new(),
        }
    }

    fn begin(&mut self) {
        for node in self.engine("GET", "/v1.41/nodes").as_array().into_iter().flatten() {
            let text = |pointer: &str| node.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (id, host) = (text("/ID").to_owned(), text("/Description/Hostname").to_owned());
            self.bound.insert(host.clone(), Bound { kind: "/v1.41/nodes".into(), id: id.clone() });
            self.normal.name(&id, format!("<node {host}>"));
            self.hosts.insert(id, host);
        }
    }

    /// Asks for something that is not part of the record.
    pub fn engine(&self, method: &str, path: &str) -> Value {
        let answer = self.target.ask(Ask { to: To::Engine, method, path, headers: &[], body: b"" });
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    fn step(&mut self, op: &Op) {
        match op {
            Op::Call(call) => self.call(call),
            Op::Push { app, tag, says, does } => {
                let repository = self.repository(app);
                let digest = self.target.push(&repository, tag, says, *does);
                self.normal.name(&digest, format!("<digest {app}:{says}>"));
                self.digests.insert(format!("{app}:{tag}"), digest);
                if matches!(does, Does::Fails | Does::Crashes | Does::Finishes) {
                    self.ending.insert(format!("{}{app}:{tag}", self.prefix));
                }
            }
            Op::DeleteTag { app, tag } => self.target.delete_tag(&self.repository(app), tag),
            Op::Settle => {
                self.settled = true;
                let outcome = outcome::settle(self);
                let outcome = self.normal.value(outcome);
                self.entries.push(Entry {
                    call: "settle".into(),
                    shown: "settle".into(),
                    status: 0,
                    headers: Map::new(),
                    body: outcome,
                });
            }
            Op::Events => self.events(),
        }
    }

    fn repository(&self, app: &str) -> String {
        format!("conform/{}{app}", self.prefix)
    }

    /// Whether containers of an image end by themselves.
    pub fn ends(&self, image: &str) -> bool {
        let tagged = image.split('@').next().unwrap_or_default();
        tagged.rsplit('/').next().is_some_and(|name| self.ending.contains(name))
    }

    /// Whether a service was last told to run this image.
    pub fn is_told(&self, service: &str, image: &str) -> bool {
        self.told.get(service).is_some_and(|told| told == image)
    }

    /// A node's host name.
    pub fn host(&self, id: &str) -> Option<&str> {
        self.hosts.get(id).map(String::as_str)
    }

    /// The IDs of all services that were made, in order.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.made.iter().filter(|made| made.kind.ends_with("/services")).map(|made| made.id.as_str())
    }

    // --- calls ---

    fn call(&mut self, call: &Call) {
        let template =
            call.body.as_ref().map(Value::to_string).or_else(|| call.raw.clone()).unwrap_or_default();
        let path = self.fill(&call.path);
        let body = self.fill(&template);
        let filled: Vec<(&str, String)> =
            call.headers.iter().map(|(name, value)| (*name, self.fill(value))).collect();
        let mut headers: Vec<(&str, &str)> =
            filled.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if call.body.is_some() && !headers.iter().any(|(name, _)| *name == "Content-Type") {
            headers.push(("Content-Type", "application/json"));
        }
        let ask =
            Ask { to: call.to, method: call.method, path: &path, headers: &headers, body: body.as_bytes() };
        let answer = self.target.ask(ask);
        self.remember(call, &answer);
        if answer.status < 400 && call.path.contains("/services/") {
            self.remember_image(&body);
        }
        if answer.status < 400 && call.method == "POST" && call.to == To::Engine {
            self.let_allocate(call, &template);
        }
        let shown = format!("{} {} {}", call.method, call.path, shorten(&template));
        self.record(call, shown, &answer);
    }

    /// Gives an object that was made its name.
    fn remember(&mut self, call: &Call, answer: &Answer) {
        let Some(kind) = call.path.strip_suffix("/create").filter(|_| call.to == To::Engine) else { return };
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        let id = body.get("ID").or_else(|| body.get("Id")).and_then(Value::as_str);
        let Some(id) = id.filter(|_| answer.status < 400) else { return };
        let bound = Bound { kind: kind.to_owned(), id: id.to_owned() };
        self.made.push(bound.clone());
        let key = call.bind.map_or_else(|| format!("unnamed {}", self.made.len()), str::to_owned);
        self.normal.name(id, format!("<{key}>"));
        self.bound.insert(key, bound);
    }

    fn remember_image(&mut self, body: &str) {
        let spec: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let image = spec["TaskTemplate"]["ContainerSpec"]["Image"].as_str();
        if let Some((name, image)) = spec["Name"].as_str().zip(image) {
            self.told.insert(name.to_owned(), image.to_owned());
        }
    }

    /// The allocator gives addresses and ports after the answer, and an updater without tasks is done after it: until
    /// looks agree and nothing rolls back.
    fn let_allocate(&mut self, call: &Call, body: &str) {
        let asks = ["\"EndpointSpec\"", "\"Networks\""].iter().any(|field| body.contains(field));
        self.allocates |= asks || call.path.starts_with("/v1.41/networks");
        if !self.allocates && !call.path.contains("rollback=") {
            return;
        }
        let look = || -> Vec<Value> {
            self.made.iter().map(|made| self.engine("GET", &format!("{}/{}", made.kind, made.id))).collect()
        };
        let (mut before, mut agreed) = (look(), 0);
        for _ in 0..LOOKS_MAX {
            self.target.pause(LOOK);
            let now = look();
            let rolling = |object: &Value| object["UpdateStatus"]["State"] == "rollback_started";
            agreed = if now == before && !now.iter().any(rolling) { agreed + 1 } else { 0 };
            if agreed == LOOKS_AGREED {
                return;
            }
            before = now;
        }
    }

    // --- placeholders ---

    fn fill(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            out += &rest[..at];
            rest = &rest[at..];
            match placeholder(rest) {
                Some(found) => {
                    let value = self.lookup(&found[1..found.len() - 1]);
                    // A whole object takes the place of the string that holds it.
                    let quoted = found.starts_with("{spec:") && out.ends_with('"');
                    if quoted {
                        out.pop();
                    }
                    out += &value;
                    rest = &rest[found.len() + usize::from(quoted)..];
                }
                None => {
                    out.push('{');
                    rest = &rest[1..];
                }
            }
        }
        out + rest
    }

    fn lookup(&mut self, what: &str) -> String {
        let (what, key) = what.split_once(':').unwrap_or((what, ""));
        match what {
            "p" => self.prefix.clone(),
            "repo" => format!("{REGISTRY}/conform/{}", self.prefix),
            "name" => format!("conform/{}", self.prefix),
            "digest" => self.digests.get(key).cloned().unwrap_or_else(|| panic!("{key} was not pushed")),
            "id" => self.bound.get(key).map_or_else(|| "0".repeat(25), |bound| bound.id.clone()),
            "index" => {
                let index = self.current(key)["Version"]["Index"].as_u64().unwrap_or_default();
                self.used.insert(key.to_owned(), index);
                index.to_string()
            }
            "stale" => self.used.get(key).copied().unwrap_or_default().to_string(),
            "spec" => self.current(key)["Spec"].to_string(),
            _ => panic!("no such placeholder: {what}"),
        }
    }

    fn current(&self, key: &str) -> Value {
        let Some(bound) = self.bound.get(key) else { return Value::Null };
        self.engine("GET", &format!("{}/{}", bound.kind, bound.id))
    }

    /// Removes everything that the sequence made, services first: they hold the rest.
    fn clear_away(&mut self) {
        self.made.sort_by_key(|made| !made.kind.ends_with("/services"));
        for made in &self.made {
            let path = format!("{}/{}", made.kind, made.id);
            for _ in 0..CLEAR_TRIES {
                let ask = Ask { to: To::Engine, method: "DELETE", path: &path, headers: &[], body: b"" };
                // What tasks still use cannot go yet.
                if matches!(self.target.ask(ask).status, 200..=299 | 404) {
                    break;
                }
                self.target.pause(Duration::from_millis(100));
            }
        }
    }
}

fn shorten(text: &str) -> String {
    const CHARS_MAX: usize = 600;
    let short: String = text.chars().take(CHARS_MAX).collect();
    if short.len() < text.len() { short + "…" } else { short }
}
