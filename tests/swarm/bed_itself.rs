//! The test bed is what it claims to be.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde_json::json;

use crate::bed::{Bed, Does, Image, Machine, Options, PASSWORD, SOON, USER, check, wait_until};

pub fn one_host_runs_a_service(bed: &Bed) {
    let pushed = bed.push("one/web", "1.0.0", &Image::says("web 1.0.0"));
    let image = format!("{}:{}@{}", bed.image(&pushed.repository), pushed.tag, pushed.digest);
    bed.create_service("one_web", &image, 2, json!({}));
    bed.wait_says("one_web", 2, "web 1.0.0");
    let service = bed.service("one_web").expect("it is there");
    assert_eq!(service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"], image.as_str());
    assert_eq!(bed.service("one_we"), None, "names are whole");
    bed.remove_service("one_web");
    assert_eq!(bed.container_says("one_web"), []);
}

pub fn three_hosts_run_a_service(bed: &Bed) {
    let nodes = bed.get("/nodes");
    assert_eq!(nodes.as_array().map(Vec::len), Some(3), "{nodes}");
    assert_eq!(bed.nodes().len(), 3);
    bed.push("three/web", "1.0.0", &Image::says("web 1.0.0").oci().index());
    let published = json!({"EndpointSpec": {"Ports": [
        {"PublishMode": "host", "PublishedPort": 18080, "TargetPort": 80}
    ]}});
    bed.create_service("three_web", &format!("{}:1.0.0", bed.image("three/web")), 3, published);
    bed.wait_says("three_web", 3, "web 1.0.0");
    let hosts: Vec<String> = bed.container_says("three_web").into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["n0", "n1", "n2"], "a host port fits once on each host");
    for node in bed.nodes() {
        wait_until(SOON, "the published port answers", || {
            let said = bed.ask_port(&node.address, 18080).map_err(|e| e.to_string())?;
            check(said == "web 1.0.0\n", || said)
        });
    }
    bed.remove_service("three_web");
}

pub fn images_behave(bed: &Bed) {
    let make = |name: &str, does: Does| {
        bed.push(&format!("does/{name}"), "1.0.0", &Image::says(name).does(does));
        let service = format!("does_{name}");
        bed.create_service(&service, &format!("{}:1.0.0", bed.image(&format!("does/{name}"))), 1, json!({}));
        service
    };
    let healthy = make("healthy", Does::Healthy);
    let failing = [
        (make("starts", Does::FailAtStart), "failed"),
        (make("crashes", Does::CrashAfter(1)), "failed"),
        (make("unhealthy", Does::Unhealthy), "failed"),
        (make("finishes", Does::Finish), "complete"),
    ];
    for (service, state) in &failing {
        wait_until(SOON, &format!("a task of {service} is {state}"), || {
            let tasks = bed.tasks(service);
            let found = tasks.iter().any(|task| task["Status"]["State"] == *state);
            check(found, || format!("{tasks:?}"))
        });
    }
    bed.wait_says(&healthy, 1, "healthy");
    assert_eq!(bed.running(&healthy).len(), 1);
    for service in failing.iter().map(|(service, _)| service).chain([&healthy]) {
        bed.remove_service(service);
    }
}

pub fn the_private_door_asks_a_password(bed: &Bed) {
    let pushed = bed.push("secret/web", "1.0.0", &Image::says("secret 1.0.0"));
    let ws = bed.workspace();
    let image = format!("{}:1.0.0", bed.private_image("secret/web"));

    let refused = ws.docker(&["pull", &image]);
    assert_ne!(refused.status, Some(0), "{refused:?}");
    assert!(refused.stderr.contains("no basic auth credentials"), "{refused:?}");
    let wrong = ws.docker(&["login", "-u", USER, "-p", "wrong", bed.registry.private.address]);
    assert!(wrong.stderr.contains("401 Unauthorized"), "{wrong:?}");
    assert_ne!(PASSWORD, "wrong");

    ws.docker_login();
    ws.docker(&["pull", &image]).ok();
    let inspected = ws.docker(&["image", "inspect", &image]).ok().json();
    let digest = format!("{}@{}", bed.private_image("secret/web"), pushed.digest);
    assert_eq!(inspected[0]["RepoDigests"], json!([digest]));

    bed.delete_tag("secret/web", "1.0.0");
    let gone = ws.docker(&["pull", &image]);
    assert!(gone.stderr.contains("not found") || gone.stderr.contains("manifest unknown"), "{gone:?}");
    let path = format!("/v2/secret/web/manifests/{}", pushed.digest);
    let accept = [("Accept", "application/vnd.docker.distribution.manifest.v2+json")];
    assert_eq!(bed.registry.ask("GET", &path, &accept, b"").status, 200, "only the tag is gone");
}

/// The one that `./test` found or unpacked; a machine need not have one in its path.
fn busybox() -> String {
    std::env::var("SKEP_BED_BUSYBOX").unwrap_or_else(|_| "busybox".to_owned())
}

pub fn programs_are_run_and_ended(bed: &Bed) {
    let ws = bed.workspace();
    ws.spec("eu/acme.toml", "# nothing");
    assert_eq!(ws.read("specs/eu/acme.toml"), "# nothing");
    let sh = |script: &str| {
        let mut command = ws.command(Path::new("/bin/sh"));
        command.args(["-c", script]);
        ws.spawn(&mut command)
    };
    let ran = sh("echo out; echo err >&2; exit 3").wait(SOON).expect_status(3);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"));
    assert!(ran.took < SOON, "{ran:?}");

    // Not SIGHUP: who starts the tests (nohup, say) may have it ignored, and a shell cannot change that.
    let mut traps = sh("trap 'echo term; exit 5' TERM; echo up; while :; do sleep 0.05; done");
    traps.wait_for("up", SOON);
    traps.sigterm();
    assert_eq!(traps.wait(SOON).expect_status(5).stdout, "up\nterm\n");

    let mut killed = sh("echo up; exec sleep 1000");
    killed.wait_for("up", SOON);
    let pid = killed.pid();
    assert_eq!(killed.kill9().status, None);
    assert!(!Path::new(&format!("/proc/{pid}")).exists());

    let busybox = format!("{} nc -l -p", busybox());
    let answer = "HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n4\\r\\n{\"a\"\\r\\n3\\r\\n:1}\\r\\n0\\r\\n\\r\\n";
    // Each serves one connection, and one may break off before it was served.
    let _server = sh(&format!("while :; do printf '{answer}' | {busybox} {}; done", ws.port));
    wait_until(SOON, "the workspace's port answers", || {
        let answer = ws.http("GET", "/", &[], b"").map_err(|e: io::Error| e.to_string())?;
        check((answer.status, answer.json()) == (200, json!({"a": 1})), || format!("{answer:?}"))
    });

    ws.skep(&["--version"]).ok();
    let version = ws.skep_spawn(&["--version"]).wait(SOON).ok();
    assert!(version.command.ends_with("skep --version"), "{version:?}");
    assert!(ws.dir.starts_with(bed.dir()) && ws.bed.name() == bed.name());
}

pub fn faults_of_hosts(bed: &Bed) {
    bed.push("faults/web", "1.0.0", &Image::says("web 1.0.0"));
    bed.node(1).pull(&format!("{}:1.0.0", bed.image("faults/web")));
    bed.create_service("faults_web", &format!("{}:1.0.0", bed.image("faults/web")), 3, json!({}));
    bed.wait_says("faults_web", 3, "web 1.0.0");
    let last = bed.node(2);
    let state = |wanted: &str| {
        wait_until(SOON, &format!("n2 is {wanted}"), || {
            let nodes = bed.get("/nodes");
            let all = nodes.as_array().into_iter().flatten();
            let found = all.clone().find(|node| node["Description"]["Hostname"] == "n2");
            check(found.is_some_and(|node| node["Status"]["State"] == wanted), || nodes.to_string())
        });
    };

    last.restart();
    bed.wait_says("faults_web", 3, "web 1.0.0");
    state("ready");
    last.kill9();
    assert!(last.call("GET", "/_ping", None).is_err(), "dockerd is gone");
    last.start_again();
    state("ready");
    bed.wait_says("faults_web", 3, "web 1.0.0");

    last.crash();
    state("down");
    bed.wait_says("faults_web", 3, "web 1.0.0");
    last.start_again();
    state("ready");

    last.cut_off();
    state("down");
    last.reconnect();
    state("ready");
    assert_eq!(last.id(), last.get("/info")["Swarm"]["NodeID"]);
    assert!(last.log().contains("API listen on"), "every start is in the log");
}

pub fn faults_of_the_registry(bed: &Bed) {
    let door = &bed.registry.open;
    let image = format!("{}:1.0.0", bed.image("away/web"));
    let run = |script: &str| {
        let mut command = bed.enter("client", Path::new("/bin/sh"));
        command.args(["-c", script]).output().expect("sh starts")
    };
    let (host, port) = door.address.split_once(':').expect("host:port");
    let ask = format!("printf 'GET /v2/ HTTP/1.0\\r\\n\\r\\n' | timeout 10 {} nc {host} {port}", busybox());
    let answers = || String::from_utf8_lossy(&run(&ask).stdout).contains("200 OK");

    assert!(answers());
    door.stop();
    assert!(!answers());
    bed.push("away/web", "1.0.0", &Image::says("pushed meanwhile"));
    door.start();
    assert!(answers());
    bed.create_service("away_web", &image, 1, json!({}));
    bed.wait_says("away_web", 1, "pushed meanwhile");
    let requests = door.requests();
    assert!(
        requests.iter().any(|r| r == "HEAD /v2/away/web/manifests/1.0.0"),
        "{requests:?}\n{}",
        door.log()
    );

    door.freeze();
    assert!(!answers());
    door.thaw();
    assert!(answers());
}

pub fn nothing_is_left_behind() {
    // Somebody else may change the machine's links or rules at the same time, but hardly three times in a row.
    let mut different = Vec::new();
    for _ in 0..3 {
        let before = Machine::look(&Bed::prefix(0));
        let bed = Bed::start(Options { hosts: 2, managers: 1, ..Options::default() });
        let name = bed.name().to_owned();
        bed.push("left/web", "1.0.0", &Image::says("web"));
        bed.create_service("left_web", &format!("{}:1.0.0", bed.image("left/web")), 2, json!({}));
        bed.wait_says("left_web", 2, "web");
        let there = Machine::of_beds(&name).to_string();
        let sees = |kind: &str| there.lines().any(|line| line.starts_with(kind));
        for kind in ["process ", "cgroup ", "file "] {
            assert!(sees(kind), "while the bed stands, a check that can fail sees {kind}: {there}");
        }
        assert!(!sees("mount "), "not even now is a mount seen outside: {there}");

        drop(bed);
        gone(&name);
        let after = Machine::look(&Bed::prefix(0));
        different = [after.since(&before), before.since(&after)].concat();
        if different.is_empty() {
            return;
        }
    }
    panic!("the machine is not as it was: {different:#?}");
}

pub fn kill_9_leaves_nothing_behind() {
    let marker = tempfile::NamedTempFile::new().expect("a temporary file");
    let this = std::env::current_exe().expect("this test");
    let mut holder =
        Command::new(this).env("SKEP_BED_HOLD", marker.path()).spawn().expect("this test starts");
    let name = wait_until(SOON, "the other process has a bed with a container", || {
        let ended = holder.try_wait().expect("it is our child");
        assert_eq!(ended, None, "it ended");
        let name = std::fs::read_to_string(marker.path()).unwrap_or_default();
        if name.ends_with('\n') { Ok(name.trim().to_owned()) } else { Err("not yet") }
    });
    assert!(name.starts_with(&Bed::prefix(holder.id())), "{name}");
    assert!(Machine::of_beds(&name).to_string().contains("supervisor.sh"));
    holder.kill().expect("it runs");
    holder.wait().expect("it is our child");
    gone(&name);
}

/// The other process of `kill_9_leaves_nothing_behind`.
pub fn hold_a_bed(marker: &OsStr) -> ExitCode {
    let bed = Bed::start(Options::default());
    bed.push("held/web", "1.0.0", &Image::says("held"));
    bed.create_service("held_web", &format!("{}:1.0.0", bed.image("held/web")), 1, json!({}));
    bed.wait_says("held_web", 1, "held");
    assert!(bed.supervisor() > 1);
    std::fs::write(marker, format!("{}\n", bed.name())).expect("the marker can be written");
    loop {
        std::thread::park();
    }
}

fn gone(name: &str) {
    wait_until(Duration::from_secs(20), &format!("{name} has left nothing"), || {
        let left = Machine::of_beds(name).to_string();
        check(left.is_empty(), || left)
    });
}
