//! Programs run by a test: with a time limit, their output in files, ended with their handle.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::{check, wait_until};

/// How a program ended, and what it said.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The command line, for messages.
    pub command: String,
    /// `None`: ended by a signal.
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Ran {
    /// # Panics
    /// When it ended otherwise; with all it said.
    #[track_caller]
    pub fn expect_status(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "`{}` ended so; it said:\n{}", self.command, self.said());
        self
    }

    /// # Panics
    /// When it failed; with all it said.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.expect_status(0)
    }

    /// Its stdout as JSON.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("`{}` did not print JSON ({e}):\n{}", self.command, self.said()))
    }

    fn said(&self) -> String {
        format!("--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// A program under way. Dropping it kills it.
pub struct Running {
    child: Child,
    command: String,
    out: PathBuf,
    err: PathBuf,
    start: Instant,
}

impl Running {
    /// Its output goes to `LOGS.out` and `LOGS.err`.
    pub(super) fn start(command: &mut Command, logs: &Path) -> Self {
        let line: Vec<_> =
            command.get_args().map(|a| a.to_string_lossy()).skip_while(|a| a.starts_with("--net")).collect();
        let line = line.join(" ");
        let (out, err) = (logs.with_extension("out"), logs.with_extension("err"));
        let file = |path: &Path| File::create(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        command.stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        Running { child, command: line, out, err, start: Instant::now() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        read(&self.out)
    }

    /// What it has printed so far.
    pub fn stderr(&self) -> String {
        read(&self.err)
    }

    /// `None` while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill9(mut self) -> Ran {
        self.child.kill().expect("it is our child");
        self.wait(Duration::from_secs(10))
    }

    /// Asks it to end; it may take its time: see [`Running::wait`].
    pub fn sigterm(&self) {
        self.signal(Signal::TERM).expect("it runs");
    }

    /// For skep: read specs and configuration again.
    pub fn sighup(&self) {
        self.signal(Signal::HUP).expect("it runs");
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a PID");
        Ok(kill_process(pid, signal)?)
    }

    /// # Panics
    /// When it has not ended within the limit, with all it said.
    #[track_caller]
    pub fn wait(mut self, limit: Duration) -> Ran {
        let (out, err) = (self.out.clone(), self.err.clone());
        let what = format!("`{}` has ended", self.command);
        let status = wait_until(limit, &what, || {
            self.ended().ok_or_else(|| format!("--- stdout\n{}\n--- stderr\n{}", read(&out), read(&err)))
        });
        Ran {
            command: self.command.clone(),
            status: status.code(),
            stdout: self.stdout(),
            stderr: self.stderr(),
            took: self.start.elapsed(),
        }
    }

    /// Until stdout and stderr together hold `text`.
    ///
    /// # Panics
    /// After the limit, or when it ended before.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str, limit: Duration) {
        let what = format!("`{}` says {text:?}", self.command);
        wait_until(limit, &what, || {
            let ended = self.ended();
            let said = self.stdout() + &self.stderr();
            if said.contains(text) {
                return Ok(());
            }
            assert!(ended.is_none(), "`{}` ended ({ended:?}) without {text:?}:\n{said}", self.command);
            check(false, || said)
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only when it has ended and was waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
