use super::*;
use crate::files::model::{Disk, Fault};
use crate::files::no_sync::NoSync;

fn good(hash: &str, template: &str) -> Good {
    Good {
        hash: hash.to_owned(),
        file: "eu/acme.toml".to_owned(),
        text: Arc::from(format!("# {hash}\n")),
        templates: BTreeMap::from([("templates/saas.toml".to_owned(), Arc::from(template))]),
        outside: Outside {
            secrets: BTreeMap::from([("token".to_owned(), Seal { hash: "ab".into(), key_id: "cd".into() })]),
            ..Outside::default()
        },
    }
}

struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("specs-good.log")
    }

    fn open(&self) -> LastGood {
        LastGood::on(Arc::new(NoSync), Some(self.file()))
    }

    fn bytes(&self) -> u64 {
        fs::metadata(self.file()).unwrap().len()
    }
}

fn keep(store: &mut LastGood, customer: &str, it: &Good) {
    store.keep(customer, || Some(it.clone()), &it.hash);
}

#[test]
fn what_was_kept_is_found_again() {
    let place = Place::new();
    let mut store = place.open();
    for name in ["acme", "globex"] {
        keep(&mut store, name, &good("one", "big"));
    }
    assert_eq!(store.good("acme"), None, "not saved yet");
    assert!(store.kept("acme").is_some());
    store.keep_fleet(Some("[limits]"));
    store.save().unwrap();
    let before = place.bytes();
    let text = fs::read_to_string(place.file()).unwrap();
    assert_eq!(text.matches("\"template\"").count(), 1, "what many share stands once");
    let mut again = place.open();
    assert_eq!(again.good("acme"), Some(good("one", "big")));
    assert_eq!(again.fleet(), Some(Some("[limits]".to_owned())));
    keep(&mut again, "acme", &good("one", "big"));
    again.keep_fleet(Some("[limits]"));
    again.forget("nobody");
    again.save().unwrap();
    assert_eq!(place.bytes(), before, "nothing changed");
    keep(&mut again, "acme", &good("two", "other"));
    again.keep_fleet(None);
    again.forget("globex");
    again.save().unwrap();
    let mut again = place.open();
    assert_eq!(again.good("acme"), Some(good("two", "other")));
    assert_eq!((again.good("globex"), again.kept("globex")), (None, None));
    assert_eq!(again.fleet(), Some(None));
    again.keep("acme", || None, "three");
    again.save().unwrap();
    assert_eq!(place.open().kept("acme"), None, "what cannot be kept is not what was");
}

#[test]
fn it_grows_by_what_changes_and_not_without_end() {
    let place = Place::new();
    let mut store = place.open();
    let big = "x".repeat(40_000);
    keep(&mut store, "globex", &good("one", &big));
    store.keep_fleet(None);
    let mut most = 0;
    for round in 0..100 {
        let hash = format!("round {round}");
        keep(&mut store, "acme", &good(&hash, &format!("{round}{big}")));
        store.save().unwrap();
        most = most.max(place.bytes());
    }
    assert!(most < SPARE_BYTES + 500_000, "{most}");
    let mut again = place.open();
    assert_eq!(again.good("acme").unwrap().hash, "round 99");
    assert_eq!(again.good("globex"), Some(good("one", &big)));
    assert_eq!(again.fleet(), Some(None));
}

#[test]
fn what_a_crash_cut_off_is_passed_over_and_written_anew() {
    let place = Place::new();
    let mut store = place.open();
    keep(&mut store, "acme", &good("one", "a"));
    store.save().unwrap();
    keep(&mut store, "globex", &good("one", "b"));
    store.save().unwrap();
    let whole = fs::read(place.file()).unwrap();
    for length in 0..=whole.len() {
        fs::write(place.file(), &whole[..length]).unwrap();
        let mut cut = place.open();
        let found = cut.good("acme").is_some();
        keep(&mut cut, "initech", &good("one", "c"));
        cut.save().unwrap();
        let mut again = place.open();
        assert_eq!(again.good("acme").is_some(), found, "{length}");
        assert_eq!(again.good("initech"), Some(good("one", "c")), "{length}");
        assert!(!again.index().is_spoilt, "{length}");
    }
}

#[test]
fn what_could_not_be_written_is_written_later() {
    let place = Place::new();
    let mut store = place.open();
    keep(&mut store, "acme", &good("one", "a"));
    store.save().unwrap();
    fs::remove_file(place.file()).unwrap();
    fs::create_dir(place.file()).unwrap();
    keep(&mut store, "globex", &good("one", "a"));
    store.save().unwrap_err();
    fs::remove_dir(place.file()).unwrap();
    store.save().unwrap();
    assert_eq!(place.open().good("globex"), Some(good("one", "a")), "and with it its template");
}

#[test]
fn what_was_saved_outlives_a_power_loss() {
    let place = Place::new();
    let disk = Disk::new(place.dir.path(), Fault::None);
    let mut store = LastGood::on(disk.files(), Some(place.file()));
    // Appended, and then written anew.
    for rewrite in [false, true] {
        for round in 0..3 {
            let it = good(&format!("{rewrite} {round}"), &format!("{round}"));
            keep(&mut store, "acme", &it);
            store.index().is_spoilt = rewrite;
            store.save().unwrap();
            for image in disk.after_power_loss() {
                let root = tempfile::tempdir().unwrap();
                let _found = Disk::of(root.path(), &image, Fault::None);
                let mut again = LastGood::new(Some(root.path().join("specs-good.log")));
                assert_eq!(again.good("acme").as_ref(), Some(&it));
            }
        }
    }
}
