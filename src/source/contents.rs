//! What specs name besides themselves: files of the specs directory or of their commit, and the environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::directory::{Stamp, open, read_bounded};
use super::git::Tree;
use crate::spec::{Content, Contents, FoundFile, SecretBytes};
use crate::state_dir::StateDir;

/// How often a file that changes under the reader is read before that is called a problem.
const TRIES: usize = 3;

/// Who reads the specs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Makes what they say: whatever is lacking is an error.
    Controller,
    /// Only looks, perhaps elsewhere and as somebody else than the controller: what it may not
    /// see or does not have in its own environment is unknown.
    Visitor,
}

/// Content beside specs.
pub struct Beside {
    place: Place,
    standing: Standing,
    variable: fn(&str) -> Option<OsString>,
}

enum Place {
    Directory(PathBuf),
    /// What a commit holds at the paths that its specs name.
    Commit(Arc<BTreeMap<String, Content>>),
}

impl Beside {
    /// Of this directory and this process.
    pub fn new(dir: &Path, standing: Standing) -> Self {
        Self::at(Place::Directory(dir.to_owned()), standing)
    }

    /// Of this commit and this process.
    pub fn of_commit(tree: &Tree, standing: Standing) -> Self {
        Self::at(Place::Commit(Arc::clone(&tree.beside)), standing)
    }

    fn at(place: Place, standing: Standing) -> Self {
        Self { place, standing, variable: |name| std::env::var_os(name) }
    }
}

/// What was read of a commit, at most so large.
fn of_commit(files: &BTreeMap<String, Content>, path: &str, bytes_max: usize) -> Content {
    match files.get(path) {
        Some(Content::Found(bytes)) if bytes.reveal().len() > bytes_max => Content::TooLarge,
        Some(content) => content.clone(),
        None => Content::Missing,
    }
}

impl Place {
    fn read(&self, path: &str, bytes_max: usize) -> io::Result<FoundFile> {
        let relative = Path::new(path);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(Content::Bad("is no path within the specs directory".into()).into());
        }
        let root = match self {
            Self::Directory(root) => fs::canonicalize(root)?,
            Self::Commit(files) => return Ok(of_commit(files, path, bytes_max).into()),
        };
        for _ in 0..TRIES {
            let real = fs::canonicalize(root.join(relative))?;
            let Ok(within) = real.strip_prefix(&root) else {
                let why = "leads out of the specs directory by a symlink; put a copy here";
                return Ok(Content::Bad(why.into()).into());
            };
            if let Some(why) = not_for_specs(&root, within) {
                return Ok(Content::Bad(why.into()).into());
            }
            let led_to = Some(within.to_string_lossy().into_owned()).filter(|led_to| led_to != path);
            let file = open(&real)?;
            let before = file.metadata()?;
            if !before.is_file() {
                return Ok(FoundFile { content: Content::Bad("is not a regular file".into()), led_to });
            }
            let bytes = read_bounded(&file, bytes_max as u64)?;
            if Stamp::of(&file.metadata()?) == Stamp::of(&before) {
                let fits = bytes.len() <= bytes_max;
                let content = if fits { Content::Found(SecretBytes::new(bytes)) } else { Content::TooLarge };
                return Ok(FoundFile { content, led_to });
            }
        }
        Ok(Content::Bad("kept changing while it was read; it is read again at the next look".into()).into())
    }
}

/// Why no spec may name a file, whatever the fleet's rules are: git's own may hold credentials for the server, and those
/// of skep the token of its API and the key of its names. `file` has no symlinks in it.
fn not_for_specs(root: &Path, file: &Path) -> Option<&'static str> {
    if file.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git")) {
        return Some("is git's own, and for no service");
    }
    let folders = file.ancestors().skip(1).map(|folder| root.join(folder));
    let is_state = |folder: PathBuf| StateDir::is_one(&folder);
    folders.into_iter().any(is_state).then_some("lies in skep's state directory, and is for no service")
}

impl Contents for Beside {
    fn file(&self, path: &str, bytes_max: usize) -> FoundFile {
        let unread = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Content::Missing,
            io::ErrorKind::PermissionDenied if self.standing == Standing::Visitor => Content::Unknown,
            _ => Content::Bad(format!("cannot be read: {error}")),
        };
        self.place.read(path, bytes_max).unwrap_or_else(|error| unread(error).into())
    }

    fn variable(&self, name: &str) -> Content {
        match ((self.variable)(name), self.standing) {
            (Some(value), _) => Content::Found(SecretBytes::new(value.into_vec())),
            (None, Standing::Controller) => Content::Missing,
            (None, Standing::Visitor) => Content::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn found(text: &str) -> Content {
        Content::Found(SecretBytes::new(text.as_bytes()))
    }

    #[test]
    fn files_are_read_within_the_directory_only() {
        let dir = tempfile::tempdir().unwrap();
        let specs = dir.path().join("specs");
        fs::create_dir_all(specs.join("eu")).unwrap();
        fs::write(specs.join("eu/token"), "hunter2\n").unwrap();
        fs::write(dir.path().join("outside"), "x").unwrap();
        symlink("eu/token", specs.join("inside")).unwrap();
        symlink("../outside", specs.join("out")).unwrap();
        symlink("nowhere", specs.join("dangling")).unwrap();
        symlink(dir.path(), specs.join("up")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            specs.join("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        fs::create_dir_all(specs.join("eu/.git")).unwrap();
        fs::write(specs.join("eu/.git/config"), "http.extraheader").unwrap();
        symlink(".git/config", specs.join("eu/config")).unwrap();
        let state = StateDir::open(&specs.join(".skep")).unwrap();
        state.content_key().unwrap();
        fs::write(specs.join(".skep/api-token"), "hunter2").unwrap();
        symlink(".skep", specs.join("state")).unwrap();
        let beside = Beside::new(&specs, Standing::Controller);
        for bad in ["eu/.git/config", "eu/config", ".skep/api-token", ".skep/content.key", "state/api-token"]
        {
            assert!(matches!(beside.file(bad, 100).content, Content::Bad(_)), "{bad}");
        }
        assert_eq!(beside.file("eu/token", 100), found("hunter2\n").into());
        assert_eq!(beside.file("eu/token", 8), found("hunter2\n").into());
        assert_eq!(beside.file("eu/token", 7), Content::TooLarge.into());
        let led_to = Some("eu/token".to_owned());
        assert_eq!(beside.file("inside", 100), FoundFile { content: found("hunter2\n"), led_to });
        for missing in ["token", "dangling", "eu/token/x"] {
            assert_eq!(beside.file(missing, 100), Content::Missing.into(), "{missing}");
        }
        for bad in ["out", "up/outside", "../outside", "/etc/hostname", "eu", "pipe"] {
            assert!(matches!(beside.file(bad, 100).content, Content::Bad(_)), "{bad}");
        }
    }

    #[test]
    fn who_only_looks_lacks_what_the_controller_must_have() {
        let dir = tempfile::tempdir().unwrap();
        let variable = |name: &str| (name == "TOKEN").then(|| OsString::from("hunter2"));
        let beside = |standing| Beside { variable, ..Beside::new(dir.path(), standing) };
        for standing in [Standing::Controller, Standing::Visitor] {
            assert_eq!(beside(standing).variable("TOKEN"), found("hunter2"));
        }
        assert_eq!(beside(Standing::Controller).variable("OTHER"), Content::Missing);
        assert_eq!(beside(Standing::Visitor).variable("OTHER"), Content::Unknown);
    }
}
