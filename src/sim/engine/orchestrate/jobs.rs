//! Which tasks a job should have.

use std::collections::BTreeSet;

use super::spec::{constraints, template};
use super::work::Place;
use super::{Pass, constraint, nodes};
use crate::sim::engine::state::{Task, TaskState};

impl Pass<'_> {
    pub(super) fn reconcile_replicated_job(&mut self, id: &str, concurrent: u64, completions: u64) {
        let Some(iteration) = self.state.services.get(id).map(|service| service.job_iteration) else {
            return;
        };
        let (mut taken, mut running, mut complete) = (BTreeSet::new(), 0, 0);
        let (mut ended, mut outdated) = (Vec::new(), Vec::new());
        for task in self.tasks_of_job(id) {
            if task.job_iteration != Some(iteration) {
                if task.state <= TaskState::Running && task.desired != TaskState::Remove {
                    outdated.push(task.object.id.clone());
                }
            } else if task.state == TaskState::Complete {
                complete += 1;
                taken.extend(task.slot);
            } else if task.desired <= TaskState::Complete {
                running += 1;
                taken.extend(task.slot);
                if task.state > TaskState::Complete {
                    ended.push(task.object.id.clone());
                }
            }
        }
        let missing = concurrent.saturating_sub(running).min(completions.saturating_sub(complete + running));
        let free = (0..completions).filter(|slot| !taken.contains(slot));
        let free: Vec<u64> = free.take(usize::try_from(missing).unwrap_or(usize::MAX)).collect();
        for slot in free {
            self.create_task(id, &Place::Slot(slot), TaskState::Complete);
        }
        for task in ended {
            self.restart(&task);
        }
        for task in outdated {
            self.desire(&task, TaskState::Remove);
        }
    }

    /// One task on each node that was there when the job began.
    pub(super) fn reconcile_global_job(&mut self, id: &str) {
        let Some(service) = self.state.services.get(id) else { return };
        let (iteration, wanted) = (service.job_iteration, constraints(&template(service)));
        let began = service.job_began.unwrap_or(service.object.created);
        let (mut there, mut ended, mut outdated) = (BTreeSet::new(), Vec::new(), Vec::new());
        for task in self.tasks_of_job(id) {
            let task_id = task.object.id.clone();
            if task.job_iteration != Some(iteration) {
                outdated.push(task_id);
            } else if task.desired <= TaskState::Complete {
                there.extend(task.node.clone());
                if task.state > TaskState::Complete {
                    ended.push(task_id);
                }
            }
        }
        let fit = self.state.nodes.values().filter(|node| {
            nodes::takes_tasks(node) && node.object.created <= began && constraint::matches(&wanted, node)
        });
        let missing: Vec<String> =
            fit.map(|node| node.object.id.clone()).filter(|node| !there.contains(node)).collect();
        for node in missing {
            self.create_task(id, &Place::Node(node), TaskState::Complete);
        }
        for task in ended {
            self.restart(&task);
        }
        for task in outdated {
            self.desire(&task, TaskState::Remove);
        }
    }

    fn tasks_of_job(&self, id: &str) -> impl Iterator<Item = &Task> {
        let ids = self.state.work.of_service.get(id).into_iter().flatten();
        ids.filter_map(|id| self.state.tasks.get(id))
    }
}
