use std::fs;

use super::*;

const GOOD: &str = "[services.web]\nimage = \"r.example.com/web\"\n";
const SHARING: &str = "template = \"saas\"\n";

struct Place {
    dir: tempfile::TempDir,
    specs: Specs,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("specs/templates")).unwrap();
        fs::create_dir(dir.path().join("specs/eu")).unwrap();
        let specs = Specs::new(&dir.path().join("specs"), Some(dir.path()));
        let mut place = Self { dir, specs };
        for (file, text) in files {
            place.write(file, text);
        }
        place.read(Trigger::Startup);
        place
    }

    fn write(&self, file: &str, text: &str) {
        let new = self.dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path(file)).unwrap();
    }

    fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).unwrap();
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join("specs").join(file)
    }

    /// The reasons told, with whom they are about; whom to look at; who is gone.
    fn read(&mut self, trigger: Trigger) -> [Vec<String>; 3] {
        let changes = self.specs.read(trigger).unwrap();
        let about = |event: &NewEvent| {
            format!("{} {}", event.reason.as_str(), event.customer.clone().unwrap_or_default())
        };
        [
            changes.events.iter().map(about).collect(),
            changes.changed.into_iter().collect(),
            changes.removed.into_iter().collect(),
        ]
    }

    /// The files that would be parsed now.
    fn parsed(&self) -> Vec<String> {
        let mut reader = self.specs.reader.clone();
        let found = reader.read(&self.specs.dir).unwrap();
        concerned(&reader, &found).into_keys().collect()
    }
}

fn three(told: &[&str], changed: &[&str], removed: &[&str]) -> [Vec<String>; 3] {
    [told, changed, removed].map(|list| list.iter().map(|one| (*one).to_owned()).collect())
}

#[test]
fn of_files_that_changed_only_those_are_parsed() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD), ("eu/initech.toml", GOOD)]);
    assert_eq!(place.parsed(), Vec::<String>::new());
    assert_eq!(place.read(Trigger::Spec), three(&[], &[], &[]));
    place.write("globex.toml", &GOOD.replace("web\"", "other\""));
    assert_eq!(place.parsed(), ["globex.toml"]);
    assert_eq!(place.read(Trigger::Spec), three(&["SpecChanged globex"], &["globex"], &[]));
    assert_eq!(place.specs.customers().count(), 3);
    place.write("globex.toml", &format!("# as before\n{}", GOOD.replace("web\"", "other\"")));
    assert_eq!(place.read(Trigger::Spec), three(&[], &[], &[]), "it means the same");
}

#[test]
fn what_customers_share_concerns_those_who_may_use_it() {
    let mut place = Place::new(&[
        ("templates/saas.toml", GOOD),
        ("acme.toml", SHARING),
        ("escaped.toml", "\"templat\\u0065\" = \"saas\"\n"),
        ("globex.toml", GOOD),
    ]);
    assert_eq!(place.specs.customers().count(), 3);
    place.write("globex.toml", &GOOD.replace("web\"", "x\""));
    assert_eq!(place.parsed(), ["globex.toml", "templates/saas.toml"], "its template is at hand");
    place.read(Trigger::Spec);
    place.write("templates/saas.toml", &GOOD.replace("web\"", "other\""));
    assert_eq!(place.parsed(), ["acme.toml", "escaped.toml", "templates/saas.toml"]);
    let told = ["SpecChanged acme", "SpecChanged escaped"];
    assert_eq!(place.read(Trigger::Spec), three(&told, &["acme", "escaped"], &[]));
    place.remove("templates/saas.toml");
    let told = ["SpecInvalid acme", "SpecInvalid escaped"];
    assert_eq!(place.read(Trigger::Spec), three(&told, &[], &[]));
    assert_eq!(place.specs.customers().count(), 3, "the last good ones stay");
}

#[test]
fn files_with_one_name_concern_each_other() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD)]);
    place.write("eu/acme.toml", GOOD);
    assert_eq!(place.parsed(), ["acme.toml", "eu/acme.toml"]);
    assert_eq!(place.read(Trigger::Spec), three(&["SpecInvalid acme"], &[], &[]));
    place.remove("acme.toml");
    assert_eq!(place.parsed(), ["eu/acme.toml"]);
    let [told, changed, removed] = place.read(Trigger::Spec);
    assert_eq!((told, removed), (vec!["SpecChanged acme".to_owned()], Vec::new()));
    assert_eq!(changed, ["acme"], "it is another file");
}

#[test]
fn a_spec_that_is_gone_is_told_once_and_one_that_cannot_be_read_is_not_gone() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD)]);
    place.remove("acme.toml");
    std::os::unix::fs::symlink("nowhere.toml", place.path("acme.toml")).unwrap();
    assert_eq!(place.read(Trigger::Spec), three(&["SpecInvalid acme"], &[], &[]));
    assert_eq!(place.read(Trigger::Resync), three(&[], &[], &[]));
    assert!(place.specs.get("acme").is_some());
    place.remove("acme.toml");
    assert_eq!(place.read(Trigger::Spec), three(&["SpecRemoved acme"], &[], &["acme"]));
    assert!(place.specs.get("acme").is_none());
    assert_eq!(place.read(Trigger::Manual), three(&[], &[], &[]));
}

#[test]
fn after_a_restart_only_what_is_otherwise_is_told() {
    let place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD), ("initech.toml", GOOD)]);
    place.remove("initech.toml");
    place.write("globex.toml", &GOOD.replace("web\"", "other\""));
    let specs = Specs::new(&place.dir.path().join("specs"), Some(place.dir.path()));
    let mut again = Place { specs, ..place };
    let told = ["SpecChanged globex", "SpecRemoved initech"];
    assert_eq!(again.read(Trigger::Startup), three(&told, &["acme", "globex"], &["initech"]));
}

#[test]
fn a_person_who_asks_has_everything_read_again() {
    let mut place = Place::new(&[("acme.toml", GOOD)]);
    assert_eq!(place.read(Trigger::Manual), three(&[], &[], &[]));
    place.write("acme.toml", "[services.web]\n");
    assert_eq!(place.read(Trigger::Manual), three(&["SpecInvalid acme"], &[], &[]));
    place.write("acme.toml", GOOD);
    assert_eq!(place.read(Trigger::Spec), three(&["Recovered acme"], &[], &[]));
}
