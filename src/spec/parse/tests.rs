//! Whole files through `load`. Pieces have their tests beside them.

use std::time::Duration;

use super::*;
use crate::image::ImageRef;
use crate::spec::*;

mod bad;
mod bad_compose;
mod bypass;
mod contents;
mod files;
mod fleet;
mod hidden;
mod robust;
mod secrets;
mod templates;

/// A spec that uses every key the reader knows.
pub(crate) const FULL: &str = include_str!("testdata/full.toml");

pub(crate) fn files(files: &[(&str, &str)]) -> SpecFiles {
    SpecFiles { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
}

fn lines(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics.iter().map(Diagnostic::one_line).collect()
}

/// The one customer of the files, which have no fault.
fn customer(given: &[(&str, &str)]) -> Customer {
    let loaded = load(&files(given));
    assert_eq!(lines(&loaded.diagnostics), [""; 0]);
    assert_eq!(loaded.customers.len(), 1);
    loaded.customers.into_values().next().unwrap()
}

/// The service of a file that has only this one.
fn service(keys: &str) -> Service {
    let text = format!("[services.web]\n{keys}");
    customer(&[("acme.toml", &text)]).services.remove("web").unwrap()
}

fn compose(keys: &str) -> Compose {
    service(&format!("image = \"app\"\n{keys}")).compose
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

#[test]
fn reads_the_contracts_example() {
    let acme = r#"
template = "saas"

[vars]
domain = "acme.example.com"

[services.frontend]
image = "registry.example.com/lighttag/frontend"
version = "^1.4"
environment = { API_URL = "https://${domain}/api" }
deploy = { replicas = 2 }

[services.db]
image = "registry.example.com/lighttag/db:16.3.0"
"#;
    let saas = "[services.frontend]\nenvironment = { API_URL = 'x', CUSTOMER = '${customer}' }\ndeploy.mode = 'replicated'\n";
    let found = customer(&[("eu/acme.toml", acme), ("templates/saas.toml", saas)]);
    assert_eq!((found.name.as_str(), found.file.as_str()), ("acme", "eu/acme.toml"));
    let frontend = &found.services["frontend"];
    let ImagePolicy::Highest { repository, policy } = &frontend.image else { panic!() };
    assert_eq!(repository.to_string(), "registry.example.com/lighttag/frontend");
    assert_eq!(policy.require.to_string(), "^1.4");
    assert_eq!(frontend.compose.environment["API_URL"].as_deref(), Some("https://acme.example.com/api"));
    assert_eq!(frontend.compose.environment["CUSTOMER"].as_deref(), Some("acme"));
    assert_eq!(frontend.compose.deploy.replicas, Some(2));
    assert_eq!(frontend.compose.deploy.mode, Some(Mode::Replicated));
    let ImagePolicy::Tag { tag, version, .. } = &found.services["db"].image else { panic!() };
    assert_eq!((tag.as_str(), version.to_string().as_str()), ("16.3.0", "16.3.0"));
}

#[test]
fn reads_images() {
    let image = |image: &str| service(&format!("image = \"{image}\"")).image;
    let sha = format!("sha256:{}", "a".repeat(64));
    let parsed = |text: &str| text.parse::<ImageRef>().unwrap();
    let repository = parsed("nginx").repository;
    assert_eq!(
        image("nginx"),
        ImagePolicy::Highest { repository: repository.clone(), policy: VersionPolicy::default() }
    );
    for (tag, version) in [
        ("1.2.3", "1.2.3"),
        ("v1.2.3", "1.2.3"),
        ("1.2.3-rc.1", "1.2.3-rc.1"),
        ("1.2.3_build.7", "1.2.3+build.7"),
    ] {
        let expected = ImagePolicy::Tag {
            repository: repository.clone(),
            tag: tag.to_owned(),
            version: version.parse().unwrap(),
        };
        assert_eq!(image(&format!("docker.io/library/nginx:{tag}")), expected);
    }
    for (text, tag) in
        [(format!("nginx@{sha}"), None), (format!("nginx:latest@{sha}"), Some("latest".to_owned()))]
    {
        let digest = sha.parse().unwrap();
        assert_eq!(image(&text), ImagePolicy::Digest { repository: repository.clone(), tag, digest });
    }
}

#[test]
fn reads_version_policies() {
    let policy = |version: &str| match service(&format!("image = \"app\"\nversion = {version}")).image {
        ImagePolicy::Highest { policy, .. } => policy,
        other => panic!("{other:?}"),
    };
    assert_eq!(policy("{}"), VersionPolicy::default());
    assert_eq!(policy("\"*\""), VersionPolicy::default());
    assert_eq!(policy("\">=1.2, <3\"").require.to_string(), ">=1.2, <3");
    let full = policy(
        "{ require = '~1.4', prerelease = ['rc', 'beta'], tags = 'v{version}-alpine', exclude = ['1.4.2', '<1.4.1', '1.4.3-rc.1+b'], min_age = '1h30m', retag = 'hold', downgrade = true }",
    );
    assert_eq!(
        full,
        VersionPolicy {
            require: "~1.4".parse().unwrap(),
            prerelease: Prerelease::Channels(strings(&["rc", "beta"])),
            tags: TagPattern { prefix: "v".into(), suffix: "-alpine".into() },
            exclude: ["=1.4.2", "<1.4.1", "=1.4.3-rc.1"].iter().map(|r| r.parse().unwrap()).collect(),
            min_age: Duration::from_secs(5400),
            retag: Retag::Hold,
            downgrade: true,
        }
    );
    assert_eq!(policy("{ prerelease = true }").prerelease, Prerelease::All);
    assert_eq!(policy("{ prerelease = [] }").prerelease, Prerelease::None);
    assert_eq!(policy("{ tags = '{version}' }").tags, TagPattern::default());
}

#[test]
fn reads_holds() {
    let until = Some("2026-12-01T08:00:00Z".parse().unwrap());
    for (text, expected) in [
        ("'maintenance'", Suspend { reason: "maintenance".into(), until: None }),
        ("{ reason = 'a', until = 2026-12-01T08:00:00Z }", Suspend { reason: "a".into(), until }),
        ("{ reason = 'a', until = 2026-12-01 10:00:00+02:00 }", Suspend { reason: "a".into(), until }),
        ("{ reason = 'a', until = '2026-12-01T08:00:00Z' }", Suspend { reason: "a".into(), until }),
    ] {
        assert_eq!(service(&format!("image = 'app'\nsuspend = {text}")).suspend, Some(expected.clone()));
        let text = format!("suspend = {text}\n[services.web]\nimage = 'app'");
        assert_eq!(customer(&[("acme.toml", &text)]).suspend, Some(expected));
    }
    let plain = service("image = 'app'");
    assert_eq!((plain.adopt, plain.suspend, plain.on_failure), (false, None, OnFailure::Rollback));
    let other = service("image = 'app'\nadopt = true\non_failure = 'hold'");
    assert_eq!((other.adopt, other.on_failure), (true, OnFailure::Hold));
}

#[test]
fn reads_environment_labels_and_commands() {
    let pairs = |pairs: &[(&str, Option<&str>)]| -> BTreeMap<String, Option<String>> {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned))).collect()
    };
    assert_eq!(
        compose("environment = { A = 'x', B = 1, C = 1.10, D = true, E = '', F = 0x10 }").environment,
        pairs(&[
            ("A", Some("x")),
            ("B", Some("1")),
            ("C", Some("1.10")),
            ("D", Some("true")),
            ("E", Some("")),
            ("F", Some("16")),
        ])
    );
    assert_eq!(
        compose("environment = ['A=x=y', 'B', 'C=']").environment,
        pairs(&[("A", Some("x=y")), ("B", None), ("C", Some(""))])
    );
    let labels = compose("labels = ['a.b=c', 'd']\ndeploy.labels = { e = 5 }");
    assert_eq!(labels.labels, BTreeMap::from([("a.b".into(), "c".into()), ("d".into(), String::new())]));
    assert_eq!(labels.deploy.labels, BTreeMap::from([("e".into(), "5".into())]));
    assert_eq!(compose("command = \"sh -c 'a && b'\"").command, Some(strings(&["sh", "-c", "a && b"])));
    assert_eq!(compose("entrypoint = ['a b', 'c']").entrypoint, Some(strings(&["a b", "c"])));
    assert_eq!(compose("command = []").command, Some(vec![]));
    assert_eq!(compose(""), Compose::default());
}

#[test]
fn reads_healthchecks() {
    let check = |keys: &str| compose(&format!("healthcheck = {{ {keys} }}")).healthcheck.unwrap();
    assert_eq!(
        check("test = 'curl -f x', interval = '30s', timeout = '500ms', start_period = '1m', retries = 3"),
        Healthcheck {
            test: Some(strings(&["CMD-SHELL", "curl -f x"])),
            interval: Some(Duration::from_secs(30)),
            timeout: Some(Duration::from_millis(500)),
            start_period: Some(Duration::from_secs(60)),
            retries: Some(3),
        }
    );
    assert_eq!(check("test = ['CMD', 'a', 'b']").test, Some(strings(&["CMD", "a", "b"])));
    assert_eq!(check("disable = true").test, Some(strings(&["NONE"])));
    assert_eq!(check("disable = false").test, None);
    let disabled = check("disable = true, interval = '5s', retries = 2");
    assert_eq!(disabled, check("disable = true"), "no check has no times");
    assert_eq!(check("interval = '0s'").interval, Some(Duration::ZERO));
}

#[test]
fn reads_networks() {
    let text = r#"
[networks]
traefik = { external = true }
db = { external = true, name = "shared_${customer}" }
[services.a]
image = "app"
networks = ["traefik", "db"]
[services.b]
image = "app"
networks = { db = { aliases = ["x", "y", "x"] }, traefik = {} }
[services.c]
image = "app"
networks = []
"#;
    let found = customer(&[("acme.toml", text)]);
    let network = |key: &str, name: &str| Network {
        key: key.into(),
        external: true,
        name: name.into(),
        ..Network::default()
    };
    assert_eq!(found.networks["traefik"], network("traefik", "traefik"));
    assert_eq!(found.networks["db"], network("db", "shared_acme"));
    let attached = |name: &str| -> Vec<(String, Vec<String>)> {
        let networks = found.services[name].compose.networks.clone().unwrap();
        networks.into_iter().map(|n| (n.key, n.aliases)).collect()
    };
    assert_eq!(attached("a"), [("traefik".into(), vec![]), ("db".into(), vec![])]);
    assert_eq!(attached("b"), [("db".into(), strings(&["x", "y"])), ("traefik".into(), vec![])]);
    assert_eq!(attached("c"), []);
}

#[test]
fn reads_ports() {
    let port =
        |published, target| Port { target, published, protocol: Protocol::Tcp, mode: PortMode::Ingress };
    assert_eq!(
        compose("ports = ['8080:80', 81, '53:53/udp', { target = 5, published = '6', mode = 'host' }, { target = 7 }]").ports,
        Some(vec![
            port(8080, 80),
            port(0, 81),
            Port { protocol: Protocol::Udp, ..port(53, 53) },
            Port { mode: PortMode::Host, ..port(6, 5) },
            port(0, 7),
        ])
    );
    assert_eq!(compose("ports = ['8000-8010:80-90']").ports.unwrap().len(), 11);
}

#[test]
fn reads_deploy() {
    let text = r#"
[services.web.deploy]
mode = "replicated"
replicas = 3
endpoint_mode = "dnsrr"
update_config = { parallelism = 0, delay = "10s", failure_action = "rollback", monitor = "1m", max_failure_ratio = 0.25, order = "start-first" }
rollback_config = { parallelism = 2, failure_action = "continue", max_failure_ratio = 1, order = "stop-first" }
restart_policy = { condition = "on-failure", delay = "5s", max_attempts = 4, window = "2m" }
placement = { constraints = ["node.role == worker", "node.labels.zone!=a"], preferences = [{ spread = "node.labels.zone" }], max_replicas_per_node = 2 }
resources = { limits = { cpus = 0.5, memory = "64M", pids = 100 }, reservations = { cpus = "0.25", memory = 33554432 } }
"#;
    let deploy = service(&format!("image = 'app'\n{text}")).compose.deploy;
    let seconds = |n| Some(Duration::from_secs(n));
    let expected = Deploy {
        mode: Some(Mode::Replicated),
        replicas: Some(3),
        labels: BTreeMap::new(),
        update_config: Some(UpdateConfig {
            parallelism: Some(0),
            delay: seconds(10),
            failure_action: Some(FailureAction::Rollback),
            monitor: seconds(60),
            max_failure_ratio: Some(0.25),
            order: Some(UpdateOrder::StartFirst),
        }),
        rollback_config: Some(UpdateConfig {
            parallelism: Some(2),
            failure_action: Some(FailureAction::Continue),
            max_failure_ratio: Some(1.0),
            order: Some(UpdateOrder::StopFirst),
            ..UpdateConfig::default()
        }),
        restart_policy: Some(RestartPolicy {
            condition: Some(RestartCondition::OnFailure),
            delay: seconds(5),
            max_attempts: Some(4),
            window: seconds(120),
        }),
        placement: Some(Placement {
            constraints: Some(strings(&["node.role == worker", "node.labels.zone!=a"])),
            preferences: Some(strings(&["node.labels.zone"])),
            max_replicas_per_node: Some(2),
        }),
        resources: Some(Resources {
            limits: Some(ResourceAmounts {
                nano_cpus: Some(500_000_000),
                memory_bytes: Some(64 << 20),
                pids: Some(100),
                generic: None,
            }),
            reservations: Some(ResourceAmounts {
                nano_cpus: Some(250_000_000),
                memory_bytes: Some(32 << 20),
                pids: None,
                generic: None,
            }),
        }),
        endpoint_mode: Some(EndpointMode::Dnsrr),
    };
    assert_eq!(deploy, expected);
}

#[test]
fn the_full_example_is_valid() {
    let found = customer(&[("acme.toml", FULL), ("templates/base.toml", "[vars]\ntag = 1\n")]);
    assert_eq!(found.services.len(), 3);
}
