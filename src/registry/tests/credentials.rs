use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::prelude::*;
use serde_json::{Value, json};

use super::fake::*;
use crate::config::RegistryConfig;
use crate::image::Repository;
use crate::registry::{Client, Options, Registry as _, RegistryErrorKind as Kind};

/// A helper that counts its runs in a file and then does what `script` says.
fn helper(dir: &Path, name: &str, script: &str) {
    let path = dir.join(format!("docker-credential-{name}"));
    let runs = dir.join(format!("{name}.runs"));
    let text = format!("#!/bin/sh\nread server\necho \"$1 $server\" >> '{}'\n{script}\n", runs.display());
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn runs(dir: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(dir.join(format!("{name}.runs"))).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn answering(user: &str, secret: &str) -> String {
    let text = json!({"ServerURL": "x", "Username": user, "Secret": secret}).to_string();
    format!("cat <<'END'\n{text}\nEND")
}

fn options_in(dir: &Path) -> Options {
    Options { docker_config: Some(dir.into()), helper_dirs: vec![dir.into()], ..options() }
}

fn docker_config(dir: &Path, config: &Value) {
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
}

async fn auth(client: &Client, image: &str) -> Option<Value> {
    let repository: Repository = image.parse().unwrap();
    let text = client.pull_auth(&repository).await.unwrap()?;
    Some(serde_json::from_slice(&BASE64_URL_SAFE.decode(text).unwrap()).unwrap())
}

async fn user(client: &Client, image: &str) -> Option<String> {
    auth(client, image).await.map(|a| a["username"].as_str().unwrap_or("<token>").to_owned())
}

#[tokio::test]
async fn the_order_of_sources() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    helper(dir, "cfg", &answering("configured-helper", CANARY));
    helper(dir, "one", &answering("one", CANARY));
    helper(
        dir,
        "all",
        "[ \"$server\" = store.io ] && { cat <<'END'\n{\"Username\":\"all\",\"Secret\":\"s\"}\nEND\nexit; }\necho 'credentials not found in native keychain'; exit 1",
    );
    let entry = |user: &str| json!({"auth": BASE64_STANDARD.encode(format!("{user}:{CANARY}"))});
    docker_config(
        dir,
        &json!({
            "credsStore": "all",
            "credHelpers": {"one.io": "one"},
            "auths": {
                "one.io": entry("never"), "auths.io": entry("auths"), "file.io": entry("shadowed"),
                "https://index.docker.io/v1/": entry("hub"), "plain.io": entry("plain"),
            },
        }),
    );
    let registries = BTreeMap::from([
        ("file.io".to_owned(), login(dir)),
        (
            "file.io/helped".to_owned(),
            RegistryConfig { credential_helper: Some("cfg".into()), ..Default::default() },
        ),
        ("plain.io".to_owned(), RegistryConfig { plain_http: Some(true), ..Default::default() }),
    ]);
    let client = Client::new(&registries, options_in(dir));
    for (image, expected) in [
        ("file.io/a", Some("ci")),
        ("file.io/helped/a", Some("configured-helper")),
        ("one.io/a", Some("one")),
        ("store.io/a", Some("all")),
        ("auths.io/a", Some("auths")),
        ("plain.io/a", Some("plain")),
        ("nginx", Some("hub")),
        ("unknown.io/a", None),
    ] {
        assert_eq!(user(&client, image).await.as_deref(), expected, "{image}");
    }
    assert_eq!(
        auth(&client, "file.io/a").await,
        Some(json!({"username": "ci", "password": CANARY, "serveraddress": "file.io"}))
    );
    assert_eq!(auth(&client, "nginx").await.unwrap()["serveraddress"], "https://index.docker.io/v1/");
    assert!(runs(dir, "all").contains(&"get https://index.docker.io/v1/".to_owned()));
}

#[tokio::test]
async fn the_auth_for_nodes_is_base64url() {
    let dir = tempfile::tempdir().unwrap();
    // Bytes whose standard base64 has both `+` and `/`.
    let secret = "\u{fbff}~~?>\u{3ff}>>???";
    docker_config(
        dir.path(),
        &json!({"auths": {"r.io": {"auth": BASE64_STANDARD.encode(format!("u:{secret}"))}}}),
    );
    let client = client(options_in(dir.path()));
    let text = client.pull_auth(&"r.io/a".parse().unwrap()).await.unwrap().unwrap();
    assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_=".contains(&b)), "{text}");
    assert_eq!(auth(&client, "r.io/a").await.unwrap()["password"], secret);
}

#[tokio::test]
async fn identity_tokens_go_to_nodes_as_such() {
    let dir = tempfile::tempdir().unwrap();
    helper(dir.path(), "tok", &answering("<token>", CANARY));
    docker_config(dir.path(), &json!({"credHelpers": {"r.io": "tok"}}));
    let got = auth(&client(options_in(dir.path())), "r.io/a").await;
    assert_eq!(got, Some(json!({"identitytoken": CANARY, "serveraddress": "r.io"})));
}

#[tokio::test]
async fn a_helper_is_run_once_a_while() {
    let dir = tempfile::tempdir().unwrap();
    helper(dir.path(), "h", &answering("u", CANARY));
    docker_config(dir.path(), &json!({"credsStore": "h"}));
    let client = client(options_in(dir.path()));
    let images: Vec<Repository> = (0..50).map(|n| format!("r.io/a{n}").parse().unwrap()).collect();
    let all = futures::future::join_all(images.iter().map(|image| client.pull_auth(image))).await;
    assert!(all.into_iter().all(|r| r.unwrap().is_some()));
    assert_eq!(runs(dir.path(), "h"), ["get r.io"]);
    skip(Duration::from_secs(61)).await;
    client.pull_auth(&images[0]).await.unwrap();
    assert_eq!(runs(dir.path(), "h").len(), 2);
}

#[tokio::test]
async fn a_helpers_refused_answer_is_not_used_again() {
    let fake = Fake::start(|_| |_| answer(401, &[("www-authenticate", "Basic realm=x")], "")).await;
    let dir = tempfile::tempdir().unwrap();
    helper(dir.path(), "h", &answering("u", CANARY));
    docker_config(dir.path(), &json!({"credHelpers": {&fake.host: "h"}}));
    let client = client(options_in(dir.path()));
    client.tags(&fake.repository("a"), Duration::ZERO).await.unwrap_err();
    client.tags(&fake.repository("b"), Duration::ZERO).await.unwrap_err();
    assert_eq!(runs(dir.path(), "h").len(), 2);
}

#[tokio::test]
async fn unreadable_sources_are_errors_with_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    helper(dir, "fails", &format!("echo '{CANARY}'; echo '{CANARY}' >&2; exit 3"));
    helper(dir, "babbles", &format!("echo '{CANARY}'"));
    helper(dir, "hangs", "exec sleep 600");
    helper(dir, "floods", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done");
    helper(dir, "empty", "echo 'credentials not found in native keychain'; exit 1");
    std::fs::write(dir.join("latin1"), b"caf\xe9").unwrap();
    std::fs::write(dir.join("blank"), "\n").unwrap();
    let by_helper =
        |name: &str| RegistryConfig { credential_helper: Some(name.into()), ..Default::default() };
    let by_file = |file: &str| RegistryConfig {
        username: Some("ci".into()),
        password_file: Some(dir.join(file)),
        ..Default::default()
    };
    for (config, text) in [
        (by_helper("fails"), "failed (exit status: 3)"),
        (by_helper("babbles"), "something else than credentials"),
        (by_helper("hangs"), "no answer within"),
        (by_helper("floods"), "more than 65536 bytes"),
        (by_helper("empty"), "log in with it first"),
        (by_helper("absent"), "not installed"),
        (by_helper("../evil"), "not a helper's name"),
        (by_file("absent"), "does not exist"),
        (by_file("latin1"), "not UTF-8"),
        (by_file("blank"), "is empty"),
        (by_file("."), "cannot be read"),
        (RegistryConfig { username: Some("ci".into()), ..Default::default() }, "no `password_file`"),
        (RegistryConfig { password_file: Some("x".into()), ..Default::default() }, "no `username`"),
    ] {
        let mut options = options_in(dir);
        options.limits.helper = Duration::from_millis(if text.contains("within") { 300 } else { 20_000 });
        let client = configured("r.io", config, options);
        let error = client.pull_auth(&"r.io/a".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind, Kind::Credentials, "{error}");
        assert!(error.message.contains(text), "{text}: {error}");
        assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
    }
    std::fs::write(dir.join("config.json"), format!("{{\"auths\": \"{CANARY}\"")).unwrap();
    let error = client(options_in(dir)).pull_auth(&"r.io/a".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Credentials);
    assert!(error.message.contains("config.json") && error.message.contains("line 1"), "{error}");
}

#[tokio::test]
async fn credentials_that_expire_are_known_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        r#"{"credHelpers": {"gcr.io": "gcloud", "ecr.example.com": "ecr-login"}, "credsStore": "desktop"}"#;
    std::fs::write(dir.path().join("config.json"), config).unwrap();
    let registries = BTreeMap::from([
        (
            "helped.io".to_owned(),
            RegistryConfig { credential_helper: Some("acr-env".into()), ..Default::default() },
        ),
        ("static.io".to_owned(), login(dir.path())),
        (
            "static.io/rotated".to_owned(),
            RegistryConfig { renew: Some(Duration::from_secs(60)), ..Default::default() },
        ),
    ]);
    let options = Options { docker_config: Some(dir.path().to_owned()), ..options() };
    let client = Client::new(&registries, options);
    for (image, seconds) in [
        ("gcr.io/a", Some(1_800)),
        ("ecr.example.com/a", Some(21_600)),
        ("helped.io/a", Some(5_400)),
        ("static.io/a", None),
        ("static.io/rotated/a", Some(60)),
        ("desktop.io/a", None),
    ] {
        let renewal = client.renewal(&image.parse().unwrap()).await;
        assert_eq!(renewal, seconds.map(Duration::from_secs), "{image}");
    }
}
