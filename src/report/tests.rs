use std::io::Write;

use serde_json::json;

use super::*;

const ASCII: Style = Style { color: false, unicode: false };

fn text(render: impl Fn(&mut dyn Write) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    render(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn image(version: &str, fill: char) -> ImageReport {
    let digest = format!("sha256:{}", fill.to_string().repeat(64));
    ImageReport { tag: Some(version.into()), version: Some(version.into()), digest: Some(digest) }
}

fn step(action: Action, service: &str, from: Option<ImageReport>, to: Option<ImageReport>) -> PlanStep {
    PlanStep {
        action,
        kind: ObjectKind::Service,
        name: format!("acme_{service}"),
        service: Some(service.into()),
        from,
        to,
        changes: Vec::new(),
        reason: String::new(),
        adopt: false,
        outcome: None,
    }
}

fn waiting(service: Option<&str>, reason: &str, message: &str) -> PlanWaiting {
    PlanWaiting { service: service.map(Into::into), reason: reason.into(), message: message.into() }
}

fn plan() -> PlanReport {
    let mut update = step(Action::Update, "frontend", Some(image("1.2.3", 'a')), Some(image("1.10.0", 'b')));
    update.reason = "the highest version that ^1.4 allows".into();
    update.changes = vec![
        Change { field: "deploy.replicas".into(), from: json!(1), to: json!(2) },
        Change {
            field: "environment.API_URL".into(),
            from: json!(null),
            to: json!("https://acme\u{1b}[31m"),
        },
        Change { field: "healthcheck".into(), from: json!({"retries": 3}), to: json!(null) },
    ];
    let mut adopt = step(Action::Update, "cache", Some(image("7.2.0", 'c')), Some(image("7.2.0", 'c')));
    adopt.adopt = true;
    let network = PlanStep {
        kind: ObjectKind::Network,
        name: "acme_default".into(),
        service: None,
        ..step(Action::Create, "x", None, None)
    };
    PlanReport {
        customers: vec![
            PlanCustomer {
                customer: "acme".into(),
                steps: vec![
                    network,
                    step(Action::Create, "db", None, Some(image("16.3.0", 'd'))),
                    update,
                    adopt,
                    step(Action::Repull, "worker", Some(image("2.0.0", 'e')), Some(image("2.0.0", 'f'))),
                    step(Action::Remove, "old", Some(image("0.1.0", 'a')), None),
                ],
                waiting: vec![
                    waiting(Some("mail"), "Suspended", "moving house until 2026-12-01T08:00:00Z"),
                    waiting(
                        Some("queue"),
                        "NotOwned",
                        "acme_queue exists and is not skep's; write adopt = true",
                    ),
                ],
            },
            PlanCustomer { customer: "globex".into(), ..PlanCustomer::default() },
            PlanCustomer {
                customer: "initech".into(),
                steps: vec![],
                waiting: vec![waiting(None, "SpecInvalid", "initech.toml:3:1: unknown key `imge`")],
            },
        ],
    }
}

#[test]
fn a_plan_reads_from_top_to_bottom() {
    let plan = plan();
    insta::assert_snapshot!(text(|out| plan.render(out, &Style::PLAIN)), @r#"
    acme
      + create network acme_default
      + create service acme_db
          image: 16.3.0 (sha256:dddddddddddd)
      ~ update service acme_frontend  # the highest version that ^1.4 allows
          image: 1.2.3 → 1.10.0 (sha256:bbbbbbbbbbbb)
          deploy.replicas: 1 → 2
          environment.API_URL: "https://acme\u001b[31m"
          healthcheck: {"retries":3} → (none)
      ~ adopt service acme_cache
          image: 7.2.0 (sha256:cccccccccccc)
      ↻ repull service acme_worker
          image: 2.0.0 (sha256:eeeeeeeeeeee → sha256:ffffffffffff)
      - remove service acme_old
      ⏸ mail Suspended: moving house until 2026-12-01T08:00:00Z
      ! queue NotOwned: acme_queue exists and is not skep's; write adopt = true

    initech
      ! SpecInvalid: initech.toml:3:1: unknown key `imge`

    Plan: 2 to create, 2 to update, 1 to repull, 1 to remove; 3 waiting.
    "#);
    insta::assert_snapshot!(text(|out| plan.render(out, &ASCII)), @r#"
    acme
      + create network acme_default
      + create service acme_db
          image: 16.3.0 (sha256:dddddddddddd)
      ~ update service acme_frontend  # the highest version that ^1.4 allows
          image: 1.2.3 -> 1.10.0 (sha256:bbbbbbbbbbbb)
          deploy.replicas: 1 -> 2
          environment.API_URL: "https://acme\u001b[31m"
          healthcheck: {"retries":3} -> (none)
      ~ adopt service acme_cache
          image: 7.2.0 (sha256:cccccccccccc)
      * repull service acme_worker
          image: 2.0.0 (sha256:eeeeeeeeeeee -> sha256:ffffffffffff)
      - remove service acme_old
      = mail Suspended: moving house until 2026-12-01T08:00:00Z
      ! queue NotOwned: acme_queue exists and is not skep's; write adopt = true

    initech
      ! SpecInvalid: initech.toml:3:1: unknown key `imge`

    Plan: 2 to create, 2 to update, 1 to repull, 1 to remove; 3 waiting.
    "#);
}

#[test]
fn an_applied_plan_tells_what_came_of_each_step() {
    let mut plan = plan();
    plan.customers.truncate(1);
    plan.customers[0].waiting.pop();
    let outcomes = [
        (OutcomeState::Converged, ""),
        (OutcomeState::Sent, ""),
        (OutcomeState::Failed, "task: non-zero exit (1)"),
        (OutcomeState::TimedOut, "1/2 tasks after 10m"),
        (OutcomeState::Skipped, ""),
        (OutcomeState::Converged, "2/2 tasks"),
    ];
    for (step, (state, message)) in plan.customers[0].steps.iter_mut().zip(outcomes) {
        step.changes.clear();
        step.outcome = Some(Outcome { state, message: message.into() });
    }
    insta::assert_snapshot!(text(|out| plan.render(out, &Style::PLAIN)), @r"
    acme
      + create network acme_default
          ✓ converged
      + create service acme_db
          image: 16.3.0 (sha256:dddddddddddd)
          ✓ sent
      ~ update service acme_frontend  # the highest version that ^1.4 allows
          image: 1.2.3 → 1.10.0 (sha256:bbbbbbbbbbbb)
          ✗ failed: task: non-zero exit (1)
      ~ adopt service acme_cache
          image: 7.2.0 (sha256:cccccccccccc)
          ✗ timed out: 1/2 tasks after 10m
      ↻ repull service acme_worker
          image: 2.0.0 (sha256:eeeeeeeeeeee → sha256:ffffffffffff)
          - skipped
      - remove service acme_old
          ✓ converged: 2/2 tasks
      ⏸ mail Suspended: moving house until 2026-12-01T08:00:00Z

    Applied: 2 converged, 1 sent, 1 failed, 1 timed out, 1 skipped, 1 waiting.
    ");
}

#[test]
fn a_plan_without_steps_says_so() {
    let mut plan = PlanReport::default();
    assert_eq!(text(|out| plan.render(out, &ASCII)), "No changes.\n");
    plan.customers.push(PlanCustomer {
        customer: "acme".into(),
        steps: vec![],
        waiting: vec![waiting(Some("db"), "Suspended", "x")],
    });
    assert!(text(|out| plan.render(out, &ASCII)).ends_with("No changes; 1 waiting.\n"));
}

#[test]
fn the_plans_json_is_the_contracts() {
    let mut plan = plan();
    plan.customers.truncate(1);
    plan.customers[0].steps.drain(..2);
    plan.customers[0].steps.drain(1..);
    plan.customers[0].steps[0].changes.truncate(1);
    insta::assert_json_snapshot!(plan, @r#"
    {
      "customers": [
        {
          "customer": "acme",
          "steps": [
            {
              "action": "update",
              "kind": "service",
              "name": "acme_frontend",
              "service": "frontend",
              "from": {
                "tag": "1.2.3",
                "version": "1.2.3",
                "digest": "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
              },
              "to": {
                "tag": "1.10.0",
                "version": "1.10.0",
                "digest": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
              },
              "changes": [
                {
                  "field": "deploy.replicas",
                  "from": 1,
                  "to": 2
                }
              ],
              "reason": "the highest version that ^1.4 allows"
            }
          ],
          "waiting": [
            {
              "service": "mail",
              "reason": "Suspended",
              "message": "moving house until 2026-12-01T08:00:00Z"
            },
            {
              "service": "queue",
              "reason": "NotOwned",
              "message": "acme_queue exists and is not skep's; write adopt = true"
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn a_plans_exit_status() {
    for (steps, reasons, expected) in [
        (0, vec![], 0),
        (1, vec![], 1),
        (0, vec!["NotOwned", "VersionRefused", "Suspended"], 0),
        (1, vec!["Suspended"], 1),
        (0, vec!["RegistryUnavailable"], 2),
        (1, vec!["SpecInvalid"], 2),
    ] {
        let customer = PlanCustomer {
            customer: "acme".into(),
            steps: (0..steps).map(|_| step(Action::Update, "a", None, None)).collect(),
            waiting: reasons.iter().map(|reason| waiting(Some("a"), reason, "")).collect(),
        };
        let plan = PlanReport { customers: vec![customer] };
        assert_eq!(plan.plan_exit_status(), expected, "{steps} steps, {reasons:?}");
    }
}

#[test]
fn an_applys_exit_status() {
    for (states, reasons, expected) in [
        (vec![], vec![], 0),
        (vec![Some(OutcomeState::Converged), Some(OutcomeState::Sent)], vec!["Suspended"], 0),
        (vec![Some(OutcomeState::Converged), Some(OutcomeState::Failed)], vec![], 1),
        (vec![Some(OutcomeState::TimedOut)], vec![], 1),
        (vec![Some(OutcomeState::Skipped)], vec![], 1),
        (vec![None], vec![], 1),
        (vec![Some(OutcomeState::Converged)], vec!["NotOwned"], 1),
        (vec![Some(OutcomeState::Failed)], vec!["RegistryUnavailable"], 2),
    ] {
        let steps = states.iter().map(|state| PlanStep {
            outcome: state.map(|state| Outcome { state, message: String::new() }),
            ..step(Action::Update, "a", None, None)
        });
        let customer = PlanCustomer {
            customer: "acme".into(),
            steps: steps.collect(),
            waiting: reasons.iter().map(|reason| waiting(None, reason, "")).collect(),
        };
        assert_eq!(
            PlanReport { customers: vec![customer] }.apply_exit_status(),
            expected,
            "{states:?} {reasons:?}"
        );
    }
}

fn service(name: &str, state: SyncState, ready: ConditionStatus) -> ServiceStatus {
    let desired = image("1.10.0", 'b');
    let running = RunningImage { tag: desired.tag.clone(), digest: desired.digest.clone(), tasks: 2 };
    ServiceStatus {
        service: name.into(),
        desired: Some(desired),
        running: vec![running],
        tasks: TaskCount { running: 2, desired: Some(2) },
        state,
        conditions: vec![Condition {
            kind: ConditionKind::Ready,
            status: ready,
            reason: "TasksRunning".into(),
            message: "2/2".into(),
        }],
        message: String::new(),
    }
}

fn status() -> StatusReport {
    let mut moved = service("worker", SyncState::Drifted, ConditionStatus::True);
    moved.running[0].digest = Some(format!("sha256:{}", "c".repeat(64)));
    moved.message = "the tag has another digest now".into();
    let mut none = service("db", SyncState::Unknown, ConditionStatus::Unknown);
    none.desired = None;
    none.running.clear();
    none.tasks = TaskCount::default();
    none.message = "registry r.example.com\u{7}: connection refused".into();
    StatusReport {
        customers: vec![
            StatusCustomer {
                customer: "acme".into(),
                revision: Some("0123abcd".into()),
                services: vec![service("frontend", SyncState::InSync, ConditionStatus::True), moved, none],
                conditions: vec![],
            },
            StatusCustomer {
                customer: "initech".into(),
                conditions: vec![Condition {
                    kind: ConditionKind::Stalled,
                    status: ConditionStatus::True,
                    reason: "SpecInvalid".into(),
                    message: "initech.toml:3:1: unknown key `imge`".into(),
                }],
                ..StatusCustomer::default()
            },
        ],
    }
}

#[test]
fn a_status_is_a_table() {
    let status = status();
    insta::assert_snapshot!(text(|out| status.render(out, &Style::PLAIN)), @r"
    CUSTOMER  SERVICE   STATE    DESIRED  RUNNING                     TASKS  READY    MESSAGE
    acme      frontend  InSync   1.10.0   1.10.0                      2/2    yes
    acme      worker    Drifted  1.10.0   1.10.0@sha256:cccccccccccc  2/2    yes      the tag has another digest now
    acme      db        Unknown  -        -                           0/?    unknown  registry r.example.com\u{7}: connection refused

    initech
      ! SpecInvalid: initech.toml:3:1: unknown key `imge`

    3 services: 1 in sync.
    ");
}

#[test]
fn the_status_json_is_the_contracts() {
    let mut status = status();
    status.customers.truncate(1);
    status.customers[0].services.truncate(1);
    insta::assert_json_snapshot!(status, @r#"
    {
      "customers": [
        {
          "customer": "acme",
          "revision": "0123abcd",
          "services": [
            {
              "service": "frontend",
              "desired": {
                "tag": "1.10.0",
                "version": "1.10.0",
                "digest": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
              },
              "running": [
                {
                  "tag": "1.10.0",
                  "digest": "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                  "tasks": 2
                }
              ],
              "tasks": {
                "running": 2,
                "desired": 2
              },
              "state": "InSync",
              "conditions": [
                {
                  "type": "Ready",
                  "status": "True",
                  "reason": "TasksRunning",
                  "message": "2/2"
                }
              ],
              "message": ""
            }
          ]
        }
      ]
    }
    "#);
}

#[test]
fn a_statuss_exit_status() {
    let with = |state| {
        let services = vec![
            service("a", SyncState::InSync, ConditionStatus::True),
            service("b", state, ConditionStatus::True),
        ];
        StatusReport { customers: vec![StatusCustomer { services, ..StatusCustomer::default() }] }
            .exit_status()
    };
    for (state, expected) in [
        (SyncState::InSync, 0),
        (SyncState::Progressing, 1),
        (SyncState::Drifted, 1),
        (SyncState::Stalled, 1),
        (SyncState::Suspended, 1),
        (SyncState::Unknown, 2),
    ] {
        assert_eq!(with(state), expected, "{state:?}");
    }
    let invalid = StatusReport { customers: status().customers.split_off(1) };
    assert_eq!(invalid.exit_status(), 2, "an invalid spec");
}

fn audited(name: &str, image: &str, highest: Option<&str>, verdict: Verdict, message: &str) -> AuditService {
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

fn audit() -> AuditReport {
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

fn explained() -> ExplainReport {
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

fn check(name: &str, status: CheckStatus, message: &str, mend: Option<&str>) -> Check {
    Check { name: name.into(), status, message: message.into(), mend: mend.map(Into::into) }
}

#[test]
fn a_doctor_lists_its_checks_with_mends() {
    let report = DoctorReport {
        checks: vec![
            check("engine", CheckStatus::Ok, "20.10.24, API 1.41", None),
            check("clock", CheckStatus::Warning, "3s behind the registry", Some("run an NTP client")),
            check(
                "registry r.example.com",
                CheckStatus::Problem,
                "401 Unauthorized",
                Some("set password_file"),
            ),
            check("disk", CheckStatus::Unknown, "statvfs: no such device", None),
        ],
    };
    insta::assert_snapshot!(text(|out| report.render(out, &Style::PLAIN)), @r"
    ✓ engine                  20.10.24, API 1.41
    ! clock                   3s behind the registry
                              → run an NTP client
    ✗ registry r.example.com  401 Unauthorized
                              → set password_file
    ? disk                    statvfs: no such device

    4 checks: 1 ok, 1 warning, 1 problem, 1 unknown.
    ");
    insta::assert_snapshot!(text(|out| report.render(out, &ASCII)), @r"
    ok engine                  20.10.24, API 1.41
    !  clock                   3s behind the registry
                               -> run an NTP client
    x  registry r.example.com  401 Unauthorized
                               -> set password_file
    ?  disk                    statvfs: no such device

    4 checks: 1 ok, 1 warning, 1 problem, 1 unknown.
    ");
    insta::assert_json_snapshot!(report.checks[2], @r#"
    {
      "name": "registry r.example.com",
      "status": "problem",
      "message": "401 Unauthorized",
      "mend": "set password_file"
    }
    "#);
    assert_eq!(report.exit_status(), 2);
}

#[test]
fn a_doctors_exit_status() {
    use CheckStatus::{Ok, Problem, Unknown, Warning};
    for (statuses, expected) in [(&[Ok, Warning][..], 0), (&[Ok, Problem], 1), (&[Problem, Unknown], 2)] {
        let checks = statuses.iter().map(|status| check("a", *status, "", None)).collect();
        assert_eq!(DoctorReport { checks }.exit_status(), expected, "{statuses:?}");
    }
}

#[test]
fn colours_wrap_and_never_change_the_text() {
    let color = Style { color: true, unicode: true };
    let strip = |text: String| {
        let mut plain = text;
        for code in ["0", "32", "36", "33", "1;31", "1", "2"] {
            plain = plain.replace(&format!("\u{1b}[{code}m"), "");
        }
        plain
    };
    for (colored, plain) in [
        (text(|out| plan().render(out, &color)), text(|out| plan().render(out, &Style::PLAIN))),
        (text(|out| status().render(out, &color)), text(|out| status().render(out, &Style::PLAIN))),
        (text(|out| audit().render(out, &color)), text(|out| audit().render(out, &Style::PLAIN))),
        (text(|out| explained().render(out, &color)), text(|out| explained().render(out, &Style::PLAIN))),
    ] {
        assert_ne!(colored, plain);
        assert_eq!(strip(colored), plain);
    }
}

proptest::proptest! {
    #[test]
    fn foreign_text_never_reaches_the_terminal_raw(foreign in "(?s).{0,60}") {
        let mut plan = plan();
        for customer in &mut plan.customers {
            customer.customer.clone_from(&foreign);
            for step in &mut customer.steps {
                step.name.clone_from(&foreign);
                step.reason.clone_from(&foreign);
                step.to = Some(ImageReport { tag: Some(foreign.clone()), version: None, digest: Some(foreign.clone()) });
                step.outcome = Some(Outcome { state: OutcomeState::Failed, message: foreign.clone() });
            }
            for waiting in &mut customer.waiting {
                waiting.reason.clone_from(&foreign);
                waiting.message.clone_from(&foreign);
            }
        }
        let audit = AuditReport { services: vec![audited(&foreign, &foreign, Some(&foreign), Verdict::Behind, &foreign)] };
        let tag = RejectedTag { tag: foreign.clone(), reason: foreign.clone(), message: foreign.clone() };
        let explained = ExplainReport { rejected: vec![tag], candidates: vec![foreign.clone()], chosen: None, message: Some(foreign.clone()), ..explained() };
        let mut status = status();
        status.customers[0].services[0].message.clone_from(&foreign);
        status.customers[0].services[0].running[0].tag = Some(foreign.clone());
        let shown = text(|out| {
            plan.render(out, &Style::PLAIN)?;
            audit.render(out, &Style::PLAIN)?;
            explained.render(out, &Style::PLAIN)?;
            status.render(out, &Style::PLAIN)
        });
        proptest::prop_assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    }
}
