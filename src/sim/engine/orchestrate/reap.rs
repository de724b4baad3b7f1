//! Old tasks are removed.

use super::Pass;
use super::spec::Mode;
use super::tasks::place_of;
use super::timing::after;
use super::work::{Alarm, Place};
use crate::sim::engine::state::{Task, TaskState};

impl Pass<'_> {
    /// There is one task more in this place.
    pub(super) fn crowd(&mut self, service: String, place: Place) {
        self.state.work.crowded.insert((service, place));
        self.reap_soon();
    }

    /// The task can go.
    pub(super) fn finish(&mut self, id: &str) {
        self.state.work.finished.insert(id.to_owned());
        self.reap_soon();
    }

    fn reap_soon(&mut self) {
        let work = &mut self.state.work;
        if work.reap.is_none() {
            let at = after(self.now, self.timing.reap);
            work.reap = Some(at);
            work.alarm(at, Alarm::Reap);
        }
    }

    pub(super) fn reap(&mut self) {
        if self.state.work.reap.is_none_or(|at| at > self.now) {
            return;
        }
        self.state.work.reap = None;
        for id in std::mem::take(&mut self.state.work.finished) {
            self.remove_task(&id);
        }
        for (service, place) in std::mem::take(&mut self.state.work.crowded) {
            self.thin_out(&service, place);
        }
    }

    /// Keeps the newest tasks of a place, and all that run or will run.
    fn thin_out(&mut self, service: &str, place: Place) {
        let Some(mode) = self.state.services.get(service).map(Mode::of) else { return };
        if mode.job() {
            return;
        }
        let ids = self.state.work.of_service.get(service).into_iter().flatten();
        let mut tasks: Vec<&Task> = ids.filter_map(|id| self.state.tasks.get(id)).collect();
        tasks.retain(|task| place_of(task) == place);
        let surplus = tasks.len().saturating_sub(self.timing.history);
        if surplus == 0 {
            return;
        }
        tasks.sort_by_key(|task| (task.since, task.object.created, task.object.id.clone()));
        let live = tasks.iter().filter(|task| !over(task)).count();
        let old = tasks.into_iter().filter(|task| over(task)).take(surplus);
        let old: Vec<String> = old.map(|task| task.object.id.clone()).collect();
        for id in old {
            self.remove_task(&id);
        }
        if live > 1 {
            // Looked at again when there is something to remove anyway.
            self.state.work.crowded.insert((service.to_owned(), place));
        }
    }
}

/// It has ended, or will never begin.
fn over(task: &Task) -> bool {
    task.state > TaskState::Running || (task.state < TaskState::Assigned && task.desired > TaskState::Running)
}
