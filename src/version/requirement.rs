//! Does a version satisfy a requirement (design: semver.md rules 4 and 5).
//!
//! For releases this is Cargo's matching. A pre-release, once the policy lets it in, is
//! matched by its precedence, but an upper bound never lets in pre-releases of the bound
//! itself. (Cargo instead ties a pre-release to a comparator that names one.)

use std::cmp::Ordering;

use semver::{Comparator, Op, Version, VersionReq};

type Numbers = (u64, u64, u64);

/// Whether all comparators of `requirement` hold for `version`. Build metadata counts for
/// nothing. Whether pre-releases are wanted at all is for the caller to ask first.
pub fn matches(requirement: &VersionReq, version: &Version) -> bool {
    requirement.comparators.iter().all(|comparator| holds(comparator, version))
}

fn holds(c: &Comparator, v: &Version) -> bool {
    let partial = c.patch.is_none();
    match c.op {
        Op::Exact | Op::Wildcard if partial => at_least(c, v) && same_numbers(c, v),
        Op::Exact | Op::Wildcard => compare(c, v).is_eq(),
        // `>1` is `>=2.0.0`, as Cargo has it.
        Op::Greater if partial => after(c).is_some_and(|first| is_from(first, v)),
        Op::Greater => compare(c, v).is_gt(),
        Op::GreaterEq => at_least(c, v),
        Op::Less => below(c, v),
        // `<=1` is `<2.0.0`.
        Op::LessEq if partial => after(c).is_none_or(|first| numbers(v) < first),
        Op::LessEq => below(c, v) || compare(c, v).is_eq(),
        Op::Tilde => at_least(c, v) && v.major == c.major && c.minor.is_none_or(|minor| v.minor == minor),
        Op::Caret => at_least(c, v) && is_compatible(c, v),
        // `Op` may grow; a comparator that we do not know lets nothing in.
        _ => false,
    }
}

/// The order of `v` relative to the comparator's version, missing numbers being 0.
fn compare(c: &Comparator, v: &Version) -> Ordering {
    numbers(v).cmp(&lowest(c)).then_with(|| v.pre.cmp(&c.pre))
}

fn at_least(c: &Comparator, v: &Version) -> bool {
    compare(c, v).is_ge()
}

/// Below an upper bound: a bound that is a release keeps out its own pre-releases.
fn below(c: &Comparator, v: &Version) -> bool {
    if c.pre.is_empty() { numbers(v) < lowest(c) } else { compare(c, v).is_lt() }
}

/// The release `first` or anything of higher precedence.
fn is_from(first: Numbers, v: &Version) -> bool {
    numbers(v) > first || (numbers(v) == first && v.pre.is_empty())
}

fn same_numbers(c: &Comparator, v: &Version) -> bool {
    v.major == c.major && c.minor.is_none_or(|minor| v.minor == minor)
}

/// Equal up to the left-most number that is not zero.
fn is_compatible(c: &Comparator, v: &Version) -> bool {
    if v.major != c.major {
        return false;
    }
    match (c.major, c.minor, c.patch) {
        (1.., _, _) | (0, None, _) => true,
        (0, Some(0), Some(patch)) => v.minor == 0 && v.patch == patch,
        (0, Some(minor), _) => v.minor == minor,
    }
}

fn numbers(v: &Version) -> Numbers {
    (v.major, v.minor, v.patch)
}

fn lowest(c: &Comparator) -> Numbers {
    (c.major, c.minor.unwrap_or(0), c.patch.unwrap_or(0))
}

/// The first release above all that begin with the numbers of a partial comparator; `None`
/// when there is no such number.
fn after(c: &Comparator) -> Option<Numbers> {
    let next_minor = c.minor.and_then(|minor| minor.checked_add(1));
    match next_minor {
        Some(minor) => Some((c.major, minor, 0)),
        None => Some((c.major.checked_add(1)?, 0, 0)),
    }
}
