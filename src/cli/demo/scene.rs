//! Where the story is played: the world, skep at work in it, and who tells of it. Everything
//! is waited for by looking, and told as it is seen.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::{Instant, timeout_at};

use super::commands::{self, Typed};
use super::controller::Running;
use super::narrator::{Container, Narrator};
use super::world::World;
use crate::cli::session::Observers;
use crate::events::{Event, Filter, Follow, Reason};

/// What has not come about by then does not come about.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the world is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The rest of the log that is read at the end of an act.
const LINES_MAX: usize = 1_000;

pub(super) struct Scene {
    pub(super) world: World,
    pub(super) narrator: Narrator,
    skep: Option<Running>,
    log: Follow,
    /// All events since the last [`Scene::turn_page`].
    page: Vec<Event>,
    began: Instant,
}

/// What can be seen now.
pub(super) struct Seen<'a> {
    pub(super) events: &'a [Event],
    pub(super) containers: &'a [Container],
    world: &'a World,
}

impl Seen<'_> {
    /// Whether an event of this reason about this service (`customer/service`) came.
    pub(super) fn told(&self, reason: Reason, about: &str) -> bool {
        self.events.iter().any(|event| event.reason == reason && is_about(event, about))
    }

    /// Whether so many containers of a service run, and all of them say this.
    pub(super) fn say(&self, service: &str, count: usize, says: &str) -> bool {
        let of_service = || self.containers.iter().filter(|it| it.service == service);
        of_service().count() == count && of_service().all(|it| it.says == says)
    }

    /// What Swarm says of the service's last update.
    pub(super) fn update_state(&self, service: &str) -> &'static str {
        self.world.update_state(service)
    }
}

fn is_about(event: &Event, about: &str) -> bool {
    let (customer, service) = about.split_once('/').map_or((about, None), |(c, s)| (c, Some(s)));
    event.customer.as_deref() == Some(customer) && event.service.as_deref() == service
}

impl Scene {
    /// # Errors
    /// When the event log cannot be read.
    pub(super) fn new(world: World, narrator: Narrator) -> anyhow::Result<Self> {
        let log = Follow::new(&world.config.state_dir.join("events"), Filter::default())?;
        Ok(Self { world, narrator, skep: None, log, page: Vec::new(), began: Instant::now() })
    }

    /// Gives people the time to read, at the story's speed.
    pub(super) async fn breathe(&self, seconds: f64) {
        tokio::time::sleep(Duration::from_secs_f64(seconds / self.world.speed)).await;
    }

    /// Events before this are no longer waited for.
    pub(super) fn turn_page(&mut self) {
        self.page.clear();
    }

    /// # Errors
    /// When it cannot start.
    pub(super) fn start_skep(&mut self) -> anyhow::Result<()> {
        self.narrator.does("", "skep run")?;
        self.skep = Some(Running::start(&self.world.config, &Observers::default())?);
        Ok(())
    }

    /// # Errors
    /// When it had died.
    pub(super) async fn stop_skep(&mut self) -> anyhow::Result<()> {
        let Some(skep) = self.skep.take() else { return Ok(()) };
        skep.stop().await.context("skep had died")
    }

    /// Runs a command, and shows what it prints.
    ///
    /// # Errors
    /// When it could not do its job, or ended otherwise than it must here.
    pub(super) async fn command(&mut self, typed: Typed<'_>, expected: u8) -> anyhow::Result<()> {
        let printed = commands::run(typed, &self.world.config, &self.world.address, &self.narrator).await?;
        self.narrator.command(&printed)?;
        if printed.exit != expected {
            bail!("`{}` ended with {} in place of {expected}", printed.command, printed.exit);
        }
        Ok(())
    }

    /// Waits until `reached` holds, telling the events meanwhile.
    ///
    /// # Errors
    /// When it is not reached in time; `what` names it.
    pub(super) async fn until(
        &mut self,
        what: &str,
        reached: impl Fn(&Seen<'_>) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.tell_events(Instant::now() + LOOK_EVERY).await?;
            let containers = self.world.containers();
            if reached(&Seen { events: &self.page, containers: &containers, world: &self.world }) {
                break;
            }
            if self.skep.as_ref().is_some_and(Running::is_dead) {
                bail!("skep died before this was seen: {what}");
            }
            if Instant::now() >= deadline {
                bail!("not seen in {PATIENCE:?}: {what}; containers: {}", brief(&containers));
            }
        }
        self.narrator.seen(what)?;
        Ok(())
    }

    /// Tells what is in the log until `until`.
    async fn tell_events(&mut self, until: Instant) -> anyhow::Result<()> {
        for _ in 0..LINES_MAX {
            let Ok(line) = timeout_at(until, self.log.next()).await else { break };
            let line = line.context("cannot read the demo's event log")?;
            self.narrator.event(&line)?;
            self.page.extend(line.event);
        }
        Ok(())
    }

    /// Shows what the containers of some services say.
    ///
    /// # Errors
    /// When the output does not take it.
    pub(super) fn show(&mut self, services: &[&str], odd: Option<&str>) -> anyhow::Result<()> {
        let mut containers = self.world.containers();
        containers.retain(|it| services.is_empty() || services.contains(&it.service.as_str()));
        containers.sort();
        Ok(self.narrator.containers(&containers, odd)?)
    }

    /// Ends everything; to be called in any case.
    ///
    /// # Errors
    /// When skep had died, or the output does not take the end.
    pub(super) async fn close(&mut self, ok: bool) -> anyhow::Result<()> {
        let stopped = self.stop_skep().await;
        self.narrator.end(ok && stopped.is_ok(), self.began.elapsed())?;
        stopped
    }
}

/// For an error message.
fn brief(containers: &[Container]) -> String {
    let each = containers.iter().map(|it| format!("{}.{} {:?}", it.service, it.slot, it.says));
    each.collect::<Vec<_>>().join(", ")
}
