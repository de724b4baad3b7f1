use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// Far more than a wake-up needs, far less than patience has.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until the stream of wake-ups has led to `seen` being true, as the controller does: it reads
/// anew at each. Gives the number of wake-ups.
async fn until(watch: &mut Watch, seen: impl Fn() -> bool) -> usize {
    let mut wakeups = 0;
    loop {
        tokio::time::timeout(PATIENCE, watch.changed()).await.expect("a wake-up");
        wakeups += 1;
        if seen() {
            return wakeups;
        }
    }
}

/// Until nothing comes any more.
async fn settle(watch: &mut Watch) -> usize {
    let mut wakeups = 0;
    while tokio::time::timeout(Duration::from_millis(300), watch.changed()).await.is_ok() {
        wakeups += 1;
    }
    wakeups
}

fn specs() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let specs = dir.path().join("specs");
    fs::create_dir(&specs).unwrap();
    (dir, specs)
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test]
async fn sees_writes_and_saves_by_rename() {
    let (_dir, specs) = specs();
    let acme = specs.join("acme.toml");
    let mut watch = Watch::new(&specs, Debounce::default());
    fs::write(&acme, "one").unwrap();
    until(&mut watch, || read(&acme) == "one").await;
    fs::write(specs.join(".acme.swp"), "two").unwrap();
    fs::rename(specs.join(".acme.swp"), &acme).unwrap();
    until(&mut watch, || read(&acme) == "two").await;
    fs::remove_file(&acme).unwrap();
    until(&mut watch, || !acme.exists()).await;
}

#[tokio::test]
async fn wakes_soon_and_not_for_reading() {
    let (dir, specs) = specs();
    fs::write(specs.join("acme.toml"), "one").unwrap();
    fs::create_dir(specs.join(".git")).unwrap();
    let mut watch = Watch::new(&specs, Debounce::default());
    settle(&mut watch).await;
    crate::source::read(&specs).unwrap();
    fs::write(specs.join(".git/index"), "x").unwrap();
    fs::write(dir.path().join("neighbour"), "x").unwrap();
    assert_eq!(settle(&mut watch).await, 0);
    let saved = std::time::Instant::now();
    fs::write(specs.join("acme.toml"), "two").unwrap();
    until(&mut watch, || true).await;
    // 50 ms are meant; the bound is loose for a busy machine.
    assert!(saved.elapsed() < Duration::from_secs(2), "{:?}", saved.elapsed());
}

#[tokio::test]
async fn burst_gives_few_wakeups() {
    let (_dir, specs) = specs();
    let mut watch = Watch::new(&specs, Debounce::default());
    for i in 0..200 {
        fs::create_dir_all(specs.join(format!("group{}", i % 7))).unwrap();
        fs::write(specs.join(format!("group{}/customer{i}.toml", i % 7)), "x").unwrap();
    }
    let wakeups = until(&mut watch, || crate::source::read(&specs).unwrap().files.len() == 200).await;
    let wakeups = wakeups + settle(&mut watch).await;
    assert!(wakeups <= 4, "{wakeups} wake-ups");
    // Folders that came with the burst are watched as well.
    let late = specs.join("group3/late.toml");
    fs::write(&late, "x").unwrap();
    until(&mut watch, || late.exists()).await;
}

#[tokio::test]
async fn burst_without_end_wakes_all_the_same() {
    let (_dir, specs) = specs();
    let debounce = Debounce { quiet: Duration::from_millis(200), most: Duration::from_millis(400) };
    let mut watch = Watch::new(&specs, debounce);
    let writer = tokio::spawn(async move {
        for i in 0u64.. {
            fs::write(specs.join("acme.toml"), i.to_string()).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    until(&mut watch, || true).await;
    assert!(!writer.is_finished());
    writer.abort();
}

#[tokio::test]
async fn directory_may_be_replaced_removed_and_come_back() {
    let (dir, specs) = specs();
    let acme = specs.join("acme.toml");
    fs::write(&acme, "old").unwrap();
    let mut watch = Watch::new(&specs, Debounce::default());
    // Replaced by another one.
    let next = dir.path().join("next");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("acme.toml"), "new").unwrap();
    fs::rename(&specs, dir.path().join("past")).unwrap();
    fs::rename(&next, &specs).unwrap();
    until(&mut watch, || read(&acme) == "new").await;
    settle(&mut watch).await;
    // The new one is watched, the old one no more.
    fs::write(dir.path().join("past/acme.toml"), "past").unwrap();
    assert_eq!(settle(&mut watch).await, 0);
    fs::write(&acme, "newer").unwrap();
    until(&mut watch, || read(&acme) == "newer").await;
    // Gone and back.
    fs::remove_dir_all(&specs).unwrap();
    until(&mut watch, || !specs.exists()).await;
    settle(&mut watch).await;
    fs::create_dir(&specs).unwrap();
    fs::write(&acme, "back").unwrap();
    until(&mut watch, || read(&acme) == "back").await;
    settle(&mut watch).await;
    fs::write(&acme, "again").unwrap();
    until(&mut watch, || read(&acme) == "again").await;
}

#[tokio::test]
async fn directory_that_was_moved_away_and_back_is_watched() {
    let (dir, specs) = specs();
    let acme = specs.join("acme.toml");
    let mut watch = Watch::new(&specs, Debounce::default());
    settle(&mut watch).await;
    for text in ["one", "two"] {
        // Within one burst.
        fs::rename(&specs, dir.path().join("away")).unwrap();
        fs::rename(dir.path().join("away"), &specs).unwrap();
        settle(&mut watch).await;
        fs::write(&acme, text).unwrap();
        until(&mut watch, || read(&acme) == text).await;
    }
}

#[tokio::test]
async fn directory_and_its_parent_may_come_late() {
    let dir = tempfile::tempdir().unwrap();
    let specs = dir.path().join("mount/specs");
    let mut watch = Watch::new(&specs, Debounce::default());
    fs::create_dir_all(&specs).unwrap();
    fs::write(specs.join("acme.toml"), "x").unwrap();
    until(&mut watch, || specs.join("acme.toml").exists()).await;
    settle(&mut watch).await;
    fs::write(specs.join("acme.toml"), "y").unwrap();
    until(&mut watch, || read(&specs.join("acme.toml")) == "y").await;
}

#[tokio::test]
async fn sees_symlinks_swapped_as_kubernetes_does() {
    let (_dir, specs) = specs();
    fs::create_dir(specs.join("..1")).unwrap();
    fs::write(specs.join("..1/acme.toml"), "one").unwrap();
    symlink("..1", specs.join("..data")).unwrap();
    symlink("..data/acme.toml", specs.join("acme.toml")).unwrap();
    let mut watch = Watch::new(&specs, Debounce::default());
    for round in ["..2", "..3"] {
        settle(&mut watch).await;
        fs::create_dir(specs.join(round)).unwrap();
        fs::write(specs.join(round).join("acme.toml"), round).unwrap();
        symlink(round, specs.join("..data_tmp")).unwrap();
        fs::rename(specs.join("..data_tmp"), specs.join("..data")).unwrap();
        until(&mut watch, || read(&specs.join("acme.toml")) == round).await;
    }
}

#[tokio::test]
async fn sees_the_directory_swapped_when_it_is_a_symlink() {
    let dir = tempfile::tempdir().unwrap();
    for release in ["r1", "r2"] {
        fs::create_dir(dir.path().join(release)).unwrap();
        fs::write(dir.path().join(release).join("acme.toml"), release).unwrap();
    }
    let specs = dir.path().join("current");
    symlink("r1", &specs).unwrap();
    let mut watch = Watch::new(&specs, Debounce::default());
    symlink("r2", dir.path().join("tmp")).unwrap();
    fs::rename(dir.path().join("tmp"), &specs).unwrap();
    until(&mut watch, || read(&specs.join("acme.toml")) == "r2").await;
    settle(&mut watch).await;
    fs::write(dir.path().join("r2/acme.toml"), "edited").unwrap();
    until(&mut watch, || read(&specs.join("acme.toml")) == "edited").await;
}

#[tokio::test]
async fn moved_in_folder_is_watched() {
    let (dir, specs) = specs();
    let made = dir.path().join("made/eu");
    fs::create_dir_all(&made).unwrap();
    fs::write(made.join("acme.toml"), "one").unwrap();
    let mut watch = Watch::new(&specs, Debounce::default());
    fs::rename(dir.path().join("made"), specs.join("made")).unwrap();
    let acme = specs.join("made/eu/acme.toml");
    until(&mut watch, || acme.exists()).await;
    settle(&mut watch).await;
    fs::write(&acme, "two").unwrap();
    until(&mut watch, || read(&acme) == "two").await;
}

#[tokio::test]
async fn cancelled_wait_loses_nothing() {
    let (_dir, specs) = specs();
    let debounce = Debounce { quiet: Duration::from_millis(200), most: Duration::from_secs(1) };
    let mut watch = Watch::new(&specs, debounce);
    fs::write(specs.join("acme.toml"), "one").unwrap();
    // Ends while the burst is being gathered.
    assert!(tokio::time::timeout(Duration::from_millis(100), watch.changed()).await.is_err());
    tokio::time::timeout(PATIENCE, watch.changed()).await.expect("the wake-up that was begun");
}

#[tokio::test]
async fn gives_a_stream() {
    use futures::StreamExt;
    let (_dir, specs) = specs();
    let mut wakeups = watch(&specs, Debounce::default());
    fs::write(specs.join("acme.toml"), "one").unwrap();
    let touched = Touched::Files(["acme.toml".to_owned()].into());
    assert_eq!(tokio::time::timeout(PATIENCE, wakeups.next()).await.unwrap(), Some(touched));
}

/// Gathers what is told until nothing more comes.
async fn touched(watch: &mut Watch) -> Vec<Touched> {
    let mut told = Vec::new();
    while let Ok(touched) = tokio::time::timeout(Duration::from_millis(500), watch.changed()).await {
        told.push(touched);
    }
    told
}

#[tokio::test]
async fn says_where() {
    let (_dir, specs) = specs();
    fs::create_dir(specs.join("eu")).unwrap();
    let mut watch = Watch::new(&specs, Debounce::default());
    touched(&mut watch).await;
    fs::write(specs.join("new"), "one").unwrap();
    fs::rename(specs.join("new"), specs.join("eu/acme.toml")).unwrap();
    let files = BTreeSet::from(["new".to_owned(), "eu/acme.toml".to_owned()]);
    let told = touched(&mut watch).await;
    let all = told.into_iter().fold(BTreeSet::new(), |mut all, touched| {
        let Touched::Files(files) = touched else { panic!("{touched:?}") };
        all.extend(files);
        all
    });
    assert_eq!(all, files);
    // More than anybody wants one by one.
    for number in 0..=TOUCHED_MAX {
        fs::write(specs.join(format!("c{number}.toml")), "one").unwrap();
    }
    assert!(touched(&mut watch).await.contains(&Touched::Anywhere));
    // Another directory in its place.
    fs::rename(&specs, specs.with_extension("old")).unwrap();
    fs::create_dir(&specs).unwrap();
    assert!(touched(&mut watch).await.contains(&Touched::Anywhere));
}

/// A log beside the specs, say: whoever begins to watch does not wait until its writer rests.
#[tokio::test(flavor = "multi_thread")]
async fn begins_though_others_write_beside_the_specs_without_a_pause() {
    let (dir, specs) = specs();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writers: Vec<_> = (0..4)
        .map(|number| {
            let (over, path) = (Arc::clone(&over), dir.path().join(format!("log-{number}")));
            std::thread::spawn(move || {
                while !over.load(std::sync::atomic::Ordering::Relaxed) {
                    fs::write(&path, "a line").unwrap();
                }
            })
        })
        .collect();
    let path = specs.clone();
    let (told, began) = tokio::sync::oneshot::channel();
    std::thread::spawn({
        let runtime = tokio::runtime::Handle::current();
        move || {
            let _entered = runtime.enter();
            // Often, since the first paths may be added before the first event comes.
            for _ in 0..20 {
                drop(Watch::new(&path, Debounce::default()));
            }
            let _ = told.send(Watch::new(&path, Debounce::default()));
        }
    });
    let began = tokio::time::timeout(PATIENCE, began).await;
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    for writer in writers {
        writer.join().unwrap();
    }
    let mut watch = began.expect("it waits for others").unwrap();
    fs::write(specs.join("acme.toml"), "one").unwrap();
    until(&mut watch, || read(&specs.join("acme.toml")) == "one").await;
}
