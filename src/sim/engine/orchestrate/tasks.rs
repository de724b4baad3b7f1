//! Every change of a task.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::Pass;
use super::spec::{self, Mode};
use super::timing::after;
use super::used::Use;
use super::work::{Alarm, Place, unlink};
use crate::sim::engine::state::{Object, Service, State, Task, TaskState};

impl State {
    /// Puts in a task that is anywhere in its life, such as one that was there before.
    pub fn add_task(&mut self, task: Task) {
        let (id, work) = (task.object.id.clone(), &mut self.work);
        work.of_service.entry(task.service.clone()).or_default().insert(id.clone());
        if let Some(node) = &task.node {
            work.on_node.entry(node.clone()).or_default().insert(id.clone());
            work.used.entry(node.clone()).or_default().change(&task, Use::Nothing, Use::of(&task));
        }
        if let Some(due) = task.due {
            work.alarm(due, Alarm::Task(id.clone()));
        }
        self.tasks.insert(id, task);
    }
}

impl Pass<'_> {
    /// Makes a task of the service's present spec.
    pub(super) fn create_task(&mut self, service: &str, place: &Place, desired: TaskState) -> Option<String> {
        let service = self.state.services.get(service)?;
        let mode = Mode::of(service);
        let task = new_task(service, place, desired);
        let service = service.object.id.clone();
        let id = self.state.next_id();
        let index = self.state.next_index();
        let task = Task {
            object: Object { id: id.clone(), index, created: self.now, updated: self.now, ..task.object },
            since: self.now,
            job_iteration: if mode.job() { task.job_iteration } else { None },
            ..task
        };
        self.state.add_task(task);
        self.task_after(&id, self.timing.allocate);
        self.crowd(service, place.clone());
        Some(id)
    }

    /// A new status.
    pub(super) fn status(&mut self, id: &str, state: TaskState, message: &str, error: Option<&str>) {
        self.set_due(id, None);
        self.change(id, |task| {
            task.state = state;
            message.clone_into(&mut task.message);
            task.error = error.map(str::to_owned);
            if state > TaskState::Running {
                task.stopping = false;
            }
        });
        let now = self.now;
        if let Some(task) = self.state.tasks.get_mut(id) {
            task.since = now;
        }
        if state > TaskState::Running {
            // What it used on its node is free, and who waits for it need not wait longer.
            self.schedule_soon();
        }
    }

    /// A new desired state; desired states only grow.
    pub(super) fn desire(&mut self, id: &str, desired: TaskState) {
        if self.state.tasks.get(id).is_some_and(|task| task.desired < desired) {
            self.change(id, |task| task.desired = desired);
        }
    }

    pub(super) fn place(&mut self, id: &str, node: &str) {
        self.change(id, |task| task.node = Some(node.to_owned()));
        self.state.work.on_node.entry(node.to_owned()).or_default().insert(id.to_owned());
    }

    /// Looks at the task again after `pause`.
    pub(super) fn task_after(&mut self, id: &str, pause: Duration) {
        self.set_due(id, Some(after(self.now, pause)));
    }

    fn set_due(&mut self, id: &str, due: Option<Timestamp>) {
        let Some(task) = self.state.tasks.get_mut(id) else { return };
        let alarms = &mut self.state.work.alarms;
        if let Some(before) = std::mem::replace(&mut task.due, due) {
            alarms.remove(&(before, Alarm::Task(id.to_owned())));
        }
        if let Some(due) = due {
            alarms.insert((due, Alarm::Task(id.to_owned())));
        }
    }

    fn change(&mut self, id: &str, with: impl FnOnce(&mut Task)) {
        if !self.state.tasks.contains_key(id) {
            return;
        }
        let index = self.state.next_index();
        let Some(task) = self.state.tasks.get_mut(id) else { return };
        let (used, was_failed) = (Use::of(task), failed(task));
        with(task);
        task.object.index = index;
        task.object.updated = self.now;
        let work = &mut self.state.work;
        if let Some(node) = &task.node {
            let on_node = work.used.entry(node.clone()).or_default();
            on_node.change(task, used, Use::of(task));
            if failed(task) && !was_failed && task.slot.is_some() {
                on_node.failed(task, self.now);
            }
        }
        work.changed.push_back(id.to_owned());
    }

    /// It is gone, as if it had never been.
    pub(super) fn remove_task(&mut self, id: &str) {
        let Some(task) = self.state.tasks.remove(id) else { return };
        self.state.next_index();
        let work = &mut self.state.work;
        if let Some(due) = task.due {
            work.alarms.remove(&(due, Alarm::Task(id.to_owned())));
        }
        unlink(&mut work.of_service, &task.service, id);
        if let Some(node) = &task.node {
            unlink(&mut work.on_node, node, id);
            if let Some(used) = work.used.get_mut(node) {
                used.change(&task, Use::of(&task), Use::Nothing);
            }
        }
        work.pending.remove(id);
        if let Some(delay) = work.delays.remove(id)
            && let Some(old) = delay.old
        {
            unlink(&mut work.awaited, &old, id);
        }
        self.release(id);
        if task.state <= TaskState::Running {
            self.schedule_soon();
        }
        if task.desired <= TaskState::Running && self.state.services.contains_key(&task.service) {
            self.state.work.touch_service(&task.service);
        }
        self.update_may_go_on(&task.service);
    }

    /// What follows from a changed task.
    pub(super) fn task_changed(&mut self, id: &str) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let (service, state, desired) = (task.service.clone(), task.state, task.desired);
        if state > TaskState::Running {
            self.release(id);
        }
        if desired == TaskState::Remove && (state < TaskState::Assigned || state >= TaskState::Complete) {
            self.finish(id);
            return;
        }
        self.tell_node(id);
        self.update_may_go_on(&service);
        if self.state.services.get(&service).is_some_and(|service| Mode::of(service).job()) {
            if state > TaskState::Running && desired <= TaskState::Complete {
                self.state.work.touch_service(&service);
            }
        } else if desired <= TaskState::Running {
            self.restart_if_needed(id);
        }
        if state == TaskState::Pending && desired > TaskState::Complete {
            self.schedule_soon();
        }
    }
}

fn new_task(service: &Service, place: &Place, desired: TaskState) -> Task {
    let (slot, node) = match place {
        Place::Slot(slot) => (Some(*slot), None),
        Place::Node(node) => (None, Some(node.clone())),
    };
    Task {
        object: Object {
            id: String::new(),
            index: 0,
            created: service.object.created,
            updated: service.object.updated,
            spec: spec::template(service),
            extra: BTreeMap::new(),
        },
        service: service.object.id.clone(),
        endpoint: spec::endpoint(service),
        auth: service.auth.clone(),
        slot,
        node,
        spec_index: service.spec_index,
        desired,
        state: TaskState::New,
        since: service.object.created,
        message: "created".to_owned(),
        error: None,
        exit_code: None,
        job_iteration: Some(service.job_iteration),
        image: None,
        due: None,
        stopping: false,
    }
}

fn failed(task: &Task) -> bool {
    matches!(task.state, TaskState::Failed | TaskState::Rejected)
}

/// Where the task is one of those that should be one.
pub(super) fn place_of(task: &Task) -> Place {
    match (task.slot, &task.node) {
        (Some(slot), _) => Place::Slot(slot),
        (None, Some(node)) => Place::Node(node.clone()),
        (None, None) => Place::Slot(0),
    }
}
