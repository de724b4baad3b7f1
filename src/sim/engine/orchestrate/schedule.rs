//! Places pending tasks on nodes.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Pass;
use super::fit::{Reason, explain, misfit};
use super::timing::after;
use super::used::Used;
use super::work::Alarm;
use crate::sim::engine::state::{Node, Task, TaskState};

static UNUSED: Used = Used::NOTHING;
const PENDING: &str = "pending task scheduling";

impl Pass<'_> {
    /// A task waits for a node.
    pub(super) fn enqueue(&mut self, id: &str) {
        self.status(id, TaskState::Pending, PENDING, None);
        self.state.work.pending.insert(id.to_owned());
        self.schedule_soon();
    }

    /// Something happened that may let a pending task be placed.
    pub(super) fn schedule_soon(&mut self) {
        let work = &mut self.state.work;
        if work.schedule.is_none() && !work.pending.is_empty() {
            let at = after(self.now, self.timing.schedule);
            work.schedule = Some(at);
            work.alarm(at, Alarm::Schedule);
        }
    }

    /// Places what can be placed, and says of the rest why not.
    pub(super) fn schedule(&mut self) {
        if self.state.work.schedule.is_none_or(|at| at > self.now) {
            return;
        }
        self.state.work.schedule = None;
        for id in self.in_order() {
            let Some(task) = self.state.tasks.get(&id) else {
                self.state.work.pending.remove(&id);
                continue;
            };
            match &task.node {
                Some(node) => {
                    let node = node.clone();
                    self.confirm(&id, &node);
                }
                None => self.assign(&id),
            }
        }
    }

    /// Pending tasks, the oldest first.
    fn in_order(&self) -> Vec<String> {
        let mut ids: Vec<&String> = self.state.work.pending.iter().collect();
        ids.sort_by_key(|id| self.state.tasks.get(*id).map(|task| (task.object.created, task.slot)));
        ids.into_iter().cloned().collect()
    }

    /// A task of a global service has its node already.
    fn confirm(&mut self, id: &str, node: &str) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let Some(there) = self.state.nodes.get(node) else {
            self.unplaced(id, "");
            return;
        };
        match misfit(task, there, self.used(node)) {
            Some(reason) => self.unplaced(id, &explain(&[reason])),
            None => self.assigned(id, node, "scheduler confirmed task can run on preassigned node"),
        }
    }

    fn assign(&mut self, id: &str) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let mut reasons: Vec<Reason> = Vec::new();
        let mut fit: Vec<&Node> = Vec::new();
        for node in self.state.nodes.values() {
            match misfit(task, node, self.used(&node.object.id)) {
                Some(reason) => reasons.push(reason),
                None => fit.push(node),
            }
        }
        let best = fit.into_iter().min_by_key(|node| {
            let here = self.used(&node.object.id);
            let alike =
                spread_over(task, node, &self.state.nodes, |id| self.used(id).active_of(&task.service));
            (alike, here.many_failures(task, self.now), here.active_of(&task.service), here.active)
        });
        match best.map(|node| node.object.id.clone()) {
            Some(node) => self.assigned(id, &node, "scheduler assigned task to node"),
            None => {
                let why = explain(&reasons);
                let error = match why.as_str() {
                    "" => "no suitable node".to_owned(),
                    why => format!("no suitable node ({why})"),
                };
                self.unplaced(id, &error);
            }
        }
    }

    fn used(&self, node: &str) -> &Used {
        self.state.work.used.get(node).unwrap_or(&UNUSED)
    }

    fn assigned(&mut self, id: &str, node: &str, message: &str) {
        self.state.work.pending.remove(id);
        self.place(id, node);
        self.status(id, TaskState::Assigned, message, None);
    }

    /// It stays pending, unless its service has gone on without it.
    fn unplaced(&mut self, id: &str, error: &str) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let outdated = self
            .state
            .services
            .get(&task.service)
            .is_some_and(|service| service.spec_index > task.spec_index);
        if task.desired > TaskState::Complete && outdated && task.node.is_none() {
            self.state.work.pending.remove(id);
            self.status(id, TaskState::Shutdown, PENDING, None);
        } else if task.error.as_deref() != Some(error) {
            self.status(id, TaskState::Pending, PENDING, Some(error));
        }
    }
}

/// `Placement.Preferences`: how many tasks there are already where the node's labels say the
/// same, level by level.
fn spread_over(
    task: &Task,
    node: &Node,
    nodes: &BTreeMap<String, Node>,
    count: impl Fn(&str) -> usize,
) -> Vec<usize> {
    let preferences = task.object.spec.pointer("/Placement/Preferences").and_then(Value::as_array);
    let labels: Vec<&str> = preferences
        .into_iter()
        .flatten()
        .filter_map(|preference| preference.pointer("/Spread/SpreadDescriptor")?.as_str())
        .filter_map(|descriptor| descriptor.strip_prefix("node.labels."))
        .collect();
    let values = |node: &Node| -> Vec<String> {
        let of = |label: &&str| {
            let value = node.object.spec.get("Labels").and_then(|labels| labels.get(*label));
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        labels.iter().map(of).collect()
    };
    let own = values(node);
    (1..=labels.len())
        .map(|depth| {
            let alike = nodes.values().filter(|other| values(other)[..depth] == own[..depth]);
            alike.map(|other| count(&other.object.id)).sum()
        })
        .collect()
}
