use serde_json::json;

use super::super::*;
use super::{ASCII, image, text};

pub(super) fn explained() -> ExplainReport {
    ExplainReport {
        customer: "acme".into(),
        service: "frontend".into(),
        repository: "r.example.com/lighttag/frontend".into(),
        chosen: Some(ImageReport { tag: Some("v1.10.0".into()), ..image("1.10.0", 'b') }),
        candidates: vec!["1.10.0".into(), "1.4.2".into()],
        rejected: vec![
            RejectedTag { tag: "latest".into(), reason: "NotSemver".into(), message: String::new() },
            RejectedTag {
                tag: "2.0.0\u{1b}]0;x\u{7}".into(),
                reason: "NotMatching".into(),
                message: "does not match ^1.4".into(),
            },
        ],
        require: Some("^1.4".into()),
        newest: Some("2.0.0".into()),
        warnings: vec!["rc10 is compared as text".into()],
        message: None,
    }
}

#[test]
fn an_explanation_tells_the_choice_and_every_rejected_tag() {
    let explained = explained();
    insta::assert_snapshot!(text(|out| explained.render(out, &Style::PLAIN)), @r"
    acme/frontend
      repository  r.example.com/lighttag/frontend
      version     ^1.4
      chosen      1.10.0 (tag v1.10.0, sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb)
      newest      2.0.0
      candidates  1.10.0, 1.4.2
      warning: rc10 is compared as text

    2 tags rejected:
    TAG                   REASON       MESSAGE
    latest                NotSemver
    2.0.0\u{1b}]0;x\u{7}  NotMatching  does not match ^1.4
    ");
    assert_eq!(explained.exit_status(), 0);
}

#[test]
fn an_explanation_without_a_choice_says_why_and_is_bounded() {
    let rejected = (0..1000).map(|n| RejectedTag {
        tag: format!("build-{n}"),
        reason: "NotSemver".into(),
        message: String::new(),
    });
    let explained = ExplainReport {
        chosen: None,
        candidates: (0..50).map(|n| format!("1.0.{n}")).collect(),
        rejected: rejected.collect(),
        message: Some("all were refused".into()),
        ..explained()
    };
    let shown = text(|out| explained.render(out, &ASCII));
    assert!(shown.contains("  chosen      nothing (all were refused)\n"), "{shown}");
    assert!(shown.contains(" 1.0.19 and 30 more (--output json shows all)\n"), "{shown}");
    assert!(shown.ends_with("\nand 800 more (--output json shows all)\n"), "{shown}");
    assert_eq!(explained.exit_status(), 1);
}

#[test]
fn the_explanations_json_is_the_contracts() {
    insta::assert_json_snapshot!(ExplainReport { require: None, newest: None, warnings: vec![], ..explained() }, @r#"
    {
      "customer": "acme",
      "service": "frontend",
      "repository": "r.example.com/lighttag/frontend",
      "chosen": {
        "tag": "v1.10.0",
        "version": "1.10.0",
        "digest": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
      },
      "candidates": [
        "1.10.0",
        "1.4.2"
      ],
      "rejected": [
        {
          "tag": "latest",
          "reason": "NotSemver"
        },
        {
          "tag": "2.0.0\u001b]0;x\u0007",
          "reason": "NotMatching",
          "message": "does not match ^1.4"
        }
      ]
    }
    "#);
    let nothing = serde_json::to_value(ExplainReport::default()).unwrap();
    assert_eq!(nothing["chosen"], json!(null));
}
