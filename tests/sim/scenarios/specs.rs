//! What is wanted changes.

use super::versions::{web, web_with};
use super::{Scenario, WEB, is_updating, scenario};

const TEMPLATE: &str = r#"
[services.web]
image = "registry.test:5000/shop/web"
version = "^1"
environment = { NAME = "${customer}" }
deploy = { replicas = 1, update_config = { monitor = "1s" } }
"#;

const USES_TOKEN: &str = "secrets = [\"token\"]\n[secrets.token]\nfile = \"token.txt\"\n";

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("environment", "a key of the environment is added, changed and taken out", web)
            .then("add", |w| w.spec("acme.toml", &with_environment("A = \"1\", B = \"2\"")))
            .then("change", |w| w.spec("acme.toml", &with_environment("A = \"1\", B = \"3\"")))
            .then("take out", |w| w.spec("acme.toml", WEB)),
        scenario("edited_while_rolling", "the spec changes in the middle of a rollout", web)
            .until("push", |w| w.push("shop/web", "1.1.0"), |state| is_updating(state, "acme_web"))
            .then("edit", |w| w.spec("acme.toml", &with_environment("A = \"1\"")))
            .more_rollouts(),
        scenario("invalid_then_mended", "a spec has errors and is mended; a push comes meanwhile", web)
            .then("spoil", |w| w.spec("acme.toml", "[services.web]\nimagine = \"x\"\n"))
            .then("push", |w| w.push("shop/web", "1.1.0"))
            .then("mend", |w| w.spec("acme.toml", &with_environment("A = \"1\""))),
        scenario(
            "invalid_and_drifted",
            "a spec has errors, and what its secret holds is gone: drift and versions are seen to all the same",
            |w| {
                w.push("shop/web", "1.0.0");
                w.spec("token.txt", "canary-one");
                w.spec("templates/saas.toml", &format!("{WEB}{USES_TOKEN}").replace("token.txt", "../token.txt"));
                w.spec("acme.toml", "template = \"saas\"\n");
            },
        )
        .then("spoil", |w| {
            w.spec("acme.toml", "template = \"saas\"\n[services.web]\nimagine = \"x\"\n");
            w.remove_spec("token.txt");
        })
        .then("drift", |w| w.by_hand("acme_web", |spec| spec["Mode"]["Replicated"]["Replicas"] = 5.into()))
        .then("push", |w| w.push("shop/web", "1.1.0"))
        .then("mend", |w| {
            w.spec("token.txt", "canary-one");
            w.spec("acme.toml", "template = \"saas\"\n");
        }),
        scenario("rules_spoilt", "the fleet's rules have errors: all go on by what was good", |w| {
            w.push("shop/web", "1.0.0");
            w.spec("fleet.toml", "[limits]\nreplicas = 4\n");
            for customer in ["acme", "globex"] {
                w.spec(&format!("{customer}.toml"), WEB);
            }
        })
        .then("spoil", |w| w.spec("fleet.toml", "[limit]\nreplicas = 4\n"))
        .then("drift", |w| w.by_hand("acme_web", |spec| spec["Mode"]["Replicated"]["Replicas"] = 3.into()))
        .then("push", |w| w.push("shop/web", "1.1.0"))
        .then("mend", |w| w.spec("fleet.toml", "[limits]\nreplicas = 5\n")),
        scenario("secret_rotates", "a secret is made, and its content changes", |w| {
            w.push("shop/web", "1.0.0");
            w.spec("token.txt", "canary-one");
            w.spec("acme.toml", &format!("{WEB}{USES_TOKEN}"));
        })
        .then("rotate", |w| w.spec("token.txt", "canary-two")),
        scenario("suspended", "a customer is held and let go", web)
            .then("hold", |w| w.spec("acme.toml", &format!("suspend = \"audit\"\n{WEB}")))
            .then("push", |w| w.push("shop/web", "1.1.0"))
            .then("let go", |w| w.spec("acme.toml", WEB)),
        scenario("template", "a template of three customers changes", |w| {
            w.push("shop/web", "1.0.0");
            w.spec("templates/saas.toml", TEMPLATE);
            for customer in ["acme", "globex", "initech"] {
                w.spec(&format!("{customer}.toml"), "template = \"saas\"\n");
            }
        })
        .then("edit", |w| w.spec("templates/saas.toml", &TEMPLATE.replace("NAME =", "LEVEL = \"2\", NAME =")))
        .then("push", |w| w.push("shop/web", "1.1.0")),
        scenario("service_removed", "a service leaves the spec and is removed", |w| {
            w.push("shop/web", "1.0.0");
            w.push("shop/api", "1.0.0");
            let api = WEB.replace("services.web", "services.api").replace("shop/web", "shop/api");
            w.spec("acme.toml", &format!("{WEB}{api}"));
        })
        .then("remove", |w| {
            w.let_go("acme_api");
            w.spec("acme.toml", WEB);
        })
        .then("push", |w| {
            w.push("shop/web", "1.1.0");
            w.push("shop/api", "1.1.0");
        }),
        scenario("customer_removed", "a customer's file goes and comes back", web)
            .then("remove", |w| w.remove_spec("acme.toml"))
            .then("push", |w| w.push("shop/web", "1.1.0"))
            .then("put back", |w| w.spec("acme.toml", WEB)),
        scenario("order", "a service comes after another, which is created first", |w| {
            w.push("shop/web", "1.0.0");
            w.push("shop/api", "1.0.0");
            let api = WEB.replace("services.web", "services.api").replace("shop/web", "shop/api");
            w.spec("acme.toml", &format!("{WEB}after = [\"api\"]\n{api}"));
        }),
        scenario("scaled", "replicas change with the version, to none and back", web)
            .then("scale and push", |w| {
                w.push("shop/web", "1.1.0");
                w.spec("acme.toml", &WEB.replace("replicas = 2", "replicas = 3"));
            })
            .then("to none", |w| w.spec("acme.toml", &WEB.replace("replicas = 2", "replicas = 0")))
            .then("push", |w| w.push("shop/web", "1.2.0"))
            .then("back", |w| w.spec("acme.toml", WEB)),
        scenario("repository_moved", "the image comes from another repository", web).then("move", |w| {
            w.push("store/web", "1.0.0");
            w.spec("acme.toml", &web_with("version = \"1.0.0\"").replace("shop/web", "store/web"));
        }),
    ]
}

fn with_environment(environment: &str) -> String {
    format!("{WEB}environment = {{ {environment} }}\n")
}
