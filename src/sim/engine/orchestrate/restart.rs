//! Tasks in place of ended ones, as the restart policy says.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::spec::{Condition, Mode, RestartPolicy, constraints, template};
use super::tasks::place_of;
use super::timing::after;
use super::work::{Alarm, Place, unlink};
use super::{Pass, constraint, nodes};
use crate::sim::engine::state::{Task, TaskState};

/// A task that may not run yet.
#[derive(Clone, Debug)]
pub(super) struct Delay {
    until: Timestamp,
    /// It has to stop first.
    pub(super) old: Option<String>,
    /// But not longer than until then.
    give_up: Timestamp,
    /// It ended before it was let run: then it is replaced.
    again: bool,
}

/// Restarts of a service, by slot or node.
pub(super) type Restarts = BTreeMap<Place, History>;

/// Restarts of the tasks of one spec in one place.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    spec_index: u64,
    count: u64,
    times: VecDeque<Timestamp>,
}

impl Pass<'_> {
    /// Of a task that should run, but does no longer, or not where it is.
    pub(super) fn restart_if_needed(&mut self, id: &str) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let Some(service) = self.state.services.get(&task.service) else { return };
        let ended = task.state > TaskState::Running;
        let node = task.node.as_ref().map(|node| self.state.nodes.get(node));
        match Mode::of(service) {
            Mode::Replicated { .. } => {
                if ended || node.is_some_and(|node| node.is_none_or(nodes::invalid)) {
                    self.restart(id);
                }
            }
            Mode::Global => {
                let Some(node) = node.flatten().filter(|node| ended && !nodes::invalid(node)) else { return };
                let wanted = constraints(&template(service));
                if nodes::paused(node) || !constraint::matches(&wanted, node) {
                    self.desire(id, TaskState::Shutdown);
                } else {
                    self.restart(id);
                }
            }
            Mode::ReplicatedJob { .. } | Mode::GlobalJob => {}
        }
    }

    /// Ends the task, and puts another in its place if the policy says so.
    pub(super) fn restart(&mut self, id: &str) {
        if let Some(delay) = self.state.work.delays.get_mut(id) {
            delay.again = true;
            return;
        }
        let Some(task) = self.state.tasks.get(id) else { return };
        if task.desired > TaskState::Complete {
            return;
        }
        let task = task.clone();
        self.desire(id, TaskState::Shutdown);
        if !self.should_restart(&task) {
            return;
        }
        let place = place_of(&task);
        let node = task.node.as_ref().and_then(|node| self.state.nodes.get(node));
        let drained = node.is_some_and(nodes::drained);
        let down = node.is_some_and(|node| !node.up);
        let policy = RestartPolicy::of(&task.object.spec);
        let delay = if drained { Duration::ZERO } else { policy.delay };
        let Some(new) = self.create_task(&task.service, &place, TaskState::Ready) else { return };
        self.record_restart(&new);
        let wait_for = (!down && task.state <= TaskState::Running).then(|| id.to_owned());
        self.delay_start(&new, wait_for, delay);
    }

    /// The new task runs when `pause` is over and the old task has stopped.
    pub(super) fn delay_start(&mut self, new: &str, old: Option<String>, pause: Duration) {
        let until = after(self.now, pause);
        let give_up = after(self.now, pause.max(self.timing.old_task));
        let work = &mut self.state.work;
        if until > self.now {
            work.alarm(until, Alarm::Delay(new.to_owned()));
        }
        if let Some(old) = &old {
            work.awaited.entry(old.clone()).or_default().insert(new.to_owned());
            work.alarm(give_up, Alarm::Delay(new.to_owned()));
        }
        work.delays.insert(new.to_owned(), Delay { until, old, give_up, again: false });
        self.check_delay(new);
    }

    /// Lets the task run if nothing speaks against it any longer.
    pub(super) fn check_delay(&mut self, id: &str) {
        let Some(delay) = self.state.work.delays.get(id) else { return };
        if self.now < delay.until || (self.now < delay.give_up && self.still_there(delay.old.as_deref())) {
            return;
        }
        let Some(delay) = self.state.work.delays.remove(id) else { return };
        if let Some(old) = &delay.old {
            unlink(&mut self.state.work.awaited, old, id);
            self.state.work.alarms.remove(&(delay.give_up, Alarm::Delay(id.to_owned())));
        }
        let Some(task) = self.state.tasks.get(id) else { return };
        let service = task.service.clone();
        let job = self.state.services.get(&service).is_some_and(|service| Mode::of(service).job());
        self.desire(id, if job { TaskState::Complete } else { TaskState::Running });
        if delay.again {
            self.restart(id);
        }
        self.update_may_go_on(&service);
    }

    fn still_there(&self, old: Option<&str>) -> bool {
        let Some(old) = old.and_then(|old| self.state.tasks.get(old)) else { return false };
        let node = old.node.as_ref().and_then(|node| self.state.nodes.get(node));
        old.state <= TaskState::Running && node.is_none_or(|node| node.up)
    }

    /// The task has ended, or nobody knows: who waits for it need not.
    pub(super) fn release(&mut self, old: &str) {
        for new in self.state.work.awaited.get(old).cloned().unwrap_or_default() {
            self.check_delay(&new);
        }
    }

    fn record_restart(&mut self, new: &str) {
        let Some(task) = self.state.tasks.get(new) else { return };
        let policy = RestartPolicy::of(&task.object.spec);
        if policy.attempts == 0 {
            return;
        }
        let places = self.state.work.restarts.entry(task.service.clone()).or_default();
        let history = places.entry(place_of(task)).or_default();
        if history.spec_index != task.spec_index {
            *history = History { spec_index: task.spec_index, ..History::default() };
        }
        history.count += 1;
        if policy.window.is_some() {
            history.times.push_back(task.object.created);
        }
    }

    /// Whether the policy wants another in place of the task.
    pub(super) fn should_restart(&mut self, task: &Task) -> bool {
        let policy = RestartPolicy::of(&task.object.spec);
        let wanted = match policy.condition {
            Condition::Any => true,
            Condition::OnFailure => task.state != TaskState::Complete,
            Condition::None => false,
        };
        if !wanted || policy.attempts == 0 {
            return wanted;
        }
        let places = self.state.work.restarts.get_mut(&task.service);
        let Some(history) = places.and_then(|places| places.get_mut(&place_of(task))) else { return true };
        if history.spec_index != task.spec_index {
            return true;
        }
        let Some(window) = policy.window else { return history.count < policy.attempts };
        let window = jiff::SignedDuration::try_from(window).unwrap_or(jiff::SignedDuration::MAX);
        let since = task.since.checked_sub(window).unwrap_or(Timestamp::MIN);
        history.times.retain(|time| *time > since);
        let before = history.times.iter().filter(|time| **time < task.since).count();
        u64::try_from(before).unwrap_or(u64::MAX) < policy.attempts
    }
}
