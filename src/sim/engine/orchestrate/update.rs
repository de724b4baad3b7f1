//! Rolling updates.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::Pass;
use super::dirty::is_dirty;
use super::spec::{FailureAction, UpdateConfig};
use super::tasks::place_of;
use super::timing::after;
use super::work::Alarm;
use crate::sim::engine::state::{Service, Task, TaskState, Update};

/// The tasks of one slot, or of one node.
pub(super) type Slot = Vec<String>;

/// A rolling update of one service towards one spec.
#[derive(Clone, Debug)]
pub(super) struct Updater {
    spec: Value,
    config: UpdateConfig,
    rollback: bool,
    /// Slots that nobody has begun.
    waiting: VecDeque<Slot>,
    slots: usize,
    workers: Vec<Worker>,
    /// The tasks it made, and when they ran or ended.
    made: BTreeMap<String, Option<Timestamp>>,
    failed: BTreeSet<String>,
    /// It has failed: what is begun is brought to its end, no more.
    stopped: bool,
    monitor_until: Option<Timestamp>,
}

#[derive(Clone, Debug)]
enum Worker {
    /// Until the new task runs or has ended. `first`: it runs before the old ones are stopped.
    New {
        task: String,
        old: Slot,
        first: bool,
    },
    /// Until a task that was there already may run.
    Existing {
        task: String,
    },
    Pause {
        until: Timestamp,
    },
}

impl Pass<'_> {
    /// Brings these slots of the service to its present spec.
    pub(super) fn update(&mut self, id: &str, slots: Vec<Slot>) {
        let Some(service) = self.state.services.get(id) else { return };
        if let Some(updater) = self.state.work.updaters.get(id)
            && updater.spec == service.object.spec
        {
            return;
        }
        self.state.work.updaters.remove(id);
        let status = service.update.as_ref().map(|update| update.state);
        if matches!(status, Some("paused" | "rollback_paused")) {
            return;
        }
        let dirty: VecDeque<Slot> =
            slots.into_iter().filter(|slot| self.slot_is_dirty(service, slot)).collect();
        if dirty.is_empty() {
            if matches!(status, Some("updating" | "rollback_started")) {
                self.complete_update(id);
            }
            return;
        }
        let rollback = status == Some("rollback_started");
        let mut config = UpdateConfig::of(service, if rollback { "RollbackConfig" } else { "UpdateConfig" });
        if config.parallelism == 0 {
            config.parallelism = dirty.len();
        }
        let updater = Updater {
            spec: service.object.spec.clone(),
            config,
            rollback,
            slots: dirty.len(),
            waiting: dirty,
            workers: Vec::new(),
            made: BTreeMap::new(),
            failed: BTreeSet::new(),
            stopped: false,
            monitor_until: None,
        };
        if status.is_none() {
            let started = self.now;
            self.set_update(id, |service| {
                service.update = Some(update_status("updating", started, "update in progress"));
            });
        }
        self.state.work.updaters.insert(id.to_owned(), updater);
        self.advance_update(id);
    }

    fn slot_is_dirty(&self, service: &Service, slot: &Slot) -> bool {
        slot.len() > 1 || slot.iter().any(|id| self.task_is_dirty(service, id))
    }

    pub(super) fn task_is_dirty(&self, service: &Service, id: &str) -> bool {
        self.state.tasks.get(id).is_some_and(|task| {
            let node = task.node.as_ref().and_then(|node| self.state.nodes.get(node));
            is_dirty(service, task, node)
        })
    }

    /// Something happened that the service's update may have waited for.
    pub(super) fn update_may_go_on(&mut self, service: &str) {
        if self.state.work.updaters.contains_key(service) {
            self.state.work.alarm(self.now, Alarm::Update(service.to_owned()));
        }
    }

    /// Does of the update what can be done now.
    pub(super) fn advance_update(&mut self, id: &str) {
        let Some(mut updater) = self.state.work.updaters.remove(id) else { return };
        self.note_started(&mut updater);
        self.workers_go_on(id, &mut updater);
        if let Some(failed) = self.newly_failed(&mut updater) {
            self.update_failed(id, &updater, &failed);
            updater.stopped = true;
        }
        while !updater.stopped && updater.workers.len() < updater.config.parallelism {
            let Some(slot) = updater.waiting.pop_front() else { break };
            if let Some(worker) = self.begin_slot(id, &mut updater, slot) {
                updater.workers.push(worker);
            }
        }
        if self.ended(id, &mut updater) {
            return;
        }
        self.state.work.updaters.insert(id.to_owned(), updater);
    }

    /// True if there is nothing left to do or to watch.
    fn ended(&mut self, id: &str, updater: &mut Updater) -> bool {
        if !updater.workers.is_empty() || (!updater.stopped && !updater.waiting.is_empty()) {
            return false;
        }
        if updater.stopped {
            return true;
        }
        let until = *updater.monitor_until.get_or_insert_with(|| after(self.now, updater.config.monitor));
        if until > self.now {
            self.state.work.alarm(until, Alarm::Update(id.to_owned()));
            return false;
        }
        self.complete_update(id);
        true
    }

    fn note_started(&self, updater: &mut Updater) {
        for (task, started) in &mut updater.made {
            let state = self.state.tasks.get(task).map(|task| task.state);
            // A task that ended before it ran counts as failed, however long it took.
            if started.is_none() && state == Some(TaskState::Running) {
                *started = Some(self.now);
            }
        }
    }

    /// The task by which the failures became too many.
    fn newly_failed(&self, updater: &mut Updater) -> Option<String> {
        // Swarm does not look at failures while it waits for the last slots to be replaced.
        let looks = updater.workers.is_empty() || !updater.waiting.is_empty();
        if updater.config.on_failure == FailureAction::Continue || updater.stopped || !looks {
            return None;
        }
        let monitor = SignedDuration::try_from(updater.config.monitor).unwrap_or(SignedDuration::MAX);
        let Updater { made, failed, .. } = updater;
        for (id, started) in made {
            let ended = self.state.tasks.get(id).is_some_and(|task| task.state > TaskState::Running);
            let within = started.is_none_or(|started| self.now.duration_since(started) <= monitor);
            if !ended || !within || !failed.insert(id.clone()) {
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "far fewer tasks than 2^52")]
            let ratio = failed.len() as f64 / updater.slots as f64;
            if ratio > updater.config.max_failure_ratio {
                return Some(id.clone());
            }
        }
        None
    }

    fn update_failed(&mut self, id: &str, updater: &Updater, task: &str) {
        let cause = format!("due to failure or early termination of task {task}");
        if updater.config.on_failure == FailureAction::Pause || updater.rollback {
            let (what, state) = match updater.rollback {
                true => ("rollback", "rollback_paused"),
                false => ("update", "paused"),
            };
            // The engine words it after the action that was asked for.
            let what = if updater.config.on_failure == FailureAction::Pause { "update" } else { what };
            self.set_update(id, |service| {
                if let Some(update) = &mut service.update {
                    update.state = state;
                    update.message = format!("{what} paused {cause}");
                }
            });
        } else {
            self.roll_back(id, &format!("update rolled back {cause}"));
        }
    }

    fn roll_back(&mut self, id: &str, message: &str) {
        let possible = self.state.services.get(id).is_some_and(|service| service.previous_spec.is_some());
        if !possible {
            return;
        }
        self.set_update(id, |service| {
            if let Some(update) = &mut service.update {
                update.state = "rollback_started";
                message.clone_into(&mut update.message);
            }
            if let Some(spec) = service.previous_spec.take() {
                service.object.spec = spec;
                service.spec_index = service.previous_spec_index.take().unwrap_or(service.spec_index);
                service.auth = service.previous_auth.take();
            }
        });
    }

    fn complete_update(&mut self, id: &str) {
        let now = self.now;
        self.set_update(id, |service| {
            if let Some(update) = &mut service.update {
                let (state, message) = match update.state {
                    "rollback_started" => ("rollback_completed", "rollback completed"),
                    _ => ("completed", "update completed"),
                };
                update.state = state;
                message.clone_into(&mut update.message);
                update.completed = Some(now);
            }
        });
    }

    fn workers_go_on(&mut self, id: &str, updater: &mut Updater) {
        for worker in std::mem::take(&mut updater.workers) {
            let done = match &worker {
                Worker::New { task, old, first } => self.new_task_done(task, old, *first),
                Worker::Existing { task } => !self.state.work.delays.contains_key(task),
                Worker::Pause { until } => {
                    if *until > self.now {
                        updater.workers.push(worker);
                    }
                    continue;
                }
            };
            if !done {
                updater.workers.push(worker);
            } else if let Some(pause) = self.pause(id, updater) {
                updater.workers.push(pause);
            }
        }
    }

    fn pause(&mut self, id: &str, updater: &Updater) -> Option<Worker> {
        if updater.config.delay.is_zero() {
            return None;
        }
        let until = after(self.now, updater.config.delay);
        self.state.work.alarm(until, Alarm::Update(id.to_owned()));
        Some(Worker::Pause { until })
    }

    fn new_task_done(&mut self, task: &str, old: &Slot, first: bool) -> bool {
        if self.state.work.delays.contains_key(task) {
            return false;
        }
        let Some(state) = self.state.tasks.get(task).map(|task| task.state) else { return true };
        if state == TaskState::Running && first {
            self.stop_all(old);
        }
        state >= TaskState::Running
    }

    /// Stops those that are not stopped yet, and returns one of them.
    fn stop_all(&mut self, tasks: &Slot) -> Option<String> {
        let mut stopped = None;
        for id in tasks {
            if self.state.tasks.get(id).is_some_and(|task| task.desired <= TaskState::Running) {
                self.desire(id, TaskState::Shutdown);
                stopped = Some(id.clone());
            }
        }
        stopped
    }

    fn begin_slot(&mut self, id: &str, updater: &mut Updater, slot: Slot) -> Option<Worker> {
        let service = self.state.services.get(id)?;
        let clean = |desired: fn(TaskState) -> bool| {
            slot.iter().find(|id| {
                self.state.tasks.get(*id).is_some_and(|task| desired(task.desired))
                    && !self.task_is_dirty(service, id)
            })
        };
        let existing = clean(|desired| desired == TaskState::Running)
            .or_else(|| clean(|desired| desired < TaskState::Running))
            .cloned();
        if let Some(existing) = existing {
            return self.use_existing(id, updater, &slot, existing);
        }
        let present: Vec<&Task> = slot.iter().filter_map(|id| self.state.tasks.get(id)).collect();
        let place = place_of(present.first()?);
        let live = present.iter().any(|task| task.desired <= TaskState::Running);
        let done: Vec<Task> = present.into_iter().cloned().collect();
        if !live && done.iter().all(|task| self.should_restart(task)) {
            // It was ended meanwhile, and what came in its place is of the new spec.
            return self.pause(id, updater);
        }
        let first = updater.config.start_first;
        let new = self.create_task(id, &place, TaskState::Ready)?;
        updater.made.insert(new.clone(), None);
        let old = if first { None } else { self.stop_all(&slot) };
        let old =
            old.filter(|old| self.state.tasks.get(old).is_some_and(|task| task.state <= TaskState::Running));
        self.delay_start(&new, old, std::time::Duration::ZERO);
        Some(Worker::New { task: new, old: slot, first })
    }

    fn use_existing(&mut self, id: &str, updater: &Updater, slot: &Slot, task: String) -> Option<Worker> {
        let others: Slot = slot.iter().filter(|other| **other != task).cloned().collect();
        let old = self.stop_all(&others);
        if self.state.tasks.get(&task).is_some_and(|task| task.desired < TaskState::Running) {
            self.delay_start(&task, old, std::time::Duration::ZERO);
            return Some(Worker::Existing { task });
        }
        self.pause(id, updater)
    }

    fn set_update(&mut self, id: &str, with: impl FnOnce(&mut Service)) {
        let Some(old) = self.state.services.get(id).cloned() else { return };
        let index = self.state.next_index();
        let Some(service) = self.state.services.get_mut(id) else { return };
        with(service);
        service.object.index = index;
        service.object.updated = self.now;
        let event = super::service_updated(&old, service, self.now);
        self.state.events.push(event);
        // As after every change of a service: a slot that got two tasks meanwhile is put right.
        self.state.work.touch_service(id);
    }
}

fn update_status(state: &'static str, started: Timestamp, message: &str) -> Update {
    Update { state, started, completed: None, message: message.to_owned() }
}
