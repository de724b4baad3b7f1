use super::super::*;
use super::{ASCII, text};

pub(super) fn audited(
    name: &str,
    image: &str,
    highest: Option<&str>,
    verdict: Verdict,
    message: &str,
) -> AuditService {
    AuditService {
        name: name.into(),
        customer: name.split_once('_').map(|(customer, _)| customer.into()),
        image: image.into(),
        highest: highest.map(Into::into),
        verdict,
        message: message.into(),
        newest: None,
        file: None,
    }
}

pub(super) fn audit() -> AuditReport {
    let digest = "a".repeat(64);
    AuditReport {
        services: vec![
            audited(
                "acme_frontend",
                &format!("r.example.com/frontend:1.10.0@sha256:{digest}"),
                Some("1.10.0"),
                Verdict::Highest,
                "",
            ),
            audited("proxy", "nginx:latest", Some("1.27.0"), Verdict::Floating, "latest is no version\r\n"),
            audited(
                "acme_db",
                "postgres:16.3.0",
                None,
                Verdict::Unknown,
                "registry docker.io: 429 Too Many Requests",
            ),
        ],
    }
}

#[test]
fn an_audit_is_a_table() {
    let audit = audit();
    insta::assert_snapshot!(text(|out| audit.render(out, &Style::PLAIN)), @r"
    SERVICE        IMAGE                                              HIGHEST  VERDICT   MESSAGE
    acme_frontend  r.example.com/frontend:1.10.0@sha256:aaaaaaaaaaaa  1.10.0   highest
    proxy          nginx:latest                                       1.27.0   floating  latest is no version\r\n
    acme_db        postgres:16.3.0                                    -        unknown   registry docker.io: 429 Too Many Requests

    3 services: 1 highest, 1 floating, 1 unknown.
    ");
    assert_eq!(text(|out| AuditReport::default().render(out, &ASCII)), "0 services.\n");
}

#[test]
fn the_audits_json_is_the_contracts() {
    let mut audit = audit();
    audit.services.drain(..1);
    audit.services.truncate(1);
    insta::assert_json_snapshot!(audit, @r#"
    {
      "services": [
        {
          "name": "proxy",
          "customer": null,
          "image": "nginx:latest",
          "highest": "1.27.0",
          "verdict": "floating",
          "message": "latest is no version\r\n"
        }
      ]
    }
    "#);
}

#[test]
fn an_audits_exit_status_is_the_worst() {
    use Verdict::{Behind, Floating, Highest, Moved, Pinned, Unknown, Unpinned};
    for (verdicts, expected) in [
        (&[][..], 0),
        (&[Highest, Pinned], 0),
        (&[Behind, Highest], 1),
        (&[Moved], 1),
        (&[Floating], 1),
        (&[Unpinned], 1),
        (&[Unknown, Behind], 2),
    ] {
        let services = verdicts.iter().map(|verdict| audited("a", "b", None, *verdict, "")).collect();
        assert_eq!(AuditReport { services }.exit_status(), expected, "{verdicts:?}");
    }
}
