//! What nodes do with the tasks they are given: pull, start, stop.

use std::time::Duration;

use super::Pass;
use super::spec;
use crate::sim::engine::image::{Behaviour, Pulled};
use crate::sim::engine::state::{Node, TaskState};

/// The exit code of a container that was killed.
const KILLED: i64 = 137;

impl Pass<'_> {
    /// The node goes on with the task, if there is something to do and nothing under way.
    pub(super) fn tell_node(&mut self, id: &str) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let node = task.node.as_ref().and_then(|node| self.state.nodes.get(node));
        if !(TaskState::Assigned..=TaskState::Running).contains(&task.state) || !node.is_some_and(reachable) {
            return;
        }
        if task.desired > TaskState::Complete {
            if !task.stopping {
                let container = task.state >= TaskState::Starting;
                let pause = if container { self.timing.stop } else { self.timing.report };
                if let Some(task) = self.state.tasks.get_mut(id) {
                    task.stopping = true;
                }
                self.task_after(id, pause);
            }
            return;
        }
        if task.due.is_some() {
            return;
        }
        let behaviour = task.image.as_ref().map(|image| image.behaviour.clone()).unwrap_or_default();
        let pause = match (task.state, behaviour) {
            (TaskState::Preparing, _) => self.timing.pull,
            (TaskState::Ready, _) if task.desired < TaskState::Running => return,
            (TaskState::Starting, Behaviour::Unhealthy) => self.timing.unhealthy,
            (TaskState::Starting, _) => self.timing.start,
            // Some time passes, or a service could restart without end at one point in time.
            (TaskState::Running, Behaviour::Exits { after, .. }) => after.max(Duration::from_millis(1)),
            (TaskState::Running, _) => return,
            _ => self.timing.report,
        };
        self.task_after(id, pause);
    }

    /// The next thing happens to the task.
    pub(super) fn task_due(&mut self, id: &str) {
        let Some(task) = self.state.tasks.get_mut(id) else { return };
        if task.due.is_none_or(|due| due > self.now) {
            return;
        }
        task.due = None;
        let (state, stopping) = (task.state, task.stopping);
        if state == TaskState::New {
            self.enqueue(id);
            return;
        }
        let node = task.node.as_ref().and_then(|node| self.state.nodes.get(node));
        if !node.is_some_and(reachable) {
            // It is told again when it is back.
            task.stopping = false;
            return;
        }
        if stopping {
            if state >= TaskState::Starting {
                task.exit_code = Some(KILLED);
            }
            self.status(id, TaskState::Shutdown, "shutdown", None);
            return;
        }
        match state {
            TaskState::Assigned => self.status(id, TaskState::Accepted, "accepted", None),
            TaskState::Accepted => self.status(id, TaskState::Preparing, "preparing", None),
            TaskState::Preparing => self.prepare(id),
            TaskState::Ready => self.status(id, TaskState::Starting, "starting", None),
            TaskState::Starting => self.started(id),
            TaskState::Running => self.exited(id),
            _ => {}
        }
    }

    /// The image is fetched, as far as it has to be and can be.
    fn prepare(&mut self, id: &str) {
        let Some(task) = self.state.tasks.get(id) else { return };
        let reference = spec::image(&task.object.spec).to_owned();
        let auth = task.auth.clone();
        let Some(node) = task.node.as_ref().and_then(|node| self.state.nodes.get_mut(node)) else { return };
        let found = match reference.split_once('@') {
            Some((_, digest)) => match node.images.get(digest) {
                Some(image) => Some(image.clone()),
                None => self.images.pull(&reference, auth.as_deref()).ok().filter(|image| fits(image, node)),
            },
            // The trap of stale images: the tag is asked for, and when that fails, what it meant
            // here before is taken without a word.
            None => {
                match self.images.pull(&reference, auth.as_deref()).ok().filter(|image| fits(image, node)) {
                    Some(image) => {
                        node.images.insert(reference.clone(), image.clone());
                        Some(image)
                    }
                    None => node.images.get(&reference).cloned(),
                }
            }
        };
        match found {
            Some(image) => {
                node.images.insert(image.digest.clone(), image.clone());
                if let Some(task) = self.state.tasks.get_mut(id) {
                    task.image = Some(image);
                }
                self.status(id, TaskState::Ready, "prepared", None);
            }
            None => {
                let error = format!("No such image: {reference}");
                self.status(id, TaskState::Rejected, "preparing", Some(&error));
            }
        }
    }

    fn started(&mut self, id: &str) {
        if self.behaviour(id) == Behaviour::Unhealthy {
            let error = format!("task: non-zero exit ({KILLED}): dockerexec: unhealthy container");
            self.exit_code(id, KILLED);
            self.status(id, TaskState::Failed, "starting", Some(&error));
        } else {
            self.status(id, TaskState::Running, "started", None);
        }
    }

    fn exited(&mut self, id: &str) {
        let Behaviour::Exits { code, .. } = self.behaviour(id) else { return };
        self.exit_code(id, code);
        if code == 0 {
            self.status(id, TaskState::Complete, "finished", None);
        } else {
            let error = format!("task: non-zero exit ({code})");
            self.status(id, TaskState::Failed, "started", Some(&error));
        }
    }

    fn behaviour(&self, id: &str) -> Behaviour {
        let image = self.state.tasks.get(id).and_then(|task| task.image.as_ref());
        image.map(|image| image.behaviour.clone()).unwrap_or_default()
    }

    fn exit_code(&mut self, id: &str, code: i64) {
        if let Some(task) = self.state.tasks.get_mut(id) {
            task.exit_code = Some(code);
        }
    }
}

fn reachable(node: &Node) -> bool {
    node.up && node.lost.is_none()
}

fn fits(image: &Pulled, node: &Node) -> bool {
    image.platform.is_empty() || image.platform == node.platform
}
