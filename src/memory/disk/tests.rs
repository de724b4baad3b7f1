mod crash;

use std::os::unix::fs::MetadataExt;

use proptest::prelude::*;

use super::*;
use crate::memory::{Image, InMemory, REFUSALS_MAX, Refusal, TagMemory};

fn image(version: &str) -> Image {
    Image {
        repository: "registry.example.com/lighttag/frontend".into(),
        tag: Some(version.into()),
        version: Some(version.into()),
        digest: format!("sha256:{version}"),
    }
}

fn good(version: &str) -> ServiceMemory {
    ServiceMemory { last_good: Some(image(version)), ..ServiceMemory::default() }
}

fn refused(count: usize) -> ServiceMemory {
    let refusal = |i: usize| Refusal {
        image: image("1.0.0"),
        spec: "hash".into(),
        why: format!("{i}"),
        time: jiff::Timestamp::from_second(i as i64).unwrap(),
        rolled_back: false,
        until: None,
    };
    ServiceMemory { refused: (0..count).map(refusal).collect(), ..ServiceMemory::default() }
}

fn tags(count: usize) -> RepositoryMemory {
    let tag = |i| (format!("1.{i}.0"), TagMemory { first_seen_ms: i64::from(i), digest: None });
    RepositoryMemory { listed: true, tags: (0..u32::try_from(count).unwrap()).map(tag).collect() }
}

fn open(dir: &Path) -> Disk {
    Disk::open(dir, Mode::ReadWrite).unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_was_put_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(&dir.path().join("memory"));
    assert_eq!(disk.service("acme_frontend"), ServiceMemory::default());
    disk.put_service("acme_frontend", good("1.2.3")).unwrap();
    disk.put_service("acme_DB", refused(2)).unwrap();
    let long = "registry.example.com:5000/".to_owned() + &"deep/".repeat(60);
    for name in ["docker.io/library/nginx", long.as_str(), "../../etc/passwd", ".hidden"] {
        disk.put_repository(name, tags(3)).unwrap();
    }
    for mode in [Mode::ReadOnly, Mode::ReadWrite] {
        let disk = Disk::open(&dir.path().join("memory"), mode).unwrap();
        assert_eq!(disk.service("acme_frontend"), good("1.2.3"));
        assert_eq!(disk.service("acme_DB"), refused(2));
        assert_eq!(disk.service("acme_db"), ServiceMemory::default());
        for name in ["docker.io/library/nginx", long.as_str(), "../../etc/passwd", ".hidden"] {
            assert_eq!(disk.repository(name), tags(3), "{name}");
        }
    }
    assert_eq!(files(&dir.path().join("memory/services")), ["acme_%44%42.json", "acme_frontend.json"]);
    assert_eq!(files(&dir.path().join("memory/repositories")).len(), 4);
    assert_eq!(files(dir.path()), ["memory"]);
}

#[test]
fn unchanged_value_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path());
    let path = dir.path().join("services/acme_db.json");
    disk.put_service("acme_db", good("1.0.0")).unwrap();
    let before = fs::metadata(&path).unwrap().ino();
    disk.put_service("acme_db", good("1.0.0")).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), before);
    disk.put_service("acme_db", good("1.0.1")).unwrap();
    assert!(fs::read_to_string(&path).unwrap().contains("1.0.1"));
    disk.put_service("acme_db", ServiceMemory::default()).unwrap();
    assert!(!path.exists());
    disk.put_service("acme_new", ServiceMemory::default()).unwrap();
    assert_eq!(files(&dir.path().join("services")), Vec::<String>::new());
}

#[test]
fn read_only_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent");
    let disk = Disk::open(&absent, Mode::ReadOnly).unwrap();
    disk.put_service("acme_db", good("1.0.0")).unwrap();
    assert_eq!(disk.service("acme_db"), good("1.0.0"));
    assert!(!absent.exists());
}

#[test]
fn refusals_are_bounded_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let stores: [Box<dyn Memory>; 2] = [Box::new(open(dir.path())), Box::new(InMemory::default())];
    for store in stores {
        store.put_service("acme_db", refused(REFUSALS_MAX + 3)).unwrap();
        let kept = store.service("acme_db").refused;
        assert_eq!(kept.len(), REFUSALS_MAX);
        assert_eq!(kept[0].why, "3");
    }
}

#[test]
fn corrupt_file_is_moved_aside_and_only_it_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path());
    disk.put_service("acme_db", good("1.0.0")).unwrap();
    disk.put_service("acme_web", good("2.0.0")).unwrap();
    drop(disk);
    let services = dir.path().join("services");
    fs::write(services.join("acme_db.json"), "{\"format\":1,\"na").unwrap();
    fs::copy(services.join("acme_web.json"), services.join("acme_copy.json")).unwrap();
    fs::write(services.join("acme_web.json.tmp"), "half").unwrap();
    let reader = Disk::open(dir.path(), Mode::ReadOnly).unwrap();
    assert_eq!(reader.service("acme_db"), ServiceMemory::default());
    assert_eq!(files(&services).len(), 4, "a reader touches nothing");
    let disk = open(dir.path());
    assert_eq!(disk.service("acme_db"), ServiceMemory::default());
    assert_eq!(disk.service("acme_web"), good("2.0.0"));
    assert_eq!(files(&services), ["acme_copy.json.corrupt", "acme_db.json.corrupt", "acme_web.json"]);
    disk.put_service("acme_db", good("1.0.0")).unwrap();
    assert_eq!(open(dir.path()).service("acme_db"), good("1.0.0"));
}

#[test]
fn newer_format_is_refused_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path());
    fs::write(dir.path().join("services/acme_db.json"), r#"{"format":2,"other":"shape"}"#).unwrap();
    let error = Disk::open(dir.path(), Mode::ReadWrite).unwrap_err().to_string();
    assert!(error.contains("acme_db.json") && error.contains("a newer skep"), "{error}");
}

#[test]
fn failed_write_changes_nothing_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path());
    disk.put_service("acme_db", good("1.0.0")).unwrap();
    // A directory in the way of the temporary file fails for root too.
    let obstacle = dir.path().join("services/acme_db.json.tmp");
    fs::create_dir(&obstacle).unwrap();
    let error = disk.put_service("acme_db", good("2.0.0")).unwrap_err().to_string();
    assert!(error.contains("acme_db.json"), "{error}");
    assert_eq!(disk.service("acme_db"), good("1.0.0"));
    fs::remove_dir(&obstacle).unwrap();
    // The value in memory is the same, but nobody knows any more what is on disk.
    fs::remove_file(dir.path().join("services/acme_db.json")).unwrap();
    disk.put_service("acme_db", good("1.0.0")).unwrap();
    assert_eq!(open(dir.path()).service("acme_db"), good("1.0.0"));
}

#[test]
fn cut_at_every_byte_never_fails_to_open() {
    let dir = tempfile::tempdir().unwrap();
    let disk = open(dir.path());
    disk.put_service("acme_db", refused(1)).unwrap();
    let path = dir.path().join("services/acme_db.json");
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() - 2 {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(open(dir.path()).service("acme_db"), ServiceMemory::default(), "cut at {length}");
    }
}

proptest! {
    #[test]
    fn every_name_has_its_own_safe_file(a in any::<String>(), b in any::<String>()) {
        for name in [&a, &b] {
            let stem = file_stem(name);
            prop_assert!(stem.len() <= FILE_STEM_BYTES_MAX);
            prop_assert!(!stem.starts_with('.') && !stem.contains(['/', '\0']));
        }
        prop_assert_eq!(a == b, file_stem(&a) == file_stem(&b));
    }
}
