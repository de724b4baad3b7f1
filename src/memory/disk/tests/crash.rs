//! The power fails, the process dies, or the disk is full, at every call of the file system.

use super::*;
use crate::files::model::{Disk as Model, Fault, Image as Contents};

const NAMES: [&str; 3] = ["acme_db", "acme_web", "acme_LONG"];

/// What each name may have: the value that was acknowledged last, and those that were tried since.
type Told = BTreeMap<&'static str, Vec<ServiceMemory>>;

fn on(model: &Model, root: &Path) -> io::Result<Disk> {
    Disk::on(model.files(), &root.join("state/memory"), Mode::ReadWrite)
}

fn fresh(root: &Path, fault: Fault) -> Model {
    Model::of(root, &Contents::from([("state".into(), None)]), fault)
}

/// Puts values, new ones, the same again, and the default, which takes the file away.
fn run(model: &Model, root: &Path) -> Told {
    let mut told: Told = NAMES.map(|name| (name, vec![ServiceMemory::default()])).into();
    let Ok(disk) = on(model, root) else { return told };
    let values = [good("1.0.0"), refused(2), ServiceMemory::default(), good("2.0.0"), good("2.0.0")];
    for (round, value) in values.iter().enumerate() {
        for name in &NAMES[..=round.min(2)] {
            let may = told.get_mut(name).unwrap();
            let before = disk.service(name);
            if disk.put_service(name, value.clone()).is_ok() {
                *may = vec![value.clone()];
                assert_eq!(disk.service(name), *value);
            } else {
                may.push(value.clone());
                assert_eq!(disk.service(name), before, "a failed write changes nothing");
            }
        }
    }
    told
}

fn check(contents: &Contents, told: &Told, when: &str) {
    let root = tempfile::tempdir().unwrap();
    let model = Model::of(root.path(), contents, Fault::None);
    let disk = on(&model, root.path()).unwrap_or_else(|e| panic!("{when}: {e}"));
    for (name, may) in told {
        let found = disk.service(name);
        assert!(may.contains(&found), "{when}: {name} has {found:?}, not one of {may:?}");
        disk.put_service(name, good("9.0.0")).unwrap_or_else(|e| panic!("{when}: {e}"));
    }
    let again = on(&model, root.path()).unwrap();
    assert!(told.keys().all(|name| again.service(name) == good("9.0.0")), "{when}");
    let names = files(&root.path().join("state/memory/services"));
    assert_eq!(names.len(), NAMES.len(), "{when}: {names:?}");
}

#[test]
fn power_loss_at_every_call_loses_nothing_acknowledged() {
    let mut count = 0;
    for call in 0.. {
        let root = tempfile::tempdir().unwrap();
        let model = fresh(root.path(), Fault::Death(call));
        let told = run(&model, root.path());
        for contents in model.after_power_loss() {
            count += 1;
            check(&contents, &told, &format!("call {call}"));
        }
        if model.calls() <= call {
            break;
        }
    }
    assert!(count > 100, "only {count} states");
}

/// What a new process finds it acts upon, so from then on it must be there.
#[test]
fn what_was_found_after_a_kill_survives_a_power_loss() {
    for call in 0.. {
        let root = tempfile::tempdir().unwrap();
        let model = fresh(root.path(), Fault::Death(call));
        let mut told = run(&model, root.path());
        let ended = model.calls() <= call;
        model.mend();
        let disk = on(&model, root.path()).unwrap();
        for (name, may) in &mut told {
            assert!(may.contains(&disk.service(name)), "call {call}");
            *may = vec![disk.service(name)];
        }
        for contents in model.after_power_loss() {
            check(&contents, &told, &format!("call {call}"));
        }
        if ended {
            break;
        }
    }
}

#[test]
fn one_failing_call_changes_nothing_else() {
    for left in [0, 40, usize::MAX] {
        for call in 0.. {
            let root = tempfile::tempdir().unwrap();
            let model = fresh(root.path(), Fault::Once(call, left));
            let told = run(&model, root.path());
            if model.calls() <= call {
                break;
            }
            for contents in model.after_power_loss() {
                check(&contents, &told, &format!("call {call}, {left} bytes left"));
            }
        }
    }
}

#[test]
fn full_disk_keeps_what_was_acknowledged() {
    for space in (0..2000).step_by(31) {
        let root = tempfile::tempdir().unwrap();
        let model = fresh(root.path(), Fault::None);
        drop(on(&model, root.path()).unwrap());
        model.fill(space);
        let told = run(&model, root.path());
        model.mend();
        for contents in model.after_power_loss() {
            check(&contents, &told, &format!("{space} bytes"));
        }
    }
}

/// As the log's: a flip costs at most what stands in its file.
#[test]
fn flipped_bits_cost_one_name_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path());
    disk.put_service("acme_db", refused(1)).unwrap();
    disk.put_service("acme_web", good("1.0.0")).unwrap();
    let path = dir.path().join("services/acme_db.json");
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        for bits in [0x01, 0x40, 0x80] {
            let mut damaged = whole.clone();
            damaged[at] ^= bits;
            fs::write(&path, &damaged).unwrap();
            let when = format!("byte {at}, bits {bits:#x}");
            match Disk::open(dir.path(), Mode::ReadOnly) {
                Ok(disk) => assert_eq!(disk.service("acme_web"), good("1.0.0"), "{when}"),
                // `"format": 1` became a greater number.
                Err(error) => assert!(error.to_string().contains("a newer skep"), "{when}: {error}"),
            }
        }
    }
}
