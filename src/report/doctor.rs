//! `doctor`: what is wrong around skep, and its mend.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::{Style, Tone, counted};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DoctorReport {
    pub checks: Vec<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at, such as `engine` or `registry r.example.com`.
    pub name: String,
    pub status: CheckStatus,
    pub message: String,
    /// What to do about it.
    pub mend: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    Ok,
    Warning,
    Problem,
    Unknown,
}

impl CheckStatus {
    fn look(self, style: &Style) -> (&'static str, &'static str, Tone) {
        match self {
            Self::Ok => (style.glyph("✓", "ok"), "ok", Tone::Good),
            Self::Warning => ("!", "warning", Tone::Warn),
            Self::Problem => (style.glyph("✗", "x"), "problem", Tone::Bad),
            Self::Unknown => ("?", "unknown", Tone::Bad),
        }
    }
}

impl DoctorReport {
    fn count(&self, status: CheckStatus) -> usize {
        self.checks.iter().filter(|check| check.status == status).count()
    }

    /// 2 when something could not be checked, else 1 when there is a problem.
    pub fn exit_status(&self) -> u8 {
        match (self.count(CheckStatus::Unknown), self.count(CheckStatus::Problem)) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        }
    }

    /// # Errors
    /// When `out` does not take it.
    pub fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let sign = |check: &Check| check.status.look(style).0.chars().count();
        let sign_width = self.checks.iter().map(sign).max().unwrap_or(0);
        let width =
            self.checks.iter().map(|check| style.text(&check.name, 80).chars().count()).max().unwrap_or(0);
        for check in &self.checks {
            let (sign, _, tone) = check.status.look(style);
            let sign = style.paint(tone, &format!("{sign:sign_width$}"));
            let (name, message) = (style.text(&check.name, 80), style.text(&check.message, 500));
            writeln!(out, "{sign} {name:width$}  {message}")?;
            if let Some(mend) = &check.mend {
                let indent = sign_width + 1 + width + 2;
                writeln!(out, "{:indent$}{} {}", "", style.arrow(), style.text(mend, 500))?;
            }
        }
        writeln!(out, "\n{}", self.summary(style))
    }

    fn summary(&self, style: &Style) -> String {
        let statuses = [CheckStatus::Ok, CheckStatus::Warning, CheckStatus::Problem, CheckStatus::Unknown];
        let counts = statuses.iter().map(|status| (self.count(*status), status.look(style).1));
        let shown: Vec<String> = counts
            .filter(|(count, _)| *count > 0)
            .map(|(count, status)| format!("{count} {status}"))
            .collect();
        format!("{}: {}.", counted(self.checks.len(), "check"), shown.join(", "))
    }
}
