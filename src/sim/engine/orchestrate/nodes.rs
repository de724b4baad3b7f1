//! Nodes that come, go and change.

use std::collections::BTreeMap;

use super::spec::{self, Mode, text};
use super::timing::after;
use super::work::Alarm;
use super::{Pass, constraint};
use crate::sim::engine::state::{Event, Node, TaskState};

/// Ready, and not paused or drained.
pub(super) fn takes_tasks(node: &Node) -> bool {
    node.up && !drained(node) && !paused(node)
}

/// Its tasks have to go elsewhere.
pub(super) fn invalid(node: &Node) -> bool {
    !node.up || drained(node)
}

pub(super) fn drained(node: &Node) -> bool {
    text(&node.object.spec, "Availability") == "drain"
}

pub(super) fn paused(node: &Node) -> bool {
    text(&node.object.spec, "Availability") == "pause"
}

impl Pass<'_> {
    /// A node was touched.
    pub(super) fn node_changed(&mut self, id: &str) {
        self.hear(id);
        self.schedule_soon();
        let Some(node) = self.state.nodes.get(id) else {
            self.node_removed(id);
            return;
        };
        let (is_invalid, is_paused, down) = (invalid(node), paused(node), !node.up);
        let tasks = self.state.work.tasks_on(id);
        if down {
            for task in &tasks {
                self.release(task);
            }
        }
        if is_invalid {
            self.leave(&tasks);
        } else if !is_paused {
            self.enforce_constraints(id);
            for service in self.state.work.global.clone() {
                match self.state.services.get(&service).map(Mode::of) {
                    Some(Mode::Global) => self.reconcile_global_on(&service, id),
                    _ => self.state.work.touch_service(&service),
                }
            }
        }
        for task in tasks {
            self.tell_node(&task);
        }
    }

    /// Whether it is up follows from how long it was not heard of.
    fn hear(&mut self, id: &str) {
        let Some(node) = self.state.nodes.get(id) else { return };
        let alarm = Alarm::Node(id.to_owned());
        match node.lost {
            None if !node.up => self.set_up(id, true),
            Some(lost) if node.up => {
                let at = after(lost, self.timing.heartbeat);
                if at > self.now {
                    self.state.work.alarm(at, alarm);
                } else {
                    self.set_up(id, false);
                    self.state.work.alarm(after(at, self.timing.orphan), alarm);
                }
            }
            _ => {}
        }
    }

    pub(super) fn node_due(&mut self, id: &str) {
        let Some(node) = self.state.nodes.get(id) else { return };
        let Some(lost) = node.lost else { return };
        if node.up {
            self.node_changed(id);
        } else if after(after(lost, self.timing.heartbeat), self.timing.orphan) <= self.now {
            for task in self.state.work.tasks_on(id) {
                let Some(found) = self.state.tasks.get(&task) else { continue };
                if (TaskState::Assigned..=TaskState::Running).contains(&found.state) {
                    let message = found.message.clone();
                    self.status(&task, TaskState::Orphaned, &message, None);
                }
            }
        }
    }

    fn set_up(&mut self, id: &str, up: bool) {
        let index = self.state.next_index();
        let Some(node) = self.state.nodes.get_mut(id) else { return };
        node.up = up;
        node.object.index = index;
        node.object.updated = self.now;
        let (old, new) = if up { ("down", "ready") } else { ("ready", "down") };
        let attributes = BTreeMap::from([
            ("name".to_owned(), node.hostname.clone()),
            ("state.old".to_owned(), old.to_owned()),
            ("state.new".to_owned(), new.to_owned()),
        ]);
        let event = Event { kind: "node", action: "update", id: id.to_owned(), attributes, time: self.now };
        self.state.events.push(event);
    }

    /// The tasks of a node that is down or drained.
    fn leave(&mut self, tasks: &[String]) {
        for id in tasks {
            let Some(task) = self.state.tasks.get(id) else { continue };
            let mode = self.state.services.get(&task.service).map(Mode::of);
            match mode {
                Some(Mode::Replicated { .. }) if task.desired <= TaskState::Running => self.restart(id),
                Some(Mode::Global) => self.desire(id, TaskState::Shutdown),
                Some(Mode::GlobalJob) if task.state <= TaskState::Running => {
                    self.desire(id, TaskState::Shutdown);
                }
                _ => {}
            }
        }
    }

    fn node_removed(&mut self, id: &str) {
        for task in self.state.work.tasks_on(id) {
            let Some(found) = self.state.tasks.get(&task) else { continue };
            let mode = self.state.services.get(&found.service).map(Mode::of);
            if found.state <= TaskState::Running {
                let message = "Task belonged to a node that has been deleted";
                self.status(&task, TaskState::Orphaned, message, None);
            }
            if mode == Some(Mode::Global) {
                self.remove_task(&task);
            }
        }
        self.state.work.used.remove(id);
    }

    /// Tasks that may no longer be where they are are rejected.
    fn enforce_constraints(&mut self, id: &str) {
        let Some(node) = self.state.nodes.get(id) else { return };
        let misplaced: Vec<String> = self
            .state
            .work
            .tasks_on(id)
            .into_iter()
            .filter(|task| {
                self.state.tasks.get(task).is_some_and(|task| {
                    (TaskState::Assigned..=TaskState::Running).contains(&task.desired)
                        && task.state <= TaskState::Running
                        && !constraint::matches(&spec::constraints(&task.object.spec), node)
                })
            })
            .collect();
        for task in misplaced {
            let error = "assigned node no longer meets constraints";
            self.status(&task, TaskState::Rejected, "task rejected by constraint enforcer", Some(error));
        }
    }
}
