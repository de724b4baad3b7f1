//! The command line: global options and the commands, as clap reads them.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};
use tokio::time::Instant;

use super::{
    apply, audit, completions, demo, doctor, events, explain, history, import, lint, plan, reconcile, render,
    retry, run, schema, status, suspend, wait,
};
use crate::config::{Config, Flags};

/// Keeps every Docker Swarm service at the highest semantic version its spec allows, by digest.
#[derive(Debug, Parser)]
#[command(name = "skep", version, propagate_version = false, after_help = EXIT_STATUS)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUS: &str = "\
Exit status:
  0  nothing to report
  1  did its job and found differences or violations
  2  could not do its job: usage, configuration, engine or registry out of reach

Options come first from the command line, then from the environment (SKEP_POLL__REGISTRY=30s),
then from the configuration file.";

/// Options that every command takes, before or after its name.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Directory of the specs [env: SKEP_SPECS] [default: ./specs]
    #[arg(long, global = true, value_name = "DIR")]
    pub specs: Option<PathBuf>,
    /// Directory of events and memory [env: SKEP_STATE_DIR] [default: ./.skep]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// The API of a running controller [env: SKEP_SERVER]
    #[arg(long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Configuration file [env: SKEP_CONFIG] [default: ./skep.toml if there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The Docker engine, unix:// or tcp:// [env: DOCKER_HOST]
    #[arg(long, global = true, value_name = "URL")]
    pub docker_host: Option<String>,
    /// How results are printed
    #[arg(long, short, global = true, value_enum, value_name = "FORMAT", default_value_t = Output::Text)]
    pub output: Output,
    /// Log more; again for yet more [env: SKEP_LOG, a filter such as skep=debug]
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log errors only, and show no progress
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// When to colour; auto: on terminals, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    pub color: Color,
    /// How logs are written to stderr
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(run::Args),
    #[command(visible_alias = "diff")]
    Plan(plan::Args),
    Apply(apply::Args),
    Lint(lint::Args),
    Audit(audit::Args),
    Explain(explain::Args),
    Status(status::Args),
    Wait(wait::Args),
    Events(events::Args),
    History(history::Args),
    Render(render::Args),
    Import(import::Args),
    Reconcile(reconcile::Args),
    Suspend(suspend::Args),
    Resume(suspend::ResumeArgs),
    Retry(retry::Args),
    Doctor(doctor::Args),
    Demo(demo::Args),
    Schema(schema::Args),
    Completions(completions::Args),
}

/// Commands that are promised but not built.
const NOT_YET: &[&str] = &["rollback"];

/// What to say of a command line that was refused for a command that is promised, in place
/// of another command's name that happens to be near.
pub fn not_yet(error: &clap::Error) -> Option<String> {
    let given = error.get(clap::error::ContextKind::InvalidSubcommand)?;
    let clap::error::ContextValue::String(given) = given else { return None };
    let name = NOT_YET.iter().find(|name| *name == given)?;
    Some(format!("error: `skep {name}` is not built yet\n"))
}

impl Command {
    /// Whether it can ask a running controller.
    pub fn takes_server(&self) -> bool {
        matches!(
            self,
            Self::Apply(_)
                | Self::Reconcile(_)
                | Self::Suspend(_)
                | Self::Resume(_)
                | Self::Retry(_)
                | Self::Status(_)
                | Self::Wait(_)
                | Self::Events(_)
        )
    }

    /// Whether it looks at nothing outside, so that a server in the environment is no matter.
    pub fn is_offline(&self) -> bool {
        matches!(self, Self::Lint(_) | Self::Demo(_) | Self::Schema(_) | Self::Completions(_))
    }
}

impl Cli {
    /// What the command line says of the configuration.
    pub fn flags(&self) -> Flags {
        let listen = match &self.command {
            Command::Run(args) => args.listen.clone(),
            _ => None,
        };
        Flags {
            specs: self.global.specs.clone(),
            state_dir: self.global.state_dir.clone(),
            server: self.global.server.clone(),
            docker_host: self.global.docker_host.clone(),
            listen,
        }
    }
}

/// A service as people name it: `CUSTOMER/SERVICE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceName {
    pub customer: String,
    pub service: String,
}

impl FromStr for ServiceName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "write CUSTOMER/SERVICE, such as acme/frontend".to_owned();
        let (customer, service) = text.split_once('/').ok_or_else(wanted)?;
        let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if service.is_empty() || !service.chars().all(known) {
            return Err(wanted());
        }
        Ok(Self { customer: customer_name(customer)?, service: service.to_owned() })
    }
}

impl std::fmt::Display for ServiceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.customer, self.service)
    }
}

/// A customer's name; people also type the file that it is the stem of.
pub(super) fn customer_name(text: &str) -> Result<String, String> {
    let known = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    if !text.is_empty() && text.chars().all(known) {
        return Ok(text.to_owned());
    }
    let stem = text.rsplit('/').next().and_then(|name| name.strip_suffix(".toml"));
    Err(match stem {
        Some(stem) if !stem.is_empty() => format!("a customer is named without folder and suffix: `{stem}`"),
        _ => "a customer's name has lower-case letters, digits and hyphens".to_owned(),
    })
}

/// Whom to wait for, and how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Awaited {
    #[command(flatten)]
    pub customers: Customers,
    /// Give up after this time [default: rollout.timeout, 10m]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub timeout: Option<Duration>,
}

impl Awaited {
    pub fn deadline(&self, config: &Config) -> Instant {
        Instant::now() + self.timeout.unwrap_or(config.rollout_timeout)
    }
}

/// The customers to look at; none means all.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Customers {
    /// Only these customers
    #[arg(value_name = "CUSTOMER", value_parser = customer_name)]
    pub customers: Vec<String>,
}

impl Customers {
    /// Each by itself, or `None` for all.
    pub fn each(&self) -> Vec<Option<&str>> {
        match self.customers.as_slice() {
            [] => vec![None],
            names => names.iter().map(|name| Some(name.as_str())).collect(),
        }
    }

    pub fn includes(&self, name: &str) -> bool {
        self.customers.is_empty() || self.customers.iter().any(|customer| customer == name)
    }
}
