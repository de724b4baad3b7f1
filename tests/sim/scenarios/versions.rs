//! New versions, and which are chosen.

use super::{Scenario, WEB, has_tag, is_updating, scenario};

pub fn all() -> Vec<Scenario> {
    vec![
        scenario("deploy", "three services and their network come up", |w| {
            w.push("shop/web", "1.0.0");
            w.push("shop/api", "2.0.0");
            w.push("mirror/db", "16.3.0");
            w.spec(
                "acme.toml",
                &format!(
                    r#"{WEB}
[services.api]
image = "registry.test:5000/shop/api"
environment = {{ MODE = "production" }}
deploy = {{ replicas = 1, update_config = {{ monitor = "1s" }} }}

[services.db]
image = "registry.test:5000/mirror/db:16.3.0"
deploy = {{ replicas = 1, update_config = {{ monitor = "1s" }} }}
"#
                ),
            );
        }),
        scenario("new_version", "a higher tag is pushed and rolls", web)
            .then("push", |w| w.push("shop/web", "1.1.0"))
            .then("push another", |w| w.push("shop/web", "1.10.0")),
        scenario("newer_while_rolling", "a higher tag comes while one rolls", web)
            .until("push", |w| w.push("shop/web", "1.1.0"), |state| is_updating(state, "acme_web"))
            .then("push another", |w| w.push("shop/web", "1.2.0"))
            .more_rollouts(),
        scenario("two_services", "one push moves two services, another one of them", |w| {
            w.push("shop/web", "1.0.0");
            w.push("shop/api", "1.0.0");
            w.spec(
                "acme.toml",
                &format!(
                    "{WEB}\n{}",
                    WEB.replace("services.web", "services.api").replace("shop/web", "shop/api")
                ),
            );
        })
        .then("push both", |w| {
            w.push("shop/web", "1.1.0");
            w.push("shop/api", "1.1.0");
        })
        .then("push one", |w| w.push("shop/api", "1.2.0")),
        scenario("moved_tag_follow", "new content under the same tag is followed", web)
            .then("push again", |w| w.push("shop/web", "1.0.0")),
        scenario("moved_tag_hold", "new content under the same tag is not taken", |w| {
            w.push("shop/web", "1.0.0");
            w.spec("acme.toml", &web_with("version = { require = \"^1\", retag = \"hold\" }"));
        })
        .then("push again", |w| w.push("shop/web", "1.0.0"))
        .then("push a higher one", |w| w.push("shop/web", "1.0.1")),
        scenario("downgrade_withheld", "a tag is withdrawn; the version falls only with leave", |w| {
            web(w);
            w.push("shop/web", "1.1.0");
        })
        .then("withdraw", |w| w.untag("shop/web", "1.1.0"))
        .then("lower the requirement", |w| w.spec("acme.toml", &web_with("version = \"~1.0\"")))
        .then("permit", |w| {
            w.let_fall("acme_web");
            w.spec("acme.toml", &web_with("version = { require = \"~1.0\", downgrade = true }"));
        }),
        scenario("prerelease", "a pre-release is passed over, then let in, then overtaken", web)
            .then("push a candidate", |w| w.push("shop/web", "1.1.0-rc.1"))
            .then("let it in", |w| {
                w.spec("acme.toml", &web_with("version = { require = \">=1.0.0\", prerelease = [\"rc\"] }"));
            })
            .then("push the release", |w| w.push("shop/web", "1.1.0")),
        scenario("min_age", "a version ripens before it is chosen", |w| {
            w.push("shop/web", "1.0.0");
            w.spec("acme.toml", &web_with("version = { require = \"^1\", min_age = \"20s\" }"));
        })
        .then_wait("push", 60, |w| w.push("shop/web", "1.1.0")),
        scenario("pinned", "a pinned tag moves when the spec says so", |w| {
            w.push("shop/web", "1.0.0");
            w.push("shop/web", "1.1.0");
            w.spec("acme.toml", &pinned("1.0.0"));
        })
        .then("push a higher one", |w| w.push("shop/web", "1.2.0"))
        .then("pin another", |w| w.spec("acme.toml", &pinned("1.1.0"))),
        scenario("half_way", "the requirement is raised before the first rollout is done", web)
            .start_until(|state| has_tag(state, "acme_web", "1.0.0"))
            .then("push", |w| w.push("shop/web", "1.1.0"))
            .more_rollouts(),
    ]
}

pub fn web(w: &crate::world::World) {
    w.push("shop/web", "1.0.0");
    w.spec("acme.toml", WEB);
}

pub fn web_with(version: &str) -> String {
    WEB.replace("version = \"^1\"", version)
}

fn pinned(tag: &str) -> String {
    WEB.replace("shop/web\"", &format!("shop/web:{tag}\"")).replace("version = \"^1\"\n", "")
}
