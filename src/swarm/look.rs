//! One look at the Swarm: the engine's lists as they came, of which a part is read when somebody
//! wants it. Read whole, the lists of a large Swarm take many times the memory of their text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::convert::{self, View};
use super::list::{Texts, each};
use super::{ErrorClass, SwarmError};
use crate::state::{ObservedBlob, ObservedNetwork, ObservedNode, ObservedState};

/// How much of the Swarm is looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    Whole,
    /// One customer's objects.
    Customer {
        name: String,
        /// Names of the networks that are wanted, whoever's they are.
        networks: Vec<String>,
        /// How the names of secrets and configs begin that are wanted, but for the customer's own.
        blobs: Vec<String>,
    },
}

/// What one look at the Swarm showed.
#[derive(Debug, Default)]
pub struct Look {
    /// The only customer it is about; `None`: it is about all.
    customer: Option<String>,
    services: Texts,
    /// By name.
    named: BTreeMap<Box<str>, Place>,
    tasks: [Texts; 2],
    /// By the service's ID: which list, and where in it.
    of_service: HashMap<Box<str>, Vec<(usize, usize)>>,
    nodes: Arc<BTreeMap<String, ObservedNode>>,
    networks: Arc<BTreeMap<String, ObservedNetwork>>,
    secrets: Arc<BTreeMap<String, ObservedBlob>>,
    configs: Arc<BTreeMap<String, ObservedBlob>>,
}

/// Where a service's text is.
#[derive(Debug)]
struct Place {
    id: Box<str>,
    at: usize,
}

/// What the list calls answered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub services: Texts,
    /// The second one repeats, for some services, what the first one has.
    pub tasks: [Texts; 2],
    pub nodes: Texts,
    /// Networks may stand in both.
    pub networks: [Texts; 2],
    /// Networks that no list has.
    pub predefined: Vec<Value>,
    pub secrets: Texts,
    pub configs: Texts,
}

#[derive(Deserialize)]
struct ServiceHead<'a> {
    #[serde(rename = "ID", borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "Spec", borrow)]
    spec: SpecHead<'a>,
}

#[derive(Deserialize)]
struct SpecHead<'a> {
    #[serde(rename = "Name", borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct TaskHead<'a> {
    #[serde(rename = "ServiceID", borrow)]
    service: Cow<'a, str>,
}

impl Look {
    /// Finds out what stands where.
    ///
    /// # Errors
    /// When an element is no JSON.
    pub(super) fn read(scope: Scope, answers: Answers) -> serde_json::Result<Self> {
        let customer = match scope {
            Scope::Whole => None,
            Scope::Customer { name, .. } => Some(name),
        };
        let Answers { services, tasks, nodes, networks, predefined, secrets, configs } = answers;
        let mut look = Self { customer, services, tasks, ..Self::default() };
        each(&look.services, |head: ServiceHead<'_>, at| {
            let place = Place { id: head.id.into(), at };
            look.named.insert(head.spec.name.into(), place);
        })?;
        for (list, tasks) in look.tasks.iter().enumerate() {
            each(tasks, |head: TaskHead<'_>, at| {
                let places = look.of_service.entry(head.service.into());
                places.or_default().push((list, at));
            })?;
        }
        look.nodes = Arc::new(convert::nodes_of(values(&nodes)?.iter()));
        let [networks, more] = [values(&networks[0])?, values(&networks[1])?];
        look.networks = Arc::new(convert::networks_of(networks.iter().chain(&more).chain(&predefined)));
        look.secrets = Arc::new(blobs(&secrets)?);
        look.configs = Arc::new(blobs(&configs)?);
        Ok(look)
    }

    /// A customer's services; nodes, networks, secrets and configs as far as the look goes.
    ///
    /// # Errors
    /// When an object of the customer's cannot be read: it must not be taken for missing.
    pub fn of(&self, customer: &str) -> Result<ObservedState, SwarmError> {
        if self.customer.as_deref().is_some_and(|only| only != customer) {
            return Err(out_of_scope());
        }
        let prefix = format!("{customer}_");
        let from = self
            .named
            .range::<str, _>((std::ops::Bound::Included(prefix.as_str()), std::ops::Bound::Unbounded));
        self.state(from.take_while(|(name, _)| name.starts_with(&prefix)).map(|(_, place)| place))
    }

    /// Everything.
    ///
    /// # Errors
    /// When an object cannot be read, or the look was at one customer only.
    pub fn whole(&self) -> Result<ObservedState, SwarmError> {
        if self.customer.is_some() {
            return Err(out_of_scope());
        }
        self.state(self.named.values())
    }

    fn state<'a>(&'a self, places: impl Iterator<Item = &'a Place>) -> Result<ObservedState, SwarmError> {
        let mut view = View::default();
        let read =
            |text: &[u8]| serde_json::from_slice::<Value>(text).map_err(|error| super::not_json(&error));
        for place in places {
            view.service(read(&self.services[place.at])?);
            for &(list, at) in self.of_service.get(&place.id).into_iter().flatten() {
                view.task(&read(&self.tasks[list][at])?);
            }
        }
        view.state.nodes = Arc::clone(&self.nodes);
        view.state.networks = Arc::clone(&self.networks);
        view.state.secrets = Arc::clone(&self.secrets);
        view.state.configs = Arc::clone(&self.configs);
        Ok(view.state)
    }
}

fn out_of_scope() -> SwarmError {
    let message = "the look at the Swarm was not at this part of it".to_owned();
    SwarmError { class: ErrorClass::Terminal, message }
}

fn values(list: &[Box<[u8]>]) -> serde_json::Result<Vec<Value>> {
    let mut values = Vec::new();
    each(list, |value: Value, _| values.push(value))?;
    Ok(values)
}

fn blobs(list: &[Box<[u8]>]) -> serde_json::Result<BTreeMap<String, ObservedBlob>> {
    let mut blobs = BTreeMap::new();
    each(list, |blob: Value, _| blobs.extend(convert::observed_blob(&blob)))?;
    Ok(blobs)
}

#[cfg(test)]
mod tests;
