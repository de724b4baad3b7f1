//! What the orchestrator has to look at, so that it need not look at everything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;

use super::restart::{Delay, Restarts};
use super::update::Updater;
use super::used::Used;

/// What changed and has not been looked at, what is due when, and indexes over the tasks.
#[derive(Clone, Debug, Default)]
pub struct Work {
    /// To be reconciled.
    pub(super) services: BTreeSet<String>,
    pub(super) nodes: BTreeSet<String>,
    /// Tasks whose state or desired state changed, in order.
    pub(super) changed: VecDeque<String>,
    /// To be called again.
    pub(super) alarms: BTreeSet<(Timestamp, Alarm)>,
    pub(super) of_service: BTreeMap<String, BTreeSet<String>>,
    pub(super) on_node: BTreeMap<String, BTreeSet<String>>,
    pub(super) used: BTreeMap<String, Used>,
    /// Tasks that wait for a node, or for their node to be fit.
    pub(super) pending: BTreeSet<String>,
    /// When the scheduler looks at them next.
    pub(super) schedule: Option<Timestamp>,
    /// Tasks that wait to be let run, and for which tasks they wait.
    pub(super) delays: BTreeMap<String, Delay>,
    pub(super) awaited: BTreeMap<String, BTreeSet<String>>,
    /// Rolling updates, by service.
    pub(super) updaters: BTreeMap<String, Updater>,
    pub(super) restarts: BTreeMap<String, Restarts>,
    /// Slots that may have too many old tasks, and tasks that can go.
    pub(super) crowded: BTreeSet<(String, Place)>,
    pub(super) finished: BTreeSet<String>,
    pub(super) reap: Option<Timestamp>,
    /// Global services and jobs: those that every change of a node concerns.
    pub(super) global: BTreeSet<String>,
}

/// What an alarm is for. What it finds done already it leaves alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    Node(String),
    Task(String),
    Schedule,
    Delay(String),
    Update(String),
    Reap,
}

/// Where one task of a service should be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Slot(u64),
    Node(String),
}

impl Work {
    pub fn touch_service(&mut self, id: &str) {
        self.services.insert(id.to_owned());
    }

    pub fn touch_node(&mut self, id: &str) {
        self.nodes.insert(id.to_owned());
    }

    pub(super) fn alarm(&mut self, at: Timestamp, alarm: Alarm) {
        self.alarms.insert((at, alarm));
    }

    /// Takes the first alarm that is due.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Alarm> {
        if self.alarms.first()?.0 > now {
            return None;
        }
        self.alarms.pop_first().map(|(_, alarm)| alarm)
    }

    /// When the first alarm is due.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _)| *at)
    }

    pub(super) fn tasks_of(&self, service: &str) -> Vec<String> {
        self.of_service.get(service).map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
    }

    pub(super) fn tasks_on(&self, node: &str) -> Vec<String> {
        self.on_node.get(node).map(|ids| ids.iter().cloned().collect()).unwrap_or_default()
    }
}

/// Removes `value` from the set of `key`, and the set when it is empty.
pub(super) fn unlink(index: &mut BTreeMap<String, BTreeSet<String>>, key: &str, value: &str) {
    if let Some(set) = index.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            index.remove(key);
        }
    }
}
