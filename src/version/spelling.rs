//! Pre-releases spelt so that their order surprises: `rc10` is below `rc9` (SemVer 2.0.0,
//! section 11.4.2: identifiers with letters compare as text).

use std::cmp::Ordering;

use semver::Prerelease;

use super::shown;

/// A repository can hold many such families; some are enough to see the matter.
const WARNINGS_MAX: usize = 5;
/// Identifiers looked at, from the highest version down: enough to see the habit.
const IDENTIFIERS_MAX: usize = 10_000;

/// `rc10` as (`rc`, `10`).
type Numbered<'t> = (&'t str, &'t str);

/// One warning for each family (`rc`, `beta`, …) whose members stand in another order as
/// text than by their numbers. The pre-releases come highest first.
pub(super) fn warnings<'t>(pre_releases: impl Iterator<Item = &'t Prerelease>) -> Vec<String> {
    let identifiers = pre_releases.filter(|pre| !pre.is_empty()).flat_map(|pre| pre.split('.'));
    let mut numbered: Vec<Numbered<'t>> = identifiers.filter_map(split).take(IDENTIFIERS_MAX).collect();
    numbered.sort_unstable();
    numbered
        .chunk_by(|a, b| a.0 == b.0)
        .filter_map(out_of_order)
        .take(WARNINGS_MAX)
        .map(|((stem, higher), (_, lower))| {
            let stem = shown(stem);
            format!(
                "pre-releases {stem}{lower} and {stem}{higher} compare as text: {stem}{lower} is the higher; \
                 spell them {stem}.{lower} and {stem}.{higher}"
            )
        })
        .collect()
}

/// An identifier of letters, then digits.
fn split(identifier: &str) -> Option<Numbered<'_>> {
    let stem = identifier.trim_end_matches(|c: char| c.is_ascii_digit());
    let lettered = !stem.is_empty() && stem.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-');
    (lettered && stem.len() < identifier.len()).then(|| identifier.split_at(stem.len()))
}

/// In a family sorted as text: the first whose number is lower than that of one before it,
/// as (higher number, lower number).
fn out_of_order<'t>(family: &[Numbered<'t>]) -> Option<(Numbered<'t>, Numbered<'t>)> {
    let mut highest = *family.first()?;
    for &member in family {
        match by_number(member.1, highest.1) {
            Ordering::Less => return Some((highest, member)),
            Ordering::Equal => {}
            Ordering::Greater => highest = member,
        }
    }
    None
}

fn by_number(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.trim_start_matches('0'), b.trim_start_matches('0'));
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}
