//! People and other programs change the Swarm as well.

use serde_json::json;
use skep::sim::engine::state::{State, TaskState};

use super::versions::web;
use super::{Scenario, WEB, is_updating, scenario};

const ADOPTING: &str = r#"
[services.web]
adopt = true
image = "registry.test:5000/shop/web"
version = "^1"
environment = { A = "1" }
deploy = { replicas = 2, update_config = { monitor = "1s" } }
"#;

/// Whether both tasks of the service run.
fn is_up(state: &State) -> bool {
    state.tasks.values().filter(|task| task.state == TaskState::Running).count() == 2
}

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("adoption", "a service that somebody made is taken over, the rest of it stays", |w| {
            w.push("shop/web", "1.0.0");
            w.push("shop/web", "1.1.0");
            w.service_by_hand("acme_web", "shop/web:1.0.0", json!({"Hostname": "kept", "Env": ["OLD=1"]}));
            w.spec("acme.toml", ADOPTING);
        })
        .then("push", |w| w.push("shop/web", "1.2.0")),
        scenario("not_owned", "a service of that name is somebody else's until it is adopted", |w| {
            w.push("shop/web", "1.0.0");
            w.service_by_hand("acme_web", "shop/web:1.0.0", json!({}));
            w.forbid("acme_web");
            w.spec("acme.toml", &ADOPTING.replace("adopt = true\n", ""));
        })
        .then("push", |w| w.push("shop/web", "1.1.0"))
        .then("adopt", |w| {
            w.permit("acme_web");
            w.spec("acme.toml", ADOPTING);
        }),
        scenario("manual_latest", "somebody deploys latest by hand", |w| {
            web(w);
            w.push("shop/web", "latest");
        })
        .then("deploy latest", |w| {
            w.by_hand("acme_web", |spec| {
                spec["TaskTemplate"]["ContainerSpec"]["Image"] = json!("registry.test:5000/shop/web:latest");
            });
        })
        // How many of its tasks come up before they are replaced is a matter of time.
        .more_tasks(),
        scenario("scaled_by_hand", "somebody scales a service", web)
            .then("scale", |w| {
                w.by_hand("acme_web", |spec| spec["Mode"]["Replicated"]["Replicas"] = json!(4));
            })
            .then("push", |w| w.push("shop/web", "1.1.0")),
        scenario("drift", "somebody changes the environment, and something that is not ours", web)
            .then("change", |w| {
                w.by_hand("acme_web", |spec| {
                    spec["TaskTemplate"]["ContainerSpec"]["Image"] =
                        json!("registry.test:5000/shop/web:0.9.0");
                    spec["TaskTemplate"]["ContainerSpec"]["Hostname"] = json!("theirs");
                });
            })
            .more_tasks(),
        scenario("removed_by_hand", "somebody removes a service; it comes back", web)
            .then("remove", |w| w.remove_by_hand("acme_web")),
        scenario("removed_soon", "somebody removes a service that has only just come up", web)
            .start_until(is_up)
            .then("remove", |w| w.remove_by_hand("acme_web"))
            .within(10),
        scenario("removed_while_rolling", "somebody removes a service in the middle of a rollout", web)
            .until("push", |w| w.push("shop/web", "1.1.0"), |state| is_updating(state, "acme_web"))
            .then("remove", |w| w.remove_by_hand("acme_web"))
            .within(10)
            .more_rollouts(),
        scenario("strangers", "services of others are never touched", |w| {
            w.push("shop/web", "1.0.0");
            w.push("other/db", "1.0.0");
            w.service_by_hand("other_db", "other/db:1.0.0", json!({"Env": ["X=1"]}));
            w.forbid("other_db");
            w.spec("acme.toml", WEB);
        })
        .then("push", |w| {
            w.push("shop/web", "1.1.0");
            w.push("other/db", "1.1.0");
        }),
    ]
}
