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
