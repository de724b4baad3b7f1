//! What a sequence is made of: calls with placeholders, so that the same sequence runs on every target.
//!
//! In paths and bodies stand
//! - `{p}`: the sequence's own prefix of names;
//! - `{id:KEY}`: the ID that the call which was bound to KEY answered with;
//! - `{index:KEY}`: that object's version index, looked up just before the call;
//! - `{stale:KEY}`: the index that `{index:KEY}` last was;
//! - `{spec:KEY}` (as a whole JSON string): the object's spec as it is now;
//! - `{repo}`: what the names of the sequence's images begin with, `{repo}app:1.0.0`; `{name}`: the same without the host;
//! - `{digest:APP:TAG}`: of what [`push`] put there.

use serde_json::{Value, json};

/// What a container of an image does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Runs,
    /// Exits with status 1 at once.
    Fails,
    /// Exits with status 1 after a second.
    Crashes,
    /// Exits with status 0 at once.
    Finishes,
    /// Its health check passes.
    Healthy,
    /// Its health check never passes.
    Unhealthy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    Engine,
    Registry,
}

/// A request, with placeholders.
#[derive(Clone, Debug)]
pub struct Call {
    pub to: To,
    pub method: &'static str,
    /// With the API version, where one is to be in the path: none is added.
    pub path: String,
    pub body: Option<Value>,
    /// Sent as it is, in place of `body`.
    pub raw: Option<String>,
    pub headers: Vec<(&'static str, String)>,
    /// What the created object is called from now on.
    pub bind: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub enum Op {
    Call(Box<Call>),
    /// Pushes an image to `{repo}APP:TAG`; a tag that is there moves.
    Push {
        app: &'static str,
        tag: &'static str,
        says: String,
        does: Does,
    },
    /// The tag goes, its content stays.
    DeleteTag {
        app: &'static str,
        tag: &'static str,
    },
    /// Until nothing moves any more; then every service's tasks are compared: as a set, without their order.
    Settle,
    /// The swarm events of the sequence's objects since it began.
    Events,
}

/// A named list of operations.
#[derive(Clone, Debug)]
pub struct Sequence {
    pub name: String,
    pub ops: Vec<Op>,
}

impl Sequence {
    pub fn new(name: &str, ops: Vec<Op>) -> Self {
        Self { name: name.to_owned(), ops }
    }
}

impl Call {
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn named(mut self, key: &'static str) -> Self {
        self.bind = Some(key);
        self
    }
}

impl From<Call> for Op {
    fn from(call: Call) -> Self {
        Op::Call(Box::new(call))
    }
}

fn call(to: To, method: &'static str, path: &str, body: Option<Value>) -> Call {
    Call { to, method, path: path.to_owned(), body, raw: None, headers: Vec::new(), bind: None }
}

/// Engine API calls, at the version that skep asks for.
const V: &str = "/v1.41";

pub fn get(path: &str) -> Call {
    call(To::Engine, "GET", &format!("{V}{path}"), None)
}

pub fn post(path: &str, body: Value) -> Call {
    call(To::Engine, "POST", &format!("{V}{path}"), Some(body))
}

/// A body that need not be JSON.
pub fn post_raw(path: &str, body: &str) -> Call {
    Call { raw: Some(body.to_owned()), ..call(To::Engine, "POST", &format!("{V}{path}"), None) }
}

pub fn delete(path: &str) -> Call {
    call(To::Engine, "DELETE", &format!("{V}{path}"), None)
}

/// Without a version in the path, or with another.
pub fn bare(method: &'static str, path: &str) -> Call {
    call(To::Engine, method, path, None)
}

pub fn registry(method: &'static str, path: &str) -> Call {
    call(To::Registry, method, path, None)
}

pub fn registry_body(method: &'static str, path: &str, media: &str, body: &str) -> Call {
    let mut call = call(To::Registry, method, path, None);
    call.raw = Some(body.to_owned());
    call.header("Content-Type", media)
}

pub fn push(app: &'static str, tag: &'static str, does: Does) -> Op {
    Op::Push { app, tag, says: format!("{app} {tag}"), does }
}

/// Other content under the tag.
pub fn push_again(app: &'static str, tag: &'static str, does: Does) -> Op {
    Op::Push { app, tag, says: format!("{app} {tag} again"), does }
}

// --- services ---

/// Creates what is called `KEY` in the sequence and `{p}KEY` on the Swarm.
pub fn create(key: &'static str, spec: Value) -> Op {
    post("/services/create", spec).named(key).into()
}

pub fn inspect(key: &str) -> Op {
    get(&format!("/services/{{id:{key}}}")).into()
}

pub fn update(key: &str, spec: Value) -> Op {
    post(&format!("/services/{{id:{key}}}/update?version={{index:{key}}}"), spec).into()
}

pub fn update_stale(key: &str, spec: Value) -> Op {
    post(&format!("/services/{{id:{key}}}/update?version={{stale:{key}}}"), spec).into()
}

pub fn remove(key: &str) -> Op {
    delete(&format!("/services/{{id:{key}}}")).into()
}

/// A replicated service of no replicas.
pub fn service(name: &str) -> Value {
    json!({
        "Name": format!("{{p}}{name}"),
        "TaskTemplate": {"ContainerSpec": {"Image": "{repo}app:1.0.0"}},
        "Mode": {"Replicated": {"Replicas": 0}},
    })
}

/// `over` laid over `base`: objects merge, all else replaces; null removes.
pub fn with(mut base: Value, over: Value) -> Value {
    merge(&mut base, over);
    base
}

fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    base.shift_remove(&key);
                } else {
                    merge(base.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (base, over) => *base = over,
    }
}

/// A replicated service that runs, starts again quickly, and asks nothing to stop.
pub fn running(name: &str, image: &str, replicas: u64) -> Value {
    with(
        service(name),
        json!({
            "TaskTemplate": {
                "ContainerSpec": {"Image": image},
                "RestartPolicy": {"Condition": "none", "Delay": 100_000_000_u64},
            },
            "Mode": {"Replicated": {"Replicas": replicas}},
            "UpdateConfig": {"Monitor": 500_000_000},
        }),
    )
}

/// `?filters=…`, encoded; placeholders go in as they are.
pub fn filters(value: &Value) -> String {
    let text = value.to_string();
    // Braces and colons of placeholders must stay; everything else that a query cannot hold is encoded.
    let mut out = String::from("?filters=");
    let mut rest = text.as_str();
    while let Some(start) = rest.char_indices().find(|(at, _)| placeholder(&rest[*at..]).is_some()) {
        let length = placeholder(&rest[start.0..]).map_or(0, str::len);
        out += &crate::bed::http::percent_encode(&rest[..start.0]);
        out += &rest[start.0..start.0 + length];
        rest = &rest[start.0 + length..];
    }
    out + &crate::bed::http::percent_encode(rest)
}

/// The placeholder that a text begins with, braces included.
pub fn placeholder(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('{')?;
    if !inner.starts_with(|c: char| c.is_ascii_lowercase()) {
        return None;
    }
    let end = inner.find(['{', '}', '"', ' '])?;
    inner[end..].starts_with('}').then(|| &text[..end + 2])
}
