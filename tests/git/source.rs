//! Fetching over file://: what comes, and what stays when nothing good comes.

use skep::source::git::{Repository, Trouble};

use crate::origin::{GOOD, Origin};

#[test]
fn a_push_brings_new_specs_and_says_whose() {
    let origin = Origin::new();
    let repository = origin.repository(&origin.url(), "");
    let first = repository.fetch().unwrap();
    assert_eq!(first.revision.commit, origin.head());
    assert_eq!(first.snapshot.files.keys().collect::<Vec<_>>(), ["acme.toml"]);
    assert_eq!(first.snapshot.files["acme.toml"], GOOD);
    let second = origin.push("specs/eu/globex.toml", GOOD, "add \u{202e}globex");
    let tree = repository.fetch().unwrap();
    assert_eq!(tree.revision.commit, second);
    assert_eq!(tree.snapshot.files.keys().collect::<Vec<_>>(), ["acme.toml", "eu/globex.toml"]);
    let told = tree.revision.told();
    assert!(told.contains(r"Ada \u{1b}[31mByron <ada@example.com>: add \u{202e}globex"), "{told}");
    // Several commits at once, onto a history that was fetched shallow.
    for number in 0..3 {
        origin.push("specs/acme.toml", &format!("{GOOD}# {number}\n"), "again");
    }
    assert_eq!(repository.fetch().unwrap().revision.commit, origin.head());
    assert_eq!(repository.last_good().unwrap().unwrap(), repository.fetch().unwrap());
}

#[test]
fn a_rewritten_branch_is_refused_until_it_is_allowed() {
    let origin = Origin::new();
    let first = origin.head();
    let second = origin.push("specs/acme.toml", &format!("{GOOD}# 2\n"), "second");
    let repository = origin.repository(&origin.url(), "");
    repository.fetch().unwrap();
    // Back to an old commit is a rewriting, too.
    for rewritten in [first.as_str(), "other"] {
        if rewritten == "other" {
            origin.run(&["commit", "-q", "--amend", "-m", "other"]);
        } else {
            origin.run(&["reset", "-q", "--hard", rewritten]);
        }
        origin.run(&["push", "-q", "-f", "origin", "HEAD:main"]);
        let error = repository.fetch().unwrap_err();
        assert_eq!(error.trouble, Trouble::Refused);
        assert!(error.message.contains("branch main was rewritten"), "{error}");
        assert_eq!(repository.last_good().unwrap().unwrap().revision.commit, second);
    }
    let follows = origin.repository(&origin.url(), "force_push = \"follow\"");
    assert_eq!(follows.fetch().unwrap().revision.commit, origin.head());
}

#[test]
fn what_is_gone_leaves_the_last_good_commit_also_after_a_restart() {
    let origin = Origin::new();
    let good = origin.repository(&origin.url(), "").fetch().unwrap();
    origin.run_in(&origin.bare(), &["update-ref", "-d", "refs/heads/main"]);
    let repository = origin.repository(&origin.url(), "");
    let error = repository.fetch().unwrap_err();
    assert_eq!(error.trouble, Trouble::Missing);
    assert!(error.message.contains("branch main is not there"), "{error}");
    std::fs::rename(origin.bare(), origin.path("elsewhere")).unwrap();
    let error = repository.fetch().unwrap_err();
    assert_eq!(error.trouble, Trouble::Unreachable, "{error}");
    assert_eq!(origin.repository(&origin.url(), "").last_good().unwrap().unwrap(), good);
}

#[test]
fn another_branch_is_another_source() {
    let origin = Origin::new();
    origin.repository(&origin.url(), "").fetch().unwrap();
    origin.run(&["checkout", "-q", "--orphan", "other"]);
    origin.run(&["commit", "-q", "-m", "unrelated"]);
    origin.run(&["push", "-q", "origin", "HEAD:refs/tags/v1"]);
    let mut config = origin.config(&origin.url(), "");
    (config.branch, config.tag) = (None, Some("v1".into()));
    let repository = skep::source::git::Repository::new(&config, &origin.state());
    assert_eq!(repository.last_good().unwrap(), None);
    assert_eq!(repository.fetch().unwrap().revision.commit, origin.head());
    config.tag = None;
    let head = skep::source::git::Repository::new(&config, &origin.state());
    assert_eq!(head.fetch().unwrap().revision.subject, "first");
}

#[test]
fn a_folder_that_is_not_there_refuses_the_commit() {
    let origin = Origin::new();
    let repository = origin.repository(&origin.url(), "");
    let good = repository.fetch().unwrap();
    origin.run(&["mv", "specs", "moved"]);
    origin.commit("move");
    let error = repository.fetch().unwrap_err();
    assert!(error.message.contains("has no folder `specs`"), "{error}");
    assert_eq!(repository.last_good().unwrap().unwrap(), good);
}

fn commits(origin: &Origin) -> usize {
    let git = origin.state().join("git");
    let all = origin.run_in(&git, &["rev-list", "--all"]);
    all.lines().count()
}

/// 1 brings the newest commit alone, and 0 all of them; what comes later follows in both.
#[test]
fn the_first_fetch_brings_as_many_commits_as_are_asked_for() {
    for (lines, wanted) in [("", 1), ("depth = 2", 2), ("depth = 0", 4)] {
        let origin = Origin::new();
        for round in 0..3 {
            origin.push("specs/acme.toml", &format!("{GOOD}# {round}\n"), "more");
        }
        let repository = origin.repository(&origin.url(), lines);
        assert_eq!(repository.fetch().unwrap().revision.commit, origin.head());
        assert_eq!(commits(&origin), wanted, "{lines}");
        let next = origin.push("specs/acme.toml", GOOD, "one more");
        assert_eq!(repository.fetch().unwrap().revision.commit, next);
        assert_eq!(commits(&origin), wanted + 1, "{lines}");
    }
}

#[test]
fn specs_may_lie_deep_in_the_tree() {
    let origin = Origin::new();
    origin.write("ops/eu/specs/templates/saas.toml", GOOD.as_bytes());
    origin.write("ops/eu/specs/big/globex.toml", b"template = \"saas\"\n");
    let head = origin.push("ops/other.toml", GOOD, "deep");
    let mut config = origin.config(&origin.url(), "");
    config.path = "ops/eu/specs".to_owned();
    let repository = Repository::new(&config, &origin.state());
    let tree = repository.fetch().unwrap();
    assert_eq!(tree.revision.commit, head);
    let files: Vec<&String> = tree.snapshot.files.keys().collect();
    assert_eq!(files, ["big/globex.toml", "templates/saas.toml"], "by their paths below the folder");
    // A file is no folder, nor is one that is not there.
    for wrong in ["ops/other.toml", "ops/us"] {
        config.path = wrong.to_owned();
        let error = Repository::new(&config, &origin.state()).fetch().unwrap_err();
        assert!(error.message.contains(&format!("folder `{wrong}`")), "{error}");
    }
}

#[test]
fn a_repository_without_any_commit_has_no_branch() {
    let origin = Origin::new();
    let empty = origin.path("empty.git");
    origin.run(&["init", "-q", "--bare", "-b", "main", empty.to_str().unwrap()]);
    for (lines, words) in [("", "branch main is not there"), ("head", "the default branch is not there")] {
        let mut config = origin.config(&format!("file://{}", empty.display()), "");
        if lines == "head" {
            config.branch = None;
        }
        let error = Repository::new(&config, &origin.state()).fetch().unwrap_err();
        assert!(error.message.contains(words), "{error}");
        assert_eq!(error.trouble, Trouble::Missing);
    }
}
