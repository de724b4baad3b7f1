//! The check that the postmortem says was missing: does what runs equal the highest version?

use crate::image::{Digest, ImageRef};
use crate::spec::TagPattern;
use crate::version::parse_tag;

/// What a service (or a compose file) has, and what the registry says.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    pub image: &'a ImageRef,
    pub tags: &'a TagPattern,
    /// What the registry answered; `Err` says why it did not.
    pub highest: Result<Highest, String>,
    /// The registry's digest of the tag that runs, where that is needed and could be had.
    pub tag_now: Option<Digest>,
    /// Tasks that run exactly the service's image, and how many should; `None`: nothing runs
    /// (a compose file).
    pub tasks: Option<(u64, u64)>,
    /// Why a higher version is not taken, if the spec, a failure or a person holds it.
    pub held: Option<String>,
}

/// What the image ought to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Highest {
    /// The highest version allowed.
    Version { version: semver::Version, tag: String, digest: Digest },
    /// The spec names the content.
    Pinned { tag: Option<String>, digest: Digest },
    /// No tag is an allowed version.
    None,
}

/// The answer; the names are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Highest,
    Behind,
    Moved,
    Floating,
    Unpinned,
    Pinned,
    Unknown,
}

/// Judges; the text says why.
pub fn judge(evidence: &Evidence<'_>) -> (Verdict, String) {
    let highest = match &evidence.highest {
        Ok(highest) => highest,
        Err(why) => return (Verdict::Unknown, why.clone()),
    };
    match highest {
        Highest::Pinned { tag, digest } => pinned(evidence, tag.as_deref(), digest),
        Highest::Version { version, digest, .. } => versioned(evidence, Some((version, digest))),
        Highest::None => versioned(evidence, None),
    }
}

fn pinned(evidence: &Evidence<'_>, tag: Option<&str>, digest: &Digest) -> (Verdict, String) {
    let image = evidence.image;
    match &image.digest {
        Some(running) if running == digest => {
            with_tasks(evidence, Verdict::Pinned, "runs what the spec pins")
        }
        Some(_) if tag.is_some() && image.tag.as_deref() == tag => {
            (Verdict::Moved, "the right tag, but other content than the registry has under it now".to_owned())
        }
        None if image.tag.as_deref() == tag => (Verdict::Unpinned, UNPINNED.to_owned()),
        _ => {
            (Verdict::Behind, format!("does not run what the spec pins ({})", tag.unwrap_or(digest.as_str())))
        }
    }
}

const UNPINNED: &str = "the right tag without a digest: hosts may run different content";

fn versioned(evidence: &Evidence<'_>, highest: Option<(&semver::Version, &Digest)>) -> (Verdict, String) {
    let image = evidence.image;
    let held = evidence.held.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let Some(tag) = image.tag.as_deref() else {
        return match (highest, &image.digest) {
            (Some((_, digest)), Some(running)) if digest == running => {
                with_tasks(evidence, Verdict::Highest, "the highest version, by digest alone")
            }
            (_, Some(_)) => (Verdict::Floating, format!("names a digest and no version{held}")),
            (_, None) => {
                (Verdict::Floating, format!("names no tag, so it is whatever `latest` is on each host{held}"))
            }
        };
    };
    let Some(parsed) = parse_tag(tag, evidence.tags) else {
        let better =
            highest.map(|(version, _)| format!("; the highest version is {version}")).unwrap_or_default();
        return (Verdict::Floating, format!("tag {tag:?} is not a full version{better}{held}"));
    };
    let Some((version, digest)) = highest else {
        return (Verdict::Behind, format!("no tag of the repository is a version that is allowed{held}"));
    };
    match parsed.version.cmp_precedence(version) {
        std::cmp::Ordering::Less => (Verdict::Behind, format!("{version} is there{held}")),
        std::cmp::Ordering::Greater => (
            Verdict::Behind,
            format!("runs {}, which is not allowed; the highest allowed is {version}{held}", parsed.version),
        ),
        std::cmp::Ordering::Equal => match &image.digest {
            None => (Verdict::Unpinned, UNPINNED.to_owned()),
            // Another spelling of the version (`v1.2.3`) may be what runs.
            Some(running) if running == digest || Some(running) == evidence.tag_now.as_ref() => {
                with_tasks(evidence, Verdict::Highest, "")
            }
            Some(_) => {
                (Verdict::Moved, format!("{tag} has other content in the registry now than what runs{held}"))
            }
        },
    }
}

/// A good verdict holds only if the tasks run it.
fn with_tasks(evidence: &Evidence<'_>, good: Verdict, message: &str) -> (Verdict, String) {
    match evidence.tasks {
        Some((right, wanted)) if right < wanted => {
            let held = evidence.held.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            (Verdict::Behind, format!("{right} of {wanted} tasks run it{held}"))
        }
        _ => (good, message.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(seed: &str) -> Digest {
        Digest::of(seed.as_bytes())
    }

    fn verdict(image: &str, highest: Result<Highest, String>, tasks: Option<(u64, u64)>) -> Verdict {
        let image = image.parse().unwrap();
        let tags = TagPattern::default();
        judge(&Evidence { image: &image, tags: &tags, highest, tag_now: None, tasks, held: None }).0
    }

    #[test]
    fn every_verdict() {
        let top = || {
            Ok(Highest::Version {
                version: "1.10.0".parse().unwrap(),
                tag: "1.10.0".into(),
                digest: digest("new"),
            })
        };
        let at = |tag: &str, content: &str| format!("r.example.com/a:{tag}@{}", digest(content));
        let pin = || Ok(Highest::Pinned { tag: Some("16.3.0".into()), digest: digest("db") });
        type Case = (String, Result<Highest, String>, Option<(u64, u64)>, Verdict);
        let cases: Vec<Case> = vec![
            (at("1.10.0", "new"), top(), Some((2, 2)), Verdict::Highest),
            (at("1.10.0", "new"), top(), Some((1, 2)), Verdict::Behind),
            (at("1.10.0", "new"), top(), Some((0, 0)), Verdict::Highest),
            (at("v1.10.0", "new"), top(), None, Verdict::Highest),
            (at("1.9.0", "old"), top(), Some((2, 2)), Verdict::Behind),
            (at("1.11.0", "odd"), top(), Some((2, 2)), Verdict::Behind),
            (at("1.10.0", "other"), top(), Some((2, 2)), Verdict::Moved),
            ("r.example.com/a:1.10.0".into(), top(), Some((2, 2)), Verdict::Unpinned),
            ("r.example.com/a:1.9.0".into(), top(), Some((2, 2)), Verdict::Behind),
            ("r.example.com/a:latest".into(), top(), Some((2, 2)), Verdict::Floating),
            ("r.example.com/a".into(), top(), Some((2, 2)), Verdict::Floating),
            (at("latest", "new"), top(), Some((2, 2)), Verdict::Floating),
            (at("1.10.0", "new"), Err("down".into()), Some((2, 2)), Verdict::Unknown),
            (at("1.10.0", "new"), Ok(Highest::None), Some((2, 2)), Verdict::Behind),
            (at("16.3.0", "db"), pin(), Some((1, 1)), Verdict::Pinned),
            (at("16.3.0", "db"), pin(), Some((0, 1)), Verdict::Behind),
            (at("16.3.0", "older"), pin(), Some((1, 1)), Verdict::Moved),
            (at("16.2.0", "older"), pin(), Some((1, 1)), Verdict::Behind),
            ("r.example.com/a:16.3.0".into(), pin(), Some((1, 1)), Verdict::Unpinned),
        ];
        for (image, highest, tasks, expected) in cases {
            assert_eq!(verdict(&image, highest.clone(), tasks), expected, "{image} {highest:?} {tasks:?}");
        }
    }

    #[test]
    fn what_holds_it_is_told_with_each_verdict_it_explains() {
        let highest = Highest::Version {
            version: "1.10.0".parse().unwrap(),
            tag: "1.10.0".into(),
            digest: digest("new"),
        };
        let tags = TagPattern::default();
        for (text, expected) in [
            (format!("r.example.com/a:1.9.0@{}", digest("old")), Verdict::Behind),
            (format!("r.example.com/a:1.10.0@{}", digest("other")), Verdict::Moved),
            ("r.example.com/a:latest".to_owned(), Verdict::Floating),
            ("r.example.com/a".to_owned(), Verdict::Floating),
        ] {
            let image = text.parse().unwrap();
            let held = Some("suspended: audit week".to_owned());
            let evidence = Evidence {
                image: &image,
                tags: &tags,
                highest: Ok(highest.clone()),
                tag_now: None,
                tasks: None,
                held,
            };
            let (verdict, message) = judge(&evidence);
            assert_eq!(verdict, expected, "{text}");
            assert!(message.ends_with(": suspended: audit week"), "{text}: {message}");
        }
    }
}
