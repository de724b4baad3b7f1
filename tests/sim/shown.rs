//! All that skep shows while it runs: its log, what `status` and `plan` print, the metrics.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skep::cli::convert;
use skep::cli::watcher::{self, Watcher};
use skep::controller::{Observer, Report, SpecsRead};
use skep::swarm::SwarmError;
use tokio::time::Instant;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

/// Text that grows.
#[derive(Clone, Default)]
pub struct Text(Arc<Mutex<Vec<u8>>>);

impl Text {
    pub fn add(&self, text: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(text.as_bytes());
    }

    pub fn all(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Does the work with all that skep logs, at every level, going to `text`.
pub fn logged<T>(text: &Text, work: impl FnOnce() -> T) -> T {
    let text = text.clone();
    let lines = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || text.clone());
    let of_skep = Targets::new().with_target("skep", LevelFilter::TRACE);
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(of_skep));
    tracing::subscriber::with_default(subscriber, work)
}

/// What `skep run` shows at each pass, and what `plan` and `status` would print.
pub struct Shown {
    watcher: Watcher,
    text: Text,
}

impl Shown {
    pub fn new(text: Text) -> Self {
        Self { watcher: Watcher::new(watcher::state()), text }
    }

    fn show(&self, what: &impl serde::Serialize) {
        self.text.add(&serde_json::to_string(what).unwrap_or_default());
    }
}

impl Observer for Shown {
    fn pass(&self, customer: &str, took: Duration, result: Result<&Report, &SwarmError>) {
        self.watcher.pass(customer, took, result);
        if let Ok(report) = result {
            self.show(&convert::customer(&report.plan));
        }
        self.show(&self.watcher.board.report(None));
        self.show(&self.watcher.state.health.readiness());
        self.text.add(&self.watcher.state.metrics.encode());
    }

    fn queue_depth(&self, depth: usize) {
        self.watcher.queue_depth(depth);
    }

    fn specs_read(&self, result: Result<&SpecsRead, &str>) {
        self.watcher.specs_read(result);
    }

    fn specs_invalid(&self, invalid: &BTreeMap<String, String>) {
        self.watcher.specs_invalid(invalid);
    }

    fn specs_gone(&self, gone: &BTreeMap<String, jiff::Timestamp>) {
        self.watcher.specs_gone(gone);
    }

    fn did(&self, customer: &str, begun: Instant, result: Result<&Report, &SwarmError>) {
        self.watcher.did(customer, begun, result);
    }

    fn forget(&self, customer: &str) {
        self.watcher.forget(customer);
    }

    fn heartbeat(&self) {
        self.watcher.heartbeat();
    }
}
