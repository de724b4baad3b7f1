use super::*;
use crate::files::model::{Disk, Fault};
use crate::files::no_sync::NoSync;

fn told(hash: &str) -> Told {
    Told { hash: Some(hash.to_owned()), ..Told::default() }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn file(&self) -> PathBuf {
        self.dir.path().join("specs.jsonl")
    }

    fn open(&self) -> Ledger {
        Ledger::open(Some(self.file()))
    }

    fn lines(&self) -> usize {
        fs::read_to_string(self.file()).unwrap().lines().count()
    }
}

fn place() -> Place {
    Place { dir: tempfile::tempdir().unwrap() }
}

#[test]
fn each_change_is_a_line_and_the_last_one_holds() {
    let place = place();
    let mut ledger = place.open();
    for name in ["acme", "globex", "initech"] {
        assert_eq!(ledger.set(name, told("one")), None);
    }
    ledger.save().unwrap();
    assert_eq!(place.lines(), 3);
    assert_eq!(ledger.set("acme", told("two")), Some(told("one")));
    ledger.set("globex", told("one"));
    ledger.forget("initech");
    ledger.forget("nobody");
    ledger.save().unwrap();
    assert_eq!(place.lines(), 5, "what is as it was has no line");
    ledger.save().unwrap();
    assert_eq!(place.lines(), 5);
    let again = place.open();
    let all: Vec<(&str, Told)> = again.iter().map(|(name, told)| (name.as_str(), told.clone())).collect();
    assert_eq!(all, [("acme", told("two")), ("globex", told("one"))]);
}

#[test]
fn what_a_crash_cut_off_is_dropped_and_written_over() {
    let place = place();
    let mut ledger = place.open();
    ledger.set("acme", told("one"));
    ledger.set("globex", told("one"));
    ledger.save().unwrap();
    let whole = fs::read(place.file()).unwrap();
    for length in 0..whole.len() {
        fs::write(place.file(), &whole[..length]).unwrap();
        let mut cut = place.open();
        let lines = whole[..length].iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(cut.iter().count(), lines, "{length}");
        cut.set("initech", told("one"));
        cut.save().unwrap();
        let again = place.open();
        assert_eq!((again.iter().count(), place.lines()), (lines + 1, lines + 1), "{length}");
    }
}

#[test]
fn the_file_does_not_grow_without_end() {
    let place = place();
    let mut ledger = Ledger::on(Arc::new(NoSync), Some(place.file()));
    for round in 0..3 * LINES_SPARE {
        ledger.set("acme", told(&round.to_string()));
        ledger.save().unwrap();
    }
    assert!(place.lines() <= LINES_SPARE + 2, "{}", place.lines());
    assert_eq!(place.open().get("acme"), Some(&told(&(3 * LINES_SPARE - 1).to_string())));
}

#[test]
fn what_could_not_be_written_is_written_later() {
    let place = place();
    let mut ledger = place.open();
    ledger.set("acme", told("one"));
    ledger.save().unwrap();
    fs::remove_file(place.file()).unwrap();
    fs::create_dir(place.file()).unwrap();
    ledger.set("globex", told("one"));
    ledger.save().unwrap_err();
    fs::remove_dir(place.file()).unwrap();
    ledger.save().unwrap();
    assert_eq!(place.open().iter().count(), 2);
}

/// The spec says `prune = false`, and with its file gone nobody else does.
#[test]
fn what_was_saved_outlives_a_power_loss() {
    let place = place();
    let disk = Disk::new(place.dir.path(), Fault::None);
    let mut ledger = Ledger::on(disk.files(), Some(place.file()));
    let keep = Told { keep: true, ..told("one") };
    // Appended, and then written anew.
    for rewrite in [false, true] {
        for round in 0..3 {
            ledger.set("acme", keep.clone());
            ledger.set("globex", told(&format!("{rewrite} {round}")));
            if rewrite {
                ledger.lines = None;
            }
            ledger.save().unwrap();
            for image in disk.after_power_loss() {
                let root = tempfile::tempdir().unwrap();
                let _found = Disk::of(root.path(), &image, Fault::None);
                let again = Ledger::open(Some(root.path().join("specs.jsonl")));
                assert_eq!(again.told, ledger.told, "{rewrite} {round}");
            }
        }
    }
}

#[test]
fn behind_a_spoilt_line_the_others_hold() {
    let place = place();
    let mut ledger = place.open();
    ledger.set("acme", told("one"));
    ledger.save().unwrap();
    ledger.set("globex", Told { keep: true, ..told("one") });
    ledger.save().unwrap();
    let mut bytes = fs::read(place.file()).unwrap();
    let length = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    bytes[..length].fill(0);
    fs::write(place.file(), bytes).unwrap();
    let mut again = place.open();
    assert_eq!(
        again.iter().map(|(name, told)| (name.as_str(), told.keep)).collect::<Vec<_>>(),
        [("globex", true)]
    );
    again.set("acme", told("two"));
    again.save().unwrap();
    assert_eq!((place.open().iter().count(), place.lines()), (2, 2), "it is written anew");
}

#[test]
fn volumes_are_kept_and_a_line_without_any_is_as_it_always_was() {
    let place = place();
    let older = "{\"customer\":\"acme\",\"told\":{\"hash\":\"one\"}}\n";
    fs::write(place.file(), older).unwrap();
    let mut ledger = place.open();
    assert_eq!(ledger.get("acme"), Some(&told("one")));
    ledger.set("acme", told("one"));
    let named = Told { volumes: BTreeSet::from(["data".to_owned()]), ..told("one") };
    ledger.set("globex", named.clone());
    ledger.save().unwrap();
    let newer = older.replace("acme", "globex").replace("\"one\"", "\"one\",\"volumes\":[\"data\"]");
    assert_eq!(fs::read_to_string(place.file()).unwrap(), format!("{older}{newer}"));
    let again = place.open();
    assert_eq!(again.get("globex"), Some(&named));
    assert_eq!(again.volumes().into_keys().collect::<Vec<_>>(), ["globex"]);
    let owners = Owners::of(place.dir.path());
    assert_eq!(owners.names.iter().collect::<Vec<_>>(), ["acme", "globex"]);
}
