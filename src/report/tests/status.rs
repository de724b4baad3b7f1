use super::super::*;
use super::{image, text};

pub(super) fn service(name: &str, state: SyncState, ready: ConditionStatus) -> ServiceStatus {
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

pub(super) fn status() -> StatusReport {
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
    for (reason, expected) in [("PruneHeld", 1), ("PruneDisabled", 0), ("SpecRemoved", 0)] {
        let condition = Condition {
            kind: ConditionKind::Stalled,
            status: ConditionStatus::True,
            reason: reason.into(),
            message: String::new(),
        };
        let customer = StatusCustomer { conditions: vec![condition], ..StatusCustomer::default() };
        assert_eq!(StatusReport { customers: vec![customer] }.exit_status(), expected, "{reason}");
    }
    let invalid = StatusReport { customers: status().customers.split_off(1) };
    assert_eq!(invalid.exit_status(), 2, "an invalid spec");
}
