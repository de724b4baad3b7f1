use std::sync::{Arc, Mutex};

use super::*;
use crate::events::Head;

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is told, in one form.
fn told(form: Form, style: Style, tell: impl Fn(&mut Narrator) -> io::Result<()>) -> String {
    let page = Page::default();
    let mut narrator = Narrator::new(Box::new(page.clone()), form, style);
    tell(&mut narrator).unwrap();
    let bytes = page.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

fn line(seq: u64, reason: &str, kind: &str, message: &str, phase: Option<&str>) -> Line {
    let mut event = serde_json::json!({
        "id": format!("e{seq}"), "seq": seq, "time": "2026-11-23T07:37:22.123Z", "type": kind,
        "reason": reason, "customer": "acme", "service": "frontend", "message": message,
        "trigger": "registry", "revision": null,
    });
    if let Some(phase) = phase {
        event["phase"] = phase.into();
    }
    let head = Head {
        seq,
        time: Some("2026-11-23T07:37:22.123Z".parse().unwrap()),
        kind: kind.into(),
        reason: reason.into(),
        customer: Some("acme".into()),
        service: Some("frontend".into()),
        message: message.into(),
    };
    Line { raw: event.to_string(), head, event: Some(serde_json::from_value(event).unwrap()) }
}

fn container(service: &str, slot: u64, host: &str, says: &str) -> Container {
    Container {
        service: service.into(),
        slot,
        host: host.into(),
        says: says.into(),
        digest: "sha256:00".into(),
    }
}

fn story(narrator: &mut Narrator) -> io::Result<()> {
    narrator.act(2, 7, "A new frontend is pushed")?;
    narrator.text("Prose that is long enough to be broken into two lines, for nobody reads longer ones.")?;
    narrator.does("ci", "docker push 127.0.0.1:5000/saas/frontend:1.5.0")?;
    narrator.event(&line(1, "ImageUpdated", "Normal", "frontend 1.4.2 -> 1.5.0", Some("intent")))?;
    narrator.event(&line(2, "ImageUpdated", "Normal", "frontend 1.4.2 -> 1.5.0", Some("done")))?;
    let why = "frontend to 1.6.0-rc.1 failed: task 2: non-zero exit (1)";
    narrator.event(&line(3, "RolloutFailed", "Warning", why, None))?;
    for seq in 4..8 {
        narrator.event(&line(seq, "RegistryUnavailable", "Warning", "no answer", None))?;
    }
    narrator.seen("both customers run 1.5.0")?;
    narrator.containers(
        &[
            container("acme_frontend", 1, "host-1", "frontend 1.2.0"),
            container("acme_frontend", 2, "host-3", "frontend 1.5.0"),
            container("globex_frontend", 1, "host-2", "frontend 1.5.0"),
            container("globex_frontend", 2, "host-2", "frontend 1.5.0"),
        ],
        Some("1.2.0"),
    )?;
    narrator.command(&Printed {
        command: "skep audit".into(),
        exit: 1,
        text: "A TABLE\n\n8 services: 8 highest.\n".into(),
        report: serde_json::json!({"services": []}),
    })?;
    narrator.end(true, Duration::from_millis(1500))
}

#[test]
fn on_a_terminal_it_fits() {
    let text = told(Form::Terminal(80), Style::PLAIN, story);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text, @r"
    ━━━ 2/7  A new frontend is pushed ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━

      Prose that is long enough to be broken into two lines, for nobody reads longer
      ones.

      ci$ docker push 127.0.0.1:5000/saas/frontend:1.5.0
      07:37:22  ImageUpdated     acme/frontend     frontend 1.4.2 -> 1.5.0
    ! 07:37:22  RolloutFailed    acme/frontend     frontend to 1.6.0-rc.1 failed:
                                                   task 2: non-zero exit (1)
    ! 07:37:22  RegistryUnavailable  acme/frontend     no answer
    ! 07:37:22  RegistryUnavailable  acme/frontend     no answer
                … 2 more RegistryUnavailable
      ✓ both customers run 1.5.0

                         host-1            host-2               host-3
      acme_frontend      frontend 1.2.0    -                    frontend 1.5.0
      globex_frontend    -                 frontend 1.5.0 x2    -

      $ skep audit
      A TABLE

      8 services: 8 highest.
      exit status 1
    ");
    let narrow = told(Form::Terminal(60), Style { color: true, unicode: false }, story);
    assert!(narrow.is_ascii(), "{narrow}");
}

#[test]
fn elsewhere_it_is_lines_without_colours_and_events_are_as_in_the_log() {
    insta::assert_snapshot!(told(Form::Plain, Style { color: false, unicode: false }, story), @r"
    === 2/7  A new frontend is pushed ==============================================

      Prose that is long enough to be broken into two lines, for nobody reads longer
      ones.

      ci$ docker push 127.0.0.1:5000/saas/frontend:1.5.0
    TIME                  TYPE     REASON               SERVICE           MESSAGE
    2026-11-23T07:37:22Z  Normal   ImageUpdated         acme/frontend     frontend 1.4.2 -> 1.5.0 (begun)
    2026-11-23T07:37:22Z  Normal   ImageUpdated         acme/frontend     frontend 1.4.2 -> 1.5.0 (done)
    2026-11-23T07:37:22Z  Warning  RolloutFailed        acme/frontend     frontend to 1.6.0-rc.1 failed: task 2: non-zero exit (1)
    2026-11-23T07:37:22Z  Warning  RegistryUnavailable  acme/frontend     no answer
    2026-11-23T07:37:22Z  Warning  RegistryUnavailable  acme/frontend     no answer
    2026-11-23T07:37:22Z  Warning  RegistryUnavailable  acme/frontend     no answer
    2026-11-23T07:37:22Z  Warning  RegistryUnavailable  acme/frontend     no answer
      ok both customers run 1.5.0

                         host-1            host-2               host-3
      acme_frontend      frontend 1.2.0    -                    frontend 1.5.0
      globex_frontend    -                 frontend 1.5.0 x2    -

      $ skep audit
      A TABLE

      8 services: 8 highest.
      exit status 1
    ");
}

#[test]
fn json_is_an_object_a_line_with_all_events() {
    let text = told(Form::Json, Style::PLAIN, story);
    let steps: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&str> = steps.iter().map(|step| step["step"].as_str().unwrap()).collect();
    let mut expected = vec!["act", "text", "does"];
    expected.extend(["event"; 7]);
    expected.extend(["seen", "containers", "command", "end"]);
    assert_eq!(kinds, expected);
    assert_eq!(steps[3]["event"]["phase"], "intent");
    assert_eq!(steps[12]["exit"], 1);
    assert_eq!(steps[13], serde_json::json!({"step": "end", "ok": true, "seconds": 1.5}));
}
