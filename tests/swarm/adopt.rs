//! Services that somebody else deployed: taken over on request, whole; else left alone.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::bed::{Bed, Image, Workspace};
use crate::running::{events, expect_one_change, image, index, outline, task_ids};

/// Fields that skep does not model, and some that it does, but the spec does not name.
const COMPOSE: &str = r#"
version: '3.8'
services:
  frontend:
    image: IMAGE:1.2.3
    init: true
    hostname: "{{.Service.Name}}.{{.Node.Hostname}}"
    domainname: example.com
    user: "0:0"
    working_dir: /bin
    stdin_open: true
    read_only: true
    stop_signal: SIGINT
    stop_grace_period: 3s
    cap_add: [NET_ADMIN]
    cap_drop: [MKNOD]
    sysctls: {net.core.somaxconn: "256"}
    ulimits: {nofile: {soft: 1000, hard: 2000}, nproc: 512}
    dns: [192.168.77.9]
    dns_search: [example.com]
    extra_hosts: ["elsewhere:10.1.2.3"]
    environment: {THEIRS: "1", ALSO: "a=b"}
    labels: {container.label: "yes"}
    logging: {driver: json-file, options: {max-size: "1m", max-file: "2"}}
    healthcheck: {test: ["CMD", "/bin/true"], interval: 2s, timeout: 1s, retries: 3}
    secrets: [{source: token, target: token.txt, mode: 0400}]
    configs: [{source: settings, target: /settings.json, uid: "7"}]
    volumes:
      - {type: volume, source: data, target: /data, volume: {nocopy: true}}
      - {type: tmpfs, target: /scratch, tmpfs: {size: 1048576}}
    networks: {inner: {aliases: [front, website]}}
    deploy:
      replicas: 2
      labels: {"traefik.enable": "true"}
      endpoint_mode: dnsrr
      update_config: {parallelism: 2, delay: 1s, order: start-first, monitor: 1s}
      rollback_config: {parallelism: 1, monitor: 2s}
      restart_policy: {condition: on-failure, delay: 1s, max_attempts: 7, window: 20s}
      resources: {limits: {memory: 64M, cpus: "0.5"}, reservations: {memory: 4M}}
      placement: {constraints: ["node.role == manager"], preferences: [{spread: node.labels.zone}]}
networks: {inner: {driver: overlay}}
volumes: {data: {}}
secrets: {token: {file: ./token}}
configs: {settings: {file: ./settings}}
"#;

fn deploy(ws: &Workspace<'_>, stack: &str, compose: &str) {
    ws.write("token", "hunter2");
    ws.write("settings", "{}");
    ws.write("stack.yml", compose);
    ws.docker(&["stack", "deploy", "-c", "stack.yml", stack]).ok();
}

/// The JSON pointers at which two values differ.
fn differences(before: &Value, after: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    differ(String::new(), Some(before), Some(after), &mut found);
    found
}

fn differ(at: String, before: Option<&Value>, after: Option<&Value>, found: &mut BTreeSet<String>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            for key in keys {
                let escaped = key.replace('~', "~0").replace('/', "~1");
                differ(format!("{at}/{escaped}"), before.get(key), after.get(key), found);
            }
        }
        (Some(Value::Array(before)), Some(Value::Array(after))) => {
            for i in 0..before.len().max(after.len()) {
                differ(format!("{at}/{i}"), before.get(i), after.get(i), found);
            }
        }
        (before, after) if before == after => {}
        _ => {
            found.insert(at);
        }
    }
}

fn spec_of(bed: &Bed, service: &str) -> Value {
    bed.service(service).unwrap_or_else(|| panic!("{service} is there"))["Spec"].clone()
}

/// Taken over with a higher version: nothing but the image and skep's labels differs, key by key of the raw JSON.
pub fn every_field_is_kept(bed: &Bed) {
    let ws = bed.workspace();
    for tag in ["1.2.3", "1.10.0"] {
        bed.push("adopt/frontend", tag, &Image::says(&format!("frontend {tag}")));
    }
    deploy(&ws, "adopted", &COMPOSE.replace("IMAGE", &bed.image("adopt/frontend")));
    bed.wait_says("adopted_frontend", 2, "frontend 1.2.3");
    let before = spec_of(bed, "adopted_frontend");

    let head = format!("[services.frontend]\nimage = \"{}\"\nadopt = true\n", bed.image("adopt/frontend"));
    ws.spec("adopted.toml", &format!("{head}version = \"^1\"\n"));
    ws.skep(&["apply"]).ok();
    bed.wait_says("adopted_frontend", 2, "frontend 1.10.0");
    let after = spec_of(bed, "adopted_frontend");
    let ours = ["customer", "fields", "revision", "service", "spec", "version"];
    let mut expected: BTreeSet<String> = ours.iter().map(|name| format!("/Labels/skep.{name}")).collect();
    expected.insert("/Labels/com.docker.stack.image".to_owned());
    expected.insert("/TaskTemplate/ContainerSpec/Image".to_owned());
    assert_eq!(differences(&before, &after), expected);
    assert_eq!(after["Labels"]["com.docker.stack.image"].as_str(), Some(&*image(bed, "adopted_frontend")));
    assert_eq!(after["Labels"]["skep.version"], "1.10.0");
    let told = events(&ws);
    assert_eq!(told[0]["reason"], "SpecAdded");
    expect_one_change(
        &told[1..],
        &["ImageUpdated/intent", "ImageUpdated/done", "RolloutStarted", "RolloutComplete"],
    );

    // Keys that the spec sets, and takes back, come and go; what others set stays.
    ws.spec(
        "adopted.toml",
        &format!(
            "{head}environment = {{ OURS = \"2\" }}\nlabels = {{ \"our.label\" = \"x\" }}\n\
             deploy = {{ replicas = 1, labels = {{ \"our.tier\" = \"gold\" }} }}\n"
        ),
    );
    ws.skep(&["apply"]).ok();
    let set = spec_of(bed, "adopted_frontend");
    let container = &set["TaskTemplate"]["ContainerSpec"];
    assert_eq!(sorted(&container["Env"]), ["ALSO=a=b", "OURS=2", "THEIRS=1"]);
    assert_eq!(container["Labels"]["our.label"], "x");
    assert_eq!(set["Labels"]["our.tier"], "gold");
    assert_eq!(set["Mode"]["Replicated"]["Replicas"], 1);

    let theirs = ["service", "update", "--label-add", "their.label=1", "--env-add", "LATER=1"];
    ws.docker(&[&theirs[..], &["adopted_frontend"]].concat()).ok();
    ws.skep(&["plan"]).expect_status(0);
    ws.spec("adopted.toml", &head);
    ws.skep(&["apply"]).ok();
    let taken_off = spec_of(bed, "adopted_frontend");
    let container = &taken_off["TaskTemplate"]["ContainerSpec"];
    assert_eq!(sorted(&container["Env"]), ["ALSO=a=b", "LATER=1", "THEIRS=1"]);
    assert_eq!(container["Labels"]["our.label"], Value::Null);
    assert_eq!(container["Labels"]["container.label"], "yes");
    assert_eq!(taken_off["Labels"]["our.tier"], Value::Null);
    assert_eq!(taken_off["Labels"]["their.label"], "1");
    ws.skep(&["plan"]).expect_status(0);
    ws.docker(&["stack", "rm", "adopted"]).ok();
}

fn sorted(list: &Value) -> Vec<&str> {
    let mut texts: Vec<&str> = list.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    texts.sort_unstable();
    texts
}

/// Taken over at the version that it runs by digest already: its tasks are left alone.
pub fn nothing_restarts_without_need(bed: &Bed) {
    let ws = bed.workspace();
    bed.push("adopt/same", "1.2.3", &Image::says("same 1.2.3"));
    let image = bed.image("adopt/same");
    deploy(&ws, "adoptsame", &format!("version: '3.8'\nservices: {{web: {{image: '{image}:1.2.3'}}}}\n"));
    bed.wait_says("adoptsame_web", 1, "same 1.2.3");
    let tasks = task_ids(bed, "adoptsame_web");
    let before = spec_of(bed, "adoptsame_web");
    ws.spec("adoptsame.toml", &format!("[services.web]\nimage = \"{image}\"\nadopt = true\n"));
    ws.skep(&["apply"]).ok();
    assert_eq!(task_ids(bed, "adoptsame_web"), tasks, "no new task");
    let changed = differences(&before, &spec_of(bed, "adoptsame_web"));
    assert!(changed.iter().all(|at| at.starts_with("/Labels/")), "{changed:?}");
    ws.skep(&["status"]).expect_status(0);
    let told = outline(&events(&ws));
    assert!(!told.iter().any(|told| told.starts_with("Rollout")), "{told:?}");
    ws.docker(&["stack", "rm", "adoptsame"]).ok();
}

/// Without `adopt` a foreign service is an error that is said, and is left alone; with it too, if it is another
/// customer's.
pub fn foreign_services_are_left_alone(bed: &Bed) {
    let ws = bed.workspace();
    for tag in ["1.2.3", "1.10.0"] {
        bed.push("adopt/foreign", tag, &Image::says(&format!("foreign {tag}")));
    }
    let image = bed.image("adopt/foreign");
    deploy(&ws, "foreign", &format!("version: '3.8'\nservices: {{web: {{image: '{image}:1.2.3'}}}}\n"));
    bed.create_service(
        "foreign_other",
        &format!("{image}:1.2.3"),
        1,
        json!({"Labels": {"skep.customer": "somebody", "skep.service": "other"}}),
    );
    for service in ["foreign_web", "foreign_other"] {
        bed.wait_says(service, 1, "foreign 1.2.3");
    }
    ws.spec(
        "foreign.toml",
        &format!(
            "[services.web]\nimage = \"{image}\"\n[services.other]\nimage = \"{image}\"\nadopt = true\n\
             environment = {{ A = \"1\" }}\n"
        ),
    );
    let world = || ["foreign_web", "foreign_other"].map(|name| (bed.service(name), task_ids(bed, name)));
    let before = world();

    let plan = ws.skep(&["plan", "--output", "json"]).expect_status(0).json();
    let customer = &plan["customers"][0];
    assert_eq!(customer["steps"], json!([]), "{plan:#}");
    let waiting: Vec<(&str, &str)> = customer["waiting"]
        .as_array()
        .unwrap()
        .iter()
        .map(|wait| (wait["service"].as_str().unwrap(), wait["reason"].as_str().unwrap()))
        .collect();
    assert_eq!(waiting, [("other", "NotOwned"), ("web", "NotOwned")], "{plan:#}");
    let mend = ws.skep(&["plan"]).expect_status(0).stdout;
    assert!(mend.contains("adopt = true") && mend.contains("somebody"), "{mend}");
    ws.skep(&["status"]).expect_status(1);
    ws.skep(&["apply"]).expect_status(1);
    let told = outline(&events(&ws));
    assert_eq!(told.iter().filter(|told| *told == "!NotOwned").count(), 2, "{told:?}");
    assert_eq!(world(), before, "untouched");
    assert!(index(bed, "foreign_other") > 0);
    ws.docker(&["service", "rm", "foreign_web", "foreign_other"]).ok();
}

/// What `import` prints of a stack of the docker CLI changes nothing when it is applied, but who owns it.
pub fn an_imported_stack_is_in_sync_at_once(bed: &Bed) {
    let ws = bed.workspace();
    bed.push("adopt/imported", "1.2.3", &Image::says("imported 1.2.3"));
    let image = bed.image("adopt/imported");
    let more = "  plain: {image: 'IMAGE:1.2.3', networks: [inner, default], environment: [ONLY_NAMED, A=$$1], \
                deploy: {mode: global}}\nnetworks:";
    deploy(
        &ws,
        "imported",
        &COMPOSE
            .replace("networks: {inner: {driver", &format!("{more} {{inner: {{driver"))
            .replace("IMAGE", &image),
    );
    bed.wait_says("imported_frontend", 2, "imported 1.2.3");
    bed.wait_says("imported_plain", 1, "imported 1.2.3");
    let before = ["frontend", "plain"].map(|key| spec_of(bed, &format!("imported_{key}")));
    let tasks = task_ids(bed, "imported_frontend");

    let report = ws.skep(&["import", "--stack", "imported", "--output", "json"]).ok().json();
    let spec = ws.skep(&["import", "--stack", "imported"]).ok().stdout;
    assert_eq!(report["spec"], spec.as_str());
    assert_eq!(report["customer"], "imported");
    assert!(
        spec.contains(&format!("image = \"{image}:1.2.3\"")),
        "pinned to the tag, as the registry has it: {spec}"
    );
    for said in
        ["NET_ADMIN", "website", "net.core.somaxconn", "nocopy", "ONLY_NAMED", "on-failure", "elsewhere"]
    {
        assert!(spec.contains(said), "{said}: {spec}");
    }
    ws.spec("imported.toml", &spec);
    let plan = ws.skep(&["plan", "imported", "--output", "json"]).expect_status(1).json();
    let customer = &plan["customers"][0];
    assert_eq!(customer["waiting"], json!([]), "{plan:#}");
    let steps = customer["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2, "{plan:#}");
    for step in steps {
        assert_eq!((&step["adopt"], &step["changes"]), (&json!(true), &json!([])), "{step:#}\n{spec}");
        assert_eq!(step["from"], step["to"], "{step:#}");
    }
    ws.skep(&["apply"]).ok();
    assert_eq!(task_ids(bed, "imported_frontend"), tasks, "no new task");
    for (before, key) in before.iter().zip(["frontend", "plain"]) {
        let changed = differences(before, &spec_of(bed, &format!("imported_{key}")));
        assert!(changed.iter().all(|at| at.starts_with("/Labels/")), "{changed:?}");
    }
    ws.skep(&["plan", "imported"]).expect_status(0);
    // Once it is skep's, it is read back the same, without `adopt`.
    let again = ws.skep(&["import", "--stack", "imported"]).ok().stdout;
    assert_eq!(again, spec.replace("adopt = true\n", ""));
    ws.docker(&["stack", "rm", "imported"]).ok();
}
