use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

/// Loads `text` as the default file of a fresh directory, with these variables.
fn load(text: &str, env: &[(&str, &str)], flags: Flags) -> Result<Config, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let mut sources = Sources::new(None, pairs(env), flags);
    sources.default_file = directory.path().join("skep.toml");
    std::fs::write(&sources.default_file, text).unwrap();
    Config::load(&sources)
}

fn pairs(env: &[(&str, &str)]) -> Vec<(String, String)> {
    env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn from_file(text: &str) -> Config {
    load(text, &[], Flags::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn from_env(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load("", env, Flags::default())
}

/// The errors of a file, one a line, without the directory it was in.
fn errors(text: &str) -> String {
    let error = load(text, &[], Flags::default()).expect_err("it is to be refused").to_string();
    let lines = error.lines().map(|line| line.split_once("skep.toml:").map_or(line, |(_, rest)| rest));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn defaults_are_the_contracts() {
    let mut sources = Sources::new(None, [], Flags::default());
    sources.default_file = PathBuf::from("/nowhere/skep.toml");
    let config = Config::load(&sources).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.specs_dir, Path::new("specs"));
    assert_eq!(config.state_dir, Path::new(".skep"));
    assert_eq!(config.http_listen.to_string(), "127.0.0.1:9741");
    assert_eq!(config.poll_registry, Duration::from_secs(60));
    assert_eq!(config.resync, Duration::from_secs(300));
    assert_eq!(config.rollout_timeout, Duration::from_secs(600));
    assert_eq!((config.rollout_concurrency, config.events_max_bytes, config.events_keep), (8, 67_108_864, 8));
}

#[test]
fn the_contracts_own_example_reads() {
    let config = from_file(
        r#"
        [docker]
        host = "unix:///var/run/docker.sock"
        [registries."127.0.0.1:5000"]
        plain_http = true
        username = "ci"
        password_file = "/run/secrets/registry"
        [registries."Registry.Example.com/team"]
        credential_helper = "ecr-login"
        [source]
        dir = "fleet"
        [state]
        dir = "/var/lib/skep"
        [poll]
        registry = "30s"
        resync = "1h 30m"
        [rollout]
        timeout = "90s"
        concurrency = 1_6
        [http]
        listen = "0.0.0.0:9000"
        token_file = "token"
        [events]
        max_bytes = "1GB"
        keep = 3
        "#,
    );
    let directory = config.file.as_deref().unwrap().parent().unwrap();
    assert_eq!(config.specs_dir, directory.join("fleet"), "a path is meant from the file");
    assert_eq!(config.http_token_file, Some(directory.join("token")));
    assert_eq!(config.state_dir, Path::new("/var/lib/skep"));
    assert_eq!(config.docker.endpoint(), Ok(Endpoint::Unix("/var/run/docker.sock".into())));
    assert_eq!(
        config.registries["127.0.0.1:5000"],
        RegistryConfig {
            plain_http: Some(true),
            username: Some("ci".into()),
            password_file: Some("/run/secrets/registry".into()),
            ..RegistryConfig::default()
        }
    );
    assert_eq!(
        config.registries["registry.example.com/team"].credential_helper.as_deref(),
        Some("ecr-login")
    );
    assert_eq!(config.resync, Duration::from_secs(5400));
    assert_eq!(
        (config.rollout_concurrency, config.events_max_bytes, config.events_keep),
        (16, 1_000_000_000, 3)
    );
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let file = "state.dir = '/file'\nsource.dir = '/file'\npoll.registry = '2s'\nhttp.listen = '127.0.0.1:1'";
    let env = [("SKEP_STATE_DIR", "/env"), ("SKEP_SPECS", "/env"), ("SKEP_POLL__REGISTRY", "3s")];
    let flags = Flags { specs: Some("/flag".into()), listen: Some("localhost:2".into()), ..Flags::default() };
    let config = load(file, &env, flags).unwrap();
    assert_eq!(config.specs_dir, Path::new("/flag"));
    assert_eq!(config.state_dir, Path::new("/env"));
    assert_eq!(config.poll_registry, Duration::from_secs(3));
    assert_eq!(config.http_listen.to_string(), "127.0.0.1:2");
}

#[test]
fn every_scalar_key_can_be_set_by_the_environment() {
    for (key, _) in keys::KEYS {
        // One alone makes no source; the tests of `tests/git` set them together.
        if key.starts_with("source.git.") {
            continue;
        }
        let name = format!("SKEP_{}", key.to_uppercase().replace('.', "__"));
        let value = match *key {
            "docker.host" => "tcp://10.0.0.1:2376",
            "http.listen" => "[::1]:9",
            "http.allow_remote" => "true",
            "rollout.concurrency" | "events.keep" => "7",
            "events.max_bytes" => "1MiB",
            "poll.registry" | "poll.resync" | "rollout.timeout" => "7s",
            _ => "/a/path",
        };
        let pair = match *key {
            "docker.cert" => Some(("SKEP_DOCKER__KEY", value)),
            "docker.key" => Some(("SKEP_DOCKER__CERT", value)),
            _ => None,
        };
        let vars: Vec<_> = pair.into_iter().chain([(name.as_str(), value)]).collect();
        let config = from_env(&vars).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_ne!(Config { file: None, ..config }, Config::default(), "{name} changes nothing");
    }
}

#[test]
fn variables_of_others_are_left_alone_and_empty_ones_are_unset() {
    let env =
        [("SKEP_PORT", "tcp://10.0.0.2:80"), ("SKEP_POLL__REGISTRY", ""), ("DOCKER_HOST", ""), ("PATH", "x")];
    let config = from_env(&env).unwrap();
    assert_eq!(Config { file: None, ..config }, Config::default());
}

#[test]
fn wrong_variables_are_named() {
    for (name, value, expected) in [
        (
            "SKEP_POLL__REGISTY",
            "1s",
            "SKEP_POLL__REGISTY sets no known key; did you mean SKEP_POLL__REGISTRY?",
        ),
        ("SKEP_POLL__REGISTRY", "0s", "SKEP_POLL__REGISTRY is 0s; the least is 1s"),
        (
            "SKEP_ROLLOUT__CONCURRENCY",
            "many",
            "SKEP_ROLLOUT__CONCURRENCY is `many`, not a whole number from 1 to 256",
        ),
        (
            "SKEP_SOURCE__GIT__URL",
            "x",
            "source.git `url` is none; write https://…, ssh://user@host/path or file:///path",
        ),
        (
            "SKEP_SERVER",
            "skep:9741",
            "SKEP_SERVER is `skep:9741`, not a URL such as http://127.0.0.1:9741 or unix:///run/skep.sock",
        ),
        (
            "SKEP_REGISTRIES__X__USERNAME",
            "x",
            "SKEP_REGISTRIES__X__USERNAME cannot be set here; write [registries.\"HOST\"] in skep.toml",
        ),
    ] {
        assert_eq!(from_env(&[(name, value)]).expect_err(name).to_string(), expected);
    }
}

#[test]
fn mistakes_in_the_file_are_told_with_their_place_and_mend() {
    for (text, expected) in [
        ("[poll]\nregisty = \"1s\"", "2:1: unknown key `registy` in [poll] (did you mean `registry`?)"),
        ("[pol]\nregistry = \"1s\"", "1:2: unknown key `pol` (did you mean `poll`?)"),
        ("concurrency = 3", "1:1: unknown key `concurrency` (did you mean `rollout.concurrency`?)"),
        ("[events]\nsegments = 3", "2:1: unknown key `segments` in [events] (known here: max_bytes, keep)"),
        ("poll = 3", "1:8: `poll` is not a table (write [poll] and its keys below)"),
        (
            "poll.registry = 60",
            "1:17: `poll.registry` is an integer, not a duration in quotes, such as \"60s\" or \"5m\"",
        ),
        (
            "poll.registry = '60'",
            "1:17: `poll.registry` is \"60\", not a duration with its unit, such as \"60s\", \"5m\" or \"1h 30m\"",
        ),
        ("poll.registry = '10ms'", "1:17: `poll.registry` is 10ms; the least is 1s"),
        ("poll.resync = '2days'", "1:15: `poll.resync` is 2days; the most is 1day"),
        (
            "events.max_bytes = 64",
            "1:20: `events.max_bytes` is an integer, not a size in quotes, such as \"64MiB\"",
        ),
        ("events.max_bytes = '1KiB'", "1:20: `events.max_bytes` is 1KiB; the least is 64KiB"),
        (
            "events.max_bytes = '64MB/s'",
            "1:20: `events.max_bytes` is \"64MB/s\", not a size with its unit, such as \"64MiB\"",
        ),
        ("rollout.concurrency = 0", "1:23: `rollout.concurrency` is 0, not a whole number from 1 to 256"),
        (
            "http.listen = ':9741'",
            "1:15: `http.listen` is `:9741`, not an IP address and port, such as 127.0.0.1:9741, or unix:///run/skep.sock",
        ),
        ("state.dir = ''", "1:13: `state.dir` is empty"),
        (
            "[source.git]\nurl = 'x'",
            "source.git `url` is none; write https://…, ssh://user@host/path or file:///path",
        ),
        (
            "docker.host = 'ssh://me@box'",
            "1:15: `docker.host` is `ssh://me@box`, and skep does not speak ssh; forward the socket (ssh -L /tmp/docker.sock:/var/run/docker.sock …) and write unix:///tmp/docker.sock",
        ),
        (
            "docker.host = '/run/docker.sock'",
            "1:15: `docker.host` is `/run/docker.sock`, which has no scheme; write `unix:///run/docker.sock`",
        ),
        ("docker.cert = 'c.pem'", "1:1: `docker.cert` without `docker.key` (give both or neither)"),
        (
            "[registries.'https://r.example.com/']",
            "1:13: the registry `https://r.example.com/` is a URL; write `r.example.com` (and plain_http = true if it speaks plain HTTP)",
        ),
        (
            "[registries.'r.example.com']\nplain_http = 'yes'",
            "2:14: `registries.\"r.example.com\".plain_http` is \"yes\", not true or false",
        ),
        (
            "[registries.r]\nuser = 'x'",
            "2:1: unknown key `user` in [registries.\"r\"] (known here: plain_http, username, password_file, credential_helper, credentials, realm, ca, renew, mirrors)",
        ),
        (
            "[registries.r]\ncredentials = 'aws'",
            "2:15: `registries.\"r\".credentials` is `aws`; known is \"aws-environment\"",
        ),
        (
            "[registries.r]\nrealm = 'https://auth.example.com/token'",
            "2:9: `registries.\"r\".realm` is to be the host's name alone, such as \"auth.example.com\"",
        ),
        (
            "[registries.r]\ncredentials = 'aws-environment'\ncredential_helper = 'ecr-login'",
            "1:13: the registry `r` has credentials from the environment and others too (keep either `credentials` or the others)",
        ),
        (
            "[registries.r]\nmirrors = ['https://m.io']",
            "2:11: `registries.\"r\".mirrors` names the mirror `https://m.io`, which is a URL; write `m.io` (and plain_http = true if it speaks plain HTTP)",
        ),
        (
            "[registries.r]\nmirrors = 'm.io'",
            "2:11: `registries.\"r\".mirrors` is \"m.io\", not an array of texts in quotes",
        ),
        (
            "[registries.r]\nmirrors = ['a', 'b', 'c', 'd', 'e']",
            "2:11: `registries.\"r\".mirrors` names 5; the most is 4",
        ),
        (
            "[registries.r]\nusername = 'x'",
            "1:13: the registry `r` has a username but no password (add password_file or credential_helper)",
        ),
        (
            "[registries.r]\ncredential_helper = '../x'",
            "1:13: the registry `r` has a credential_helper that is not a name (write only what follows `docker-credential-`, such as \"ecr-login\")",
        ),
    ] {
        assert_eq!(errors(text), expected, "of {text:?}");
    }
}

#[test]
fn all_mistakes_are_told_at_once() {
    let told = errors("[poll]\nregisty = '1s'\nresync = 5\n[events]\nkeep = 'x'");
    assert_eq!(
        told.lines().map(|line| line.split_once(' ').unwrap().0).collect::<Vec<_>>(),
        ["2:1:", "3:10:", "5:8:"]
    );
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let text = "[registries.r]\nusername = 'ci'\npassword = 'hunter2'\n[http]\ntoken = 'hunter3'\n";
    let error = load(text, &[], Flags::default()).expect_err("it is to be refused");
    for told in [error.to_string(), error.render(false, false), error.render(true, true)] {
        assert!(!told.contains("hunter"), "{told}");
    }
    assert_eq!(
        errors(text),
        "3:1: `registries.\"r\".password` is refused: a configuration file holds no secrets (write the password to a \
         file of mode 0600 and name it: password_file = \"/run/secrets/…\")\n\
         5:1: `http.token` is refused: a configuration file holds no secrets (write the token to a file of mode 0600 \
         and name it: token_file = \"/run/secrets/…\")"
    );
}

#[test]
fn an_error_underlines_its_line() {
    let error = load("[poll]\nregistry = 60\n", &[], Flags::default()).expect_err("it is to be refused");
    let shown = error.render(false, false);
    let shown = shown.replace(&error.problems[0].origin, "skep.toml");
    insta::assert_snapshot!(shown, @r#"
    error: `poll.registry` is an integer, not a duration in quotes, such as "60s" or "5m"
     --> skep.toml:2:12
      |
    2 | registry = 60
      |            ^^
    "#);
}

#[test]
fn broken_toml_is_told_with_its_place() {
    let told = errors("[poll\nregistry = \"1s\"");
    assert!(told.starts_with("1:6: "), "{told}");
}

#[test]
fn a_named_file_must_be_there_and_readable() {
    for (sources, name) in [
        (Sources::new(Some("/nowhere/a.toml".into()), [], Flags::default()), "/nowhere/a.toml"),
        (
            Sources::new(None, pairs(&[("SKEP_CONFIG", "/nowhere/b.toml")]), Flags::default()),
            "/nowhere/b.toml",
        ),
        (Sources::new(Some("/".into()), [], Flags::default()), "/"),
    ] {
        let told = Config::load(&sources).expect_err(name).to_string();
        assert!(told.starts_with(&format!("cannot read the configuration {name}: ")), "{told}");
    }
}

#[test]
fn docker_is_found_as_docker_finds_it() {
    let certs = tempfile::tempdir().unwrap();
    std::fs::write(certs.path().join("cert.pem"), "").unwrap();
    let directory = certs.path().to_str().unwrap();
    let config = from_env(&[
        ("DOCKER_HOST", "tcp://10.0.0.1:2376"),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", directory),
    ]);
    let docker = config.unwrap().docker;
    assert!(docker.tls);
    assert_eq!(docker.ca, Some(certs.path().join("ca.pem")));
    assert_eq!((docker.cert.is_some(), docker.key.is_some()), (true, false));
    // A path to certificates alone asks for nothing.
    let docker = from_env(&[("DOCKER_CERT_PATH", directory)]).unwrap().docker;
    assert_eq!(docker, Docker::default());
    // A host that only others can use must not stop commands that need no engine.
    let docker = from_env(&[("DOCKER_HOST", "ssh://box")]).unwrap().docker;
    assert!(docker.endpoint().expect_err("ssh").starts_with("the Docker host is `ssh://box`, and skep"));
    // Ours wins over Docker's.
    let both = [("DOCKER_HOST", "ssh://box"), ("SKEP_DOCKER__HOST", "tcp://h")];
    assert_eq!(from_env(&both).unwrap().docker.endpoint(), Ok(Endpoint::Tcp("h:2375".into())));
}

#[test]
fn docker_hosts_read_or_tell_the_mend() {
    for (text, expected) in [
        ("unix:///run/docker.sock", Ok(Endpoint::Unix("/run/docker.sock".into()))),
        ("tcp://10.0.0.1:2376", Ok(Endpoint::Tcp("10.0.0.1:2376".into()))),
        ("tcp://[::1]:2376", Ok(Endpoint::Tcp("[::1]:2376".into()))),
        ("tcp://box", Ok(Endpoint::Tcp("box:2375".into()))),
        ("unix://run/docker.sock", Err("absolute path")),
        ("box:2375", Err("write `tcp://box:2375`")),
        ("tcp://", Err("write a host and a port")),
        ("tcp://u:p@h:1/x?y", Err("write a host and a port")),
        ("npipe:////./pipe/docker", Err("skep speaks unix:// and tcp://")),
        ("\u{1b}[31m://x", Err("\\u{1b}[31m")),
    ] {
        match (parse_docker_host(text), expected) {
            (Ok(read), Ok(expected)) => assert_eq!(read, expected),
            (Err(told), Err(part)) => assert!(told.contains(part), "{told}"),
            (read, _) => panic!("{text}: {read:?}"),
        }
    }
}

#[test]
fn the_longest_registry_prefix_wins() {
    let config = from_file(
        "[registries.'r.io']\n[registries.'r.io/a']\n[registries.'r.io/a/b']\n[registries.'index.docker.io']",
    );
    for (repository, expected) in [
        ("r.io/x", Some("r.io")),
        ("r.io/a", Some("r.io/a")),
        ("r.io/ab", Some("r.io")),
        ("r.io/a/b/c/d", Some("r.io/a/b")),
        ("s.io/a", None),
        ("docker.io/library/nginx", Some("docker.io")),
    ] {
        assert_eq!(config.registry_for(repository).map(|(name, _)| name), expected, "{repository}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic_or_print_controls(text in "(?s).{0,80}") {
        if let Err(error) = load(&text, &[], Flags::default()) {
            let told = error.to_string() + &error.render(false, true);
            assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
        }
    }

    #[test]
    fn key_like_text_does_not_either(text in "((\\[?(poll|docker|registries|events|x)(\\.'?[a-z:/]{1,5}'?)?\\]?)( = ('[^']{0,5}'|[0-9]{1,3}|\\{\\}))?\n){1,5}") {
        let _ = load(&text, &[], Flags::default());
    }
}

#[test]
fn certificates_mean_tls_whichever_source_names_them() {
    let host = ("SKEP_DOCKER__HOST", "tcp://10.0.0.1:2376");
    let (ca, cert, key) =
        (("SKEP_DOCKER__CA", "/ca"), ("SKEP_DOCKER__CERT", "/cert"), ("SKEP_DOCKER__KEY", "/key"));
    for vars in [&[host, ca][..], &[host, cert, key], &[host, ca, cert, key]] {
        assert!(from_env(vars).unwrap().docker.tls, "{vars:?}");
    }
    assert!(!from_env(&[host]).unwrap().docker.tls);
    for (file, vars) in [("docker.cert = '/cert'", [key]), ("docker.key = '/key'", [cert])] {
        let config = load(file, &vars, Flags::default()).unwrap();
        assert!(config.docker.tls, "a pair from two sources is a pair: {file}");
    }
    let error = from_env(&[host, cert]).unwrap_err().to_string();
    assert_eq!(error, "`docker.cert` without `docker.key` (give both or neither)");
}

#[test]
fn two_names_of_docker_hub_are_one_registry() {
    let told = errors("[registries.'docker.io']\n[registries.'index.docker.io']\n");
    assert!(told.contains("`index.docker.io` is `docker.io`, which has an entry already"), "{told}");
}

#[test]
fn a_variable_that_lacks_an_underscore_is_told_of() {
    let env = [
        ("SKEP_POLL_REGISTRY", "1s"),
        ("SKEP_STATE_DIR", "/s"),
        ("SKEP_PORT", "x"),
        ("SKEP_EVENTS_MAX_BYTES", "1"),
    ];
    let sources = Sources::new(None, pairs(&env), Flags::default());
    let found: Vec<_> = env::one_underscore(&sources).collect();
    assert_eq!(
        found,
        [
            ("SKEP_EVENTS_MAX_BYTES", "SKEP_EVENTS__MAX_BYTES".to_owned()),
            ("SKEP_POLL_REGISTRY", "SKEP_POLL__REGISTRY".to_owned())
        ]
    );
}

#[test]
fn a_server_is_a_url_or_a_socket() {
    for good in ["http://127.0.0.1:9741", "unix:///run/skep.sock"] {
        let flags = Flags { server: Some(good.into()), ..Flags::default() };
        assert_eq!(load("", &[], flags).unwrap().server.as_deref(), Some(good));
    }
    for bad in ["https://h:1", "unix://relative", "h:1", "tcp://h:1"] {
        let flags = Flags { server: Some(bad.into()), ..Flags::default() };
        let told = load("", &[], flags).unwrap_err().to_string();
        assert!(told.contains("not a URL such as"), "{told}");
    }
}

#[test]
fn the_api_may_be_called_by_more_names() {
    let config = from_file("[http]\nhosts = ['a.example']\nallow_remote = true\nlisten = 'unix:///run/s'\n");
    assert_eq!((config.http_hosts, config.http_allow_remote), (vec!["a.example".to_owned()], true));
    assert_eq!(config.http_listen, Listen::Unix("/run/s".into()));
}

#[test]
fn each_webhook_has_a_secret_of_its_own_in_a_file() {
    let config =
        from_file("[hooks.git.github]\nsecret_file = 'one'\n[hooks.registry.quay]\nsecret_file = '/two'\n");
    let directory = config.file.as_deref().unwrap().parent().unwrap();
    let expected = [(Hook::GitGithub, directory.join("one")), (Hook::RegistryQuay, "/two".into())];
    assert_eq!(config.hook_secrets, expected.into());
    for hook in Hook::ALL {
        let name = format!("SKEP_{}", hook.key().to_uppercase().replace('.', "__"));
        let config =
            from_env(&[(name.as_str(), "/secret")]).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.hook_secrets, [(hook, "/secret".into())].into(), "{name}");
    }
    let told = errors("[hooks.git.github]\nsecret = 'canary'\n[hooks.git.gitub]\nsecret_file = 'x'");
    assert!(
        told.contains("`hooks.git.github.secret` is refused") && told.contains("did you mean `github`?"),
        "{told}"
    );
    assert!(!told.contains("canary"), "{told}");
}
