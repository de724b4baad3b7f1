//! `skep run`: the controller.

mod secrets;
mod socket;

use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::session::{Observers, Writer};
use super::watcher::{self, Watcher};
use crate::config::Config;
use crate::controller::{Controller, Jitter, Observer, Settings, Specs, Wakeups, wakeups};
use crate::http::{self, Api, GitSource, Hooks, Hosts, HttpState, Served};
use crate::source::{self, Touched};
use crate::state_dir::StateDir;
use crate::swarm;
use secrets::Secrets;
use socket::{Socket, bind};

/// Run the controller: watch, reconcile, record, serve HTTP
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Where to serve health, metrics and the API, or unix:///PATH [env: SKEP_HTTP__LISTEN] [default: 127.0.0.1:9741]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

const HELP: &str = "\
Examples:
  skep run
  skep run --specs /srv/specs --state-dir /var/lib/skep --listen unix:///run/skep.sock

Signals:
  SIGTERM, SIGINT  finish the step in hand, then end; a second one ends at once
  SIGHUP           read specs and configuration again and ask every registry

Exit status:
  0  ended when told to
  2  could not start or go on";

pub async fn run(ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    let signals = Signals::listen()?;
    // Counters and readiness live as long as the process.
    let state = watcher::state();
    let watcher = Arc::new(Watcher::new(state.clone()));
    let config = ctx.config.clone();
    let mut writer = Writer::open(&config, &observers(&state))?;
    let mut setup = Setup { listener: bind(&config)?, secrets: Secrets::read(&config)?, config };
    loop {
        let next = run_with(&setup, ctx, &watcher, &signals, writer).await?;
        let Some(next) = next.filter(|_| !signals.end.is_cancelled()) else { return Ok(super::CLEAN) };
        writer = match Writer::open(&next.config, &observers(&state)) {
            Ok(writer) => {
                setup = next;
                writer
            }
            Err(error) => {
                tracing::error!("{OLD_STAYS}: {error:#}");
                Writer::open(&setup.config, &observers(&state))?
            }
        };
    }
}

const OLD_STAYS: &str = "the new configuration cannot be started; the old one stays in force";

/// A configuration, with what could fail at its start done already.
struct Setup {
    config: Config,
    secrets: Secrets,
    listener: Socket,
}

impl Setup {
    /// What to begin anew with; `None` when nothing changed. Made while the old one still runs, so
    /// that nothing stops for a mistake.
    fn next(&self, config: Config) -> anyhow::Result<Option<Self>> {
        swarm::Endpoint::new(&config.docker).map_err(|message| anyhow::anyhow!(message))?;
        // The token may be made there.
        let _lock = match config.state_dir == self.config.state_dir {
            true => None,
            false => Some(StateDir::open(&config.state_dir)?.lock()?),
        };
        let secrets = Secrets::read(&config)?;
        if config == self.config && secrets == self.secrets {
            return Ok(None);
        }
        let same_place = config.http_listen == self.config.http_listen
            && config.http_allow_remote == self.config.http_allow_remote;
        let listener = match same_place {
            true => self.listener.try_clone().context("cannot keep the listening socket")?,
            false => bind(&config)?,
        };
        Ok(Some(Self { config, secrets, listener }))
    }
}

/// Runs the controller until it is told to end (`None`) or the configuration changed.
async fn run_with(
    setup: &Setup,
    ctx: &Context,
    watcher: &Arc<Watcher>,
    signals: &Signals,
    writer: Writer,
) -> anyhow::Result<Option<Setup>> {
    let Setup { config, secrets, listener } = setup;
    let shared = listener.shared().context("cannot use the listening socket")?;
    tell_api(&writer, listener);
    let stop_http = CancellationToken::new();
    let hangup = Arc::new(Notify::new());
    let (controller, wakeups) = assemble(config, &writer, &hangup, Arc::<Watcher>::clone(watcher));
    let api = Api {
        token: secrets.token.clone(),
        hosts: Hosts(config.http_hosts.clone()),
        board: Arc::clone(&watcher.board),
        ledger: Arc::clone(&watcher.ledger),
        events: StateDir::existing(&config.state_dir)?.events(),
        memory: Arc::clone(&writer.session.memory),
        orders: writer.reconciler.orders.clone(),
        poke: wakeups.poke(),
        stop: stop_http.clone(),
        limits: http::Limits::default(),
    };
    let expiry = tokio::spawn(http::end_holds(Arc::clone(&api.memory), api.poke.clone()));
    let source = config.git.as_ref().and_then(GitSource::new);
    let metrics = Arc::clone(&watcher.state.metrics);
    let hooks = Hooks::new(secrets.hooks.clone(), source, api.poke.clone(), metrics);
    let served = Served { state: watcher.state.clone(), api: Arc::new(api), hooks: Arc::new(hooks) };
    let server = tokio::spawn(http::serve(shared, served, stop_http.clone().cancelled_owned()));
    let specs = config.git.as_ref().map_or(config.specs_dir.display().to_string(), |git| git.shown_url());
    tracing::info!(specs, listen = %config.http_listen, "running");
    let next = Mutex::new(None);
    let shutdown = async {
        let told = until_told(ctx, setup, signals, &hangup).await;
        if let Ok(mut next) = next.lock() {
            *next = told;
        }
    };
    controller.run(wakeups, shutdown).await;
    expiry.abort();
    stop_http.cancel();
    server.await.context("the HTTP server panicked")??;
    Ok(next.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// For commands that find the state directory in use.
fn tell_api(writer: &Writer, listener: &Socket) {
    let told = listener.url().and_then(|url| writer.tell_api(&url));
    if let Err(error) = told {
        tracing::warn!(%error, "cannot note where the API is; commands need --server to find it");
    }
}

/// The controller and what wakes it, as the configuration has them; `hangup` does what SIGHUP does.
pub(super) fn assemble(
    config: &Config,
    writer: &Writer,
    hangup: &Arc<Notify>,
    observer: Arc<dyn Observer>,
) -> (Controller, Wakeups) {
    let jitter = Jitter::default();
    let (specs, files) = source_of(config, writer, &jitter);
    let wakeups = Wakeups::start(wakeups::Sources {
        files,
        swarm: Arc::clone(&writer.session.swarm),
        registry: Arc::clone(&writer.session.registry),
        watched: writer.session.resolver.watched.clone(),
        poll_registry: config.poll_registry,
        resync: config.resync,
        jitter: jitter.clone(),
        hangup: Arc::clone(hangup),
    });
    let settings = Settings {
        concurrency: config.rollout_concurrency,
        poll_registry: config.poll_registry,
        resync: config.resync,
        jitter,
    };
    (Controller::new(Arc::clone(&writer.reconciler), specs, settings, observer), wakeups)
}

/// Where specs come from, and what says that they may have changed.
fn source_of(config: &Config, writer: &Writer, jitter: &Jitter) -> (Specs, BoxStream<'static, Touched>) {
    match &config.git {
        None => {
            let files = source::watch(&config.specs_dir, source::Debounce::default()).boxed();
            (Specs::new(&config.specs_dir, Some(&config.state_dir), writer.sealing.clone()), files)
        }
        Some(git) => {
            let repository = source::git::Repository::new(git, &config.state_dir);
            let (jitter, interval) = (jitter.clone(), git.interval);
            // Of many that were started together, each asks the server at a time of its own.
            let feed = source::git::Fetcher::start(repository, move || jitter.poll(interval));
            let changes = feed.changes().map(|()| Touched::Anywhere).boxed();
            (Specs::from_git(feed, &config.state_dir, writer.sealing.clone()), changes)
        }
    }
}

/// Waits until the controller is to end (`None`), or to begin anew with another configuration or other
/// secrets.
async fn until_told(ctx: &Context, setup: &Setup, signals: &Signals, hangup: &Notify) -> Option<Setup> {
    loop {
        tokio::select! {
            () = signals.end.cancelled() => return None,
            () = signals.hangup.notified() => {}
        }
        match Config::load(&ctx.sources) {
            Ok(new) => match setup.next(new) {
                Ok(None) => {}
                Ok(Some(next)) => {
                    tracing::info!("the configuration changed; starting anew with it");
                    return Some(next);
                }
                Err(error) => tracing::error!("{OLD_STAYS}: {error:#}"),
            },
            Err(error) => {
                tracing::error!(%error, "the configuration has errors; the old one stays in force");
            }
        }
        hangup.notify_one();
    }
}

/// What the process was told. Heard from start to end, so that no signal is lost between
/// two configurations.
struct Signals {
    end: CancellationToken,
    hangup: Arc<Notify>,
}

impl Signals {
    /// A second signal to end ends the process at once.
    fn listen() -> anyhow::Result<Self> {
        let stream = |kind| signal(kind).context("cannot listen to signals");
        let mut terminate = stream(SignalKind::terminate())?;
        let mut interrupt = stream(SignalKind::interrupt())?;
        let mut hang = stream(SignalKind::hangup())?;
        let heard = Self { end: CancellationToken::new(), hangup: Arc::new(Notify::new()) };
        let (end, hangup) = (heard.end.clone(), Arc::clone(&heard.hangup));
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = hang.recv() => {
                        hangup.notify_one();
                        continue;
                    }
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if end.is_cancelled() {
                    std::process::exit(130);
                }
                tracing::info!("finishing the step in hand; a second signal ends at once");
                end.cancel();
            }
        });
        Ok(heard)
    }
}

fn observers(state: &HttpState) -> Observers {
    let (swarm, registry, events) =
        (Arc::clone(&state.metrics), Arc::clone(&state.metrics), Arc::clone(&state.metrics));
    Observers {
        swarm: Arc::new(move |operation, status| swarm.swarm_request(operation, status)),
        registry: Arc::new(move |host, code, allowance| {
            registry.registry_request(host, code.parse().ok());
            if let Some(allowance) = allowance {
                registry.registry_allowance(host, allowance);
            }
        }),
        events: Arc::new(move |kind, reason| events.event(kind, reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::config::{Hook, Listen};

    #[test]
    fn a_configuration_that_cannot_start_is_refused_while_the_old_one_runs() {
        let directory = tempfile::tempdir().unwrap();
        let any = Listen::Tcp("127.0.0.1:0".parse().unwrap());
        let old = Config { http_listen: any, state_dir: directory.path().into(), ..Config::default() };
        let address = |socket: &Socket| match socket {
            Socket::Tcp(listener) => listener.local_addr().unwrap(),
            Socket::Unix(_) => unreachable!("not asked for"),
        };
        let secrets = Secrets::read(&old).unwrap();
        let setup = Setup { listener: bind(&old).unwrap(), secrets, config: old.clone() };
        let refused = |config: Config| format!("{:#}", setup.next(config).err().unwrap());
        assert!(setup.next(old.clone()).unwrap().is_none(), "nothing changed");
        let taken = bind(&old).unwrap();
        let busy = refused(Config { http_listen: Listen::Tcp(address(&taken)), ..old.clone() });
        assert!(busy.contains("cannot listen on"), "{busy}");
        let mut ssh = old.clone();
        ssh.docker.host = Some("ssh://box".into());
        refused(ssh);
        let same = Config { resync: Duration::from_secs(7), ..old.clone() };
        let next = setup.next(same.clone()).unwrap().unwrap();
        assert_eq!(address(&next.listener), address(&setup.listener), "no moment without it");
        std::fs::write(directory.path().join(http::TOKEN_FILE), "").unwrap();
        assert!(refused(same).contains("the secret is empty"));
        assert!(refused(old).contains("the secret is empty"), "that of a file that is named as before");
    }

    #[test]
    fn secrets_are_read_before_the_old_one_ends_also_for_another_state_directory() {
        let directory = tempfile::tempdir().unwrap();
        let any = Listen::Tcp("127.0.0.1:0".parse().unwrap());
        let old = Config { http_listen: any, state_dir: directory.path().join("old"), ..Config::default() };
        StateDir::open(&old.state_dir).unwrap();
        let secrets = Secrets::read(&old).unwrap();
        let setup = Setup { listener: bind(&old).unwrap(), secrets, config: old.clone() };
        let mut moved = Config { state_dir: directory.path().join("new"), ..old };
        let next = setup.next(moved.clone()).unwrap().unwrap();
        assert!(next.secrets != setup.secrets, "a token of its own was made there");
        let file = directory.path().join("hook");
        moved.hook_secrets.insert(Hook::GitGithub, file.clone());
        for text in [None, Some("")] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let error = format!("{:#}", setup.next(moved.clone()).err().unwrap());
            assert!(error.contains("hooks.git.github.secret_file cannot be used"), "{error}");
        }
    }

    #[test]
    fn other_machines_are_let_in_only_when_that_is_said() {
        let listen = Listen::Tcp("0.0.0.0:0".parse().unwrap());
        let config = Config { http_listen: listen, ..Config::default() };
        let error = bind(&config).unwrap_err().to_string();
        assert!(error.contains("http.allow_remote = true"), "{error}");
        assert!(bind(&Config { http_allow_remote: true, ..config }).is_ok());
    }

    #[test]
    fn others_are_told_an_address_that_leads_here() {
        let listen = |address: &str| {
            let config = Config {
                http_listen: Listen::Tcp(address.parse().unwrap()),
                http_allow_remote: true,
                ..Config::default()
            };
            bind(&config).unwrap().url().unwrap()
        };
        assert!(
            listen("0.0.0.0:0").starts_with("http://127.0.0.1:") && !listen("127.0.0.1:0").ends_with(":0")
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("skep.sock");
        let config = Config { http_listen: Listen::Unix(path.clone()), ..Config::default() };
        assert_eq!(bind(&config).unwrap().url().unwrap(), format!("unix://{}", path.display()));
    }

    #[test]
    fn a_socket_that_is_left_over_gives_way_and_a_living_one_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("skep.sock");
        let config = Config { http_listen: Listen::Unix(path.clone()), ..Config::default() };
        let first = bind(&config).unwrap();
        assert!(bind(&config).is_err(), "somebody listens");
        drop(first);
        assert!(path.exists());
        bind(&config).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a file").unwrap();
        assert!(bind(&config).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    }
}
