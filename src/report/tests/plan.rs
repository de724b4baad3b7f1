use serde_json::json;

use super::super::*;
use super::{ASCII, image, text};

pub(super) fn step(
    action: Action,
    service: &str,
    from: Option<ImageReport>,
    to: Option<ImageReport>,
) -> PlanStep {
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

pub(super) fn waiting(service: Option<&str>, reason: &str, message: &str) -> PlanWaiting {
    PlanWaiting { service: service.map(Into::into), reason: reason.into(), message: message.into() }
}

pub(super) fn plan() -> PlanReport {
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
fn what_a_person_must_let_go_is_pending() {
    let mut plan = plan();
    for customer in &mut plan.customers {
        customer.steps.clear();
        customer.waiting =
            vec![waiting(Some("old"), "PruneHeld", "too many"), waiting(Some("db"), "Suspended", "audit")];
    }
    plan.customers.truncate(1);
    let shown = text(|out| plan.render(out, &ASCII));
    assert!(shown.ends_with("Plan: 1 to remove once allowed; 1 waiting.\n"), "{shown}");
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
        (0, vec!["PruneDisabled", "SpecRemoved"], 0),
        (0, vec!["PruneHeld"], 1),
        (0, vec!["PruneHeld", "RegistryUnavailable"], 2),
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
        (vec![], vec!["PruneHeld"], 1),
        (vec![], vec!["PruneDisabled", "SpecRemoved"], 0),
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
