//! What holds for every list of tags and every policy.

use std::cmp::Ordering;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::reference::{Naive, Written, precedence, read};
use super::*;

const NOW: i64 = 1_000_000;
const AGE_MS: u64 = 1_000;

fn a_pre_release() -> impl Strategy<Value = String> {
    select(vec![
        "rc.1",
        "rc.2",
        "rc.10",
        "rc9",
        "rc10",
        "beta",
        "alpha.1",
        "alpha.beta",
        "0",
        "1.a",
        "-",
        "RC",
    ])
    .prop_map(str::to_owned)
}

/// Few numbers, so that versions meet.
fn a_version() -> impl Strategy<Value = String> {
    let number = || select(vec![0, 1, 2, 10]);
    (number(), number(), number(), prop::option::weighted(0.4, a_pre_release())).prop_map(|(x, y, z, pre)| {
        let pre = pre.map(|pre| format!("-{pre}")).unwrap_or_default();
        format!("{x}.{y}.{z}{pre}")
    })
}

fn a_version_tag() -> impl Strategy<Value = String> {
    let build = prop::option::weighted(0.2, select(vec!["b.1", "b.2", "007"]));
    (prop::bool::weighted(0.2), a_version(), build).prop_map(|(v, version, build)| {
        let build = build.map(|build| format!("_{build}")).unwrap_or_default();
        format!("{}{version}{build}", if v { "v" } else { "" })
    })
}

fn a_tag() -> impl Strategy<Value = String> {
    prop_oneof![
        12 => a_version_tag(),
        1 => select(vec!["latest", "1", "1.4", "v1", "1.2.3.4", "2024.01.02", "1.2.3p9", ""]).prop_map(str::to_owned),
        // Close to a version, and far from one.
        1 => "v{0,2}[0-2]{1,2}(\\.[0-9]{1,2}){0,4}[-_+]?[a-z0-9._-]{0,4}",
        1 => "\\PC{0,12}",
    ]
}

fn a_comparator() -> impl Strategy<Value = Written> {
    let op = select(vec!["", "=", ">", ">=", "<", "<=", "~", "^", "*"]);
    let pre = prop_oneof![3 => Just(String::new()), 1 => a_pre_release()];
    (op, vec(select(vec![0, 1, 2, 9]), 1..=3), pre).prop_map(|(op, mut numbers, mut pre)| {
        if op == "*" {
            numbers.truncate(2);
        }
        if numbers.len() < 3 {
            pre.clear();
        }
        Written { op, numbers, pre }
    })
}

fn a_prerelease_policy() -> impl Strategy<Value = Prerelease> {
    prop_oneof![
        Just(Prerelease::None),
        Just(Prerelease::All),
        vec(select(vec!["rc", "beta", "0", "rc10"]), 0..3).prop_map(|names| channels(&names)),
    ]
}

/// A policy and the requirements it was made from.
#[derive(Clone, Debug)]
struct Case {
    world: World,
    require: Vec<Written>,
    exclude: Vec<Written>,
}

fn a_case() -> impl Strategy<Value = Case> {
    let requirements = (vec(a_comparator(), 0..3), vec(a_comparator(), 0..2), a_prerelease_policy());
    // Content, whether its rollout failed, and age: of the first list, old, young, unknown.
    let facts = (0..3_u8, prop::bool::weighted(0.2), select(vec![Some(0), Some(1), Some(NOW), None]));
    let tags = vec((a_tag(), facts), 0..16);
    let floor = prop::option::of(a_version());
    let running = prop::option::of((a_tag(), 0..3_u8));
    (requirements, tags, floor, running, any::<(bool, bool)>()).prop_map(build_case)
}

type Facts3 = (u8, bool, Option<i64>);
type Parts = (
    (Vec<Written>, Vec<Written>, Prerelease),
    Vec<(String, Facts3)>,
    Option<String>,
    Option<(String, u8)>,
    (bool, bool),
);

fn build_case(((require, exclude, prerelease), tags, floor, running, (downgrade, aged)): Parts) -> Case {
    let text = require.iter().map(Written::text).collect::<Vec<_>>().join(", ");
    let policy = VersionPolicy {
        require: if text.is_empty() { semver::VersionReq::STAR } else { text.parse().unwrap() },
        exclude: exclude.iter().map(|written| written.text().parse().unwrap()).collect(),
        min_age: if aged { Duration::from_millis(AGE_MS) } else { Duration::ZERO },
        prerelease,
        downgrade,
        ..VersionPolicy::default()
    };
    let mut world = World::new(policy, &[]);
    world.now_ms = NOW;
    world.floor = floor.map(|text| version(&text));
    world.running =
        running.map(|(tag, content)| Running { tag: Some(tag), digest: Some(digest(&content.to_string())) });
    for (tag, (content, refused, seen)) in tags {
        if world.registry.iter().any(|entry| entry.0 == tag) {
            continue;
        }
        if refused && let Some(parsed) = parse_tag(&tag, &TagPattern::default()) {
            world = world.refuse(&parsed.version.to_string(), &content.to_string());
        }
        world.first_seen_ms.extend(seen.map(|at| (tag.clone(), at)));
        world.registry.push((tag, content.to_string(), BTreeSet::new()));
    }
    Case { world, require, exclude }
}

fn naive(version: &semver::Version) -> Naive {
    read(&version.to_string().replace('+', "_")).unwrap()
}

impl Case {
    fn allows(&self, v: &Naive) -> bool {
        let let_in = match &self.world.policy.prerelease {
            _ if v.pre.is_empty() => true,
            Prerelease::None => false,
            Prerelease::All => true,
            Prerelease::Channels(names) => names.contains(&v.pre[0]),
        };
        let_in && self.require.iter().all(|w| w.holds(v)) && !self.exclude.iter().any(|w| w.holds(v))
    }

    /// The highest version that nothing speaks against, with neither a floor nor anything
    /// running taken into account.
    fn highest(&self) -> Option<Naive> {
        let world = &self.world;
        let acceptable = |(tag, content, _): &&(String, String, _)| {
            let Some(v) = read(tag).filter(|v| self.allows(v)) else { return false };
            let refused = world.refused.iter().any(|refused| {
                refused.digest == digest(content)
                    && precedence(&naive(&version(&refused.version)), &v) == Ordering::Equal
            });
            let seen = world.first_seen_ms.iter().find(|seen| seen.0 == *tag);
            let old = world.policy.min_age.is_zero()
                || seen.is_some_and(|(_, at)| *at == 0 || NOW - at >= i64::try_from(AGE_MS).unwrap());
            !refused && old
        };
        let versions = world.registry.iter().filter(acceptable).filter_map(|entry| read(&entry.0));
        versions.max_by(precedence)
    }
}

fn is_below(v: &Naive, floor: Option<&semver::Version>) -> bool {
    floor.is_some_and(|floor| precedence(v, &naive(floor)) == Ordering::Less)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn rule_01_reads_what_the_reference_reads(tag in a_tag()) {
        let parsed = parse_tag(&tag, &TagPattern::default()).map(|parsed| naive(&parsed.version));
        prop_assert_eq!(parsed, read(&tag));
    }

    #[test]
    fn rule_01_any_text_is_read_or_rejected(
        tags in vec("(?s).{0,140}", 0..8),
        (prefix, suffix) in ("(?s).{0,3}", "(?s).{0,3}"),
        require in "\\PC{0,12}",
    ) {
        let require = require.parse().unwrap_or_default();
        let policy = VersionPolicy { require, tags: TagPattern { prefix, suffix }, ..VersionPolicy::default() };
        let ranking = rank(&policy, &tags);
        let named: usize = ranking.candidates.iter().map(|candidate| candidate.tags.len()).sum();
        let distinct: BTreeSet<&String> = tags.iter().collect();
        prop_assert_eq!(named + ranking.rejected.len(), distinct.len());
        choose(&policy, &ranking, &Facts::default());
    }

    #[test]
    fn rule_03_a_pattern_is_taken_off_and_nothing_else(
        tag in a_tag(),
        (prefix, suffix) in ("[a-z_.-]{1,3}", "[a-z0-9_.-]{0,3}"),
    ) {
        let spelt = pattern(&prefix, &suffix);
        let parsed = parse_tag(&format!("{prefix}{tag}{suffix}"), &spelt).map(|parsed| naive(&parsed.version));
        prop_assert_eq!(parsed, if tag.starts_with('v') { None } else { read(&tag) });
        prop_assert!(tag.starts_with(&prefix) || parse_tag(&tag, &spelt).is_none());
    }

    #[test]
    fn rule_04_without_leave_no_pre_release(mut case in a_case()) {
        case.world.policy.prerelease = Prerelease::None;
        if let Choice::Chosen(chosen) = case.world.choose() {
            prop_assert!(chosen.version.pre.is_empty());
        }
    }

    #[test]
    fn rule_05_the_order_is_total_and_the_standard_s(tags in vec(a_version_tag(), 0..24)) {
        let all = VersionPolicy { prerelease: Prerelease::All, ..policy("*") };
        let ranking = rank(&all, &tags);
        prop_assert!(ranking.rejected.is_empty());
        let order: Vec<Naive> = ranking.candidates.iter().map(|c| read(&c.tags[0]).unwrap()).collect();
        for (i, higher) in order.iter().enumerate() {
            for lower in &order[i + 1..] {
                prop_assert_eq!(precedence(higher, lower), Ordering::Greater);
            }
        }
        for candidate in &ranking.candidates {
            for tag in &candidate.tags {
                prop_assert_eq!(precedence(&read(tag).unwrap(), &naive(&candidate.version)), Ordering::Equal);
            }
        }
    }

    #[test]
    fn rule_05_requirements_are_their_bounds(written in a_comparator(), text in a_version()) {
        let (v, requirement) = (version(&text), written.text().parse().unwrap());
        prop_assert_eq!(matches(&requirement, &v), written.holds(&naive(&v)), "{} {}", written.text(), text);
        if v.pre.is_empty() {
            prop_assert_eq!(matches(&requirement, &v), requirement.matches(&v), "as Cargo: {} {}", requirement, v);
        }
    }

    #[test]
    fn rule_05_the_ranking_is_the_filter(case in a_case()) {
        let ranking = case.world.rank();
        for tag in ranking.candidates.iter().flat_map(|candidate| &candidate.tags) {
            prop_assert!(case.allows(&read(tag).unwrap()), "{}", tag);
        }
        for rejected in &ranking.rejected {
            let v = read(&rejected.tag);
            prop_assert_eq!(v.is_none(), rejected.reason == RejectReason::NotSemver);
            prop_assert!(!v.is_some_and(|v| case.allows(&v)), "{}", rejected);
        }
    }

    #[test]
    fn rule_05_the_chosen_is_the_maximum(mut case in a_case()) {
        case.world.running = None;
        case.world.policy.downgrade = false;
        let expected = case.highest().filter(|v| !is_below(v, case.world.floor.as_ref()));
        match case.world.choose() {
            Choice::Chosen(chosen) => {
                let found = naive(&chosen.version);
                prop_assert!(expected.is_some_and(|v| precedence(&v, &found) == Ordering::Equal), "{:?}", chosen);
                let content = &case.world.registry.iter().find(|entry| entry.0 == chosen.tag).unwrap().1;
                prop_assert_eq!(chosen.digest, digest(content));
            }
            other => prop_assert!(expected.is_none(), "{:?} for {:?}", other, expected),
        }
    }

    #[test]
    fn rule_05_the_order_of_the_list_changes_nothing(
        (case, shuffled) in a_case().prop_flat_map(|case| {
            let registry = case.world.registry.clone();
            (Just(case), Just(registry).prop_shuffle())
        }),
    ) {
        let mut other = case.world.clone();
        other.registry = shuffled;
        // Tags listed twice neither.
        let twice = other.registry.clone();
        other.registry.extend(twice);
        prop_assert_eq!(case.world.rank(), other.rank());
        prop_assert_eq!(case.world.choose(), other.choose());
    }

    #[test]
    fn rule_05_a_lower_tag_changes_no_choice(case in a_case(), tag in a_tag(), content in 0..3_u8) {
        let Choice::Chosen(chosen) = case.world.choose() else { return Ok(()) };
        let lower = |v: &Naive| precedence(v, &naive(&chosen.version)) == Ordering::Less;
        prop_assume!(read(&tag).is_none_or(|v| lower(&v)));
        prop_assume!(!case.world.registry.iter().any(|entry| entry.0 == tag));
        let mut more = case.world.clone();
        more.first_seen_ms.push((tag.clone(), 0));
        more.registry.push((tag, content.to_string(), BTreeSet::new()));
        prop_assert_eq!(more.choose(), Choice::Chosen(chosen));
    }

    #[test]
    fn rule_06_what_runs_stays_while_it_is_the_version(case in a_case()) {
        let Choice::Chosen(chosen) = case.world.choose() else { return Ok(()) };
        let mut next = case.world.clone();
        next.running = Some(Running { tag: Some(chosen.tag.clone()), digest: Some(chosen.digest.clone()) });
        next.floor = Some(chosen.version.clone());
        let Choice::Chosen(again) = next.choose() else { panic!("settled on {chosen:?}, then on nothing") };
        // The old `running` may have won a tie; with the new one the choice stands still.
        prop_assert_eq!((again.tag, again.digest), (chosen.tag, chosen.digest));
    }

    #[test]
    fn rule_07_never_below_the_floor_without_leave(mut case in a_case()) {
        case.world.policy.downgrade = false;
        if let Choice::Chosen(chosen) = case.world.choose() {
            prop_assert!(!is_below(&naive(&chosen.version), case.world.floor.as_ref()));
        }
    }

    #[test]
    fn rule_08_what_failed_is_not_chosen(case in a_case()) {
        if let Choice::Chosen(chosen) = case.world.choose() {
            let failed = case.world.refused.iter().any(|refused| {
                refused.digest == chosen.digest && version(&refused.version).cmp_precedence(&chosen.version).is_eq()
            });
            prop_assert!(!failed);
        }
    }

    #[test]
    fn rule_10_the_chosen_digest_was_resolved_or_runs(case in a_case()) {
        let (choice, asked) = case.world.choose_counting();
        if let Choice::Chosen(chosen) = choice {
            prop_assert!(asked.contains(&chosen.tag));
            let content = &case.world.registry.iter().find(|entry| entry.0 == chosen.tag).unwrap().1;
            let running = case.world.running.and_then(|running| running.digest);
            prop_assert!(chosen.digest == digest(content) || Some(chosen.digest) == running);
        }
    }
}
