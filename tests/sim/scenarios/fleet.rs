//! Several customers, and services that are no plain replicas.

use super::{Scenario, WEB, scenario};

const JOB: &str = r#"
[services.migrate]
image = "registry.test:5000/shop/migrate"
deploy = { mode = "replicated-job", replicas = 1 }
"#;

const AGENT: &str = r#"
[services.agent]
image = "registry.test:5000/shop/agent"
deploy = { mode = "global", update_config = { monitor = "1s" } }
"#;

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("customers", "a version of four customers, another customer comes along", |w| {
            w.push("shop/web", "1.0.0");
            for customer in ["acme", "eu/globex", "initech", "us/umbrella"] {
                w.spec(&format!("{customer}.toml"), &WEB.replace("replicas = 2", "replicas = 1"));
            }
        })
        .then("push", |w| w.push("shop/web", "1.1.0"))
        .then("onboard", |w| w.spec("hooli.toml", WEB)),
        scenario("one_bad_customer", "a customer whose image is not there delays nobody", |w| {
            w.push("shop/web", "1.0.0");
            w.spec("acme.toml", WEB);
            w.spec("globex.toml", &WEB.replace("shop/web", "shop/nothing"));
        })
        .then("push", |w| w.push("shop/web", "1.1.0")),
        scenario("job", "a job runs, and again with a new version", |w| {
            w.push_job("shop/migrate", "1.0.0");
            w.spec("acme.toml", JOB);
        })
        .then("push", |w| w.push_job("shop/migrate", "1.1.0")),
        scenario("global", "a service on each node", |w| {
            w.push("shop/agent", "1.0.0");
            w.spec("acme.toml", AGENT);
        })
        .then("push", |w| w.push("shop/agent", "1.1.0")),
    ]
}
