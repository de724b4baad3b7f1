//! `skep run` within the demo: the same wiring, but for signals and HTTP.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::cli::run::assemble;
use crate::cli::session::{Observers, Writer};
use crate::config::Config;
use crate::controller::{Observer, SpecsRead};
use crate::plan::Plan;
use crate::swarm::SwarmError;

/// A controller at work. It stops at once when this is dropped, in good order by [`Self::stop`].
pub(super) struct Running {
    end: CancellationToken,
    task: Option<JoinHandle<()>>,
}

impl Running {
    /// # Errors
    /// When the state directory is another skep's or cannot be written.
    pub(super) fn start(config: &Config, observers: &Observers) -> anyhow::Result<Self> {
        let writer = Writer::open(config, observers)?;
        let end = CancellationToken::new();
        let (config, told) = (config.clone(), end.clone());
        let task = tokio::spawn(async move {
            let hangup = Arc::new(Notify::new());
            let (controller, wakeups) = assemble(&config, &writer, &hangup, Arc::new(Nobody));
            controller.run(wakeups, told.cancelled()).await;
        });
        Ok(Self { end, task: Some(task) })
    }

    /// Lets it finish the steps in hand, as SIGTERM does.
    ///
    /// # Errors
    /// When it had panicked.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.end.cancel();
        if let Some(task) = self.task.take() {
            task.await?;
        }
        Ok(())
    }

    /// Whether it died by itself.
    pub(super) fn is_dead(&self) -> bool {
        self.task.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// The event log says all that the demo tells.
struct Nobody;

impl Observer for Nobody {
    fn pass(&self, _: &str, _: Duration, _: Result<&Plan, &SwarmError>) {}
    fn queue_depth(&self, _: usize) {}
    fn specs_read(&self, _: Result<&SpecsRead, &str>) {}
    fn forget(&self, _: &str) {}
    fn heartbeat(&self) {}
}
