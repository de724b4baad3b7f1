//! Secrets, configs and environment files: what they say, and each way to get them wrong.

use super::*;

/// Files by path; variables are `$NAME`.
pub(super) struct Given(pub(super) &'static [(&'static str, &'static str)]);

impl Contents for Given {
    fn file(&self, path: &str, bytes_max: usize) -> FoundFile {
        let content = match self.0.iter().find(|(name, _)| *name == path) {
            Some((_, "UNREADABLE")) => Content::Bad("cannot be read: it hides".into()),
            Some((_, text)) if text.len() > bytes_max => Content::TooLarge,
            Some((_, text)) => Content::Found(SecretBytes::new(text.as_bytes())),
            None => Content::Missing,
        };
        // As a symlink does: `A->B` is a file A that lies at B.
        let led_to = self.0.iter().find_map(|(name, _)| name.strip_prefix(&format!("{path}->")));
        FoundFile { content, led_to: led_to.map(str::to_owned) }
    }

    fn variable(&self, name: &str) -> Content {
        self.file(&format!("${name}"), usize::MAX).content
    }
}

const SERVICE: &str = "[services.web]\nimage = \"app\"\n";

fn loaded(text: &str, given: &'static [(&'static str, &'static str)]) -> Loaded {
    let specs =
        [("eu/acme.toml", text), ("templates/base.toml", "[secrets.shared]\nfile = \"shared.txt\"\n")];
    load_with(&files(&specs), &Given(given))
}

fn good(text: &str, given: &'static [(&'static str, &'static str)]) -> Customer {
    let mut loaded = loaded(text, given);
    assert_eq!(lines(&loaded.diagnostics), [""; 0], "{text}");
    loaded.customers.remove("acme").unwrap()
}

fn content(blob: &Blob) -> &str {
    std::str::from_utf8(blob.content.as_ref().unwrap().reveal()).unwrap()
}

#[test]
fn content_comes_from_files_and_the_environment() {
    let customer = good(
        r#"template = "base"
[services.web]
image = "app"
secrets = ["token", { source = "shared", target = "/etc/${customer}", uid = 1000, gid = "7", mode = 0o440 }]
configs = [{ source = "motd", mode = "0400" }]
[secrets]
token.file = "../keys/./${customer}"
env = { environment = "TOKEN", name = "other", labels = { a = "b" }, template_driver = "golang" }
theirs.external = true
vault = { driver = "vault", driver_opts = { path = "x" } }
[configs]
motd.content = "hello ${customer}"
ext = { external = true, name = "motd-3" }
"#,
        &[("keys/acme", "hunter2"), ("$TOKEN", "t0ken"), ("templates/shared.txt", "both")],
    );
    let secret = |key: &str| &customer.secrets[key];
    assert_eq!(content(secret("token")), "hunter2");
    assert_eq!(content(secret("env")), "t0ken");
    // What a template names lies beside the template.
    assert_eq!(content(secret("shared")), "both");
    assert_eq!(content(&customer.configs["motd"]), "hello acme");
    assert_eq!((secret("token").name.as_str(), secret("env").name.as_str()), ("acme_token", "other"));
    assert_eq!(secret("env").template_driver.as_deref(), Some("golang"));
    assert_eq!((secret("theirs").name.as_str(), secret("theirs").external), ("theirs", true));
    assert_eq!(customer.configs["ext"].name, "motd-3");
    assert_eq!(secret("vault").driver.as_ref().unwrap().0, "vault");
    let compose = &customer.services["web"].compose;
    let one = |source: &str, target: &str, uid: &str, gid: &str, mode| BlobRef {
        source: source.into(),
        target: target.into(),
        uid: uid.into(),
        gid: gid.into(),
        mode,
    };
    let secrets = [one("token", "token", "0", "0", 0o444), one("shared", "/etc/acme", "1000", "7", 0o440)];
    assert_eq!(compose.secrets.as_deref().unwrap(), secrets);
    assert_eq!(compose.configs.as_deref().unwrap(), [one("motd", "motd", "0", "0", 0o400)]);
    let shown = format!("{customer:?}");
    for canary in ["hunter2", "t0ken", "hello acme"] {
        assert!(!shown.contains(canary), "{shown}");
    }
}

#[test]
fn what_nobody_asks_for_is_no_error() {
    let text = format!("{SERVICE}env_file = \"x.env\"\n[secrets]\na.file = \"a\"\nb.environment = \"B\"\n");
    let customer = customer(&[("acme.toml", &text)]);
    assert!(customer.secrets.values().all(|secret| secret.content.is_none()));
}

#[test]
fn environment_files_lie_under_the_environment() {
    let text = r#"[services.web]
image = "app"
env_file = ["a.env", "b.env"]
environment = { C = "spec" }
"#;
    let customer = good(text, &[("eu/a.env", "# x\nA=1\nB=1\r\nC=1\n"), ("eu/b.env", "\u{feff}B=2\n")]);
    let environment: Vec<String> = customer.services["web"]
        .compose
        .environment
        .iter()
        .map(|(name, value)| format!("{name}={}", value.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(environment, ["A=1", "B=2", "C=spec"]);
}

#[test]
fn credential_specs_may_be_configs() {
    let text = format!("{SERVICE}credential_spec.config = \"gmsa\"\n[configs.gmsa]\ncontent = \"x\"\n");
    let compose = customer(&[("acme.toml", &text)]).services.remove("web").unwrap().compose;
    assert_eq!(compose.blobs(crate::state::ObjectKind::Config), ["gmsa"]);
    assert_eq!(compose.container.credential_spec, Some(CredentialSpec::Config("gmsa".into())));
}

#[test]
fn faults_are_told_with_their_place() {
    let long = "k".repeat(50);
    let table: &[(&str, &str)] = &[
        (
            "[secrets]\na.file = \"../../x\"",
            "5:10 secrets.a.file: `../../x` leads out of the specs directory",
        ),
        ("[secrets]\na.file = \"/etc/x\"", "5:10 secrets.a.file: `/etc/x` leads out of the specs directory"),
        ("[secrets]\na.file = \"none\"", "5:10 secrets.a.file: there is no file `none`"),
        ("[secrets]\na.file = \"hidden\"", "5:10 secrets.a.file: `hidden` cannot be read: it hides"),
        ("[secrets]\na.file = \"empty\"", "5:10 secrets.a.file: the content is empty"),
        (
            "[secrets]\na.environment = \"NONE\"",
            "5:17 secrets.a.environment: the environment has no variable `NONE`",
        ),
        ("[secrets]\na.environment = \"A=B\"", "5:17 secrets.a.environment: not a variable name"),
        ("[secrets]\na = {}", "5:5 secrets.a: exactly one of `file`, `environment` and `driver`"),
        ("[secrets]\na.content = \"x\"", "5:3 secrets.a.content: this key does not belong here"),
        (
            "[configs]\na = { content = \"x\", file = \"y\" }",
            "5:5 configs.a: exactly one of `file`, `environment` and `content`",
        ),
        (
            "[secrets]\na = { external = true, file = \"y\" }",
            "5:31 secrets.a.file: an external secret is made by somebody else",
        ),
        ("[secrets]\n\"a b\".external = true", "5:1 secrets.\"a b\": not a secret key"),
        (
            "[secrets]\na = { external = true, name = \"-x\" }",
            "5:31 secrets.a.name: `-x` is not a name that Swarm takes",
        ),
    ];
    for (text, expect) in table {
        let given: &[(&str, &str)] = &[("eu/hidden", "UNREADABLE"), ("eu/empty", ""), ("eu/y", "y")];
        let loaded = loaded(&format!("{SERVICE}\n{text}\n"), given);
        let found: Vec<String> = loaded
            .diagnostics
            .iter()
            .map(|d| format!("{}:{} {}: {}", d.line, d.column, d.key, d.message))
            .collect();
        assert!(found.iter().any(|line| line.starts_with(expect)), "{text}\n{found:#?}");
    }
    let loaded = loaded(&format!("{SERVICE}[secrets.{long}]\nenvironment = \"X\"\n"), &[("$X", "x")]);
    let found = lines(&loaded.diagnostics).join("\n");
    assert!(found.contains("has 55 characters") && found.contains("at most 51"), "{found}");
}

#[test]
fn references_are_checked() {
    let declared = "[secrets.token]\nexternal = true\n";
    for (keys, expect) in [
        ("secrets = [\"tokn\"]", "there is no `tokn` under [secrets]"),
        ("secrets = [\"token\", \"token\"]", "`token` stands here twice"),
        ("secrets = [{ source = \"token\", mode = 440 }]", "not a file's rights"),
        ("secrets = [{ source = \"token\", mode = \"0888\" }]", "not a file's rights"),
        ("secrets = [{ source = \"token\", mode = 0o7777 }]", "not a file's rights"),
        ("secrets = [{ source = \"token\", uid = \"root\" }]", "`root` is not a number"),
        ("secrets = [{ target = \"x\" }]", "`source` is missing"),
        ("secrets = [5]", "expected a key, or a table with `source`"),
        ("secrets = \"token\"", "expected a list of secrets' keys"),
        ("configs = [\"token\"]", "there is no `token` under [configs]"),
        ("credential_spec.config = \"x\"", "there is no `x` under [configs]"),
        ("env_file = \"bad.env\"", "line 2 of the file: no `=`"),
        ("env_file = \"../../x\"", "leads out of the specs directory"),
    ] {
        let text = format!("{SERVICE}{keys}\n{declared}");
        let found = lines(&loaded(&text, &[("eu/bad.env", "A=1\nhunter2\n")]).diagnostics).join("\n");
        assert!(found.contains(expect), "{keys}\n{found}");
        assert!(!found.contains("hunter2"), "{found}");
    }
}
