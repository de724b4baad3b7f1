//! Webhooks on a real Swarm, with polls an hour apart, so that only the call can have done it.

use std::process::{Command, Stdio};

use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;

use crate::bed::{Bed, Image, Workspace, wait_until};
use crate::running::{Controller, SECONDS, events, image, wait_events};

const SECRET: &str = "canary-of-the-webhook";

/// Nothing is asked for by the clock.
fn write_config(ws: &Workspace<'_>, more: &str) {
    let config = ws.default_config().replace("\"1s\"", "\"1h\"").replace("\"5s\"", "\"1h\"");
    ws.write("skep.toml", &format!("{config}{more}"));
    ws.write("hook-secret", SECRET);
}

fn spec(image: &str, replicas: u32) -> String {
    format!(
        "[services.web]\nimage = \"{image}\"\n\
         deploy = {{ replicas = {replicas}, update_config = {{ monitor = \"500ms\" }} }}\n"
    )
}

/// A push to the real docker-registry, which tells of it, moves the service.
///
/// On a bed of its own: its registry tells of all that is pushed.
pub fn the_registrys_own_notifications(bed: &Bed) {
    let ws = bed.workspace();
    write_config(&ws, "[hooks.registry.distribution]\nsecret_file = \"hook-secret\"\n");
    bed.push("hooks/web", "1.0.0", &Image::says("hooks 1.0.0"));
    ws.spec("hooked.toml", &spec(&bed.image("hooks/web"), 1));
    let mut command = ws.skep_command(&["run"]);
    let controller = Controller::start_by(&ws, command.env("SKEP_LOG", "trace"));
    bed.wait_says("hooked_web", 1, "hooks 1.0.0");
    wait_events(&ws, 0, "RolloutComplete");

    let url = format!("http://127.0.0.1:{}/hooks/registry/distribution", ws.port);
    bed.registry.notify(&url, "Bearer wrong");
    bed.push("hooks/other", "1.0.0", &Image::says("other"));
    wait_until(SECONDS, "a wrong secret is refused", || {
        let refused = controller.metric("skep_hooks_total", "outcome=\"unauthorized\"");
        refused.map(drop).ok_or_else(|| controller.get("/metrics").text())
    });
    let told = events(&ws).len();
    bed.registry.notify(&url, &format!("Bearer {SECRET}"));
    let new = bed.push("hooks/web", "1.1.0", &Image::says("hooks 1.1.0")).digest;
    bed.wait_says("hooked_web", 1, "hooks 1.1.0");
    assert_eq!(image(bed, "hooked_web"), format!("{}:1.1.0@{new}", bed.image("hooks/web")));
    let change = wait_events(&ws, told, "RolloutComplete");
    assert_eq!((&change[0]["reason"], &change[0]["trigger"]), (&json!("ImageUpdated"), &json!("registry")));
    assert!(controller.metric("skep_hooks_total", "outcome=\"woken\"").is_some());
    no_secret(&ws, &controller);
}

/// Nothing of the secret stands in what skep wrote.
fn no_secret(ws: &Workspace<'_>, controller: &Controller<'_>) {
    let written = [
        controller.run.stderr(),
        ws.read("state/events/events.jsonl"),
        controller.get("/metrics").text(),
        controller.get("/").text(),
    ];
    for text in written {
        assert!(!text.contains(SECRET), "{text}");
    }
}

fn git(ws: &Workspace<'_>, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).stdin(Stdio::null());
    git.env("HOME", ws.dir.join("home")).env("GIT_CONFIG_NOSYSTEM", "1").current_dir(ws.dir.join("work"));
    git.args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]).args(arguments);
    let output = git.output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A push to the repository that specs come from, told as GitHub tells it, changes the service.
pub fn a_git_push(bed: &Bed) {
    let ws = bed.workspace();
    let origin = ws.dir.join("origin.git");
    let url = format!("file://{}", origin.display());
    write_config(
        &ws,
        &format!(
            "[source.git]\nurl = \"{url}\"\nbranch = \"main\"\ninterval = \"1h\"\n\
             [hooks.git.github]\nsecret_file = \"hook-secret\"\n"
        ),
    );
    bed.push("hooks/git", "1.0.0", &Image::says("hooks git"));
    let commit = |replicas: u32| {
        ws.write("work/hookgit.toml", &spec(&bed.image("hooks/git"), replicas));
        git(&ws, &["add", "-A"]);
        git(&ws, &["commit", "-q", "-m", "web"]);
        git(&ws, &["push", "-q", origin.to_str().unwrap(), "HEAD:main"]);
    };
    std::fs::create_dir(ws.dir.join("work")).unwrap();
    git(&ws, &["init", "-q", "--bare", "-b", "main", origin.to_str().unwrap()]);
    git(&ws, &["init", "-q", "-b", "main"]);
    commit(1);
    let mut command = ws.skep_command(&["run"]);
    let controller = Controller::start_by(&ws, command.env_remove("SKEP_SPECS").env("SKEP_LOG", "trace"));
    bed.wait_says("hookgit_web", 1, "hooks git");
    wait_events(&ws, 0, "RolloutComplete");

    let told = events(&ws).len();
    commit(2);
    let body = json!({
        "ref": "refs/heads/main",
        "repository": {"full_name": "ops/fleet", "clone_url": url, "default_branch": "main"},
    });
    let body = body.to_string();
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let signature = format!("sha256={digits}");
    let headers = [
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("X-Hub-Signature-256", &signature),
        ("Content-Type", "application/json"),
    ];
    let call = || ws.http("POST", "/hooks/git/github", &headers, body.as_bytes()).unwrap();
    let answer = call();
    assert_eq!(answer.status, 202, "{}", answer.text());
    bed.wait_says("hookgit_web", 2, "hooks git");
    let change = wait_events(&ws, told, "RolloutComplete");
    assert_eq!((&change[0]["reason"], &change[1]["trigger"]), (&json!("SpecChanged"), &json!("spec")));
    let again = call();
    assert_eq!((again.status, again.text().contains("already seen")), (200, true), "{}", again.text());
    no_secret(&ws, &controller);
}
