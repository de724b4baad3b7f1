use super::*;
use proptest::prelude::*;

fn time(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn held(service: &str, reason: Reason) -> Held {
    Held {
        service: Some(service.into()),
        reason,
        kind: Kind::Warning,
        message: format!("{service} told of {reason:?}"),
    }
}

/// Reason, service and count of what comes back.
fn observe(conditions: &mut Conditions, held: &[Held], second: i64) -> Vec<(Reason, String, Option<u64>)> {
    conditions
        .observe(Some("acme"), held, Trigger::Resync, time(second))
        .into_iter()
        .map(|e| {
            assert_eq!(e.customer.as_deref(), Some("acme"));
            (e.reason, e.service.unwrap_or_default(), e.count)
        })
        .collect()
}

#[test]
fn is_told_when_it_begins_and_counted_when_it_ends() {
    let mut conditions = Conditions::default();
    let not_owned = [held("db", Reason::NotOwned)];
    assert_eq!(observe(&mut conditions, &[], 0), []);
    assert_eq!(observe(&mut conditions, &not_owned, 1), [(Reason::NotOwned, "db".into(), None)]);
    let mut other = not_owned.clone();
    other[0].message = "another text".into();
    assert_eq!(observe(&mut conditions, &other, 2), []);
    assert_eq!(observe(&mut conditions, &other, 3), []);
    let ended = conditions.observe(Some("acme"), &[], Trigger::Spec, time(4));
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0].reason, ended[0].count, ended[0].first_time),
        (Reason::NotOwned, Some(3), Some(time(1)))
    );
    assert_eq!(ended[0].kind, Kind::Warning);
    assert_eq!(ended[0].message, "ended; was met 3 times, last: another text");
    assert_eq!(observe(&mut conditions, &[], 5), []);
    assert!(conditions.active.is_empty(), "nothing is kept of what is over");
}

#[test]
fn once_is_no_repeat() {
    let mut conditions = Conditions::default();
    observe(&mut conditions, &[held("db", Reason::NotOwned)], 0);
    assert_eq!(observe(&mut conditions, &[], 1), []);
}

#[test]
fn some_ends_are_news() {
    let check = |reason: Reason, end: Reason| {
        let mut conditions = Conditions::default();
        observe(&mut conditions, &[held("db", reason)], 0);
        assert_eq!(observe(&mut conditions, &[], 1), [(end, "db".into(), None)]);
        observe(&mut conditions, &[held("db", reason)], 2);
        observe(&mut conditions, &[held("db", reason)], 3);
        let ended = observe(&mut conditions, &[], 4);
        assert_eq!(ended, [(reason, "db".into(), Some(2)), (end, "db".into(), None)]);
    };
    check(Reason::RegistryUnavailable, Reason::Recovered);
    check(Reason::SwarmUnavailable, Reason::Recovered);
    check(Reason::PruneHeld, Reason::Recovered);
    check(Reason::Suspended, Reason::Resumed);
}

#[test]
fn customers_and_services_are_apart() {
    let mut conditions = Conditions::default();
    let both = [held("db", Reason::NotOwned), held("web", Reason::NotOwned), held("web", Reason::NotOwned)];
    assert_eq!(observe(&mut conditions, &both, 0).len(), 2, "a doubled one counts once");
    assert_eq!(conditions.observe(Some("globex"), &both[..1], Trigger::Spec, time(0)).len(), 1);
    assert_eq!(conditions.observe(None, &both[..1], Trigger::Spec, time(0)).len(), 1);
    assert_eq!(observe(&mut conditions, &both[1..], 1), []);
    conditions.forget(Some("acme"));
    assert_eq!(observe(&mut conditions, &[], 2), []);
    assert_eq!(conditions.observe(Some("globex"), &both[..1], Trigger::Spec, time(3)), []);
}

fn logged(events: Vec<NewEvent>, log: &mut Vec<Event>, now: jiff::Timestamp) {
    for e in events {
        log.push(Event {
            id: "i".into(),
            seq: log.len() as u64 + 1,
            time: now,
            kind: e.kind,
            reason: e.reason,
            customer: e.customer,
            service: e.service,
            message: e.message,
            from: None,
            to: None,
            trigger: e.trigger,
            revision: None,
            phase: e.phase,
            count: e.count,
            first_time: e.first_time,
            target: None,
        });
    }
}

fn is_condition(reason: Reason) -> bool {
    matches!(reason, Reason::NotOwned | Reason::RegistryUnavailable | Reason::Suspended)
}

#[test]
fn restart_tells_nothing_again() {
    let mut log = Vec::new();
    let mut before = Conditions::default();
    let all = [held("db", Reason::NotOwned), held("web", Reason::RegistryUnavailable)];
    logged(before.observe(Some("acme"), &all, Trigger::Spec, time(0)), &mut log, time(0));
    let mut after = Conditions::default();
    after.restore(&log, is_condition);
    assert_eq!(observe(&mut after, &all, 1), []);
    // And the end of what ended while skep was down is told.
    let mut after = Conditions::default();
    after.restore(&log, is_condition);
    assert_eq!(observe(&mut after, &[], 1), [(Reason::Recovered, "web".into(), None)]);
}

/// Of two that hold of a service, one ends, and skep is started anew: the other one stands, and is not told again.
#[test]
fn the_end_of_one_is_not_that_of_another() {
    let is_condition = |reason| matches!(reason, Reason::PruneHeld | Reason::RegistryUnavailable);
    let both = [held("web", Reason::RegistryUnavailable), held("web", Reason::PruneHeld)];
    for rounds in [1, 3] {
        let (mut log, mut before) = (Vec::new(), Conditions::default());
        for round in 0..rounds {
            logged(before.observe(Some("acme"), &both, Trigger::Spec, time(round)), &mut log, time(round));
        }
        logged(before.observe(Some("acme"), &both[1..], Trigger::Spec, time(9)), &mut log, time(9));
        let mut after = Conditions::default();
        after.restore(&log, is_condition);
        assert_eq!(observe(&mut after, &both[1..], 10), []);
        assert_eq!(observe(&mut after, &[], 11).last().map(|it| it.0), Some(Reason::Recovered));
    }
}

proptest! {
    /// Whatever comes and goes: what holds was told once since it last began, and a state
    /// restored from the log tells nothing new of the same world.
    #[test]
    fn each_beginning_is_told_once(rounds in prop::collection::vec(prop::collection::vec(any::<bool>(), 4), 1..20)) {
        let all = [
            held("db", Reason::NotOwned), held("db", Reason::Suspended),
            held("web", Reason::RegistryUnavailable), held("web", Reason::NotOwned),
        ];
        let mut conditions = Conditions::default();
        let mut log = Vec::new();
        let mut previous = vec![false; 4];
        for (second, round) in rounds.iter().enumerate() {
            let now = time(second as i64);
            let holds: Vec<Held> =
                all.iter().zip(round).filter(|(_, on)| **on).map(|(h, _)| h.clone()).collect();
            let events = conditions.observe(Some("acme"), &holds, Trigger::Resync, now);
            let begun = events.iter().filter(|e| is_condition(e.reason) && e.count.is_none()).count();
            let expect = round.iter().zip(&previous).filter(|(now, before)| **now && !**before).count();
            prop_assert_eq!(begun, expect);
            logged(events, &mut log, now);
            let mut restored = Conditions::default();
            restored.restore(&log, is_condition);
            prop_assert_eq!(restored.observe(Some("acme"), &holds, Trigger::Startup, now).iter()
                .filter(|e| e.count.is_none() && e.kind == Kind::Warning).count(), 0);
            previous.clone_from(round);
        }
    }
}
