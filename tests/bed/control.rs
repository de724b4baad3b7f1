//! The bed's PID 1: a shell that starts and ends daemons in the bed's namespaces.
//!
//! When the pipe to it closes, for whatever reason, the whole bed goes (see `supervisor.sh`).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

pub struct Control {
    supervisor: Child,
    /// `None` once the bed was told to go.
    pipes: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    init: u32,
}

impl Control {
    /// Starts the supervisor, and waits until the bed's namespaces stand.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn start(dir: &Path, name: &str) -> Self {
        let script = dir.join("supervisor.sh");
        std::fs::write(&script, include_str!("supervisor.sh")).expect("the bed's directory is ours");
        std::fs::write(dir.join("init.sh"), include_str!("init.sh")).expect("the bed's directory is ours");
        let mut supervisor = Command::new("/bin/bash")
            .arg(script)
            .args([dir.as_os_str(), name.as_ref()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C goes to a process group: the supervisor has still to clear away then.
            .process_group(0)
            .spawn()
            .expect("bash starts");
        let stdin = supervisor.stdin.take().expect("piped");
        let mut stdout = BufReader::new(supervisor.stdout.take().expect("piped"));
        let (status, text) = read_reply(&mut stdout);
        assert_eq!(status, Some(0), "the bed's namespaces could not be made: {text}");
        let init = children(supervisor.id()).first().and_then(|unshare| children(*unshare).first().copied());
        let init = init.expect("supervisor -> unshare -> PID 1");
        Control { supervisor, pipes: Mutex::new(Some((stdin, stdout))), init }
    }

    /// Runs a line of shell as the bed's PID 1.
    ///
    /// # Panics
    /// When it ends with another status than 0.
    #[track_caller]
    pub fn run(&self, line: &str) -> String {
        let (status, text) = self.try_run(line);
        assert_eq!(status, Some(0), "in the bed: {line}: {text}");
        text
    }

    /// The status is `None` when the bed has gone.
    pub fn try_run(&self, line: &str) -> (Option<i32>, String) {
        assert!(!line.contains('\n'), "one line at a time: {line}");
        let mut pipes = self.pipes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some((stdin, stdout)) = pipes.as_mut() else { return (None, "the bed has gone".into()) };
        if let Err(error) = writeln!(stdin, "{line}") {
            return (None, error.to_string());
        }
        read_reply(stdout)
    }

    /// The file by which a process of the root namespace enters a network namespace of the bed.
    pub fn network(&self, namespace: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/run/netns/{namespace}", self.init))
    }

    /// The PID of the supervisor, in the root namespace.
    pub fn supervisor(&self) -> u32 {
        self.supervisor.id()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        *self.pipes.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
        // A failure to wait would mean that somebody else did: the bed is gone either way.
        self.supervisor.wait().ok();
    }
}

/// Up to the line `@@STATUS`; `None` at the end of the stream.
fn read_reply(stdout: &mut impl BufRead) -> (Option<i32>, String) {
    let mut text = String::new();
    loop {
        let mut line = Vec::new();
        if !matches!(stdout.read_until(b'\n', &mut line), Ok(1..)) {
            return (None, text);
        }
        let line = String::from_utf8_lossy(&line);
        if let Some(status) = line.strip_prefix("@@") {
            return (status.trim().parse().ok(), text.trim().to_owned());
        }
        text += &line;
    }
}

/// The processes whose parent is `pid`, from `/proc`.
pub fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc is there").flatten() {
        let Some(child) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The command, in brackets, may hold spaces and brackets itself.
        let after = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if after.split(' ').nth(1).and_then(|ppid| ppid.parse().ok()) == Some(pid) {
            found.push(child);
        }
    }
    found
}
