//! A Swarm without an API: services are written as the API writes them, and time passes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::timing::after;
use super::super::used::{Use, Used};
use super::super::work::Alarm;
use super::super::{Timing, step};
use crate::sim::engine::image::{Behaviour, Images, PullError, Pulled};
use crate::sim::engine::state::{Node, Object, Service, State, Task, TaskState, Update};

/// A registry that is a table.
#[derive(Default)]
pub(super) struct Table {
    pub(super) images: Mutex<BTreeMap<String, Pulled>>,
    pub(super) down: Mutex<bool>,
    /// Asked of whoever pulls.
    pub(super) password: Mutex<Option<String>>,
    pub(super) pulls: Mutex<Vec<String>>,
}

impl Images for Table {
    fn pull(&self, reference: &str, auth: Option<&str>) -> Result<Pulled, PullError> {
        self.pulls.lock().unwrap().push(reference.to_owned());
        if *self.down.lock().unwrap() {
            return Err(PullError::Unreachable);
        }
        let password = self.password.lock().unwrap();
        if password.is_some() && password.as_deref() != auth {
            return Err(PullError::Unauthorized);
        }
        let images = self.images.lock().unwrap();
        let found = match reference.split_once('@') {
            Some((_, digest)) => images.values().find(|image| image.digest == digest),
            None => images.get(reference),
        };
        found.cloned().ok_or(PullError::NotFound)
    }
}

pub(super) struct World {
    pub(super) state: State,
    pub(super) now: Timestamp,
    pub(super) timing: Timing,
    pub(super) table: Table,
    next: Option<Timestamp>,
}

pub(super) fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// `UpdateConfig` and the like count nanoseconds.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap()
}

impl World {
    /// Nodes `n1`, `n2`, …; the first is a manager. Images `good:1`, `good:2`, `good:3` run,
    /// `bad:1` and `bad:2` exit with 1 after a second.
    pub(super) fn new(nodes: usize) -> Self {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut world = World {
            state: State::default(),
            now,
            timing: Timing::real(),
            table: Table::default(),
            next: None,
        };
        for number in 1..=nodes {
            world.join(&format!("n{number}"), if number == 1 { "manager" } else { "worker" });
        }
        for tag in ["good:1", "good:2", "good:3"] {
            world.push(tag, tag, Behaviour::Runs);
        }
        for tag in ["bad:1", "bad:2"] {
            world.push(tag, tag, Behaviour::Exits { after: secs(1), code: 1 });
        }
        world
    }

    pub(super) fn join(&mut self, name: &str, role: &str) {
        let index = self.state.next_index();
        let node = Node {
            object: Object {
                id: name.to_owned(),
                index,
                created: self.now,
                updated: self.now,
                spec: json!({"Role": role, "Availability": "active", "Labels": {}}),
                extra: BTreeMap::new(),
            },
            hostname: name.to_owned(),
            address: "10.0.0.1".to_owned(),
            up: true,
            lost: None,
            leader: role == "manager",
            platform: "linux/amd64".to_owned(),
            nano_cpus: 2_000_000_000,
            memory_bytes: 1 << 30,
            images: BTreeMap::new(),
        };
        self.state.nodes.insert(name.to_owned(), node);
        self.state.touch_node(name);
    }

    pub(super) fn push(&self, tag: &str, says: &str, behaviour: Behaviour) {
        let image = Pulled {
            digest: format!("sha256:{says}"),
            says: says.to_owned(),
            behaviour,
            platform: "linux/amd64".to_owned(),
        };
        self.table.images.lock().unwrap().insert(tag.to_owned(), image);
    }

    pub(super) fn node(&mut self, id: &str, change: impl FnOnce(&mut Node)) {
        change(self.state.nodes.get_mut(id).unwrap());
        self.state.touch_node(id);
    }

    pub(super) fn availability(&mut self, id: &str, availability: &str) {
        self.node(id, |node| node.object.spec["Availability"] = json!(availability));
    }

    pub(super) fn create(&mut self, spec: Value) -> String {
        let id = self.state.next_id();
        let spec_index = self.state.index;
        let index = self.state.next_index();
        let object = Object {
            id: id.clone(),
            index,
            created: self.now,
            updated: self.now,
            spec,
            extra: BTreeMap::new(),
        };
        let service = Service {
            object,
            previous_spec: None,
            spec_index,
            previous_spec_index: None,
            update: None,
            auth: None,
            previous_auth: None,
            job_iteration: 0,
            job_began: Some(self.now),
        };
        self.state.services.insert(id.clone(), service);
        self.state.touch_service(&id);
        id
    }

    /// As `POST /services/{id}/update`.
    pub(super) fn update(&mut self, id: &str, change: impl FnOnce(&mut Value)) {
        let index = self.state.next_index();
        let now = self.now;
        let service = self.state.services.get_mut(id).unwrap();
        service.previous_spec = Some(service.object.spec.clone());
        service.previous_spec_index = Some(service.spec_index);
        service.spec_index = service.object.index;
        let force = service.object.spec.pointer("/TaskTemplate/ForceUpdate").cloned();
        change(&mut service.object.spec);
        if service.object.spec.pointer("/TaskTemplate/ForceUpdate") != force.as_ref() {
            service.job_iteration += 1;
            service.job_began = Some(now);
        }
        service.update = None;
        service.object.index = index;
        self.state.touch_service(id);
    }

    /// As an update with `rollback=previous`.
    pub(super) fn roll_back(&mut self, id: &str) {
        let index = self.state.next_index();
        let service = self.state.services.get_mut(id).unwrap();
        let previous = service.previous_spec.take().unwrap();
        let previous_index = service.previous_spec_index.take().unwrap();
        service.previous_spec = Some(std::mem::replace(&mut service.object.spec, previous));
        service.previous_spec_index = Some(std::mem::replace(&mut service.spec_index, previous_index));
        service.update = Some(Update {
            state: "rollback_started",
            started: self.now,
            completed: None,
            message: "manually requested rollback".to_owned(),
        });
        service.object.index = index;
        self.state.touch_service(id);
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.state.services.remove(id);
        self.state.next_index();
        self.state.touch_service(id);
    }

    /// One step, which a second one does not add to.
    pub(super) fn step(&mut self) {
        self.next = step(&mut self.state, self.now, &self.timing, &self.table);
        let once = self.picture();
        let again = step(&mut self.state, self.now, &self.timing, &self.table);
        assert_eq!(self.picture(), once, "a second step at the same time changes nothing");
        assert_eq!(again, self.next);
        assert!(self.next.is_none_or(|next| next > self.now), "what is due is done");
        self.check_indexes();
    }

    /// The state, or, when it is large, what no change leaves as it was.
    fn picture(&self) -> String {
        let State { index, ids, work, events, .. } = &self.state;
        if self.state.tasks.len() < 12 {
            format!("{:?}", self.state)
        } else {
            format!("{index} {ids} {} {}", events.len(), work.next().is_some())
        }
    }

    /// What is kept up to date is what it would be if it was made anew.
    fn check_indexes(&self) {
        let work = &self.state.work;
        let (mut of_service, mut on_node, mut used) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (id, task) in self.state.tasks.iter() {
            let services: &mut BTreeSet<String> = of_service.entry(task.service.clone()).or_default();
            services.insert(id.clone());
            let Some(node) = &task.node else { continue };
            let nodes: &mut BTreeSet<String> = on_node.entry(node.clone()).or_default();
            nodes.insert(id.clone());
            let there: &mut Used = used.entry(node.clone()).or_default();
            there.change(task, Use::Nothing, Use::of(task));
        }
        assert_eq!(work.of_service, of_service);
        assert_eq!(work.on_node, on_node);
        for (id, there) in &work.used {
            let anew = used.remove(id).unwrap_or_default();
            assert_eq!(Used { failures: BTreeMap::new(), ..there.clone() }, anew, "{id}");
        }
        let tasks = work.alarms.iter().filter_map(|(at, alarm)| match alarm {
            Alarm::Task(id) => Some((id, *at)),
            _ => None,
        });
        for (id, at) in tasks {
            assert_eq!(self.state.tasks.get(id).and_then(|task| task.due), Some(at), "no alarm is stale");
        }
    }

    /// Lets so much time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = after(self.now, time);
        self.watch(end, |_| false);
    }

    /// Runs until `done`; panics after ten minutes.
    pub(super) fn until(&mut self, done: impl FnMut(&World) -> bool) {
        let end = after(self.now, secs(600));
        assert!(self.watch(end, done), "it does not happen:\n{}", self.tell());
    }

    fn watch(&mut self, end: Timestamp, mut done: impl FnMut(&World) -> bool) -> bool {
        self.step();
        loop {
            if done(self) {
                return true;
            }
            match self.next {
                Some(next) if next <= end => self.now = next,
                _ => break,
            }
            self.step();
        }
        self.now = end;
        self.step();
        done(self)
    }

    pub(super) fn tasks(&self, service: &str) -> Vec<&Task> {
        let mut tasks: Vec<&Task> =
            self.state.tasks.values().filter(|task| task.service == service).collect();
        tasks.sort_by_key(|task| {
            (task.slot, task.node.clone().filter(|_| task.slot.is_none()), task.object.created)
        });
        tasks
    }

    pub(super) fn running(&self, service: &str) -> Vec<&Task> {
        let mut tasks = self.tasks(service);
        tasks.retain(|task| task.state == TaskState::Running && task.desired == TaskState::Running);
        tasks
    }

    /// What running containers say, sorted.
    pub(super) fn says(&self, service: &str) -> Vec<String> {
        let running = self.running(service).into_iter();
        let mut says: Vec<String> = running
            .map(|task| task.image.as_ref().map(|image| image.says.clone()).unwrap_or_default())
            .collect();
        says.sort();
        says
    }

    /// `slot/node desired state error` of all its tasks.
    pub(super) fn lines(&self, service: &str) -> Vec<String> {
        let line = |task: &&Task| {
            let place = match (task.slot, &task.node) {
                (Some(slot), _) => slot.to_string(),
                (None, node) => node.clone().unwrap_or_default(),
            };
            let line = format!(
                "{place} {} {} {}",
                task.desired.as_str(),
                task.state.as_str(),
                task.error.as_deref().unwrap_or_default()
            );
            line.trim_end().to_owned()
        };
        self.tasks(service).iter().map(line).collect()
    }

    /// `state: message` of its update.
    pub(super) fn status(&self, service: &str) -> String {
        let update = self.state.services.get(service).and_then(|service| service.update.as_ref());
        update.map(|update| format!("{}: {}", update.state, update.message)).unwrap_or_default()
    }

    pub(super) fn is(&self, service: &str, state: &str) -> bool {
        self.status(service).split(':').next() == Some(state)
    }

    fn tell(&self) -> String {
        let services = self.state.services.keys();
        services.map(|id| format!("{id} {} {:#?}", self.status(id), self.lines(id))).collect()
    }
}

/// A service of so many replicas of an image.
pub(super) fn service(image: &str, replicas: u64) -> Value {
    json!({
        "Name": "web",
        "TaskTemplate": {"ContainerSpec": {"Image": image}, "RestartPolicy": {"Delay": nanos(secs(1))}},
        "Mode": {"Replicated": {"Replicas": replicas}},
        "UpdateConfig": {"Parallelism": 1, "Monitor": nanos(secs(2))},
    })
}

pub(super) fn set_image(spec: &mut Value, image: &str) {
    spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!(image);
}
