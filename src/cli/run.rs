//! `skep run`: the controller.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::session::{Observers, Writer};
use crate::config::Config;
use crate::controller::{Controller, Observer, Settings, Specs, Wakeups, wakeups};
use crate::http::{self, Health, Highest, HttpState, Metrics, Part};
use crate::plan::Plan;
use crate::state::WaitingReason;
use crate::swarm::SwarmError;

/// Run the controller: watch, reconcile, record, serve HTTP
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct Args {
    /// Where to serve health and metrics [env: SKEP_HTTP__LISTEN] [default: 127.0.0.1:9741]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
}

const HELP: &str = "\
Examples:
  skep run
  skep run --specs /srv/specs --state-dir /var/lib/skep --listen 0.0.0.0:9741

Signals:
  SIGTERM, SIGINT  finish the step in hand, then end; a second one ends at once
  SIGHUP           read specs and configuration again and ask every registry

Exit status:
  0  ended when told to
  2  could not start or go on";

/// The loop goes round at least every ten seconds.
const HEARTBEAT_MAX: Duration = Duration::from_secs(60);

/// Why the controller ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Told,
    /// The configuration changed: everything is made anew with it.
    Reconfigured,
}

pub async fn run(ctx: &mut Context, _args: Args) -> anyhow::Result<u8> {
    let mut config = ctx.config.clone();
    // Counters and readiness live as long as the process.
    let state = HttpState { metrics: Arc::new(Metrics::new()), health: Arc::new(Health::new(HEARTBEAT_MAX)) };
    loop {
        let (ended, next) = run_with(&config, ctx, &state).await?;
        if ended == Ended::Told {
            return Ok(super::CLEAN);
        }
        config = next;
    }
}

async fn run_with(config: &Config, ctx: &Context, state: &HttpState) -> anyhow::Result<(Ended, Config)> {
    let writer = Writer::open(config, &observers(state))?;
    let listener = tokio::net::TcpListener::bind(config.http_listen).await.with_context(|| {
        format!("cannot listen on {} (--listen names another address)", config.http_listen)
    })?;
    let stop_http = CancellationToken::new();
    let server = tokio::spawn(http::serve(listener, state.clone(), stop_http.clone().cancelled_owned()));
    let hangup = Arc::new(Notify::new());
    let wakeups = Wakeups::start(wakeups::Sources {
        specs_dir: &config.specs_dir,
        swarm: Arc::clone(&writer.session.swarm),
        registry: Arc::clone(&writer.session.registry),
        watched: writer.session.resolver.watched.clone(),
        poll_registry: config.poll_registry,
        resync: config.resync,
        hangup: Arc::clone(&hangup),
    });
    let settings = Settings {
        concurrency: config.rollout_concurrency,
        poll_registry: config.poll_registry,
        resync: config.resync,
    };
    let specs = Specs::new(&config.specs_dir, Some(&config.state_dir));
    let observer =
        Arc::new(Watcher { state: state.clone(), known: Mutex::default(), dark: Mutex::default() });
    let controller = Controller::new(Arc::clone(&writer.reconciler), specs, settings, observer);
    tracing::info!(specs = %config.specs_dir.display(), listen = %config.http_listen, "running");
    let told = Mutex::new((Ended::Told, config.clone()));
    controller.run(wakeups, signals(ctx, config, &hangup, &told)).await;
    stop_http.cancel();
    server.await.context("the HTTP server panicked")??;
    Ok(told.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
}

/// Ends when the controller is to end. A second signal to end ends the process at once.
async fn signals(ctx: &Context, config: &Config, hangup: &Notify, told: &Mutex<(Ended, Config)>) {
    let streams =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hang)) = streams else {
        tracing::error!("cannot listen to signals");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hang.recv() => match Config::load(&ctx.sources) {
                Ok(new) if new == *config => hangup.notify_one(),
                Ok(new) => {
                    tracing::info!("the configuration changed; starting anew with it");
                    if let Ok(mut told) = told.lock() {
                        *told = (Ended::Reconfigured, new);
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the configuration has errors; the old one stays in force");
                    hangup.notify_one();
                }
            },
        }
    }
    tracing::info!("finishing the step in hand; a second signal ends at once");
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
}

fn observers(state: &HttpState) -> Observers {
    let (swarm, registry, events) =
        (Arc::clone(&state.metrics), Arc::clone(&state.metrics), Arc::clone(&state.metrics));
    Observers {
        swarm: Arc::new(move |operation, status| swarm.swarm_request(operation, status)),
        registry: Arc::new(move |host, code| registry.registry_request(host, code.parse().ok())),
        events: Arc::new(move |kind, reason| events.event(kind, reason)),
    }
}

/// Turns what the controller does into metrics and readiness.
struct Watcher {
    state: HttpState,
    /// The services of each customer at its last pass.
    known: Mutex<HashMap<String, Vec<String>>>,
    /// Customers for whom a registry does not answer, and why.
    dark: Mutex<BTreeMap<String, String>>,
}

impl Observer for Watcher {
    fn pass(&self, customer: &str, duration: Duration, result: Result<&Plan, &SwarmError>) {
        self.state.metrics.reconciled(duration);
        match result {
            Ok(plan) => {
                self.state.health.seen(Part::Swarm, Ok(()));
                self.planned(customer, plan);
            }
            Err(error) => {
                self.state.health.seen(Part::Swarm, Err(&error.message));
                self.unknown(customer);
            }
        }
    }

    fn queue_depth(&self, depth: usize) {
        self.state.metrics.queue_depth(depth);
    }

    fn specs_read(&self, result: Result<bool, &str>) {
        let health = &self.state.health;
        health.seen(Part::Specs, result.map(drop));
        if result == Ok(false) {
            // Without a customer there is nothing more to see.
            health.seen(Part::Swarm, Ok(()));
            health.seen(Part::Registries, Ok(()));
        }
    }

    fn forget(&self, customer: &str) {
        self.state.metrics.forget_customer(customer);
        if let Ok(mut known) = self.known.lock() {
            known.remove(customer);
        }
        self.registries(customer, None);
    }

    fn heartbeat(&self) {
        self.state.health.beat();
    }
}

impl Watcher {
    fn planned(&self, customer: &str, plan: &Plan) {
        let metrics = &self.state.metrics;
        for (service, view) in &plan.services {
            let highest = match view.highest {
                Some(true) => Highest::Yes,
                Some(false) => Highest::No,
                None => Highest::Unknown,
            };
            let runs = view.running.first().map(|(image, _)| image);
            let version = runs.and_then(|image| image.version.as_deref());
            metrics.set_service(
                customer,
                service,
                highest,
                version,
                runs.and_then(|image| image.digest.as_deref()),
            );
        }
        let services: Vec<String> = plan.services.keys().cloned().collect();
        let before = self.known.lock().ok().and_then(|mut known| known.insert(customer.to_owned(), services));
        for gone in before.into_iter().flatten().filter(|service| !plan.services.contains_key(service)) {
            metrics.forget_service(customer, &gone);
        }
        let dark = |waiting: &&crate::plan::Waiting| {
            matches!(waiting.reason, WaitingReason::RegistryUnavailable | WaitingReason::TagListTruncated)
        };
        let why = plan.waiting.iter().find(dark).map(|waiting| waiting.message.clone());
        if why.is_none() {
            metrics.succeeded(customer, Timestamp::now());
        }
        self.registries(customer, why);
    }

    /// Ready as long as the registries of all customers answer.
    fn registries(&self, customer: &str, why: Option<String>) {
        let Ok(mut dark) = self.dark.lock() else { return };
        match why {
            Some(why) => drop(dark.insert(customer.to_owned(), why)),
            None => drop(dark.remove(customer)),
        }
        self.state.health.seen(Part::Registries, dark.values().next().map_or(Ok(()), |why| Err(why)));
    }

    /// The Swarm does not answer, so nobody can tell.
    fn unknown(&self, customer: &str) {
        let services =
            self.known.lock().ok().and_then(|known| known.get(customer).cloned()).unwrap_or_default();
        for service in services {
            self.state.metrics.set_service(customer, &service, Highest::Unknown, None, None);
        }
    }
}
