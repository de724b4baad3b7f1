//! Services and tasks by ID, as the Swarm's store has them, with its indexes: services by name, tasks by service.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use super::state::{Service, Task};

/// Services by ID; names do not change once they are here.
#[derive(Clone, Debug, Default)]
pub struct Services {
    by_id: BTreeMap<String, Service>,
    /// Name and ID.
    names: BTreeSet<(String, String)>,
}

impl Services {
    pub fn insert(&mut self, id: String, service: Service) {
        self.remove(&id);
        self.names.insert((service.name().to_owned(), id.clone()));
        self.by_id.insert(id, service);
    }

    pub fn remove(&mut self, id: &str) -> Option<Service> {
        let service = self.by_id.remove(id)?;
        self.names.remove(&(service.name().to_owned(), id.to_owned()));
        Some(service)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Service> {
        self.by_id.get_mut(id)
    }

    /// Those whose names begin so.
    pub fn named(&self, prefix: &str) -> impl Iterator<Item = &Service> {
        let from = self.names.range((prefix.to_owned(), String::new())..);
        from.take_while(move |(name, _)| name.starts_with(prefix)).filter_map(|(_, id)| self.by_id.get(id))
    }
}

impl Deref for Services {
    type Target = BTreeMap<String, Service>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}

/// Tasks by ID; a task's service does not change.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    by_id: BTreeMap<String, Task>,
    /// The service's ID and the task's.
    of_service: BTreeSet<(String, String)>,
}

impl Tasks {
    pub fn insert(&mut self, id: String, task: Task) {
        self.remove(&id);
        self.of_service.insert((task.service.clone(), id.clone()));
        self.by_id.insert(id, task);
    }

    pub fn remove(&mut self, id: &str) -> Option<Task> {
        let task = self.by_id.remove(id)?;
        self.of_service.remove(&(task.service.clone(), id.to_owned()));
        Some(task)
    }

    pub fn get_mut(&mut self, id: &str) -> Option<&mut Task> {
        self.by_id.get_mut(id)
    }

    /// Those of the service with this ID.
    pub fn of(&self, service: &str) -> impl Iterator<Item = &Task> {
        let from = self.of_service.range((service.to_owned(), String::new())..);
        from.take_while(move |(of, _)| of == service).filter_map(|(_, id)| self.by_id.get(id))
    }
}

impl Deref for Tasks {
    type Target = BTreeMap<String, Task>;

    fn deref(&self) -> &Self::Target {
        &self.by_id
    }
}
