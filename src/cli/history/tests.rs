use super::*;
use crate::events::{EventImage, Kind, Log, NewEvent, Options, Phase, Reason, Trigger};
use crate::report::Style;

fn image(version: &str, digest: &str) -> Option<EventImage> {
    Some(EventImage {
        tag: Some(version.into()),
        version: Some(version.into()),
        digest: Some(format!("sha256:{}", digest.repeat(64))),
    })
}

fn log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options::default()).unwrap();
    let event = |id: &str, reason, phase, message: &str| NewEvent {
        id: Some(id.into()),
        phase,
        customer: Some("acme".into()),
        service: Some("frontend".into()),
        ..NewEvent::new(Kind::Normal, reason, Trigger::Registry, message)
    };
    let update = |id: &str, phase| NewEvent {
        from: image("1.2.3", "a"),
        to: image("1.10.0", "b"),
        revision: Some("0123456789abcdef0123456789abcdef01234567".into()),
        ..event(id, Reason::ImageUpdated, Some(phase), "frontend 1.2.3 -> 1.10.0")
    };
    let repull = NewEvent {
        from: image("1.10.0", "b"),
        to: image("1.10.0", "c"),
        ..event("r", Reason::ImageRepulled, Some(Phase::Intent), "frontend 1.10.0 has new content")
    };
    let events = [
        event("x", Reason::NotOwned, None, "no change"),
        update("a", Phase::Intent),
        update("a", Phase::Done),
        event("a", Reason::RolloutComplete, None, "all 2 tasks run it"),
        repull,
        event("r", Reason::RolloutFailed, None, "task: \u{1b}[31mexit 1"),
    ];
    for (event, second) in events.into_iter().zip(0..) {
        log.append(event, jiff::Timestamp::from_second(1_795_000_000 + second).unwrap()).unwrap();
    }
    dir
}

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

#[test]
fn text_has_a_row_for_each_change() {
    let dir = log();
    let mut out = Vec::new();
    report(dir.path(), &name("acme/frontend")).unwrap().render(&mut out, &Style::PLAIN).unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "\
TIME                  FROM                          TO                            TRIGGER   REVISION    OUTCOME   MESSAGE
2026-11-18T11:06:41Z  1.2.3                         1.10.0                        registry  0123456789  Complete  frontend 1.2.3 -> 1.10.0
2026-11-18T11:06:44Z  1.10.0 (sha256:bbbbbbbbbbbb)  1.10.0 (sha256:cccccccccccc)  registry  -           Failed    task: �[31mexit 1
"
    );
}

#[test]
fn json_has_the_promised_shape() {
    let dir = log();
    let json = serde_json::to_value(report(dir.path(), &name("acme/frontend")).unwrap()).unwrap();
    assert_eq!(json["customer"], "acme");
    assert_eq!(json["service"], "frontend");
    let keys: Vec<&str> = json["history"][0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["time", "from", "to", "trigger", "revision", "outcome", "message"]);
    assert_eq!(json["history"][0]["outcome"], "Complete");
    assert_eq!(json["history"][0]["to"]["version"], "1.10.0");
    assert_eq!(json["history"][1]["outcome"], "Failed");
}

#[test]
fn unknown_service_is_an_error_that_names_the_nearest() {
    let dir = log();
    let error = |text: &str| report(dir.path(), &name(text)).unwrap_err().to_string();
    assert!(error("acme/frontent").contains("knows no acme/frontent; did you mean acme/frontend?"));
    assert!(error("zzz/q").ends_with("knows no zzz/q"));
}
