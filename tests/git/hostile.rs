//! Repositories that mean no good.

use std::io::Write;
use std::process::Stdio;

use crate::origin::{GOOD, Origin};

/// A commit whose tree has entries that no working tree could have.
pub fn commit_tree(origin: &Origin, entries: &[(&str, &str, &[u8])]) {
    let mut listing = Vec::new();
    for (mode, object, name) in entries {
        let kind = if *mode == "160000" { "commit" } else { "blob" };
        listing.extend(format!("{mode} {kind} {object}\t").bytes());
        listing.extend(*name);
        listing.push(0);
    }
    let specs = feed(origin, &["mktree", "-z", "--missing"], &listing);
    push_commit(origin, &specs, "hostile");
}

/// Puts a commit on the branch that follows `HEAD` and has this tree as its `specs`: past a push,
/// with which git would refuse some of them.
pub fn push_commit(origin: &Origin, specs: &str, subject: &str) {
    let root = feed(origin, &["mktree"], format!("040000 tree {specs}\tspecs\n").as_bytes());
    let commit = origin.run(&["commit-tree", "-p", "HEAD", "-m", subject, &root]);
    let objects = origin.work().join(".git/objects");
    std::fs::write(origin.bare().join("objects/info/alternates"), format!("{}\n", objects.display()))
        .unwrap();
    std::fs::write(origin.bare().join("refs/heads/main"), format!("{commit}\n")).unwrap();
}

/// A tree of entries that git would refuse to make.
pub fn raw_tree(origin: &Origin, entries: &[(&str, &[u8], &str)]) -> String {
    let mut raw = Vec::new();
    for (mode, name, id) in entries {
        raw.extend(format!("{mode} ").bytes());
        raw.extend(*name);
        raw.push(0);
        raw.extend((0..20).map(|at| u8::from_str_radix(&id[at * 2..at * 2 + 2], 16).unwrap()));
    }
    feed(origin, &["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], &raw)
}

pub fn feed(origin: &Origin, arguments: &[&str], input: &[u8]) -> String {
    let mut git = origin.command(&origin.work());
    let mut git = git.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    git.stdin.take().unwrap().write_all(input).unwrap();
    let output = git.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub fn blob(origin: &Origin, text: &[u8]) -> String {
    feed(origin, &["hash-object", "-w", "--stdin"], text)
}

#[test]
fn what_is_not_a_plain_file_is_a_problem_of_its_own() {
    let origin = Origin::new();
    let repository = origin.repository(&origin.url(), "");
    repository.fetch().unwrap();
    let good = blob(&origin, GOOD.as_bytes());
    let link = blob(&origin, b"/etc/passwd");
    let huge = blob(&origin, &vec![b'#'; (1 << 20) + 1]);
    let latin = blob(&origin, b"# \xe9\n");
    let elsewhere = origin.head();
    commit_tree(
        &origin,
        &[
            ("100644", &good, b"acme.toml"),
            ("120000", &link, b"link.toml"),
            ("160000", &elsewhere, b"module"),
            ("100644", &huge, b"huge.toml"),
            ("100644", &latin, b"latin.toml"),
            ("100644", &good, b"red\x1b[31m.toml"),
            ("100644", &good, b"line\nbreak.toml"),
            ("100644", &good, b"not-utf8-\xff.toml"),
        ],
    );
    let tree = repository.fetch().unwrap();
    assert_eq!(tree.snapshot.files.keys().collect::<Vec<_>>(), ["acme.toml"]);
    let told: Vec<String> = tree
        .snapshot
        .problems
        .iter()
        .map(|problem| format!("{}: {}", problem.file, problem.message))
        .collect();
    for words in
        ["symlink", "submodule", "larger than", "line 1 is not UTF-8", "control", "name is not UTF-8"]
    {
        assert!(told.iter().any(|one| one.contains(words)), "{words}: {told:?}");
    }
    assert_eq!(told.len(), 7, "{told:?}");
    assert!(!told.concat().chars().any(char::is_control), "{told:?}");
}

/// Git itself refuses such a tree when it comes over the wire.
#[test]
fn paths_that_climb_are_never_taken() {
    for name in ["..", ".", ".git"] {
        let origin = Origin::new();
        let repository = origin.repository(&origin.url(), "");
        let before = repository.fetch().unwrap();
        let good = blob(&origin, GOOD.as_bytes());
        let inner = feed(&origin, &["mktree"], format!("100644 blob {good}\tevil.toml\n").as_bytes());
        push_commit(&origin, &raw_tree(&origin, &[("40000", name.as_bytes(), &inner)]), "climb");
        let error = repository.fetch().unwrap_err();
        assert!(error.message.contains("cannot fetch"), "{name}: {error}");
        assert_eq!(repository.last_good().unwrap().unwrap(), before);
    }
}

#[test]
fn too_many_files_refuse_the_commit() {
    let origin = Origin::new();
    let repository = origin.repository(&origin.url(), "");
    let before = repository.fetch().unwrap();
    let good = blob(&origin, GOOD.as_bytes());
    let names: Vec<String> = (0..20_001).map(|number| format!("c{number}.toml")).collect();
    let entries: Vec<(&str, &str, &[u8])> =
        names.iter().map(|name| ("100644", good.as_str(), name.as_bytes())).collect();
    commit_tree(&origin, &entries);
    let error = repository.fetch().unwrap_err();
    assert!(error.message.contains("more than 20000 files"), "{error}");
    assert_eq!(repository.last_good().unwrap().unwrap(), before);
}

#[test]
fn hooks_and_filters_and_configuration_of_others_do_nothing() {
    let origin = Origin::new();
    let repository = origin.repository(&origin.url(), "");
    repository.fetch().unwrap();
    let touched = origin.path("touched");
    let hook = format!("#!/bin/sh\ntouch {}\n", touched.display());
    let hooks = origin.state().join("git/hooks");
    std::fs::create_dir_all(&hooks).unwrap();
    for name in ["reference-transaction", "post-checkout", "pre-auto-gc", "post-merge"] {
        std::fs::write(hooks.join(name), &hook).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(hooks.join(name), mode).unwrap();
    }
    origin.write("specs/.gitattributes", b"* filter=evil\n");
    origin.write(".gitmodules", b"[submodule \"x\"]\n\tpath = x\n\turl = https://127.0.0.1:1/x\n");
    let head = origin.push("specs/acme.toml", &format!("{GOOD}# 2\n"), "second");
    assert_eq!(repository.fetch().unwrap().revision.commit, head);
    assert!(!touched.exists());
}
