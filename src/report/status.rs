//! `status`: desired beside running. Sync (`state`) and health (`conditions`) are two axes.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::plan::PRUNE_HELD;
use super::table::{Cell, Table};
use super::{ImageReport, Style, Tone, counted, short_digest};

/// The reason of what is to be changed by the next pass or `apply`: of a service, and of a customer that has what no
/// spec names any more.
pub const CHANGES_PENDING: &str = "ChangesPending";

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    pub customers: Vec<StatusCustomer>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatusCustomer {
    pub customer: String,
    pub revision: Option<String>,
    pub services: Vec<ServiceStatus>,
    /// About the customer as a whole, such as an invalid spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceStatus {
    pub service: String,
    pub desired: Option<ImageReport>,
    pub running: Vec<RunningImage>,
    /// Those that run, of those that should.
    pub tasks: TaskCount,
    pub state: SyncState,
    pub conditions: Vec<Condition>,
    pub message: String,
}

/// What some of the tasks run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunningImage {
    pub tag: Option<String>,
    pub digest: Option<String>,
    pub tasks: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCount {
    pub running: usize,
    /// `null`: not known.
    pub desired: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncState {
    InSync,
    Progressing,
    Drifted,
    Stalled,
    Suspended,
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    #[serde(rename = "type")]
    pub kind: ConditionKind,
    pub status: ConditionStatus,
    /// PascalCase.
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionKind {
    Ready,
    Reconciling,
    /// A person is needed; skep does not try again by itself.
    Stalled,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConditionStatus {
    True,
    False,
    Unknown,
}

impl SyncState {
    fn look(self) -> (&'static str, Tone) {
        match self {
            Self::InSync => ("InSync", Tone::Good),
            Self::Progressing => ("Progressing", Tone::Change),
            Self::Drifted => ("Drifted", Tone::Warn),
            Self::Stalled => ("Stalled", Tone::Bad),
            Self::Suspended => ("Suspended", Tone::Warn),
            Self::Unknown => ("Unknown", Tone::Bad),
        }
    }
}

impl Condition {
    fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let (reason, message) = (style.text(&self.reason, 64), style.text(&self.message, 500));
        writeln!(out, "  {} {reason}: {message}", style.paint(Tone::Bad, "!"))
    }
}

impl StatusReport {
    fn services(&self) -> impl Iterator<Item = &ServiceStatus> {
        self.customers.iter().flat_map(|customer| &customer.services)
    }

    /// Whether a customer as a whole could not be judged, or a service's spec cannot be
    /// carried out.
    fn invalid(&self) -> bool {
        let of_customers = self.customers.iter().flat_map(|customer| &customer.conditions);
        let of_services = self.services().flat_map(|service| &service.conditions);
        let unknown = |condition: &Condition| condition.status == ConditionStatus::Unknown;
        of_customers.clone().any(unknown)
            || of_customers.chain(of_services).any(|condition| condition.reason == "SpecInvalid")
    }

    /// Whether something is due to be removed, by skep or when a person allows it: pending as any other change.
    pub fn has_removals(&self) -> bool {
        let mut conditions = self.customers.iter().flat_map(|customer| &customer.conditions);
        conditions.any(|condition| [PRUNE_HELD, CHANGES_PENDING].contains(&condition.reason.as_str()))
    }

    /// 2 when something is unknown, else 1 when something is not in sync.
    pub fn exit_status(&self) -> u8 {
        if self.invalid() || self.services().any(|service| service.state == SyncState::Unknown) {
            2
        } else if self.services().any(|service| service.state != SyncState::InSync) || self.has_removals() {
            1
        } else {
            0
        }
    }

    /// # Errors
    /// When `out` does not take it.
    pub fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        if self.services().next().is_some() {
            self.table(style).write(out, style)?;
            writeln!(out)?;
        }
        for customer in self.customers.iter().filter(|customer| !customer.conditions.is_empty()) {
            writeln!(out, "{}", style.paint(Tone::Strong, &style.text(&customer.customer, 64)))?;
            customer.conditions.iter().try_for_each(|condition| condition.render(out, style))?;
            writeln!(out)?;
        }
        let in_sync = self.services().filter(|service| service.state == SyncState::InSync).count();
        writeln!(out, "{}: {in_sync} in sync.", counted(self.services().count(), "service"))
    }

    fn table(&self, style: &Style) -> Table {
        let mut table =
            Table::new(&["CUSTOMER", "SERVICE", "STATE", "DESIRED", "RUNNING", "TASKS", "READY", "MESSAGE"]);
        for customer in &self.customers {
            for service in &customer.services {
                table.row(service.cells(&customer.customer, style));
            }
        }
        table
    }
}

impl ServiceStatus {
    fn cells(&self, customer: &str, style: &Style) -> Vec<Cell> {
        let (state, tone) = self.state.look();
        let desired =
            self.desired.as_ref().map_or_else(|| "-".into(), |image| image.name(style).into_owned());
        let (ready, ready_tone) = self.ready();
        vec![
            Cell::new(style.text(customer, 64)),
            Cell::new(style.text(&self.service, 64)),
            Cell::tone(state, tone),
            Cell::new(desired),
            Cell::new(self.running(style)),
            Cell::new(self.tasks.to_string()),
            Cell::tone(ready, ready_tone),
            Cell::new(style.text(&self.message, 300)),
        ]
    }

    /// What runs, by tag; a digest other than the desired one under the same tag is told.
    fn running(&self, style: &Style) -> String {
        let desired = self.desired.as_ref().and_then(|image| image.digest.as_deref());
        let name = |image: &RunningImage| {
            let tag = image.tag.as_deref().map_or_else(|| "(no tag)".to_owned(), |tag| style.text(tag, 64));
            match (image.digest.as_deref(), desired) {
                (Some(digest), Some(desired)) if digest != desired => {
                    format!("{tag}@{}", short_digest(digest, style))
                }
                _ => tag,
            }
        };
        if self.running.is_empty() {
            return "-".into();
        }
        self.running.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    fn ready(&self) -> (&'static str, Tone) {
        let ready = self.conditions.iter().find(|condition| condition.kind == ConditionKind::Ready);
        match ready.map(|condition| condition.status) {
            Some(ConditionStatus::True) => ("yes", Tone::Good),
            Some(ConditionStatus::False) => ("no", Tone::Bad),
            Some(ConditionStatus::Unknown) => ("unknown", Tone::Bad),
            None => ("-", Tone::Plain),
        }
    }
}

impl std::fmt::Display for TaskCount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.desired {
            Some(desired) => write!(f, "{}/{desired}", self.running),
            None => write!(f, "{}/?", self.running),
        }
    }
}
