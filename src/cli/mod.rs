//! The commands: one file each, with its arguments and a `run` that gives the exit status.

pub mod apply;
mod args;
pub mod audit;
pub mod completions;
pub(crate) mod compose;
pub mod convert;
pub mod demo;
pub mod doctor;
pub mod events;
pub mod explain;
mod handover;
pub mod history;
pub mod import;
pub mod lint;
mod listen;
mod output;
pub mod plan;
pub mod progress;
pub mod reconcile;
pub mod remote;
pub mod render;
pub mod retry;
pub mod run;
pub mod schema;
pub mod session;
pub mod status;
pub mod suspend;
pub mod telemetry;
#[cfg(test)]
mod tests;
pub mod wait;
pub mod watcher;

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};

use anyhow::Context as _;
use serde::Serialize;

pub use args::{Awaited, Cli, Color, Command, Customers, Global, LogFormat, Output, ServiceName, not_yet};
pub use output::{OutputClosed, Stdout, tell};

use crate::config::{Config, Sources};
use crate::report::Style;

/// Did its job, and there is nothing to report.
pub const CLEAN: u8 = 0;
/// Did its job, and found differences or violations.
pub const FOUND: u8 = 1;
/// Could not do its job.
pub const FAILED: u8 = 2;

/// What every command is given.
pub struct Context {
    pub config: Config,
    /// What the configuration was read from, to read it again.
    pub sources: Sources,
    /// The whole environment, for the variables of compose files.
    pub env: BTreeMap<String, String>,
    /// Results go here, logs and progress to stderr.
    pub out: Box<dyn Write + Send>,
    pub json: bool,
    /// For text on `out`.
    pub style: Style,
    pub progress: progress::Mode,
}

impl Context {
    /// Prints a report as JSON or, by `render`, as text.
    ///
    /// # Errors
    /// When `out` does not take it.
    pub fn print<R: Serialize>(
        &mut self,
        report: &R,
        render: impl Fn(&R, &mut dyn Write, &Style) -> std::io::Result<()>,
    ) -> anyhow::Result<()> {
        // Into memory first: one write, and a reader that went away is met once.
        let mut text = Vec::new();
        if self.json {
            let json = serde_json::to_string_pretty(report).context("cannot write the report as JSON")?;
            writeln!(text, "{}", output::escape_json(&json))?;
        } else {
            render(report, &mut text, &self.style)?;
        }
        self.out.write_all(&text)?;
        self.out.flush()?;
        Ok(())
    }

    /// Where progress is shown while a command waits.
    pub fn progress(&self) -> progress::Progress {
        progress::Progress::new(self.progress)
    }
}

/// Reads the configuration, does what the command line asks, and gives the exit status.
///
/// # Errors
/// When the command could not do its job.
pub fn main(cli: Cli, env: &BTreeMap<String, String>) -> anyhow::Result<u8> {
    // These two must work wherever, whatever the configuration says.
    match &cli.command {
        Command::Completions(args) => return completions::run(&mut Stdout::new(), args),
        Command::Schema(args) => return schema::run(&mut Stdout::new(), args),
        _ => {}
    }
    let style = output::style(cli.global.color, env, std::io::stdout().is_terminal());
    telemetry::init(&cli, env)?;
    let sources = Sources::new(cli.global.config.clone(), env.clone(), cli.flags());
    let config = match &cli.command {
        // It has a configuration of its own, and must work whatever the user's says.
        Command::Demo(args) if args.stands_alone() => Config::default(),
        _ => Config::load(&sources)?,
    };
    let named = cli.global.server.is_some() || (config.server.is_some() && !cli.command.is_offline());
    if named && !cli.command.takes_server() {
        anyhow::bail!(
            "this command asks the engine and the registries itself, not a server; leave out --server and \
             SKEP_SERVER (apply, reconcile, suspend, resume, retry, status, wait and events take them)"
        );
    }
    let json = cli.global.output == Output::Json;
    let progress =
        progress::Mode::detect(cli.global.quiet, env.get("TERM").is_some_and(|term| term == "dumb"));
    let mut ctx =
        Context { config, sources, env: env.clone(), out: Box::new(Stdout::new()), json, style, progress };
    dispatch(&mut ctx, cli.command)
}

fn dispatch(ctx: &mut Context, command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Lint(args) => lint::run(ctx, &args),
        Command::Schema(args) => schema::run(&mut ctx.out, &args),
        Command::Completions(args) => completions::run(&mut ctx.out, &args),
        Command::History(args) => history::run(ctx, &args),
        networked => {
            let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
            runtime.block_on(dispatch_networked(ctx, networked))
        }
    }
}

async fn dispatch_networked(ctx: &mut Context, command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(args) => run::run(ctx, args).await,
        Command::Plan(args) => plan::run(ctx, args).await,
        Command::Apply(args) => apply::run(ctx, args).await,
        Command::Audit(args) => audit::run(ctx, args).await,
        Command::Explain(args) => explain::run(ctx, args).await,
        Command::Status(args) => status::run(ctx, args).await,
        Command::Wait(args) => wait::run(ctx, args).await,
        Command::Render(args) => render::run(ctx, args).await,
        Command::Import(args) => import::run(ctx, args).await,
        Command::Reconcile(args) => reconcile::run(ctx, args).await,
        Command::Suspend(args) => suspend::run(ctx, args).await,
        Command::Resume(args) => suspend::resume(ctx, args).await,
        Command::Retry(args) => retry::run(ctx, args).await,
        Command::Doctor(args) => doctor::run(ctx, args).await,
        Command::Events(args) => events::run(ctx, args).await,
        Command::Demo(args) => demo::run(ctx, args).await,
        Command::Lint(_) | Command::Schema(_) | Command::Completions(_) | Command::History(_) => {
            unreachable!("dispatched before the runtime starts")
        }
    }
}
