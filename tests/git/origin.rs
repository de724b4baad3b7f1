//! A repository that specs come from, and the working tree that is pushed to it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use skep::config::{Config, Flags, GitConfig, Sources};
use skep::source::git::Repository;

pub const GOOD: &str = "[services.web]\nimage = \"r.example.com/web\"\n";

/// Searched for in all that is printed.
pub const CANARY: &str = "c4n4ry-s3cr3t-d0-n0t-pr1nt";

pub struct Origin {
    pub root: tempfile::TempDir,
}

impl Origin {
    /// With `specs/acme.toml` in a first commit on `main`.
    pub fn new() -> Self {
        let origin = Self { root: tempfile::tempdir().unwrap() };
        std::fs::create_dir(origin.work()).unwrap();
        let bare = origin.bare();
        origin.run(&["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()]);
        origin.run(&["init", "-q", "-b", "main"]);
        origin.run(&["remote", "add", "origin", bare.to_str().unwrap()]);
        origin.run_in(&bare, &["config", "http.receivepack", "false"]);
        origin.push("specs/acme.toml", GOOD, "first");
        origin
    }

    pub fn bare(&self) -> PathBuf {
        self.root.path().join("origin.git")
    }

    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A file in the temporary folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub fn command(&self, dir: &Path) -> Command {
        let mut git = Command::new("git");
        git.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(dir);
        git.env("HOME", self.root.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GNUPGHOME", self.path("gnupg"));
        for (name, value) in [("NAME", "Ada \u{1b}[31mByron"), ("EMAIL", "ada@example.com")] {
            git.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
        }
        git.stdin(Stdio::null());
        git
    }

    pub fn run_in(&self, dir: &Path, arguments: &[&str]) -> String {
        said(self.command(dir).args(arguments).output().unwrap(), arguments)
    }

    pub fn run(&self, arguments: &[&str]) -> String {
        self.run_in(&self.work(), arguments)
    }

    pub fn write(&self, name: &str, text: &[u8]) {
        let file = self.work().join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
    }

    /// Commits all that stands in the working tree and pushes it; gives the commit.
    pub fn commit(&self, subject: &str) -> String {
        self.run(&["add", "-A"]);
        self.run(&["commit", "-q", "-m", subject]);
        self.run(&["push", "-q", "-f", "origin", "HEAD:main"]);
        self.head()
    }

    pub fn push(&self, name: &str, text: &str, subject: &str) -> String {
        self.write(name, text.as_bytes());
        self.commit(subject)
    }

    pub fn head(&self) -> String {
        self.run(&["rev-parse", "HEAD"])
    }

    pub fn url(&self) -> String {
        format!("file://{}", self.bare().display())
    }

    /// What `skep.toml` makes of these lines.
    pub fn config(&self, url: &str, lines: &str) -> GitConfig {
        let text = format!(
            "[source.git]\nurl = \"{url}\"\nbranch = \"main\"\npath = \"specs\"\ntimeout = \"20s\"\n{lines}\n"
        );
        load(&self.file("skep.toml", &text)).git.unwrap()
    }

    pub fn repository(&self, url: &str, lines: &str) -> Repository {
        std::fs::create_dir_all(self.state()).unwrap();
        Repository::new(&self.config(url, lines), &self.state())
    }
}

pub fn load(file: &Path) -> Config {
    Config::load(&Sources::new(Some(file.to_owned()), [], Flags::default())).unwrap()
}

fn said(output: Output, arguments: &[&str]) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {arguments:?}: {stderr}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
