//! Differences from the run without faults that are understood and stay, each with its reason.

use crate::plan::Plan;
use crate::run::Record;
use crate::scenarios::Scenario;

struct Exception {
    /// Of these scenarios.
    scenarios: &'static [&'static str],
    /// Under plans whose text contains one of these.
    faults: &'static [&'static str],
    /// Every problem of the run begins with one of these.
    problems: &'static [&'static str],
    #[expect(dead_code, reason = "for the reader")]
    reason: &'static str,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        scenarios: &[
            "fails_swarm_rolls_back",
            "fails_then_new_content",
            "fails_then_new_spec",
            "fails_beside_a_good_one",
        ],
        faults: &[":hang-after", "random:"],
        problems: &["I8: acme_web was changed"],
        reason: "the answer to an update is lost for 30 s, in which Swarm rolls back by itself: \
                 the Swarm then looks as if the update had never been, and so the log tells it",
    },
    Exception {
        scenarios: &["removed_soon", "removed_while_rolling"],
        faults: &[":hang-after", "random:"],
        problems: &["I8: acme_web was changed"],
        reason: "the answer to a change is lost for 30 s, in which somebody removes what was made: the \
                 Swarm then looks as if it had never been, and so the log tells it",
    },
    Exception {
        scenarios: &["scaled"],
        faults: &[":crash-", ":hang", "random:", "hooks:"],
        problems: &[
            "I1: stage \"scale and push\"",
            "I2: /services/acme_web/previous/",
            "I8: 5 events RolloutComplete of acme_web, not 6",
            "I8: acme_web was changed",
        ],
        reason: "two wishes that come while skep is away, or at once since a webhook tells of the push, are one \
                 update, not two: another previous spec, and one rollout fewer to complete",
    },
    Exception {
        scenarios: &["downgrade_withheld"],
        faults: &[":hang", "random:"],
        problems: &["I8: 0 events WouldDowngrade of acme_web, not 1"],
        reason: "the fall is permitted while skep waits for an answer: when it looks again, nothing is withheld",
    },
    Exception {
        scenarios: &["not_owned"],
        faults: &[":crash-", "random:"],
        problems: &["I8: 1 events NotOwned of acme_web, not 2"],
        reason: "a condition that ends and begins anew while skep is away stands all the time",
    },
];

/// Whether all that is wrong with the run is understood.
pub fn excepted(scenario: &Scenario, plan: &Plan, record: &Record) -> bool {
    let plan = plan.to_string();
    EXCEPTIONS.iter().any(|exception| {
        let begins = |problem: &String| exception.problems.iter().any(|start| problem.starts_with(start));
        exception.scenarios.contains(&scenario.name)
            && exception.faults.iter().any(|fault| plan.contains(fault))
            && record.problems.iter().all(begins)
    })
}
