//! One git at a time changes a repository. What a killed one has left behind, a process that goes
//! on or a lock file that nobody will ever remove, is cleared away by the next.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::command::LOOK_EVERY;
use super::{GitError, Repository, Trouble};

/// In the repository's folder.
const FILE: &str = "hold";
/// Digits of a process id.
const NOTE_BYTES_MAX: u64 = 16;

/// Held until it is dropped and until each git that had it as its input has ended: the lock is on
/// the open file, which they share. So it stands as long as something is at work, whoever died.
pub(super) struct Hold(File);

impl Hold {
    /// The input of a git that is to count as at work.
    pub(super) fn input(&self) -> io::Result<Stdio> {
        self.0.try_clone().map(Stdio::from)
    }

    /// Empties the note.
    pub(super) fn forget(&self) -> io::Result<()> {
        let mut file = &self.0;
        file.set_len(0).and_then(|()| file.rewind())
    }

    /// Notes whom to end if we die before it does.
    pub(super) fn note(&self, child: &Child) {
        let mut file = &self.0;
        let noted = self.forget().and_then(|()| write!(file, "{}", child.id()));
        if let Err(error) = noted {
            tracing::debug!(%error, "cannot note which git is at work");
        }
    }

    /// Ends the git that outlived the skep that started it, if it is found. While the lock is held its
    /// number is nobody else's.
    fn end_orphan(&self) -> bool {
        let mut note = String::new();
        let mut file = &self.0;
        let read = file.rewind().and_then(|()| file.take(NOTE_BYTES_MAX).read_to_string(&mut note));
        let noted: Option<i32> = read.ok().and_then(|_| note.parse().ok()).filter(|number| *number > 1);
        let found = noted.map_or_else(|| self.unnoted(), |number| vec![number]);
        let mut killed = false;
        for git in found.into_iter().filter_map(Pid::from_raw) {
            // One that is not noted may not lead its group yet, or be what a git that has ended has started.
            let alone = || noted.is_none() && kill_process(git, Signal::KILL).is_ok();
            if kill_process_group(git, Signal::KILL).is_ok() || alone() {
                tracing::info!(pid = git.as_raw_nonzero(), "ended a git that outlived an earlier skep");
                killed = true;
            }
        }
        // A number that was noted is tried once: later it may be another's.
        killed || noted.is_some()
    }

    /// Who has this file as its input: skep may be killed when it has started a git and not noted it yet.
    fn unnoted(&self) -> Vec<i32> {
        let (Ok(own), Ok(path)) =
            (self.0.metadata(), fs::read_link(format!("/proc/self/fd/{}", self.0.as_raw_fd())))
        else {
            return Vec::new();
        };
        let is_own = |number: &i32| {
            let input = format!("/proc/{number}/fd/0");
            // Only of that name is it looked at: another's may be on a file system that does not answer.
            let is_named_so = fs::read_link(&input).is_ok_and(|input| input == path);
            let is_same = |input: fs::Metadata| (input.dev(), input.ino()) == (own.dev(), own.ino());
            *number > 1 && is_named_so && fs::metadata(&input).is_ok_and(is_same)
        };
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(|process| process.file_name().to_str()?.parse().ok()).filter(is_own).collect()
    }
}

impl Repository {
    /// Waits until nothing is at work here, and clears away what was left.
    pub(super) fn hold(&self) -> Result<Hold, GitError> {
        let failed = |error: io::Error| {
            GitError::new(Trouble::Local, format!("cannot use {}: {error}", self.dir.display()))
        };
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let hold = Hold(options.open(self.dir.join(FILE)).map_err(failed)?);
        let until = Instant::now() + self.config.timeout;
        let mut ended = false;
        loop {
            match flock(&hold.0, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) if !ended => ended = hold.end_orphan(),
                Err(Errno::WOULDBLOCK) => {}
                Err(error) => return Err(failed(error.into())),
            }
            self.in_time(until)?;
            std::thread::sleep(LOOK_EVERY);
        }
        clear(&self.dir).map_err(failed)?;
        Ok(hold)
    }
}

/// Removes what only a git that was killed leaves: lock files, half packs, keys for one use.
fn clear(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            match name.starts_with("keys-") {
                true => fs::remove_dir_all(&path)?,
                false => clear(&path)?,
            }
        } else if is_left(&name) {
            tracing::info!(path = %path.display(), "removing what a killed git left");
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn is_left(name: &str) -> bool {
    name.ends_with(".lock") || name.starts_with("tmp_") || name.starts_with(".tmp-") || name == "gc.pid"
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::super::command::Input;
    use super::*;

    #[test]
    fn what_a_killed_git_left_is_cleared_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let left = [
            "shallow.lock",
            "refs/skep/0123/seen.lock",
            "objects/pack/tmp_pack_a1b2",
            "objects/pack/.tmp-77-pack-1",
            "gc.pid",
            "keys-1/pubring.kbx",
        ];
        let kept = ["HEAD", "shallow", "refs/skep/0123/seen", "objects/pack/pack-1.pack", "config"];
        for file in left.iter().chain(&kept) {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        clear(dir.path()).unwrap();
        for file in left {
            assert!(!dir.path().join(file).exists(), "{file}");
        }
        for file in kept {
            assert!(dir.path().join(file).exists(), "{file}");
        }
    }

    /// A kill between the start of a git and its note must find no number, least of all the last one's.
    #[test]
    fn the_note_is_empty_before_the_next_git_starts() {
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::at(&super::super::tests::config(), dir.path().to_owned());
        let hold = repository.hold().unwrap();
        let note = || fs::read_to_string(dir.path().join(FILE)).unwrap();
        let run = |program: &str| repository.run_program(Command::new(program), Input::Hold(&hold), &[]);
        assert!(run("true").unwrap().success);
        assert!(note().parse::<u32>().is_ok(), "{}", note());
        assert!(run("/nowhere/at/all").is_err());
        assert_eq!(note(), "");
    }

    /// Killed between the two, skep leaves a git that no note names.
    #[test]
    fn a_git_that_was_not_noted_is_ended_too() {
        use std::os::unix::process::{CommandExt, ExitStatusExt};
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::at(&super::super::tests::config(), dir.path().to_owned());
        let hold = repository.hold().unwrap();
        let start = |input| Command::new("sleep").arg("1000").process_group(0).stdin(input).spawn();
        let mut git = start(hold.input().unwrap()).unwrap();
        drop(hold);
        drop(repository.hold().unwrap());
        assert_eq!(git.wait().unwrap().signal(), Some(9));
    }

    /// What it has started goes on when it has ended, in its group and with its input.
    #[test]
    fn what_an_ended_git_has_started_is_ended_too() {
        use std::os::unix::process::CommandExt;
        let dir = tempfile::tempdir().unwrap();
        let repository = Repository::at(&super::super::tests::config(), dir.path().to_owned());
        let hold = repository.hold().unwrap();
        // A shell gives what it starts in the background another input, unless it is told which.
        let script = "exec 3<&0; sleep 1000 <&3 3<&- &";
        let start = |input| Command::new("sh").args(["-c", script]).process_group(0).stdin(input).status();
        assert!(start(hold.input().unwrap()).unwrap().success());
        drop(hold);
        let begun = Instant::now();
        drop(repository.hold().unwrap());
        assert!(begun.elapsed() < repository.config.timeout / 2);
    }
}
