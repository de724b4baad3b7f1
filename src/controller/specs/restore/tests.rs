use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;

use super::*;
use crate::controller::specs::Sealing;
use crate::events::Trigger;
use crate::spec::ContentKey;

const GOOD: &str = "[services.web]\nimage = \"r.example.com/web\"\ndeploy = { replicas = 3 }\n";
const BAD: &str = "[services.web]\nimagine = \"r.example.com/web\"\n";

struct Place {
    dir: tempfile::TempDir,
    specs: Specs,
}

impl Place {
    /// These files were read, and skep has ended.
    fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["specs/templates", "specs/eu"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let mut place = Self { specs: specs(dir.path()), dir };
        for (file, text) in files {
            place.write(file, text);
        }
        place.read();
        place
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join("specs").join(file)
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).unwrap();
    }

    fn store(&self) -> PathBuf {
        self.dir.path().join("specs-good.log")
    }

    fn read(&mut self) -> Changes {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        // All that is there, as at each start.
        let changes = self.specs.read(Trigger::Manual, now).unwrap();
        self.specs.note_told();
        changes
    }

    /// Starts anew, and gives who is to be looked at.
    fn restart(&mut self) -> Vec<String> {
        self.specs = specs(self.dir.path());
        self.read().changed.into_iter().collect()
    }

    fn in_force(&self, name: &str) -> Option<&Customer> {
        self.specs.get(name).map(|customer| &**customer)
    }
}

fn specs(dir: &std::path::Path) -> Specs {
    let key = ContentKey::new([7; ContentKey::BYTES]);
    Specs::new(&dir.join("specs"), Some(dir), Sealing::controller(key))
}

#[test]
fn who_has_errors_goes_by_the_last_good_spec_also_after_a_restart() {
    let mut place = Place::new(&[
        ("templates/base.toml", "[services.web.deploy]\nreplicas = 3\n"),
        ("templates/saas.toml", "template = \"base\"\n[services.web]\nimage = \"r.example.com/web\"\n"),
        ("acme.toml", "template = \"saas\"\n"),
        ("globex.toml", GOOD),
    ]);
    let before = place.in_force("acme").cloned().unwrap();
    place.write("acme.toml", BAD);
    // Its templates are those of then.
    place.write("templates/base.toml", "[services.web.deploy]\nreplicas = 9\n");
    assert_eq!(place.restart(), ["acme", "globex"]);
    assert_eq!(place.in_force("acme"), Some(&before));
    let told = place.specs.invalid_messages();
    assert!(
        told["acme"].starts_with("its last good spec stays in force: ") && told["acme"].contains("acme.toml")
    );
    assert!(place.specs.inventory().customers["acme"].is_some(), "what is its own is known");
    // And another restart, without a good one in between.
    assert_eq!(place.restart(), ["acme", "globex"]);
    assert_eq!(place.in_force("acme"), Some(&before));
    place.write("acme.toml", &GOOD.replace('3', "4"));
    place.read();
    assert_eq!(place.specs.invalid_messages().len(), 0);
    assert_ne!(place.in_force("acme"), Some(&before));
}

#[test]
fn a_volume_that_another_one_names_now_is_not_taken_from_who_had_it() {
    let data = format!("{GOOD}[volumes.x]\nname = \"shared-data\"\n");
    let mut place = Place::new(&[("acme.toml", &data), ("globex.toml", GOOD)]);
    let before = place.in_force("acme").cloned().unwrap();
    place.write("globex.toml", &data);
    assert_eq!(place.restart(), ["acme", "globex"]);
    assert_eq!(place.specs.invalid().collect::<Vec<_>>(), ["acme", "globex"]);
    assert_eq!(place.in_force("acme"), Some(&before));
    assert!(place.in_force("globex").is_some_and(|customer| customer.volumes.is_empty()));
}

/// Whoever is read first: a file that is broken at the start gives nothing away.
#[test]
fn who_is_broken_at_the_start_has_its_volumes_still() {
    let data = format!("{GOOD}[volumes.data]\nexternal = true\n");
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", &data)]);
    let before = place.in_force("globex").cloned().unwrap();
    for broken in [BAD.as_bytes(), b"\xff"] {
        fs::write(place.path("globex.toml"), broken).unwrap();
        place.write("acme.toml", &data);
        for _ in 0..2 {
            assert_eq!(place.restart(), ["acme", "globex"]);
            assert_eq!(place.specs.invalid().collect::<Vec<_>>(), ["acme", "globex"]);
            assert!(place.in_force("acme").is_some_and(|acme| acme.volumes.is_empty()));
            assert_eq!(place.in_force("globex"), Some(&before));
            place.read();
            assert!(place.in_force("acme").is_some_and(|acme| acme.volumes.is_empty()));
        }
    }
    place.write("globex.toml", GOOD);
    place.restart();
    assert_eq!(place.specs.invalid().count(), 0);
    assert!(place.in_force("acme").is_some_and(|acme| !acme.volumes.is_empty()));
}

#[test]
fn what_cannot_be_read_is_no_other() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("eu/globex.toml", GOOD), ("initech.toml", GOOD)]);
    fs::write(place.path("acme.toml"), b"\xff").unwrap();
    // A folder of which nobody knows what is in it.
    fs::rename(place.path("eu"), place.dir.path().join("eu")).unwrap();
    std::os::unix::fs::symlink(place.dir.path().join("eu"), place.path("eu")).unwrap();
    assert_eq!(place.restart(), ["acme", "globex", "initech"]);
    // The folder is gone, and so is the file; that of acme still is there.
    fs::remove_file(place.path("eu")).unwrap();
    fs::write(place.path("acme.toml"), BAD).unwrap();
    assert_eq!(place.restart(), ["acme", "initech"]);
    assert!(place.specs.inventory().gone.contains_key("globex"));
}

#[test]
fn whose_file_went_has_no_last_good_spec() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", GOOD)]);
    fs::remove_file(place.path("acme.toml")).unwrap();
    place.read();
    place.write("acme.toml", BAD);
    assert_eq!(place.restart(), ["globex"], "as without a restart");
    assert!(!place.specs.keeps_last_good("acme") && place.specs.keeps_last_good("globex"));
    // Gone while skep was.
    fs::remove_file(place.path("globex.toml")).unwrap();
    assert_eq!(place.restart(), Vec::<String>::new());
    assert_eq!(place.specs.inventory().gone.keys().collect::<Vec<_>>(), ["globex"]);
}

#[test]
fn the_rules_of_today_hold_for_it() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("globex.toml", &GOOD.replace('3', "1"))]);
    for name in ["acme", "globex"] {
        place.write(&format!("{name}.toml"), BAD);
    }
    place.write("fleet.toml", "[limits]\nreplicas = 2\n");
    assert_eq!(place.restart(), ["globex"]);
    place.write("fleet.toml", "[limits]\nreplicas = 3\n");
    assert_eq!(place.restart(), ["acme", "globex"]);
}

#[test]
fn where_nobody_knows_the_rules_those_of_before_hold() {
    let mut place = Place::new(&[("acme.toml", GOOD), ("fleet.toml", "[limits]\nreplicas = 7\n")]);
    place.write("fleet.toml", "[limit]\n");
    assert_eq!(place.restart(), ["acme"]);
    let inventory = place.specs.inventory();
    assert_eq!(inventory.fleet.limits.replicas, Some(7));
    assert!(!inventory.complete, "nothing is removed by them");
    // Without the rules of before there is nothing to go by.
    let text = fs::read_to_string(place.store()).unwrap();
    let without: String =
        text.lines().filter(|line| !line.contains("\"fleet\"")).map(|it| format!("{it}\n")).collect();
    fs::write(place.store(), without).unwrap();
    assert_eq!(place.restart(), Vec::<String>::new());
}

#[test]
fn what_a_secret_holds_is_not_kept_and_its_object_is() {
    let text = format!(
        "{GOOD}secrets = [\"token\"]\n[services.api]\nimage = \"r.example.com/api\"\nenv_file = \"api.env\"\n\
         [secrets]\ntoken.file = \"token\"\n"
    );
    let mut place = Place::new(&[]);
    place.write("token", "hunter2");
    place.write("api.env", "PASSWORD=hunter3\n");
    place.write("acme.toml", &text);
    place.read();
    let before = place.in_force("acme").cloned().unwrap();
    let kept = fs::read_to_string(place.store()).unwrap();
    assert!(kept.contains("r.example.com/api") && !kept.contains("hunter"), "{kept}");
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(place.store()).unwrap().permissions().mode() & 0o777, 0o600);
    place.write("acme.toml", BAD);
    assert_eq!(place.restart(), ["acme"]);
    assert_eq!(place.in_force("acme"), Some(&before), "all is there still");
    fs::remove_file(place.path("token")).unwrap();
    fs::remove_file(place.path("api.env")).unwrap();
    place.restart();
    let now = place.in_force("acme").unwrap();
    assert_eq!(now.secrets["token"].swarm_name(), before.secrets["token"].swarm_name());
    assert!(now.services["api"].suspend.is_some() && now.services["web"].suspend.is_none());
}

/// A disk that loses or spoils what it holds gives nothing, least of all an older spec.
#[test]
fn only_what_was_in_force_last_is_taken_up() {
    let mut place = Place::new(&[("acme.toml", &GOOD.replace('3', "1"))]);
    let older = fs::read(place.store()).unwrap();
    place.write("acme.toml", GOOD);
    place.read();
    let whole = fs::read(place.store()).unwrap();
    assert!(whole.starts_with(&older), "a change is a line");
    place.write("acme.toml", BAD);
    for length in (0..whole.len()).step_by(7) {
        fs::write(place.store(), &whole[..length]).unwrap();
        assert_eq!(place.restart(), Vec::<String>::new(), "{length}");
    }
    for at in (0..whole.len()).step_by(5) {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 1;
        fs::write(place.store(), &spoilt).unwrap();
        let found = place.restart();
        assert!(at < older.len() || found.is_empty(), "{at}");
    }
    fs::write(place.store(), &whole).unwrap();
    assert_eq!(place.restart(), ["acme"]);
}

/// Templates of then may differ from one to the other, and go by the same name.
#[test]
fn each_has_the_templates_that_it_had() {
    let template = |replicas: usize| {
        format!("[services.web]\nimage = \"r.example.com/web\"\ndeploy = {{ replicas = {replicas} }}\n")
    };
    let own = "template = \"saas\"\n";
    let mut place =
        Place::new(&[("templates/saas.toml", &template(1)), ("acme.toml", own), ("globex.toml", own)]);
    place.write("acme.toml", BAD);
    place.read();
    place.write("templates/saas.toml", &template(2));
    place.read();
    place.write("globex.toml", BAD);
    place.write("templates/saas.toml", "broken");
    place.write("initech.toml", own);
    assert_eq!(place.restart(), ["acme", "globex"], "who never was valid has nothing to go by");
    let replicas = |name: &str| place.in_force(name).unwrap().services["web"].compose.deploy.replicas;
    assert_eq!((replicas("acme"), replicas("globex")), (Some(1), Some(2)));
}
