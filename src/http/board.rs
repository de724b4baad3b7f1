//! What the last pass of each customer showed, for whoever asks.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::controller::Fetch;
use crate::report::{
    Condition, ConditionKind, ConditionStatus, ServiceStatus, StatusCustomer, StatusReport, SyncState,
    TaskCount,
};
use crate::text::printable;

/// Customers, and how they stood at their last pass.
#[derive(Debug)]
pub struct Board {
    customers: Mutex<BTreeMap<String, Entry>>,
    /// Customers whose file is gone, and whose stack is still to be removed.
    gone: Mutex<BTreeMap<String, Gone>>,
    reading: Mutex<Reading>,
    /// What times are told from to whoever is not of this process.
    origin: Instant,
    /// Counts what changed, for those who wait.
    changed: watch::Sender<u64>,
}

/// The last reading of the specs.
#[derive(Debug, Default)]
struct Reading {
    /// When it ended, well or not.
    at: Option<Instant>,
    error: Option<String>,
    /// What it went by, where specs are fetched.
    fetch: Option<Fetch>,
}

#[derive(Debug, Default)]
struct Entry {
    /// The keys of the spec that is in force.
    services: Vec<String>,
    /// Since when it is in force: a pass of before tells nothing of it.
    since: Option<Instant>,
    last: Option<Last>,
    /// Why the spec as it stands cannot be read.
    invalid: Option<String>,
}

#[derive(Debug)]
struct Gone {
    /// When its stack is to be removed.
    due: Timestamp,
    last: Option<Last>,
}

#[derive(Debug)]
struct Last {
    begun: Instant,
    /// Or why nobody can tell.
    status: Result<StatusCustomer, String>,
}

/// Enough of an error to know it.
const MESSAGE_CHARS_MAX: usize = 300;

impl Default for Board {
    fn default() -> Self {
        Self {
            customers: Mutex::default(),
            gone: Mutex::default(),
            reading: Mutex::default(),
            origin: Instant::now(),
            changed: watch::Sender::new(0),
        }
    }
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.customers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Customers with the keys of their services: all there are, or those that changed.
    pub fn specs(&self, customers: &BTreeMap<String, Vec<String>>, all: bool) {
        let mut entries = self.lock();
        entries.retain(|name, entry| !all || customers.contains_key(name) || entry.invalid.is_some());
        for (name, services) in customers {
            let entry = entries.entry(name.clone()).or_default();
            entry.services.clone_from(services);
            entry.since = Some(Instant::now());
        }
    }

    /// The customers whose spec has errors, with the first of them.
    pub fn invalid(&self, invalid: &BTreeMap<String, String>) {
        let mut entries = self.lock();
        entries.values_mut().for_each(|entry| entry.invalid = None);
        for (name, message) in invalid {
            entries.entry(name.clone()).or_default().invalid = Some(printable(message, MESSAGE_CHARS_MAX));
        }
        entries
            .retain(|_, entry| entry.invalid.is_some() || !entry.services.is_empty() || entry.last.is_some());
    }

    /// What a pass that began at `begun` showed, or why it showed nothing.
    pub fn pass(&self, customer: &str, begun: Instant, status: Result<StatusCustomer, &str>) {
        let status = status.map_err(|message| printable(message, MESSAGE_CHARS_MAX));
        let last = Some(Last { begun, status });
        if let Some(entry) = self.lock().get_mut(customer) {
            entry.last = last;
        } else if let Some(gone) = self.lock_gone().get_mut(customer) {
            gone.last = last;
        }
        self.stir();
    }

    /// Has those look again who wait for something to change.
    fn stir(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The specs were read now, or why they could not be.
    pub fn specs_were_read(&self, result: Result<(), &str>) {
        let error = result.err().map(|message| printable(message, MESSAGE_CHARS_MAX));
        {
            let mut reading = self.reading();
            (reading.at, reading.error) = (Some(Instant::now()), error);
        }
        self.stir();
    }

    /// The reading that comes next goes by this fetch.
    pub fn specs_were_fetched(&self, fetch: &Fetch) {
        self.reading().fetch = Some(fetch.clone());
    }

    pub fn is_read_since(&self, since: Instant) -> bool {
        self.reading().at.is_some_and(|read| read >= since)
    }

    /// How a reading went that began with what is there since: `None` until it is fetched and read.
    pub fn read_anew(&self, since: Instant) -> Option<Result<(), String>> {
        let reading = self.reading();
        let fetched = reading.fetch.as_ref();
        let is_new = |at: Option<Instant>| at.is_some_and(|at| at >= since);
        if !is_new(reading.at) || !fetched.is_none_or(|fetch| is_new(fetch.begun)) {
            return None;
        }
        let error = fetched.and_then(|fetch| fetch.error.as_deref()).or(reading.error.as_deref());
        Some(error.map_or(Ok(()), |error| Err(printable(error, MESSAGE_CHARS_MAX))))
    }

    /// The customers whose file is gone, and whose stack is still to be removed, and when.
    pub fn set_gone(&self, gone: &BTreeMap<String, Timestamp>) {
        {
            let mut all = self.lock_gone();
            let mut before = std::mem::take(&mut *all);
            let mut last = |name: &String| before.remove(name).and_then(|gone| gone.last);
            let mut entry =
                |(name, due): (&String, &Timestamp)| (name.clone(), Gone { due: *due, last: last(name) });
            *all = gone.iter().map(&mut entry).collect();
        }
        self.stir();
    }

    pub fn gone(&self) -> BTreeMap<String, Timestamp> {
        self.lock_gone().iter().map(|(name, gone)| (name.clone(), gone.due)).collect()
    }

    fn lock_gone(&self) -> MutexGuard<'_, BTreeMap<String, Gone>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A time as others are told it, to ask for what came since.
    pub fn mark(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time that was told so; never one that is still to come.
    pub fn at(&self, mark: u64) -> Instant {
        let now = Instant::now();
        self.origin.checked_add(Duration::from_nanos(mark)).map_or(now, |at| at.min(now))
    }

    /// The customers that have services, whose passes say how they stand.
    pub fn looked_at(&self) -> Vec<String> {
        let entries = self.lock();
        entries.iter().filter(|(_, entry)| !entry.services.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    pub fn forget(&self, customer: &str) {
        self.lock().remove(customer);
    }

    /// The keys of a customer's services.
    pub fn services(&self, customer: &str) -> Option<Vec<String>> {
        self.lock().get(customer).map(|entry| entry.services.clone())
    }

    pub fn names(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// How the customers stand: one, or all. Of those whose file is gone, only what their last pass had to say.
    pub fn report(&self, customer: Option<&str>) -> StatusReport {
        let is_wanted = |name: &&String| customer.is_none_or(|only| only == *name);
        let entries = self.lock();
        let known = entries.iter().filter(|(name, _)| is_wanted(name));
        let mut customers: Vec<_> = known.map(|(name, entry)| entry.status(name)).collect();
        let gone = self.lock_gone();
        let gone = gone.iter().filter(|(name, _)| is_wanted(name) && !entries.contains_key(*name));
        customers.extend(gone.filter_map(|(name, gone)| gone.status(name)));
        customers.sort_by(|a, b| a.customer.cmp(&b.customer));
        StatusReport { customers }
    }

    /// Tells of every pass that ends from now on.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether a pass that began at `since` or later has shown every one of these (or all)
    /// customers to be where they will stay for now.
    pub fn settled(&self, customer: Option<&str>, since: Instant) -> bool {
        let entries = self.lock();
        let mut wanted = entries.iter().filter(|(name, _)| customer.is_none_or(|only| only == *name));
        wanted.all(|(_, entry)| entry.services.is_empty() || entry.is_settled(since))
    }
}

impl Gone {
    fn status(&self, name: &str) -> Option<StatusCustomer> {
        match &self.last.as_ref()?.status {
            Ok(status) => Some(status.clone()).filter(|status| !status.conditions.is_empty()),
            Err(message) => Some(StatusCustomer {
                customer: name.to_owned(),
                conditions: vec![Condition {
                    kind: ConditionKind::Stalled,
                    status: ConditionStatus::Unknown,
                    reason: "Unknown".into(),
                    message: message.clone(),
                }],
                ..StatusCustomer::default()
            }),
        }
    }
}

impl Entry {
    fn is_settled(&self, since: Instant) -> bool {
        let since = self.since.map_or(since, |changed| changed.max(since));
        let Some(last) = self.last.as_ref().filter(|last| last.begun >= since) else { return false };
        let Ok(status) = &last.status else { return false };
        let stays = |service: &ServiceStatus| {
            matches!(service.state, SyncState::InSync | SyncState::Stalled | SyncState::Suspended)
        };
        status.services.iter().all(stays)
    }

    fn status(&self, name: &str) -> StatusCustomer {
        let seen = self.last.as_ref().and_then(|last| last.status.as_ref().ok());
        let why = match self.last.as_ref().map(|last| &last.status) {
            Some(Err(message)) => message.as_str(),
            _ => "not looked at yet",
        };
        let of = |key: &String| {
            let known = seen.and_then(|seen| seen.services.iter().find(|service| service.service == *key));
            known.cloned().unwrap_or_else(|| unknown(key, why))
        };
        let mut conditions = seen.map(|seen| seen.conditions.clone()).unwrap_or_default();
        conditions.extend(self.invalid.as_ref().map(|message| Condition {
            kind: ConditionKind::Stalled,
            status: ConditionStatus::True,
            reason: "SpecInvalid".into(),
            message: message.clone(),
        }));
        StatusCustomer {
            customer: name.to_owned(),
            revision: seen.and_then(|seen| seen.revision.clone()),
            services: self.services.iter().map(of).collect(),
            conditions,
        }
    }
}

/// A service of which nobody can tell: never a guess.
fn unknown(key: &str, why: &str) -> ServiceStatus {
    ServiceStatus {
        service: key.to_owned(),
        desired: None,
        running: Vec::new(),
        tasks: TaskCount::default(),
        state: SyncState::Unknown,
        conditions: vec![Condition {
            kind: ConditionKind::Ready,
            status: ConditionStatus::Unknown,
            reason: "Unknown".into(),
            message: why.to_owned(),
        }],
        message: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn specs(keys: &[&str]) -> BTreeMap<String, Vec<String>> {
        BTreeMap::from([("acme".to_owned(), keys.iter().map(|key| (*key).to_owned()).collect())])
    }

    fn shown(state: SyncState) -> StatusCustomer {
        let service = ServiceStatus { state, ..unknown("web", "") };
        StatusCustomer { customer: "acme".into(), services: vec![service], ..StatusCustomer::default() }
    }

    #[test]
    fn what_was_not_looked_at_is_unknown() {
        let board = Board::default();
        board.specs(&specs(&["web", "db"]), true);
        let report = board.report(None);
        assert_eq!(report.exit_status(), 2);
        assert!(report.customers[0].services.iter().all(|s| s.message == "not looked at yet"));
        let now = Instant::now();
        board.pass("acme", now, Ok(shown(SyncState::InSync)));
        let states: Vec<SyncState> =
            board.report(None).customers[0].services.iter().map(|s| s.state).collect();
        assert_eq!(states, [SyncState::InSync, SyncState::Unknown], "a key of which the pass knew nothing");
        board.pass("acme", now, Err("the engine\u{1b}[0m is down"));
        let report = board.report(Some("acme"));
        assert!(report.customers[0].services.iter().all(|s| s.state == SyncState::Unknown));
        assert!(!report.customers[0].services[0].message.contains('\u{1b}'));
        board.specs(&BTreeMap::new(), true);
        assert!(board.report(None).customers.is_empty());
    }

    #[test]
    fn an_invalid_spec_stands_beside_what_is_in_force() {
        let board = Board::default();
        board.specs(&specs(&["web"]), true);
        board.pass("acme", Instant::now(), Ok(shown(SyncState::InSync)));
        let bad = |name: &str| BTreeMap::from([(name.to_owned(), "unknown key".to_owned())]);
        board.invalid(&bad("acme"));
        assert_eq!(board.report(None).exit_status(), 2);
        assert_eq!(board.report(None).customers[0].services.len(), 1);
        board.invalid(&bad("globex"));
        assert_eq!(board.names(), ["acme", "globex"]);
        board.specs(&specs(&["web"]), true);
        board.invalid(&BTreeMap::new());
        assert_eq!(board.names(), ["acme"]);
        assert_eq!(board.report(None).exit_status(), 0);
    }

    #[test]
    fn of_who_is_gone_what_waits_is_told_and_what_is_unknown() {
        let board = Board::default();
        let gone = |names: &[&str]| {
            let due = Timestamp::UNIX_EPOCH;
            board.set_gone(&names.iter().map(|name| ((*name).to_owned(), due)).collect());
        };
        gone(&["acme"]);
        assert!(board.report(None).customers.is_empty(), "nobody looked yet");
        let held = Condition {
            kind: ConditionKind::Stalled,
            status: ConditionStatus::True,
            reason: "PruneHeld".into(),
            message: "too many".into(),
        };
        let waits =
            StatusCustomer { customer: "acme".into(), conditions: vec![held], ..StatusCustomer::default() };
        board.pass("acme", Instant::now(), Ok(waits.clone()));
        gone(&["acme", "globex"]);
        for only in [None, Some("acme")] {
            assert_eq!(board.report(only).exit_status(), 1);
        }
        assert_eq!(board.report(Some("globex")).exit_status(), 0);
        board.pass("acme", Instant::now(), Err("the engine is down"));
        assert_eq!(board.report(None).exit_status(), 2);
        board.pass("acme", Instant::now(), Ok(StatusCustomer { conditions: Vec::new(), ..waits }));
        assert!(board.report(None).customers.is_empty() && board.names().is_empty());
    }

    #[test]
    fn a_mark_is_the_time_it_was_made_of() {
        let board = Board::default();
        let now = Instant::now();
        assert_eq!(board.at(board.mark(now)), now);
        assert!(board.at(u64::MAX) <= Instant::now());
    }

    #[test]
    fn specs_are_new_once_they_were_fetched_and_read() {
        let board = Board::default();
        let asked = Instant::now();
        assert_eq!(board.read_anew(asked), None);
        board.specs_were_read(Ok(()));
        assert_eq!(board.read_anew(asked), Some(Ok(())), "nothing is fetched here");
        board.specs_were_read(Err("no such directory"));
        assert_eq!(board.read_anew(asked), Some(Err("no such directory".into())));

        let fetched = |begun, error: Option<&str>| {
            board.specs_were_fetched(&Fetch { begun, error: error.map(str::to_owned) });
            board.specs_were_read(Ok(()));
            board.read_anew(asked)
        };
        assert_eq!(fetched(None, None), None, "the first fetch is under way");
        assert_eq!(fetched(Some(asked - Duration::from_millis(1)), None), None, "it had begun before");
        assert_eq!(fetched(Some(asked), None), Some(Ok(())));
        assert_eq!(fetched(Some(asked), Some("no signature")), Some(Err("no signature".into())));
    }

    #[test]
    fn only_a_pass_begun_since_settles() {
        let board = Board::default();
        let asked = Instant::now();
        board.specs(&specs(&["web"]), true);
        assert!(!board.settled(None, asked));
        board.pass("acme", asked - Duration::from_millis(1), Ok(shown(SyncState::InSync)));
        assert!(!board.settled(None, asked), "it had begun before");
        board.pass("acme", asked, Ok(shown(SyncState::Progressing)));
        assert!(!board.settled(None, asked));
        board.pass("acme", asked, Ok(shown(SyncState::Stalled)));
        assert!(!board.settled(Some("acme"), asked), "it was of the spec of before");
        board.pass("acme", Instant::now(), Ok(shown(SyncState::Stalled)));
        assert!(board.settled(Some("acme"), asked));
    }
}
