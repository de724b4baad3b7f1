//! What is used on a node, kept up to date with every change of a task.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::fit::{host_ports, reserved};
use super::timing::after;
use crate::sim::engine::state::{Task, TaskState};

/// A node where tasks of a service failed so often of late is chosen last.
const MANY_FAILURES: usize = 5;
const OF_LATE: Duration = Duration::from_secs(5 * 60);

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Used {
    pub(super) cpus: i64,
    pub(super) memory: i64,
    /// Published on the node itself, and by how many tasks.
    pub(super) ports: BTreeMap<(String, u64), usize>,
    /// Tasks that should run.
    pub(super) active: usize,
    pub(super) of_service: BTreeMap<String, usize>,
    /// When tasks failed here, by service and spec.
    pub(super) failures: BTreeMap<(String, u64), Vec<Timestamp>>,
}

/// What a task means for its node: whether it uses anything, and whether it should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Nothing,
    Ending,
    Active,
}

impl Use {
    pub(super) fn of(task: &Task) -> Self {
        let there = task.node.is_some() && (TaskState::Assigned..=TaskState::Running).contains(&task.state);
        match (there, task.desired <= TaskState::Complete) {
            (false, _) => Use::Nothing,
            (true, false) => Use::Ending,
            (true, true) => Use::Active,
        }
    }
}

impl Used {
    pub(super) const NOTHING: Used = Used {
        cpus: 0,
        memory: 0,
        ports: BTreeMap::new(),
        active: 0,
        of_service: BTreeMap::new(),
        failures: BTreeMap::new(),
    };

    /// Tasks of the service that should run here.
    pub(super) fn active_of(&self, service: &str) -> usize {
        self.of_service.get(service).copied().unwrap_or(0)
    }

    pub(super) fn change(&mut self, task: &Task, before: Use, after: Use) {
        match (before == Use::Nothing, after == Use::Nothing) {
            (true, false) => self.take(task),
            (false, true) => self.give_back(task),
            _ => {}
        }
        match (before == Use::Active, after == Use::Active) {
            (false, true) => {
                self.active += 1;
                *self.of_service.entry(task.service.clone()).or_default() += 1;
            }
            (true, false) => {
                self.active = self.active.saturating_sub(1);
                less(&mut self.of_service, &task.service);
            }
            _ => {}
        }
    }

    fn take(&mut self, task: &Task) {
        let (cpus, memory) = reserved(&task.object.spec);
        self.cpus += cpus;
        self.memory += memory;
        for port in host_ports(&task.endpoint) {
            *self.ports.entry(port).or_default() += 1;
        }
    }

    fn give_back(&mut self, task: &Task) {
        let (cpus, memory) = reserved(&task.object.spec);
        self.cpus -= cpus;
        self.memory -= memory;
        for port in host_ports(&task.endpoint) {
            less(&mut self.ports, &port);
        }
    }

    /// The task failed here.
    pub(super) fn failed(&mut self, task: &Task, now: Timestamp) {
        let recent = |times: &Vec<Timestamp>| times.last().is_some_and(|time| after(*time, OF_LATE) > now);
        self.failures.retain(|_, times| recent(times));
        self.failures.entry((task.service.clone(), task.spec_index)).or_default().push(now);
    }

    /// How often tasks of its spec failed here of late, if that is often.
    pub(super) fn many_failures(&self, task: &Task, now: Timestamp) -> usize {
        let times = self.failures.get(&(task.service.clone(), task.spec_index));
        let late = times.into_iter().flatten().filter(|time| after(**time, OF_LATE) > now).count();
        if late >= MANY_FAILURES { late } else { 0 }
    }
}

fn less<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
