//! What commands print: boundary types with exactly the contract's JSON, and their text.
//!
//! Nothing here decides anything but how a finding looks and which exit status it means.

mod audit;
mod compose;
mod doctor;
mod explain;
mod history;
mod lint;
mod plan;
mod status;
mod style;
mod table;
#[cfg(test)]
mod tests;
mod yaml;

use serde::{Deserialize, Serialize};

pub use audit::{AuditReport, AuditService, Verdict};
pub use compose::{compose, notes};
pub use doctor::{Check, CheckStatus, DoctorReport};
pub use explain::{ExplainReport, RejectedTag};
pub use history::HistoryReport;
pub use lint::{LintDiagnostic, LintReport};
pub use plan::{
    Action, Change, ObjectKind, Outcome, OutcomeState, PlanCustomer, PlanReport, PlanStep, PlanWaiting,
};
pub use status::{
    CHANGES_PENDING, Condition, ConditionKind, ConditionStatus, RunningImage, ServiceStatus, StatusCustomer,
    StatusReport, SyncState, TaskCount,
};
pub use style::{Style, Tone};
pub use yaml::yaml;

/// An image as reports name it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageReport {
    pub tag: Option<String>,
    pub version: Option<String>,
    pub digest: Option<String>,
}

impl ImageReport {
    /// The version or, without one, the tag.
    fn name<'a>(&'a self, style: &Style) -> std::borrow::Cow<'a, str> {
        match self.version.as_deref().or(self.tag.as_deref()) {
            Some(name) => style.text(name, 128).into(),
            None => "(no tag)".into(),
        }
    }

    fn short_digest(&self, style: &Style) -> String {
        self.digest.as_deref().map_or_else(|| "no digest".to_owned(), |digest| short_digest(digest, style))
    }
}

/// The algorithm and enough of the hash for a person to tell two apart.
fn short_digest(digest: &str, style: &Style) -> String {
    const HASH_CHARS: usize = 12;
    match digest.split_once(':') {
        Some((algorithm, hash)) if hash.is_ascii() && hash.len() > HASH_CHARS => {
            style.text(&format!("{algorithm}:{}", &hash[..HASH_CHARS]), 40)
        }
        _ => style.text(digest, 40),
    }
}

/// `1 service`, `2 services`.
fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
