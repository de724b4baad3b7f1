use clap::Parser;

use super::*;
use crate::cli::{Cli, Command};
use crate::events::{Log, NewEvent, Options, Phase, Trigger};

fn args(line: &str) -> Args {
    let cli = Cli::try_parse_from(line.split(' ')).unwrap_or_else(|e| panic!("{line}: {e}"));
    let Command::Events(args) = cli.command else { panic!("{line}") };
    args
}

fn now() -> jiff::Timestamp {
    "2026-11-23T00:32:24.367Z".parse().unwrap()
}

fn log() -> tempfile::TempDir {
    let state = tempfile::tempdir().unwrap();
    let log = Log::open(&state.path().join("events"), Options::default()).unwrap();
    let of = |customer: &str, service: Option<&str>, event: NewEvent| NewEvent {
        customer: Some(customer.into()),
        service: service.map(str::to_owned),
        ..event
    };
    let new = |kind, reason, message: &str| NewEvent::new(kind, reason, Trigger::Registry, message);
    let events = [
        new(Kind::Normal, Reason::ControllerStarted, "skep 0.1.0"),
        of(
            "acme",
            Some("frontend"),
            NewEvent {
                phase: Some(Phase::Intent),
                ..new(Kind::Normal, Reason::ImageUpdated, "frontend 1.2.3 -> 1.10.0")
            },
        ),
        of(
            "a-customer-with-a-name",
            Some("a_long_service"),
            NewEvent {
                count: Some(7),
                first_time: Some(now()),
                ..new(Kind::Warning, Reason::RegistryUnavailable, "ended")
            },
        ),
        of("acme", None, new(Kind::Warning, Reason::SpecInvalid, "acme.toml:3: no")),
    ];
    for (event, second) in events.into_iter().zip(1..) {
        log.append(event, now() + jiff::SignedDuration::from_secs(second)).unwrap();
    }
    state
}

fn shown(state: &Path, line: &str, json: bool, style: Style) -> String {
    let mut out = Vec::new();
    let dir = log_dir(state).unwrap();
    show(&dir, &args(line).filter(now()), &mut Printer::new(json, style), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn text_is_aligned() {
    let state = log();
    assert_eq!(
        shown(state.path(), "skep events", false, Style::PLAIN),
        "\
TIME                  TYPE     REASON               SERVICE           MESSAGE
2026-11-23T00:32:25Z  Normal   ControllerStarted    -                 skep 0.1.0
2026-11-23T00:32:26Z  Normal   ImageUpdated         acme/frontend     frontend 1.2.3 -> 1.10.0 (begun)
2026-11-23T00:32:27Z  Warning  RegistryUnavailable  a-customer-with-a-name/a_long_service  ended (x7 since 2026-11-23T00:32:24Z)
2026-11-23T00:32:28Z  Warning  SpecInvalid          acme                                   acme.toml:3: no
"
    );
    let color = Style { color: true, ..Style::PLAIN };
    let text = shown(state.path(), "skep events -n 1", false, color);
    assert!(text.contains("\u{1b}[33m2026-11-23T00:32:28Z"), "{text}");
    assert_eq!(shown(state.path(), "skep events --customer nobody", false, Style::PLAIN), "");
}

#[test]
fn json_is_the_lines_as_they_are() {
    let state = log();
    let disk = std::fs::read_to_string(state.path().join("events/events.jsonl")).unwrap();
    assert_eq!(shown(state.path(), "skep events", true, Style::PLAIN), disk);
}

#[test]
fn options_filter() {
    let state = log();
    let check = |line: &str, expect: &[u64]| {
        let text = shown(state.path(), line, true, Style::PLAIN);
        let seqs: Vec<u64> = text.lines().map(|l| serde_json::from_str::<Event>(l).unwrap().seq).collect();
        assert_eq!(seqs, expect, "{line}");
    };
    check("skep events --customer acme", &[2, 4]);
    check("skep events --customer acme --service frontend", &[2]);
    check("skep events --type warning", &[3, 4]);
    check("skep events --type Normal -n 1", &[2]);
    check("skep events --reason SpecInvalid,imageupdated", &[2, 4]);
    check("skep events --reason SpecInvalid --reason ImageUpdated", &[2, 4]);
    check("skep events --since 2026-11-23T00:32:27Z", &[3, 4]);
    check("skep events --since 2026-11-24", &[]);
    check("skep events --since 5m -n 2", &[3, 4]);
    check("skep events --lines 0", &[]);
}

#[test]
fn since_is_a_duration_or_a_time() {
    let check = |text: &str, expect: &str| {
        let since: Since = text.parse().unwrap();
        assert_eq!(since.resolve(now()).to_string(), expect, "{text}");
    };
    check("10m", "2026-11-23T00:22:24.367Z");
    check("1h 30m", "2026-11-22T23:02:24.367Z");
    check("2026-11-01T00:00:00+01:00", "2026-10-31T23:00:00Z");
    check("2026-11-01", "2026-11-01T00:00:00Z");
    check("9999999y", "-009999-01-02T01:59:59Z");
    for bad in ["", "10", "yesterday", "2026-13-01"] {
        assert!(bad.parse::<Since>().unwrap_err().contains("write a duration such as 10m"), "{bad}");
    }
}

#[test]
fn usage_errors_name_the_nearest() {
    for (line, part) in [
        ("skep events --type warn", "possible values: Normal, Warning"),
        ("skep events --reason RolloutFail", "RolloutFailed"),
        ("skep events --since soon", "write a duration"),
        ("skep events -n -1", "unexpected argument"),
    ] {
        let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line}");
        assert!(error.to_string().contains(part), "{line}: {error}");
    }
}

#[test]
fn help_tells_every_reason() {
    let help = long_help();
    for reason in Reason::ALL {
        assert!(help.contains(reason.as_str()) && help.contains(reason.doc()), "{reason:?}");
        assert!(!reason.doc().starts_with(' '));
    }
}

#[test]
fn no_log_is_an_error_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let missing = log_dir(&dir.path().join("nowhere")).unwrap_err().to_string();
    assert!(missing.contains("nowhere") && missing.contains("--state-dir"), "{missing}");
    let empty = log_dir(dir.path()).unwrap_err().to_string();
    assert!(empty.contains("no event log at") && empty.contains("--state-dir"), "{empty}");
}

#[tokio::test]
async fn follow_ends_when_the_output_is_closed() {
    struct Closed(Vec<u8>);
    impl Write for Closed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.extend_from_slice(bytes);
            if self.0.ends_with(b"no\n") { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let state = log();
    let mut out = Closed(Vec::new());
    let mut printer = Printer::new(false, Style::PLAIN);
    let dir = log_dir(state.path()).unwrap();
    follow(&dir, Filter::default(), &mut printer, &mut out).await.unwrap_err();
    assert_eq!(String::from_utf8(out.0).unwrap().lines().count(), 5);
}

#[test]
fn lines_of_another_skep_are_shown_as_they_are() {
    let state = log();
    let file = state.path().join("events/events.jsonl");
    let foreign = r#"{"id":"x","seq":5,"time":"2026-11-23T01:00:00Z","type":"Warning","reason":"Teleported","customer":"acme","service":"web","message":"gone","new":[1]}"#;
    let mut text = std::fs::read_to_string(&file).unwrap();
    text += &format!("{foreign}\n{{\"seq\":6}}\n");
    std::fs::write(&file, text).unwrap();
    let json = shown(
        state.path(),
        "skep events --customer acme --type Warning --service web",
        true,
        Style::default(),
    );
    assert_eq!(json, format!("{foreign}\n"));
    let text = shown(state.path(), "skep events -n 1", false, Style::default());
    assert!(text.contains("Teleported") && text.contains("gone"), "{text}");
    let none = shown(state.path(), "skep events --reason TagMoved", true, Style::default());
    assert_eq!(none, "");
}
