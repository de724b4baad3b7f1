//! A memory that is gone with the process, for tests and trials.

use std::collections::BTreeMap;
use std::io;
use std::sync::{PoisonError, RwLock};

use super::{HoldMemory, Memory, Removed, RepositoryMemory, ServiceMemory};

#[derive(Debug, Default)]
pub struct InMemory {
    services: RwLock<BTreeMap<String, ServiceMemory>>,
    repositories: RwLock<BTreeMap<String, RepositoryMemory>>,
    holds: RwLock<BTreeMap<String, HoldMemory>>,
}

impl Memory for InMemory {
    fn service(&self, name: &str) -> ServiceMemory {
        get(&self.services, name)
    }

    fn removed(&self) -> BTreeMap<String, Removed> {
        removed(&self.services.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_service(&self, name: &str, memory: ServiceMemory) -> io::Result<()> {
        put(&self.services, name, memory.bounded());
        Ok(())
    }

    fn repository(&self, name: &str) -> RepositoryMemory {
        get(&self.repositories, name)
    }

    fn put_repository(&self, name: &str, memory: RepositoryMemory) -> io::Result<()> {
        put(&self.repositories, name, memory);
        Ok(())
    }

    fn hold(&self, name: &str) -> HoldMemory {
        get(&self.holds, name)
    }

    fn holds(&self) -> BTreeMap<String, HoldMemory> {
        let holds = self.holds.read().unwrap_or_else(PoisonError::into_inner);
        holds.iter().filter(|(_, held)| held.hold.is_some()).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    fn put_hold(&self, name: &str, memory: HoldMemory) -> io::Result<()> {
        put(&self.holds, name, memory);
        Ok(())
    }
}

/// Those of them that were removed.
pub(super) fn removed(services: &BTreeMap<String, ServiceMemory>) -> BTreeMap<String, Removed> {
    let removed = services.iter().filter_map(|(name, memory)| Some((name.clone(), memory.removed.clone()?)));
    removed.collect()
}

fn get<T: Clone + Default>(map: &RwLock<BTreeMap<String, T>>, name: &str) -> T {
    map.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
}

fn put<T>(map: &RwLock<BTreeMap<String, T>>, name: &str, value: T) {
    map.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
}
