//! What people ask for at run time: holds, and forgetting refusals. Both come in as data: a
//! hold is written into the customer that is planned, and a retry is done at the start of the
//! customer's next pass, since nobody else writes its memory then.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::memory::{self, Hold, Memory};
use crate::plan::{Plan, service_name};
use crate::spec::{Customer, Suspend};

/// More retries asked for at once than a customer has use for; further ones are refused.
const WAITING_MAX: usize = 256;

/// A person's wish that a refused version is tried once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    pub service: String,
    /// `None`: all versions that were refused.
    pub version: Option<String>,
}

/// Retries that wait for their customer's next pass.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    waiting: Arc<Mutex<BTreeMap<String, Vec<Retry>>>>,
}

impl Orders {
    /// Whether there was room for it.
    pub fn retry(&self, customer: &str, retry: Retry) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let of_customer = waiting.entry(customer.to_owned()).or_default();
        if of_customer.contains(&retry) {
            return true;
        }
        let room = of_customer.len() < WAITING_MAX;
        if room {
            of_customer.push(retry);
        }
        room
    }

    pub(crate) fn take(&self, customer: &str) -> Vec<Retry> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(customer).unwrap_or_default()
    }
}

/// Forgets refusals and asks for one more try. Gives back how many were forgotten.
///
/// # Errors
/// When the memory cannot be written.
pub fn forget_refusals(memory: &dyn Memory, customer: &str, retry: &Retry) -> io::Result<usize> {
    let name = service_name(customer, &retry.service);
    let mut remembered = memory.service(&name);
    let before = remembered.refused.len();
    let forgotten = |version: Option<&str>| retry.version.is_none() || version == retry.version.as_deref();
    remembered.refused.retain(|refusal| !forgotten(refusal.image.version.as_deref()));
    remembered.forced = None;
    remembered.retry = true;
    // One that was given up is begun anew.
    remembered.rollout = remembered.rollout.filter(|rollout| rollout.failed.is_none());
    let count = before - remembered.refused.len();
    memory.put_service(&name, remembered)?;
    Ok(count)
}

/// Ends a wish that turned out to need no step: it was asked for once.
///
/// # Errors
/// When the memory cannot be written.
pub fn forget_retry(memory: &dyn Memory, customer: &str, retry: &Retry, plan: &Plan) -> io::Result<()> {
    if plan.steps.iter().any(|step| step.service.as_deref() == Some(&retry.service)) {
        return Ok(());
    }
    let name = service_name(customer, &retry.service);
    let mut remembered = memory.service(&name);
    if std::mem::take(&mut remembered.retry) {
        memory.put_service(&name, remembered)?;
    }
    Ok(())
}

/// The customer with what a person holds at run time; a hold of its spec goes first.
pub(super) fn with_holds<'a>(
    memory: &dyn Memory,
    customer: &'a Customer,
    now: Timestamp,
) -> Cow<'a, Customer> {
    let runs = |until: Option<Timestamp>| until.is_none_or(|until| now < until);
    let free = |spec: &Option<Suspend>| !spec.as_ref().is_some_and(|suspend| runs(suspend.until));
    let held = |service: Option<&str>| -> Option<Suspend> {
        let Hold { reason, until, .. } = memory.hold(&memory::hold_name(&customer.name, service)).hold?;
        runs(until).then_some(Suspend { reason, until })
    };
    let mut held_customer = Cow::Borrowed(customer);
    if free(&customer.suspend)
        && let Some(suspend) = held(None)
    {
        held_customer.to_mut().suspend = Some(suspend);
    }
    for (key, service) in &customer.services {
        if free(&service.suspend)
            && let Some(suspend) = held(Some(key))
            && let Some(service) = held_customer.to_mut().services.get_mut(key)
        {
            service.suspend = Some(suspend);
        }
    }
    held_customer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{HoldMemory, InMemory};

    fn acme(text: &str) -> Customer {
        let files = BTreeMap::from([("acme.toml".to_owned(), text.to_owned())]);
        let mut loaded = crate::spec::parse::load(&crate::spec::parse::SpecFiles { files });
        loaded.customers.remove("acme").unwrap()
    }

    #[test]
    fn holds_are_seen_as_the_specs_own_until_they_end() {
        let free =
            acme("[services.web]\nimage = 'r.example.com/web'\n[services.db]\nimage = 'r.example.com/db'\n");
        let memory = InMemory::default();
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        assert!(
            matches!(with_holds(&memory, &free, at(0)), Cow::Borrowed(_)),
            "nothing is copied for nothing"
        );
        let hold = |reason: &str, until| HoldMemory {
            hold: Some(Hold { reason: reason.into(), until, since: at(0) }),
        };
        memory.put_hold("acme/web", hold("freeze", Some(at(10)))).unwrap();
        memory.put_hold("acme/none", hold("no such service", None)).unwrap();
        let held = with_holds(&memory, &free, at(9));
        assert_eq!(held.services["web"].suspend.as_ref().unwrap().reason, "freeze");
        assert!(held.services["db"].suspend.is_none() && held.suspend.is_none());
        assert!(matches!(with_holds(&memory, &free, at(10)), Cow::Borrowed(_)), "its time is over");
        memory.put_hold("acme", hold("audit", None)).unwrap();
        assert_eq!(with_holds(&memory, &free, at(99)).suspend.as_ref().unwrap().reason, "audit");
        let by_spec = acme("suspend = 'by spec'\n[services.web]\nimage = 'r.example.com/web'\n");
        assert_eq!(with_holds(&memory, &by_spec, at(0)).suspend.as_ref().unwrap().reason, "by spec");
    }

    #[test]
    fn a_customer_cannot_pile_up_retries() {
        let orders = Orders::default();
        let retry = |service: usize| Retry { service: service.to_string(), version: None };
        assert!((0..WAITING_MAX).all(|service| orders.retry("acme", retry(service))));
        assert!(orders.retry("acme", retry(3)), "asked for already");
        assert!(!orders.retry("acme", retry(WAITING_MAX)));
        assert_eq!(orders.take("acme").len(), WAITING_MAX);
        assert!(orders.take("acme").is_empty());
    }
}
