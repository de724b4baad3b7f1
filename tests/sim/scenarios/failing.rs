//! Versions that do not run.

use super::versions::web;
use super::{Scenario, WEB, scenario};
use crate::world::World;

pub fn all() -> Vec<Scenario> {
    // How many tasks fail until a failure is seen depends on when it is seen.
    vec![
        scenario("fails_swarm_rolls_back", "a version fails, Swarm rolls back, the next one heals", |w| {
            rolls_back(w);
        })
        .then("push a broken one", |w| w.push_broken("shop/web", "1.1.0"))
        .then("push a good one", |w| w.push("shop/web", "1.1.1"))
        .more_tasks(),
        scenario("fails_swarm_pauses", "a version fails, Swarm pauses, skep writes the last good back", web)
            .then("push a broken one", |w| {
                w.let_fall("acme_web");
                w.push_broken("shop/web", "1.1.0");
            })
            .then("push a good one", |w| w.push("shop/web", "1.2.0"))
            .more_tasks(),
        scenario("fails_then_new_content", "what was refused is pushed again, and runs", rolls_back)
            .then("push a broken one", |w| w.push_broken("shop/web", "1.1.0"))
            .then("push it mended", |w| w.push("shop/web", "1.1.0"))
            .more_tasks(),
        scenario("fails_then_new_spec", "what was refused is tried again with another spec", rolls_back)
            .then("push one that wants more", |w| w.push_broken("shop/web", "1.1.0"))
            .then("exclude it", |w| {
                let exclude = "version = { require = \"^1\", exclude = [\"1.1.0\"] }";
                w.spec("acme.toml", &rolling_back().replace("version = \"^1\"", exclude));
            })
            .more_tasks(),
        scenario("fails_beside_a_good_one", "one service fails and the other rolls", |w| {
            w.push("shop/web", "1.0.0");
            w.push("shop/api", "1.0.0");
            let api = rolling_back().replace("services.web", "services.api").replace("shop/web", "shop/api");
            w.spec("acme.toml", &format!("{}{api}", rolling_back()));
        })
        .then("push both", |w| {
            w.push_broken("shop/web", "1.1.0");
            w.push("shop/api", "1.1.0");
        })
        .more_tasks(),
        scenario("first_version_fails", "a service whose first version never runs, until the next", |w| {
            w.push_broken("shop/web", "1.0.0");
            w.spec(
                "acme.toml",
                &WEB.replace("replicas = 2,", "replicas = 2, restart_policy = { condition = \"none\" },"),
            );
        })
        .then_wait("wait", 90, |_| {})
        .then("push a good one", |w| w.push("shop/web", "1.0.1"))
        .more_tasks(),
    ]
}

fn rolling_back() -> String {
    WEB.replace("monitor = \"1s\"", "monitor = \"1s\", failure_action = \"rollback\"")
}

fn rolls_back(w: &World) {
    w.push("shop/web", "1.0.0");
    w.spec("acme.toml", &rolling_back());
}
