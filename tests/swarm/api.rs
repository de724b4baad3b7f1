//! The API of a live `skep run`, and the commands that ask it, on a real Swarm.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bed::http::{Request, over_socket};
use crate::bed::process::Ran;
use crate::bed::{Bed, Image, SOON, Workspace, check, wait_until};
use crate::look::{events, summary, told};
use crate::running::{Controller, image};

/// A workspace in which nothing is looked at unless somebody asks, or a file changes.
fn patient<'a>(bed: &'a Bed, name: &str, more: &str) -> Workspace<'a> {
    let ws = bed.workspace();
    let config = ws.default_config().replace("\"1s\"", "\"1h\"").replace("\"5s\"", "\"1h\"");
    ws.write("skep.toml", &config);
    push(bed, name, "1.0.0");
    spec(&ws, name, more);
    ws
}

fn push(bed: &Bed, name: &str, version: &str) {
    bed.push(&format!("{name}/web"), version, &Image::says(&format!("{name} {version}")));
}

fn spec(ws: &Workspace<'_>, name: &str, more: &str) {
    let image = ws.bed.image(&format!("{name}/web"));
    let text = format!("[services.web]\nimage = \"{image}\"\ndeploy.replicas = 1\n{more}");
    ws.spec(&format!("{name}.toml"), &text);
}

/// Name, action and outcome of each step that was told.
fn steps(ran: &Ran) -> Vec<String> {
    let report = ran.json();
    let customers = report["customers"].as_array().unwrap().iter();
    let all = customers.flat_map(|customer| customer["steps"].as_array().unwrap());
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |step: &Value| [&step["action"], &step["name"], &step["outcome"]["state"]].map(text).join(" ");
    all.map(line).collect()
}

/// `apply` beside a live `run` is done by that one, and told as if it had been done here.
pub fn apply_is_handed_over(bed: &Bed) {
    let ws = patient(bed, "handed", "");
    let controller = Controller::start(&ws);
    bed.wait_says("handed_web", 1, "handed 1.0.0");

    push(bed, "handed", "1.1.0");
    let ran = ws.skep(&["apply", "handed", "--output", "json"]).ok();
    assert_eq!(steps(&ran), ["update handed_web converged"], "{}", ran.stdout);
    assert_eq!(ran.json()["customers"][0]["steps"][0]["to"]["version"], "1.1.0", "{}", ran.stdout);
    assert!(
        ran.stderr.contains(&format!("asking the controller at http://127.0.0.1:{}", ws.port)),
        "{}",
        ran.stderr
    );
    bed.wait_says("handed_web", 1, "handed 1.1.0");
    let ran = ws.skep(&["apply", "--output", "json"]).ok();
    assert_eq!(steps(&ran), Vec::<String>::new(), "nothing is left to do");

    push(bed, "handed", "1.2.0");
    let ran = ws.skep(&["apply", "--no-wait", "--output", "json"]).ok();
    assert_eq!(steps(&ran), ["update handed_web sent"], "{}", ran.stdout);
    bed.wait_says("handed_web", 1, "handed 1.2.0");
    ws.skep(&["retry", "handed/web"]).ok();

    // A file that was written just now.
    push(bed, "newcomer", "1.0.0");
    spec(&ws, "newcomer", "");
    ws.skep(&["apply", "newcomer"]).ok();
    bed.wait_says("newcomer_web", 1, "newcomer 1.0.0");
    let ran = ws.skep(&["apply", "newcomers"]).expect_status(2);
    assert!(ran.stderr.contains("did you mean newcomer?"), "{}", ran.stderr);

    spec(&ws, "handed", "imaginary = 1\n");
    let ran = ws.skep(&["apply", "--output", "json"]).expect_status(2);
    assert_eq!(ran.json()["customers"][0]["waiting"][0]["reason"], "SpecInvalid", "{}", ran.stdout);

    // Its file goes: only a person removes the stack before the grace is over.
    std::fs::remove_file(ws.dir.join("specs/handed.toml")).unwrap();
    let ran = ws.skep(&["apply", "--output", "json"]).ok();
    assert_eq!(steps(&ran), Vec::<String>::new());
    let ran = ws.skep(&["apply", "handed", "--allow-prune", "--output", "json"]).ok();
    let removed = steps(&ran);
    assert!(removed.contains(&"remove handed_web converged".to_owned()), "{removed:?}\n{}", ran.stdout);
    assert!(bed.service("handed_web").is_none() && bed.service("newcomer_web").is_some());

    let ended = controller.stop().expect_status(0);
    assert!(!ws.dir.join("state/api-address").exists(), "{}", ended.stderr);
    // Now it is done here.
    let ran = ws.skep(&["apply"]).ok();
    assert!(!ran.stderr.contains("asking the controller"), "{}", ran.stderr);
}

/// Each command that takes `--server`, and what lets it in.
pub fn commands_ask_the_controller(bed: &Bed) {
    let ws = patient(bed, "asked", "");
    let controller = Controller::start(&ws);
    bed.wait_says("asked_web", 1, "asked 1.0.0");
    let server = format!("http://127.0.0.1:{}", ws.port);
    let ask = |line: &str| {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        words.extend(["--server", &server]);
        ws.skep(&words)
    };
    ask("wait asked --timeout 60s").ok();
    let status = ask("status --output json").ok().json();
    assert_eq!(status["customers"][0]["services"][0]["state"], "InSync", "{status}");
    assert!(ask("events -n 200").ok().stdout.contains("RolloutComplete"));

    push(bed, "asked", "1.1.0");
    ask("suspend asked/web --reason freeze").ok();
    ask("reconcile asked").expect_status(1);
    assert!(image(bed, "asked_web").contains(":1.0.0@"), "held");
    ask("resume asked/web").ok();
    ask("reconcile asked").ok();
    bed.wait_says("asked_web", 1, "asked 1.1.0");
    ask("retry asked/web").ok();
    assert_eq!(steps(&ask("apply --output json").ok()), Vec::<String>::new());
    ask("plan").expect_status(2);

    // A look needs no token; a change needs the right one, and a name that no foreign page has.
    assert_eq!(controller.get("/api/v1/customers/asked").status, 200);
    let token = ws.read("state/api-token");
    let right = format!("Bearer {}", token.trim());
    for (authorization, host, expected) in [
        ("", "localhost", 401),
        ("Bearer wrong", "localhost", 401),
        ("Basic d3Jvbmc=", "localhost", 401),
        (right.as_str(), "evil.example", 421),
        (right.as_str(), "localhost", 202),
    ] {
        let headers = [("Authorization", authorization), ("Host", host)];
        let answer = ws.http("POST", "/api/v1/reconcile", &headers, b"").unwrap();
        assert_eq!(answer.status, expected, "{authorization:.12} {host}: {}", answer.text());
    }
    ws.write("wrong-token", "wrong\n");
    let config = ws.read("skep.toml");
    let path = ws.dir.join("wrong-token");
    ws.write(
        "wrong.toml",
        &config.replace("[http]", &format!("[http]\ntoken_file = \"{}\"", path.display())),
    );
    let mut command = ws.skep_command(&["reconcile", "--server", &server]);
    command.env("SKEP_CONFIG", ws.dir.join("wrong.toml"));
    let ran = ws.spawn(&mut command).wait(SOON).expect_status(2);
    assert!(ran.stderr.contains("bearer token") && !ran.stderr.contains(token.trim()), "{}", ran.stderr);
    controller.stop().expect_status(0);
}

struct Stream(BufReader<UnixStream>);

impl Stream {
    fn open(ws: &Workspace<'_>, headers: &str) -> Self {
        let mut socket = UnixStream::connect(ws.dir.join("skep.sock")).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        let head = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n";
        socket.write_all(format!("{head}{headers}\r\n").as_bytes()).unwrap();
        Stream(BufReader::new(socket))
    }

    /// Lines up to the first that contains `text`.
    fn until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "ended without {text:?}: {lines:?}");
            lines.push(line.trim_end().to_owned());
            if line.contains(text) {
                return lines;
            }
        }
    }
}

/// Streams of events over a unix socket: cut and resumed, slow, and too many of them.
pub fn streams_of_events(bed: &Bed) {
    let ws = patient(bed, "streamed", "");
    let socket = ws.dir.join("skep.sock");
    let listen = format!("unix://{}", socket.display());
    let run = ws.skep_spawn(&["run", "--listen", &listen]);
    let get = |path: &str| over_socket(&socket, Request { method: "GET", path, headers: &[], body: b"" });
    wait_until(SOON, "skep run is ready", || {
        let answer = get("/readyz").map_err(|e| e.to_string())?;
        check(answer.status == 200, || format!("{}\n{}", answer.text(), run.stderr()))
    });
    bed.wait_says("streamed_web", 1, "streamed 1.0.0");
    wait_until(SOON, "the rollout is told", || {
        check(!told(&ws, "streamed", "RolloutComplete").is_empty(), || summary(&ws))
    });

    // The client of `events -f`: all that was, then what comes; the socket is found by the state directory.
    let mut follow = ws.skep_spawn(&["events", "-f", "--output", "json", "--server", &listen]);
    follow.wait_for("RolloutComplete", SOON);
    let last = events(&ws).last().unwrap()["seq"].as_u64().unwrap();

    // Whoever does not read holds up nobody: not the loop, and not the others.
    let idle: Vec<Stream> = (0..8).map(|_| Stream::open(&ws, "Last-Event-ID: 0\r\n")).collect();
    let mut first = Stream::open(&ws, "");
    first.until("200 OK");
    ws.skep(&["suspend", "streamed", "--reason", "one"]).ok();
    follow.wait_for("Suspended", SOON);
    first.until("Suspended");
    drop(first);
    // What came while nobody listened is not lost to whoever says what was last seen.
    ws.skep(&["resume", "streamed"]).ok();
    follow.wait_for("Resumed", SOON);
    let mut again = Stream::open(&ws, &format!("Last-Event-ID: {last}\r\n"));
    let lines = again.until("Resumed");
    let ids: Vec<u64> = lines.iter().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    let expected: Vec<u64> = (last + 1..).take(ids.len()).collect();
    assert_eq!(ids, expected, "{lines:?}");

    let mut more: Vec<Stream> = (0..16).map(|_| Stream::open(&ws, "")).collect();
    // All stay until all are answered: whose stream ends makes room for another.
    let heads: Vec<String> = more.iter_mut().map(|stream| stream.until("HTTP/1.1").remove(0)).collect();
    let refused = heads.iter().filter(|head| head.contains(" 503 ")).count();
    assert!(refused >= 10, "16 may listen, 10 do already: {heads:?}");
    assert_eq!(get("/api/v1/customers").unwrap().status, 200);
    drop((idle, again, more));

    // The controller goes and comes back: what it writes then comes too, and nothing twice.
    run.sigterm();
    run.wait(SOON).expect_status(0);
    let run = ws.skep_spawn(&["run", "--listen", &listen]);
    wait_until(SOON, "both starts are told", || {
        let text = follow.stdout();
        check(text.matches("ControllerStarted").count() == 2, || text + &follow.stderr())
    });
    // The last line may be on its way yet.
    let text = follow.stdout();
    let seqs: Vec<u64> = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "each once, in order");
    run.sigterm();
    run.wait(SOON).expect_status(0);
}

fn seq(line: &str) -> u64 {
    let event: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    event["seq"].as_u64().unwrap()
}

/// Every metric of the contract, with its labels, as a live run has it.
const METRICS: &[(&str, &[&str])] = &[
    ("skep_service_highest", &["customer", "service"]),
    ("skep_service_unknown", &["customer", "service"]),
    ("skep_service_info", &["customer", "service", "version", "digest"]),
    ("skep_last_success_timestamp_seconds", &["customer"]),
    ("skep_reconcile_duration_seconds_count", &[]),
    ("skep_queue_depth", &[]),
    ("skep_registry_requests_total", &["registry", "code"]),
    ("skep_swarm_requests_total", &["op", "code"]),
    ("skep_events_total", &["type", "reason"]),
];

/// A registry that is away: who depends on it is unknown, and that is said everywhere; nobody else is.
pub fn a_registry_that_is_away_is_told(bed: &Bed) {
    let ws = bed.workspace();
    let away = "192.168.77.2:5999";
    ws.write("skep.toml", &format!("{}[registries.\"{away}\"]\nplain_http = true\n", ws.default_config()));
    push(bed, "lit", "1.0.0");
    spec(&ws, "lit", "");
    let controller = Controller::start(&ws);
    bed.wait_says("lit_web", 1, "lit 1.0.0");
    ws.spec("dark.toml", &format!("[services.web]\nimage = \"{away}/dark/web\"\n"));
    let dark = "customer=\"dark\",service=\"web\"";
    wait_until(SOON, "nobody can tell of the one", || {
        let unknown = controller.metric("skep_service_unknown", dark);
        let requests =
            controller.metric("skep_registry_requests_total", &format!("registry=\"{away}\",code=\"error\""));
        check(unknown == Some(1.0) && requests.is_some_and(|count| count >= 1.0), || {
            controller.get("/metrics").text()
        })
    });
    assert_eq!(controller.metric("skep_service_highest", dark), None, "never a guess");
    wait_until(SOON, "the other is known", || {
        let highest = controller.metric("skep_service_highest", "customer=\"lit\",service=\"web\"");
        check(highest == Some(1.0), || controller.get("/metrics").text())
    });
    let readiness = wait_until(SOON, "it is not ready", || {
        let answer = controller.get("/readyz");
        check(answer.status == 503, || answer.text()).map(|()| answer.json())
    });
    assert_eq!(readiness["reasons"][0]["part"], "registries", "{readiness}");
    assert!(readiness["reasons"][0]["message"].as_str().unwrap().contains(away), "{readiness}");
    assert_eq!(controller.get("/healthz").status, 200, "it lives");
    wait_until(SOON, "the page shows both", || {
        let page = controller.get("/").text();
        let both = page.contains("class=\"Unknown\"") && page.contains("class=\"InSync\"");
        check(both && page.contains(away), || page)
    });
    let status = controller.get("/api/v1/customers/dark").json();
    assert_eq!(status["customers"][0]["services"][0]["state"], "Unknown", "{status}");

    let text = controller.get("/metrics").text();
    for (name, labels) in METRICS {
        let series = text
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let series = series.unwrap_or_else(|| panic!("{name} is not told:\n{text}"));
        let told: Vec<&str> =
            series.split(['{', ',']).skip(1).filter_map(|part| part.split('=').next()).collect();
        assert_eq!(&told, labels, "{series}");
    }

    std::fs::remove_file(ws.dir.join("specs/dark.toml")).unwrap();
    wait_until(SOON, "it is ready again", || {
        let answer = controller.get("/readyz");
        check(answer.status == 200 && answer.json() == json!({"ready": true, "reasons": []}), || {
            answer.text()
        })
    });
    wait_until(Duration::from_secs(20), "its series are gone", || {
        check(controller.metric("skep_service_unknown", dark).is_none(), || controller.get("/metrics").text())
    });
    controller.stop().expect_status(0);
}
