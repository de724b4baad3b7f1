//! Runs `git` in an environment that holds nothing but what we put there.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};

use super::{GitError, Repository, Trouble};
use crate::config::GitAccess;

/// Listings and blobs together; more is not a specs repository.
pub(super) const OUTPUT_BYTES_MAX: u64 = 96 << 20;
/// Of what git complains about.
const COMPLAINT_BYTES_MAX: u64 = 16 << 10;
const COMPLAINT_CHARS_MAX: usize = 400;
/// One pack, the largest file that git makes here.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// How often a call looks whether it is wanted still.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const SECRET_BYTES_MAX: u64 = 64 << 10;

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
}

/// What git is told besides its arguments.
#[derive(Default)]
struct Environment {
    settings: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    /// Never to be printed.
    secrets: Vec<String>,
}

impl Repository {
    /// A call that needs the server.
    pub(super) fn git_remote(&self, arguments: &[&str]) -> Result<Output, GitError> {
        let environment = self.access()?;
        self.run(arguments, &[], environment)
    }

    /// A call that needs only what is here.
    pub(super) fn git(&self, arguments: &[&str], input: &[u8]) -> Result<Output, GitError> {
        self.run(arguments, input, Environment::default())
    }

    /// A local call with more settings and variables.
    pub(super) fn git_with(
        &self,
        arguments: &[&str],
        settings: Vec<(String, String)>,
        variables: Vec<(String, String)>,
    ) -> Result<Output, GitError> {
        self.run(arguments, &[], Environment { settings, variables, secrets: Vec::new() })
    }

    fn run(&self, arguments: &[&str], input: &[u8], environment: Environment) -> Result<Output, GitError> {
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
        input: &[u8],
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
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn().map_err(|error| {
            let message = format!("cannot run `{program}`: {error}; install it");
            GitError::new(Trouble::Local, message)
        })?;
        let (success, stdout, stderr) = self.attend(Group(child), input.to_vec())?;
        let mut complaint = String::from_utf8_lossy(&stderr).into_owned();
        for secret in secrets {
            complaint = complaint.replace(secret.as_str(), "***");
        }
        let lines: Vec<&str> = complaint.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let complaint = crate::text::printable(&lines.join("; "), COMPLAINT_CHARS_MAX);
        Ok(Output { success, stdout, complaint })
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

    fn in_time(&self, until: Instant) -> Result<(), GitError> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(GitError::new(Trouble::Local, "skep is ending"));
        }
        if Instant::now() < until {
            return Ok(());
        }
        let within = humantime::format_duration(self.config.timeout);
        Err(GitError::new(Trouble::Unreachable, format!("git was not done within {within}")))
    }

    /// The one way to the server that is allowed, and what opens it.
    fn access(&self) -> Result<Environment, GitError> {
        let config = &self.config;
        let mut environment = Environment::default();
        let scheme = config.scheme();
        let setting = |key: String, value: &str| (key, value.to_owned());
        environment.settings.push(setting(format!("protocol.{scheme}.allow"), "always"));
        match &config.access {
            GitAccess::None => {}
            GitAccess::Password { username, file } => {
                let secret = read_secret(file)?;
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{secret}"));
                let key = format!("http.{}.extraHeader", config.origin());
                environment.settings.push((key, format!("Authorization: Basic {pair}")));
                environment.secrets.extend([secret, pair]);
            }
            GitAccess::Ssh { key, known_hosts } => {
                environment.variables.push(("GIT_SSH_COMMAND".into(), ssh_command(key, known_hosts)));
            }
        }
        if let Some(ca) = &config.ca_file {
            environment.settings.push(("http.sslCAInfo".into(), ca.display().to_string()));
        }
        Ok(environment)
    }
}

/// Git gives this line to a shell, so each word is quoted; the configuration lets only plain
/// paths through.
fn ssh_command(key: &Path, known_hosts: &Path) -> String {
    let options = [
        "BatchMode=yes".to_owned(),
        "IdentitiesOnly=yes".into(),
        "IdentityAgent=none".into(),
        format!("IdentityFile={}", absolute(key)),
        "StrictHostKeyChecking=yes".into(),
        format!("UserKnownHostsFile={}", absolute(known_hosts)),
        "GlobalKnownHostsFile=/dev/null".into(),
        "UpdateHostKeys=no".into(),
        "PreferredAuthentications=publickey".into(),
        "ClearAllForwardings=yes".into(),
        "ForwardAgent=no".into(),
        "PermitLocalCommand=no".into(),
        "ConnectTimeout=15".into(),
    ];
    let mut line = "ssh -F /dev/null".to_owned();
    for option in options {
        line.push_str(" -o ");
        line.push_str(&quoted(&option));
    }
    line
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

pub(super) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn read_secret(file: &Path) -> Result<String, GitError> {
    let mut text = String::new();
    let read =
        std::fs::File::open(file).and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text));
    let shown = file.display();
    read.map_err(|error| GitError::new(Trouble::Local, format!("cannot read {shown}: {error}")))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() || secret.chars().any(char::is_control) {
        let message = format!("{shown} is to hold one line, the secret, and nothing else");
        return Err(GitError::new(Trouble::Local, message));
    }
    Ok(secret.to_owned())
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
        let limit = Rlimit { current: Some(FILE_BYTES_MAX), maximum: Some(FILE_BYTES_MAX) };
        if let Err(error) = prlimit(self.pid(), Resource::Fsize, limit) {
            tracing::debug!(%error, "cannot bound the files of git");
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
