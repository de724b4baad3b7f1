//! What no spec names any more goes, later and a little at a time; restarts change nothing of that.

use super::{Scenario, WEB, scenario};
use crate::world::World;

/// Longer than any stage takes in which it must not be over.
const GRACE: &str = "prune = { grace = \"4m\" }\n";
const SECRETS: &str = "secrets = [\"token\", \"key\"]\nnetworks = [\"front\", \"back\"]\n\
    [networks.front]\n[networks.back]\n[secrets.token]\nfile = \"token.txt\"\n[secrets.key]\nfile = \"key.txt\"\n";

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("grace_over", "a customer's file goes, after a while its stack too; it comes back", |w| {
            customers(w, "prune = { grace = \"40s\" }\n", &["acme", "globex"]);
        })
        .then_wait("remove", 60, |w| {
            w.let_go("acme_*");
            w.remove_spec("acme.toml");
        })
        .then("put back", |w| w.spec("acme.toml", WEB)),
        scenario("grace_in_time", "a customer's file goes and comes back in time", |w| {
            customers(w, GRACE, &["acme", "globex"]);
        })
        .then("remove", |w| w.remove_spec("acme.toml"))
        .then_wait("put back", 270, |w| w.spec("acme.toml", WEB)),
        scenario("grace_unreadable", "the specs cannot be read when a customer's grace is over", |w| {
            customers(w, GRACE, &["acme", "globex"]);
        })
        .then("remove", |w| w.remove_spec("acme.toml"))
        .then_wait("out of reach", 270, |w| w.specs_away(true))
        .then_wait("put back", 60, |w| {
            w.specs_away(false);
            w.spec("acme.toml", WEB);
        }),
        scenario("prune_held", "too much would go at once, until some of it is put back", |w| {
            customers(w, "prune = { grace = \"10s\" }\n", &["acme", "globex", "initech", "umbrella"]);
        })
        .then_wait("remove two", 90, |w| {
            w.remove_spec("acme.toml");
            w.remove_spec("globex.toml");
        })
        .then_wait("put one back", 90, |w| {
            w.let_go("globex_*");
            w.spec("acme.toml", WEB);
        }),
        scenario(
            "two_secrets",
            "networks, secrets and their service are made; the secrets rotate often",
            |w| {
                w.push("shop/web", "1.0.0");
                secrets(w, 1);
                w.spec("acme.toml", &format!("{WEB}{SECRETS}"));
            },
        )
        .then("rotate", |w| secrets(w, 2))
        .then("again", |w| secrets(w, 3))
        .then("what is old goes", |w| {
            w.let_go("acme_*");
            secrets(w, 4);
        }),
    ]
}

fn customers(w: &World, rules: &str, names: &[&str]) {
    w.push("shop/web", "1.0.0");
    w.spec("fleet.toml", rules);
    for name in names {
        w.spec(&format!("{name}.toml"), WEB);
    }
}

fn secrets(w: &World, number: u32) {
    w.spec("token.txt", &format!("canary-token-{number}"));
    w.spec("key.txt", &format!("canary-key-{number}"));
}
