//! What happens to the world, told without faults. Each scenario runs once as it is told, and
//! again with every fault at every exchange.

mod failing;
mod fleet;
mod hands;
mod outside;
mod removal;
mod specs;
mod versions;

use std::time::Duration;

use skep::sim::engine::state::State;

use crate::world::World;

pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    /// Before skep first starts.
    pub setup: fn(&World),
    pub stages: Vec<Stage>,
    pub allow: Allow,
    /// What the registry wants to hear.
    pub password: Option<&'static str>,
}

/// Something happens, and the world comes to rest.
pub struct Stage {
    pub name: &'static str,
    pub act: fn(&World),
    pub until: Goal,
    /// Without faults it is over this soon, but for the rest that shows it.
    pub within: Option<Duration>,
}

/// When a stage is over.
#[derive(Clone, Copy)]
pub enum Goal {
    /// Nothing moves any more.
    Rest,
    /// As `Rest`, and this time has passed.
    RestAfter(Duration),
    /// The Swarm looks so, whatever else goes on.
    Seen(fn(&State) -> bool),
}

/// What may differ from the run without faults, each for a reason that the scenario gives.
#[derive(Clone, Copy, Default)]
pub struct Allow {
    /// Tasks that keep failing are started anew for as long as the failure goes unseen.
    pub more_tasks: bool,
    /// Whether a rollout is done before the next one begins is a matter of time.
    pub more_rollouts: bool,
}

/// The start of skep is the first stage of all.
const START: Stage = Stage { name: "start", act: |_| {}, until: Goal::Rest, within: None };

fn scenario(name: &'static str, about: &'static str, setup: fn(&World)) -> Scenario {
    Scenario { name, about, setup, stages: vec![START], allow: Allow::default(), password: None }
}

impl Scenario {
    fn then(self, name: &'static str, act: fn(&World)) -> Self {
        self.stage(Stage { name, act, until: Goal::Rest, within: None })
    }

    fn then_wait(self, name: &'static str, seconds: u64, act: fn(&World)) -> Self {
        self.stage(Stage { name, act, until: Goal::RestAfter(Duration::from_secs(seconds)), within: None })
    }

    /// The next stage begins in the middle of this one.
    fn until(self, name: &'static str, act: fn(&World), seen: fn(&State) -> bool) -> Self {
        self.stage(Stage { name, act, until: Goal::Seen(seen), within: None })
    }

    /// Instead of coming to rest, the start ends when this is seen.
    fn start_until(mut self, seen: fn(&State) -> bool) -> Self {
        self.stages[0].until = Goal::Seen(seen);
        self
    }

    fn stage(mut self, stage: Stage) -> Self {
        self.stages.push(stage);
        self
    }

    /// The last stage must be over within these seconds.
    fn within(mut self, seconds: u64) -> Self {
        if let Some(stage) = self.stages.last_mut() {
            stage.within = Some(Duration::from_secs(seconds));
        }
        self
    }

    fn password(mut self, password: &'static str) -> Self {
        self.password = Some(password);
        self
    }

    fn more_rollouts(mut self) -> Self {
        self.allow.more_rollouts = true;
        self.more_tasks()
    }

    fn more_tasks(mut self) -> Self {
        self.allow.more_tasks = true;
        self
    }
}

pub fn all() -> Vec<Scenario> {
    [
        versions::all(),
        failing::all(),
        specs::all(),
        hands::all(),
        outside::all(),
        fleet::all(),
        removal::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// One service that follows its major version.
pub const WEB: &str = r#"
[services.web]
image = "registry.test:5000/shop/web"
version = "^1"
deploy = { replicas = 2, update_config = { monitor = "1s" } }
"#;

/// Whether the service's spec names this tag.
pub fn has_tag(state: &State, service: &str, tag: &str) -> bool {
    let service = state.find_service(service);
    let image = service.and_then(|it| it.object.spec.pointer("/TaskTemplate/ContainerSpec/Image")?.as_str());
    image.is_some_and(|image| image.contains(&format!(":{tag}@")))
}

/// Whether Swarm is replacing the service's tasks.
pub fn is_updating(state: &State, service: &str) -> bool {
    let update = state.find_service(service).and_then(|service| service.update.as_ref());
    update.is_some_and(|update| update.state == "updating")
}
