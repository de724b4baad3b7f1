use std::fs;

use super::*;

const GOOD: &str = "[services.web]\nimage = \"r.example.com/web\"\n";
const SHARING: &str = "template = \"saas\"\n";

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

struct Place {
    dir: tempfile::TempDir,
    specs: Specs,
}

impl Place {
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("specs/templates")).unwrap();
        fs::create_dir(dir.path().join("specs/eu")).unwrap();
        let specs = Specs::new(&dir.path().join("specs"), Some(dir.path()), Sealing::visitor(dir.path()));
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
        let changes = self.specs.read(trigger, now()).unwrap();
        self.specs.note_told();
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
        let found = reader.read(&self.dir.path().join("specs")).unwrap();
        let moved = came_or_went(&self.specs.names, &reader, &found);
        reading::concerned(&reader, &found, &self.specs.to_look_at(&moved)).into_keys().collect()
    }
}

/// The list of what changed is a hint: what it leaves out is found by the next reading of everything.
#[test]
fn what_was_named_is_read_alone() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD), ("initech.toml", GOOD)]);
    let read = |place: &mut Place, files: &[&str]| {
        let files = files.iter().map(|file| (*file).to_owned()).collect();
        let changes = place.specs.read_touched(&files, now()).unwrap();
        place.specs.note_told();
        let known = place.specs.inventory().customers.keys().cloned().collect::<Vec<String>>();
        ([changes.changed, changes.removed].map(|names| names.into_iter().collect::<Vec<_>>()), known)
    };
    let other = GOOD.replace("web\"", "other\"");
    place.write("acme.toml", &other);
    place.write("globex.toml", &other);
    let ([changed, _], _) = read(&mut place, &["globex.toml"]);
    assert_eq!(changed, ["globex"]);
    let held = place.specs.inventory().customers["globex"].clone();
    assert_eq!(held.as_ref(), place.specs.get("globex"), "what is removed is decided by what is in force");
    place.write("new.toml", GOOD);
    let ([changed, _], known) = read(&mut place, &["new.toml"]);
    assert_eq!(
        (changed, known),
        (vec!["new".to_owned()], ["acme", "globex", "initech", "new"].map(str::to_owned).to_vec())
    );
    place.remove("initech.toml");
    let ([changed, removed], known) = read(&mut place, &["initech.toml"]);
    assert_eq!((changed, removed), (vec!["acme".to_owned()], vec!["initech".to_owned()]), "all is listed");
    assert_eq!(known, ["acme", "globex", "new"]);
    assert_eq!(place.specs.inventory().gone.len(), 1);
    let dir = place.dir.path();
    let mut again =
        Place { specs: Specs::new(&dir.join("specs"), Some(dir), Sealing::visitor(dir)), ..place };
    assert_eq!(again.read(Trigger::Startup)[0], Vec::<String>::new(), "all was told before the restart");
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
    let dir = place.dir.path();
    let specs = Specs::new(&dir.join("specs"), Some(dir), Sealing::visitor(dir));
    let mut again = Place { specs, ..place };
    let told = ["SpecChanged globex", "SpecRemoved initech"];
    assert_eq!(again.read(Trigger::Startup), three(&told, &["acme", "globex"], &["initech"]));
}

/// What was read and not written to the log, for skep died before, is told by the next one.
#[test]
fn what_was_not_told_before_a_crash_is_told_after_it() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD), ("initech.toml", GOOD)]);
    place.write("acme.toml", &GOOD.replace("web\"", "other\""));
    place.write("globex.toml", "[services.web]\n");
    place.remove("initech.toml");
    assert_eq!(place.specs.read(Trigger::Spec, now()).unwrap().events.len(), 3, "and then it dies");
    let dir = place.dir.path();
    place.specs = Specs::new(&dir.join("specs"), Some(dir), Sealing::visitor(dir));
    let told = ["SpecInvalid globex", "SpecChanged acme", "SpecRemoved initech"];
    assert_eq!(place.read(Trigger::Startup), three(&told, &["acme"], &["initech"]));
    let dir = place.dir.path();
    place.specs = Specs::new(&dir.join("specs"), Some(dir), Sealing::visitor(dir));
    assert_eq!(place.read(Trigger::Startup), three(&[], &["acme"], &[]), "once");
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

/// The fleet's rules are everybody's: when they change, and when nobody can read them.
#[test]
fn the_fleets_rules_concern_all() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD)]);
    let both = ["acme".to_owned(), "globex".to_owned()];
    let rules = "allowed_images = [\"elsewhere.example.com/*\"]\n";
    place.write("fleet.toml", rules);
    assert_eq!(place.read(Trigger::Spec), three(&["SpecInvalid acme", "SpecInvalid globex"], &[], &[]));
    assert_eq!(place.specs.customers().count(), 2, "the last good ones stay");
    fs::write(place.path("fleet.toml"), b"\xff").unwrap();
    place.read(Trigger::Spec);
    assert_eq!(place.specs.invalid().filter(|name| both.contains(&(*name).to_owned())).count(), 2);
    place.remove("fleet.toml");
    place.read(Trigger::Spec);
    assert_eq!(place.specs.invalid().filter(|name| both.contains(&(*name).to_owned())).count(), 0);
}

/// A customer that comes later owns what begins with its name.
#[test]
fn a_new_customer_concerns_who_names_what_is_its_own() {
    let acme = format!("{GOOD}[networks.globex_inner]\nexternal = true\n");
    let mut place = Place::new(&[("acme.toml", acme.as_str()), ("initech.toml", GOOD)]);
    assert_eq!(place.specs.customers().count(), 2);
    place.write("globex.toml", GOOD);
    assert_eq!(place.parsed(), ["acme.toml", "globex.toml"]);
    let told = three(&["SpecInvalid acme", "SpecAdded globex"], &["globex"], &[]);
    assert_eq!(place.read(Trigger::Spec), told);
    // It is known although its file is not read again.
    place.write("acme.toml", &format!("\n{acme}"));
    assert_eq!(place.parsed(), ["acme.toml"]);
    place.read(Trigger::Spec);
    let told = place.specs.told.get("acme").unwrap().invalid.clone().unwrap();
    assert!(told.starts_with("acme.toml:4:11") && told.contains("belongs to customer globex"), "{told}");
}

/// When the customer's stack is to go, and whether the specs allow of it now.
fn due(specs: &Specs, name: &str) -> Option<(String, bool)> {
    let inventory = specs.inventory();
    inventory.due(name).map(|due| (due.to_string(), inventory.complete))
}

#[test]
fn a_stack_goes_a_grace_after_its_file_whoever_restarts() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD)]);
    place.remove("acme.toml");
    place.read(Trigger::Spec);
    let ten_past = || Some(("2026-11-23T12:10:00Z".to_owned(), true));
    assert_eq!(due(&place.specs, "acme"), ten_past());
    assert_eq!(due(&place.specs, "globex"), None);
    let later = now() + jiff::SignedDuration::from_secs(300);
    let mut again = Specs::new(
        &place.dir.path().join("specs"),
        Some(place.dir.path()),
        Sealing::visitor(place.dir.path()),
    );
    assert!(again.read(Trigger::Startup, later).unwrap().removed.is_empty(), "it was told before");
    assert_eq!(due(&again, "acme"), ten_past());
    // A directory that cannot be read says nothing about what is gone.
    fs::rename(place.dir.path().join("specs"), place.dir.path().join("away")).unwrap();
    again.read(Trigger::Spec, later).unwrap_err();
    assert_eq!(due(&again, "acme"), Some(("2026-11-23T12:10:00Z".to_owned(), false)));
    fs::rename(place.dir.path().join("away"), place.dir.path().join("specs")).unwrap();
    again.read(Trigger::Spec, later).unwrap();
    assert_eq!(due(&again, "acme"), ten_past());
    place.write("acme.toml", GOOD);
    let changes = again.read(Trigger::Spec, later).unwrap();
    assert_eq!(changes.events.iter().map(|event| event.reason).collect::<Vec<_>>(), [Reason::SpecAdded]);
    assert_eq!(due(&again, "acme"), None);
}

#[test]
fn what_was_to_stay_stays_and_what_went_is_forgotten() {
    let mut place = Place::new(&[("acme.toml", &format!("prune = false\n{GOOD}")), ("globex.toml", GOOD)]);
    place.remove("acme.toml");
    place.remove("globex.toml");
    place.read(Trigger::Spec);
    assert!(place.specs.inventory().gone["acme"].keep);
    assert_eq!(due(&place.specs, "acme"), None);
    place.specs.stack_removed("globex");
    assert!(!place.specs.inventory().gone.contains_key("globex"));
    let mut again = Specs::new(
        &place.dir.path().join("specs"),
        Some(place.dir.path()),
        Sealing::visitor(place.dir.path()),
    );
    // The clock was put back: the time that is left does not grow.
    let earlier = now() - jiff::SignedDuration::from_secs(3600);
    again.read(Trigger::Startup, earlier).unwrap();
    let gone: Vec<(&String, Timestamp)> =
        again.inventory().gone.iter().map(|(name, gone)| (name, gone.since)).collect();
    assert_eq!(gone, [(&"acme".to_owned(), earlier)]);
}

#[test]
fn the_fleets_rules_for_removal_are_those_in_force() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD)]);
    place.write("fleet.toml", "prune = { grace = \"1h\", share = 0.05 }\n");
    place.read(Trigger::Spec);
    place.remove("acme.toml");
    place.read(Trigger::Spec);
    assert_eq!(due(&place.specs, "acme"), Some(("2026-11-23T13:00:00Z".to_owned(), true)));
    assert_eq!(place.specs.inventory().policy.share, 5);
    // Rules that nobody can read let nothing go.
    place.write("fleet.toml", "prune = { grace = 1");
    place.read(Trigger::Spec);
    assert_eq!(due(&place.specs, "acme"), Some(("2026-11-23T13:00:00Z".to_owned(), false)));
    place.write("fleet.toml", "prune = false\n");
    place.read(Trigger::Spec);
    assert_eq!(due(&place.specs, "acme"), None);
}

/// A customer whose file is away for a moment, or cannot be read, owns what it owns: nobody takes it meanwhile.
#[test]
fn what_is_a_customers_stays_its_own_until_its_stack_is_gone() {
    let globex = format!("{GOOD}[volumes.x]\nexternal = true\nname = \"acme_data\"\n");
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", globex.as_str())]);
    let is_valid = |place: &mut Place| {
        place.read(Trigger::Spec);
        place.specs.get("globex").is_some()
    };
    assert!(!is_valid(&mut place));
    place.remove("acme.toml");
    assert!(!is_valid(&mut place), "the file is gone");
    place.write("globex.toml", &format!("# again\n{globex}"));
    assert!(!is_valid(&mut place));
    fs::write(place.path("acme.toml"), b"\xff").unwrap();
    assert!(!is_valid(&mut place), "it cannot be read");
    let dir = place.dir.path();
    let read = read_dir(&dir.join("specs"), &Sealing::visitor(dir), &Owners::of(dir)).unwrap();
    assert!(read.invalid["globex"].contains("belongs to customer acme"), "{:?}", read.invalid);
    let mut place =
        Place { specs: Specs::new(&dir.join("specs"), Some(dir), Sealing::visitor(dir)), ..place };
    assert!(!is_valid(&mut place), "after a restart");
    place.remove("acme.toml");
    assert!(!is_valid(&mut place));
    place.specs.stack_removed("acme");
    assert!(is_valid(&mut place), "the stack is gone");
}

/// The name may stand there by a variable or with escapes.
#[test]
fn a_new_customer_concerns_who_names_what_is_its_own_in_other_words() {
    let by_variable = format!(
        "{GOOD}[vars]\npartner = \"globex\"\n[networks.inner]\nexternal = true\nname = \"${{partner}}_net\"\n"
    );
    let escaped = format!("{GOOD}[networks.inner]\nexternal = true\nname = \"globe\\u0078_net\"\n");
    let mut place =
        Place::new(&[("acme.toml", &by_variable), ("initech.toml", &escaped), ("other.toml", GOOD)]);
    assert_eq!(place.specs.customers().count(), 3);
    place.write("globex.toml", GOOD);
    assert_eq!(place.parsed(), ["acme.toml", "globex.toml", "initech.toml"]);
    let told = ["SpecInvalid acme", "SpecInvalid initech", "SpecAdded globex"];
    assert_eq!(place.read(Trigger::Spec), three(&told, &["globex"], &[]));
}

/// Variables have no file that could change.
#[test]
fn a_new_customer_concerns_who_takes_content_from_variables_of_its_name() {
    let acme = format!("{GOOD}[secrets.a]\nenvironment = \"GLOBEX_EU_TOKEN\"\n");
    let mut place = Place::new(&[("acme.toml", &acme), ("other.toml", GOOD)]);
    assert_eq!(place.specs.customers().count(), 2);
    place.write("globex-eu.toml", GOOD);
    assert_eq!(place.parsed(), ["acme.toml", "globex-eu.toml"]);
    let told = ["SpecInvalid acme", "SpecAdded globex-eu"];
    assert_eq!(place.read(Trigger::Spec), three(&told, &["globex-eu"], &[]));
}

/// No manager sees who made a volume; so both are told, also the one who was first and whose file did not change.
#[test]
fn two_customers_that_name_one_volume_are_both_invalid_until_one_is_granted_it() {
    let data = format!("{GOOD}[volumes.x]\nname = \"shared-data\"\n");
    let external = format!("{GOOD}[volumes.y]\nexternal = true\nname = \"shared-data\"\n");
    let mut place = Place::new(&[("acme.toml", &data), ("other.toml", GOOD)]);
    let invalid = |place: &mut Place, trigger| {
        place.read(trigger);
        place.specs.invalid().map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(invalid(&mut place, Trigger::Spec).is_empty());
    place.write("globex.toml", &external);
    let told = ["SpecInvalid acme", "SpecInvalid globex"];
    assert_eq!(place.read(Trigger::Spec), three(&told, &[], &[]));
    assert!(place.specs.get("acme").is_some(), "the last good spec stays in force");
    for trigger in [Trigger::Resync, Trigger::Manual] {
        assert_eq!(invalid(&mut place, trigger), ["acme", "globex"]);
    }
    let dir = place.dir.path();
    let read = read_dir(&dir.join("specs"), &Sealing::visitor(dir), &Owners::of(dir)).unwrap();
    assert_eq!(read.invalid.keys().collect::<Vec<_>>(), ["acme", "globex"]);
    assert!(read.invalid["acme"].contains("customer globex names the volume `shared-data`, too"));

    place.write("fleet.toml", "grants.acme = [\"shared-data\"]\n");
    assert_eq!(invalid(&mut place, Trigger::Spec), ["globex"]);
    place.write("fleet.toml", "[grants]\nacme = [\"shared-data\"]\nglobex = [\"shared-data\"]\n");
    assert!(invalid(&mut place, Trigger::Spec).is_empty());
    place.remove("fleet.toml");
    assert_eq!(invalid(&mut place, Trigger::Spec), ["acme", "globex"]);
    // The one lets go of it, and the other is right again without a change of its own.
    place.write("globex.toml", GOOD);
    assert!(invalid(&mut place, Trigger::Spec).is_empty());
    place.write("globex.toml", &external);
    assert_eq!(invalid(&mut place, Trigger::Spec), ["acme", "globex"]);
    place.remove("globex.toml");
    place.read(Trigger::Spec);
    assert!(place.specs.invalid().any(|name| name == "acme"), "its tasks may have the volume still");
    place.specs.stack_removed("globex");
    assert!(invalid(&mut place, Trigger::Spec).is_empty());
}

/// What a broken file does not say is no release: what is in force goes on using it.
#[test]
fn only_a_valid_spec_lets_go_of_a_volume() {
    let data = format!("{GOOD}[volumes.data]\nexternal = true\n");
    let named = format!("{GOOD}[volumes.x]\nexternal = true\nname = \"data\"\n");
    let mut place =
        Place::new(&[("globex.toml", &data), ("templates/bad.toml", "[services.web]\nimagine = 1\n")]);
    place.write("acme.toml", &named);
    let told = ["SpecInvalid acme", "SpecInvalid globex"];
    assert_eq!(place.read(Trigger::Spec), three(&told, &[], &[]));
    let broken = [
        data.replace("true", "\"yes\""),
        "not toml".to_owned(),
        "template = \"bad\"\n".to_owned(),
        // Without an error of its volumes, and none at all until its content is looked for.
        format!("{GOOD}[configs.x]\nfile = \"nowhere\"\n"),
        format!("{GOOD}imagine = 1\n"),
    ];
    for text in &broken {
        place.write("globex.toml", text);
        for trigger in [Trigger::Spec, Trigger::Resync, Trigger::Manual] {
            let [_, changed, _] = place.read(trigger);
            assert!(changed.is_empty() && place.specs.get("acme").is_none(), "{text}");
        }
        assert!(place.specs.get("globex").is_some_and(|globex| !globex.volumes.is_empty()));
    }
    place.write("globex.toml", GOOD);
    let told = ["SpecChanged acme", "SpecChanged globex"];
    let [mut found, changed, _] = place.read(Trigger::Spec);
    found.sort();
    assert_eq!(found[1..], told[1..], "{found:?}");
    assert_eq!(changed, ["acme", "globex"], "at once");
    assert_eq!(place.specs.invalid().count(), 0);
}

/// A volume moves from one to the other with one reading, and nobody is told of an error meanwhile.
#[test]
fn a_volume_that_one_lets_go_of_is_another_ones_at_once() {
    let data = format!("{GOOD}[volumes.data]\nexternal = true\n");
    let mut place = Place::new(&[("globex.toml", &data), ("acme.toml", GOOD)]);
    for (trigger, [from, to]) in [(Trigger::Spec, ["globex", "acme"]), (Trigger::Manual, ["acme", "globex"])]
    {
        place.write(&format!("{from}.toml"), GOOD);
        place.write(&format!("{to}.toml"), &data);
        let [mut told, changed, _] = place.read(trigger);
        told.sort();
        assert_eq!(told, ["SpecChanged acme", "SpecChanged globex"]);
        assert_eq!(changed, ["acme", "globex"]);
        let dir = place.dir.path();
        let read = read_dir(&dir.join("specs"), &Sealing::visitor(dir), &Owners::of(dir)).unwrap();
        assert_eq!(read.invalid.len(), 0);
    }
    // Others find the same by what was told before.
    place.write("acme.toml", &data);
    place.write("globex.toml", GOOD);
    let dir = place.dir.path();
    let read = read_dir(&dir.join("specs"), &Sealing::visitor(dir), &Owners::of(dir)).unwrap();
    assert_eq!(read.invalid.len(), 0, "{:?}", read.invalid);
}

#[test]
fn a_volume_of_one_whose_file_is_gone_is_its_own_also_after_a_restart_and_for_who_only_looks() {
    let data = format!("{GOOD}[volumes.data]\nexternal = true\n");
    let mut place = Place::new(&[("globex.toml", &data)]);
    place.remove("globex.toml");
    place.write("acme.toml", &data);
    place.write("initech.toml", &format!("{GOOD}[volumes.x]\nexternal = true\nname = \"globex_data\"\n"));
    place.write("umbrella.toml", &format!("{GOOD}[configs.x]\nenvironment = \"GLOBEX_TOKEN\"\n"));
    let all = ["acme", "initech", "umbrella"];
    place.read(Trigger::Spec);
    let dir = place.dir.path();
    let ledger = fs::read(dir.join("specs.jsonl")).unwrap();
    let config = crate::config::Config {
        specs_dir: dir.join("specs"),
        state_dir: dir.to_owned(),
        ..crate::config::Config::default()
    };
    let read = read_configured(&config, &Sealing::visitor(dir)).unwrap();
    assert_eq!(read.invalid.keys().collect::<Vec<_>>(), all);
    assert!(read.invalid["acme"].contains("customer globex names the volume `data`, too"));
    assert!(read.invalid["umbrella"].contains("globex"), "{:?}", read.invalid);
    assert_eq!(fs::read(dir.join("specs.jsonl")).unwrap(), ledger, "nothing is written");
    let mut place =
        Place { specs: Specs::new(&dir.join("specs"), Some(dir), Sealing::visitor(dir)), ..place };
    for trigger in [Trigger::Startup, Trigger::Resync] {
        place.read(trigger);
        assert_eq!(place.specs.invalid().collect::<Vec<_>>(), all);
        assert_eq!(place.specs.customers().len(), 0);
    }
    place.specs.stack_removed("globex");
    place.read(Trigger::Resync);
    assert_eq!(place.specs.invalid().count(), 0);
    let dir = place.dir.path();
    assert_eq!(read_configured(&config, &Sealing::visitor(dir)).unwrap().invalid.len(), 0);
}

/// A folder is no customer, whatever it is called, and its name is nobody's.
#[test]
fn a_folder_that_cannot_be_read_is_told_of_as_a_folder() {
    let globex = format!("{GOOD}[networks.n]\nexternal = true\nname = \"eu_net\"\n");
    let mut place = Place::new(&[("eu/acme.toml", GOOD), ("globex.toml", &globex)]);
    let (eu, aside) = (place.path("eu"), place.dir.path().join("aside"));
    fs::rename(&eu, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &eu).unwrap();
    let dir = place.dir.path();
    let read = read_dir(&dir.join("specs"), &Sealing::visitor(dir), &Owners::of(dir)).unwrap();
    let said = read.invalid.get("eu/").cloned().unwrap_or_default();
    assert!(said.starts_with("the folder eu/ leads out of the specs directory"), "{:?}", read.invalid);
    assert_eq!(read.invalid.len(), 1, "{:?}", read.invalid);
    assert_eq!(place.read(Trigger::Spec), three(&["SpecInvalid "], &[], &[]));
    assert_eq!(place.read(Trigger::Spec), three(&[], &[], &[]));
    assert!(place.specs.get("acme").is_some() && place.specs.inventory().gone.is_empty());
    fs::remove_file(&eu).unwrap();
    fs::rename(&aside, &eu).unwrap();
    assert_eq!(place.read(Trigger::Spec), three(&["Recovered "], &[], &[]));
    assert!(place.specs.get("acme").is_some() && place.specs.inventory().gone.is_empty());
}

/// A file that customers share is no customer's, whatever it is called.
#[test]
fn a_shared_file_that_cannot_be_read_is_told_once_and_removes_nobody() {
    let mut place = Place::new(&[("templates/saas.toml", GOOD), ("saas.toml", GOOD)]);
    fs::write(place.path("templates/saas.toml"), b"\xff").unwrap();
    assert_eq!(place.read(Trigger::Spec), three(&["SpecInvalid "], &[], &[]));
    for trigger in [Trigger::Resync, Trigger::Spec, Trigger::Manual] {
        assert_eq!(place.read(trigger), three(&[], &[], &[]));
    }
    place.write("templates/saas.toml", GOOD);
    assert_eq!(place.read(Trigger::Spec), three(&["Recovered "], &[], &[]));
    assert!(place.specs.get("saas").is_some());
    assert!(place.specs.inventory().gone.is_empty());
}

#[test]
fn what_the_log_did_not_take_is_told_with_the_next() {
    let mut place = Place::new(&[("acme.toml", GOOD)]);
    place.write("globex.toml", GOOD);
    let changes = place.specs.read(Trigger::Spec, now()).unwrap();
    assert_eq!(changes.events.len(), 1, "and the log does not take it");
    place.remove("acme.toml");
    let told = ["SpecAdded globex", "SpecRemoved acme"];
    assert_eq!(place.read(Trigger::Resync), three(&told, &[], &["acme"]));
    assert_eq!(place.read(Trigger::Resync), three(&[], &[], &[]), "once");
}
