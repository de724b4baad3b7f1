//! Rules 1 to 5: which tags are versions, in which order, and which of them are allowed.

use super::*;
use RejectReason::{Excluded, NotMatching, NotSemver, Prerelease as Pre};

#[test]
fn rule_01_a_tag_is_a_version_only_if_it_is_one() {
    for tag in ["0.0.0", "1.2.3", "v1.2.3", "1.4.0-rc.2", "1.4.0-rc10", "1.2.3--", "10.20.30-a.b-c.0"] {
        assert!(parse_tag(tag, &TagPattern::default()).is_some(), "{tag}");
    }
    let long = format!("1.2.3-{}", "a".repeat(123));
    for tag in [
        "",
        "v",
        "latest",
        "stable",
        "1",
        "1.4",
        "v1",
        "v1.4",
        "1.2.3.4",
        "v1.2.3.4",
        "1.2.3p9",
        "1.2.3-",
        "1.2.3_",
        "2024.01.02",
        "01.2.3",
        "1.2.3-01",
        "1.2.3-a..b",
        "vv1.2.3",
        "V1.2.3",
        " 1.2.3",
        "1.2.3 ",
        "-1.2.3",
        "+1.2.3",
        "1.2.3+build",
        "1.x.0",
        "1.2.*",
        "=1.2.3",
        "^1.2.3",
        "1.2.-3",
        "١.٢.٣",
        "1,2,3",
        "1.2.3\0",
        "\u{1b}[31m1.2.3",
        &long,
    ] {
        assert_eq!(parse_tag(tag, &TagPattern::default()), None, "{tag}");
    }
    let just_fits = format!("1.2.3-{}", "a".repeat(122));
    assert!(parse_tag(&just_fits, &TagPattern::default()).is_some());
}

#[test]
fn rule_01_the_reason_is_told() {
    for (tag, why) in [
        ("latest", "not a version"),
        ("1.4", "not a full version: fewer than three numbers"),
        ("v16", "not a full version: fewer than three numbers"),
        ("1.2.3.4", "not a version: more than three numbers"),
        ("2024.01.02", "not a version: a number with a leading zero"),
        ("1.2.18446744073709551616", "not a version: a number above 2^64 - 1"),
        ("1.2.3-", "not a version: malformed after the three numbers"),
        ("1.2.3p9", "not a version"),
    ] {
        let ranking = rank(&policy("*"), &[tag]);
        assert_eq!(ranking.rejected[0].reason, NotSemver);
        assert_eq!(ranking.rejected[0].message, why, "{tag}");
    }
    let long = rank(&policy("*"), &["1".repeat(129)]);
    assert_eq!(long.rejected[0].message, "longer than 128 characters");
    let alpine = VersionPolicy { tags: pattern("", "-alpine"), ..policy("*") };
    assert_eq!(rank(&alpine, &["1.2.3"]).rejected[0].message, "not spelt \"{version}-alpine\"");
}

#[test]
fn rule_01_calver_counts_without_leading_zeros() {
    let ranking = rank(&policy("*"), &["2024.1.2", "2024.01.03", "2024.12.1", "20240103", "2023.12.31"]);
    assert_eq!(candidates(&ranking), ["2024.12.1", "2024.1.2", "2023.12.31"]);
    assert_eq!(reasons(&ranking), [("2024.01.03", NotSemver), ("20240103", NotSemver)]);
}

#[test]
fn rule_01_numbers_are_not_text() {
    let ranking = rank(&policy("*"), &["1.9.0", "1.10.0", "1.2.10", "1.2.9", "10.0.0", "9.0.0"]);
    assert_eq!(candidates(&ranking), ["10.0.0", "9.0.0", "1.10.0", "1.9.0", "1.2.10", "1.2.9"]);
}

#[test]
fn rule_02_an_underscore_is_build_metadata() {
    let parsed = parse_tag("1.2.3_build.7", &TagPattern::default()).unwrap();
    assert_eq!(parsed.version, version("1.2.3+build.7"));
    let parsed = parse_tag("v1.2.3-rc.1_007", &TagPattern::default()).unwrap();
    assert_eq!((parsed.version, parsed.leading_v), (version("1.2.3-rc.1+007"), true));
    // Only once: `_` is no character of build metadata.
    assert_eq!(parse_tag("1.2.3_build_7", &TagPattern::default()), None);
    assert_eq!(parse_tag("1.2_3", &TagPattern::default()), None);
}

#[test]
fn rule_02_build_metadata_has_no_precedence() {
    let ranking = rank(&policy("=1.2.3"), &["1.2.3_b.1", "1.2.3", "1.2.3_b.2", "1.2.4_b.9"]);
    assert_eq!(candidates(&ranking), ["1.2.3_b.2 1.2.3_b.1 1.2.3"]);
    assert_eq!(reasons(&ranking), [("1.2.4_b.9", NotMatching)]);
    let exclude = VersionPolicy { exclude: vec!["=1.2.3".parse().unwrap()], ..policy("*") };
    assert!(rank(&exclude, &["1.2.3_b.1", "1.2.3"]).candidates.is_empty());
}

#[test]
fn rule_03_a_pattern_matches_exactly() {
    for (prefix, suffix, tag, expected) in [
        ("", "-alpine", "1.2.3-alpine", Some("1.2.3")),
        ("", "-alpine", "1.2.3-rc.1-alpine", Some("1.2.3-rc.1")),
        ("", "-alpine", "1.2.3_b.1-alpine", Some("1.2.3+b.1")),
        ("", "-alpine", "1.2.3-alpine3.19", None),
        ("", "-alpine", "1.2.3", None),
        ("", "-alpine", "v1.2.3-alpine", None),
        ("", "-alpine", "-alpine", None),
        ("", "-alpine", "1.2.3-ALPINE", None),
        ("release-", "", "release-1.2.3", Some("1.2.3")),
        ("release-", "", "release-v1.2.3", None),
        ("release-", "", "1.2.3", None),
        ("v", "", "v1.2.3", Some("1.2.3")),
        ("v", "", "1.2.3", None),
        ("v", "", "vv1.2.3", None),
        ("app_", "_x", "app_1.2.3_x", Some("1.2.3")),
        ("1.", ".3", "1.2.3", None),
        ("aa", "aa", "aaa", None),
        ("{", "}", "{1.2.3}", Some("1.2.3")),
    ] {
        let parsed = parse_tag(tag, &pattern(prefix, suffix));
        assert_eq!(parsed.as_ref().map(|p| &p.version), expected.map(version).as_ref(), "{tag}");
        assert!(!parsed.is_some_and(|p| p.leading_v));
    }
}

#[test]
fn rule_03_without_a_pattern_a_suffix_is_a_pre_release() {
    let tags = ["1.2.3-alpine", "1.2.2", "1.2.4-alpine"];
    let ranking = rank(&policy("*"), &tags);
    assert_eq!(candidates(&ranking), ["1.2.2"]);
    assert_eq!(reasons(&ranking), [("1.2.4-alpine", Pre), ("1.2.3-alpine", Pre)]);
    let alpine = VersionPolicy { tags: pattern("", "-alpine"), ..policy("*") };
    assert_eq!(candidates(&rank(&alpine, &tags)), ["1.2.4-alpine", "1.2.3-alpine"]);
}

#[test]
fn rule_04_pre_releases_come_only_if_let_in() {
    let tags = ["1.4.0-rc.2", "1.4.0-beta.1", "1.3.0", "1.4.0-rc10", "1.4.0-0", "1.4.0-RC.9"];
    for (prerelease, expected) in [
        (Prerelease::None, &["1.3.0"][..]),
        (channels(&["rc"]), &["1.4.0-rc.2", "1.3.0"]),
        (channels(&["rc", "beta"]), &["1.4.0-rc.2", "1.4.0-beta.1", "1.3.0"]),
        (channels(&["0"]), &["1.4.0-0", "1.3.0"]),
        (channels(&[]), &["1.3.0"]),
        (channels(&[""]), &["1.3.0"]),
        (Prerelease::All, &["1.4.0-rc10", "1.4.0-rc.2", "1.4.0-beta.1", "1.4.0-RC.9", "1.4.0-0", "1.3.0"]),
    ] {
        let ranking = rank(&VersionPolicy { prerelease, ..policy("*") }, &tags);
        assert_eq!(candidates(&ranking), expected);
        assert!(ranking.rejected.iter().all(|rejected| rejected.reason == Pre));
    }
}

#[test]
fn rule_04_a_requirement_that_names_a_pre_release_does_not_let_it_in() {
    for require in ["=1.4.0-rc.2", ">=1.4.0-rc.2", "^1.4.0-rc.1", "~1.4.0-rc.1", "<=1.4.0-rc.2"] {
        assert!(rank(&policy(require), &["1.4.0-rc.2"]).candidates.is_empty(), "{require}");
    }
}

#[test]
fn rule_04_precedence_is_that_of_the_standard() {
    // The example of SemVer 2.0.0, section 11.4.4, with more below and above.
    let rising = [
        "1.0.0-0",
        "1.0.0-9",
        "1.0.0-10",
        "1.0.0-99999999999999999999999",
        "1.0.0--",
        "1.0.0-A",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0-rc.9",
        "1.0.0-rc.10",
        "1.0.0-rc10",
        "1.0.0-rc9",
        "1.0.0",
        "1.0.1-0",
        "1.0.1",
        "1.1.0",
        "2.0.0",
    ];
    let all = VersionPolicy { prerelease: Prerelease::All, ..policy("*") };
    let falling: Vec<&str> = rising.iter().rev().copied().collect();
    assert_eq!(candidates(&rank(&all, &rising)), falling);
}

#[test]
fn rule_04_an_upper_bound_keeps_out_its_own_pre_releases() {
    for (require, tag, expected) in [
        ("*", "2.0.0-rc.1", true),
        ("^1", "1.4.0-rc.2", true),
        ("^1", "2.0.0-rc.1", false),
        ("^1", "1.0.0-rc.1", false),
        ("^1.0.0-rc.1", "1.0.0-rc.1", true),
        ("^1.0.0-rc.1", "1.0.0-rc.0", false),
        ("^1.0.0-rc.1", "2.0.0-rc.1", false),
        ("^0.3", "0.4.0-rc.1", false),
        ("^0.3.1", "0.3.2-rc.1", true),
        ("^0.0.3", "0.0.4-rc.1", false),
        ("^0.0.3-rc.1", "0.0.3-rc.2", true),
        ("^0.0.3", "0.0.3-rc.2", false),
        ("^0", "0.0.0-rc.1", false),
        ("~1.4", "1.5.0-rc.1", false),
        ("~1.4", "1.4.0-rc.1", false),
        ("~1.4.2", "1.4.3-rc.1", true),
        ("~1.4.2-rc.2", "1.4.2-rc.10", true),
        ("~1", "2.0.0-0", false),
        ("1.*", "2.0.0-rc.1", false),
        ("1.*", "1.9.9-rc.1", true),
        ("1.*", "1.0.0-rc.1", false),
        ("1.4.*", "1.4.1-rc.1", true),
        ("1.4.*", "1.5.0-rc.1", false),
        ("=1", "1.4.0-rc.1", true),
        ("=1.4.2", "1.4.2-rc.1", false),
        ("=1.4.2-rc.1", "1.4.2-rc.1", true),
        ("=1.4.2-rc.1", "1.4.2-rc.1.0", false),
        ("=1.4.2-rc.1", "1.4.2", false),
        ("<2.0.0", "2.0.0-rc.1", false),
        ("<2.0.0", "1.9.9-rc.1", true),
        ("<2", "2.0.0-rc.1", false),
        ("<2.0", "2.0.0-rc.1", false),
        ("<2.0.0-rc.2", "2.0.0-rc.1", true),
        ("<2.0.0-rc.2", "2.0.0-rc.2", false),
        ("<=2.0.0", "2.0.0-rc.1", false),
        ("<=2.0.0", "1.9.9-rc.1", true),
        ("<=2.0.0-rc.2", "2.0.0-rc.2", true),
        ("<=2.0.0-rc.2", "2.0.0-rc.10", false),
        ("<=1", "1.9.0-rc.1", true),
        ("<=1", "2.0.0-rc.1", false),
        ("<=1.4", "1.5.0-rc.1", false),
        (">1.4.2", "1.4.3-rc.1", true),
        (">1.4.2", "1.4.2-rc.1", false),
        (">1.4.2-rc.1", "1.4.2-rc.2", true),
        (">1.4.2-rc.1", "1.4.2-rc.1", false),
        (">1", "2.0.0-rc.1", false),
        (">1", "2.0.1-rc.1", true),
        (">1.4", "1.5.0-rc.1", false),
        (">1.4", "1.5.1-rc.1", true),
        (">=1.4.0", "1.4.0-rc.2", false),
        (">=1.4.0-rc.2", "1.4.0-rc.2", true),
        (">=1.4.0-rc.2", "1.4.0-rc.1", false),
        (">=1.4.0-rc.2", "3.0.0-alpha", true),
        (">=1.4.0-rc.2, <2.0.0", "2.0.0-alpha", false),
        (">=1.4.0-rc.2, <1.4.0", "1.4.0-rc.3", false),
    ] {
        let all = VersionPolicy { prerelease: Prerelease::All, ..policy(require) };
        assert_eq!(!rank(&all, &[tag]).candidates.is_empty(), expected, "{require} and {tag}");
    }
}

#[test]
fn rule_04_rc10_below_rc9_is_warned_of() {
    let all = VersionPolicy { prerelease: Prerelease::All, ..policy("*") };
    let ranking = rank(&all, &["1.4.0-rc10", "1.4.0-rc9", "1.4.0-rc8"]);
    assert_eq!(candidates(&ranking), ["1.4.0-rc9", "1.4.0-rc8", "1.4.0-rc10"]);
    assert_eq!(
        ranking.warnings,
        ["pre-releases rc8 and rc10 compare as text: rc8 is the higher; spell them rc.8 and rc.10"]
    );
    for (tags, count) in [
        (&["1.4.0-rc.10", "1.4.0-rc.9"][..], 0),
        (&["1.4.0-rc1", "1.4.0-rc9"], 0),
        (&["1.4.0-rc10", "1.4.0-rc99"], 0),
        (&["1.4.0-rc09", "1.4.0-rc10"], 0),
        (&["1.4.0-rc10", "1.4.0-beta9"], 0),
        (&["1.4.0-rc10"], 0),
        (&["1.4.0-g1a2b3c4", "1.4.0-g9f0000"], 0),
        (&["1.4.0-10", "1.4.0-9"], 0),
        (&["1.4.0-x.rc10", "1.3.0-x.rc9"], 1),
        (&["1.4.0-rc10", "1.4.0-rc9", "1.4.0-b2", "1.4.0-b11"], 2),
        (&["latest-rc10", "latest-rc9"], 0),
    ] {
        assert_eq!(rank(&all, tags).warnings.len(), count, "{tags:?}");
        // What is warned of is how tags are spelt, not what the policy lets in.
        assert_eq!(rank(&policy("*"), tags).warnings.len(), count, "{tags:?}");
    }
    let many: Vec<String> =
        (b'a'..=b'z').flat_map(|c| [9, 10].map(|n| format!("1.0.0-{}{n}", char::from(c)))).collect();
    assert_eq!(rank(&all, &many).warnings.len(), 5);
}

#[test]
fn rule_05_requirements_as_cargo_reads_them() {
    let tags = ["0.3.0", "1.0.0", "1.3.9", "1.4.0", "1.4.7", "1.10.0", "2.0.0"];
    for (require, highest) in [
        ("*", Some("2.0.0")),
        ("^1.4", Some("1.10.0")),
        ("1.4", Some("1.10.0")),
        ("1.4.0", Some("1.10.0")),
        ("~1.4", Some("1.4.7")),
        ("~1.3.2", Some("1.3.9")),
        ("=1.4.0", Some("1.4.0")),
        ("1.4.*", Some("1.4.7")),
        (">=1, <1.4", Some("1.3.9")),
        (">1.4.0, <1.10.0", Some("1.4.7")),
        ("<=1.4.0", Some("1.4.0")),
        ("<1", Some("0.3.0")),
        ("^0.3", Some("0.3.0")),
        (">2", None),
        (">=3", None),
    ] {
        let ranking = rank(&policy(require), &tags);
        assert_eq!(ranking.candidates.first().map(|c| c.tags[0].as_str()), highest, "{require}");
        assert!(ranking.rejected.iter().all(|r| r.reason == NotMatching), "{require}");
        assert_eq!(ranking.newest, Some(version("2.0.0")), "{require}");
    }
}

#[test]
fn rule_05_exclusions() {
    let excluding = |list: &[&str]| VersionPolicy {
        exclude: list.iter().map(|text| text.parse().unwrap()).collect(),
        ..policy("^1")
    };
    let tags = ["1.4.1", "1.4.2", "v1.4.2", "1.4.3", "1.5.0", "2.0.0"];
    let ranking = rank(&excluding(&["=1.4.2"]), &tags);
    assert_eq!(candidates(&ranking), ["1.5.0", "1.4.3", "1.4.1"]);
    assert_eq!(reasons(&ranking), [("2.0.0", NotMatching), ("1.4.2", Excluded), ("v1.4.2", Excluded)]);
    assert_eq!(ranking.rejected[1].message, "excluded by =1.4.2");
    assert_eq!(ranking.rejected[0].message, "does not match ^1");
    assert_eq!(candidates(&rank(&excluding(&["~1.4", "=9.9.9"]), &tags)), ["1.5.0"]);
    assert!(rank(&excluding(&["*"]), &tags).candidates.is_empty());
}

#[test]
fn rule_05_numbers_never_wrap() {
    let max = u64::MAX;
    let tags = [
        format!("1.0.{max}"),
        "1.0.18446744073709551616".to_owned(),
        "1.0.99999999999999999999999999".to_owned(),
        "1.0.9".to_owned(),
        format!("{max}.{max}.{max}"),
    ];
    let ranking = rank(&policy("*"), &tags);
    assert_eq!(candidates(&ranking), [tags[4].as_str(), &tags[0], "1.0.9"]);
    assert!(ranking.rejected.iter().all(|rejected| rejected.reason == NotSemver));
    for (require, expected) in [
        (format!("^{max}"), true),
        (format!("~{max}.{max}"), true),
        (format!("<={max}"), true),
        (format!("<={max}.{max}"), true),
        (format!(">{max}"), false),
        (format!(">1.{max}"), true),
        (format!(">{max}.{max}"), false),
        (format!("<{max}.{max}.{max}"), false),
    ] {
        assert_eq!(matches(&require.parse().unwrap(), &version(&tags[4])), expected, "{require}");
    }
}

#[test]
fn rule_05_newest_is_the_highest_release_of_the_pattern() {
    let tags = ["1.0.0", "v2.0.0", "3.0.0-rc.1", "9.0.0-alpine", "latest"];
    assert_eq!(rank(&policy("^1"), &tags).newest, Some(version("2.0.0")));
    let alpine = VersionPolicy { tags: pattern("", "-alpine"), ..policy("^1") };
    assert_eq!(rank(&alpine, &tags).newest, Some(version("9.0.0")));
    assert_eq!(rank(&policy("*"), &["latest", "1.0.0-rc.1"]).newest, None);
    assert_eq!(rank(&policy("*"), &[] as &[&str]).newest, None);
}

#[test]
fn rule_06_spellings_share_a_candidate() {
    let tags = ["v1.2.3", "1.2.3_a", "1.2.3", "v1.2.3_z", "1.2.3", "1.2.2"];
    let ranking = rank(&policy("*"), &tags);
    assert_eq!(candidates(&ranking), ["1.2.3_a 1.2.3 v1.2.3_z v1.2.3", "1.2.2"]);
}

#[test]
fn messages_hold_no_control_characters() {
    let ugly = "1.2.3\u{1b}[31m\n";
    let policy = VersionPolicy { tags: pattern("\u{1b}", "\n"), ..policy("*") };
    let ranking = rank(&policy, &[ugly, "\u{7}"]);
    for rejected in &ranking.rejected {
        assert!(!rejected.message.chars().any(char::is_control), "{:?}", rejected.message);
        assert!(!rejected.to_string().chars().any(char::is_control));
    }
}
