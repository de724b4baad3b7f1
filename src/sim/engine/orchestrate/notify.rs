//! Events of changed services.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::Value;

use super::spec::{self, Mode};
use crate::sim::engine::state::{Event, Service};

/// What `/events` says of a changed service.
pub fn service_updated(old: &Service, new: &Service, now: Timestamp) -> Event {
    let mut attributes = BTreeMap::from([("name".to_owned(), new.name().to_owned())]);
    let image = |service: &Service| -> String {
        let template = service.object.spec.get("TaskTemplate").unwrap_or(&Value::Null);
        spec::image(template).to_owned()
    };
    let mut changed = |what: &str, old: Option<String>, new: String| {
        if old.as_ref() == Some(&new) {
            return;
        }
        if let Some(old) = old {
            attributes.insert(format!("{what}.old"), old);
        }
        attributes.insert(format!("{what}.new"), new);
    };
    changed("image", Some(image(old)), image(new));
    if let (Mode::Replicated { replicas: before }, Mode::Replicated { replicas: after }) =
        (Mode::of(old), Mode::of(new))
    {
        changed("replicas", Some(before.to_string()), after.to_string());
    }
    if let Some(update) = &new.update {
        let before = old.update.as_ref().map(|update| update.state.to_owned());
        changed("updatestate", before, update.state.to_owned());
    }
    Event { kind: "service", action: "update", id: new.object.id.clone(), attributes, time: now }
}
