//! One look at the Swarm: the engine's lists as they came, of which a part is read when somebody
//! wants it. Read whole, the lists of a large Swarm take many times the memory of their text.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Error as _, IgnoredAny};
use serde_json::Value;

use super::convert::{self, View};
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
    services: Vec<u8>,
    /// By name.
    named: BTreeMap<Box<str>, Place>,
    tasks: [Vec<u8>; 2],
    /// By the service's ID: which list, and where in it.
    of_service: HashMap<Box<str>, Vec<(usize, Range<usize>)>>,
    nodes: Arc<BTreeMap<String, ObservedNode>>,
    networks: Arc<BTreeMap<String, ObservedNetwork>>,
    secrets: Arc<BTreeMap<String, ObservedBlob>>,
    configs: Arc<BTreeMap<String, ObservedBlob>>,
}

/// Where a service's text is.
#[derive(Debug)]
struct Place {
    id: Box<str>,
    text: Range<usize>,
}

/// What the list calls answered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub services: Vec<u8>,
    /// The second one repeats, for some services, what the first one has.
    pub tasks: [Vec<u8>; 2],
    pub nodes: Vec<u8>,
    /// Networks may stand in both.
    pub networks: [Vec<u8>; 2],
    /// Networks that no list has.
    pub predefined: Vec<Value>,
    pub secrets: Vec<u8>,
    pub configs: Vec<u8>,
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
    /// When an answer is no whole list: it must not be taken for a shorter one.
    pub(super) fn read(scope: Scope, answers: Answers) -> serde_json::Result<Self> {
        let customer = match scope {
            Scope::Whole => None,
            Scope::Customer { name, .. } => Some(name),
        };
        let Answers { services, tasks, nodes, networks, predefined, secrets, configs } = answers;
        let mut look = Self { customer, services, tasks, ..Self::default() };
        each(&look.services, |head: ServiceHead<'_>, text| {
            let place = Place { id: head.id.into(), text };
            look.named.insert(head.spec.name.into(), place);
        })?;
        for (list, tasks) in look.tasks.iter().enumerate() {
            each(tasks, |head: TaskHead<'_>, text| {
                let places = look.of_service.entry(head.service.into());
                places.or_default().push((list, text));
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
            view.service(read(&self.services[place.text.clone()])?);
            for (list, text) in self.of_service.get(&place.id).into_iter().flatten() {
                view.task(&read(&self.tasks[*list][text.clone()])?);
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

fn values(text: &[u8]) -> serde_json::Result<Vec<Value>> {
    let mut values = Vec::new();
    each(text, |value: Value, _| values.push(value))?;
    Ok(values)
}

fn blobs(text: &[u8]) -> serde_json::Result<BTreeMap<String, ObservedBlob>> {
    let mut blobs = BTreeMap::new();
    each(text, |blob: Value, _| blobs.extend(convert::observed_blob(&blob)))?;
    Ok(blobs)
}

/// Gives `take` what it wants of each element of a JSON array, and where its text is; an element
/// that is something else is passed over. Nothing and `null` have no elements, as Go writes an empty list.
fn each<'a, T: Deserialize<'a>>(
    text: &'a [u8],
    mut take: impl FnMut(T, Range<usize>),
) -> serde_json::Result<()> {
    let (mut at, begun) = next(text, 0);
    match begun {
        None => return Ok(()),
        Some(b'[') => at += 1,
        Some(_) if serde_json::from_slice::<Option<()>>(text).is_ok() => return Ok(()),
        Some(_) => return Err(serde_json::Error::custom("expected a list")),
    }
    let (start, first) = next(text, at);
    let mut at = start;
    if first == Some(b']') {
        return end(text, at + 1);
    }
    loop {
        let (element, length) = element(&text[at..])?;
        if let Some(element) = element {
            take(element, at..at + length);
        }
        let (after, separator) = next(text, at + length);
        match separator {
            Some(b',') => at = next(text, after + 1).0,
            Some(b']') => return end(text, after + 1),
            _ => return Err(serde_json::Error::custom("the list is broken off")),
        }
    }
}

/// The first value of a text, if it is what is wanted, and its length.
fn element<'a, T: Deserialize<'a>>(text: &'a [u8]) -> serde_json::Result<(Option<T>, usize)> {
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<T>();
    if let Some(Ok(element)) = stream.next() {
        return Ok((Some(element), stream.byte_offset()));
    }
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    match stream.next() {
        Some(skipped) => skipped.map(|_| (None, stream.byte_offset())),
        None => Err(serde_json::Error::custom("the list is broken off")),
    }
}

/// Where the next byte is that is not white, and which.
fn next(text: &[u8], from: usize) -> (usize, Option<u8>) {
    let white = text[from..].iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count();
    (from + white, text.get(from + white).copied())
}

fn end(text: &[u8], from: usize) -> serde_json::Result<()> {
    match next(text, from).1 {
        None => Ok(()),
        Some(_) => Err(serde_json::Error::custom("something follows the list")),
    }
}

#[cfg(test)]
mod tests;
