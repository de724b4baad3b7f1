//! Golden scenarios: every folder of `tests/golden/` is a world (specs, what the engine and
//! the registry say, what is remembered) and the plan that is expected of it.
//!
//! `tests/golden/README.md` says how to add one. `UPDATE_GOLDEN=1 cargo test --test golden`
//! rewrites the expectations; read the diff before you commit it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "golden/diff.rs"]
mod diff;
#[path = "golden/scenario.rs"]
mod scenario;
#[path = "golden/words.rs"]
mod words;
#[path = "golden/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use scenario::Scenario;

/// Fewer than this is a folder that went missing.
const SCENARIOS_MIN: usize = 35;

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[tokio::test]
async fn every_scenario_gives_its_plan() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1");
    let only = std::env::var("GOLDEN").ok();
    let mut wrong = Vec::new();
    let folders = folders();
    assert!(folders.len() >= SCENARIOS_MIN, "{} scenarios", folders.len());
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        if only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let scenario = Scenario::read(&folder);
        let run = scenario.run().await;
        for (file, text) in run.expectations() {
            wrong.extend(compare(&folder.join(file), text.as_deref(), update));
        }
        wrong.extend(run.broken_rules().into_iter().map(|rule| format!("{name}: {rule}")));
        wrong.extend(scenario.again(&run).await.map(|steps| format!("{name}: {steps}")));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// What differs, as a text for people; with `update` the file is made to agree instead.
fn compare(file: &Path, actual: Option<&str>, update: bool) -> Option<String> {
    let expected = std::fs::read_to_string(file).ok();
    if expected.as_deref() == actual {
        return None;
    }
    if update {
        match actual {
            Some(text) => std::fs::write(file, text).unwrap(),
            None => std::fs::remove_file(file).unwrap(),
        }
        return None;
    }
    let shown = file.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(file).display().to_string();
    let lines = diff::lines(expected.as_deref().unwrap_or_default(), actual.unwrap_or_default());
    Some(format!("{shown}: - expected, + planned\n{lines}"))
}

#[test]
fn folders_hold_only_what_is_read() {
    let known: BTreeSet<&str> = scenario::FILES.iter().copied().collect();
    for folder in folders() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().into_owned();
            assert!(known.contains(name.as_str()), "{}: {name} is read by nobody", folder.display());
        }
    }
}
