//! `skep demo` as a process: the story with its proofs, what it leaves behind (nothing), and
//! the other commands against what `--serve` serves.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

use std::io::{BufRead, BufReader, Lines, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Fast, but not so fast that a busy machine could not keep up.
const SPEED: &str = "25";
/// A demo that was told to end does so in a moment.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Where a demo may write, and what it must leave empty.
struct Ground {
    home: tempfile::TempDir,
    temp: tempfile::TempDir,
}

impl Ground {
    fn new() -> Self {
        Self { home: tempfile::tempdir().unwrap(), temp: tempfile::tempdir().unwrap() }
    }

    /// `skep` there, with nothing of the caller's environment.
    fn skep(&self, line: &str) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("skep"));
        command.current_dir(self.home.path()).env_clear().args(line.split_whitespace());
        command.env("TMPDIR", self.temp.path()).env("HOME", self.home.path()).stdin(Stdio::null());
        command
    }

    fn assert_empty(&self) {
        for dir in [&self.home, &self.temp] {
            let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
            assert!(left.is_empty(), "left behind: {left:?}");
        }
    }
}

fn text(output: &Output) -> (String, String) {
    let read = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (read(&output.stdout), read(&output.stderr))
}

/// The steps of a demo that ended.
fn steps(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

fn of<'a>(steps: &'a [Value], kind: &str) -> Vec<&'a Value> {
    steps.iter().filter(|step| step["step"] == kind).collect()
}

#[test]
fn the_story_is_told_in_plain_lines_and_leaves_nothing() {
    let ground = Ground::new();
    let output = ground.skep(&format!("demo --speed {SPEED}")).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!(output.status.code(), Some(0), "{stdout}\n{stderr}");
    assert_eq!(stderr, "");
    assert!(!stdout.contains('\u{1b}'), "no colours off a terminal");
    assert!(stdout.is_ascii(), "no glyphs in a locale without them");
    ground.assert_empty();
    let mut at = 0;
    for part in [
        "1/7 ",
        "Plan: ",
        "acme_frontend",
        "2/7 ",
        "frontend 1.4.2 -> 1.5.0 (done)",
        "3/7 ",
        "SpecAdded",
        "adopted",
        "4/7 ",
        "docker service update",
        "frontend 1.2.0",
        "skep audit",
        "exit status 1",
        "skep plan",
        "DriftDetected",
        "frontend 1.5.0",
        "5/7 ",
        "RolloutFailed",
        "skep explain globex/frontend",
        "Refused",
        "frontend 1.6.0-rc.2",
        "6/7 ",
        "RegistryUnavailable",
        "exit status 2",
        "Recovered",
        "7/7 ",
        "exit status 0",
        "skep demo --serve",
    ] {
        let found = stdout[at..].find(part).unwrap_or_else(|| panic!("{part:?} is not told:\n{stdout}"));
        at += found + part.len();
    }
}

#[test]
fn as_json_it_shows_its_proofs() {
    let ground = Ground::new();
    let output = ground.skep(&format!("demo --speed {SPEED} --output json")).output().unwrap();
    let (stdout, stderr) = text(&output);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{stdout}");
    ground.assert_empty();
    let steps = steps(&stdout);
    assert_eq!(steps.last().unwrap()["ok"], true);
    let acts: Vec<u64> = of(&steps, "act").iter().map(|act| act["number"].as_u64().unwrap()).collect();
    assert_eq!(acts, [1, 2, 3, 4, 5, 6, 7]);
    let exits: Vec<(&str, u64)> = of(&steps, "command")
        .iter()
        .map(|it| (it["command"].as_str().unwrap(), it["exit"].as_u64().unwrap()))
        .collect();
    assert_eq!(
        exits,
        [
            ("skep plan acme", 1),
            ("skep audit", 1),
            ("skep plan", 1),
            ("skep explain globex/frontend", 0),
            ("skep audit", 2),
            ("skep audit", 0),
        ]
    );
    let seqs: Vec<u64> = of(&steps, "event").iter().map(|it| it["event"]["seq"].as_u64().unwrap()).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "the whole log, in order: {seqs:?}");

    // The stale image was really there, and is really gone.
    let act = |number: u64| {
        let is = |step: &&Value| step["step"] == "act" && step["number"] == number;
        let from = steps.iter().position(|step| is(&step)).unwrap();
        let to = steps[from + 1..].iter().position(|step| step["step"] == "act").unwrap();
        &steps[from..from + 1 + to]
    };
    let shown = of(act(4), "containers");
    let say = |step: &Value| -> Vec<(String, String)> {
        let containers = step["containers"].as_array().unwrap().iter();
        containers
            .map(|it| (it["says"].as_str().unwrap().to_owned(), it["digest"].as_str().unwrap().to_owned()))
            .collect()
    };
    let (before, after) = (say(shown[0]), say(shown[1]));
    assert_eq!((before.len(), after.len()), (2, 2));
    assert!(before.iter().all(|(says, _)| says == "frontend 1.2.0"), "{before:?}");
    assert!(after.iter().all(|(says, _)| says == "frontend 1.5.0"), "{after:?}");
    let plan = &of(act(4), "command")[1]["report"]["customers"];
    let acme = plan.as_array().unwrap().iter().find(|it| it["customer"] == "acme").unwrap();
    assert_eq!(acme["steps"][0]["to"]["digest"], after[0].1, "what was planned is what runs: {acme}");
    let reasons = |number| -> Vec<String> {
        let events = of(act(number), "event");
        events.iter().map(|it| it["event"]["reason"].as_str().unwrap().to_owned()).collect()
    };
    for reason in ["ControllerStopped", "ControllerStarted", "DriftDetected"] {
        assert!(reasons(4).contains(&reason.to_owned()), "{:?}", reasons(4));
    }
    for reason in ["RolloutFailed", "RolledBack", "VersionRefused", "RolloutComplete"] {
        assert!(reasons(5).contains(&reason.to_owned()), "{:?}", reasons(5));
    }
    // Three hosts, and no container of the broken version in any table.
    let all: Vec<&Value> =
        of(&steps, "containers").into_iter().flat_map(|it| it["containers"].as_array().unwrap()).collect();
    let hosts: std::collections::BTreeSet<&str> = all.iter().map(|it| it["host"].as_str().unwrap()).collect();
    assert_eq!(hosts.len(), 3, "{hosts:?}");
    assert!(all.iter().all(|it| it["says"] != "frontend 1.6.0-rc.1"));
}

/// A demo that goes on; killed should a test fail.
struct Going {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Going {
    fn start(ground: &Ground, line: &str) -> Self {
        let mut child = ground.skep(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads its steps up to the first of this kind.
    fn until(&mut self, kind: &str) -> Value {
        for line in self.lines.by_ref() {
            let step: Value = serde_json::from_str(&line.unwrap()).unwrap();
            if step["step"] == kind {
                return step;
            }
        }
        let mut told = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        panic!("no {kind:?} came: {told}");
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Its exit status; what it still says is read meanwhile.
    fn end(mut self) -> Option<i32> {
        let deadline = Instant::now() + END_WITHIN;
        while self.lines.next().is_some() {}
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

#[test]
fn a_signal_ends_the_story_and_leaves_nothing() {
    for (signal, status) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let ground = Ground::new();
        let mut demo = Going::start(&ground, "demo --output json");
        demo.until("event");
        demo.signal(signal);
        assert_eq!(demo.end(), Some(status), "{signal:?}");
        ground.assert_empty();
    }
}

#[test]
fn an_output_that_is_closed_ends_it_and_leaves_nothing() {
    let ground = Ground::new();
    let mut demo = Going::start(&ground, &format!("demo --output json --speed {SPEED}"));
    demo.until("act");
    let Going { child, .. } = &mut demo;
    let mut stderr = child.stderr.take().unwrap();
    // A pipe of which nobody reads the other end any more.
    let closed = std::mem::replace(&mut demo.lines, empty_lines());
    drop(closed);
    let mut told = String::new();
    stderr.read_to_string(&mut told).unwrap();
    assert_eq!((demo.end(), told.as_str()), (Some(141), ""));
    ground.assert_empty();
}

/// Lines that have ended.
fn empty_lines() -> Lines<BufReader<ChildStdout>> {
    let mut child = Command::new("true").stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    child.wait().unwrap();
    BufReader::new(stdout).lines()
}

/// `skep` as in a second terminal.
struct Second<'a> {
    ground: &'a Ground,
    reach: Value,
}

impl Second<'_> {
    fn skep(&self, line: &str) -> (Option<i32>, String, String) {
        let variable = |name: &str| self.reach[name].as_str().unwrap().to_owned();
        let output = self
            .ground
            .skep(line)
            .env("DOCKER_HOST", variable("docker_host"))
            .env("SKEP_CONFIG", variable("config"))
            .output()
            .unwrap();
        let (stdout, stderr) = text(&output);
        (output.status.code(), stdout, stderr)
    }

    #[track_caller]
    fn ends_with(&self, line: &str, status: i32) -> String {
        let (code, stdout, stderr) = self.skep(line);
        assert_eq!(code, Some(status), "skep {line}\n{stdout}\n{stderr}");
        stdout
    }
}

#[test]
fn what_is_served_is_there_for_every_other_command() {
    let ground = Ground::new();
    let mut demo = Going::start(&ground, &format!("demo --serve --speed {SPEED} --output json"));
    let reach = demo.until("serving");
    let second = Second { ground: &ground, reach };
    second.ends_with("lint", 0);
    second.ends_with("audit", 0);
    second.ends_with("plan", 0);
    second.ends_with("doctor", 0);
    let status = second.ends_with("status acme globex", 0);
    assert!(status.contains("5 services: 5 in sync"), "{status}");

    second.ends_with("demo push saas/frontend:1.5.0", 0);
    assert!(second.ends_with("audit", 1).contains("behind"));
    assert!(second.ends_with("plan acme", 1).contains("1.4.2 -> 1.5.0"));
    assert!(second.ends_with("explain acme/frontend", 0).contains("1.5.0"));
    second.ends_with("status acme", 1);
    assert!(second.ends_with("apply", 0).contains("converged"));
    second.ends_with("audit", 0);
    second.ends_with("wait acme globex", 0);

    second.ends_with("demo push saas/frontend:1.6.0 --broken", 0);
    second.ends_with("apply acme", 1);
    let refused = second.ends_with("events --customer acme --reason VersionRefused --output json", 0);
    assert!(refused.contains("1.6.0"), "{refused}");
    assert!(second.ends_with("explain acme/frontend", 0).contains("Refused"));
    second.ends_with("history acme/frontend", 0);
    assert!(second.ends_with("audit", 1).contains("refused"));

    let (code, _, told) = second.skep("demo push saas/frontend");
    assert_eq!(code, Some(2), "{told}");
    demo.signal(Signal::INT);
    assert_eq!(demo.end(), Some(0));
    ground.assert_empty();
}

#[test]
fn a_named_directory_must_be_empty_and_is_emptied() {
    let ground = Ground::new();
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("mine"), "").unwrap();
    let line = format!("demo --serve --speed {SPEED} --output json --dir {}", place.path().display());
    let output = ground.skep(&line).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).1.contains("is not empty"), "{output:?}");
    assert!(place.path().join("mine").exists());

    std::fs::remove_file(place.path().join("mine")).unwrap();
    let mut demo = Going::start(&ground, &line);
    let reach = demo.until("serving");
    assert!(Path::new(reach["config"].as_str().unwrap()).starts_with(place.path()));
    demo.signal(Signal::TERM);
    assert_eq!(demo.end(), Some(0));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    ground.assert_empty();
}

#[test]
fn push_says_what_it_needs() {
    let ground = Ground::new();
    let output = ground.skep("demo push saas/frontend:1.5.0").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).1.contains("SKEP_CONFIG"), "{output:?}");
    for line in ["demo --speed 0", "demo --speed 1000", "demo --dir x", "demo --serve push a/b:1"] {
        let output = ground.skep(line).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{line}");
    }
    ground.assert_empty();
}
