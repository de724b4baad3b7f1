//! `plan` and `apply`: the steps, and after `apply` what came of each.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ImageReport, Style, Tone};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanReport {
    pub customers: Vec<PlanCustomer>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlanCustomer {
    pub customer: String,
    pub steps: Vec<PlanStep>,
    pub waiting: Vec<PlanWaiting>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlanStep {
    pub action: Action,
    pub kind: ObjectKind,
    /// The object's full name in the Swarm.
    pub name: String,
    /// The service's key in the spec.
    pub service: Option<String>,
    pub from: Option<ImageReport>,
    pub to: Option<ImageReport>,
    pub changes: Vec<Change>,
    /// Why, in a few words.
    pub reason: String,
    /// Takes over a service that skep did not create.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// After `apply` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Create,
    Update,
    Repull,
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    Service,
    Network,
    Volume,
    Secret,
    Config,
}

/// One field; `null` is absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    pub field: String,
    pub from: Value,
    pub to: Value,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanWaiting {
    /// `null`: the customer as a whole.
    pub service: Option<String>,
    /// PascalCase, such as `RegistryUnavailable`.
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub state: OutcomeState,
    pub message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeState {
    /// Every task that should run does, with the right image.
    Converged,
    /// Accepted by the Swarm; nobody waited (`--no-wait`).
    Sent,
    /// Failed, with Swarm's own reason.
    Failed,
    /// Had not converged by the deadline.
    TimedOut,
    /// Not sent, for something before it failed.
    Skipped,
    /// Sent or not, the engine or registry would not say.
    Unknown,
}

impl OutcomeState {
    /// Whether the step did what it should, as far as anybody waited.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Converged | Self::Sent)
    }
}

/// Reasons for which nobody can tell whether something is to be done.
const UNKNOWN: &[&str] =
    &["SpecInvalid", "RegistryUnavailable", "SwarmUnavailable", "TagListTruncated", "ContentUnknown"];
/// Reasons that are somebody's will or a matter of time, not a fault.
const HELD: &[&str] = &["Suspended", "RolloutInProgress", "PruneDisabled", "SpecRemoved"];

/// Reasons for which a service is not what its spec wants and `apply` could not make it so.
/// What is held by somebody's will, or by a failure that was told before, is none.
const UNDONE: &[&str] = &[
    "NotOwned",
    "NoVersionFits",
    "NetworkMissing",
    "ObjectMissing",
    "RolloutFailed",
    "DependencyNotReady",
    PRUNE_HELD,
];

/// Of what no spec names any more and a person must let go: a change that is pending, unlike all else that waits.
pub(super) const PRUNE_HELD: &str = "PruneHeld";

impl PlanWaiting {
    /// Whether a removal is due that waits for a person.
    fn is_held_removal(&self) -> bool {
        self.reason == PRUNE_HELD
    }

    /// Whether it leaves open what is to be done, which is never exit status 0.
    pub fn is_unknown(&self) -> bool {
        UNKNOWN.contains(&self.reason.as_str())
    }
}

impl PlanReport {
    fn steps(&self) -> impl Iterator<Item = &PlanStep> {
        self.customers.iter().flat_map(|customer| &customer.steps)
    }

    fn waiting(&self) -> impl Iterator<Item = &PlanWaiting> {
        self.customers.iter().flat_map(|customer| &customer.waiting)
    }

    /// Of `plan`: 2 when something is unknown, else 1 when there are steps, or removals that a person must allow.
    pub fn plan_exit_status(&self) -> u8 {
        let pending = self.steps().next().is_some() || self.waiting().any(PlanWaiting::is_held_removal);
        match (self.waiting().any(PlanWaiting::is_unknown), pending) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        }
    }

    /// Of `apply`: 2 when something is unknown, else 1 when a step did not end well or a
    /// service could not be made what its spec wants.
    pub fn apply_exit_status(&self) -> u8 {
        let outcomes = || self.steps().map(|step| step.outcome.as_ref().map(|outcome| outcome.state));
        let undone = |waiting: &PlanWaiting| UNDONE.contains(&waiting.reason.as_str());
        if self.waiting().any(PlanWaiting::is_unknown)
            || outcomes().any(|it| it == Some(OutcomeState::Unknown))
        {
            2
        } else if outcomes().any(|it| !it.is_some_and(OutcomeState::is_good)) || self.waiting().any(undone) {
            1
        } else {
            0
        }
    }

    /// # Errors
    /// When `out` does not take it.
    pub fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        for customer in &self.customers {
            if !customer.steps.is_empty() || !customer.waiting.is_empty() {
                customer.render(out, style)?;
            }
        }
        if self.steps().any(|step| step.outcome.is_some()) {
            writeln!(out, "{}", self.applied())
        } else {
            writeln!(out, "{}", self.summary())
        }
    }

    fn summary(&self) -> String {
        let count = |action| self.steps().filter(|step| step.action == action).count();
        let counts = [
            (count(Action::Create), "to create"),
            (count(Action::Update), "to update"),
            (count(Action::Repull), "to repull"),
            (count(Action::Remove), "to remove"),
            (self.waiting().filter(|waiting| waiting.is_held_removal()).count(), "to remove once allowed"),
        ];
        let waiting = match self.waiting().filter(|waiting| !waiting.is_held_removal()).count() {
            0 => String::new(),
            count => format!("; {count} waiting"),
        };
        if counts.iter().all(|(count, _)| *count == 0) {
            return format!("No changes{waiting}.");
        }
        format!("Plan: {}{waiting}.", listed(&counts))
    }

    fn applied(&self) -> String {
        let count = |state| {
            self.steps()
                .filter(|step| step.outcome.as_ref().is_some_and(|outcome| outcome.state == state))
                .count()
        };
        let counts = [
            (count(OutcomeState::Converged), "converged"),
            (count(OutcomeState::Sent), "sent"),
            (count(OutcomeState::Failed), "failed"),
            (count(OutcomeState::TimedOut), "timed out"),
            (count(OutcomeState::Skipped), "skipped"),
            (count(OutcomeState::Unknown), "unknown"),
            (self.waiting().count(), "waiting"),
        ];
        format!("Applied: {}.", listed(&counts))
    }
}

/// Those that are not zero.
fn listed(counts: &[(usize, &str)]) -> String {
    let shown = counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"));
    shown.collect::<Vec<_>>().join(", ")
}

impl PlanCustomer {
    fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        writeln!(out, "{}", style.paint(Tone::Strong, &style.text(&self.customer, 64)))?;
        self.steps.iter().try_for_each(|step| step.render(out, style))?;
        self.waiting.iter().try_for_each(|waiting| waiting.render(out, style))?;
        writeln!(out)
    }
}

impl Action {
    fn look(self, style: &Style) -> (&'static str, &'static str, Tone) {
        match self {
            Self::Create => ("+", "create", Tone::Good),
            Self::Update => ("~", "update", Tone::Change),
            Self::Repull => (style.glyph("↻", "*"), "repull", Tone::Change),
            Self::Remove => ("-", "remove", Tone::Bad),
        }
    }
}

impl ObjectKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Network => "network",
            Self::Volume => "volume",
            Self::Secret => "secret",
            Self::Config => "config",
        }
    }
}

impl PlanStep {
    fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let (sign, verb, tone) = self.action.look(style);
        let verb = if self.adopt { "adopt" } else { verb };
        write!(out, "  {}", style.paint(tone, &format!("{sign} {verb}")))?;
        write!(out, " {} {}", self.kind.as_str(), style.text(&self.name, 128))?;
        if !self.reason.is_empty() {
            write!(out, "  {}", style.paint(Tone::Dim, &format!("# {}", style.text(&self.reason, 300))))?;
        }
        writeln!(out)?;
        if let Some(image) = self.image(style) {
            writeln!(out, "      image: {image}")?;
        }
        self.changes.iter().try_for_each(|change| change.render(out, style))?;
        self.outcome.iter().try_for_each(|outcome| outcome.render(out, style))
    }

    fn image(&self, style: &Style) -> Option<String> {
        let to = self.to.as_ref()?;
        let arrow = style.arrow();
        let Some(from) = self.from.as_ref().filter(|from| *from != to) else {
            return Some(format!("{} ({})", to.name(style), to.short_digest(style)));
        };
        let (old, new) = (from.name(style), to.name(style));
        if old == new {
            return Some(format!("{new} ({} {arrow} {})", from.short_digest(style), to.short_digest(style)));
        }
        Some(format!("{old} {arrow} {new} ({})", to.short_digest(style)))
    }
}

impl Change {
    fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let (from, to) = (shown(&self.from, style), shown(&self.to, style));
        let field = style.text(&self.field, 128);
        match self.from {
            Value::Null => writeln!(out, "      {field}: {to}"),
            _ => writeln!(out, "      {field}: {from} {} {to}", style.arrow()),
        }
    }
}

/// A value in little space.
fn shown(value: &Value, style: &Style) -> String {
    match value {
        Value::Null => "(none)".into(),
        value => style.text(&value.to_string(), 160),
    }
}

impl PlanWaiting {
    fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let (sign, tone) = if HELD.contains(&self.reason.as_str()) {
            (style.glyph("⏸", "="), Tone::Warn)
        } else if self.is_unknown() {
            ("!", Tone::Bad)
        } else {
            ("!", Tone::Warn)
        };
        write!(out, "  {}", style.paint(tone, sign))?;
        if let Some(service) = &self.service {
            write!(out, " {}", style.text(service, 128))?;
        }
        writeln!(
            out,
            " {}: {}",
            style.paint(tone, &style.text(&self.reason, 64)),
            style.text(&self.message, 500)
        )
    }
}

impl Outcome {
    fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let (sign, what, tone) = match self.state {
            OutcomeState::Converged => (style.glyph("✓", "ok"), "converged", Tone::Good),
            OutcomeState::Sent => (style.glyph("✓", "ok"), "sent", Tone::Good),
            OutcomeState::Failed => (style.glyph("✗", "x"), "failed", Tone::Bad),
            OutcomeState::TimedOut => (style.glyph("✗", "x"), "timed out", Tone::Bad),
            OutcomeState::Skipped => ("-", "skipped", Tone::Warn),
            OutcomeState::Unknown => ("?", "unknown", Tone::Bad),
        };
        write!(out, "      {}", style.paint(tone, &format!("{sign} {what}")))?;
        if !self.message.is_empty() {
            write!(out, ": {}", style.text(&self.message, 500))?;
        }
        writeln!(out)
    }
}
