//! `skep history`: what ran when, by which commit or push, and how it ended.

use std::collections::BTreeSet;
use std::path::Path;

use super::{CLEAN, Context, ServiceName, events::log_dir};
use crate::events::{self, Event, Filter, Head};
use crate::report::HistoryReport;
use crate::text;

/// Show a service's changes: when, from and to what, by what, and how they ended
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// The service, by its spec
    #[arg(value_name = "CUSTOMER/SERVICE")]
    pub service: ServiceName,
}

const HELP: &str = "\
Examples:
  skep history acme/frontend
  skep history acme/frontend --output json

Exit status:
  0  the changes that the event log knows were shown
  2  there is no event log, or it knows no such service";

/// # Errors
/// When there is no log, it cannot be read, or it says nothing of the service.
pub fn run(ctx: &mut Context, args: &Args) -> anyhow::Result<u8> {
    let dir = log_dir(&ctx.config.state_dir)?;
    let report = report(&dir, &args.service)?;
    ctx.print(&report, HistoryReport::render)?;
    Ok(CLEAN)
}

fn report(dir: &Path, name: &ServiceName) -> anyhow::Result<HistoryReport> {
    let filter = Filter {
        customer: Some(name.customer.clone()),
        service: Some(name.service.clone()),
        ..Filter::default()
    };
    // What this skep does not understand it cannot tell the history of.
    let lines = events::read(dir, &filter)?.filter_map(|line| line.map(|line| line.event).transpose());
    let events: Vec<Event> = lines.collect::<Result<_, _>>()?;
    if events.is_empty() {
        anyhow::bail!("the event log at {} knows no {name}{}", dir.display(), nearest(dir, name)?);
    }
    Ok(HistoryReport {
        customer: name.customer.clone(),
        service: name.service.clone(),
        history: events::history(&events),
    })
}

/// `; did you mean …?`, if anything in the log is near.
fn nearest(dir: &Path, name: &ServiceName) -> anyhow::Result<String> {
    let mut known = BTreeSet::new();
    for line in events::read(dir, &Filter::default())? {
        if let Head { customer: Some(customer), service: Some(service), .. } = line?.head {
            known.insert(format!("{customer}/{service}"));
        }
    }
    let near = text::nearest(&name.to_string(), known.iter().map(String::as_str));
    Ok(near.map(|near| format!("; did you mean {}?", text::printable(near, 128))).unwrap_or_default())
}

#[cfg(test)]
mod tests;
