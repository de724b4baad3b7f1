//! The real program as a process: exit statuses, what goes to which stream, closed outputs.

use std::path::Path;
use std::process::Stdio;

use assert_cmd::Command;
use predicates::prelude::*;
use predicates::str::{contains, is_empty, starts_with};

const GOOD: &str = "[services.web]\nimage = \"r.example.com/web\"\n";
const BAD: &str = "[services.web]\nimge = \"r.example.com/web\"\n";

/// `skep` in a directory, with nothing of the caller's environment.
fn skep(directory: &Path, line: &str) -> Command {
    let mut command = Command::cargo_bin("skep").expect("cargo builds the program for its tests");
    command.current_dir(directory).env_clear().args(line.split_whitespace());
    command
}

/// A directory with one spec.
fn fleet(spec: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(directory.path().join("specs")).expect("a fresh directory");
    std::fs::write(directory.path().join("specs/acme.toml"), spec).expect("a fresh file");
    directory
}

#[test]
fn lint_ends_with_0_1_or_2() {
    let good = fleet(GOOD);
    skep(good.path(), "lint").assert().code(0).stdout("1 file: no errors.\n").stderr(is_empty());
    let bad = fleet(BAD);
    let told = contains("specs/acme.toml:2:1").and(contains("did you mean `image`?"));
    skep(bad.path(), "lint").assert().code(1).stdout(told).stderr(is_empty());
    let nothing = tempfile::tempdir().unwrap();
    let told = starts_with("error: no specs directory at specs;");
    skep(nothing.path(), "lint").assert().code(2).stdout(is_empty()).stderr(told);
}

#[test]
fn json_is_all_of_stdout() {
    let bad = fleet(BAD);
    for line in ["lint --output json", "--output json -vvv lint"] {
        let output = skep(bad.path(), line).assert().code(1).get_output().stdout.clone();
        let report: serde_json::Value = serde_json::from_slice(&output).unwrap();
        assert_eq!(report["diagnostics"][1]["line"], 2, "{line}: {report}");
    }
}

/// A damaged line is named and passed over; a line in the making is nobody's business.
#[test]
fn events_names_what_it_cannot_read_and_goes_on() {
    let directory = fleet(GOOD);
    let event = |seq: u64| {
        format!(
            r#"{{"id":"i","seq":{seq},"time":"2026-11-23T00:32:24Z","type":"Normal","reason":"NotOwned","customer":null,"service":null,"message":"m","trigger":"spec","revision":null}}"#
        )
    };
    let (one, three) = (event(1), event(3));
    let events = directory.path().join(".skep/events");
    std::fs::create_dir_all(&events).unwrap();
    let damaged = event(2).replace("reason", "rea\u{1b}on").replace('"', "\u{1b}");
    std::fs::write(events.join("events-1.jsonl"), format!("{one}\n{damaged}\n")).unwrap();
    std::fs::write(events.join("events.jsonl"), format!("{three}\n{}", &event(4)[..40])).unwrap();
    for last in ["", " -n 5"] {
        let place = contains("events-1.jsonl").and(contains(format!("offset={}", one.len() + 1)));
        skep(directory.path(), &format!("events --output json{last}"))
            .assert()
            .code(0)
            .stdout(format!("{one}\n{three}\n"))
            .stderr(place.and(contains("cannot read").count(1)));
    }
}

#[test]
fn usage_errors_end_with_2() {
    let directory = fleet(GOOD);
    for line in ["", "frobnicate", "plan --frobnicate", "plan Acme!", "explain acme", "lint nowhere.toml"] {
        skep(directory.path(), line).assert().code(2).stdout(is_empty()).stderr(is_empty().not());
    }
    skep(directory.path(), "--help").assert().code(0).stdout(contains("Exit status:")).stderr(is_empty());
    skep(directory.path(), "--version").assert().code(0).stdout(starts_with("skep "));
}

#[test]
fn a_bad_configuration_ends_with_2_but_not_where_none_is_needed() {
    let directory = fleet(GOOD);
    std::fs::write(directory.path().join("skep.toml"), "[poll]\nregisty = \"1s\"\n").unwrap();
    let told = contains("--> skep.toml:2:1").and(contains("did you mean `registry`?"));
    skep(directory.path(), "lint").assert().code(2).stdout(is_empty()).stderr(told);
    skep(directory.path(), "schema").assert().code(0).stdout(starts_with("{"));
    skep(directory.path(), "completions bash").assert().code(0).stdout(contains("_skep"));
    std::fs::remove_file(directory.path().join("skep.toml")).unwrap();
    let told = contains("SKEP_POLL__REGISTRY is 1ms; the least is 1s");
    skep(directory.path(), "lint").env("SKEP_POLL__REGISTRY", "1ms").assert().code(2).stderr(told);
    skep(directory.path(), "lint")
        .env("SKEP_SPECS", "elsewhere")
        .assert()
        .code(2)
        .stderr(contains("elsewhere"));
}

#[test]
fn a_closed_output_ends_it_quietly() {
    let directory = fleet(GOOD);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("skep"))
        .args(["schema"])
        .current_dir(directory.path())
        .stdout(Stdio::from(writer))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut told).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141), "as a shell reports SIGPIPE");
    assert_eq!(told, "");
}

#[test]
fn colours_only_when_asked_for_off_a_terminal() {
    let bad = fleet(BAD);
    skep(bad.path(), "lint").assert().stdout(contains("\u{1b}[").not());
    skep(bad.path(), "lint --color always").assert().stdout(contains("\u{1b}["));
}

#[test]
fn audit_of_a_file_fills_in_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let text = "services:\n  web:\n    image: 127.0.0.1:1/web:${TAG}\n";
    std::fs::write(directory.path().join("compose.yml"), text).unwrap();
    let audit = |line| {
        let mut command = skep(directory.path(), line);
        let output = command.env("TAG", "1.2.3").assert().code(2).get_output().stdout.clone();
        serde_json::from_slice::<serde_json::Value>(&output).unwrap()
    };
    let report = audit("audit -f compose.yml --output json");
    assert_eq!(report["services"][0]["image"], "127.0.0.1:1/web:1.2.3", "{report}");
    assert_eq!(report["services"][0]["verdict"], "unknown", "the registry does not answer: {report}");
}

#[test]
fn doctor_says_what_it_could_not_find_out() {
    let directory = fleet("[services.web]\nimage = \"127.0.0.1:1/web\"\n");
    let mut command = skep(directory.path(), "doctor --output json");
    let output =
        command.env("DOCKER_HOST", "unix:///nowhere.sock").assert().code(2).get_output().stdout.clone();
    let report: serde_json::Value = serde_json::from_slice(&output).unwrap();
    let checks = report["checks"].as_array().unwrap();
    for (name, status) in
        [("docker", "problem"), ("swarm", "unknown"), ("clock", "unknown"), ("rights", "unknown")]
    {
        let found = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(found["status"], status, "{found}");
    }
}

#[test]
fn doctor_looks_at_the_secrets_of_webhooks() {
    let directory = fleet(GOOD);
    let write = |file: &str, text: &str| std::fs::write(directory.path().join(file), text).unwrap();
    write(
        "skep.toml",
        "[hooks.git.github]\nsecret_file = \"none\"\n[hooks.registry.quay]\nsecret_file = \"quay\"\n",
    );
    write("quay", "canary-quay");
    let mut command = skep(directory.path(), "doctor --output json");
    let output =
        command.env("DOCKER_HOST", "unix:///nowhere.sock").assert().code(2).get_output().stdout.clone();
    assert!(!String::from_utf8_lossy(&output).contains("canary"));
    let report: serde_json::Value = serde_json::from_slice(&output).unwrap();
    for (name, status, mend) in
        [("hook git/github", "problem", "openssl rand"), ("hook registry/quay", "warning", "chmod")]
    {
        let found = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap();
        assert_eq!(found["status"], status, "{found}");
        assert!(found["mend"].as_str().unwrap().contains(mend), "{found}");
    }
}

#[test]
fn a_spec_that_is_there_but_no_spec_is_invalid() {
    let directory = fleet(GOOD);
    let file = directory.path().join("specs/globex.toml");
    std::fs::write(&file, b"\xff").unwrap();
    skep(directory.path(), "lint").assert().code(1).stdout(contains("UTF-8"));
    std::fs::write(&file, vec![b'#'; 2 << 20]).unwrap();
    skep(directory.path(), "lint").assert().code(1).stdout(contains("is larger than"));
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
    skep(directory.path(), "lint").assert().code(1).stdout(contains("leads out of"));
}

#[test]
fn a_key_near_another_names_that_one() {
    let directory = fleet("[services.web]\nimage = \"r.example.com/web\"\nstop_grace_periodd = \"3s\"\n");
    std::fs::write(directory.path().join("specs/b.toml"), "secretz = 1\n").unwrap();
    let told = contains("did you mean `stop_grace_period`?").and(contains("did you mean `secrets`?"));
    skep(directory.path(), "lint").assert().code(1).stdout(told);
}

#[test]
fn a_variable_with_one_underscore_is_warned_of() {
    let directory = fleet(GOOD);
    let told = contains("SKEP_POLL__REGISTRY");
    skep(directory.path(), "lint").env("SKEP_POLL_REGISTRY", "5s").assert().code(0).stderr(told);
}

#[test]
fn promised_commands_say_not_yet_and_help_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let told = contains("is not built yet").and(contains("did you mean").not());
    skep(directory.path(), "rollback a/b").assert().code(2).stdout(is_empty()).stderr(told);
    skep(directory.path(), "plan --server http://127.0.0.1:1")
        .assert()
        .code(2)
        .stderr(contains("not a server"));
    for command in ["reconcile", "suspend acme --reason x", "resume acme/db", "retry acme/db", "status"] {
        let command = format!("{command} --server http://127.0.0.1:1 --output json");
        let told = contains("no controller answers").or(contains("no token for"));
        skep(directory.path(), &command).assert().code(2).stdout(is_empty()).stderr(told);
    }
    skep(directory.path(), "help").assert().code(0).stdout(contains("audit"));
    skep(directory.path(), "help plan").assert().code(0).stdout(contains("skep plan acme"));
}

#[test]
fn import_of_a_file_prints_a_spec_that_lint_takes() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("specs")).unwrap();
    let text = "services:\n  web:\n    image: 127.0.0.1:1/web:${TAG}\n    restart: always\n    deploy: {replicas: \"${N:-2}\"}\n";
    std::fs::write(directory.path().join("acme.yml"), text).unwrap();
    let mut command = skep(directory.path(), "import acme.yml");
    let told = contains("replicas = 2").and(contains("# restart: not carried:"));
    let spec = command
        .env("TAG", "1.2.3")
        .assert()
        .code(0)
        .stderr(is_empty())
        .stdout(told)
        .get_output()
        .stdout
        .clone();
    std::fs::write(directory.path().join("specs/acme.toml"), spec).unwrap();
    skep(directory.path(), "lint").assert().code(0).stdout("1 file: no errors.\n");

    let mut command = skep(directory.path(), "import acme.yml --name globex --output json");
    let output = command.env("TAG", "latest").assert().code(0).get_output().stdout.clone();
    let report: serde_json::Value = serde_json::from_slice(&output).unwrap();
    assert_eq!(report["customer"], "globex");
    assert_eq!(report["notes"].as_array().unwrap().len(), 2, "{report:#}");

    let told = contains("services.web.image: the variable TAG is not set");
    skep(directory.path(), "import acme.yml").assert().code(2).stdout(is_empty()).stderr(told);
    skep(directory.path(), "import acme.yml --name Acme")
        .env("TAG", "1.0.0")
        .assert()
        .code(2)
        .stderr(contains("not a customer name"));
    for line in ["import", "import nowhere.yml", "import acme.yml --stack acme"] {
        skep(directory.path(), line).assert().code(2).stdout(is_empty()).stderr(is_empty().not());
    }
}

#[test]
fn rules_that_cannot_be_read_are_not_no_rules() {
    let directory = fleet(GOOD);
    let rules = directory.path().join("specs/fleet.toml");
    std::fs::write(&rules, "allowed_images = [\"elsewhere.example.com/*\"]\n").unwrap();
    let told = contains("specs/acme.toml:2:9").and(contains("is not among `allowed_images` in fleet.toml"));
    skep(directory.path(), "lint").assert().code(1).stdout(told);
    for bad in [&b"\xff"[..], b"forbid = 1\n"] {
        std::fs::write(&rules, bad).unwrap();
        skep(directory.path(), "lint").assert().code(1).stdout(contains("fleet.toml"));
        let mut render = skep(directory.path(), "render acme");
        let told = contains("the spec of acme has errors").and(contains("fleet.toml"));
        render.env("DOCKER_HOST", "unix:///nowhere.sock").assert().code(2).stderr(told);
    }
    skep(directory.path(), "schema --fleet").assert().code(0).stdout(contains("allowed_images"));
}
