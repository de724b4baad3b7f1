//! Moves tasks and updates of a `State` to where they are at a given time, as Swarm's managers
//! and nodes do. Pure: time and images come in as arguments.
//!
//! | file | does what in Swarm is done by |
//! |---|---|
//! | `replicated`, `global`, `jobs` | the orchestrators: which tasks a service should have |
//! | `update` | the updater: rolling updates, their failure, their rollback |
//! | `restart` | the restart supervisor: tasks in place of ended ones, and when they may run |
//! | `schedule`, `fit`, `used`, `constraint` | the scheduler |
//! | `nodes` | the dispatcher and the constraint enforcer: nodes that come, go and change |
//! | `agent` | the nodes: pulls, starts, stops |
//! | `reap` | the task reaper: old tasks are removed |
//! | `tasks` | every change of a task goes through here |
//! | `notify` | events |
//!
//! Nothing is looked at unless `Work` says so: a service or node was touched, a task changed, an
//! alarm is due.

mod agent;
mod constraint;
mod dirty;
mod fit;
mod global;
mod jobs;
mod nodes;
mod notify;
mod reap;
mod replicated;
mod restart;
mod schedule;
mod spec;
mod tasks;
#[cfg(test)]
mod tests;
mod timing;
mod update;
mod used;
mod work;

use jiff::Timestamp;

use super::image::Images;
use super::state::State;
pub use notify::service_updated;
use spec::Mode;
pub use timing::Timing;
use work::Alarm;
pub use work::Work;

/// Does all that is due at `now`, and says when to be called next (or when something was
/// touched, whichever comes first). A second call at the same time changes nothing.
pub fn step(state: &mut State, now: Timestamp, timing: &Timing, images: &dyn Images) -> Option<Timestamp> {
    let mut pass = Pass { state, now, timing, images };
    while pass.one() {}
    pass.state.work.next()
}

/// One call of `step`.
struct Pass<'a> {
    state: &'a mut State,
    now: Timestamp,
    timing: &'a Timing,
    images: &'a dyn Images,
}

impl Pass<'_> {
    /// Does one thing; false if nothing is left.
    fn one(&mut self) -> bool {
        if let Some(id) = self.state.work.changed.pop_front() {
            self.task_changed(&id);
        } else if let Some(id) = self.state.work.nodes.pop_first() {
            self.node_changed(&id);
        } else if let Some(id) = self.state.work.services.pop_first() {
            self.service_changed(&id);
        } else if let Some(alarm) = self.state.work.due(self.now) {
            self.alarm(alarm);
        } else {
            return false;
        }
        true
    }

    fn alarm(&mut self, alarm: Alarm) {
        match alarm {
            Alarm::Node(id) => self.node_due(&id),
            Alarm::Task(id) => self.task_due(&id),
            Alarm::Schedule => self.schedule(),
            Alarm::Delay(id) => self.check_delay(&id),
            Alarm::Update(id) => self.advance_update(&id),
            Alarm::Reap => self.reap(),
        }
    }

    /// Makes the tasks that the service should have, and ends those that it should not have.
    fn service_changed(&mut self, id: &str) {
        let Some(service) = self.state.services.get(id) else {
            self.service_removed(id);
            return;
        };
        let mode = Mode::of(service);
        if mode.per_node() {
            self.state.work.global.insert(id.to_owned());
        }
        match mode {
            Mode::Replicated { replicas } => self.reconcile_replicated(id, replicas),
            Mode::Global => self.reconcile_global(id),
            Mode::ReplicatedJob { concurrent, completions } => {
                self.reconcile_replicated_job(id, concurrent, completions);
            }
            Mode::GlobalJob => self.reconcile_global_job(id),
        }
    }

    fn service_removed(&mut self, id: &str) {
        for task in self.state.work.tasks_of(id) {
            self.desire(&task, super::state::TaskState::Remove);
        }
        let work = &mut self.state.work;
        work.global.remove(id);
        work.updaters.remove(id);
        work.restarts.remove(id);
    }
}
