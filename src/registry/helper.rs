//! Credential helpers: programs `docker-credential-NAME` that docker's own tools share.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

use super::secret::{Credential, Secret};

/// Bytes of a helper's answer.
const ANSWER_MAX: u64 = 64 << 10;
/// What helpers print when they know nothing of a server; docker compares with it too.
const NOT_FOUND: &str = "credentials not found in native keychain";
/// The user name that stands for "the secret is an identity token".
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    #[serde(default)]
    username: String,
    secret: String,
}

/// Asks a helper for a server's credentials; `None` if it has none. The error is a
/// clause for a message, and repeats nothing the helper printed: that may be the secret.
pub(super) async fn ask(
    name: &str,
    server: &str,
    dirs: &[PathBuf],
    limit: Duration,
) -> Result<Option<Credential>, String> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
        return Err("is not a helper's name: write `NAME` of docker-credential-NAME".into());
    }
    let program = find(&format!("docker-credential-{name}"), dirs);
    let child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => "is not installed: put it on the PATH".to_owned(),
            kind => format!("cannot be run: {kind}"),
        })?;
    let (status, output) = tokio::time::timeout(limit, talk(child, server))
        .await
        .map_err(|_| format!("gave no answer within {limit:?}"))?
        .map_err(|e| format!("broke off: {}", e.kind()))?;
    if output.len() as u64 > ANSWER_MAX {
        return Err(format!("answered with more than {ANSWER_MAX} bytes"));
    }
    if !status.success() {
        if output.trim_ascii() == NOT_FOUND.as_bytes() {
            return Ok(None);
        }
        return Err(format!("failed ({status}): try `echo {server} | docker-credential-{name} get`"));
    }
    let answer: Answer =
        serde_json::from_slice(&output).map_err(|_| "answered something else than credentials".to_owned())?;
    let secret = Secret::new(answer.secret);
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Credential::IdentityToken(secret),
        _ => Credential::Password { username: Secret::new(answer.username), password: secret },
    }))
}

/// The first directory that has the program, else its bare name for the `PATH`.
fn find(program: &str, dirs: &[PathBuf]) -> PathBuf {
    dirs.iter().map(|dir| dir.join(program)).find(|path| path.is_file()).unwrap_or_else(|| {
        // A bare name is looked up; a relative path would be run from the current directory.
        Path::new(program).to_owned()
    })
}

async fn talk(mut child: Child, server: &str) -> std::io::Result<(std::process::ExitStatus, Vec<u8>)> {
    if let Some(mut stdin) = child.stdin.take() {
        // A helper may answer without reading: that breaks the pipe, not the answer.
        let _ = stdin.write_all(format!("{server}\n").as_bytes()).await;
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(ANSWER_MAX + 1).read_to_end(&mut output).await?;
    }
    Ok((child.wait().await?, output))
}
