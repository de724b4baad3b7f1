//! Every seed through its target, so that what was found once is tried in every test run.

use std::path::PathBuf;

#[test]
fn every_seed_holds() {
    let seeds = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (name, target) in super::TARGETS {
        let folder = seeds.join(name);
        let mut count = 0;
        for entry in std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            // The harness shows this when the target panics.
            println!("{}", path.display());
            target(&std::fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 1, "{} has no seeds", folder.display());
    }
}

#[test]
fn every_target_is_fuzzed() {
    let fuzz = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = std::fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    let mut named: Vec<&str> = manifest
        .lines()
        .filter_map(|line| line.strip_prefix("path = \"targets/")?.strip_suffix(".rs\""))
        .collect();
    named.sort_unstable();
    let ours: Vec<&str> = super::TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, ours);
    for name in ours {
        let text = std::fs::read_to_string(fuzz.join(format!("targets/{name}.rs"))).unwrap();
        assert!(text.contains(&format!("skep::fuzz::{name}(data)")), "{name}");
    }
}
