//! Which tasks a global service should have: one on each node that is fit.

use std::collections::BTreeMap;

use super::spec::{constraints, template};
use super::update::Slot;
use super::work::Place;
use super::{Pass, constraint, nodes};
use crate::sim::engine::state::TaskState;

impl Pass<'_> {
    pub(super) fn reconcile_global(&mut self, id: &str) {
        let Some(service) = self.state.services.get(id) else { return };
        let wanted = constraints(&template(service));
        let mut by_node: BTreeMap<String, Slot> = BTreeMap::new();
        for task in self.state.work.tasks_of(id) {
            if let Some(node) = self.state.tasks.get(&task).and_then(|task| task.node.clone()) {
                by_node.entry(node).or_default().push(task);
            }
        }
        let mut updates = Vec::new();
        let valid: Vec<(String, bool, bool)> = self
            .state
            .nodes
            .values()
            .filter(|node| !nodes::invalid(node))
            .map(|node| (node.object.id.clone(), constraint::matches(&wanted, node), nodes::paused(node)))
            .collect();
        for (node, meets, paused) in valid {
            let there = by_node.remove(&node).unwrap_or_default();
            let there = self.updatable(id, &there);
            if !meets {
                self.shut_down(&there);
            } else if paused {
                // Nothing is added to it or updated on it.
            } else if there.is_empty() {
                self.create_task(id, &Place::Node(node), TaskState::Running);
            } else {
                updates.push(there);
            }
        }
        for tasks in by_node.into_values() {
            self.shut_down(&tasks);
        }
        if !updates.is_empty() {
            self.update(id, updates);
        }
    }

    /// A node is there (again), or otherwise. It is no rolling update.
    pub(super) fn reconcile_global_on(&mut self, id: &str, node: &str) {
        let (Some(service), Some(on)) = (self.state.services.get(id), self.state.nodes.get(node)) else {
            return;
        };
        if !constraint::matches(&constraints(&template(service)), on) {
            return;
        }
        let of_service = self.state.work.of_service.get(id).cloned().unwrap_or_default();
        let there: Slot =
            self.state.work.tasks_on(node).into_iter().filter(|id| of_service.contains(id)).collect();
        let there = self.updatable(id, &there);
        let Some(service) = self.state.services.get(id) else { return };
        let (mut dirty, clean): (Slot, Slot) =
            there.into_iter().partition(|task| self.task_is_dirty(service, task));
        if clean.is_empty() {
            self.create_task(id, &Place::Node(node.to_owned()), TaskState::Running);
        }
        dirty.extend(clean.into_iter().skip(1));
        self.shut_down(&dirty);
    }

    pub(super) fn shut_down(&mut self, tasks: &Slot) {
        for task in tasks {
            self.desire(task, TaskState::Shutdown);
        }
    }
}
