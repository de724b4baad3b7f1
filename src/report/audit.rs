//! `audit`: does what runs equal the highest version?

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::table::{Cell, Table};
use super::{Style, Tone, counted, short_digest};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    pub services: Vec<AuditService>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditService {
    pub name: String,
    pub customer: Option<String>,
    /// As it runs or is written, `repo:tag@digest`.
    pub image: String,
    /// The highest that the spec allows; `*` without a spec.
    pub highest: Option<String>,
    pub verdict: Verdict,
    pub message: String,
    /// The highest release in the repository, for information only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    /// The compose file it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Highest,
    Pinned,
    Behind,
    Moved,
    Floating,
    Unpinned,
    Unknown,
}

impl Verdict {
    pub const ALL: &'static [Self] = &[
        Self::Highest,
        Self::Pinned,
        Self::Behind,
        Self::Moved,
        Self::Floating,
        Self::Unpinned,
        Self::Unknown,
    ];

    fn look(self) -> (&'static str, Tone) {
        match self {
            Self::Highest => ("highest", Tone::Good),
            Self::Pinned => ("pinned", Tone::Good),
            Self::Behind => ("behind", Tone::Warn),
            Self::Moved => ("moved", Tone::Warn),
            Self::Floating => ("floating", Tone::Warn),
            Self::Unpinned => ("unpinned", Tone::Warn),
            Self::Unknown => ("unknown", Tone::Bad),
        }
    }

    fn exit_status(self) -> u8 {
        match self {
            Self::Highest | Self::Pinned => 0,
            Self::Behind | Self::Moved | Self::Floating | Self::Unpinned => 1,
            Self::Unknown => 2,
        }
    }
}

impl AuditReport {
    /// The worst of the verdicts.
    pub fn exit_status(&self) -> u8 {
        self.services.iter().map(|service| service.verdict.exit_status()).max().unwrap_or(0)
    }

    /// # Errors
    /// When `out` does not take it.
    pub fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        if !self.services.is_empty() {
            let mut table = Table::new(&["SERVICE", "IMAGE", "HIGHEST", "VERDICT", "MESSAGE"]);
            for service in &self.services {
                table.row(service.cells(style));
            }
            table.write(out, style)?;
            writeln!(out)?;
        }
        writeln!(out, "{}", self.summary())
    }

    fn summary(&self) -> String {
        let count =
            |verdict: Verdict| self.services.iter().filter(|service| service.verdict == verdict).count();
        let counts = Verdict::ALL.iter().map(|verdict| (count(*verdict), verdict.look().0));
        let shown: Vec<String> = counts
            .filter(|(count, _)| *count > 0)
            .map(|(count, verdict)| format!("{count} {verdict}"))
            .collect();
        let services = counted(self.services.len(), "service");
        if shown.is_empty() { format!("{services}.") } else { format!("{services}: {}.", shown.join(", ")) }
    }
}

impl AuditService {
    fn cells(&self, style: &Style) -> Vec<Cell> {
        let (verdict, tone) = self.verdict.look();
        vec![
            Cell::new(style.text(&self.name, 128)),
            Cell::new(short_image(&self.image, style)),
            Cell::new(
                self.highest.as_deref().map_or_else(|| "-".to_owned(), |version| style.text(version, 64)),
            ),
            Cell::tone(verdict, tone),
            Cell::new(style.text(&self.message, 300)),
        ]
    }
}

/// The image with its digest cut to what a person compares.
fn short_image(image: &str, style: &Style) -> String {
    match image.split_once('@') {
        Some((name, digest)) => format!("{}@{}", style.text(name, 128), short_digest(digest, style)),
        None => style.text(image, 128),
    }
}
