//! The binary as people run it: exit status, stdout, stderr. The engine and the registry are
//! small servers in this process, on a unix socket and on loopback.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use assert_cmd::Command;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use skep::image::Digest;

const COMMANDS: [&str; 14] = [
    "run",
    "plan",
    "apply",
    "lint",
    "audit",
    "explain",
    "status",
    "wait",
    "events",
    "history",
    "retry",
    "doctor",
    "schema",
    "completions",
];

/// A world of its own: a directory, a registry, an engine.
struct World {
    dir: tempfile::TempDir,
    registry: String,
    _runtime: tokio::runtime::Runtime,
}

type Tags = BTreeMap<String, String>;

/// A manifest (an index of one linux/amd64 image) that says nothing but this word.
fn manifest(word: &str) -> String {
    let image = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": Digest::of(word.as_bytes()).to_string(),
        "size": 1,
        "platform": { "os": "linux", "architecture": "amd64" },
    });
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [image],
    })
    .to_string()
}

fn digest(word: &str) -> String {
    Digest::of(manifest(word).as_bytes()).to_string()
}

/// `app` has 1.2.3, 1.10.0 and `latest`; `down` answers 503.
fn registry(path: &str, tags: &Tags) -> Response {
    let not_found = || (http::StatusCode::NOT_FOUND, "{}").into_response();
    if path.contains("/down/") {
        return (http::StatusCode::SERVICE_UNAVAILABLE, "{}").into_response();
    }
    if path.ends_with("/tags/list") {
        let names: Vec<&String> = tags.keys().collect();
        return axum::Json(json!({ "name": "app", "tags": names })).into_response();
    }
    let Some((_, reference)) = path.split_once("/manifests/") else { return not_found() };
    let word = tags.iter().find(|(tag, word)| *tag == reference || digest(word) == reference);
    let Some((_, word)) = word else { return not_found() };
    Response::builder()
        .header("Content-Type", "application/vnd.oci.image.index.v1+json")
        .header("Docker-Content-Digest", digest(word))
        .body(Body::from(manifest(word)))
        .unwrap()
}

/// Answers the list calls.
fn engine(path: &str, services: &Value) -> Value {
    let node = json!({
        "ID": "n1",
        "Spec": { "Role": "manager", "Availability": "active" },
        "Description": { "Hostname": "hive", "Platform": { "Architecture": "x86_64", "OS": "linux" } },
        "Status": { "State": "ready" },
    });
    match path.rsplit('/').next().unwrap_or_default() {
        "version" => json!({ "ApiVersion": "1.41", "Version": "20.10.24" }),
        "services" => services.clone(),
        "nodes" => json!([node]),
        "networks" => json!([{ "Id": "net", "Name": "acme_default" }]),
        _ => json!([]),
    }
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let _guard = runtime.enter();
        let tags = ["1.2.3", "1.10.0", "latest"].map(|tag| (tag.to_owned(), tag.to_owned()));
        let tags: Arc<Tags> = Arc::new(tags.into());
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let app = axum::Router::new().fallback(move |request: Request| {
            let tags = Arc::clone(&tags);
            async move { registry(request.uri().path(), &tags) }
        });
        runtime.spawn(async move { axum::serve(listener, app).await });
        let socket = tokio::net::UnixListener::bind(dir.path().join("docker.sock")).unwrap();
        let running = json!([{
            "ID": "s1",
            "Version": { "Index": 7 },
            "Spec": {
                "Name": "acme_web",
                "Labels": { "skep.customer": "acme", "skep.version": "1.2.3" },
                "TaskTemplate": { "ContainerSpec": { "Image": format!("{host}/app:1.2.3@{}", digest("1.2.3")) } },
                "Mode": { "Replicated": { "Replicas": 0 } },
            },
        }]);
        let app = axum::Router::new().fallback(move |request: Request| {
            let answer = engine(request.uri().path(), &running);
            async move { axum::Json(answer) }
        });
        runtime.spawn(async move { axum::serve(socket, app).await });
        std::fs::create_dir(dir.path().join("specs")).unwrap();
        drop(_guard);
        Self { dir, registry: host, _runtime: runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.path(name), text.replace("REGISTRY", &self.registry)).unwrap();
        self
    }

    fn skep(&self, args: &[&str]) -> Ran {
        let host = format!("unix://{}", self.path("docker.sock").display());
        run(self.dir.path(), &[&["--docker-host", &host], args].concat())
    }
}

/// How a run ended.
#[derive(Debug)]
struct Ran {
    status: i32,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn ends(&self, status: i32) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
    command.current_dir(dir).env_clear().env("HOME", dir).env("PATH", "");
    command
}

fn run(dir: &Path, args: &[&str]) -> Ran {
    let output = command(dir).args(args).output().unwrap();
    Ran {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn alone(args: &[&str]) -> Ran {
    run(tempfile::tempdir().unwrap().path(), args)
}

#[test]
fn every_command_shows_an_example() {
    for command in COMMANDS {
        let help = alone(&[command, "--help"]);
        assert!(help.ends(0).out.contains("Example"), "{command}");
        assert!(help.out.contains(&format!("skep {command}")), "{command}");
        assert!(help.err.is_empty(), "{command}");
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for command in COMMANDS {
        let wrong = alone(&[command, "--no-such-flag"]);
        assert!(wrong.ends(2).err.contains("--no-such-flag"), "{command}: {wrong:?}");
        assert!(wrong.out.is_empty());
    }
    alone(&["plna"]).ends(2);
    alone(&[]).ends(2);
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = alone(&["completions", shell]);
        assert!(script.ends(0).out.contains("skep"), "{shell}");
    }
}

#[test]
fn schema_is_json() {
    let schema = alone(&["schema"]);
    assert!(schema.ends(0).json()["properties"]["services"].is_object());
}

#[test]
fn lint_tells_all_errors_of_a_file() {
    let world = World::new();
    world.write("specs/acme.toml", "[services.web]\nimage = \"REGISTRY/app\"\n");
    world.skep(&["lint"]).ends(0);
    world.write("specs/globex.toml", "[services.web]\nimage = \"REGISTRY/app:latest\"\nenviroment = {}\n");
    let bad = world.skep(&["lint"]);
    let told = format!("{}{}", bad.ends(1).out, bad.err);
    for part in ["globex.toml:2", "globex.toml:3", "floating", "environment"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains('\u{1b}'), "colour without a terminal");
    let json = world.skep(&["lint", "--output", "json"]);
    assert!(json.ends(1).json().is_object());
    assert!(world.skep(&["lint", "--color", "always"]).ends(1).out.contains('\u{1b}'));
}

#[test]
fn without_an_engine_plan_ends_with_2_and_the_mend() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("specs")).unwrap();
    std::fs::write(dir.path().join("specs/acme.toml"), "[services.web]\nimage = \"example.com/app\"\n")
        .unwrap();
    for command in ["plan", "status", "audit"] {
        let ran = run(dir.path(), &["--docker-host", "unix:///no/such.sock", command]);
        assert!(ran.ends(2).err.contains("is dockerd running?"), "{ran:?}");
        assert!(ran.out.is_empty());
    }
    assert!(!dir.path().join(".skep").exists(), "who only looks writes nothing");
}

#[test]
fn events_without_a_state_directory_end_with_2() {
    assert!(!alone(&["events"]).ends(2).err.is_empty());
}

#[test]
fn plan_explain_and_status_agree() {
    let world = World::new();
    world.write("specs/acme.toml", "[services.web]\nimage = \"REGISTRY/app\"\nversion = \"^1\"\n");
    let plan = world.skep(&["plan", "-o", "json"]);
    let step = plan.ends(1).json()["customers"][0]["steps"][0].clone();
    assert_eq!(step["action"], "update");
    assert_eq!((&step["from"]["version"], &step["to"]["version"]), (&json!("1.2.3"), &json!("1.10.0")));
    assert_eq!(step["to"]["digest"], digest("1.10.0"));
    assert!(world.skep(&["diff"]).ends(1).out.contains("1.10.0"));
    let explained = world.skep(&["explain", "acme/web", "-o", "json"]);
    let explained = explained.ends(0).json();
    assert_eq!(explained["chosen"]["version"], "1.10.0");
    assert_eq!(explained["candidates"], json!(["1.10.0", "1.2.3"]));
    assert_eq!(explained["rejected"][0]["reason"], "NotSemver");
    let status = world.skep(&["status", "-o", "json"]);
    assert_eq!(status.ends(1).json()["customers"][0]["services"][0]["state"], "Drifted");
    let audit = world.skep(&["audit", "-o", "json"]);
    assert_eq!(audit.ends(1).json()["services"][0]["verdict"], "behind");
    assert!(world.skep(&["plan", "acmee"]).ends(2).err.contains("acme"));
    world.write("specs/acme.toml", "[services.web]\nimage = \"REGISTRY/app\"\nversion = \"^2\"\n");
    world.skep(&["explain", "acme/web"]).ends(1);
    // What waits without a change to make leaves `plan` at 0.
    let waits = world.skep(&["plan", "-o", "json"]);
    assert_eq!(waits.ends(0).json()["customers"][0]["waiting"][0]["reason"], "NoVersionFits");
    world.write("specs/acme.toml", "[services.web]\nimage = \"REGISTRY/down\"\n");
    world.skep(&["plan"]).ends(2);
    world.skep(&["explain", "acme/web"]).ends(2);
    world.write("specs/acme.toml", "[services.web\n");
    world.skep(&["plan"]).ends(2);
    assert!(!world.path(".skep").exists());
}

#[test]
fn audit_of_compose_files_gives_every_verdict() {
    let world = World::new();
    let (high, low) = (digest("1.10.0"), digest("1.2.3"));
    let cases = [
        (format!("app:1.10.0@{high}"), "highest", 0),
        (format!("app:1.2.3@{low}"), "behind", 1),
        (format!("app:1.10.0@{low}"), "moved", 1),
        ("app:latest".to_owned(), "floating", 1),
        ("app".to_owned(), "floating", 1),
        ("app:1.10.0".to_owned(), "unpinned", 1),
        ("down:1.0.0".to_owned(), "unknown", 2),
    ];
    for (image, verdict, status) in &cases {
        world.write("compose.yml", &format!("services:\n  web:\n    image: REGISTRY/{image}\n"));
        let ran = world.skep(&["audit", "-f", "compose.yml", "-o", "json"]);
        assert_eq!(ran.ends(*status).json()["services"][0]["verdict"], *verdict, "{image}");
        assert!(world.skep(&["audit", "-f", "compose.yml"]).ends(*status).out.contains(verdict), "{image}");
    }
    let all: String = cases
        .iter()
        .enumerate()
        .map(|(at, case)| format!("  s{at}:\n    image: REGISTRY/{}\n", case.0))
        .collect();
    world.write("compose.yml", &format!("services:\n{all}"));
    let ran = world.skep(&["audit", "-f", "compose.yml", "-o", "json"]);
    assert_eq!(
        ran.ends(2).json()["services"].as_array().map(Vec::len),
        Some(cases.len()),
        "2 wins over 1 over 0"
    );
    world.skep(&["audit", "-f", "no-such.yml"]).ends(2);
    world.write("spec.toml", "[services.web]\nimage = \"nginx\"\n");
    let ran = world.skep(&["audit", "-f", "spec.toml"]);
    let error = &ran.ends(2).err;
    assert!(error.contains("line 1") && error.contains("--specs") && !error.contains("\\n"), "{error}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut skep = std::process::Command::new(env!("CARGO_BIN_EXE_skep"));
    skep.arg("schema").current_dir(dir.path()).env_clear().stdout(writer);
    let output = skep.stderr(std::process::Stdio::piped()).output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_ne!(output.status.code(), Some(2));
}
