//! `skep demo --serve`: the fleet, kept there for skep in another terminal.

use super::commands::Typed;
use super::place::Place;
use super::scene::Scene;

/// Sets the fleet up, says how to reach it, and then waits for ever.
///
/// # Errors
/// When the fleet does not come up, or the output does not take it.
pub(super) async fn run(scene: &mut Scene, place: &Place) -> anyhow::Result<()> {
    scene.narrator.text(
        "A Swarm of three hosts, a registry and the specs of three customers. They are brought up once; \
         from then on they are yours.",
    )?;
    scene.world.write_specs(|_| true)?;
    scene.command(Typed::Apply, 0).await?;
    scene.show(&[], None)?;
    scene.narrator.serving(&Reach {
        docker_host: format!("unix://{}", place.socket().display()),
        registry: scene.world.address.clone(),
        specs: place.specs().display().to_string(),
        state: place.state().display().to_string(),
        config: place.config().display().to_string(),
    })?;
    std::future::pending().await
}

/// How to reach what is served.
#[derive(Debug, serde::Serialize)]
pub(super) struct Reach {
    pub(super) docker_host: String,
    /// `host:port`.
    pub(super) registry: String,
    pub(super) specs: String,
    pub(super) state: String,
    pub(super) config: String,
}

impl Reach {
    /// For people, to paste from.
    pub(super) fn text(&self) -> String {
        let Self { docker_host, registry, specs, state, config } = self;
        format!(
            "engine    {docker_host}
registry  {registry}
specs     {specs}
state     {state}

In another terminal:

export DOCKER_HOST={docker_host}
export SKEP_CONFIG={config}

skep status
skep audit                           # exit status 0: all at the highest version
skep demo push saas/frontend:1.5.0   # now they are behind; see what --broken does
skep plan                            # what would change
skep apply                           # change it; or let `skep run` do so by itself
skep explain acme/frontend           # why this version
skep events -f                       # what happened

Ctrl-C here ends it all and removes it."
        )
    }
}
