//! The engine, its nodes and the registry come and go.

use super::versions::web;
use super::{Scenario, WEB, scenario};
use crate::plan::{REGISTRY, SWARM};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("engine_restarted", "the engine is away while a version is pushed", web)
            .then("stop", |w| w.set_down(SWARM, true))
            .then("push", |w| w.push("shop/web", "1.1.0"))
            .then_wait("start", 30, |w| w.set_down(SWARM, false)),
        scenario("registry_away", "the registry is away while the spec changes, and comes back", web)
            .then("stop", |w| {
                w.push("shop/web", "1.1.0");
                w.set_down(REGISTRY, true);
            })
            .then("edit", |w| w.spec("acme.toml", &WEB.replace("replicas = 2", "replicas = 1")))
            .then_wait("start", 30, |w| w.set_down(REGISTRY, false)),
        scenario("credentials", "the registry's password is wrong, then right", |w| {
            w.push("shop/web", "1.0.0");
            w.skep_password("canary-that-is-wrong");
            w.spec("acme.toml", WEB);
        })
        .then_wait("mend", 30, |w| w.skep_password("canary-of-the-registry"))
        .then("push", |w| w.push("shop/web", "1.1.0"))
        .password("canary-of-the-registry"),
        scenario("node_down", "a node goes down, a version is pushed, it comes back", web)
            .then("down", |w| w.node_up("worker-2", false))
            .then("push", |w| w.push("shop/web", "1.1.0"))
            .then("up", |w| w.node_up("worker-2", true))
            .more_tasks(),
        scenario("drained", "a node is drained and active again", web)
            .then("drain", |w| w.availability("worker-1", "drain"))
            .then("push", |w| w.push("shop/web", "1.1.0"))
            .then("activate", |w| w.availability("worker-1", "active")),
    ]
}
