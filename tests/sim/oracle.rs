//! What must hold at the end of a run (design/reliability.md, I1 to I13).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use skep::events::{Event, Filter, Phase, Reason};

use crate::run::Record;
use crate::scenarios::Allow;
use crate::witness::{Change, Verb};

/// How many logical events there were, by service and reason.
pub type Told = BTreeMap<(String, &'static str), usize>;

/// Reasons whose number is the same whatever goes wrong: what was changed and what came of it.
const COUNTED: [Reason; 21] = [
    Reason::ServiceCreated,
    Reason::ServiceUpdated,
    Reason::ImageUpdated,
    Reason::ImageRepulled,
    Reason::DriftCorrected,
    Reason::RolloutStarted,
    Reason::RolloutComplete,
    Reason::RolloutFailed,
    Reason::RolledBack,
    Reason::VersionRefused,
    Reason::ServiceRemoved,
    // What begins and what ends is told once, whoever restarts.
    Reason::SpecAdded,
    Reason::SpecChanged,
    Reason::SpecInvalid,
    Reason::SpecRemoved,
    Reason::NotOwned,
    Reason::NoVersionFits,
    Reason::WouldDowngrade,
    Reason::PruneHeld,
    Reason::Suspended,
    Reason::Resumed,
];

/// What is told first and noted as told after that: who dies in between tells it once more rather than never.
const TOLD_FIRST: [Reason; 4] =
    [Reason::SpecAdded, Reason::SpecChanged, Reason::SpecInvalid, Reason::SpecRemoved];

/// The whole log; a line that cannot be read is told by `log`.
pub fn read(dir: &Path) -> Vec<Event> {
    let lines = skep::events::read(dir, &Filter::default()).unwrap();
    lines.map(|line| line.unwrap().event.expect("a line that this skep wrote")).collect()
}

/// I8: the log is whole, and each change has exactly one logical event.
pub fn log(events: &[Event], changes: &[Change]) -> Vec<String> {
    let mut problems = Vec::new();
    for (at, event) in events.iter().enumerate() {
        if event.seq != at as u64 + 1 {
            problems.push(format!("I8: event {} stands at place {}", event.seq, at + 1));
            break;
        }
    }
    let mut done: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for event in events {
        match event.phase {
            Some(Phase::Done) => {
                *ends.entry(&event.id).or_default() += 1;
                done.entry(object(event)).or_default().insert(&event.id);
            }
            Some(Phase::Failed) => *ends.entry(&event.id).or_default() += 1,
            Some(Phase::Intent) => drop(ends.entry(&event.id).or_insert(0)),
            None => {}
        }
    }
    problems.extend(ends.iter().filter(|(_, ends)| **ends != 1).map(|(id, ends)| {
        let about = events.iter().find(|event| event.id == **id).map(object).unwrap_or_default();
        format!("I8: the change {id} of {about} has {ends} outcomes")
    }));
    let mut made: BTreeMap<String, usize> = BTreeMap::new();
    for change in changes {
        *made.entry(change.name.clone()).or_default() += 1;
    }
    let names: BTreeSet<&String> = made.keys().chain(done.keys()).collect();
    for name in names {
        let (made, told) = (made.get(name).copied().unwrap_or(0), done.get(name).map_or(0, BTreeSet::len));
        if made != told {
            problems.push(format!("I8: {name} was changed {made} times, and the log tells of {told}"));
        }
    }
    problems
}

/// The full name in the Swarm.
pub fn object(event: &Event) -> String {
    let customer = event.customer.as_deref().unwrap_or_default();
    if let Some(key) = &event.service {
        return format!("{customer}_{key}");
    }
    let kinds = ["network ", "secret ", "config "];
    let object = kinds.into_iter().find_map(|kind| event.message.strip_prefix(kind));
    object.and_then(|rest| rest.split([' ', ':']).next()).unwrap_or(customer).to_owned()
}

/// An event in a line.
pub fn line(event: &Event, epoch: jiff::Timestamp) -> String {
    let since = event.time.duration_since(epoch).as_secs_f64();
    let phase = event.phase.map(|phase| format!(" {phase:?}")).unwrap_or_default();
    let id: String = event.id.chars().rev().take(4).collect();
    format!("{since:>9.3} {}{phase} {} [{id}] {}", event.reason.as_str(), object(event), event.message)
}

pub fn told(events: &[Event]) -> Told {
    let counted = events.iter().filter(|event| COUNTED.contains(&event.reason));
    // What was taken back or never came about is no change.
    let counted = counted.filter(|event| !matches!(event.phase, Some(Phase::Intent | Phase::Failed)));
    // How often something was met until it ended is a matter of time.
    let counted = counted.filter(|event| event.count.is_none());
    // That the specs as a whole are out of reach is told at each start.
    let counted = counted.filter(|event| event.reason != Reason::SpecInvalid || event.customer.is_some());
    let distinct: BTreeSet<(String, &'static str, &str)> =
        counted.map(|event| (object(event), event.reason.as_str(), event.id.as_str())).collect();
    let mut told = Told::new();
    for (name, reason, _) in distinct {
        *told.entry((name, reason)).or_default() += 1;
    }
    told
}

/// A text that holds a credential, as it is or in any encoding of 64 letters.
fn betrays(text: &str, canary: &str) -> bool {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    // Within other text it begins at any of three places; what stands beside it changes its ends.
    let encoded = |before: usize| {
        let bytes = [&vec![0; before], canary.as_bytes()].concat();
        let text = STANDARD_NO_PAD.encode(bytes);
        text[4.min(text.len())..text.len().saturating_sub(2)].replace('+', "-").replace('/', "_")
    };
    let plain = text.replace('+', "-").replace('/', "_");
    text.contains(canary) || (0..3).any(|before| plain.contains(&encoded(before)))
}

/// I11: no credential in anything that skep says.
pub fn said(what: &str, text: &str, canaries: &[String]) -> Option<String> {
    let found = canaries.iter().any(|canary| betrays(text, canary));
    found.then(|| format!("I11: a credential stands in {what}"))
}

/// I11: no credential in anything that is kept.
pub fn secrets(state_dir: &Path, canaries: &[String]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut dirs = vec![state_dir.to_owned()];
    while let Some(dir) = dirs.pop().filter(|_| !canaries.is_empty()) {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                dirs.push(entry.path());
                continue;
            }
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            problems.extend(said(&entry.path().display().to_string(), &text, canaries));
        }
    }
    problems
}

/// I3 and I8: as many changes, tasks and events as without faults. `told_again`: skep died once at
/// a call of its file system, and so perhaps between telling and noting it.
pub fn compare(record: &Record, reference: &Record, allow: Allow, told_again: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let keys: BTreeSet<&(String, Verb)> = record.counts.keys().chain(reference.counts.keys()).collect();
    for key in keys {
        let of = |record: &Record| record.counts.get(key).copied().unwrap_or(0);
        let (found, wanted) = (of(record), of(reference));
        if found != wanted {
            problems.push(format!("I3: {} {:?}s of {}, not {wanted}", found, key.1, key.0));
        }
    }
    if record.ids != reference.ids && !allow.more_tasks {
        problems.push(format!("I3: {} IDs were given, not {}", record.ids, reference.ids));
    }
    let keys: BTreeSet<&(String, &str)> = record.told.keys().chain(reference.told.keys()).collect();
    for key in keys {
        let of = |record: &Record| record.told.get(key).copied().unwrap_or(0);
        let (found, wanted) = (of(record), of(reference));
        let again =
            told_again && found == wanted + 1 && TOLD_FIRST.iter().any(|reason| reason.as_str() == key.1);
        let more = allow.more_rollouts && key.1 == Reason::RolloutComplete.as_str();
        if found != wanted && !again && !more {
            problems.push(format!("I8: {found} events {} of {}, not {wanted}", key.1, key.0));
        }
    }
    problems
}
