use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

/// A directory that was read once, with `acme.toml` and `eu/globex.toml` in it.
struct Place {
    dir: tempfile::TempDir,
    reader: Reader,
}

impl Place {
    fn new() -> Self {
        let mut place = Self { dir: tempfile::tempdir().unwrap(), reader: Reader::default() };
        fs::create_dir(place.root().join("eu")).unwrap();
        place.write("acme.toml", "one");
        place.write("eu/globex.toml", "one");
        place.reader.read(&place.root()).unwrap();
        place
    }

    fn root(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.root().join(file), text).unwrap();
    }

    /// What a reading finds, and whether it looked at these paths only.
    fn read(&mut self, touched: &[&str]) -> (Changes, bool) {
        let touched = touched.iter().map(|file| (*file).to_owned()).collect();
        let root = self.root();
        let few = self.reader.texts_of(&root, &touched).is_some();
        (self.reader.read_touched(&root, &touched).unwrap(), few)
    }

    /// That the reader holds what one that reads all now would.
    fn check(&self) {
        let mut fresh = Reader::default();
        fresh.read(&self.root()).unwrap();
        assert!(self.reader.files().eq(fresh.files()));
    }
}

fn changed(files: &[&str]) -> Changes {
    Changes { changed: files.iter().map(|file| (*file).to_owned()).collect(), ..Changes::default() }
}

#[test]
fn only_what_was_named_is_read() {
    let mut place = Place::new();
    place.write("acme.toml", "two");
    place.write("eu/globex.toml", "two");
    assert_eq!(place.read(&["eu/globex.toml"]), (changed(&["eu/globex.toml"]), true));
    assert_eq!(place.read(&["acme.toml"]), (changed(&["acme.toml"]), true));
    place.write("eu/initech.toml", "new");
    assert_eq!(place.read(&["eu/initech.toml", "acme.toml"]), (changed(&["eu/initech.toml"]), true));
    place.check();
}

#[test]
fn what_is_no_spec_changes_nothing() {
    let mut place = Place::new();
    place.write("README.md", "x");
    place.write(".acme.toml.swp", "x");
    fs::create_dir(place.root().join(".git")).unwrap();
    place.write(".git/acme.toml", "x");
    let touched = ["README.md", ".acme.toml.swp", ".git/acme.toml", "4913", "gone.toml"];
    assert_eq!(place.read(&touched), (Changes::default(), true));
    place.check();
}

/// A part of the directory says nothing about what is missing, is a folder, or cannot be read.
#[test]
fn whatever_is_not_simply_there_has_everything_read() {
    let check = |touch: fn(&Path), touched: &str, expected: fn(&Changes) -> bool| {
        let mut place = Place::new();
        touch(&place.root());
        let (changes, few) = place.read(&[touched]);
        assert!(!few && expected(&changes), "{touched}: {changes:?}");
        place.check();
    };
    let gone = |changes: &Changes| changes.gone.len() == 1 && changes.problems.is_empty();
    check(|root| fs::remove_file(root.join("acme.toml")).unwrap(), "acme.toml", gone);
    check(|root| fs::remove_dir_all(root.join("eu")).unwrap(), "eu", gone);
    check(|root| fs::rename(root.join("eu"), root.join(".eu")).unwrap(), "eu", gone);
    let new = |changes: &Changes| changes.changed.contains("us/initech.toml");
    let folder = |root: &Path| {
        fs::create_dir(root.join("us")).unwrap();
        fs::write(root.join("us/initech.toml"), "new").unwrap();
    };
    check(folder, "us", new);
    let problem = |changes: &Changes| changes.problems.len() == 1;
    check(|root| fs::write(root.join("acme.toml"), b"\xff").unwrap(), "acme.toml", problem);
    check(|root| fs::write(root.join("big.toml"), vec![b'#'; 1 << 21]).unwrap(), "big.toml", problem);
    check(|root| fs::create_dir(root.join("folder.toml")).unwrap(), "folder.toml", |_| true);
}

#[test]
fn a_file_of_two_names_has_everything_read() {
    let mut place = Place::new();
    symlink("acme.toml", place.root().join("alias.toml")).unwrap();
    assert_eq!(place.read(&["alias.toml"]), (changed(&["alias.toml"]), false));
    place.write("acme.toml", "two");
    assert_eq!(place.read(&["acme.toml"]), (changed(&["acme.toml", "alias.toml"]), false));
    fs::remove_file(place.root().join("alias.toml")).unwrap();
    place.read(&["alias.toml"]);
    // A folder that became a symlink of which nobody told yet.
    fs::rename(place.root().join("eu"), place.root().join("europe")).unwrap();
    symlink("europe", place.root().join("eu")).unwrap();
    place.write("europe/globex.toml", "two");
    let (changes, few) = place.read(&["eu/globex.toml"]);
    assert!(!few && changes.changed.contains("europe/globex.toml"), "{changes:?}");
    place.check();
}

#[test]
fn after_a_problem_or_elsewhere_everything_is_read() {
    let mut place = Place::new();
    place.write("bad.toml", "fine");
    fs::write(place.root().join("bad.toml"), b"\xff").unwrap();
    assert!(!place.read(&["bad.toml"]).1);
    place.write("acme.toml", "two");
    let (changes, few) = place.read(&["acme.toml"]);
    assert!(!few && changes.problems.len() == 1, "the problem is still told: {changes:?}");
    // Another directory is not the one that was listed.
    let mut other = Place::new();
    other.reader = place.reader.clone();
    assert!(!other.read(&["acme.toml"]).1);
}
