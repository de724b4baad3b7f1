use super::*;

fn image(version: &str) -> Image {
    Image {
        repository: "r".into(),
        tag: Some(version.into()),
        version: Some(version.into()),
        digest: format!("sha256:{version}"),
    }
}

fn rollout(purpose: Purpose, from: Option<&str>) -> Rollout {
    Rollout {
        event_id: "e".into(),
        to: image("1.3.0"),
        from: from.map(image),
        spec: "hash".into(),
        purpose,
        started: jiff::Timestamp::UNIX_EPOCH,
        after_index: 1,
        failed: None,
    }
}

/// What is remembered after a failure, from nothing but a last good 1.2.3.
fn after(rollout: &Rollout, refuse: bool, swarm_rolls_back: bool) -> ServiceMemory {
    let memory = ServiceMemory { last_good: Some(image("1.2.3")), ..ServiceMemory::default() };
    let failure =
        Failure { why: "swarm says\u{1b}[31m".into(), refuse, swarm_rolls_back, for_a_while: false };
    after_failure(memory, rollout, &failure, jiff::Timestamp::UNIX_EPOCH)
}

#[test]
fn swarms_own_roll_back_is_waited_for() {
    let memory = after(&rollout(Purpose::Forward, Some("1.2.3")), true, true);
    let next = memory.rollout.unwrap();
    assert_eq!((next.purpose, next.to, next.from), (Purpose::RollBack, image("1.2.3"), Some(image("1.3.0"))));
    let refusal = &memory.refused[0];
    assert_eq!((&refusal.image, refusal.spec.as_str(), refusal.rolled_back), (&image("1.3.0"), "hash", true));
    assert!(!refusal.why.contains('\u{1b}'));
    assert_eq!(memory.last_good, Some(image("1.2.3")));
}

#[test]
fn a_pause_leaves_the_roll_back_to_the_planner() {
    let memory = after(&rollout(Purpose::Forward, Some("1.2.3")), true, false);
    assert_eq!(memory.rollout, None);
    assert_eq!(memory.refused.len(), 1);
    assert!(!memory.refused[0].rolled_back);
}

#[test]
fn what_is_not_the_versions_fault_is_told_once_and_goes_on() {
    let memory = after(&rollout(Purpose::Forward, Some("1.2.3")), false, false);
    assert!(memory.refused.is_empty());
    let rollout = memory.rollout.unwrap();
    assert_eq!((rollout.purpose, rollout.failed.is_some()), (Purpose::Forward, true));
}

#[test]
fn a_failed_roll_back_refuses_nothing() {
    for (refuse, goes_on) in [(true, false), (false, true)] {
        let memory = after(&rollout(Purpose::RollBack, Some("1.3.0")), refuse, false);
        assert!(memory.refused.is_empty(), "refuse: {refuse}");
        assert_eq!(memory.rollout.is_some(), goes_on, "refuse: {refuse}");
    }
}

#[test]
fn a_refusal_is_remembered_once() {
    let failure = Failure { why: "again".into(), refuse: true, swarm_rolls_back: false, for_a_while: false };
    let first = rollout(Purpose::Forward, None);
    let memory = after(&first, true, false);
    let memory = after_failure(memory, &first, &failure, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(memory.refused.iter().map(|refusal| refusal.why.as_str()).collect::<Vec<_>>(), ["again"]);
    let other = Rollout { spec: "other".into(), ..first };
    let memory = after_failure(memory, &other, &failure, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(memory.refused.len(), 2, "another spec is another try");
}

#[test]
fn after_an_adoption_what_ran_is_good() {
    let failure = Failure { why: "w".into(), refuse: true, swarm_rolls_back: false, for_a_while: false };
    let first = rollout(Purpose::Forward, Some("1.1.0"));
    let memory = after_failure(ServiceMemory::default(), &first, &failure, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(memory.last_good, Some(image("1.1.0")));
}
