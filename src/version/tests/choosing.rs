//! Rules 6, 8, 10 and 11: spellings, refusals, platforms and ages.

use super::*;
use RejectReason::{Platform as Misfit, Refused, TooYoung};

const HOUR: Duration = Duration::from_secs(3600);
const HOUR_MS: i64 = 3_600_000;

#[test]
fn rule_06_same_digest_takes_the_running_spelling_else_the_plain_one() {
    let tags = ["v1.2.3=a", "1.2.3=a", "1.2.3_b.2=a"];
    let world = World::new(policy("*"), &tags);
    for (running, expected) in [
        (None, "1.2.3_b.2"),
        (Some("v1.2.3"), "v1.2.3"),
        (Some("1.2.3"), "1.2.3"),
        (Some("1.2.2"), "1.2.3_b.2"),
        (Some("latest"), "1.2.3_b.2"),
    ] {
        let world = match running {
            Some(tag) => world.clone().running(tag, "a"),
            None => world.clone(),
        };
        let chosen = world.chosen();
        assert_eq!(chosen.tag, expected, "{running:?}");
        assert_eq!(chosen.digest, digest("a"));
        assert!(chosen.warnings.is_empty());
    }
    assert_eq!(World::new(policy("*"), &["v1.2.3=a", "1.2.3=a"]).chosen().tag, "1.2.3");
}

#[test]
fn rule_06_the_running_spelling_stays_when_both_moved() {
    let world = World::new(policy("*"), &["v1.2.3=b", "1.2.3=b"]).running("v1.2.3", "a");
    assert_eq!(world.chosen().tag, "v1.2.3");
    assert_eq!(world.chosen().digest, digest("b"));
}

#[test]
fn rule_06_different_digests_are_ambiguous() {
    let world = World::new(policy("*"), &["v1.2.3=a", "1.2.3=b"]);
    for (running, expected) in [
        (None, "1.2.3"),
        (Some(("v1.2.3", "a")), "v1.2.3"),
        (Some(("1.2.3", "b")), "1.2.3"),
        // The content that runs, whatever it is called there.
        (Some(("latest", "a")), "v1.2.3"),
        (Some(("v1.2.3", "b")), "1.2.3"),
        // Neither content: the spelling.
        (Some(("v1.2.3", "old")), "v1.2.3"),
        (Some(("1.2.2", "old")), "1.2.3"),
    ] {
        let world = match running {
            Some((tag, content)) => world.clone().running(tag, content),
            None => world.clone(),
        };
        let chosen = world.chosen();
        assert_eq!(chosen.tag, expected, "{running:?}");
        assert_eq!(
            chosen.warnings,
            [format!("1.2.3, v1.2.3 are one version with different digests; {expected} is taken")]
        );
    }
}

#[test]
fn rule_06_the_chosen_version_is_that_of_the_tag() {
    let world = World::new(policy("*"), &["1.2.3_b.2=a", "1.2.3=a"]);
    assert_eq!(world.chosen().version, version("1.2.3+b.2"));
    assert_eq!(world.clone().running("1.2.3", "a").chosen().version, version("1.2.3"));
}

#[test]
fn rule_06_many_spellings_are_not_many_requests() {
    let tags: Vec<String> = (0..500).map(|n| format!("1.2.3_build.{n}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let world = World::new(policy("*"), &tags);
    let (choice, asked) = world.choose_counting();
    assert!(matches!(choice, Choice::Chosen(chosen) if chosen.tag == "1.2.3_build.99"));
    assert_eq!(asked.len(), SPELLINGS_MAX);
    // What runs is looked at wherever it stands, and kept.
    let (choice, asked) = world.running("1.2.3_build.0", "1.2.3_build.0").choose_counting();
    assert!(matches!(choice, Choice::Chosen(chosen) if chosen.tag == "1.2.3_build.0"));
    assert_eq!(asked.len(), SPELLINGS_MAX);
}

#[test]
fn rule_08_a_refused_version_is_passed_over() {
    let world = World::new(policy("*"), &["1.5.0", "1.4.3", "1.4.2"]).floor("1.4.2").refuse("1.5.0", "1.5.0");
    let chosen = world.chosen();
    assert_eq!(chosen.tag, "1.4.3");
    assert_eq!(passed(&chosen.passed_over), [("1.5.0", Refused)]);
    assert!(chosen.passed_over[0].message.starts_with("its rollout failed with sha256:"));
}

#[test]
fn rule_08_only_with_the_same_digest() {
    // Pushed again: another content, another try.
    let world = World::new(policy("*"), &["1.5.0=fixed", "1.4.2"]).floor("1.4.2").refuse("1.5.0", "broken");
    assert_eq!(world.chosen().tag, "1.5.0");
    // The same content as another version is another version.
    let world = World::new(policy("*"), &["1.5.1=broken", "1.4.2"]).floor("1.4.2").refuse("1.5.0", "broken");
    assert_eq!(world.chosen().tag, "1.5.1");
}

#[test]
fn rule_08_a_refusal_holds_for_every_spelling_of_the_version() {
    for spelt in ["1.5.0", "v1.5.0", "1.5.0_b.1", "1.5.0+b.1"] {
        let world = World::new(policy("*"), &["v1.5.0=x", "1.5.0=x", "1.4.2"]).refuse(spelt, "x");
        assert_eq!(world.chosen().tag, "1.4.2", "{spelt}");
    }
    let alpine = VersionPolicy { tags: pattern("", "-alpine"), ..policy("*") };
    for spelt in ["1.5.0", "1.5.0-alpine"] {
        let world = World::new(alpine.clone(), &["1.5.0-alpine=x", "1.4.2-alpine"]).refuse(spelt, "x");
        assert_eq!(world.chosen().tag, "1.4.2-alpine", "{spelt}");
    }
    // With different digests only the failed one is refused.
    let world = World::new(policy("*"), &["v1.5.0=x", "1.5.0=y"]).refuse("1.5.0", "y").running("1.5.0", "y");
    assert_eq!(world.chosen().tag, "v1.5.0");
    assert!(world.chosen().warnings.is_empty());
}

#[test]
fn rule_08_all_refused() {
    let world =
        World::new(policy("*"), &["1.5.0", "1.4.2"]).refuse("1.5.0", "1.5.0").refuse("1.4.2", "1.4.2");
    let NoChoice::Refused { version: refused, passed_over } = world.nothing() else { panic!() };
    assert_eq!(refused, version("1.5.0"));
    assert_eq!(passed(&passed_over), [("1.5.0", Refused), ("1.4.2", Refused)]);
}

#[test]
fn rule_08_a_flood_of_refused_versions_is_not_a_flood_of_requests() {
    let tags: Vec<String> = (0..200).map(|n| format!("1.{n}.0")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let world = tags.iter().fold(World::new(policy("*"), &tags), |world, tag| world.refuse(tag, tag));
    let (choice, asked) = world.choose_counting();
    assert_eq!(asked.len(), CANDIDATES_MAX);
    let Choice::Nothing(NoChoice::Refused { passed_over, .. }) = choice else { panic!("{choice:?}") };
    assert!(passed_over[CANDIDATES_MAX - 1].message.ends_with("lower versions were not looked at"));
    assert!(!passed_over[0].message.contains("not looked at"));
}

#[test]
fn rule_10_one_candidate_is_asked_for_at_a_time() {
    let (_, asked) = World::new(policy("*"), &["1.3.0", "1.4.0", "v1.4.0", "1.2.0"]).choose_counting();
    assert_eq!(asked, ["1.4.0", "v1.4.0"]);
    let (_, asked) = World::new(policy("*"), &["1.3.0", "1.4.0"]).refuse("1.4.0", "1.4.0").choose_counting();
    assert_eq!(asked, ["1.4.0", "1.3.0"]);
}

#[test]
fn rule_10_a_platform_that_no_node_has_is_passed_over() {
    let world = World::new(policy("*"), &["1.5.0", "1.4.0"])
        .offers("1.5.0", &["linux/arm64", "windows/amd64"])
        .nodes(&["linux/x86_64"]);
    let chosen = world.chosen();
    assert_eq!(chosen.tag, "1.4.0");
    assert_eq!(passed(&chosen.passed_over), [("1.5.0", Misfit)]);
    assert_eq!(
        chosen.passed_over[0].message,
        "offers linux/arm64, windows/amd64, eligible nodes have linux/x86_64"
    );
    let NoChoice::NoVersionFits { passed_over } = world.offers("1.4.0", &["linux/s390x"]).nothing() else {
        panic!()
    };
    assert_eq!(passed(&passed_over), [("1.5.0", Misfit), ("1.4.0", Misfit)]);
}

#[test]
fn rule_10_what_fits_a_node() {
    for (offered, nodes, fits) in [
        (&["linux/amd64", "linux/arm64"][..], &["linux/x86_64"][..], true),
        (&["linux/arm64"], &["linux/x86_64", "linux/aarch64"], true),
        (&["linux/amd64"], &["linux/amd64"], true),
        (&["linux/arm"], &["linux/armv7l"], true),
        (&["linux/386"], &["linux/i686"], true),
        (&["linux/arm"], &["linux/aarch64"], false),
        (&["windows/amd64"], &["linux/x86_64"], false),
        (&[], &["linux/x86_64"], true),
        (&["linux/arm64"], &[], true),
        // Attestations stand in an index as if they were a platform.
        (&["unknown/unknown"], &["linux/x86_64"], true),
        (&["unknown/unknown", "linux/arm64"], &["linux/x86_64"], false),
        (&["linux/"], &["linux/x86_64"], true),
        (&["linux/amd64"], &["linux/"], true),
    ] {
        let world = World::new(policy("*"), &["1.0.0"]).offers("1.0.0", offered).nodes(nodes);
        assert_eq!(matches!(world.choose(), Choice::Chosen(_)), fits, "{offered:?} on {nodes:?}");
    }
}

#[test]
fn rule_11_a_young_tag_is_passed_over_without_a_request() {
    let now = 100 * HOUR_MS;
    for (age, first_seen, old_enough) in [
        (HOUR, Some(now - HOUR_MS), true),
        (HOUR, Some(now - HOUR_MS + 1), false),
        (HOUR, Some(now), false),
        // The clock went back.
        (HOUR, Some(now + HOUR_MS), false),
        // Of the first list ever seen.
        (HOUR, Some(0), true),
        (HOUR, None, false),
        (Duration::ZERO, None, true),
        (Duration::ZERO, Some(now + HOUR_MS), true),
        (Duration::MAX, Some(1), false),
        (HOUR, Some(i64::MIN), true),
        (HOUR, Some(i64::MAX), false),
    ] {
        let seen: Vec<(&str, i64)> =
            [("1.4.0", 0)].into_iter().chain(first_seen.map(|at| ("1.5.0", at))).collect();
        let world = World::new(policy("*"), &["1.5.0", "1.4.0"]).min_age(age, now, &seen);
        let (choice, asked) = world.choose_counting();
        let Choice::Chosen(chosen) = choice else { panic!("{choice:?}") };
        let expected = if old_enough { "1.5.0" } else { "1.4.0" };
        assert_eq!(chosen.tag, expected, "{age:?} {first_seen:?}");
        assert_eq!(asked, [expected]);
        let expected = if old_enough { &[][..] } else { &[("1.5.0", TooYoung)] };
        assert_eq!(passed(&chosen.passed_over), expected);
    }
}

#[test]
fn rule_11_the_message_names_both_ages() {
    let world =
        World::new(policy("*"), &["1.5.0"]).min_age(2 * HOUR, HOUR_MS + 90_500, &[("1.5.0", HOUR_MS)]);
    let nothing = world.nothing();
    assert_eq!(
        nothing.to_string(),
        "no tag of the repository may be chosen (1.5.0: first seen 1m 30s ago, younger than 2h)"
    );
}

#[test]
fn rule_11_everything_too_young_chooses_nothing() {
    let world = World::new(policy("*"), &["1.5.0", "1.4.0"]).min_age(HOUR, HOUR_MS, &[("1.5.0", HOUR_MS)]);
    let NoChoice::NoVersionFits { passed_over } = world.nothing() else { panic!() };
    assert_eq!(passed(&passed_over), [("1.5.0", TooYoung), ("1.4.0", TooYoung)]);
}

#[test]
fn rule_11_a_young_spelling_waits_while_an_old_one_is_taken() {
    let world = World::new(policy("*"), &["1.5.0=new", "v1.5.0=old", "1.4.0"]).min_age(
        HOUR,
        9 * HOUR_MS,
        &[("v1.5.0", 0), ("1.5.0", 9 * HOUR_MS), ("1.4.0", 0)],
    );
    let chosen = world.chosen();
    assert_eq!((chosen.tag.as_str(), chosen.digest), ("v1.5.0", digest("old")));
    assert!(chosen.warnings.is_empty());
}

#[test]
fn rule_11_what_runs_already_is_not_too_young() {
    // `min_age` delays changes; here there is none.
    let world = World::new(policy("*"), &["1.5.0", "1.4.0"])
        .min_age(HOUR, HOUR_MS, &[("1.5.0", HOUR_MS)])
        .running("1.5.0", "1.5.0");
    assert_eq!(world.chosen().tag, "1.5.0");
    assert!(world.chosen().warnings.is_empty());
}

#[test]
fn rule_11_a_moved_tag_keeps_its_running_content_until_the_new_one_is_old() {
    let seen = [("1.5.0", 8 * HOUR_MS), ("1.4.0", 0)];
    let world = World::new(policy("*"), &["1.5.0=new", "1.4.0"]).floor("1.5.0").running("1.5.0", "old");
    let chosen = world.clone().min_age(2 * HOUR, 9 * HOUR_MS, &seen).chosen();
    assert_eq!((chosen.tag.as_str(), chosen.digest), ("1.5.0", digest("old")));
    assert!(chosen.warnings[0].starts_with("1.5.0 has a new digest, younger than 2h; sha256:"));
    let chosen = world.clone().min_age(2 * HOUR, 10 * HOUR_MS, &seen).chosen();
    assert_eq!((chosen.digest, chosen.warnings), (digest("new"), Vec::new()));
    // What runs needs no fitting platform of the new content.
    let misfit = world.clone().offers("1.5.0", &["linux/arm64"]).nodes(&["linux/amd64"]);
    assert_eq!(misfit.clone().min_age(2 * HOUR, 9 * HOUR_MS, &seen).chosen().digest, digest("old"));
    assert!(matches!(
        misfit.min_age(2 * HOUR, 10 * HOUR_MS, &seen).nothing(),
        NoChoice::WouldDowngrade { .. }
    ));
    // Not if the running content is a failed one.
    let failed = world.min_age(2 * HOUR, 9 * HOUR_MS, &seen).refuse("1.5.0", "old");
    assert!(matches!(failed.nothing(), NoChoice::Refused { .. }));
}
