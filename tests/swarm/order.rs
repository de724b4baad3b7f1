//! Services that wait for others, and changes by hand that are only told of, on a real Swarm.

use std::path::PathBuf;

use serde_json::json;

use crate::bed::{Bed, Image, SOON, Workspace, check, wait_until};
use crate::look::{hurry, index, more_passes, summary, told, wait_told};
use crate::running::{Controller, task_ids};

/// The database is healthy once the test has put a file into its volume; each change needs another.
const SPEC: &str = r#"
[services.db]
image = "REPO"
environment = { ROUND = "%" }
volumes = ["data:/data"]
healthcheck = { test = ["CMD-SHELL", "test -e /data/%"], interval = "500ms", timeout = "5s", start_period = "10m" }
deploy = { update_config = { monitor = "500ms" } }
[services.web]
image = "REPO"
after = ["db"]
environment = { ROUND = "%" }
deploy = { update_config = { monitor = "500ms" } }
[volumes.data]
"#;

fn waits(ws: &Workspace<'_>) -> Vec<String> {
    let plan = ws.skep(&["plan", "afterone", "--output", "json"]).json();
    let waiting = plan["customers"][0]["waiting"].as_array().cloned().unwrap_or_default();
    let web = waiting.iter().filter(|wait| wait["service"] == "web");
    web.map(|wait| format!("{} {}", wait["reason"].as_str().unwrap(), wait["message"].as_str().unwrap()))
        .collect()
}

/// What the test writes is what the task sees.
fn volume(bed: &Bed) -> PathBuf {
    wait_until(SOON, "the first task has its volume", || {
        let answer = bed.node(0).call("GET", "/volumes/afterone_data", None).map_err(|e| e.to_string())?;
        let folder = answer.json()["Mountpoint"].as_str().map(PathBuf::from);
        folder.ok_or_else(|| answer.text())
    })
}

/// A service is made, and later changed, once that which it comes after is in sync and its tasks are healthy.
pub fn after_waits_for_convergence(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    bed.push("after/one", "1.0.0", &Image::says("up"));
    let spec = |round: u32| SPEC.replace("REPO", &bed.image("after/one")).replace('%', &round.to_string());
    ws.spec("afterone.toml", &spec(1));
    let controller = Controller::start(&ws);
    wait_told(&ws, "afterone", "ServiceCreated", 1);
    more_passes(&ws, 5);
    assert!(bed.service("afterone_web").is_none(), "{}", summary(&ws));
    let waiting = waits(&ws);
    assert!(
        waiting[0].starts_with("DependencyNotReady waits for db to be in sync and to run"),
        "{waiting:?}"
    );

    std::fs::write(volume(bed).join("1"), "").unwrap();
    bed.wait_says("afterone_web", 1, "up");
    let seq = |reason: &str, service: &str| -> Vec<u64> {
        let all = told(&ws, "afterone", reason);
        all.iter()
            .filter(|event| event["service"] == service)
            .map(|event| event["seq"].as_u64().unwrap())
            .collect()
    };
    wait_told(&ws, "afterone", "RolloutComplete", 2);
    assert!(seq("RolloutComplete", "db")[0] < seq("ServiceCreated", "web")[0], "{}", summary(&ws));

    // A change of both goes the same way.
    let before = (index(bed, "afterone_web"), task_ids(bed, "afterone_web"));
    ws.spec("afterone.toml", &spec(2));
    wait_told(&ws, "afterone", "ServiceUpdated", 1);
    more_passes(&ws, 5);
    assert_eq!((index(bed, "afterone_web"), task_ids(bed, "afterone_web")), before, "{}", summary(&ws));
    assert!(waits(&ws)[0].starts_with("DependencyNotReady"), "{:?}", waits(&ws));
    std::fs::write(volume(bed).join("2"), "").unwrap();
    wait_told(&ws, "afterone", "RolloutComplete", 4);
    assert!(seq("RolloutComplete", "db")[1] < seq("ServiceUpdated", "web")[0], "{}", summary(&ws));
    let web = bed.service("afterone_web").unwrap();
    assert_eq!(web["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"], json!(["ROUND=2"]));
    controller.stop().expect_status(0);
    ws.skep(&["plan", "afterone"]).expect_status(0);
}

/// With `drift = "warn"` a change by hand stays, and is told once with field, old and new; the spec's next change puts
/// it right.
pub fn drift_is_only_told_of(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    bed.push("drift/warn", "1.0.0", &Image::says("up"));
    let spec = |more: &str| {
        let image = bed.image("drift/warn");
        format!(
            "drift = \"warn\"\n[services.web]\nimage = \"{image}\"\nenvironment = {{ API = \"right\"{more} }}\n\
             deploy = {{ replicas = 1, update_config = {{ monitor = \"500ms\" }} }}\n"
        )
    };
    ws.spec("driftwarn.toml", &spec(""));
    let controller = Controller::start(&ws);
    wait_told(&ws, "driftwarn", "RolloutComplete", 1);
    let by_hand = ["service", "update", "-d", "--env-add", "API=wrong", "--replicas", "2", "driftwarn_web"];
    ws.docker(&by_hand).ok();
    bed.wait_says("driftwarn_web", 2, "up");
    let event = wait_told(&ws, "driftwarn", "DriftDetected", 1);
    let message = event["message"].as_str().unwrap();
    for said in [r#"deploy.replicas is 2, not 1"#, r#"environment.API is "wrong", not "right""#] {
        assert!(message.contains(said), "{message}");
    }
    // The engine itself moves the index until the update by hand is complete.
    wait_until(SOON, "the update by hand is complete", || {
        let service = bed.service("driftwarn_web").unwrap();
        let state = &service["UpdateStatus"]["State"];
        check(state == "completed", || state.to_string())
    });
    let before = (index(bed, "driftwarn_web"), task_ids(bed, "driftwarn_web"));
    more_passes(&ws, 5);
    controller.stop().expect_status(0);
    // A restart does not tell it again.
    let controller = Controller::start(&ws);
    more_passes(&ws, 3);
    assert_eq!((index(bed, "driftwarn_web"), task_ids(bed, "driftwarn_web")), before, "{}", summary(&ws));
    assert_eq!(told(&ws, "driftwarn", "DriftDetected").len(), 1, "{}", summary(&ws));
    let plan = ws.skep(&["plan", "driftwarn"]).expect_status(0).stdout;
    assert!(plan.contains("DriftDetected") && plan.contains(r#"environment.API is "wrong""#), "{plan}");

    ws.spec("driftwarn.toml", &spec(", MORE = \"1\""));
    bed.wait_says("driftwarn_web", 1, "up");
    let service = bed.service("driftwarn_web").unwrap();
    assert_eq!(service["Spec"]["TaskTemplate"]["ContainerSpec"]["Env"], json!(["API=right", "MORE=1"]));
    assert!(told(&ws, "driftwarn", "DriftCorrected").is_empty(), "{}", summary(&ws));
    controller.stop().expect_status(0);
}

/// What `docker service update` is told, the field that it changes, and how the old and the new value are told.
const BY_HAND: &[(&str, &str, &str, &str, &str)] = &[
    ("--env-add", "A=wrong", "environment.A", r#""right""#, r#""wrong""#),
    ("--replicas", "2", "deploy.replicas", "1", "2"),
    ("--container-label-add", "c=wrong", "labels.c", r#""right""#, r#""wrong""#),
    ("--label-add", "s=wrong", "deploy.labels.s", r#""right""#, r#""wrong""#),
    ("--limit-memory", "96M", "deploy.resources.limits.memory", r#""64MiB""#, r#""96MiB""#),
    ("--limit-cpu", "0.25", "deploy.resources.limits.cpus", r#""0.5""#, r#""0.25""#),
    ("--update-parallelism", "3", "deploy.update_config.parallelism", "2", "3"),
    ("--update-delay", "2s", "deploy.update_config.delay", r#""1s""#, r#""2s""#),
    ("--restart-max-attempts", "4", "deploy.restart_policy.max_attempts", "3", "4"),
    ("--stop-grace-period", "9s", "stop_grace_period", r#""3s""#, r#""9s""#),
    ("--hostname", "wrong", "hostname", r#""right""#, r#""wrong""#),
    ("--user", "0:0", "user", r#""0""#, r#""0:0""#),
    ("--workdir", "/bin", "working_dir", r#""/""#, r#""/bin""#),
    ("--stop-signal", "SIGTERM", "stop_signal", r#""SIGKILL""#, r#""SIGTERM""#),
];

/// Each field that a hand changed is named with old and new, when it is found and when it is put back.
pub fn drift_is_named_field_by_field(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    bed.push("drift/many", "1.0.0", &Image::says("up"));
    let image = bed.image("drift/many");
    ws.spec(
        "driftmany.toml",
        &format!(
            "[services.web]\nimage = \"{image}\"\nenvironment = {{ A = \"right\" }}\nlabels = {{ c = \"right\" }}\n\
             stop_grace_period = \"3s\"\nhostname = \"right\"\nuser = \"0\"\nworking_dir = \"/\"\n\
             stop_signal = \"SIGKILL\"\n[services.web.deploy]\nreplicas = 1\nlabels = {{ s = \"right\" }}\n\
             resources = {{ limits = {{ memory = \"64M\", cpus = \"0.5\" }} }}\n\
             update_config = {{ parallelism = 2, delay = \"1s\", monitor = \"500ms\" }}\n\
             restart_policy = {{ max_attempts = 3 }}\n"
        ),
    );
    let controller = Controller::start(&ws);
    wait_told(&ws, "driftmany", "RolloutComplete", 1);
    let mut by_hand = vec!["service", "update", "-d"];
    by_hand.extend(BY_HAND.iter().flat_map(|(flag, value, ..)| [*flag, *value]));
    by_hand.push("driftmany_web");
    ws.docker(&by_hand).ok();
    let found = wait_told(&ws, "driftmany", "DriftDetected", 1);
    let mended = wait_told(&ws, "driftmany", "DriftCorrected", 1);
    let message = |event: &serde_json::Value| event["message"].as_str().unwrap().to_owned();
    for (_, _, field, old, new) in BY_HAND {
        let said = format!("{field} is {new}, not {old}");
        assert!(message(&found).contains(&said), "{said}: {}", message(&found));
        let said = format!("{field} {new} -> {old}");
        assert!(message(&mended).contains(&said), "{said}: {}", message(&mended));
    }
    wait_told(&ws, "driftmany", "RolloutComplete", 2);
    // A conflict, with Swarm's own writes say, has it found again.
    let corrected = told(&ws, "driftmany", "DriftCorrected");
    let conflicts = corrected.iter().filter(|event| event["phase"] == "failed").count();
    assert_eq!(told(&ws, "driftmany", "DriftDetected").len(), 1 + conflicts, "{}", summary(&ws));
    ws.skep(&["plan", "driftmany"]).expect_status(0);
    controller.stop().expect_status(0);
}
