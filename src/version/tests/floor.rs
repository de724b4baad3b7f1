//! Rule 7, and rule 8 where it meets the floor.

use super::*;
use RejectReason::{Refused, TooYoung};

#[test]
fn rule_07_never_down() {
    let world = World::new(policy("*"), &["1.4.1", "1.4.0"]).floor("1.4.2");
    let (choice, asked) = world.choose_counting();
    let Choice::Nothing(nothing) = choice else { panic!("{choice:?}") };
    assert_eq!(
        nothing,
        NoChoice::WouldDowngrade { best: version("1.4.1"), floor: version("1.4.2"), passed_over: Vec::new() }
    );
    assert_eq!(
        nothing.to_string(),
        "the highest allowed version is 1.4.1, lower than 1.4.2, which was complete"
    );
    assert!(asked.is_empty(), "no request for what may not be chosen");
}

#[test]
fn rule_07_the_floor_itself_may_be_chosen_in_any_spelling() {
    for (floor, tag) in [
        ("1.4.2", "1.4.2"),
        ("1.4.2", "v1.4.2"),
        ("1.4.2+b.9", "1.4.2_b.1"),
        ("1.4.2", "1.4.3"),
        ("1.4.2-rc.1", "1.4.2"),
    ] {
        assert_eq!(World::new(policy("*"), &[tag, "1.0.0"]).floor(floor).chosen().tag, tag);
    }
}

#[test]
fn rule_07_a_pre_release_is_below_its_release() {
    let all = VersionPolicy { prerelease: Prerelease::All, ..policy("*") };
    let world = World::new(all, &["1.4.2-rc.9"]).floor("1.4.2");
    assert!(matches!(world.nothing(), NoChoice::WouldDowngrade { .. }));
}

#[test]
fn rule_07_down_with_permission() {
    let down = VersionPolicy { downgrade: true, ..policy("*") };
    let world = World::new(down, &["1.4.1", "1.4.0"]).floor("1.4.2");
    assert_eq!(world.chosen().tag, "1.4.1");
    // A failure below the floor leads on to the next lower.
    assert_eq!(world.refuse("1.4.1", "1.4.1").chosen().tag, "1.4.0");
}

#[test]
fn rule_07_a_requirement_that_was_lowered_does_not_lower_the_service() {
    let world = World::new(policy("<1.4"), &["1.4.2", "1.3.9"]).floor("1.4.2");
    assert!(matches!(world.nothing(), NoChoice::WouldDowngrade { .. }));
}

#[test]
fn rule_07_without_a_floor_there_is_no_down() {
    // A service on a floating tag has no version.
    let world = World::new(policy("*"), &["0.1.0"]).running("latest", "whatever");
    assert_eq!(world.chosen().tag, "0.1.0");
}

#[test]
fn rule_07_what_was_set_by_hand_is_no_floor() {
    let world = World::new(policy("^1"), &["2.0.0", "1.4.2"]).floor("1.4.2").running("2.0.0", "2.0.0");
    assert_eq!(world.chosen().tag, "1.4.2");
}

#[test]
fn rule_07_an_empty_list_chooses_nothing() {
    for world in [World::new(policy("*"), &[]), World::new(policy("*"), &["latest"]).floor("1.4.2")] {
        assert_eq!(world.nothing(), NoChoice::NoVersionFits { passed_over: Vec::new() });
    }
}

#[test]
fn rule_08_a_failure_never_sends_a_service_down() {
    for downgrade in [false, true] {
        let policy = VersionPolicy { downgrade, ..policy("*") };
        let world = World::new(policy, &["1.5.0", "1.4.1"]).floor("1.4.2").refuse("1.5.0", "1.5.0");
        let NoChoice::Refused { version: refused, passed_over } = world.nothing() else { panic!() };
        assert_eq!(refused, version("1.5.0"));
        assert_eq!(passed(&passed_over), [("1.5.0", Refused)]);
    }
}

#[test]
fn rule_08_the_floor_stays_when_all_above_it_failed() {
    let world = World::new(policy("*"), &["1.6.0", "1.5.0", "1.4.2", "1.4.1"])
        .floor("1.4.2")
        .refuse("1.6.0", "1.6.0")
        .refuse("1.5.0", "1.5.0");
    let chosen = world.chosen();
    assert_eq!(chosen.tag, "1.4.2");
    assert_eq!(passed(&chosen.passed_over), [("1.6.0", Refused), ("1.5.0", Refused)]);
}

#[test]
fn rule_08_a_failed_new_content_of_the_floor_is_no_reason_to_go_down() {
    let world = World::new(policy("*"), &["1.4.2=b", "1.4.1"])
        .floor("1.4.2")
        .running("1.4.2", "a")
        .refuse("1.4.2", "b");
    assert!(matches!(world.nothing(), NoChoice::Refused { .. }));
}

#[test]
fn rule_11_never_below_the_floor_for_youth() {
    let hour = Duration::from_secs(3600);
    let world =
        World::new(policy("*"), &["1.5.0", "1.4.2", "1.4.1"]).min_age(hour, 1, &[("1.4.2", 0), ("1.4.1", 0)]);
    assert_eq!(world.clone().floor("1.4.2").chosen().tag, "1.4.2");
    let NoChoice::WouldDowngrade { best, passed_over, .. } = world.floor("1.4.3").nothing() else { panic!() };
    assert_eq!(best, version("1.4.2"));
    assert_eq!(passed(&passed_over), [("1.5.0", TooYoung)]);
}
