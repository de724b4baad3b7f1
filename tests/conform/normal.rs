//! Makes answers of two Swarms comparable: what is random, a time or an address there becomes a name.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Digits of a Swarm ID.
const ID_CHARS: usize = 25;
/// Ports from here up are chosen by the Swarm.
const DYNAMIC_PORT: u64 = 30_000;

/// Names by what they stand for, in order of appearance.
#[derive(Default)]
pub struct Normal {
    names: BTreeMap<String, String>,
    unnamed: usize,
    /// Every version index that was seen.
    indices: BTreeSet<u64>,
}

/// Stands for a version index until all are known.
const INDEX: &str = "\u{1}index ";

impl Normal {
    /// `text`, wherever it stands, is called `name`.
    pub fn name(&mut self, text: &str, name: String) {
        if !text.is_empty() {
            self.names.insert(text.to_owned(), name);
        }
    }

    pub fn value(&mut self, value: Value) -> Value {
        self.at("", value)
    }

    fn at(&mut self, key: &str, value: Value) -> Value {
        match (key, value) {
            ("Index", Value::Number(index)) => {
                let index = index.as_u64().unwrap_or_default();
                self.indices.insert(index);
                Value::String(format!("{INDEX}{index}"))
            }
            ("PID" | "NodePort" | "SystemTime" | "time" | "timeNano", Value::Number(_)) => "<number>".into(),
            ("PublishedPort", Value::Number(port)) if port.as_u64() >= Some(DYNAMIC_PORT) => "<port>".into(),
            ("Addr" | "Subnet" | "Gateway" | "IPRange" | "NodeAddr", Value::String(text))
                if !text.is_empty() =>
            {
                "<address>".into()
            }
            ("Addresses", Value::Array(all)) => all.iter().map(|_| Value::from("<address>")).collect(),
            ("com.docker.network.driver.overlay.vxlanid_list", Value::String(_)) => "<vxlan>".into(),
            ("Name" | "name", Value::String(text)) if is_random_name(&text) => "<random name>".into(),
            (_, Value::String(text)) => Value::String(self.text(&text)),
            (_, Value::Array(all)) => all.into_iter().map(|one| self.at("", one)).collect(),
            (_, Value::Object(all)) => {
                let mut out = Map::new();
                for (key, value) in all {
                    let value = self.at(&key, value);
                    out.insert(self.text(&key), value);
                }
                Value::Object(out)
            }
            (_, other) => other,
        }
    }

    /// Replaces whole words: IDs, digests, times, addresses, and what was named.
    pub fn text(&mut self, text: &str) -> String {
        if is_time(text) {
            return if text.starts_with("0001-") { text.to_owned() } else { "<time>".to_owned() };
        }
        let mut out = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            let word = |c: char| c.is_ascii_alphanumeric();
            let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
            if length == 0 {
                let next = rest.chars().next().map_or(1, char::len_utf8);
                out += &rest[..next];
                rest = &rest[next..];
                continue;
            }
            let (token, tail) = rest.split_at(length);
            if let Some(hex) = token.eq("sha256").then(|| tail.get(1..65)).flatten().filter(|hex| is_hex(hex))
            {
                out += &self.named(&format!("sha256:{hex}"), "digest");
                rest = &tail[65..];
                continue;
            }
            out += &self.token(token);
            rest = tail;
        }
        sorted_users(&addresses(&out))
    }

    fn token(&mut self, token: &str) -> String {
        if let Some(name) = self.names.get(token) {
            return name.clone();
        }
        let base36 = |c: char| c.is_ascii_digit() || c.is_ascii_lowercase();
        if token.len() == ID_CHARS
            && token.chars().all(base36)
            && token.contains(|c: char| c.is_ascii_digit())
        {
            return self.named(token, "id");
        }
        if token.len() == 64 && is_hex(token) {
            return "<hex>".to_owned();
        }
        token.to_owned()
    }

    fn named(&mut self, text: &str, kind: &str) -> String {
        if let Some(name) = self.names.get(text) {
            return name.clone();
        }
        self.unnamed += 1;
        let name = format!("<{kind} {}>", self.unnamed);
        self.names.insert(text.to_owned(), name.clone());
        name
    }

    /// Version indices become their rank among all that were seen.
    pub fn rank(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(index) = text.strip_prefix(INDEX).and_then(|index| index.parse::<u64>().ok()) {
                    *text = format!("<index {}>", self.indices.range(..index).count() + 1);
                }
            }
            Value::Array(all) => all.iter_mut().for_each(|one| self.rank(one)),
            Value::Object(all) => all.values_mut().for_each(|one| self.rank(one)),
            _ => {}
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// `intelligent_satoshi`, and the embedded engine's `unnamed_7`: given to what was made without a name. Names of
/// sequences begin otherwise.
fn is_random_name(text: &str) -> bool {
    if text.strip_prefix("unnamed_").is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit())) {
        return true;
    }
    let word = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    text.split_once('_').is_some_and(|(left, right)| word(left) && word(right)) && text != "docker_gwbridge"
}

fn is_time(text: &str) -> bool {
    let shape = text.as_bytes().first_chunk::<11>().map(|head| (head[4], head[7], head[10]));
    shape == Some((b'-', b'-', b'T')) && text.parse::<jiff::Timestamp>().is_ok()
}

/// `… is in use by the following services: b, a`: in the order of their IDs.
fn sorted_users(text: &str) -> String {
    let Some((what, users)) = text.split_once("by the following services: ") else { return text.to_owned() };
    let mut users: Vec<&str> = users.split(", ").collect();
    users.sort_unstable();
    format!("{what}by the following services: {}", users.join(", "))
}

/// IPv4 addresses with their ports, but for the registry's, which stands in image names.
fn addresses(text: &str) -> String {
    let mut out = String::new();
    for (number, word) in text.split(' ').enumerate() {
        if number > 0 {
            out.push(' ');
        }
        let host = word.split([':', '/', '-']).next().unwrap_or_default();
        let is_address =
            host.parse::<std::net::Ipv4Addr>().is_ok() && host != "192.168.77.2" && host != "0.0.0.0";
        out += if is_address { "<address>" } else { word };
    }
    out
}
