//! `skep events`: the event log.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::listen::{self, LISTED_MAX, Listen};
use super::remote::Remote;
use super::{CLEAN, Context, args::customer_name};
use crate::events::{self, Event, Filter, Follow, Head, Kind, Line, Reason, Since};
use crate::report::{Style, Tone};
use crate::state_dir::StateDir;

/// Show the event log
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP, after_long_help = long_help())]
pub struct Args {
    /// Go on as new events come
    #[arg(long, short)]
    pub follow: bool,
    /// Only this customer's
    #[arg(long, value_name = "CUSTOMER", value_parser = customer_name)]
    pub customer: Option<String>,
    /// Only those of services with this key
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only this type
    #[arg(long = "type", value_name = "TYPE", ignore_case = true, value_parser = kinds())]
    pub kind: Option<Kind>,
    /// Only these reasons, separated by commas (--help lists them)
    #[arg(
        long, value_name = "REASON", value_delimiter = ',', ignore_case = true,
        hide_possible_values = true, value_parser = reasons()
    )]
    pub reason: Vec<Reason>,
    /// Only those since then: a duration back from now (10m, 2h) or a time (2026-11-23T08:00:00Z)
    #[arg(long, value_name = "WHEN")]
    pub since: Option<Since>,
    /// Of those that are there already, only the last N
    #[arg(long, short = 'n', value_name = "N")]
    pub lines: Option<usize>,
}

const HELP: &str = "\
Examples:
  skep events -f
  skep events --customer acme --type Warning --since 2h
  skep events --reason RolloutFailed,RolledBack -n 20 --output json
  skep events --server http://127.0.0.1:9741 -n 50 -f

Exit status:
  0  the events were shown
  2  there is no event log, or it could not be read";

fn long_help() -> String {
    let width = Reason::ALL.iter().map(|r| r.as_str().len()).max().unwrap_or(0);
    let mut text = format!("{HELP}\n\nReasons:\n");
    for reason in Reason::ALL {
        text.push_str(&format!("  {:width$}  {}\n", reason.as_str(), reason.doc()));
    }
    text
}

fn kinds() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new([Kind::Normal.as_str(), Kind::Warning.as_str()]).map(|name| {
        if name.eq_ignore_ascii_case(Kind::Warning.as_str()) { Kind::Warning } else { Kind::Normal }
    })
}

fn reasons() -> impl TypedValueParser<Value = Reason> {
    PossibleValuesParser::new(Reason::ALL.iter().map(|r| r.as_str())).try_map(|name| {
        let known = Reason::ALL.iter().find(|r| r.as_str().eq_ignore_ascii_case(&name));
        known.copied().ok_or_else(|| format!("`{name}` is no reason"))
    })
}

impl Args {
    fn filter(&self, now: jiff::Timestamp) -> Filter {
        Filter {
            customer: self.customer.clone(),
            service: self.service.clone(),
            kind: self.kind,
            reasons: self.reason.clone(),
            since: self.since.map(|s| s.resolve(now)),
            after: None,
            last: self.lines,
        }
    }
}

/// With `--follow` it ends only by an error, such as an output that was closed.
///
/// # Errors
/// When there is no log, or it cannot be read.
pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    if ctx.config.server.is_some() {
        return ask(ctx, &args).await;
    }
    let dir = log_dir(&ctx.config.state_dir)?;
    let filter = args.filter(jiff::Timestamp::now());
    let mut printer = Printer::new(ctx.json, ctx.style);
    if args.follow {
        follow(&dir, filter, &mut printer, &mut ctx.out).await?;
    } else {
        show(&dir, &filter, &mut printer, &mut ctx.out)?;
    }
    Ok(CLEAN)
}

/// Asks a running controller for its log.
async fn ask(ctx: &mut Context, args: &Args) -> anyhow::Result<u8> {
    let remote = Remote::new(&ctx.config);
    let query = query(args, jiff::Timestamp::now());
    let mut printer = Printer::new(ctx.json, ctx.style);
    let mut seen = 0;
    // Whoever follows and does not say how many wants all of them, as from the log itself.
    if !args.follow || args.lines.is_some() {
        let newest = listen::newest(&remote).await?;
        let limit = args.lines.unwrap_or(LISTED_MAX).min(LISTED_MAX);
        for line in listen::list(&remote, &query, limit).await? {
            printer.print(&line, &mut ctx.out)?;
            seen = line.head.seq;
        }
        ctx.out.flush()?;
        // What was written meanwhile is in the list, or after it.
        seen = seen.max(newest);
    }
    if !args.follow {
        return Ok(CLEAN);
    }
    let mut listening = Listen::new(&remote, query, seen);
    loop {
        printer.print(&listening.next().await?, &mut ctx.out)?;
        ctx.out.flush()?;
    }
}

/// The filter, as the API takes it.
fn query(args: &Args, now: jiff::Timestamp) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let since = args.since.map(|since| since.resolve(now).to_string());
    let reasons: Vec<&str> = args.reason.iter().map(|reason| reason.as_str()).collect();
    let reasons = Some(reasons.join(",")).filter(|reasons| !reasons.is_empty());
    for (key, value) in [
        ("customer", args.customer.as_deref()),
        ("service", args.service.as_deref()),
        ("type", args.kind.map(Kind::as_str)),
        ("reason", reasons.as_deref()),
        ("since", since.as_deref()),
    ] {
        query.extend_pairs(value.map(|value| (key, value)));
    }
    query.finish()
}

/// Where the log is.
///
/// # Errors
/// When there is none: that is not the same as no events.
pub(super) fn log_dir(state_dir: &Path) -> anyhow::Result<PathBuf> {
    let dir = StateDir::existing(state_dir)?.events();
    if !dir.is_dir() {
        anyhow::bail!(
            "no event log at {}; `skep run` and `skep apply` write it, or name another state directory \
             with --state-dir or SKEP_STATE_DIR",
            dir.display()
        );
    }
    Ok(dir)
}

fn show(dir: &Path, filter: &Filter, printer: &mut Printer, out: &mut dyn Write) -> anyhow::Result<()> {
    let mut out = BufWriter::new(out);
    for line in events::read(dir, filter)? {
        printer.print(&line?, &mut out)?;
    }
    out.flush()?;
    Ok(())
}

async fn follow(
    dir: &Path,
    filter: Filter,
    printer: &mut Printer,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut follow = Follow::new(dir, filter)?;
    loop {
        printer.print(&follow.next().await?, out)?;
        out.flush()?;
    }
}

/// Prints line after line, whose number and widths are not known beforehand.
pub(super) struct Printer {
    json: bool,
    style: Style,
    /// Grows with what was shown.
    object_width: usize,
    begun: bool,
}

/// `2026-11-23T00:32:24Z`.
const TIME_WIDTH: usize = 20;
/// `Warning`.
const KIND_WIDTH: usize = 7;
/// A column that fits most names from the start, and the most that one name widens it to.
const OBJECT_WIDTHS: (usize, usize) = (16, 48);

impl Printer {
    pub(super) fn new(json: bool, style: Style) -> Self {
        Self { json, style, object_width: OBJECT_WIDTHS.0, begun: false }
    }

    pub(super) fn print(&mut self, line: &Line, out: &mut dyn Write) -> io::Result<()> {
        if self.json {
            return writeln!(out, "{}", line.raw);
        }
        let head = &line.head;
        let object = self.style.text(&object(head), OBJECT_WIDTHS.1);
        self.object_width = self.object_width.max(object.chars().count());
        if !std::mem::replace(&mut self.begun, true) {
            let header = self.columns("TIME", "TYPE", "REASON", "SERVICE");
            writeln!(out, "{}MESSAGE", self.style.paint(Tone::Strong, &header))?;
        }
        let time = head.time.map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()).unwrap_or_default();
        let columns = self.columns(
            &time,
            &self.style.text(&head.kind, 16),
            &self.style.text(&head.reason, 64),
            &object,
        );
        let columns = if head.kind == Kind::Warning.as_str() {
            self.style.paint(Tone::Warn, &columns)
        } else {
            columns
        };
        let notes = line.event.as_ref().map(|event| self.notes(event)).unwrap_or_default();
        writeln!(out, "{columns}{}{notes}", self.style.text(&head.message, MESSAGE_CHARS_MAX))
    }

    fn columns(&self, time: &str, kind: &str, reason: &str, object: &str) -> String {
        let reason_width = Reason::ALL.iter().map(|r| r.as_str().len()).max().unwrap_or(0);
        let object_width = self.object_width;
        format!("{time:TIME_WIDTH$}  {kind:KIND_WIDTH$}  {reason:reason_width$}  {object:object_width$}  ")
    }

    /// What stands beside the message, for a person to see at once.
    fn notes(&self, event: &Event) -> String {
        let mut notes = String::new();
        if let Some(phase) = event.phase {
            notes.push_str(match phase {
                events::Phase::Intent => " (begun)",
                events::Phase::Done => " (done)",
                events::Phase::Failed => " (failed)",
            });
        }
        if let (Some(count), Some(first)) = (event.count, event.first_time) {
            notes.push_str(&format!(" (x{count} since {})", first.strftime("%Y-%m-%dT%H:%M:%SZ")));
        }
        self.style.paint(Tone::Dim, &notes)
    }
}

/// A message is bounded when it is written; one that is not came from elsewhere.
const MESSAGE_CHARS_MAX: usize = events::text::MESSAGE_BYTES_MAX;

/// What an event is about.
pub(super) fn object(line: &Head) -> String {
    match (line.customer.as_deref(), line.service.as_deref()) {
        (Some(customer), Some(service)) => format!("{customer}/{service}"),
        (Some(name), None) | (None, Some(name)) => name.to_owned(),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests;
