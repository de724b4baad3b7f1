use super::*;

fn step(name: &str, spec: &str) -> Step {
    Step {
        action: Action::Update,
        service: name.split_once('_').map(|(_, key)| key.to_owned()),
        spec_hash: spec.into(),
        ..Step::example(name)
    }
}

/// How often a service is written in `time`, when somebody changes it back at once each time.
fn writes(contests: &Contests, step: &Step, from: Instant, time: Duration) -> usize {
    let mut writes = 0;
    let mut now = from;
    while now < from + time {
        let mut plan = Plan { steps: vec![step.clone()], ..Plan::default() };
        let (held, wait) = contests.hold_back(&mut plan, now);
        assert_eq!(wait.is_some(), !held.is_empty());
        assert_eq!(held.len() + plan.steps.len(), 1);
        assert_eq!(plan.waiting.len(), held.len());
        if held.is_empty() {
            contests.note(step, now);
            writes += 1;
        }
        now += Duration::from_millis(100);
    }
    writes
}

#[test]
fn corrections_come_ever_more_seldom_and_never_end() {
    let contests = Contests::new(Jitter::seeded(1));
    let begin = Instant::now();
    let service = step("acme_web", "a");
    let first = writes(&contests, &service, begin, Duration::from_secs(600));
    assert!((8..=13).contains(&first), "{first}");
    let hour = Duration::from_secs(3600);
    let later = writes(&contests, &service, begin + Duration::from_secs(600), hour);
    assert!((9..=18).contains(&later), "{later} in an hour: about every five minutes");
}

#[test]
fn what_is_wanted_anew_and_other_services_are_not_held_back() {
    let contests = Contests::new(Jitter::seeded(1));
    let now = Instant::now();
    let held = |step: &Step, now| {
        let mut plan = Plan { steps: vec![step.clone()], ..Plan::default() };
        !contests.hold_back(&mut plan, now).0.is_empty()
    };
    let service = step("acme_web", "a");
    (0..AT_ONCE).for_each(|_| {
        assert!(!held(&service, now));
        contests.note(&service, now);
    });
    assert!(held(&service, now));
    assert!(!held(&step("acme_web", "b"), now), "another spec");
    assert!(!held(&step("acme_db", "a"), now), "another service");
    let removal = Step { action: Action::Remove, ..service.clone() };
    assert!(!held(&removal, now), "it goes");
    let network = Step { kind: ObjectKind::Network, ..service.clone() };
    assert!(!held(&network, now));
    // Who wants something else meanwhile begins anew, also with what was before.
    contests.note(&step("acme_web", "b"), now);
    contests.note(&service, now);
    assert!(!held(&service, now));
}

#[test]
fn a_correction_now_and_then_is_never_held_back() {
    let contests = Contests::new(Jitter::seeded(1));
    let service = step("acme_web", "a");
    let begin = Instant::now();
    for time in 0..20 {
        let now = begin + FORGIVEN * time;
        let mut plan = Plan { steps: vec![service.clone()], ..Plan::default() };
        assert!(contests.hold_back(&mut plan, now).0.is_empty(), "{time}");
        contests.note(&service, now);
    }
}
