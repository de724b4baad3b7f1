use super::super::*;
use super::{ASCII, text};

pub(super) fn check(name: &str, status: CheckStatus, message: &str, mend: Option<&str>) -> Check {
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
