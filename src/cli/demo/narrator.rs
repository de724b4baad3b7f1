//! Tells the story as it happens: laid out for a terminal's width, as plain lines, or as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::layout::{fit, wrap, wrap_at_most};
use super::serve::Reach;
use crate::cli::events::{self, Printer};
use crate::cli::output::escape_json;
use crate::events::{Kind, Line, Phase};
use crate::report::{Style, Tone};

/// Prose is not read well in longer lines.
const PROSE_WIDTH: usize = 80;
/// What is shown of a command's output, and of everything within an act, stands in so far.
const INDENT: &str = "  ";
/// Columns of an event on a terminal, but for its message: most reasons and names fit.
const REASON_WIDTH: usize = 15;
const OBJECT_WIDTH: usize = 16;
/// Shown of what a container says.
const SAYS_CHARS_MAX: usize = 30;
/// Conditions that many services are in at once: after so many they are only counted.
const CONDITIONS: &[&str] = &["RegistryUnavailable", "Recovered"];
const ALIKE_MAX: usize = 2;
/// Lines of a message on a terminal; `skep events` has all of it.
const MESSAGE_LINES_MAX: usize = 3;
/// A message is bounded when it is written.
const MESSAGE_CHARS_MAX: usize = 4096;

/// Who hears the story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// A terminal of so many columns.
    Terminal(usize),
    /// Lines as long as they come, as `skep` prints them elsewhere.
    Plain,
    /// A JSON object a line.
    Json,
}

/// A container, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Container {
    pub(super) service: String,
    pub(super) slot: u64,
    pub(super) host: String,
    /// As `docker service logs` shows it.
    pub(super) says: String,
    /// Of the image that it really runs, whatever its service says.
    pub(super) digest: String,
}

/// What a command printed.
pub(super) struct Printed {
    /// As it is typed.
    pub(super) command: String,
    pub(super) exit: u8,
    pub(super) text: String,
    /// What it prints with `--output json`.
    pub(super) report: Value,
}

/// A part of the story, as `--output json` prints it.
#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "lowercase")]
enum Step<'a> {
    Act { number: usize, of: usize, title: &'a str },
    Text { text: &'a str },
    Does { who: &'a str, what: &'a str },
    Command { command: &'a str, exit: u8, report: &'a Value },
    Event { event: Value },
    Containers { containers: &'a [Container] },
    Seen { what: &'a str },
    Serving(&'a Reach),
    End { ok: bool, seconds: f64 },
}

pub(super) struct Narrator {
    out: Box<dyn Write + Send>,
    form: Form,
    style: Style,
    events: Printer,
    /// How often each of [`CONDITIONS`] was told since something else was.
    alike: BTreeMap<String, usize>,
}

impl Narrator {
    pub(super) fn new(out: Box<dyn Write + Send>, form: Form, style: Style) -> Self {
        let events = Printer::new(false, style);
        Self { out, form, style, events, alike: BTreeMap::new() }
    }

    /// How commands are to print what this then shows.
    pub(super) fn style(&self) -> Style {
        self.style
    }

    /// Whether what is shown has to fit.
    pub(super) fn is_terminal(&self) -> bool {
        matches!(self.form, Form::Terminal(_))
    }

    /// A heading.
    pub(super) fn act(&mut self, number: usize, of: usize, title: &str) -> io::Result<()> {
        if self.form == Form::Json {
            return self.json(&Step::Act { number, of, title });
        }
        let rule = self.style.glyph("━", "=");
        let head = format!("{} {number}/{of}  {title} ", rule.repeat(3));
        let rest = rule.repeat(self.width().saturating_sub(head.chars().count()));
        let head = self.style.paint(Tone::Strong, &format!("{head}{rest}"));
        self.lines(&format!("\n{head}\n"))
    }

    /// Prose.
    pub(super) fn text(&mut self, text: &str) -> io::Result<()> {
        if self.form == Form::Json {
            return self.json(&Step::Text { text });
        }
        let lines = wrap(text, self.width() - INDENT.len());
        self.lines(&format!("{INDENT}{}\n", lines.join(&format!("\n{INDENT}"))))
    }

    /// Lines that stand as they are.
    pub(super) fn verbatim(&mut self, text: &str) -> io::Result<()> {
        if self.form == Form::Json {
            return self.json(&Step::Text { text });
        }
        self.lines(&format!("{INDENT}{}\n", text.trim_end().replace('\n', &format!("\n{INDENT}"))))
    }

    /// What somebody else than skep does.
    pub(super) fn does(&mut self, who: &str, what: &str) -> io::Result<()> {
        if self.form == Form::Json {
            return self.json(&Step::Does { who, what });
        }
        let prompt = format!("{who}$ ");
        let room = match self.form {
            Form::Terminal(width) => width.saturating_sub(INDENT.len() + prompt.len() + " \\".len()),
            _ => usize::MAX,
        };
        let hanging = format!(" \\\n{INDENT}{:1$}", "", prompt.len());
        let lines = wrap(what, room.max(20)).into_iter().map(|line| self.style.paint(Tone::Strong, &line));
        let what = lines.collect::<Vec<_>>().join(&hanging);
        self.lines(&format!("{INDENT}{}{what}", self.style.paint(Tone::Dim, &prompt)))
    }

    /// A command of skep that was run, and what it printed.
    pub(super) fn command(&mut self, printed: &Printed) -> io::Result<()> {
        let Printed { command, exit, text, report } = printed;
        if self.form == Form::Json {
            return self.json(&Step::Command { command, exit: *exit, report });
        }
        self.does("", command)?;
        let tone = if *exit == 0 { Tone::Good } else { Tone::Warn };
        let exit = self.style.paint(tone, &format!("exit status {exit}"));
        self.verbatim(&format!("{}\n{exit}", text.trim_end()))
    }

    /// A line of the event log.
    pub(super) fn event(&mut self, line: &Line) -> io::Result<()> {
        match self.form {
            Form::Json => {
                let event = serde_json::from_str(&line.raw).unwrap_or(Value::Null);
                self.json(&Step::Event { event })
            }
            Form::Plain => self.events.print(line, &mut self.out),
            // What is begun here is told with its outcome.
            Form::Terminal(_) if phase(line) == Some(Phase::Intent) => Ok(()),
            Form::Terminal(width) => {
                if self.is_one_of_many(line) {
                    return Ok(());
                }
                let shown = event_lines(line, width, &self.style);
                let alike = std::mem::take(&mut self.alike);
                self.lines(&shown)?;
                self.alike = alike;
                Ok(())
            }
        }
    }

    /// Whether enough was told of others in the same condition; such are only counted.
    fn is_one_of_many(&mut self, line: &Line) -> bool {
        if !CONDITIONS.contains(&line.head.reason.as_str()) {
            return false;
        }
        // That it is over is told by its own event.
        if line.event.as_ref().is_some_and(|event| event.count.is_some()) {
            return true;
        }
        let count = self.alike.entry(line.head.reason.clone()).or_default();
        *count += 1;
        *count > ALIKE_MAX
    }

    /// Which container says what, its hosts beside each other; what holds `odd` stands out.
    pub(super) fn containers(&mut self, containers: &[Container], odd: Option<&str>) -> io::Result<()> {
        if self.form == Form::Json {
            return self.json(&Step::Containers { containers });
        }
        let table = table(containers, odd, &self.style);
        self.lines(&table)
    }

    /// What the story waited for, and saw.
    pub(super) fn seen(&mut self, what: &str) -> io::Result<()> {
        if self.form == Form::Json {
            return self.json(&Step::Seen { what });
        }
        let sign = self.style.paint(Tone::Good, self.style.glyph("✓", "ok"));
        self.lines(&format!("{INDENT}{sign} {what}\n"))
    }

    /// How to reach what is served.
    pub(super) fn serving(&mut self, reach: &Reach) -> io::Result<()> {
        if self.form == Form::Json {
            return self.json(&Step::Serving(reach));
        }
        // Lines to copy are not cut.
        let form = std::mem::replace(&mut self.form, Form::Plain);
        let told = self.verbatim(&reach.text());
        self.form = form;
        told
    }

    /// The end, for programs; people are told in words.
    pub(super) fn end(&mut self, ok: bool, took: Duration) -> io::Result<()> {
        match self.form {
            Form::Json => self.json(&Step::End { ok, seconds: took.as_secs_f64() }),
            _ => self.lines(""),
        }
    }

    fn width(&self) -> usize {
        match self.form {
            Form::Terminal(width) => width.clamp(40, PROSE_WIDTH),
            _ => PROSE_WIDTH,
        }
    }

    /// Prints lines, cut where a terminal would break them.
    fn lines(&mut self, text: &str) -> io::Result<()> {
        for (reason, count) in std::mem::take(&mut self.alike) {
            if count > ALIKE_MAX {
                let more = self.style.text(&format!("… {} more {reason}", count - ALIKE_MAX), 80);
                writeln!(self.out, "{:12}{}", "", self.style.paint(Tone::Dim, &more))?;
            }
        }
        for line in text.split('\n').map(str::trim_end) {
            match self.form {
                Form::Terminal(width) => {
                    writeln!(self.out, "{}", fit(line, width, self.style.glyph("…", "...")))?
                }
                _ => writeln!(self.out, "{line}")?,
            }
        }
        self.out.flush()
    }

    fn json(&mut self, step: &Step<'_>) -> io::Result<()> {
        let line = serde_json::to_string(step)?;
        writeln!(self.out, "{}", escape_json(&line))?;
        self.out.flush()
    }
}

fn phase(line: &Line) -> Option<Phase> {
    line.event.as_ref().and_then(|event| event.phase)
}

/// An event as `skep events` prints it, but for what is the same in each line of a story (its
/// day, and its type, which the colour and a sign tell), its message wrapped beside the rest.
fn event_lines(line: &Line, width: usize, style: &Style) -> String {
    let head = &line.head;
    let time = head.time.map(|time| time.strftime("%H:%M:%S").to_string()).unwrap_or_default();
    let object = style.text(&events::object(head), 64);
    let warning = head.kind == Kind::Warning.as_str();
    let sign = if warning { "!" } else { " " };
    let columns =
        format!("{sign} {time}  {:REASON_WIDTH$}  {object:OBJECT_WIDTH$}  ", style.text(&head.reason, 64));
    let at = columns.chars().count();
    let room = width.saturating_sub(at).max(20);
    let message = style.text(&head.message, MESSAGE_CHARS_MAX);
    let message = wrap_at_most(&message, room, MESSAGE_LINES_MAX, style.glyph("…", "..."));
    let tone = if warning { Tone::Warn } else { Tone::Plain };
    format!("{}{}", style.paint(tone, &columns), message.join(&format!("\n{:at$}", "")))
}

/// A line for each service, a column for each host.
fn table(containers: &[Container], odd: Option<&str>, style: &Style) -> String {
    let hosts: BTreeSet<&str> = containers.iter().map(|it| it.host.as_str()).collect();
    let mut services: BTreeMap<&str, BTreeMap<&str, Vec<&str>>> = BTreeMap::new();
    for it in containers {
        let of_host = services.entry(&it.service).or_default().entry(&it.host).or_default();
        of_host.push(&it.says);
    }
    let head = std::iter::once((String::new(), Tone::Plain));
    let head = head.chain(hosts.iter().map(|host| (style.text(host, 64), Tone::Strong)));
    let mut rows: Vec<Vec<(String, Tone)>> = vec![head.collect()];
    for (service, on) in services {
        let name = std::iter::once((style.text(service, 64), Tone::Plain));
        let cells = hosts.iter().map(|host| cell(on.get(host).map_or(&[], Vec::as_slice), odd, style));
        rows.push(name.chain(cells).collect());
    }
    columns(&rows, style)
}

/// What the containers of a service say on one host.
fn cell(says: &[&str], odd: Option<&str>, style: &Style) -> (String, Tone) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    says.iter().for_each(|say| *counts.entry(say).or_default() += 1);
    let each = counts.iter().map(|(say, count)| {
        let said = style.text(say, SAYS_CHARS_MAX);
        if *count > 1 { format!("{said} x{count}") } else { said }
    });
    let text = each.collect::<Vec<_>>().join(", ");
    match says {
        [] => ("-".to_owned(), Tone::Dim),
        _ if odd.is_some_and(|odd| says.iter().any(|say| say.contains(odd))) => (text, Tone::Bad),
        _ => (text, Tone::Good),
    }
}

/// Cells below each other; closer together where there is little room.
fn columns(rows: &[Vec<(String, Tone)>], style: &Style) -> String {
    let count = rows.first().map_or(0, Vec::len);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..count).map(width).collect();
    let all = INDENT.len() + widths.iter().sum::<usize>();
    let gap = (1..=4).rev().find(|gap| all + gap * count.saturating_sub(1) <= PROSE_WIDTH).unwrap_or(1);
    let line = |row: &Vec<(String, Tone)>| {
        let cells = row.iter().zip(&widths).map(|((text, tone), width)| {
            let padding = width - text.chars().count() + gap;
            format!("{}{:padding$}", style.paint(*tone, text), "")
        });
        format!("{INDENT}{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
