//! Rules of the architecture, as far as the text of the tree can show them. See the list of
//! invariants in `ARCHITECTURE.md`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Above this a file has more than one subject.
const LINES_MAX: usize = 600;
/// Longer files, and why.
const LONG: &[(&str, &str)] = &[];
/// Files that no `mod` names, and who names them.
const ROOTS: &[&str] = &["src/lib.rs", "src/main.rs"];

struct File {
    /// Relative to the repository, with `/`.
    path: String,
    text: String,
}

impl File {
    /// The code: without comments, and without what `#[cfg(test)]` holds at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let until = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..until].lines().enumerate();
        lines.map(|(at, line)| (at + 1, line.split("//").next().unwrap_or_default()))
    }

    fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("tests.rs")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn tree(folder: &str) -> Vec<File> {
    let mut files = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
                files.push(File { path, text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(folder == "benches" || folder == "examples" || !files.is_empty(), "no files in {folder}");
    files
}

/// Whether `word` stands in the line by itself.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        // A word that ends in a sign, such as `now(`, ends there.
        let (open, closed) = (word.starts_with(part_of_name), word.ends_with(part_of_name));
        let joined = (open && before.ends_with(part_of_name)) || (closed && after.starts_with(part_of_name));
        !joined
    })
}

/// Where a word stands in code that it must not stand in.
fn found(words: &[&str], forbidden: impl Fn(&File) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for file in tree("src").iter().filter(|file| forbidden(file)) {
        for (at, line) in file.code() {
            let hits = words.iter().filter(|word| has_word(line, word));
            found.extend(hits.map(|word| format!("{}:{at}: `{word}`", file.path)));
        }
    }
    found
}

fn none(found: Vec<String>, why: &str) {
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

fn is_pure(file: &File) -> bool {
    let parts = ["src/spec/", "src/version/", "src/plan/", "src/state.rs", "src/spec.rs", "src/version.rs"];
    parts.iter().any(|part| file.path.starts_with(part)) && !file.is_test()
}

#[test]
fn what_decides_is_pure() {
    assert!(tree("src").iter().filter(|file| is_pure(file)).count() > 30);
    let words = [
        "async",
        ".await",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "std::process",
        "std::io",
        "fs::",
        "Instant",
        "SystemTime",
        "now(",
        "rand",
        "tracing",
        "tokio",
        "bollard",
        "reqwest",
        "hyper",
        "println!",
        "eprintln!",
        "backoff",
    ];
    none(found(&words, is_pure), "spec, state, version and plan decide and do nothing else");
}

#[test]
fn core_types_are_not_serialized() {
    let boundary = |file: &File| {
        file.path.starts_with("src/spec/schema") || file.path.starts_with("src/spec/diagnostics")
    };
    let words = ["Serialize", "Deserialize"];
    none(
        found(&words, |file| is_pure(file) && !boundary(file)),
        "what crosses a boundary is a type of its own",
    );
}

#[test]
fn only_the_swarm_client_names_bollard() {
    none(found(&["bollard"], |file| !file.path.starts_with("src/swarm/")), "use the trait `Swarm`");
}

#[test]
fn only_one_place_decides_how_long_to_back_off() {
    let elsewhere = |file: &File| file.path != "src/controller/retry.rs";
    none(found(&["backoff"], elsewhere), "use `controller::Retries`");
}

#[test]
fn only_apply_changes_the_swarm() {
    let calls = [".create_service(", ".update_service(", ".create_object(", ".remove(kind"];
    let mut found = Vec::new();
    for file in tree("src").iter().filter(|file| file.path != "src/apply.rs" && !file.is_test()) {
        for (at, line) in file.code() {
            found.extend(
                calls
                    .iter()
                    .filter(|call| line.contains(*call))
                    .map(|call| format!("{}:{at}: {call}", file.path)),
            );
        }
    }
    none(found, "changes go through a plan and `apply`");
}

/// The files that a file's `mod` lines name.
fn named(file: &File) -> Vec<String> {
    let path = Path::new(&file.path);
    let folder = path.parent().unwrap();
    let stem = path.file_stem().unwrap().to_string_lossy();
    let is_crate = ROOTS.contains(&file.path.as_str()) || is_target(&file.path);
    let beneath = if is_crate || stem == "mod" { folder.to_owned() } else { folder.join(stem.as_ref()) };
    let mut named = Vec::new();
    let mut at_path = None;
    for line in file.text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[path = \"") {
            at_path = rest.strip_suffix("\"]").map(|path| folder.join(path));
            continue;
        }
        let line = line.split_once(") mod ").map_or(line, |(before, _)| &line[before.len() + 2..]);
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) else { continue };
        match at_path.take() {
            Some(path) => named.push(normal(&path)),
            None => {
                named.push(normal(&beneath.join(format!("{name}.rs"))));
                named.push(normal(&beneath.join(name).join("mod.rs")));
            }
        }
    }
    named
}

/// Without `..`.
fn normal(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in path.components() {
        match part.as_os_str().to_string_lossy().as_ref() {
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    parts.join("/")
}

/// What cargo compiles by itself: `tests/x.rs` and `tests/x/main.rs`, and so for benches and examples.
fn is_target(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["tests" | "benches" | "examples", file] => file.ends_with(".rs"),
        ["tests" | "benches" | "examples", _, "main.rs"] => true,
        _ => false,
    }
}

#[test]
fn every_file_is_compiled() {
    let folders = ["src", "tests", "benches", "examples"];
    let files: Vec<File> = folders.into_iter().flat_map(tree).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut next: Vec<&File> =
        files.iter().filter(|file| ROOTS.contains(&file.path.as_str()) || is_target(&file.path)).collect();
    while let Some(file) = next.pop() {
        if reached.insert(file.path.clone()) {
            let names = named(file);
            next.extend(files.iter().filter(|file| names.contains(&file.path)));
        }
    }
    let dead = files.iter().filter(|file| !reached.contains(&file.path)).map(|file| file.path.clone());
    none(dead.collect(), "no `mod` names these files, so they are never compiled");
}

#[test]
fn files_have_one_subject() {
    let mut long = Vec::new();
    for file in tree("src").into_iter().chain(tree("tests")) {
        let lines = file.text.lines().count();
        let listed = LONG.iter().any(|(path, _)| *path == file.path);
        if lines > LINES_MAX && !listed {
            long.push(format!("{}: {lines} lines", file.path));
        }
        assert!(lines > LINES_MAX || !listed, "{} is short again: take it off the list", file.path);
    }
    none(long, "split, or list with the reason");
}

#[test]
fn the_checks_see_what_they_look_for() {
    assert!(has_word("let x = Timestamp::now();", "now("));
    assert!(has_word("use bollard::Docker;", "bollard"));
    assert!(has_word("x.await", ".await"));
    assert!(!has_word("let brand = 1;", "rand"));
    assert!(!has_word("fn known(x: u8) {}", "now("));
    let file =
        File { path: "src/a/mod.rs".into(), text: "pub(crate) mod b;\n#[cfg(test)]\nmod tests;\n".into() };
    assert!(named(&file).contains(&"src/a/b.rs".to_owned()));
    assert!(named(&file).contains(&"src/a/tests/mod.rs".to_owned()));
}
