//! `skep history` as text.

use std::io::{self, Write};

use serde::Serialize;

use super::table::{Cell, Table};
use super::{Style, Tone, short_digest};
use crate::events::{Change, EventImage, Outcome};

/// What became of one service, oldest change first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryReport {
    pub customer: String,
    pub service: String,
    pub history: Vec<Change>,
}

impl HistoryReport {
    /// # Errors
    /// When `out` does not take it.
    pub fn render(&self, out: &mut dyn Write, style: &Style) -> io::Result<()> {
        if self.history.is_empty() {
            return writeln!(out, "The event log has no change of {}/{}.", self.customer, self.service);
        }
        let mut table = Table::new(&["TIME", "FROM", "TO", "TRIGGER", "REVISION", "OUTCOME", "MESSAGE"]);
        for change in &self.history {
            let (from, to) = names(change, style);
            table.row([
                Cell::new(change.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
                Cell::new(from),
                Cell::new(to),
                Cell::new(change.trigger.as_str()),
                Cell::new(change.revision.as_deref().map_or("-".into(), |r| revision(r, style))),
                Cell::tone(outcome(change.outcome), tone(change.outcome)),
                Cell::new(style.text(&change.message, 160)),
            ]);
        }
        table.write(out, style)
    }
}

/// Two images of one version are told apart by their content.
fn names(change: &Change, style: &Style) -> (String, String) {
    let plain = |image: &Option<EventImage>| image.as_ref().map_or("-".to_owned(), |i| name(i, style));
    let (from, to) = (plain(&change.from), plain(&change.to));
    let same_name = from == to && change.from != change.to;
    let with_digest = |image: &Option<EventImage>, name: String| match image {
        Some(EventImage { digest: Some(digest), .. }) if same_name => {
            format!("{name} ({})", short_digest(digest, style))
        }
        _ => name,
    };
    (with_digest(&change.from, from), with_digest(&change.to, to))
}

fn name(image: &EventImage, style: &Style) -> String {
    match image.version.as_deref().or(image.tag.as_deref()) {
        Some(name) => style.text(name, 128),
        None => image.digest.as_deref().map_or("-".to_owned(), |digest| short_digest(digest, style)),
    }
}

/// As much of a commit as git shows.
fn revision(revision: &str, style: &Style) -> String {
    const HASH_CHARS: usize = 10;
    let is_hash = revision.len() >= 40 && revision.bytes().all(|b| b.is_ascii_hexdigit());
    style.text(if is_hash { &revision[..HASH_CHARS] } else { revision }, 40)
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::InProgress => "in progress",
        Outcome::RolledBack => "rolled back",
        other => other.as_str(),
    }
}

fn tone(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Complete => Tone::Good,
        Outcome::InProgress => Tone::Change,
        Outcome::Failed => Tone::Bad,
        Outcome::RolledBack => Tone::Warn,
        Outcome::Superseded => Tone::Dim,
    }
}
