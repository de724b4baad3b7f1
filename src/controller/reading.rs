//! What the controller makes of a reading of the specs: whom to look at, whom to forget, which repositories to ask.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::specs::Changes;
use super::{Controller, Wakeups};
use crate::events::{Kind, Reason, Trigger};
use crate::image::Repository;
use crate::source::SourceError;
use crate::spec::{Customer, ImagePolicy};

/// What a reading of the specs brought.
#[derive(Clone, Debug, Default)]
pub struct SpecsRead {
    /// The keys of each customer's services: of all customers, or of those that are new or changed.
    pub services: BTreeMap<String, Vec<String>>,
    /// Whether these are all.
    pub all: bool,
    /// How many customers there are.
    pub customers: usize,
}

impl Controller {
    pub(super) async fn read_specs(&mut self, trigger: Trigger, wakeups: &Wakeups) {
        let read = self.specs.read(trigger, self.reconciler.recorder.now());
        self.take_specs(read, trigger, wakeups).await;
    }

    /// Before a stack goes, its file is looked for once more. Whom to remove is not asked anew by that, or
    /// those whose removal is held would be looked at for ever.
    pub(super) async fn read_specs_once_more(&mut self, wakeups: &Wakeups) {
        let read = self.specs.read(Trigger::Resync, self.reconciler.recorder.now());
        let removes = read.as_ref().is_ok_and(|changes| !changes.removed.is_empty());
        self.take(read, Trigger::Resync, wakeups).await;
        if removes {
            self.want_gone();
        }
    }

    /// Takes up what a reading of the specs brought.
    pub(super) async fn take_specs(
        &mut self,
        read: Result<Changes, SourceError>,
        trigger: Trigger,
        wakeups: &Wakeups,
    ) {
        let is_read = read.is_ok();
        self.take(read, trigger, wakeups).await;
        if is_read {
            self.want_gone();
        }
    }

    async fn take(&mut self, read: Result<Changes, SourceError>, trigger: Trigger, wakeups: &Wakeups) {
        if let Some(fetch) = self.specs.fetch() {
            self.observer.specs_fetched(fetch);
        }
        match read {
            Ok(changes) => {
                self.specs_failed = false;
                self.count_repositories(&changes);
                let read = self.read_now(&changes);
                self.observer.specs_gone(&self.gone());
                self.observer.specs_read(Ok(&read));
                self.observer.specs_invalid(&self.specs.invalid_messages());
                if self.reconciler.recorder.tell(changes.events).await {
                    self.specs.note_told();
                }
                for key in &changes.removed {
                    self.forget(key);
                }
                for key in &changes.changed {
                    // Nobody has seen what the changed file would have removed.
                    self.permits.end(key);
                    self.retries.succeeded(key);
                    self.quarantined.remove(key);
                    self.want(key, trigger, Instant::now());
                }
                if trigger == Trigger::Startup {
                    self.want_all(trigger);
                }
                wakeups.poll_repositories(self.repositories.keys().cloned().collect());
            }
            Err(error) => {
                self.observer.specs_read(Err(&error.to_string()));
                if !matches!(error, SourceError::Pending) && !std::mem::replace(&mut self.specs_failed, true)
                {
                    let message = format!("{error}; the last good specs stay in force");
                    self.tell(trigger, Kind::Warning, Reason::SpecInvalid, &message).await;
                }
            }
        }
    }

    fn read_now(&mut self, changes: &Changes) -> SpecsRead {
        let all = !std::mem::replace(&mut self.told_of_specs, true);
        let keys = |spec: &Arc<Customer>| {
            (spec.name.clone(), spec.services.keys().cloned().collect::<Vec<String>>())
        };
        let services = match all {
            true => self.specs.customers().map(keys).collect(),
            false => changes.changed.iter().filter_map(|name| self.specs.get(name)).map(keys).collect(),
        };
        SpecsRead { services, all, customers: self.specs.customers().len() }
    }

    /// The customers whose file is gone and whose stack may be removed, and when.
    pub(super) fn gone(&self) -> BTreeMap<String, jiff::Timestamp> {
        let inventory = self.specs.inventory();
        let all = inventory.gone.keys().filter(|_| inventory.complete);
        all.filter_map(|key| Some((key.clone(), inventory.due(key)?))).collect()
    }

    fn count_repositories(&mut self, changes: &Changes) {
        let now = changes.changed.iter().filter_map(|name| self.specs.get(name));
        for repository in now.flat_map(|customer| asked(customer)) {
            *self.repositories.entry(repository.clone()).or_default() += 1;
        }
        for repository in changes.replaced.iter().flat_map(|customer| asked(customer)) {
            if let Some(services) = self.repositories.get_mut(repository) {
                *services -= 1;
            }
        }
        self.repositories.retain(|_, services| *services > 0);
    }
}

/// The repositories whose registries are asked, of each service.
fn asked(customer: &Customer) -> impl Iterator<Item = &Repository> {
    let services = customer.services.values();
    let asked = services.filter(|service| !matches!(service.image, ImagePolicy::Digest { .. }));
    asked.map(|service| service.image.repository())
}
