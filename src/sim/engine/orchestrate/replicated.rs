//! Which tasks a replicated service should have.

use std::collections::BTreeMap;

use super::Pass;
use super::update::Slot;
use super::work::Place;
use crate::sim::engine::state::TaskState;

impl Pass<'_> {
    pub(super) fn reconcile_replicated(&mut self, id: &str, replicas: u64) {
        let mut slots: BTreeMap<u64, Slot> = BTreeMap::new();
        for task in self.state.work.tasks_of(id) {
            if let Some(slot) = self.state.tasks.get(&task).and_then(|task| task.slot) {
                slots.entry(slot).or_default().push(task);
            }
        }
        let mut live: BTreeMap<u64, Slot> = BTreeMap::new();
        let mut dead: BTreeMap<u64, Slot> = BTreeMap::new();
        for (number, slot) in slots {
            let updatable = self.updatable(id, &slot);
            if updatable.is_empty() {
                dead.insert(number, slot);
            } else {
                live.insert(number, updatable);
            }
        }
        let have = u64::try_from(live.len()).unwrap_or(u64::MAX);
        if have < replicas {
            let missing: Vec<u64> =
                (1..).filter(|slot| !live.contains_key(slot)).take(count(replicas - have)).collect();
            self.update(id, live.into_values().collect());
            for slot in missing {
                dead.remove(&slot);
                self.create_task(id, &Place::Slot(slot), TaskState::Running);
            }
        } else {
            let mut kept = self.kept_first(live.into_values().collect());
            let surplus = kept.split_off(count(replicas).min(kept.len()));
            for task in surplus.into_iter().flatten() {
                self.desire(&task, TaskState::Remove);
            }
            self.update(id, kept);
        }
        // Of slots that are no longer there nothing is kept.
        for task in dead.into_values().flatten() {
            self.desire(&task, TaskState::Remove);
        }
    }

    /// The tasks of a slot that a rolling update replaces: those that should run, or the newest
    /// one if it ended for good.
    pub(super) fn updatable(&mut self, service: &str, slot: &Slot) -> Slot {
        let tasks = || slot.iter().filter_map(|id| self.state.tasks.get(id));
        let live = tasks().filter(|task| task.desired <= TaskState::Running);
        let live: Slot = live.map(|task| task.object.id.clone()).collect();
        let update = self.state.services.get(service).and_then(|service| service.update.as_ref());
        if !live.is_empty() || update.is_some_and(|update| update.state == "rollback_started") {
            return live;
        }
        // By when it was made: of a rolling update's two tasks the new one may end before the old one has stopped.
        // (Engines to 22 compare the times of two tasks wrongly, so that theirs is the last by ID: any of them.)
        let newest = tasks().max_by_key(|task| task.object.created).cloned();
        match newest {
            Some(task) if task.desired != TaskState::Remove && !self.should_restart(&task) => {
                vec![task.object.id]
            }
            _ => Vec::new(),
        }
    }

    /// In the order in which they are kept when there are too many: running ones first, spread
    /// over the nodes.
    fn kept_first(&self, mut slots: Vec<Slot>) -> Vec<Slot> {
        let running = |slot: &Slot| {
            let state = |id: &String| self.state.tasks.get(id).map(|task| task.state);
            slot.iter().any(|id| state(id) == Some(TaskState::Running))
        };
        slots.sort_by_key(|slot| !running(slot));
        let mut on_node: BTreeMap<String, usize> = BTreeMap::new();
        let mut numbered: Vec<(usize, Slot)> = Vec::new();
        for slot in slots {
            let only = if slot.len() == 1 { slot.first() } else { None };
            let node = only.and_then(|id| self.state.tasks.get(id)).and_then(|task| task.node.clone());
            let number = match node {
                Some(node) => {
                    let number = on_node.entry(node).or_default();
                    *number += 1;
                    *number
                }
                None => usize::MAX,
            };
            numbered.push((number, slot));
        }
        numbered.sort_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, slot)| slot).collect()
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
