//! What fails around skep, and skep itself: credentials, registry, daemon, `kill -9`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bed::{Bed, Does, Image, PASSWORD, SOON, Workspace, check, wait_until};
use crate::look::{
    events, hurry, image, index, metric, metrics, more_passes, pick, summary, told, wait_told,
};

fn plain(image: &str, replicas: u32) -> String {
    format!("[services.web]\nimage = \"{image}\"\ndeploy = {{ replicas = {replicas} }}\n")
}

/// Every file that skep or its runs have written in a workspace.
fn written(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.file_name().and_then(|name| name.to_str()) {
            Some("password") => {}
            _ if path.is_dir() => written(&path, files),
            _ => files.push(path),
        }
    }
}

#[track_caller]
pub fn never_written(ws: &Workspace<'_>, secret: &str) {
    let mut files = Vec::new();
    written(&ws.dir, &mut files);
    assert!(files.iter().any(|file| file.extension().is_some_and(|end| end == "err")), "{files:?}");
    for file in files {
        let bytes = fs::read(&file).unwrap();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{} holds {secret:?}", file.display());
    }
}

pub fn bad_credentials(bed: &Bed) {
    const CANARY: &str = "wrong-canary-7741";
    let ws = bed.workspace();
    let before: Vec<Value> = bed.get("/services").as_array().unwrap().clone();
    bed.push("faults/secret", "1.0.0", &Image::says("secret 1.0.0"));
    ws.spec(
        "secretive.toml",
        "[services.web]\nimage = \"REPO\"\n[services.web.deploy]\nreplicas = 3\n\
         placement = { max_replicas_per_node = 1 }\n"
            .replace("REPO", &bed.private_image("faults/secret"))
            .as_str(),
    );
    ws.write("password", CANARY);
    for command in [&["plan"] as &[&str], &["apply"], &["status"], &["explain", "secretive/web"]] {
        let ran = ws.skep(&[command, &["-vv"]].concat()).expect_status(2);
        let said = ran.stdout + &ran.stderr;
        assert!(
            said.contains("401 Unauthorized") && said.contains("credentials from"),
            "what and why: {said}"
        );
        assert!(said.contains("correct them there"), "where to mend it: {said}");
    }
    assert_eq!(bed.service("secretive_web"), None);
    let after: Vec<Value> = bed.get("/services").as_array().unwrap().clone();
    let names = |list: &[Value]| list.iter().map(|s| s["Spec"]["Name"].clone()).collect::<Vec<_>>();
    assert!(!names(&after).iter().any(|name| name.as_str().unwrap().starts_with("secretive")), "{before:?}");
    assert_eq!(told(&ws, "secretive", "RegistryUnavailable").len(), 1, "{}", summary(&ws));
    assert_eq!(told(&ws, "secretive", "ServiceCreated"), Vec::<Value>::new());
    never_written(&ws, CANARY);

    // No node has ever logged in: the credentials come with the service.
    ws.write("password", PASSWORD);
    ws.skep(&["apply", "-vv"]).ok();
    bed.wait_says("secretive_web", 3, "secret 1.0.0");
    let hosts: Vec<String> = bed.container_says("secretive_web").into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["n0", "n1", "n2"]);
    bed.push("faults/secret", "1.1.0", &Image::says("secret 1.1.0"));
    ws.skep(&["apply", "-vv"]).ok();
    bed.wait_says("secretive_web", 3, "secret 1.1.0");
    never_written(&ws, PASSWORD);
    let service = bed.service("secretive_web").unwrap().to_string();
    assert!(!service.contains(PASSWORD), "{service}");
}

fn ready(ws: &Workspace<'_>, status: u16) {
    wait_until(SOON, &format!("/readyz says {status}"), || {
        let answer = ws.http("GET", "/readyz", &[], b"").map_err(|e| e.to_string())?;
        check(answer.status == status, || format!("{} {}", answer.status, answer.text()))
    });
}

/// Where two series say whether a service is at the highest, and whether nobody can tell.
fn highest(ws: &Workspace<'_>, customer: &str) -> (Option<f64>, Option<f64>) {
    let text = metrics(ws).unwrap_or_default();
    let of = |name: &str| metric(&text, &format!("{name}{{customer=\"{customer}\",service=\"web\"}}"));
    (of("skep_service_highest"), of("skep_service_unknown"))
}

pub fn the_registry_goes_and_comes_back(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    bed.push("away/web", "1.0.0", &Image::says("web 1.0.0"));
    ws.spec("away.toml", &plain(&bed.image("away/web"), 2));
    let run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "away", "RolloutComplete", 1);
    ready(&ws, 200);
    let is = |expected: (Option<f64>, Option<f64>)| {
        wait_until(SOON, &format!("the metrics are {expected:?}"), || {
            let now = highest(&ws, "away");
            check(now == expected, || format!("{now:?}"))
        });
    };
    is((Some(1.0), None));

    let before = index(bed, "away_web");
    bed.registry.open.stop();
    wait_told(&ws, "away", "RegistryUnavailable", 1);
    ready(&ws, 503);
    is((None, Some(1.0)));
    bed.push("away/web", "1.1.0", &Image::says("web 1.1.0"));
    more_passes(&ws, 4);
    assert_eq!(told(&ws, "away", "RegistryUnavailable").len(), 1, "told once\n{}", summary(&ws));
    assert_eq!(index(bed, "away_web"), before, "left alone");
    bed.wait_says("away_web", 2, "web 1.0.0");
    for command in ["plan", "status", "audit"] {
        ws.skep(&[command]).expect_status(2);
    }

    bed.registry.open.start();
    bed.wait_says("away_web", 2, "web 1.1.0");
    wait_told(&ws, "away", "RolloutComplete", 2);
    assert_eq!(told(&ws, "away", "Recovered").len(), 1, "{}", summary(&ws));
    // Once when it began, once with the count when it ended.
    let told = told(&ws, "away", "RegistryUnavailable");
    assert_eq!(told.len(), 2, "{}", summary(&ws));
    assert!(told[1]["count"].as_u64().unwrap() > 1, "{told:?}");
    ready(&ws, 200);
    is((Some(1.0), None));
    run.sigterm();
    run.wait(SOON).ok();
}

pub fn the_daemon_restarts_under_run(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    bed.push("daemon/web", "1.0.0", &Image::says("web 1.0.0"));
    ws.spec("daemon.toml", &plain(&bed.image("daemon/web"), 2));
    let run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "daemon", "RolloutComplete", 1);

    bed.node(0).stop();
    wait_until(SOON, "it is told", || check(!told(&ws, "", "SwarmUnavailable").is_empty(), || summary(&ws)));
    ready(&ws, 503);
    for command in ["plan", "status", "audit"] {
        let ran = ws.skep(&[command]).expect_status(2);
        assert!(ran.stderr.contains("is dockerd running?"), "a mend: {}", ran.stderr);
    }
    assert_eq!(told(&ws, "", "SwarmUnavailable").len(), 1, "{}", summary(&ws));
    bed.push("daemon/web", "1.1.0", &Image::says("web 1.1.0"));

    bed.node(0).start_again();
    wait_until(SOON, "it is over", || check(told(&ws, "", "Recovered").len() == 1, || summary(&ws)));
    bed.wait_says("daemon_web", 2, "web 1.1.0");
    wait_told(&ws, "daemon", "RolloutComplete", 2);
    ready(&ws, 200);
    // The event stream is back too: a change by hand is put right without a resync's help.
    let unavailable = told(&ws, "", "SwarmUnavailable");
    assert!(unavailable[1..].iter().all(|event| event["count"].is_u64()), "{}", summary(&ws));
    run.sigterm();
    run.wait(SOON).ok();
}

pub fn no_daemon(bed: &Bed) {
    let ws = bed.workspace();
    ws.write("skep.toml", &ws.default_config().replace("docker.sock", "no.sock"));
    ws.spec("nobody.toml", &plain(&bed.image("nobody/web"), 1));
    for command in ["plan", "apply", "status", "audit"] {
        let ran = ws.skep(&[command]).expect_status(2);
        assert!(
            ran.stderr.contains("no.sock") && ran.stderr.contains("is dockerd running?"),
            "{}",
            ran.stderr
        );
    }
    assert!(!ws.read("state/events/events.jsonl").contains("ServiceCreated"));
}

pub fn two_on_one_state(bed: &Bed) {
    let ws = bed.workspace();
    bed.push("lonely/web", "1.0.0", &Image::says("lonely"));
    ws.spec("lonely.toml", &plain(&bed.image("lonely/web"), 0));
    let run = ws.skep_spawn(&["run"]);
    wait_until(SOON, "the first one runs", || {
        check(!told(&ws, "", "ControllerStarted").is_empty(), || summary(&ws))
    });
    let ran = ws.skep(&["run", "--listen", "127.0.0.1:0"]).expect_status(2);
    let holder = run.pid().to_string();
    assert!(ran.stderr.contains(&holder), "it names the holder {holder}: {}", ran.stderr);
    // `apply` is handed over to it: see `api`. Where it cannot be found, its name is told.
    wait_until(SOON, "it tells where its API is", || {
        fs::remove_file(ws.dir.join("state/api-address")).map_err(|e| e.to_string())
    });
    let ran = ws.skep(&["apply"]).expect_status(2);
    assert!(ran.stderr.contains(&holder), "it names the holder {holder}: {}", ran.stderr);
    // Death releases it.
    run.kill9();
    ws.skep(&["apply"]).ok();
}

fn slow(image: &str) -> String {
    format!(
        "[services.web]\nimage = \"{image}\"\n[services.web.deploy]\nreplicas = 3\n\
         update_config = {{ parallelism = 1, delay = \"1s\", monitor = \"500ms\" }}\n"
    )
}

pub fn kill_9_in_mid_rollout(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    bed.push("killed/web", "1.0.0", &Image::says("web 1.0.0"));
    ws.spec("killed.toml", &slow(&bed.image("killed/web")));
    let run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "killed", "RolloutComplete", 1);

    bed.push("killed/web", "1.1.0", &Image::says("web 1.1.0"));
    wait_until(SOON, "the first container is new", || {
        let says = bed.container_says("killed_web");
        check(says.iter().any(|(_, said)| said == "web 1.1.0"), || format!("{says:?}"))
    });
    run.kill9();
    let midway = bed.container_says("killed_web");
    assert!(midway.iter().any(|(_, said)| said == "web 1.0.0"), "in the middle: {midway:?}");
    let run = ws.skep_spawn(&["run"]);
    bed.wait_says("killed_web", 3, "web 1.1.0");
    wait_told(&ws, "killed", "RolloutComplete", 2);
    more_passes(&ws, 3);
    run.sigterm();
    run.wait(SOON).ok();
    one_change_each(&ws);
    updated_once(bed, "killed_web", "1.1.0", 3);
    let all = events(&ws);
    let about = |reason: &str| {
        let found = all.iter().filter(|e| e["reason"] == reason && e["to"]["version"] == "1.1.0");
        found.map(|event| event["id"].as_str().unwrap()).collect::<Vec<_>>()
    };
    let changes = about("ImageUpdated");
    assert_eq!(changes.len(), 2, "intent and outcome\n{}", summary(&ws));
    let complete = about("RolloutComplete");
    assert!(complete.len() == 1 && changes.iter().all(|id| *id == complete[0]), "one id\n{}", summary(&ws));
}

/// The rollout fails and Swarm takes it back while skep is dead: that is found out, told and remembered.
pub fn a_failure_while_skep_is_dead(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "60s");
    bed.push("dead/web", "1.0.0", &Image::says("dead 1.0.0"));
    let image = bed.image("dead/web");
    ws.spec(
        "dead.toml",
        &format!(
            "[services.web]\nimage = \"{image}\"\n[services.web.deploy]\nreplicas = 2\n\
             update_config = {{ failure_action = \"rollback\", monitor = \"2s\" }}\n"
        ),
    );
    let run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "dead", "RolloutComplete", 1);
    bed.push("dead/web", "1.1.0", &Image::says("dead 1.1.0").does(Does::FailAtStart));
    wait_told(&ws, "dead", "ImageUpdated", 1);
    run.kill9();
    assert_eq!(told(&ws, "dead", "RolloutFailed"), Vec::<Value>::new(), "it died before that");
    wait_until(SOON, "Swarm has rolled back", || {
        let status = bed.service("dead_web").unwrap()["UpdateStatus"].clone();
        check(status["State"] == "rollback_completed", || status.to_string())
    });
    let before = index(bed, "dead_web");

    let run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "dead", "RolledBack", 1);
    more_passes(&ws, 4);
    assert_eq!(index(bed, "dead_web"), before, "not tried again\n{}", summary(&ws));
    bed.wait_says("dead_web", 2, "dead 1.0.0");
    for reason in ["RolloutFailed", "VersionRefused", "RolledBack", "ImageUpdated"] {
        assert_eq!(told(&ws, "dead", reason).len(), 1, "{reason}\n{}", summary(&ws));
    }
    run.sigterm();
    run.wait(SOON).ok();
    one_change_each(&ws);
    ws.skep(&["plan"]).expect_status(0);
    ws.skep(&["status"]).expect_status(1);
}

/// A second update would have made more tasks, and overwritten what the engine keeps of the spec before.
#[track_caller]
fn updated_once(bed: &Bed, service: &str, version: &str, replicas: usize) {
    let found = bed.service(service).unwrap();
    let before = &found["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Image"];
    assert!(!before.as_str().unwrap().contains(&format!(":{version}@")), "{before}");
    let tasks = bed.tasks(service);
    let of = |task: &&Value| {
        task["Spec"]["ContainerSpec"]["Image"]
            .as_str()
            .is_some_and(|image| image.contains(&format!(":{version}@")))
    };
    assert_eq!(tasks.iter().filter(of).count(), replicas, "a task each");
}

/// Every line is whole, no number is missing, each intent has one outcome, under its id.
#[track_caller]
fn one_change_each(ws: &Workspace<'_>) {
    let all = events(ws);
    for (number, event) in all.iter().enumerate() {
        assert_eq!(event["seq"].as_u64(), Some(number as u64 + 1), "{}", summary(ws));
    }
    let mut changes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for event in &all {
        if let Some(phase) = event["phase"].as_str() {
            changes.entry(event["id"].as_str().unwrap()).or_default().push(phase);
        }
    }
    for (id, phases) in changes {
        assert!(
            phases.len() == 2 && phases[0] == "intent" && phases[1] != "intent",
            "{id} {phases:?}\n{}",
            summary(ws)
        );
    }
}

pub fn kill_9_again_and_again(bed: &Bed) {
    const VERSIONS: u32 = 12;
    let ws = bed.workspace();
    hurry(&ws, "60s");
    let service = |key: &str, replicas: u32| {
        let image = bed.image("often/web");
        format!("[services.{key}]\nimage = \"{image}\"\ndeploy = {{ replicas = {replicas} }}\n")
    };
    bed.push("often/web", "1.0.0", &Image::says("often 1.0.0"));
    ws.spec("often.toml", &[service("a", 1), service("b", 0), service("c", 0)].concat());
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.subsec_nanos());
    let mut random = u64::from(seed);
    for minor in 1..=VERSIONS {
        let run = ws.skep_spawn(&["run"]);
        bed.push("often/web", &format!("1.{minor}.0"), &Image::says(&format!("often 1.{minor}.0")));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Not in place of a condition: the moment is the fault.
        std::thread::sleep(Duration::from_millis((random >> 33) % 1200));
        run.kill9();
        events(&ws);
    }
    let run = ws.skep_spawn(&["run"]);
    bed.wait_says("often_a", 1, &format!("often 1.{VERSIONS}.0"));
    let at_the_top = |key: &str| image(bed, &format!("often_{key}")).contains(&format!(":1.{VERSIONS}.0@"));
    wait_until(SOON, "all are at the highest version, and that is told", || {
        let complete = told(&ws, "often", "RolloutComplete");
        let top = complete.iter().filter(|e| e["to"]["version"] == format!("1.{VERSIONS}.0"));
        let all = top.count() == 3 && ["a", "b", "c"].into_iter().all(at_the_top);
        check(all, || format!("seed {seed}\n{}", summary(&ws)))
    });
    more_passes(&ws, 2);
    run.sigterm();
    run.wait(SOON).ok();
    one_change_each(&ws);
    // No version was ever written twice to a service, nor a lower one after a higher.
    for key in ["a", "b", "c"] {
        let done = |event: &&Value| {
            let change = event["reason"] == "ImageUpdated" || event["reason"] == "ServiceCreated";
            event["service"] == key && event["phase"] == "done" && change
        };
        let all = events(&ws);
        let minor = |event: &Value| -> u32 {
            event["to"]["version"].as_str().unwrap().split('.').nth(1).unwrap().parse().unwrap()
        };
        let versions: Vec<u32> = all.iter().filter(done).map(minor).collect();
        assert!(versions.is_sorted_by(|a, b| a < b), "{key}: {versions:?} (seed {seed})\n{}", summary(&ws));
    }
    ws.skep(&["plan"]).expect_status(0);
    ws.skep(&["events", "-n", "5"]).ok();
}

/// Neither a rollout that never ends nor a registry that never answers holds up another customer.
pub fn one_stuck_customer_holds_up_nobody(bed: &Bed) {
    let ws = bed.workspace();
    hurry(&ws, "10m");
    bed.push("stuck/web", "1.0.0", &Image::says("never healthy").does(Does::Unhealthy));
    bed.push("dark/web", "1.0.0", &Image::says("dark 1.0.0"));
    bed.push("free/web", "1.0.0", &Image::says("free 1.0.0"));
    for number in 0..10 {
        ws.spec(&format!("stuck{number}.toml"), &plain(&bed.image("stuck/web"), 1));
        ws.spec(&format!("dark{number}.toml"), &plain(&bed.private_image("dark/web"), 0));
    }
    ws.spec("free.toml", &plain(&bed.image("free/web"), 1));
    let run = ws.skep_spawn(&["run"]);
    wait_told(&ws, "free", "RolloutComplete", 1);
    wait_until(SOON, "all have begun", || {
        let started = told(&ws, "", "RolloutStarted");
        check(started.len() >= 21, || summary(&ws))
    });
    bed.registry.private.freeze();
    // That it hangs costs the passes that ask one time-out, once; from then on one at a time tries again.
    wait_until(SOON, "it is known to hang", || {
        let dark = told(&ws, "", "RegistryUnavailable");
        check(dark.len() == 10, || summary(&ws))
    });
    let begin = Instant::now();
    bed.push("free/web", "1.1.0", &Image::says("free 1.1.0"));
    wait_told(&ws, "free", "ImageUpdated", 1);
    let took = begin.elapsed();
    // Usually 2 s; a time-out of the registry is 15 s, and what waits behind it waits longer.
    assert!(took < Duration::from_secs(12), "{took:?}\n{}", summary(&ws));
    wait_told(&ws, "free", "RolloutComplete", 2);
    bed.registry.private.thaw();
    let stuck = ws.skep(&["status", "stuck0", "--output", "json"]).expect_status(1).json();
    let web = pick(&stuck["customers"][0]["services"], "service", "web");
    assert_eq!(web["state"], "Progressing", "{stuck:#}");
    run.sigterm();
    run.wait(SOON).ok();
}
