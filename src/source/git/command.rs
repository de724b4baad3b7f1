//! Runs `git` in an environment that holds nothing but what we put there.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};

use super::hold::Hold;
use super::{GitError, Repository, Trouble};

/// Listings and blobs together; more is not a specs repository.
pub(super) const OUTPUT_BYTES_MAX: u64 = 96 << 20;
/// Of what git complains about.
const COMPLAINT_BYTES_MAX: u64 = 16 << 10;
const COMPLAINT_CHARS_MAX: usize = 400;
/// One pack, the largest file that git makes here.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// Of address space, for each process: a pack, and what is made of it. A server that never ends its
/// list of branches would else fill the machine's.
const MEMORY_BYTES_MAX: u64 = 2 << 30;
/// How often a call looks whether it is wanted still.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What is taken over from our own environment: where programs are, and the way out.
const KEPT: &[&str] = &[
    "PATH",
    "TMPDIR",
    "HTTPS_PROXY",
    "https_proxy",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// Settings for every call; what the repository's own file says comes before them.
const SETTINGS: &[(&str, &str)] = &[
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.fsync", "all"),
    ("credential.helper", ""),
    ("fetch.fsckObjects", "true"),
    ("transfer.fsckObjects", "true"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("fetch.unpackLimit", "1"),
    ("gc.autoDetach", "false"),
    ("http.followRedirects", "false"),
    ("http.emptyAuth", "false"),
    ("log.showSignature", "false"),
    ("protocol.allow", "never"),
];

/// What a call gave.
pub(super) struct Output {
    pub success: bool,
    pub stdout: Vec<u8>,
    /// Bounded, on one line, without secrets.
    pub complaint: String,
    /// The same before it was cut short.
    pub all: String,
}

/// What git is told besides its arguments.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) settings: Vec<(String, String)>,
    pub(super) variables: Vec<(String, String)>,
    /// Never to be printed.
    pub(super) secrets: Vec<String>,
}

/// What a program reads.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    Bytes(&'a [u8]),
    /// Nothing; but it counts as at work in the repository.
    Hold(&'a Hold),
}

impl Repository {
    /// A call that needs the server.
    pub(super) fn git_remote(&self, hold: &Hold, arguments: &[&str]) -> Result<Output, GitError> {
        let environment = self.access()?;
        self.run(arguments, Input::Hold(hold), environment)
    }

    /// A call that changes what is here.
    pub(super) fn git_held(&self, hold: &Hold, arguments: &[&str]) -> Result<Output, GitError> {
        self.run(arguments, Input::Hold(hold), Environment::default())
    }

    /// A call that needs only what is here.
    pub(super) fn git(&self, arguments: &[&str], input: &[u8]) -> Result<Output, GitError> {
        self.run(arguments, Input::Bytes(input), Environment::default())
    }

    /// A local call with more settings and variables.
    pub(super) fn git_with(
        &self,
        arguments: &[&str],
        settings: Vec<(String, String)>,
        variables: Vec<(String, String)>,
    ) -> Result<Output, GitError> {
        let environment = Environment { settings, variables, secrets: Vec::new() };
        self.run(arguments, Input::Bytes(&[]), environment)
    }

    fn run(
        &self,
        arguments: &[&str],
        input: Input<'_>,
        environment: Environment,
    ) -> Result<Output, GitError> {
        let mut command = Command::new("git");
        command.args(arguments).env("GIT_DIR", &self.dir);
        let settings = SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let settings: Vec<_> = settings.chain(environment.settings).collect();
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (index, (key, value)) in settings.into_iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command.envs(environment.variables);
        self.run_program(command, input, &environment.secrets)
    }

    /// Runs a program with a bare environment besides what `command` sets, in a process
    /// group of its own that dies whole when its time is up.
    pub(super) fn run_program(
        &self,
        mut command: Command,
        input: Input<'_>,
        secrets: &[String],
    ) -> Result<Output, GitError> {
        let given: Vec<_> =
            command.get_envs().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect();
        command.env_clear().envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.envs([
            ("HOME", "/nonexistent"),
            ("LC_ALL", "C"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ("GIT_ATTR_NOSYSTEM", "1"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_ASKPASS", "/bin/false"),
            ("SSH_ASKPASS_REQUIRE", "never"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("GIT_PROTOCOL_FROM_USER", "0"),
            ("GIT_LITERAL_PATHSPECS", "1"),
            ("GIT_SSH_VARIANT", "ssh"),
        ]);
        command.envs(given).process_group(0).current_dir("/");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = |error: std::io::Error| {
            let hint = if error.kind() == std::io::ErrorKind::NotFound { "; install it" } else { "" };
            GitError::new(Trouble::Local, format!("cannot run `{program}`: {error}{hint}"))
        };
        let group = match input {
            Input::Bytes(_) => Group(command.stdin(Stdio::piped()).spawn().map_err(failed)?),
            Input::Hold(hold) => {
                let input = hold.input().map_err(failed)?;
                // If we die before the next number is there, nobody is ended by the last one, which may be another's.
                hold.forget().map_err(failed)?;
                let group = Group(command.stdin(input).spawn().map_err(failed)?);
                hold.note(&group.0);
                group
            }
        };
        let given = match input {
            Input::Bytes(bytes) => bytes.to_vec(),
            Input::Hold(_) => Vec::new(),
        };
        let (success, stdout, stderr) = self.attend(group, given)?;
        let mut complaint = String::from_utf8_lossy(&stderr).into_owned();
        for secret in secrets {
            complaint = complaint.replace(secret.as_str(), "***");
        }
        // Ssh puts its warnings in frames.
        let line = |line: &'_ str| line.trim_matches(|c: char| c == '@' || c.is_whitespace()).to_owned();
        let lines: Vec<String> = complaint.lines().map(line).filter(|line| !line.is_empty()).collect();
        let all = lines.join("; ");
        let complaint = crate::text::printable(&all, COMPLAINT_CHARS_MAX);
        Ok(Output { success, stdout, complaint, all })
    }

    fn attend(&self, mut group: Group, input: Vec<u8>) -> Result<(bool, Vec<u8>, Vec<u8>), GitError> {
        group.limit();
        let until = Instant::now() + self.config.timeout;
        let failed =
            |error: std::io::Error| GitError::new(Trouble::Local, format!("cannot run git: {error}"));
        if let Some(mut stdin) = group.0.stdin.take() {
            // A program that ends early closes it, which is no concern of ours.
            std::thread::spawn(move || stdin.write_all(&input));
        }
        let stdout = group.0.stdout.take().map(|stream| read_all(stream, OUTPUT_BYTES_MAX));
        let stderr = group.0.stderr.take().map(|stream| read_all(stream, COMPLAINT_BYTES_MAX));
        let stdout = self.receive(stdout, until)?;
        let stderr = self.receive(stderr, until)?;
        loop {
            if let Some(status) = group.0.try_wait().map_err(failed)? {
                return Ok((status.success(), stdout, stderr));
            }
            self.in_time(until)?;
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn receive(&self, bytes: Option<Receiver<Option<Vec<u8>>>>, until: Instant) -> Result<Vec<u8>, GitError> {
        let Some(bytes) = bytes else { return Ok(Vec::new()) };
        loop {
            match bytes.recv_timeout(LOOK_EVERY) {
                Ok(Some(bytes)) => return Ok(bytes),
                Ok(None) => return Err(too_much()),
                Err(RecvTimeoutError::Timeout) => self.in_time(until)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
            }
        }
    }

    pub(super) fn in_time(&self, until: Instant) -> Result<(), GitError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(GitError::new(Trouble::Local, "skep is ending"));
        }
        if Instant::now() < until {
            return Ok(());
        }
        let within = humantime::format_duration(self.config.timeout);
        Err(GitError::new(Trouble::Unreachable, format!("git was not done within {within}")))
    }
}

pub(super) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn too_much() -> GitError {
    GitError::new(Trouble::Refused, "the repository gave more than a specs repository holds")
}

/// Gives all that comes, or `None` if that is more than `most`.
fn read_all(stream: impl Read + Send + 'static, most: u64) -> Receiver<Option<Vec<u8>>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What broke off is what there is; the exit status says that it failed.
        let _ = stream.take(most + 1).read_to_end(&mut bytes);
        let whole = bytes.len() as u64 <= most;
        let _ = send.send(whole.then_some(bytes));
    });
    receive
}

/// A program with all that it starts; killed when nobody waits for it.
struct Group(Child);

impl Group {
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.0.id()).ok()?)
    }

    fn limit(&self) {
        for (resource, most) in [(Resource::Fsize, FILE_BYTES_MAX), (Resource::As, MEMORY_BYTES_MAX)] {
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            if let Err(error) = prlimit(self.pid(), resource, limit) {
                tracing::debug!(%error, "cannot bound what git uses");
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.0.try_wait() {
            return;
        }
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        let _ = self.0.wait();
    }
}
