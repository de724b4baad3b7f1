//! Tables here; properties over random services in `properties`; what the engine makes of a
//! spec, as far as the tests need it, in `engine`.

mod as_the_cli;
mod containers;
mod engine;
pub(in crate::plan) mod properties;

use std::collections::BTreeMap;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::create::of_parts;
use super::desired::{of_compose, released_of};
use super::*;
use crate::spec::{self, Compose, Customer, NetworkAttachment, Port, PortMode, Protocol};
use containers::{full_container, volume};

/// A service as an engine gives it, with much that no spec can say.
fn rich() -> Value {
    serde_json::from_str(include_str!("fixture.json")).unwrap()
}

pub(in crate::plan) fn customer() -> Customer {
    let network = |key: &str, name: &str| {
        (
            key.to_owned(),
            spec::Network { key: key.into(), external: true, name: name.into(), ..spec::Network::default() },
        )
    };
    Customer {
        name: "acme".into(),
        file: "acme.toml".into(),
        suspend: None,
        prune: true,
        drift: spec::Drift::Correct,
        services: BTreeMap::new(),
        networks: BTreeMap::from([
            network("edge", "shared-edge"),
            network("host", "host"),
            network("aa", "zz"),
        ]),
        volumes: BTreeMap::from([
            volume("data", false, "acme_data"),
            volume("theirs", true, "of-somebody-else"),
        ]),
        contents: Vec::new(),
        secrets: BTreeMap::from([blob("token", "acme_token-1"), blob("cert", "acme_cert-1")]),
        configs: BTreeMap::from([blob("motd", "acme_motd-1"), blob("gmsa", "acme_gmsa-1")]),
    }
}

/// One whose name is known.
fn blob(key: &str, name: &str) -> (String, spec::Blob) {
    let blob = spec::Blob {
        key: key.into(),
        external: true,
        name: name.into(),
        labels: BTreeMap::new(),
        driver: None,
        template_driver: None,
        content: None,
        seal: None,
        kept: None,
    };
    (key.to_owned(), blob)
}

/// Every network exists; its ID is its name after `id-`.
fn ids(name: &str) -> Option<String> {
    Some(format!("id-{name}"))
}

fn reference(source: &str, target: &str, uid: &str, mode: u32) -> spec::BlobRef {
    spec::BlobRef { source: source.into(), target: target.into(), uid: uid.into(), gid: "0".into(), mode }
}

fn nobody(_: &str) -> Option<String> {
    None
}

fn seconds(s: u64) -> Option<Duration> {
    Some(Duration::from_secs(s))
}

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(ToString::to_string).collect())
}

/// A service that sets every key there is.
fn full() -> Compose {
    let config = spec::UpdateConfig {
        parallelism: Some(0),
        delay: seconds(10),
        failure_action: Some(spec::FailureAction::Continue),
        monitor: seconds(20),
        max_failure_ratio: Some(0.1),
        order: Some(spec::UpdateOrder::StartFirst),
    };
    let amounts = spec::ResourceAmounts {
        nano_cpus: Some(500_000_000),
        memory_bytes: Some(64 << 20),
        pids: Some(100),
        generic: None,
    };
    Compose {
        environment: BTreeMap::from([
            ("B".into(), Some("two".into())),
            ("A.B".into(), Some("dots".into())),
            ("A".into(), Some("x=y".into())),
            ("HTTP_PROXY".into(), None),
        ]),
        command: words(&["serve", "--all"]),
        entrypoint: words(&["/bin/sh", "-c"]),
        labels: BTreeMap::from([("tier".into(), "web".into())]),
        healthcheck: Some(spec::Healthcheck {
            test: words(&["CMD", "true"]),
            interval: seconds(5),
            timeout: Some(Duration::from_millis(1500)),
            start_period: seconds(60),
            retries: Some(4),
        }),
        networks: Some(vec![
            NetworkAttachment { key: "default".into(), aliases: vec![] },
            NetworkAttachment { key: "edge".into(), aliases: vec!["www".into()] },
        ]),
        ports: Some(vec![
            port(443, 8443, Protocol::Tcp, PortMode::Host),
            port(80, 8080, Protocol::Tcp, PortMode::Ingress),
        ]),
        secrets: Some(vec![
            reference("token", "token", "0", 0o444),
            reference("cert", "/etc/tls/cert.pem", "1000", 0o400),
        ]),
        configs: Some(vec![reference("motd", "/etc/motd", "0", 0o444)]),
        container: full_container(),
        deploy: spec::Deploy {
            mode: Some(spec::Mode::Replicated),
            replicas: Some(3),
            labels: BTreeMap::from([("traefik.enable".into(), "true".into())]),
            update_config: Some(config.clone()),
            rollback_config: Some(spec::UpdateConfig { order: None, ..config }),
            restart_policy: Some(spec::RestartPolicy {
                condition: Some(spec::RestartCondition::OnFailure),
                delay: Some(Duration::ZERO),
                max_attempts: Some(3),
                window: seconds(120),
            }),
            placement: Some(spec::Placement {
                constraints: words(&["node.role==worker"]),
                preferences: words(&["node.labels.zone"]),
                max_replicas_per_node: Some(2),
            }),
            resources: Some(spec::Resources {
                limits: Some(amounts.clone()),
                reservations: Some(spec::ResourceAmounts {
                    pids: None,
                    generic: Some(vec![("gpu".into(), 2)]),
                    ..amounts
                }),
            }),
            endpoint_mode: Some(spec::EndpointMode::Vip),
        },
    }
}

fn port(published: u16, target: u16, protocol: Protocol, mode: PortMode) -> Port {
    Port { target, published, protocol, mode }
}

fn fields(compose: &Compose) -> Vec<Field> {
    of_compose(&customer(), "web", compose, &ids).unwrap()
}

fn created(compose: &Compose) -> Value {
    of_parts(&customer(), "web", compose, "r.example.com/web:1.2.3@sha256:aa", &ids).unwrap()
}

fn value_of(fields: &[Field], name: &str) -> Value {
    fields.iter().find(|field| field.name == name).map(|field| field.value.clone()).unwrap_or_default()
}

#[test]
fn a_full_service_is_what_the_docker_cli_sends() {
    insta::assert_json_snapshot!("full", created(&full()));
}

#[test]
fn a_bare_service_is_what_the_docker_cli_sends() {
    let expected = json!({
        "Name": "acme_web",
        "Labels": {
            "com.docker.stack.image": "r.example.com/web:1.2.3@sha256:aa",
            "com.docker.stack.namespace": "acme",
        },
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "r.example.com/web:1.2.3@sha256:aa",
                "Labels": { "com.docker.stack.namespace": "acme" },
                "Privileges": { "CredentialSpec": null, "SELinuxContext": null },
            },
            "Resources": {},
            "Placement": {},
            "Networks": [{ "Target": "id-acme_default", "Aliases": ["web"] }],
        },
        "Mode": { "Replicated": { "Replicas": 1 } },
        "EndpointSpec": {},
    });
    assert_eq!(created(&Compose::default()), expected);
}

#[test]
fn every_table_entry_is_set_by_a_full_service_and_in_order() {
    let fields = fields(&full());
    for entry in TABLE {
        let hit = |field: &Field| match entry.name.strip_suffix('.') {
            Some(_) => field.name.starts_with(entry.name),
            None => field.name == entry.name,
        };
        let left_out = entry.name == "deploy.rollback_config.order";
        assert_eq!(fields.iter().any(hit), !left_out, "{}", entry.name);
    }
    assert!(TABLE.is_sorted_by_key(|entry| entry.name));
    assert!(fields.is_sorted_by_key(|field| field.name.clone()));
    assert!(fields.iter().all(|field| is_known(&field.name)));
}

#[test]
fn nothing_set_owns_nothing() {
    assert_eq!(fields(&Compose::default()), vec![]);
    let empty = Compose { networks: Some(vec![]), ..Compose::default() };
    assert_eq!(fields(&empty), vec![], "no network named is as good as none said");
}

#[rstest]
#[case("environment.API_URL", json!("https://acme.example.com/api"))]
#[case("environment.EMPTY", json!(""))]
#[case("environment.HTTP_PROXY", json!(false))]
#[case("environment.PATH_LIKE", json!("a=b=c"))]
#[case("environment.API", Value::Null)]
#[case("environment.", Value::Null)]
#[case("command", json!(["serve", "--port", "8080"]))]
#[case("entrypoint", json!(["/bin/entry", "--init"]))]
#[case("labels.tier", json!("web"))]
#[case("labels.com.docker.stack.namespace", json!("acme"))]
#[case("deploy.labels.empty", json!(""))]
#[case("deploy.labels.tier", Value::Null)]
#[case("healthcheck.interval", json!(10_000_000_000_u64))]
#[case("healthcheck.start_period", Value::Null)]
#[case("healthcheck.retries", json!(3))]
#[case("deploy.mode", Value::Null)]
#[case("deploy.replicas", json!(2))]
#[case("deploy.endpoint_mode", Value::Null)]
#[case("deploy.update_config.max_failure_ratio", json!(0.1))]
#[case("deploy.update_config.order", json!("start-first"))]
#[case("deploy.rollback_config.parallelism", Value::Null)]
#[case("deploy.restart_policy.max_attempts", Value::Null)]
#[case("deploy.restart_policy.delay", json!(2_000_000_000_u64))]
#[case("deploy.placement.constraints", json!(["node.labels.zone!=b", "node.role==worker"]))]
#[case("deploy.placement.preferences", json!(["node.labels.zone"]))]
#[case("deploy.resources.limits.pids", json!(100))]
#[case("deploy.resources.reservations.cpus", Value::Null)]
#[case("init", json!(false))]
#[case("tty", json!(true))]
#[case("stdin_open", Value::Null)]
#[case("sysctls.net.core.somaxconn", json!("1024"))]
#[case("ulimits", json!([{ "Hard": 40_000, "Name": "nofile", "Soft": 20_000 }]))]
#[case("dns", json!(["10.0.0.53"]))]
#[case("logging.options.max-size", json!("10m"))]
#[case("credential_spec", Value::Null)]
#[case("blkio", Value::Null)]
#[case("", Value::Null)]
fn reads(#[case] name: &str, #[case] expected: Value) {
    assert_eq!(read(&rich(), name), expected);
}

/// What the engine turns the one into is the other, or the orchestrator takes them alike.
#[rstest]
#[case("deploy.replicas", json!(1), Value::Null)]
#[case("deploy.update_config.parallelism", json!(1), Value::Null)]
#[case("deploy.update_config.failure_action", json!("pause"), json!(""))]
#[case("deploy.update_config.order", json!("stop-first"), Value::Null)]
#[case("deploy.update_config.monitor", json!(5_000_000_000_u64), json!(0))]
#[case("deploy.update_config.max_failure_ratio", json!(0.0), Value::Null)]
#[case("deploy.update_config.max_failure_ratio", json!(0.100_000_001_49), json!(0.1))]
#[case("deploy.update_config.max_failure_ratio", json!(1), json!(1.0))]
#[case("deploy.restart_policy.condition", json!("any"), Value::Null)]
#[case("deploy.restart_policy.delay", json!(5_000_000_000_u64), Value::Null)]
#[case("deploy.restart_policy.window", json!(0), Value::Null)]
#[case("deploy.endpoint_mode", json!("vip"), json!(""))]
#[case("deploy.placement.constraints", json!(["a==1", "b != 2"]), json!(["b!=2", "a == 1"]))]
#[case("deploy.resources.limits.memory", json!(0), Value::Null)]
#[case("healthcheck.test", json!([]), Value::Null)]
#[case("command", json!([]), Value::Null)]
#[case("ports", json!([{"TargetPort": 80}]), json!([{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 0, "PublishMode": "ingress", "Name": "x"}]))]
#[case("ports", json!([{"TargetPort": 80}, {"TargetPort": 81}]), json!([{"TargetPort": 81}, {"TargetPort": 80}]))]
#[case("networks", json!([{"Target": "b"}, {"Target": "a", "Aliases": ["x", "y"]}]), json!([{"Target": "a", "Aliases": ["y", "x", "x"], "DriverOpts": {}}, {"Target": "b", "Aliases": null}]))]
fn the_same(#[case] name: &str, #[case] a: Value, #[case] b: Value) {
    assert!(same(name, &a, &b) && same(name, &b, &a), "{name}: {a} and {b}");
}

#[rstest]
#[case("deploy.replicas", json!(0), Value::Null)]
#[case("deploy.replicas", json!(4), json!({"MaxConcurrent": 2, "TotalCompletions": 4}))]
#[case("deploy.update_config.parallelism", json!(0), Value::Null)]
#[case("deploy.restart_policy.delay", json!(0), Value::Null)]
#[case("deploy.mode", json!("global"), Value::Null)]
#[case("environment.X", json!(""), Value::Null)]
#[case("environment.X", json!(""), json!(false))]
#[case("environment.X", json!("a"), json!(["a", "b"]))]
#[case("labels.x", json!(""), Value::Null)]
#[case("command", json!(["a", "b"]), json!(["b", "a"]))]
#[case("command", json!([""]), json!([]))]
#[case("deploy.placement.preferences", json!(["a", "b"]), json!(["b", "a"]))]
#[case("deploy.placement.constraints", json!(["a==1"]), json!(["a!=1"]))]
#[case("ports", json!([{"TargetPort": 80}]), json!([{"TargetPort": 80, "PublishMode": "host"}]))]
#[case("ports", json!([{"TargetPort": 80}]), json!([{"TargetPort": 80}, {"TargetPort": 80}]))]
#[case("networks", json!([{"Target": "a"}]), json!([{"Target": "a", "Aliases": ["x"]}]))]
fn not_the_same(#[case] name: &str, #[case] a: Value, #[case] b: Value) {
    assert!(!same(name, &a, &b) && !same(name, &b, &a), "{name}: {a} and {b}");
}

#[test]
fn a_new_update_config_keeps_one_at_a_time() {
    let mut spec = json!({ "UpdateConfig": null });
    write(&mut spec, "deploy.update_config.delay", Some(&json!(1)));
    assert_eq!(spec, json!({ "UpdateConfig": { "Parallelism": 1, "Delay": 1 } }));
    write(&mut spec, "deploy.update_config.parallelism", Some(&json!(0)));
    assert_eq!(read(&spec, "deploy.update_config.parallelism"), json!(0));
    write(&mut spec, "deploy.update_config.parallelism", None);
    assert_eq!(spec, json!({ "UpdateConfig": { "Parallelism": 1, "Delay": 1 } }));
    assert_eq!(read(&json!({ "UpdateConfig": {} }), "deploy.update_config.parallelism"), json!(0));
}

#[test]
fn environment_lines_keep_their_order() {
    let env = |spec: &Value| spec["TaskTemplate"]["ContainerSpec"]["Env"].clone();
    let mut spec = json!({ "TaskTemplate": { "ContainerSpec": { "Env": ["Z=1", "A=1", "Z=2", "Q"] } } });
    assert_eq!(read(&spec, "environment.Z"), json!(["1", "2"]));
    write(&mut spec, "environment.Z", Some(&json!("3")));
    write(&mut spec, "environment.M", Some(&json!("new")));
    assert_eq!(env(&spec), json!(["Z=3", "A=1", "Q", "M=new"]), "unsorted: new ones come last");
    write(&mut spec, "environment.Z", None);
    write(&mut spec, "environment.B", Some(&json!(false)));
    assert_eq!(env(&spec), json!(["A=1", "Q", "M=new", "B"]));
    let mut sorted = json!({ "TaskTemplate": { "ContainerSpec": { "Env": ["A=1", "Z=1"] } } });
    write(&mut sorted, "environment.M", Some(&json!("")));
    assert_eq!(env(&sorted), json!(["A=1", "M=", "Z=1"]), "sorted: it stays sorted");
}

#[test]
fn what_no_spec_can_say_survives_in_lists() {
    let mut spec = rich();
    write(
        &mut spec,
        "networks",
        Some(&json!([
            { "Target": "net-edge", "Aliases": ["frontend", "www"] }, { "Target": "net-new", "Aliases": [] },
        ])),
    );
    assert_eq!(
        spec["TaskTemplate"]["Networks"],
        json!([
            { "Target": "net-edge", "Aliases": ["www", "frontend"], "DriverOpts": { "com.example.mtu": "1400" } },
            { "Target": "net-new", "Aliases": [] },
        ])
    );
    write(
        &mut spec,
        "ports",
        Some(&json!([
            { "Protocol": "tcp", "TargetPort": 8080, "PublishedPort": 80, "PublishMode": "ingress" },
        ])),
    );
    assert_eq!(spec["EndpointSpec"]["Ports"][0]["Name"], "web");
    assert_eq!(spec["EndpointSpec"]["Ports"].as_array().unwrap().len(), 1);
}

#[test]
fn networks_in_their_old_place_move_when_changed() {
    let mut spec = json!({ "TaskTemplate": { "Networks": [] }, "Networks": [{ "Target": "a" }] });
    assert_eq!(read(&spec, "networks"), json!([{ "Target": "a", "Aliases": [] }]));
    write(&mut spec, "networks", Some(&json!([{ "Target": "b", "Aliases": [] }])));
    assert_eq!(spec, json!({ "TaskTemplate": { "Networks": [{ "Target": "b", "Aliases": [] }] } }));
}

#[test]
fn networks_are_resolved_by_their_names_in_the_swarm() {
    let attachment =
        |key: &str, aliases: &[&str]| NetworkAttachment { key: key.into(), aliases: words(aliases).unwrap() };
    let compose = Compose {
        networks: Some(vec![
            attachment("aa", &["web", "x"]),
            attachment("edge", &[]),
            attachment("host", &[]),
        ]),
        ..Compose::default()
    };
    let expected = json!([
        { "Target": "id-host", "Aliases": [] },
        { "Target": "id-shared-edge", "Aliases": ["web"] },
        { "Target": "id-zz", "Aliases": ["web", "x", "web"] },
    ]);
    assert_eq!(value_of(&fields(&compose), "networks"), expected);
    let missing = of_compose(&customer(), "web", &compose, &nobody).unwrap_err();
    assert_eq!(missing, MissingNetwork { key: "host".into(), name: "host".into() });
    assert_eq!(
        of_parts(&customer(), "web", &Compose::default(), "i", &nobody).unwrap_err().name,
        default_network(&customer())
    );
}

#[test]
fn labels_of_ours_are_not_the_specs() {
    let label = |key: &str| BTreeMap::from([(key.to_owned(), "evil".to_owned())]);
    for key in ["skep.customer", "com.docker.stack.namespace", "com.docker.stack.image"] {
        let deploy = spec::Deploy { labels: label(key), ..spec::Deploy::default() };
        let compose = Compose { labels: label(key), deploy, ..Compose::default() };
        assert_eq!(fields(&compose), vec![]);
        assert!(!created(&compose).to_string().contains("evil"));
        assert_eq!(owned(Some(&json!([format!("deploy.labels.{key}"), "command"]).to_string())).len(), 1);
    }
}

#[rstest]
#[case(spec::Mode::Global, json!({ "Global": {} }))]
#[case(spec::Mode::GlobalJob, json!({ "GlobalJob": {} }))]
#[case(spec::Mode::ReplicatedJob, json!({ "ReplicatedJob": { "MaxConcurrent": 1, "TotalCompletions": 1 } }))]
#[case(spec::Mode::Replicated, json!({ "Replicated": { "Replicas": 1 } }))]
fn modes(#[case] mode: spec::Mode, #[case] expected: Value) {
    let compose =
        Compose { deploy: spec::Deploy { mode: Some(mode), ..Default::default() }, ..Default::default() };
    let spec = created(&compose);
    assert_eq!(spec["Mode"], expected);
    let fields = fields(&compose);
    assert!(same("deploy.mode", &read(&spec, "deploy.mode"), &fields[0].value));
    assert_eq!(mode_change(&spec, &fields), None);
    for other in
        [spec::Mode::Replicated, spec::Mode::Global, spec::Mode::ReplicatedJob, spec::Mode::GlobalJob]
    {
        let deploy = spec::Deploy { mode: Some(other), ..Default::default() };
        let wanted = of_compose(&customer(), "web", &Compose { deploy, ..Default::default() }, &ids).unwrap();
        assert_eq!(mode_change(&spec, &wanted).is_some(), other != mode);
    }
}

#[test]
fn a_mode_refuses_what_the_engine_would_refuse() {
    let field = |name: &str, value: Value| vec![Field { name: name.into(), value }];
    let mut global = json!({ "Mode": { "Global": {} } });
    assert!(mode_change(&global, &field("deploy.replicas", json!(2))).unwrap().contains("deploy.replicas"));
    write(&mut global, "deploy.replicas", Some(&json!(2)));
    assert_eq!(global, json!({ "Mode": { "Global": {} } }));
    let mut job = json!({ "Mode": { "ReplicatedJob": { "MaxConcurrent": 2, "TotalCompletions": 9 } } });
    assert!(
        mode_change(&job, &field("deploy.update_config.delay", json!(1))).unwrap().contains("update_config")
    );
    write(&mut job, "deploy.update_config.delay", Some(&json!(1)));
    write(&mut job, "deploy.replicas", Some(&json!(9)));
    assert_eq!(job, json!({ "Mode": { "ReplicatedJob": { "MaxConcurrent": 9, "TotalCompletions": 9 } } }));
    assert_eq!(mode_change(&json!({}), &field("deploy.mode", json!("replicated"))), None);
    assert!(mode_change(&json!({ "Mode": { "Odd": {} } }), &field("deploy.mode", json!("global"))).is_some());
}

#[rstest]
#[case("deploy.update_config.delay", json!(90_000_000_000_u64), json!("1m30s"))]
#[case("deploy.restart_policy.delay", json!(0), json!("0s"))]
#[case("deploy.restart_policy.delay", Value::Null, json!("5s"))]
#[case("healthcheck.timeout", json!(1_500_000_000), json!("1s500ms"))]
#[case("deploy.resources.limits.memory", json!(64 << 20), json!("64MiB"))]
#[case("deploy.resources.limits.memory", json!(1000), json!("1000B"))]
#[case("deploy.resources.limits.memory", Value::Null, Value::Null)]
#[case("deploy.resources.limits.cpus", json!(500_000_000), json!("0.5"))]
#[case("deploy.resources.limits.cpus", json!(2_000_000_000_u64), json!("2"))]
#[case("deploy.replicas", Value::Null, json!(1))]
#[case("deploy.replicas", json!(3), json!(3))]
#[case("deploy.endpoint_mode", Value::Null, json!("vip"))]
#[case("ports", json!([{"TargetPort": 80, "PublishedPort": 8080}, {"TargetPort": 53, "Protocol": "udp", "PublishMode": "host"}]), json!(["8080:80/tcp", "53/udp (host)"]))]
#[case("networks", json!([{"Target": "x1", "Aliases": ["a"]}, {"Target": "y"}]), json!(["edge (a)", "y"]))]
#[case("environment.API_URL", json!("https://x/"), json!("https://x/"))]
#[case("environment.DATABASE_URL", json!("postgres://u:hunter2@db/x?a=http://c:d@e"), json!("postgres://u:(sensitive)@db/x?a=http://c:(sensitive)@e"))]
#[case("environment.DB_PASSWORD", json!("hunter2"), json!("(sensitive)"))]
#[case("environment.DB_PASSWORD", Value::Null, Value::Null)]
#[case("environment.HTTP_PROXY", json!(false), json!("(no value)"))]
#[case("command", json!(["--db=redis://:pw@r:6379"]), json!(["--db=redis://:(sensitive)@r:6379"]))]
#[case("unknown", json!({"a": 1}), json!({"a": 1}))]
fn displays(#[case] name: &str, #[case] value: Value, #[case] expected: Value) {
    let names = |id: &str| (id == "x1").then(|| "edge".to_owned());
    assert_eq!(display(name, &value, &names), expected);
}

#[rstest]
#[case("environment.DB_PASSWORD", true)]
#[case("environment.dbPassword", true)]
#[case("environment.AWS_ACCESS_KEY_ID", true)]
#[case("environment.GITHUB_TOKEN", true)]
#[case("environment.API_KEY", true)]
#[case("environment.apiKey", true)]
#[case("environment.MYSQL_PWD", true)]
#[case("environment.SENTRY_DSN", true)]
#[case("labels.traefik.http.middlewares.a.basicauth.users", true)]
#[case("environment.PWD", false)]
#[case("environment.MONKEY", false)]
#[case("environment.DB_PASSWORD_FILE", false)]
#[case("environment.API_URL", false)]
#[case("deploy.labels.traefik.http.services.a.loadbalancer.sticky.cookie", false)]
#[case("command", false)]
fn sensitive(#[case] name: &str, #[case] expected: bool) {
    assert_eq!(is_sensitive(name), expected, "{name}");
}

#[test]
fn the_owned_label_is_stable_and_reads_back() {
    let names: BTreeSet<String> =
        ["command", "environment.A\"B\n", "labels.x.y,z", "deploy.replicas"].map(String::from).into();
    let label = owned_label(&names);
    assert_eq!(label, r#"["command","deploy.replicas","environment.A\"B\n","labels.x.y,z"]"#);
    assert_eq!(owned(Some(&label)), names);
    for bad in [None, Some(""), Some("{}"), Some("[1]"), Some("[\"a\"")] {
        assert!(owned(bad).is_empty());
    }
}

#[test]
fn the_hash_is_of_what_is_meant() {
    // Written on services: a change here makes every service look changed.
    assert_eq!(spec_hash(&[]), "v1:4f53cda18c2baa0c");
    let one =
        |constraints: Value| [Field { name: "deploy.placement.constraints".into(), value: constraints }];
    assert_eq!(spec_hash(&one(json!(["b==1", "a == 1"]))), spec_hash(&one(json!(["a==1", "b==1"]))));
    assert_ne!(spec_hash(&one(json!(["b==1"]))), spec_hash(&one(json!(["a==1"]))));
    let all = fields(&full());
    let mut reversed = all.clone();
    reversed.reverse();
    assert_eq!(spec_hash(&all), spec_hash(&reversed));
    insta::assert_snapshot!("hash", spec_hash(&all));
}

#[test]
fn image_and_force_touch_one_place() {
    let mut spec = rich();
    set_image(&mut spec, "x:1@sha256:00");
    force(&mut spec);
    assert_eq!(image(&spec), "x:1@sha256:00");
    assert_eq!(spec["TaskTemplate"]["ForceUpdate"], 5);
    let mut expected = rich();
    expected["TaskTemplate"]["ContainerSpec"]["Image"] = json!("x:1@sha256:00");
    expected["TaskTemplate"]["ForceUpdate"] = json!(5);
    assert_eq!(spec.to_string(), expected.to_string());
    let mut plugin = json!({ "TaskTemplate": { "PluginSpec": {}, "Runtime": "plugin" } });
    set_image(&mut plugin, "x");
    assert!(!is_container(&plugin) && is_container(&rich()) && image(&plugin).is_empty());
    assert_eq!(plugin, json!({ "TaskTemplate": { "PluginSpec": {}, "Runtime": "plugin" } }));
}

#[test]
fn what_a_spec_releases() {
    let joined = released_of(&customer(), "web", "networks", &ids).unwrap();
    assert_eq!(joined, Some(json!([{ "Target": "id-acme_default", "Aliases": ["web"] }])));
    assert_eq!(released_of(&customer(), "web", "networks", &nobody).unwrap_err().name, "acme_default");
    assert_eq!(released_of(&customer(), "web", "command", &nobody).unwrap(), None);
}

/// Nothing that an engine, or somebody in between, may answer makes us panic.
#[test]
fn odd_answers_are_survived() {
    let odd = [
        json!(null),
        json!([]),
        json!(7),
        json!({ "TaskTemplate": 1, "Mode": [], "EndpointSpec": "x", "Labels": [] }),
        json!({ "TaskTemplate": { "ContainerSpec": { "Env": {}, "Labels": 3, "Args": "sh" }, "Networks": {}, "Placement": [] },
                "Mode": { "Replicated": 5 }, "UpdateConfig": 1 }),
        json!({ "TaskTemplate": { "ContainerSpec": { "Env": [1, null, "", "="] }, "Networks": [1, null] },
                "Mode": { "ReplicatedJob": [] }, "EndpointSpec": { "Ports": [null, { "TargetPort": -1.5 }] } }),
    ];
    for spec in odd {
        for field in fields(&full()) {
            let mut changed = spec.clone();
            let _ = display(&field.name, &read(&spec, &field.name), &nobody);
            write(&mut changed, &field.name, Some(&field.value));
            write(&mut changed, &field.name, None);
        }
        let mut changed = spec.clone();
        force(&mut changed);
        set_image(&mut changed, "x");
        let _ = (image(&spec), is_container(&spec), mode_change(&spec, &fields(&full())));
    }
}
