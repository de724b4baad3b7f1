//! `skep run` and the commands, with specs from git, as processes on an embedded Swarm.

use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::fleet::{Fleet, skep_in};
use crate::http::{Bridge, Mood};
use crate::origin::CANARY;

/// Somebody scales by hand, and skep puts it back.
async fn drift_is_repaired(fleet: &Fleet) {
    let before = fleet.events().iter().filter(|event| event["reason"] == "DriftCorrected").count();
    fleet.by_hand(|spec| spec["Mode"]["Replicated"]["Replicas"] = json!(5));
    fleet.until_replicas(2).await;
    let corrected =
        || fleet.events().iter().filter(|event| event["reason"] == "DriftCorrected").count() > before;
    fleet.until("DriftCorrected", || corrected().then_some(())).await;
}

const TWICE: &str = "deploy = { replicas = 2 }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_leaves_the_last_good_commit_in_force_also_after_a_restart() {
    let fleet = Fleet::start().await;
    let origin = &fleet.origin;
    let first = origin.push("specs/acme.toml", &fleet.spec(TWICE), "two \u{1b}[31mof \u{202e}them");
    let skep = fleet.run();
    fleet.until_replicas(2).await;
    assert_eq!(fleet.revision().as_deref(), Some(first.as_str()));
    let created = fleet.told("ServiceCreated", "").await;
    assert_eq!(created["revision"], first.as_str());
    let status: Value = serde_json::from_str(&fleet.skep("status --output json").await.stdout).unwrap();
    assert_eq!(status["customers"][0]["revision"], first.as_str(), "{status:#}");

    let away = origin.path("away");
    std::fs::rename(origin.bare(), &away).unwrap();
    let dead = fleet.told("SpecInvalid", "stays in force").await;
    assert_eq!(dead["revision"], first.as_str());
    drift_is_repaired(&fleet).await;
    skep.kill().await;
    let skep = fleet.run();
    drift_is_repaired(&fleet).await;
    let told = fleet.events().iter().filter(|event| event["reason"] == "SpecInvalid").count();
    assert_eq!(told, 1, "what was told before the restart is not told again");

    std::fs::rename(&away, origin.bare()).unwrap();
    fleet.told("Recovered", "git: ").await;
    let lines = "environment = { COLOUR = \"blue\" }\n";
    let second = origin.push("specs/acme.toml", &fleet.spec(lines), "in \u{1b}[31mblue");
    let changed = fleet.told("SpecChanged", "acme.toml changed").await;
    assert_eq!(changed["revision"], second.as_str());
    let message = changed["message"].as_str().unwrap();
    assert!(message.contains(r"by Ada \u{1b}[31mByron <ada@example.com>: in \u{1b}[31mblue"), "{message}");
    assert!(!message.chars().any(char::is_control));
    fleet.until("the new commit on the service", || fleet.revision().filter(|now| *now == second)).await;
    skep.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_invalid_or_has_no_specs_changes_nothing() {
    let fleet = Fleet::start().await;
    let origin = &fleet.origin;
    origin.push("specs/acme.toml", &fleet.spec(TWICE), "two of them");
    let _skep = fleet.run();
    fleet.until_replicas(2).await;
    let bad = origin.push("specs/acme.toml", "[services.web]\nimge = \"x\"\n", "a mistake");
    let told = fleet.told("SpecInvalid", "`image` is missing").await;
    assert_eq!((&told["customer"], &told["revision"]), (&json!("acme"), &json!(bad)));
    drift_is_repaired(&fleet).await;
    let status = fleet.skep("status").await;
    assert_eq!(status.status, Some(2), "{}", status.all());

    // None at all: an empty tree is not the wish to have nothing.
    origin.push("specs/acme.toml", &fleet.spec(TWICE), "mended");
    fleet.told("Recovered", "acme.toml").await;
    origin.run(&["rm", "-q", "specs/acme.toml"]);
    origin.push("specs/README.md", "soon\n", "start over");
    fleet.told("SpecRemoved", "the spec is gone").await;
    let plan: Value = serde_json::from_str(&fleet.skep("plan --output json").await.stdout).unwrap();
    assert_eq!(plan["customers"][0]["steps"], json!([]), "{plan:#}");
    assert_eq!(fleet.services(), 1);

    // Nor is a folder that is gone, a branch that is gone, or a repository without a commit.
    origin.run(&["rm", "-q", "-r", "specs"]);
    origin.write("README.md", b"moved\n");
    origin.commit("no folder");
    fleet.told("SpecInvalid", "has no folder `specs`").await;
    origin.run_in(&origin.bare(), &["update-ref", "-d", "refs/heads/main"]);
    fleet.told("SpecInvalid", "branch main is not there").await;
    assert_eq!(fleet.services(), 1);
    let fresh = fleet.skep("plan").await;
    assert_eq!(fresh.status, Some(2), "{}", fresh.all());
    assert!(fresh.stderr.contains("branch main is not there"), "{}", fresh.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_branch_is_refused_and_drift_repaired_until_it_is_allowed() {
    let fleet = Fleet::start().await;
    let origin = &fleet.origin;
    let first = origin.push("specs/acme.toml", &fleet.spec(TWICE), "two of them");
    let skep = fleet.run();
    fleet.until_replicas(2).await;
    origin.write("specs/acme.toml", fleet.spec("deploy = { replicas = 7 }\n").as_bytes());
    origin.run(&["add", "-A"]);
    origin.run(&["commit", "-q", "--amend", "-m", "seven"]);
    origin.run(&["push", "-q", "-f", "origin", "HEAD:main"]);
    let told = fleet.told("SpecInvalid", "branch main was rewritten").await;
    assert_eq!(told["revision"], first.as_str());
    drift_is_repaired(&fleet).await;
    assert_eq!(fleet.revision().as_deref(), Some(first.as_str()));
    fleet.configure(&origin.url(), "force_push = \"follow\"");
    let pid = rustix::process::Pid::from_raw(skep.0.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    fleet.until_replicas(7).await;
    assert_eq!(fleet.revision().as_deref(), Some(origin.head().as_str()));
}

/// `plan`, `apply`, `lint` and `run` with a secret beside the spec; its content is seen nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_beside_the_spec_is_made_and_rotates() {
    let fleet = Fleet::start().await;
    let origin = &fleet.origin;
    let lines = "secrets = [\"key\"]\n[secrets.key]\nfile = \"keys/${customer}\"\n";
    origin.push("specs/acme.toml", &fleet.spec(lines), "with a secret");
    let mut said = String::new();
    let missing = fleet.skep("apply --no-wait").await;
    assert_eq!(missing.status, Some(2), "{}", missing.all());
    let lint = fleet.skep("lint").await;
    assert_eq!(lint.status, Some(1), "{}", lint.all());
    assert!(lint.stdout.contains("there is no file `keys/acme`"), "{}", lint.stdout);
    assert!(lint.stdout.contains("specs/acme.toml"), "{}", lint.stdout);

    let secrets = || -> Vec<(String, Value)> {
        fleet.engine.with(|state| {
            let all = state.secrets.values();
            all.map(|it| (it.spec["Name"].as_str().unwrap().to_owned(), it.spec["Data"].clone())).collect()
        })
    };
    let mut names = Vec::new();
    for round in 0..3 {
        let content = format!("{CANARY}-{round}");
        origin.push("specs/keys/acme", &content, "rotate");
        let plan = fleet.skep("plan -vv").await;
        assert_eq!(plan.status, Some(1), "{}", plan.all());
        let apply = fleet.skep("apply -vv --no-wait").await;
        assert_eq!(apply.status, Some(0), "{}", apply.all());
        let lint = fleet.skep("lint").await;
        assert_eq!(lint.status, Some(0), "{}", lint.all());
        said += &(plan.all() + &apply.all() + &lint.all());
        let service = fleet.service().unwrap();
        let used = service["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["SecretName"].as_str().unwrap();
        assert!(secrets().iter().any(|(name, _)| name == used), "{used}");
        names.push(used.to_owned());
        assert_eq!(fleet.skep("plan").await.status, Some(0), "a second look changes nothing");
    }
    names.dedup();
    assert_eq!(names.len(), 3, "each content is an object of its own: {names:?}");

    let _skep = fleet.run();
    origin.push("specs/keys/acme", &format!("{CANARY}-run"), "rotate under run");
    let used = || {
        let service = fleet.service()?;
        let name = service["TaskTemplate"]["ContainerSpec"]["Secrets"][0]["SecretName"].as_str()?.to_owned();
        (!names.contains(&name)).then_some(name)
    };
    fleet.until("the service moves to the new secret", used).await;
    let status = fleet.skep("status").await;
    said += &(fleet.log() + &status.all() + &format!("{:?}", fleet.events()));
    assert!(!said.contains(CANARY), "{said}");
    let specs = fleet.service().unwrap().to_string();
    assert!(!specs.contains(CANARY), "{specs}");
}

/// `kill -9` in the middle of a fetch: git goes on, and the next skep ends it and has its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_git_that_outlives_a_killed_skep_is_ended() {
    let fleet = Fleet::start().await;
    let origin = &fleet.origin;
    origin.file("token", CANARY);
    let bridge = Bridge::new(origin);
    let url = bridge.serve().await;
    // So long that nothing of all this ends by itself.
    fleet.configure(&url, "token_file = \"token\"\ntimeout = \"1h\"");
    let apply = fleet.skep("apply --no-wait").await;
    assert_eq!(apply.status, Some(0), "{}", apply.all());
    bridge.mood(Mood::Silent);
    let skep = fleet.run();
    let at_work = |url: &str| processes_with(url).into_iter().next();
    let orphan = fleet.until("a git that waits", || at_work(&url)).await;
    // While it waits, who looks finds the token neither in arguments nor in the log.
    for line in all_arguments() {
        assert!(!line.contains(CANARY) && !line.contains(&bridge.pair()), "{line}");
    }
    skep.kill().await;
    assert!(is_alive(orphan), "git outlives skep; else this shows nothing");
    let second = origin.push("specs/acme.toml", &fleet.spec(TWICE), "two of them");
    bridge.mood(Mood::Honest);
    leave_locks(&origin.state().join("git"));
    let _skep = fleet.run();
    fleet.until_replicas(2).await;
    assert_eq!(fleet.revision().as_deref(), Some(second.as_str()));
    fleet.until("the orphan ends", || (!is_alive(orphan)).then_some(())).await;
    let log = fleet.log() + &format!("{:?}", fleet.events());
    assert!(!log.contains(CANARY) && !log.contains(&bridge.pair()));
}

/// `plan` looks aside. One that is killed leaves its repository there, and a git at work in it: the next one ends both.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_killed_plan_left_is_removed_by_the_next() {
    let fleet = Fleet::start().await;
    let origin = &fleet.origin;
    origin.file("token", CANARY);
    let bridge = Bridge::new(origin);
    let url = bridge.serve().await;
    fleet.configure(&url, "token_file = \"token\"\ntimeout = \"1h\"");
    let aside = origin.path("aside");
    std::fs::create_dir(&aside).unwrap();
    let left = || {
        let entries = std::fs::read_dir(&aside).unwrap().flatten();
        entries.filter(|entry| entry.path().is_dir()).count()
    };
    let plan = || {
        let mut command = tokio::process::Command::from(skep_in(origin.root.path(), "plan"));
        command.kill_on_drop(true).env("TMPDIR", &aside).stdout(std::process::Stdio::null());
        command
    };
    bridge.mood(Mood::Silent);
    let mut killed = plan().spawn().unwrap();
    let at_work = || processes_with(&url).into_iter().next();
    let orphan = fleet.until("a git that waits", at_work).await;
    killed.kill().await.unwrap();
    assert!(is_alive(orphan) && left() == 1, "it leaves something; else this shows nothing");
    bridge.mood(Mood::Honest);
    let status = plan().status().await.unwrap();
    assert_eq!(status.code(), Some(1), "the plan is made");
    assert_eq!(left(), 0);
    fleet.until("the orphan ends", || (!is_alive(orphan)).then_some(())).await;
}

/// What a git that was killed at a bad moment leaves.
fn leave_locks(git: &std::path::Path) {
    for lock in ["shallow.lock", "packed-refs.lock", "config.lock", "HEAD.lock"] {
        std::fs::write(git.join(lock), "").unwrap();
    }
    let sources: Vec<_> = std::fs::read_dir(git.join("refs/skep")).unwrap().flatten().collect();
    assert_eq!(sources.len(), 1);
    for name in ["seen.lock", "good.lock"] {
        std::fs::write(sources[0].path().join(name), "").unwrap();
    }
}

fn all_arguments() -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let line = |process: std::fs::DirEntry| std::fs::read(process.path().join("cmdline")).ok();
    processes.filter_map(line).map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

/// Those of `git fetch` itself, which has the URL among its arguments.
fn processes_with(url: &str) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let is_it = |process: &std::fs::DirEntry| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        line.starts_with(b"git\0fetch\0") && String::from_utf8_lossy(&line).contains(url)
    };
    processes.filter(is_it).filter_map(|process| process.file_name().to_str()?.parse().ok()).collect()
}

/// A zombie is dead.
fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

/// `skep reconcile` has the repository asked at once, however long the interval is.
#[tokio::test(flavor = "multi_thread")]
async fn reconcile_fetches_now() {
    let fleet = Fleet::start().await;
    let origin = &fleet.origin;
    let text = std::fs::read_to_string(origin.path("skep.toml")).unwrap();
    std::fs::write(origin.path("skep.toml"), text.replace("interval = \"1s\"", "interval = \"1h\"")).unwrap();
    let _skep = fleet.run();
    fleet.until("the service", || fleet.service()).await;
    let second = origin.push("specs/acme.toml", &fleet.spec(TWICE), "two of them");
    assert_eq!(fleet.updates().len(), 0, "what is so is not written again");
    let reconciled = fleet.skep("reconcile").await;
    assert_eq!(reconciled.status, Some(0), "{}", reconciled.all());
    // What it waited for is what was pushed.
    let replicas = |fleet: &Fleet| fleet.service().unwrap()["Mode"]["Replicated"]["Replicas"].as_u64();
    assert_eq!((replicas(&fleet), fleet.revision()), (Some(2), Some(second)));
    let third = origin.push("specs/acme.toml", &fleet.spec("deploy = { replicas = 3 }\n"), "three of them");
    let reconciled = fleet.skep("reconcile acme").await;
    assert_eq!(reconciled.status, Some(0), "{}", reconciled.all());
    assert_eq!((replicas(&fleet), fleet.revision()), (Some(3), Some(third)));
}

/// A server that says nothing is not waited for: what is in force is looked at, as a person asked.
#[tokio::test(flavor = "multi_thread")]
async fn reconcile_goes_on_without_a_server_that_hangs() {
    let fleet = Fleet::start().await;
    let origin = &fleet.origin;
    origin.file("token", CANARY);
    let bridge = Bridge::new(origin);
    let url = bridge.serve().await;
    fleet.configure(&url, "token_file = \"token\"\ntimeout = \"1h\"\ninterval = \"1h\"");
    let _skep = fleet.run();
    fleet.until("the service", || fleet.service()).await;
    bridge.mood(Mood::Silent);
    let reconciled = fleet.skep("reconcile").await;
    assert_eq!(reconciled.status, Some(0), "{}", reconciled.all());
}

/// The state directory of a controller is nobody else's to read.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_fetched_is_for_the_owner_alone() {
    let fleet = Fleet::start().await;
    assert_eq!(fleet.skep("apply --no-wait").await.status, Some(0));
    let mode = std::fs::metadata(fleet.origin.state().join("git")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}
