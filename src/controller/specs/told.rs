//! What was told of each customer's spec, and what is to be told of it now.

use std::io;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Changes, Read, Specs};
use crate::events::{About, Kind, NewEvent, Reason, Trigger};
use crate::spec::Customer;

/// What was last told of a customer.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Told {
    /// Hash of what the spec means.
    pub(super) hash: Option<String>,
    /// The error that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) invalid: Option<String>,
    /// Since when the file is gone, while the stack is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gone: Option<Timestamp>,
    /// The file says, or said, `prune = false`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) keep: bool,
}

impl Specs {
    /// Takes up what was read, which may be of some customers only.
    pub(super) fn merge(&mut self, read: Read, trigger: Trigger) -> Changes {
        let mut changes = Changes::default();
        for (name, message) in read.invalid {
            let told = self.told.entry(name.clone()).or_default();
            if told.gone.take().is_some() {
                changes.is_noted = true;
                changes.events.push(back(&name, trigger));
            }
            if told.invalid.as_ref() != Some(&message) {
                told.invalid = Some(message.clone());
                changes.events.push(event(&name, trigger, Kind::Warning, Reason::SpecInvalid, message));
            }
        }
        for (name, customer) in read.customers {
            let hash = hash(&customer);
            let told = Told { hash: Some(hash.clone()), keep: !customer.prune, ..Told::default() };
            let before = self.told.insert(name.clone(), told);
            changes.is_noted |= before.as_ref().is_some_and(|told| told.keep == customer.prune);
            match before {
                Some(told) if told.gone.is_some() => changes.events.push(back(&name, trigger)),
                None => changes.events.push(event(
                    &name,
                    trigger,
                    Kind::Normal,
                    Reason::SpecAdded,
                    format!("{} read", customer.file),
                )),
                Some(told) if told.invalid.is_some() && told.hash.as_ref() == Some(&hash) => {
                    changes.events.push(event(
                        &name,
                        trigger,
                        Kind::Normal,
                        Reason::Recovered,
                        format!("{} is valid again", customer.file),
                    ));
                }
                Some(told) if told.hash.as_ref() != Some(&hash) => {
                    changes.events.push(event(
                        &name,
                        trigger,
                        Kind::Normal,
                        Reason::SpecChanged,
                        format!("{} changed", customer.file),
                    ));
                }
                Some(_) => {}
            }
            if self.customers.get(&name).is_none_or(|held| **held != customer) {
                changes.replaced.extend(self.customers.insert(name.clone(), Arc::new(customer)));
                changes.changed.insert(name);
            }
        }
        changes
    }

    /// Writes down what was told, for the next start.
    pub(super) fn save(&self) -> io::Result<()> {
        let Some(file) = &self.told_file else { return Ok(()) };
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_vec(&self.told)?)?;
        std::fs::rename(&new, file)
    }
}

fn hash(customer: &Customer) -> String {
    crate::plan::text_hash(&format!("{customer:?}"))
}

fn back(name: &str, trigger: Trigger) -> NewEvent {
    let message = "the file is back, so the stack stays".to_owned();
    event(name, trigger, Kind::Normal, Reason::SpecAdded, message)
}

pub(super) fn event(name: &str, trigger: Trigger, kind: Kind, reason: Reason, message: String) -> NewEvent {
    About { customer: Some(name.to_owned()), trigger, revision: None }.event(kind, reason, None, message)
}
