use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn write(dir: &Path, file: &str, text: impl AsRef<[u8]>) {
    let path = dir.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn names(snapshot: &Snapshot) -> Vec<&str> {
    snapshot.files.keys().map(String::as_str).collect()
}

fn problems(snapshot: &Snapshot) -> Vec<(&str, &str)> {
    snapshot.problems.iter().map(|p| (p.file.as_str(), p.message.as_str())).collect()
}

#[test]
fn reads_specs_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    for file in [
        "acme.toml",
        "eu/globex.toml",
        "eu/de/initech.toml",
        "fleet.toml",
        "templates/saas.toml",
        "README.md",
        "acme.toml~",
        "acme.TOML",
        ".hidden.toml",
        ".git/config.toml",
        "eu/.#globex.toml",
    ] {
        write(dir.path(), file, file);
    }
    let snapshot = read(dir.path()).unwrap();
    assert_eq!(
        names(&snapshot),
        ["acme.toml", "eu/de/initech.toml", "eu/globex.toml", "fleet.toml", "templates/saas.toml"]
    );
    assert_eq!(snapshot.files["eu/globex.toml"], "eu/globex.toml");
    assert_eq!(snapshot.problems, []);
    // A directory that was given through a symlink is as good.
    let link = tempfile::tempdir().unwrap();
    symlink(dir.path(), link.path().join("specs")).unwrap();
    assert_eq!(read(&link.path().join("specs")).unwrap(), snapshot);
}

#[test]
fn nothing_there_is_not_no_specs() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read(dir.path()).unwrap(), Snapshot::default());
    let text = |path: &Path| read(path).unwrap_err().to_string();
    let missing = text(&dir.path().join("specs"));
    assert!(missing.contains("no specs directory at") && missing.contains("--specs"), "{missing}");
    write(dir.path(), "file", "");
    assert!(text(&dir.path().join("file")).contains("file is not a directory"));
    assert!(text(&dir.path().join("file/below")).contains("not a directory"));
    symlink("self", dir.path().join("self")).unwrap();
    assert!(text(&dir.path().join("self")).contains("cannot read"));
}

#[test]
fn bad_files_are_problems_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "good.toml", "x = 1");
    write(dir.path(), "latin.toml", b"a = 1\nb = \"\xe4\"");
    write(dir.path(), "large.toml", vec![b'#'; 1024 * 1024 + 1]);
    write(dir.path(), "fits.toml", vec![b'#'; 1024 * 1024]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe.toml"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let snapshot = read(dir.path()).unwrap();
    assert_eq!(names(&snapshot), ["fits.toml", "good.toml"]);
    assert_eq!(
        problems(&snapshot),
        [
            ("large.toml", "is larger than 1024 KiB; a spec has a few"),
            ("pipe.toml", "is not a regular file"),
            ("latin.toml", "line 2 is not UTF-8; save the file with that encoding"),
        ]
    );
}

#[test]
fn symlinks_inside_are_followed_and_out_are_refused() {
    let outside = tempfile::tempdir().unwrap();
    write(outside.path(), "secret.toml", "secret");
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "..2026/acme.toml", "acme");
    write(dir.path(), "eu/globex.toml", "globex");
    symlink("..2026", dir.path().join("..data")).unwrap();
    symlink("..data/acme.toml", dir.path().join("acme.toml")).unwrap();
    symlink("eu", dir.path().join("europe")).unwrap();
    symlink("..", dir.path().join("eu/loop")).unwrap();
    symlink(outside.path().join("secret.toml"), dir.path().join("leak.toml")).unwrap();
    symlink(outside.path(), dir.path().join("elsewhere")).unwrap();
    symlink("/etc/hostname", dir.path().join("notes")).unwrap();
    symlink("nowhere", dir.path().join("gone.toml")).unwrap();
    symlink("nowhere", dir.path().join("gone")).unwrap();
    let snapshot = read(dir.path()).unwrap();
    assert_eq!(names(&snapshot), ["acme.toml", "eu/globex.toml", "europe/globex.toml"]);
    let files: Vec<&str> = snapshot.problems.iter().map(|p| p.file.as_str()).collect();
    assert_eq!(files, ["elsewhere", "eu/loop", "europe/loop", "gone.toml", "leak.toml"]);
    assert!(snapshot.problems[0].message.contains("leads out of the specs directory"));
    assert!(snapshot.problems[4].message.contains("leads out of the specs directory"));
    assert!(snapshot.is_unknown("elsewhere/acme.toml"));
    assert!(snapshot.is_unknown("leak.toml"));
    assert!(!snapshot.is_unknown("elsewhere2.toml"));
    assert!(!snapshot.is_unknown("acme.toml"));
}

#[test]
fn size_and_depth_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let deep = |depth: usize| "d/".repeat(depth) + "x.toml";
    write(dir.path(), &deep(DEPTH_MAX), "x");
    assert_eq!(names(&read(dir.path()).unwrap()), [deep(DEPTH_MAX)]);
    write(dir.path(), &deep(DEPTH_MAX + 1), "x");
    let snapshot = read(dir.path()).unwrap();
    assert_eq!(names(&snapshot), [deep(DEPTH_MAX)]);
    assert!(snapshot.is_unknown(&deep(DEPTH_MAX + 1)));
    let many = tempfile::tempdir().unwrap();
    for i in 0..=ENTRIES_MAX {
        File::create(many.path().join(format!("{i}.md"))).unwrap();
    }
    assert!(matches!(read(many.path()), Err(SourceError::TooMany { .. })));
}

#[test]
fn what_moves_is_a_problem_and_the_rest_is_good() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "still.toml", "still");
    write(dir.path(), "moving.toml", "one");
    write(dir.path(), "gone.toml", "gone");
    let before = list(dir.path()).unwrap();
    let (known, told) = Reader::default().texts(&before);
    assert!(told.is_empty());
    write(dir.path(), "moving.toml", "two!");
    write(dir.path(), "new.toml", "new");
    fs::remove_file(dir.path().join("gone.toml")).unwrap();
    let after = list(dir.path()).unwrap();
    let (known, told) = without_moving(known, told, &before, &after);
    assert_eq!(known.keys().collect::<Vec<_>>(), ["still.toml"]);
    for file in ["moving.toml", "new.toml", "gone.toml"] {
        assert!(told.iter().any(|problem| problem.covers(file)), "{file}");
    }
}

#[test]
fn a_second_reading_tells_what_is_otherwise() {
    let dir = tempfile::tempdir().unwrap();
    for file in ["still.toml", "same.toml", "other.toml", "gone.toml"] {
        write(dir.path(), file, "one");
    }
    let mut reader = Reader::default();
    assert_eq!(reader.read(dir.path()).unwrap().changed.len(), 4);
    assert_eq!(reader.read(dir.path()).unwrap(), Changes::default());
    write(dir.path(), "other.toml", "two");
    write(dir.path(), "same.toml", "one");
    fs::remove_file(dir.path().join("gone.toml")).unwrap();
    let changes = reader.read(dir.path()).unwrap();
    assert_eq!(changes.changed, ["other.toml".to_owned()].into());
    assert_eq!(changes.gone, ["gone.toml".to_owned()].into());
    assert_eq!(reader.files().map(|(_, text)| text).collect::<Vec<_>>(), ["two", "one", "one"]);
    symlink("nowhere", dir.path().join("lost.toml")).unwrap();
    let changes = reader.read(dir.path()).unwrap();
    assert_eq!((changes.changed.len(), changes.gone.len(), changes.problems.len()), (0, 0, 1));
}

#[test]
fn only_a_file_that_has_rested_is_taken_for_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "acme.toml", "one");
    let mut reader = Reader::default();
    reader.read(dir.path()).unwrap();
    let settled = |reader: &Reader| reader.known["acme.toml"].settled;
    assert!(!settled(&reader), "it was written just now");
    // As if it had been read long after it was written.
    for known in reader.known.values_mut() {
        known.settled = true;
        known.text = Arc::from("not read again");
    }
    assert_eq!(reader.read(dir.path()).unwrap(), Changes::default());
    write(dir.path(), "acme.toml", "other");
    assert_eq!(reader.read(dir.path()).unwrap().changed.len(), 1);
    assert_eq!(reader.files().next(), Some(("acme.toml", "other")));
}

/// Files are replaced by rename all the time, as an editor or `git` does: a reader sees each
/// of them whole or as a problem, and never misses one.
#[test]
fn file_that_is_being_replaced_is_never_missed_or_torn() {
    let dir = tempfile::tempdir().unwrap();
    let text = |round: usize| format!("{round}\n").repeat(200 + round % 7);
    write(dir.path(), "acme.toml", text(0));
    write(dir.path(), "still.toml", "still");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                write(dir.path(), ".acme.tmp", text(round));
                fs::rename(dir.path().join(".acme.tmp"), dir.path().join("acme.toml")).unwrap();
                if stop.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        for _ in 0..200 {
            let snapshot = read(dir.path()).unwrap();
            match snapshot.files.get("acme.toml") {
                None => assert!(snapshot.is_unknown("acme.toml")),
                Some(found) => {
                    let round: usize = found.lines().next().unwrap().parse().unwrap();
                    assert_eq!(*found, text(round));
                }
            }
            assert_eq!(snapshot.files["still.toml"], "still");
        }
        stop.store(true, Ordering::Relaxed);
    });
}
