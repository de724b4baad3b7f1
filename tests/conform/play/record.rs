//! Writes down what a target answered, without what chance decides.

use serde_json::{Map, Value};

use super::{Entry, Player};
use crate::bed::http::Answer;
use crate::op::{Call, To};

/// What of an answer's headers is compared.
const HEADERS: [&str; 8] = [
    "api-version",
    "content-type",
    "docker-content-digest",
    "docker-distribution-api-version",
    "docker-experimental",
    "link",
    "location",
    "www-authenticate",
];

impl Player<'_> {
    pub(super) fn record(&mut self, call: &Call, shown: String, answer: &Answer) {
        let mut headers = Map::new();
        for name in HEADERS {
            if let Some(value) = answer.header(name) {
                let value = self.normal.text(value);
                headers.insert(name.to_owned(), upload(&value).into());
            }
        }
        let body = match serde_json::from_slice::<Value>(&answer.body) {
            Ok(body) => body,
            Err(_) => Value::String(String::from_utf8_lossy(&answer.body).trim_end().to_owned()),
        };
        let body = self.ours(call, body);
        let mut body = self.normal.value(body);
        if call.path.starts_with("/v1.41/tasks") {
            forget_chance(&mut body);
        }
        self.entries.push(Entry {
            call: format!("{} {}", call.method, call.path.split('?').next().unwrap_or_default()),
            shown,
            status: answer.status,
            headers,
            body,
        });
    }

    /// Of a list, what belongs to this sequence, in an order that does not depend on IDs.
    fn ours(&self, call: &Call, body: Value) -> Value {
        if call.to == To::Registry {
            return sorted_tags(body);
        }
        let Value::Array(mut all) = body else { return body };
        let text =
            |item: &Value, pointer: &str| item.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let name = |item: &Value| {
            let pointers = ["/Spec/Name", "/Name", "/Description/Hostname"];
            pointers.iter().find_map(|pointer| text(item, pointer)).unwrap_or_default()
        };
        let path = call.path.trim_start_matches("/v1.41");
        if path.starts_with("/tasks") {
            all.retain(|task| self.services().any(|id| task["ServiceID"] == id));
        } else if !path.starts_with("/nodes") {
            all.retain(|item| name(item).starts_with(&self.prefix));
        }
        all.sort_by_key(|item| (name(item), item["Slot"].as_u64(), text(item, "/CreatedAt")));
        Value::Array(all)
    }
}

/// Of tasks: whose moved first, and which node each is on.
fn forget_chance(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(forget_chance),
        Value::Object(all) => {
            all.shift_remove("Index");
            all.shift_remove("NodeID");
            all.values_mut().for_each(forget_chance);
        }
        _ => {}
    }
}

/// docker-registry 2.8.2 lists tags as its file system does.
fn sorted_tags(mut body: Value) -> Value {
    if let Some(tags) = body.get_mut("tags").and_then(Value::as_array_mut) {
        tags.sort_by_key(Value::to_string);
    }
    body
}

/// An upload's place is random.
fn upload(value: &str) -> String {
    match value.split_once("/blobs/uploads/") {
        Some((start, _)) => format!("{start}/blobs/uploads/<upload>"),
        None => value.to_owned(),
    }
}
