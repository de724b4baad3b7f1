//! `explain`: the candidates, the choice, and each rejected tag with its reason.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use super::table::{Cell, Table};
use super::{ImageReport, Style, Tone, counted};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExplainReport {
    pub customer: String,
    pub service: String,
    pub repository: String,
    pub chosen: Option<ImageReport>,
    /// Highest first.
    pub candidates: Vec<String>,
    pub rejected: Vec<RejectedTag>,
    /// What the spec asks for, in words, such as `^1.4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require: Option<String>,
    /// The highest release in the repository, for information only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why nothing was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedTag {
    pub tag: String,
    /// PascalCase, such as `NotSemver`.
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A person reads no more; JSON has all.
const CANDIDATES_SHOWN_MAX: usize = 20;
const REJECTED_SHOWN_MAX: usize = 200;

impl ExplainReport {
    /// 1 when no version fits.
    pub fn exit_status(&self) -> u8 {
        u8::from(self.chosen.is_none())
    }

    /// # Errors
    /// When `out` does not take it.
    pub fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        let name = format!("{}/{}", style.text(&self.customer, 64), style.text(&self.service, 64));
        writeln!(out, "{}", style.paint(Tone::Strong, &name))?;
        writeln!(out, "  repository  {}", style.text(&self.repository, 300))?;
        if let Some(require) = &self.require {
            writeln!(out, "  version     {}", style.text(require, 200))?;
        }
        writeln!(out, "  chosen      {}", self.choice(style))?;
        if let Some(newest) = &self.newest {
            writeln!(out, "  newest      {}", style.text(newest, 128))?;
        }
        writeln!(out, "  candidates  {}", self.candidates(style))?;
        for warning in &self.warnings {
            writeln!(out, "  {} {}", style.paint(Tone::Warn, "warning:"), style.text(warning, 500))?;
        }
        self.render_rejected(out, style)
    }

    fn choice(&self, style: &Style) -> String {
        match (&self.chosen, &self.message) {
            (Some(image), _) => {
                let tag = match (&image.tag, &image.version) {
                    (Some(tag), Some(version)) if tag != version => format!("tag {}, ", style.text(tag, 128)),
                    _ => String::new(),
                };
                let chosen = style.paint(Tone::Good, &image.name(style));
                format!("{chosen} ({tag}{})", style.text(image.digest.as_deref().unwrap_or("no digest"), 80))
            }
            (None, Some(message)) => {
                format!("{} ({})", style.paint(Tone::Bad, "nothing"), style.text(message, 500))
            }
            (None, None) => style.paint(Tone::Bad, "nothing"),
        }
    }

    fn candidates(&self, style: &Style) -> String {
        if self.candidates.is_empty() {
            return "none".into();
        }
        let shown = self.candidates.iter().take(CANDIDATES_SHOWN_MAX).map(|version| style.text(version, 128));
        let list = shown.collect::<Vec<_>>().join(", ");
        match self.candidates.len().saturating_sub(CANDIDATES_SHOWN_MAX) {
            0 => list,
            more => format!("{list} and {more} more (--output json shows all)"),
        }
    }

    fn render_rejected(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        if self.rejected.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{} rejected:", counted(self.rejected.len(), "tag"))?;
        let mut table = Table::new(&["TAG", "REASON", "MESSAGE"]);
        for tag in self.rejected.iter().take(REJECTED_SHOWN_MAX) {
            table.row([
                Cell::new(style.text(&tag.tag, 128)),
                Cell::tone(style.text(&tag.reason, 64), Tone::Warn),
                Cell::new(style.text(&tag.message, 300)),
            ]);
        }
        table.write(out, style)?;
        match self.rejected.len().saturating_sub(REJECTED_SHOWN_MAX) {
            0 => Ok(()),
            more => writeln!(out, "and {more} more (--output json shows all)"),
        }
    }
}
