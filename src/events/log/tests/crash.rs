//! The power fails, or the process dies, at every call of the file system.

use std::collections::BTreeSet;

use super::*;
use crate::files::model::{Disk, Fault, Image};

/// What the writer was told, and what it tried to write.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    acknowledged: Vec<(u64, String)>,
    tried: BTreeSet<String>,
    /// Intents that were acknowledged, and of which no outcome was tried.
    open: BTreeSet<String>,
    /// Those with an acknowledged outcome.
    closed: BTreeSet<String>,
}

const OPTIONS: Options = Options { max_bytes: 900, keep: 100 };

/// Opens the log and writes so many rounds of an intent, two events at once, and the outcome
/// of every second intent; goes on after failures.
fn run(disk: &Disk, dir: &Path, rounds: usize) -> Told {
    let mut told = Told::default();
    let Ok(log) = Log::on(disk.files(), dir, OPTIONS) else { return told };
    let write = |told: &mut Told, events: Vec<NewEvent>| {
        told.tried.extend(events.iter().map(|event| event.message.clone()));
        let written = log.append_many(events, now());
        let done = written.is_ok();
        told.acknowledged.extend(written.into_iter().flatten().map(|event| (event.seq, event.message)));
        done
    };
    for round in 0..rounds {
        let (id, done) = (format!("change {round}"), format!("done {round}"));
        if write(&mut told, vec![with_phase(&id, Phase::Intent)]) {
            told.open.insert(id.clone());
        }
        write(&mut told, vec![new(&format!("a {round}")), new(&format!("b {round}"))]);
        if round % 2 == 0 {
            told.open.remove(&id);
            if write(&mut told, vec![NewEvent { message: done, ..with_phase(&id, Phase::Done) }]) {
                told.closed.insert(id);
            }
        }
    }
    told
}

fn lines(dir: &Path) -> Vec<(u64, String)> {
    read(dir, &Filter::default()).unwrap().map(|l| l.unwrap().head).map(|h| (h.seq, h.message)).collect()
}

/// Whatever the disk holds, the log opens, has all that was acknowledged and nothing that was
/// not tried, and goes on.
fn check(image: &Image, told: &Told, when: &str) {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::of(root.path(), image, Fault::None);
    let dir = root.path().join("state/events");
    if !root.path().join("state").is_dir() {
        assert_eq!(told.acknowledged, [], "{when}: all is gone");
        return;
    }
    let log = Log::on(disk.files(), &dir, OPTIONS).unwrap_or_else(|e| panic!("{when}: {e}"));
    check_lines(&dir, told, when);
    let open: BTreeSet<String> = log.open_intents().into_iter().map(|event| event.id).collect();
    assert!(told.open.is_subset(&open), "{when}: {:?}, found {open:?}", told.open);
    assert!(told.closed.is_disjoint(&open), "{when}: {open:?} of which {:?} are closed", told.closed);
    let last = lines(&dir).last().map_or(0, |(seq, _)| *seq);
    let event = log.append(new("after"), now()).unwrap_or_else(|e| panic!("{when}: {e}"));
    assert!(event.seq > last, "{when}: {} after {last}", event.seq);
    assert_eq!(lines(&dir).last(), Some(&(event.seq, "after".into())), "{when}");
}

fn check_lines(dir: &Path, told: &Told, when: &str) {
    let found = lines(dir);
    assert!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "{when}: {found:?}");
    for event in &told.acknowledged {
        assert!(found.contains(event), "{when}: {event:?} was acknowledged, and is not in {found:?}");
    }
    for (_, message) in &found {
        assert!(told.tried.contains(message), "{when}: {message:?} was invented");
    }
}

/// A disk with a state directory, and where its log is.
fn fresh(root: &Path, fault: Fault) -> (Disk, PathBuf) {
    let disk = Disk::of(root, &Image::from([("state".into(), None)]), fault);
    (disk, root.join("state/events"))
}

/// Every state that the power may fail in during a run: death at every call, and for each all
/// that the disk may hold then.
fn states(rounds: usize) -> BTreeSet<(Image, Told)> {
    let mut states = BTreeSet::new();
    for call in 0.. {
        let root = tempfile::tempdir().unwrap();
        let (disk, dir) = fresh(root.path(), Fault::Death(call));
        let told = run(&disk, &dir, rounds);
        states.extend(disk.after_power_loss().into_iter().map(|image| (image, told.clone())));
        if disk.calls() <= call {
            return states;
        }
    }
    unreachable!()
}

#[test]
fn power_loss_at_every_call_loses_nothing_acknowledged() {
    let states = states(12);
    assert!(states.len() > 350, "only {} states", states.len());
    for (at, (image, told)) in states.iter().enumerate() {
        check(image, told, &format!("state {at}"));
    }
}

#[test]
fn power_loss_while_a_power_loss_is_mended() {
    let mut count = 0;
    for (at, (image, told)) in states(3).iter().enumerate() {
        for call in 0.. {
            let root = tempfile::tempdir().unwrap();
            let disk = Disk::of(root.path(), image, Fault::Death(call));
            let opened = Log::on(disk.files(), &root.path().join("state/events"), OPTIONS);
            for image in disk.after_power_loss() {
                count += 1;
                check(&image, told, &format!("state {at}, call {call}"));
            }
            if opened.is_ok() {
                break;
            }
        }
    }
    assert!(count > 600, "only {count} states");
}

/// What a new process finds it acts upon, so from then on it must be as safe as what was
/// acknowledged: the one before may have been killed ahead of its sync.
#[test]
fn what_was_found_after_a_kill_survives_a_power_loss() {
    for call in 0.. {
        let root = tempfile::tempdir().unwrap();
        let (disk, dir) = fresh(root.path(), Fault::Death(call));
        let mut told = run(&disk, &dir, 6);
        let ended = disk.calls() <= call;
        disk.mend();
        let log = Log::on(disk.files(), &dir, OPTIONS).unwrap();
        check_lines(&dir, &told, &format!("call {call}"));
        told.acknowledged = lines(&dir);
        told.open = log.open_intents().into_iter().map(|event| event.id).collect();
        for (at, image) in disk.after_power_loss().iter().enumerate() {
            check(image, &told, &format!("call {call}, state {at}"));
        }
        if ended {
            break;
        }
    }
}

#[test]
fn one_failing_call_fails_one_append_and_leaves_no_trace() {
    for left in [0, 40, usize::MAX] {
        for call in 0.. {
            let root = tempfile::tempdir().unwrap();
            let (disk, dir) = fresh(root.path(), Fault::Once(call, left));
            let told = run(&disk, &dir, 8);
            let when = format!("call {call}, {left} bytes left");
            if disk.calls() <= call {
                break;
            }
            if !told.tried.is_empty() {
                assert!(told.acknowledged.len() + 2 >= told.tried.len(), "{when}");
                assert_eq!(lines(&dir), told.acknowledged, "{when}");
                let seqs: Vec<u64> = told.acknowledged.iter().map(|(seq, _)| *seq).collect();
                assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>(), "{when}: gaps");
            }
            for image in disk.after_power_loss() {
                check(&image, &told, &when);
            }
        }
    }
}
