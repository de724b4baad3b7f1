//! Over ssh: an sshd of the tests' own on loopback, with keys and accounts of nobody else's.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use skep::source::git::{GitError, Trouble};

use crate::fleet::skep_in;
use crate::origin::{GOOD, Origin};

/// To listen, or to end by itself when the port was taken meanwhile.
const STARTED_WITHIN: Duration = Duration::from_secs(30);
const TRIES: usize = 5;

/// Ends with the test, whatever comes of it.
struct Sshd {
    child: Child,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Sshd {
    /// Lets the key `client` in, to `git` alone.
    fn start(origin: &Origin) -> Self {
        let host = key(origin, "host", "");
        let client = key(origin, "client", "");
        std::fs::copy(public(&client), origin.path("authorized")).unwrap();
        for _ in 0..TRIES {
            let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let port = taken.local_addr().unwrap().port();
            drop(taken);
            if let Some(child) = Self::listen(origin, port) {
                let line = std::fs::read_to_string(public(&host)).unwrap();
                origin.file("known", &format!("[127.0.0.1]:{port} {line}"));
                return Self { child, port };
            }
        }
        panic!("sshd does not start");
    }

    fn listen(origin: &Origin, port: u16) -> Option<Child> {
        let path = std::env::var("PATH").unwrap();
        let dir = origin.root.path().display();
        let text = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {dir}/host\nAuthorizedKeysFile {dir}/authorized\n\
             PidFile none\nStrictModes no\nUsePAM no\nUseDNS no\nPrintMotd no\nPrintLastLog no\n\
             AuthenticationMethods publickey\nPermitRootLogin prohibit-password\nAllowTcpForwarding no\n\
             ForceCommand PATH='{path}' exec git shell -c \"$SSH_ORIGINAL_COMMAND\"\n"
        );
        let config = origin.file("sshd_config", &text);
        let mut child = daemon(&config).spawn().expect("setpriv is there (util-linux)");
        let until = Instant::now() + STARTED_WITHIN;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if child.try_wait().unwrap().is_some() {
                let mut why = String::new();
                child.stderr.take()?.read_to_string(&mut why).unwrap();
                assert!(why.contains("Address already in use"), "sshd: {why}");
                return None;
            }
            assert!(Instant::now() < until, "sshd does not listen");
            std::thread::yield_now();
        }
        Some(child)
    }

    fn url(&self, origin: &Origin) -> String {
        let user = Command::new("id").arg("-un").output().unwrap().stdout;
        let user = String::from_utf8(user).unwrap();
        format!("ssh://{}@127.0.0.1:{}{}", user.trim(), self.port, origin.bare().display())
    }
}

/// Dies with the thread that started it. An sshd of root's wants a folder in `/run`, which it gets
/// where nobody else sees it.
fn daemon(config: &Path) -> Command {
    let sshd = ["/usr/sbin/sshd", "/usr/bin/sshd", "/usr/local/sbin/sshd"].map(Path::new);
    let sshd = sshd.into_iter().find(|path| path.exists()).expect("sshd is there (openssh-server)");
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0);
    let mut command = if is_root {
        let mut command = Command::new("unshare");
        command.args(["--mount", "setpriv", "--pdeathsig", "KILL", "sh", "-c"]);
        command.args(["mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec \"$@\"", "sh"]);
        command
    } else {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        command
    };
    command.arg(sshd).args(["-D", "-e", "-f"]).arg(config);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn key(origin: &Origin, name: &str, passphrase: &str) -> PathBuf {
    let key = origin.path(name);
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(&key).status();
    assert!(made.unwrap().success());
    key
}

fn public(key: &Path) -> PathBuf {
    key.with_extension("pub")
}

const LINES: &str = "ssh_key_file = \"client\"\nknown_hosts_file = \"known\"";

fn refused(origin: &Origin, sshd: &Sshd, lines: &str) -> GitError {
    let error = origin.repository(&sshd.url(origin), lines).fetch().unwrap_err();
    assert!(!error.message.chars().any(char::is_control), "{error}");
    error
}

#[test]
fn the_key_opens_it_and_pushes_come() {
    let origin = Origin::new();
    let sshd = Sshd::start(&origin);
    let repository = origin.repository(&sshd.url(&origin), LINES);
    assert_eq!(repository.fetch().unwrap().revision.commit, origin.head());
    let second = origin.push("specs/acme.toml", &format!("{GOOD}# 2\n"), "second");
    assert_eq!(repository.fetch().unwrap().revision.commit, second);
    // What is not there is said as everywhere.
    origin.run_in(&origin.bare(), &["update-ref", "-d", "refs/heads/main"]);
    assert_eq!(repository.fetch().unwrap_err().trouble, Trouble::Missing);
}

#[test]
fn a_host_whose_key_is_another_or_unknown_is_refused() {
    let origin = Origin::new();
    let sshd = Sshd::start(&origin);
    let other = std::fs::read_to_string(public(&key(&origin, "other", ""))).unwrap();
    for known in [format!("[127.0.0.1]:{} {other}", sshd.port), String::new()] {
        origin.file("known", &known);
        let error = refused(&origin, &sshd, LINES);
        assert_eq!(error.trouble, Trouble::Unreachable);
        assert!(error.message.contains("known has another host key of it, or none"), "{error}");
        assert_eq!(std::fs::read_to_string(origin.path("known")).unwrap(), known, "nothing is learnt");
    }
    std::fs::remove_file(origin.path("known")).unwrap();
    assert!(refused(&origin, &sshd, LINES).message.contains("host key"), "no file is no host");
}

#[test]
fn a_key_that_cannot_be_used_is_said_to_be_so() {
    let origin = Origin::new();
    let sshd = Sshd::start(&origin);
    key(&origin, "stranger", "");
    let lines = LINES.replace("client", "stranger");
    let error = refused(&origin, &sshd, &lines);
    assert!(error.message.contains("the server does not know the key"), "{error}");
    assert!(error.message.contains("stranger"), "{error}");

    let open = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(origin.path("client"), open).unwrap();
    let error = refused(&origin, &sshd, LINES);
    assert_eq!(error.trouble, Trouble::Local);
    assert!(error.message.contains("(mode 0644)") && error.message.contains("chmod 600"), "{error}");

    let locked = key(&origin, "locked", "correct horse");
    std::fs::copy(public(&locked), origin.path("authorized")).unwrap();
    let error = refused(&origin, &sshd, &LINES.replace("client", "locked"));
    assert!(error.message.contains("locked has a passphrase"), "{error}");
    // Ssh would ask for another kind of key, or for one that it cannot read, if it could.
    origin.file("rubbish", "no key\n");
    std::fs::set_permissions(origin.path("rubbish"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = refused(&origin, &sshd, &LINES.replace("client", "rubbish"));
    assert!(error.message.contains("the server does not know the key"), "{error}");
}

/// With everything around it that would make ssh ask, as a process.
#[test]
fn nobody_is_ever_asked() {
    let origin = Origin::new();
    let sshd = Sshd::start(&origin);
    let asked = origin.path("asked");
    let script = origin.file("askpass", &format!("#!/bin/sh\ntouch {}\necho yes\n", asked.display()));
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    key(&origin, "stranger", "");
    for (lines, known, words) in [
        (LINES.to_owned(), "", "host key"),
        (LINES.replace("client", "stranger"), "right", "does not know the key"),
    ] {
        let right = std::fs::read_to_string(origin.path("known")).unwrap();
        origin.file("known", if known == "right" { &right } else { known });
        origin.config(&sshd.url(&origin), &lines);
        let mut skep = skep_in(origin.root.path(), "plan");
        skep.env("SSH_ASKPASS", &script).env("GIT_ASKPASS", &script).env("DISPLAY", ":0");
        skep.env("SSH_ASKPASS_REQUIRE", "force").env("GIT_TERMINAL_PROMPT", "1");
        skep.env("GIT_SSH_COMMAND", format!("touch {}; false", asked.display()));
        let output = skep.output().unwrap();
        origin.file("known", &right);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
        assert!(!asked.exists(), "{said}");
    }
    // The same environment, and nothing that stands in the way.
    origin.config(&sshd.url(&origin), LINES);
    let output = skep_in(origin.root.path(), "lint").output().unwrap();
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("no commit was fetched yet"),
        "lint fetches nothing"
    );
}
