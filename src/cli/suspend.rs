//! `skep suspend` and `skep resume`: holds at run time.

use std::io::Write;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

use super::args::customer_name;
use super::handover::path;
use super::remote::Remote;
use super::{CLEAN, Context, ServiceName};
use crate::http::{Held, Suspending};
use crate::report::Style;

/// Hold a customer or a service: nothing is changed until it is resumed
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// What to hold
    #[arg(value_name = "CUSTOMER[/SERVICE]")]
    pub target: Target,
    /// Why, for those who find it
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// When it ends by itself: a duration from now (2h) or a time (2026-12-01T08:00:00Z)
    #[arg(long, value_name = "WHEN", value_parser = parse_until)]
    pub until: Option<Timestamp>,
}

const HELP: &str = "\
Examples:
  skep suspend acme --reason 'release freeze' --until 2h
  skep suspend acme/db --reason 'restoring a backup' --output json

Exit status:
  0  held
  2  no controller answers, or it refused";

/// End a hold
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = RESUME_HELP)]
pub struct ResumeArgs {
    /// What to let go on
    #[arg(value_name = "CUSTOMER[/SERVICE]")]
    pub target: Target,
}

const RESUME_HELP: &str = "\
Examples:
  skep resume acme
  skep resume acme/db

Exit status:
  0  not held at run time any more
  2  no controller answers, or it refused";

/// A customer, or one of its services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub customer: String,
    pub service: Option<String>,
}

impl FromStr for Target {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            let ServiceName { customer, service } = text.parse()?;
            return Ok(Self { customer, service: Some(service) });
        }
        Ok(Self { customer: customer_name(text)?, service: None })
    }
}

fn parse_until(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let after = humantime::parse_duration(text).ok();
    after.and_then(|after| Timestamp::now().checked_add(after).ok()).ok_or_else(|| {
        "write a duration from now such as 2h, or a time such as 2026-12-01T08:00:00Z".to_owned()
    })
}

pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    let body = serde_json::to_vec(&Suspending { reason: args.reason, until: args.until })?;
    ask(ctx, "suspend", &args.target, body).await
}

pub async fn resume(ctx: &mut Context, args: ResumeArgs) -> anyhow::Result<u8> {
    ask(ctx, "resume", &args.target, Vec::new()).await
}

async fn ask(ctx: &mut Context, verb: &str, target: &Target, body: Vec<u8>) -> anyhow::Result<u8> {
    let remote = Remote::new(&ctx.config);
    let path = path(verb, Some(&target.customer), target.service.as_deref());
    let held: Held = remote.post(&path, body, Duration::ZERO).await?;
    ctx.print(&held, render)?;
    Ok(CLEAN)
}

fn render(held: &Held, out: &mut dyn Write, style: &Style) -> std::io::Result<()> {
    let mut name = held.customer.clone();
    name.extend(held.service.iter().map(|service| format!("/{service}")));
    let name = style.text(&name, 128);
    match (&held.reason, held.until) {
        (Some(reason), until) if held.suspended => {
            let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
            writeln!(out, "{name} is held{until}: {}", style.text(reason, 500))?;
        }
        _ => writeln!(out, "{name} is not held")?,
    }
    held.still_held.iter().try_for_each(|name| writeln!(out, "{} is held by itself", style.text(name, 128)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_customers_or_services() {
        let target = |text: &str| text.parse::<Target>();
        assert_eq!(target("acme").unwrap(), Target { customer: "acme".into(), service: None });
        assert_eq!(target("acme/db").unwrap().service.as_deref(), Some("db"));
        for bad in ["", "Acme", "acme/", "acme/a/b", "acme.toml"] {
            assert!(target(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_end_is_a_time_or_a_while() {
        assert_eq!(parse_until("2026-12-01T08:00:00Z").unwrap().to_string(), "2026-12-01T08:00:00Z");
        let in_two_hours = parse_until("2h").unwrap();
        assert!(in_two_hours > Timestamp::now());
        assert!(parse_until("soon").is_err());
    }

    #[test]
    fn what_is_told_of_a_hold() {
        let shown = |held: &Held| {
            let mut out = Vec::new();
            render(held, &mut out, &Style::default()).unwrap();
            String::from_utf8(out).unwrap()
        };
        let held = Held {
            customer: "acme".into(),
            service: Some("db".into()),
            suspended: true,
            reason: Some("freeze".into()),
            until: Some("2026-12-01T08:00:00Z".parse().unwrap()),
            still_held: Vec::new(),
        };
        assert_eq!(shown(&held), "acme/db is held until 2026-12-01T08:00:00Z: freeze\n");
        let free = Held { customer: "acme".into(), still_held: vec!["acme/db".into()], ..Held::default() };
        assert_eq!(shown(&free), "acme is not held\nacme/db is held by itself\n");
    }
}
