mod wild;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::compose::File;
use super::live::Stack;
use super::*;
use crate::fuzz;
use crate::plan::{self, Cause, Input, fields};
use crate::sim::engine::{Engine, HostOptions, Options, Role};
use crate::sim::registry::Registries;
use crate::sim::wire::Memory;
use crate::spec::Customer;
use crate::state::{ObjectKind, ObservedState};
use crate::swarm::{Client, Endpoint, Scope, Swarm as _};

const FULL: &str = include_str!("../spec/parse/testdata/full.toml");
const SHA: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn parsed(name: &str, text: &str) -> Customer {
    let files = BTreeMap::from([
        (format!("{name}.toml"), text.to_owned()),
        ("templates/base.toml".to_owned(), String::new()),
    ]);
    let mut loaded = parse::load(&SpecFiles { files });
    let customer = loaded.customers.remove(name);
    customer.unwrap_or_else(|| panic!("{:#?}\n{text}", loaded.diagnostics))
}

struct Ground {
    client: Client,
    _server: Memory,
}

/// An embedded engine with the stack `acme` as `docker stack deploy` makes it.
async fn deployed(customer: &Customer, image: &str) -> Ground {
    let options = Options { hosts: vec![HostOptions::new("m", Role::Manager)], ..Options::default() };
    let server = Memory::new(Arc::new(Engine::new(options, Arc::new(Registries::default()))));
    let client = Client::new(Endpoint::Memory(server.dialer()), Arc::new(|_, _| {}));
    for network in customer.networks.values() {
        let mut spec = json!({
            "Name": network.name, "Driver": "overlay", "Attachable": network.attachable,
            "Internal": network.internal, "Options": network.driver_opts,
        });
        if !network.external {
            let mut labels = network.labels.clone();
            labels.insert("com.docker.stack.namespace".into(), customer.name.clone());
            spec["Labels"] = json!(labels);
            let subnets: Vec<Value> =
                network.subnets.iter().map(|one| json!({ "Subnet": one.subnet })).collect();
            spec["IPAM"] = json!({ "Driver": "default", "Config": subnets });
        }
        client.create_object(ObjectKind::Network, spec).await.unwrap();
    }
    let labels = json!({ "com.docker.stack.namespace": customer.name });
    let default =
        json!({ "Name": format!("{}_default", customer.name), "Driver": "overlay", "Labels": labels });
    client.create_object(ObjectKind::Network, default).await.unwrap();
    let observed = client.look(Scope::Whole, Vec::new()).await.unwrap().whole().unwrap();
    let network = |name: &str| observed.networks.get(name).map(|network| network.id.clone());
    for service in customer.services.values() {
        let spec = fields::create(customer, service, image, &network).unwrap();
        client.create_service(spec, None).await.unwrap();
    }
    Ground { client, _server: server }
}

async fn import(ground: &Ground, stack: &str, name: &str) -> (Imported, ObservedState) {
    let observed = ground.client.look(Scope::Whole, Vec::new()).await.unwrap().whole().unwrap();
    let networks = ground.client.networks().await.unwrap();
    let configs = ground.client.configs().await.unwrap();
    let stack =
        Stack { name: stack, customer: name, observed: &observed, networks: &networks, configs: &configs };
    let draft = stack.draft().unwrap();
    (stack.finish(draft, &BTreeMap::new()).unwrap(), observed)
}

/// What a plan changes is ownership and nothing else.
fn assert_only_adopts(spec: &str, observed: &ObservedState, services: usize) {
    let desired = fuzz::planning::desired(parsed("acme", spec), true);
    let plan = plan::plan(Input {
        desired: &desired,
        observed,
        remembered: &BTreeMap::new(),
        rollout_timeout: Duration::from_secs(60),
        now: Timestamp::UNIX_EPOCH,
        prune: None,
    });
    assert_eq!(plan.waiting, [], "{spec}");
    assert_eq!(plan.steps.len(), services, "{spec}");
    for step in &plan.steps {
        let image = |view: &Option<plan::ImageView>| {
            view.as_ref().map(|view| (view.tag.clone(), view.digest.clone()))
        };
        assert_eq!((step.cause, step.changes.as_slice()), (Cause::Adoption, &[][..]), "{step:#?}\n{spec}");
        assert_eq!(image(&step.from), image(&step.to), "{step:#?}\n{spec}");
    }
}

#[tokio::test]
async fn a_wide_stack_is_in_sync_at_once() {
    let customer = parsed("acme", &FULL.replace("10.77.0.0/24", "172.28.0.0/16"));
    let ground = deployed(&customer, &format!("registry.example.com/lighttag/any:1.2.3@{SHA}")).await;
    let (imported, observed) = import(&ground, "acme", "acme").await;
    insta::assert_snapshot!(imported.spec);
    assert_only_adopts(&imported.spec, &observed, customer.services.len());
    // All that the spec said of the services is said again.
    let again = parsed("acme", &imported.spec);
    let network = |name: &str| observed.networks.get(name).map(|network| network.id.clone());
    for (key, service) in &customer.services {
        let said = fields::desired(&again, &again.services[key], &network).unwrap();
        for field in fields::desired(&customer, service, &network).unwrap() {
            let nothing = fields::canonical(&field.name, &field.value).is_null();
            let found = said.iter().find(|other| other.name == field.name);
            let same = found.is_some_and(|found| fields::same(&field.name, &found.value, &field.value));
            let default = found.is_none()
                && field.name == "networks"
                && customer.services[key].compose.networks.is_none();
            assert!(same || nothing || default, "{key}: {field:?}, not {found:?}");
        }
    }
    let inner = &again.networks["inner"];
    assert_eq!(inner, &customer.networks["inner"].clone_without_ipam_driver());
    assert_eq!(again.networks["traefik"].name, "traefik");
}

impl crate::spec::Network {
    /// The engine's own is not written down.
    fn clone_without_ipam_driver(&self) -> Self {
        Self { ipam_driver: None, driver: None, ..self.clone() }
    }
}

#[tokio::test]
async fn what_no_spec_can_say_is_told_and_stays() {
    let ground =
        deployed(&parsed("acme", "[services.web]\nimage = \"r.io/web\"\n"), &format!("r.io/web:1.2.3@{SHA}"))
            .await;
    let namespace = json!({ "com.docker.stack.namespace": "acme" });
    let odd = json!({
        "Name": "acme_odd",
        "Labels": namespace,
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": format!("r.io/odd:latest@{SHA}"),
                "Env": ["A=${x} $$ $", "ONLY_NAMED", "B=1", "B=2", "DB_PASSWORD=\u{1b}[31m\n"],
                "Labels": { "we ird.\"key\"": "v" },
                "Groups": ["7"],
                "DNSConfig": { "Options": ["ndots:1"] },
                "Hosts": ["10.0.0.1 one two"],
                "Mounts": [{ "Type": "volume", "Source": "made", "Target": "/m", "VolumeOptions": { "DriverConfig": { "Name": "local" } } }],
            },
        },
        "Mode": { "Replicated": { "Replicas": 3 } },
        "EndpointSpec": { "Mode": "vip" },
    });
    ground.client.create_service(odd, None).await.unwrap();
    let elsewhere = json!({
        "Name": "elsewhere", "Labels": namespace,
        "TaskTemplate": { "ContainerSpec": { "Image": "r.io/x:1.0.0" } },
    });
    ground.client.create_service(elsewhere, None).await.unwrap();
    let (imported, observed) = import(&ground, "acme", "acme").await;
    insta::assert_snapshot!(imported.spec);
    assert_only_adopts(&imported.spec, &observed, 2);
    assert_eq!(imported.notes.len(), 7, "{:#?}", imported.notes);
}

/// A stack with secrets and configs of its own, of others, and of skep's.
async fn with_blobs() -> Ground {
    let ground =
        deployed(&parsed("acme", "[services.web]\nimage = \"r.io/web\"\n"), &format!("r.io/web:1.2.3@{SHA}"))
            .await;
    let namespace = json!({ "com.docker.stack.namespace": "acme" });
    let ours =
        json!({ "com.docker.stack.namespace": "acme", "skep.customer": "acme", "skep.object": "motd" });
    let blobs = [
        (ObjectKind::Secret, "acme_token", namespace.clone()),
        (ObjectKind::Secret, "token", json!({})),
        (ObjectKind::Config, "acme_motd-0123456789ab", ours),
        (ObjectKind::Config, "acme_site", namespace.clone()),
    ];
    let mut ids = BTreeMap::new();
    for (kind, name, labels) in blobs {
        let spec = json!({ "Name": name, "Labels": labels, "Data": "aGkKYm9i" });
        ids.insert(name, ground.client.create_object(kind, spec).await.unwrap());
    }
    let file =
        |name: &str, uid: &str, mode: u32| json!({ "Name": name, "UID": uid, "GID": "0", "Mode": mode });
    let secret = |name: &str, file: Value| json!({ "SecretID": ids[name], "SecretName": name, "File": file });
    let config = |name: &str, file: Value| json!({ "ConfigID": ids[name], "ConfigName": name, "File": file });
    let service = json!({
        "Name": "acme_api",
        "Labels": namespace,
        "TaskTemplate": { "ContainerSpec": {
            "Image": format!("r.io/api:1.0.0@{SHA}"),
            "Secrets": [
                secret("acme_token", file("token", "0", 0o444)),
                secret("token", file("other", "7", 0o400)),
            ],
            "Configs": [
                config("acme_motd-0123456789ab", file("/etc/motd", "0", 0o444)),
                config("acme_site", file("site", "0", 0o444)),
            ],
        } },
        "Mode": { "Replicated": { "Replicas": 1 } },
        "EndpointSpec": { "Mode": "vip" },
    });
    ground.client.create_service(service, None).await.unwrap();
    ground
}

#[tokio::test]
async fn secrets_and_configs_stay_what_they_are() {
    let ground = with_blobs().await;
    let (imported, observed) = import(&ground, "acme", "acme").await;
    insta::assert_snapshot!(imported.spec);
    assert_only_adopts(&imported.spec, &observed, 2);
    let pinned = |note: &String| note.contains(".image: pinned to the content that runs");
    assert!(imported.notes.iter().all(pinned), "nothing is lost: {:#?}", imported.notes);
}

#[tokio::test]
async fn a_copy_has_the_configs_content_and_the_secrets_names() {
    let ground = with_blobs().await;
    let (imported, _) = import(&ground, "acme", "globex").await;
    let copy = parsed("globex", &imported.spec);
    let content = |key: &str| copy.configs[key].content.as_ref().map(|content| content.reveal().to_vec());
    assert_eq!(content("site").as_deref(), Some(&b"hi\nbob"[..]), "{}", imported.spec);
    assert!(copy.secrets.values().all(|secret| secret.external), "{}", imported.spec);
}

#[tokio::test]
async fn a_copy_has_another_name_and_adopts_nothing() {
    let ground =
        deployed(&parsed("acme", "[services.web]\nimage = \"r.io/web\"\n"), &format!("r.io/web:1.2.3@{SHA}"))
            .await;
    let (imported, _) = import(&ground, "acme", "globex").await;
    assert!(!imported.spec.contains("adopt"), "{}", imported.spec);
    assert_eq!(
        imported.notes[0],
        "another name than the stack's: a copy, whose services are new; those of acme stay as they are"
    );
    let observed = ground.client.look(Scope::Whole, Vec::new()).await.unwrap().whole().unwrap();
    let error = |name: &str, customer: &str| {
        let stack = Stack { name, customer, observed: &observed, networks: &[], configs: &[] };
        stack.draft().err().unwrap()
    };
    assert_eq!(error("acne", "acne"), "there is no stack acne; did you mean acme?");
    assert_eq!(error("other", "other"), "there is no stack other; there are acme");
    let refused = "\"My_Stack\" is not a customer name: lower-case letters, digits and `-`, with a letter or digit at \
                   both ends, at most 40; name another with --name";
    assert_eq!(error("acme", "My_Stack"), refused);
}

fn from_file(yaml: &str, digests: &BTreeMap<String, Digest>) -> Result<Imported, String> {
    let value: Value = serde_saphyr::from_str(yaml).unwrap();
    let env = BTreeMap::from([("FROM_HERE".to_owned(), "here".to_owned())]);
    let file = File {
        value: &value,
        shown: "acme.yml",
        folder: std::path::Path::new("/srv/acme"),
        customer: "acme",
        env: &env,
    };
    File::finish(file.draft()?, digests)
}

const COMPOSE: &str = r#"
version: "3.9"
x-common: &common
  logging: {driver: json-file, options: {max-size: 10m, max-file: 3}}
services:
  web:
    <<: *common
    image: r.io/web:1.2.3
    build: .
    depends_on: [db]
    container_name: web
    user: 1000
    environment: {FROM_HERE: , NOWHERE: , N: 5, B: true}
    command: serve --all
    networks: {front: , back: {aliases: [w]}}
    ports: ["127.0.0.1:80:80", "8080:80", {target: 443, published: "8443", mode: host}]
    volumes: ["./data:/data", "../x:/x:ro", cache:/cache, undeclared:/u]
    healthcheck: {test: curl -f http://localhost, interval: 30s, retries: 3}
    deploy: {replicas: "2", resources: {limits: {cpus: 0.5, memory: 64M}}, update_config: {order: start-first}}
  db:
    image: postgres:16.3-alpine
    stop_grace_period: 1m
    ulimits: {nofile: {soft: 1, hard: 2}}
  cache: {image: "redis@sha256:1111111111111111111111111111111111111111111111111111111111111111"}
  any: {image: any}
  job: {build: .}
networks: {front: , back: {external: {name: shared}}}
volumes: {cache: {driver: local}}
"#;

#[test]
fn a_compose_file_is_carried_key_by_key() {
    let digest: Digest = SHA.parse().unwrap();
    let imported = from_file(COMPOSE, &BTreeMap::from([("any:latest".to_owned(), digest)])).unwrap();
    insta::assert_snapshot!(imported.spec);
    insta::assert_snapshot!(imported.notes.join("\n"));
    let customer = parsed("acme", &imported.spec);
    assert_eq!(customer.services.keys().collect::<Vec<_>>(), ["any", "cache", "db", "web"]);
    assert_eq!(customer.services["web"].compose.deploy.replicas, Some(2));
    assert_eq!(customer.networks["back"].name, "shared");
}

#[test]
fn what_is_no_compose_file_says_so() {
    let none = "acme.yml names no services; is it a compose file?";
    assert_eq!(from_file("a: b", &BTreeMap::new()), Err(none.to_owned()));
    let error = from_file("services: {web: {build: .}}", &BTreeMap::new()).unwrap_err();
    assert_eq!(
        error,
        "nothing of acme.yml makes a spec: acme.toml: services: no services; write `[services.NAME]` with an `image`"
    );
}

#[test]
fn keys_are_split_as_diagnostics_write_them() {
    let split = |key: &str| split_key(key).join("|");
    assert_eq!(split("services.web.labels.\"a.b\""), "services|web|labels|a.b");
    assert_eq!(split("services.web.ports[12].mode"), "services|web|ports|[000012]|mode");
    assert_eq!(text::key(&split_key("a.\"b c\"[0]")), "a.\"b c\"[0]");
}

proptest::proptest! {
    /// Any text of a service comes back as it is.
    #[test]
    fn every_text_survives(value in "(?s).{0,40}", key in "(?s)[^=\u{0}]{1,20}") {
        proptest::prop_assume!(!value.contains('\0') && !key.starts_with("skep.") && !key.starts_with("com.docker.stack."));
        let mut draft = Draft::new("acme", "a test".to_owned());
        draft.set(&["services", "web", "labels", &key].map(str::to_owned), json!(value));
        draft.set(&["services", "web", "command"].map(str::to_owned), json!([value, "x".repeat(90)]));
        draft.images.insert("web".to_owned(), "r.io/web:1.2.3".parse().unwrap());
        let imported = draft.finish(&BTreeMap::new(), &|_| Vec::new()).unwrap();
        let web = parsed("acme", &imported.spec).services.remove("web").unwrap();
        proptest::prop_assert_eq!(web.compose.labels.get(&key), Some(&value), "{}", imported.spec);
        proptest::prop_assert_eq!(&web.compose.command.unwrap()[0], &value);
        proptest::prop_assert_eq!(imported.notes, Vec::<String>::new());
    }
}
