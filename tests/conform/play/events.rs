//! What a Swarm told of the sequence's objects.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::{Entry, Player};
use crate::op::To;
use crate::target::Ask;

/// Events come a little after what they tell of.
const LAST_EVENTS: Duration = Duration::from_millis(150);

impl Player<'_> {
    pub(super) fn events(&mut self) {
        self.read_events(LAST_EVENTS);
        let made = |event: &&Value| self.made.iter().any(|made| event["Actor"]["ID"] == made.id.as_str());
        // An updater that begins again writes its state once more: whether it does is chance.
        let says = |event: &&Value| {
            let attributes = event["Actor"]["Attributes"].as_object().map_or(0, Map::len);
            !self.settled || event["Action"] != "update" || attributes > 1
        };
        let ours: Vec<Value> = self.events.values().filter(made).filter(says).cloned().collect();
        let mut told: Vec<Value> = ours.into_iter().map(|event| self.normal.value(event)).collect();
        // Of different objects, which comes first is chance when one change follows the other closely.
        told.sort_by_key(|event| event["Actor"]["ID"].to_string());
        let body = told.into();
        let (call, shown) = ("events".to_owned(), "events".to_owned());
        self.entries.push(Entry { call, shown, status: 200, headers: Map::new(), body });
    }

    /// Reads what happened since it was read last, and `more` from now on. The engine keeps 256, of containers too:
    /// so do it often.
    pub fn read_events(&mut self, more: Duration) {
        let seconds = |time: Timestamp| {
            format!("{}.{:09}", time.as_second(), time.as_nanosecond().rem_euclid(1_000_000_000))
        };
        let now = self.target.now();
        let until = now + SignedDuration::try_from(more).unwrap_or_default();
        let (since, until) = (seconds(self.events_since), seconds(until));
        let path = format!("/v1.41/events?since={since}&until={until}");
        let answer =
            self.target.ask(Ask { to: To::Engine, method: "GET", path: &path, headers: &[], body: b"" });
        let text = answer.text();
        for event in serde_json::Deserializer::from_str(&text).into_iter::<Value>().filter_map(Result::ok) {
            if event["scope"] == "swarm" {
                let told = json!({"Type": event["Type"], "Action": event["Action"], "Actor": event["Actor"]});
                let time = event["timeNano"].as_u64().unwrap_or_default();
                self.events.insert((time, told.to_string()), told);
            }
        }
        // Those that were on their way come with the next look.
        self.events_since = now - SignedDuration::from_secs(1);
    }
}
