//! Where one test works: specs, state and credentials of its own, and the programs that use them.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::Bed;
use super::http::{Answer, Request, exchange};
use super::process::{Ran, Running};
use super::registry::{PASSWORD, USER};

/// For a program that is not said to run longer.
const LIMIT: Duration = Duration::from_secs(120);

pub struct Workspace<'a> {
    pub bed: &'a Bed,
    /// Holds `specs/`, `state/`, `home/` and `skep.toml`.
    pub dir: PathBuf,
    /// Where `skep run` serves HTTP, by the `skep.toml` written at the start: see [`Workspace::http`].
    pub port: u16,
    runs: AtomicU32,
}

impl<'a> Workspace<'a> {
    pub(super) fn new(bed: &'a Bed, number: u16) -> Self {
        let dir = bed.dir().join(format!("w{number}"));
        for folder in ["specs", "home/.docker"] {
            fs::create_dir_all(dir.join(folder)).expect("the bed's directory is ours");
        }
        let workspace = Workspace { bed, dir, port: 9741 + number, runs: AtomicU32::new(0) };
        workspace.write("password", PASSWORD);
        workspace.write("skep.toml", &workspace.default_config());
        workspace
    }

    /// Both doors of the registry, the right password for the private one, and short intervals.
    pub fn default_config(&self) -> String {
        format!(
            r#"[docker]
host = "{host}"
[registries."{open}"]
plain_http = true
[registries."{private}"]
plain_http = true
username = "{USER}"
password_file = "{password}"
[poll]
registry = "1s"
resync = "5s"
[rollout]
timeout = "60s"
[http]
listen = "127.0.0.1:{port}"
"#,
            host = self.bed.node(0).host(),
            open = self.bed.registry.open.address,
            private = self.bed.registry.private.address,
            password = self.dir.join("password").display(),
            port = self.port,
        )
    }

    /// Writes a file below the workspace by a rename, so that nobody ever reads half of it.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.dir.join(file);
        let folder = path.parent().expect("below the workspace");
        fs::create_dir_all(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let new = folder.join(".new");
        fs::write(&new, text).unwrap_or_else(|e| panic!("{}: {e}", new.display()));
        fs::rename(&new, &path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }

    /// Writes `specs/FILE`.
    pub fn spec(&self, file: &str, text: &str) {
        self.write(&format!("specs/{file}"), text);
    }

    /// What a file below the workspace holds now; nothing if it is not there.
    pub fn read(&self, file: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join(file)).unwrap_or_default()).into_owned()
    }

    // --- skep ---

    /// skep in the client's network, with this workspace's specs, state, home and configuration; nothing else of the
    /// environment but `PATH`.
    pub fn skep_command(&self, arguments: &[impl AsRef<OsStr>]) -> Command {
        let mut command = self.command(Path::new(env!("CARGO_BIN_EXE_skep")));
        command.args(arguments);
        command.env("SKEP_SPECS", self.dir.join("specs"));
        command.env("SKEP_STATE_DIR", self.dir.join("state"));
        command.env("SKEP_CONFIG", self.dir.join("skep.toml"));
        command
    }

    /// Runs skep to its end.
    ///
    /// # Panics
    /// When that has not come after two minutes.
    #[track_caller]
    pub fn skep(&self, arguments: &[impl AsRef<OsStr>]) -> Ran {
        self.spawn(&mut self.skep_command(arguments)).wait(LIMIT)
    }

    /// Leaves it running: `skep run`, `skep events -f`, …
    pub fn skep_spawn(&self, arguments: &[impl AsRef<OsStr>]) -> Running {
        self.spawn(&mut self.skep_command(arguments))
    }

    // --- others ---

    /// The docker CLI on the first manager, logged in nowhere but where this workspace did.
    ///
    /// # Panics
    /// When it has not ended after two minutes.
    #[track_caller]
    pub fn docker(&self, arguments: &[impl AsRef<OsStr>]) -> Ran {
        self.docker_at(0, arguments)
    }

    /// The docker CLI on a node by its number.
    ///
    /// # Panics
    /// When it has not ended after two minutes.
    #[track_caller]
    pub fn docker_at(&self, node: usize, arguments: &[impl AsRef<OsStr>]) -> Ran {
        let packaged = Path::new("/usr/bin/docker");
        let mut command = self.command(if packaged.exists() { packaged } else { Path::new("docker") });
        command.arg("-H").arg(self.bed.node(node).host()).args(arguments);
        self.spawn(&mut command).wait(LIMIT)
    }

    /// Logs the docker CLI in to the private door.
    pub fn docker_login(&self) {
        self.docker(&["login", "-u", USER, "-p", PASSWORD, self.bed.registry.private.address]).ok();
    }

    /// A program in the client's network, in this workspace's directory, without the test's environment.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.bed.enter("client", program);
        command.current_dir(&self.dir).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.join("home"));
        command
    }

    /// Starts a command; its output goes to files in the workspace.
    pub fn spawn(&self, command: &mut Command) -> Running {
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        Running::start(command, &self.dir.join(format!("run{number}")))
    }

    /// One request to the HTTP server of this workspace's `skep run`.
    ///
    /// # Errors
    /// Nobody listens there, or the answer is not whole.
    pub fn http(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut child = self.bed.netcat("127.0.0.1", self.port)?;
        let input = child.stdout.take().expect("piped");
        let output = child.stdin.take().expect("piped");
        let answer = exchange(input, output, Request { method, path, headers, body });
        child.kill().ok();
        child.wait()?;
        answer
    }
}

impl Bed {
    /// What a container that publishes a port on a host says to whoever connects.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn ask_port(&self, address: &str, port: u16) -> io::Result<String> {
        let mut child = self.netcat(address, port)?;
        let mut text = String::new();
        child.stdout.take().expect("piped").read_to_string(&mut text)?;
        let status = child.wait()?;
        if status.success() { Ok(text) } else { Err(io::Error::other(format!("{address}:{port}: {status}"))) }
    }

    fn netcat(&self, address: &str, port: u16) -> io::Result<std::process::Child> {
        let busybox = super::image::busybox().expect("checked before a bed is started");
        let mut command = self.enter("client", Path::new("timeout"));
        command.arg("60").arg(busybox).args(["nc", address, &port.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
    }
}
