//! `skep demo`: the main job end to end, on an embedded Swarm and registry.

mod commands;
mod controller;
mod fleet;
mod layout;
mod narrator;
mod person;
mod place;
mod push;
mod scene;
mod serve;
mod story;
mod world;

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::narrator::{Form, Narrator};
use self::place::Place;
use self::scene::Scene;
use self::world::World;
use super::{CLEAN, Context, Stdout};

/// Watch skep at work on an embedded Swarm and registry; needs no Docker and no network
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    pub command: Option<Sub>,
    /// Set the fleet up and keep it there, for skep in another terminal
    #[arg(long)]
    pub serve: bool,
    /// Where --serve puts it; must be empty or not there [default: a temporary directory]
    #[arg(long, value_name = "DIR", requires = "serve")]
    pub dir: Option<PathBuf>,
    /// So many times faster
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
}

#[derive(Clone, Debug, clap::Subcommand)]
pub enum Sub {
    Push(push::Args),
}

const HELP: &str = "\
Examples:
  skep demo
  skep demo --speed 2 --output json
  skep demo --serve
  skep demo push saas/frontend:1.5.0

Exit status:
  0    the story was told to its end, or --serve was told to end
  2    something in it did not come about
  130  interrupted; nothing is left behind";

/// Above this, times are so short that they mean nothing.
const SPEED_MAX: f64 = 100.0;

fn speed(text: &str) -> Result<f64, String> {
    let read = text.parse::<f64>().ok().filter(|speed| (0.1..=SPEED_MAX).contains(speed));
    read.ok_or_else(|| format!("write a number from 0.1 to {SPEED_MAX}"))
}

impl Args {
    /// Whether it needs nothing of the configuration.
    pub fn stands_alone(&self) -> bool {
        self.command.is_none()
    }
}

/// # Errors
/// When something in the story did not come about, or the demo could not be set up.
pub async fn run(ctx: &mut Context, args: Args) -> anyhow::Result<u8> {
    if let Some(Sub::Push(args)) = args.command {
        return push::run(ctx, args).await;
    }
    let mut signals = Signals::listen()?;
    let place = Place::new(args.dir.as_deref())?;
    let narrator = Narrator::new(Box::new(Stdout::new()), form(ctx), ctx.style);
    let mut scene = Scene::new(World::start(&place, args.speed).await?, narrator)?;
    let told = async {
        if args.serve { serve::run(&mut scene, &place).await } else { story::tell(&mut scene).await }
    };
    let ended = tokio::select! {
        biased;
        status = signals.next() => Ok(Some(status)),
        told = told => told.map(|()| None),
    };
    // A second signal ends at once, but leaves nothing behind either.
    let undo = place.undo();
    tokio::spawn(async move {
        let status = signals.next().await;
        drop(undo());
        std::process::exit(status.into());
    });
    let closed = scene.close(matches!(ended, Ok(None))).await;
    place.remove()?;
    let ended = ended?;
    closed?;
    Ok(match ended {
        Some(_) if args.serve => CLEAN,
        Some(status) => status,
        None => CLEAN,
    })
}

fn form(ctx: &Context) -> Form {
    let stdout = std::io::stdout();
    let dumb = ctx.env.get("TERM").is_some_and(|term| term == "dumb");
    match (ctx.json, stdout.is_terminal() && !dumb) {
        (true, _) => Form::Json,
        (false, false) => Form::Plain,
        (false, true) => {
            let size = rustix::termios::tcgetwinsize(&stdout).ok();
            let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
            Form::Terminal(columns.unwrap_or(80))
        }
    }
}

/// The signals that end a demo.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        let stream = |kind| signal(kind).context("cannot listen to signals");
        Ok(Self {
            interrupt: stream(SignalKind::interrupt())?,
            terminate: stream(SignalKind::terminate())?,
            hangup: stream(SignalKind::hangup())?,
        })
    }

    /// The exit status that a shell gives to what the next signal ends.
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
            _ = self.hangup.recv() => 129,
        }
    }
}
