//! Every key of the spec, written to a real engine and read back: what the engine makes of it
//! must be what skep takes for equal.

use serde_json::Value;

use crate::bed::{Bed, Image, Workspace};

const EVERY_KEY: &str = r#"
[networks.backbone]
external = true
name = "NETWORK"

[services.full]
image = "IMAGE"
version = "*"
environment = { A = "1", EMPTY = "", EQUALS = "a=b" }
command = ["sh", "-c", "echo full; exec sleep 100000"]
labels = { team = "blue", "traefik.enable" = "true" }
healthcheck = { test = "true", interval = "5s", timeout = "2s", start_period = "1s", retries = 3 }
networks = { backbone = { aliases = ["full-alias", "another"] } }
ports = [{ target = 80, published = 18080, protocol = "tcp", mode = "host" }, { target = 53, protocol = "udp", mode = "host", published = 18053 }]

[services.full.deploy]
replicas = 1
labels = { "com.example.tier" = "gold" }
endpoint_mode = "dnsrr"
update_config = { parallelism = 2, delay = "1s", failure_action = "rollback", monitor = "2s", max_failure_ratio = 0.1, order = "start-first" }
rollback_config = { parallelism = 0, delay = "0s", failure_action = "pause", monitor = "3s", max_failure_ratio = 0.0, order = "stop-first" }
restart_policy = { condition = "on-failure", delay = "2s", max_attempts = 4, window = "30s" }
placement = { constraints = ["node.role == manager", "node.labels.nothere != x"], preferences = [{ spread = "node.labels.zone" }], max_replicas_per_node = 2 }
resources = { limits = { cpus = "0.5", memory = "64M", pids = 100 }, reservations = { cpus = "0.05", memory = "8M" } }

[services.machine]
image = "IMAGE"
hostname = "m-{{.Task.Slot}}"
user = "0:0"
working_dir = "/tmp"
stop_signal = "SIGKILL"
stop_grace_period = "3s"
init = false
read_only = true
tty = true
stdin_open = true
isolation = "default"
cap_add = ["net_admin"]
cap_drop = ["MKNOD", "net_raw"]
dns = ["10.0.0.53"]
dns_search = ["example.com"]
extra_hosts = { other = "10.0.0.1" }
sysctls = { "net.ipv4.ip_unprivileged_port_start" = 0 }
ulimits = { nofile = { soft = 1024, hard = 2048 }, nproc = 4096 }
logging = { driver = "json-file", options = { max-size = "1m" } }
tmpfs = ["/run:size=1M"]
volumes = ["data:/data", "/tmp:/host:ro", "/own", { type = "volume", source = "theirs", target = "/theirs", volume = { nocopy = true } }]
deploy = { replicas = 1, resources = { reservations = { generic_resources = [] } } }

[volumes.data]
labels = { tier = "gold" }
[volumes.theirs]
external = true

[services.zeroes]
image = "IMAGE"
entrypoint = ["sh"]
command = []
healthcheck = { disable = true }
[services.zeroes.deploy]
replicas = 0
update_config = { parallelism = 0, delay = "0s" }
restart_policy = { condition = "none" }

[services.bare]
image = "IMAGE"
deploy = { replicas = 0 }

[services.everywhere]
image = "IMAGE"
deploy = { mode = "global", endpoint_mode = "vip" }

[services.once]
image = "DONE"
deploy = { mode = "replicated-job", replicas = 2 }
"#;

fn indexes(bed: &Bed, customer: &str) -> Vec<(String, u64)> {
    let all = bed.get("/services");
    let of_customer = |service: &&Value| service["Spec"]["Name"].as_str().unwrap().starts_with(customer);
    let named = |service: &Value| {
        (service["Spec"]["Name"].as_str().unwrap().to_owned(), service["Version"]["Index"].as_u64().unwrap())
    };
    all.as_array().unwrap().iter().filter(of_customer).map(named).collect()
}

/// Created with every key, a second pass has nothing to write; with every key taken out
/// again, one more pass takes them off, and then there is nothing to write either.
pub fn every_key_survives_the_engine(bed: &Bed) {
    let ws = bed.workspace();
    bed.push("keys/app", "1.0.0", &Image::says("app 1.0.0"));
    bed.push("keys/done", "1.0.0", &Image::says("done").does(crate::bed::Does::Finish));
    ws.docker(&["network", "create", "-d", "overlay", "keys-net"]).ok();
    let spec = EVERY_KEY
        .replace("IMAGE", &bed.image("keys/app"))
        .replace("DONE", &bed.image("keys/done"))
        .replace("NETWORK", "keys-net");
    ws.spec("keys.toml", &spec);
    ws.skep(&["lint"]).ok();
    ws.skep(&["apply", "--timeout", "60s"]).ok();

    let before = indexes(bed, "keys_");
    assert_eq!(before.len(), 6, "{before:?}");
    let plan = ws.skep(&["plan", "--output", "json"]);
    assert_eq!(plan.json()["customers"][0]["steps"], Value::Array(vec![]), "{:#}", plan.json());
    ws.skep(&["apply", "--timeout", "60s"]).ok();
    assert_eq!(indexes(bed, "keys_"), before, "a second pass writes nothing");

    let image = bed.image("keys/app");
    let done = bed.image("keys/done");
    ws.spec(
        "keys.toml",
        &format!(
            "[services]\nfull.image = \"{image}\"\nmachine.image = \"{image}\"\nzeroes.image = \"{image}\"\nbare.image = \"{image}\"\n\
             everywhere.image = \"{image}\"\nonce.image = \"{done}\"\n"
        ),
    );
    ws.skep(&["apply", "--timeout", "60s"]).ok();
    let plan = ws.skep(&["plan", "--output", "json"]);
    assert_eq!(plan.json()["customers"][0]["steps"], Value::Array(vec![]), "{:#}", plan.json());
    let full = bed.service("keys_full").unwrap();
    let container = &full["Spec"]["TaskTemplate"]["ContainerSpec"];
    // An empty health check is the image's own, as none is.
    assert_eq!(container["Healthcheck"], serde_json::json!({}), "{container:#}");
    for gone in ["Env", "Args"] {
        assert!(container[gone].is_null(), "{gone}: {container:#}");
    }
    let machine = bed.service("keys_machine").unwrap();
    let container = &machine["Spec"]["TaskTemplate"]["ContainerSpec"];
    for gone in ["Hostname", "Mounts", "Ulimits", "CapabilityAdd", "Sysctls", "TTY", "Hosts", "Init"] {
        assert!(container[gone].is_null(), "{gone}: {container:#}");
    }
    assert_eq!(full["Spec"]["Labels"]["com.example.tier"], Value::Null);
    ws.docker(&[
        "service",
        "rm",
        "keys_full",
        "keys_machine",
        "keys_zeroes",
        "keys_bare",
        "keys_everywhere",
        "keys_once",
    ])
    .ok();
}

const SAME_COMPOSE: &str = r#"
version: "3.9"
services:
  machine:
    image: IMAGE
    hostname: "m-{{.Task.Slot}}"
    user: "0:0"
    working_dir: /tmp
    stop_signal: SIGINT
    stop_grace_period: 1m30s
    init: true
    read_only: true
    tty: true
    stdin_open: true
    isolation: default
    cap_add: [net_admin, ALL, CAP_SYS_TIME]
    cap_drop: [NET_RAW, sys_time]
    dns: [8.8.8.8, 1.1.1.1]
    dns_search: [example.com]
    extra_hosts: ["b:10.0.0.1", "a:10.0.0.2"]
    sysctls: {net.core.somaxconn: 1024}
    ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}
    logging: {driver: json-file, options: {max-size: 10m}}
    environment: {B: two, A: "1"}
    labels: {tier: web}
    networks: {default: {aliases: [q]}, n2: {}, ext: {}}
    command: ["sh", "-c", "sleep 1000"]
    volumes:
      - data:/data
      - /srv/host:/host:ro
      - anon:/anon:nocopy
      - /own
      - {type: bind, source: /b, target: /b, read_only: true, bind: {propagation: rslave}}
      - {type: volume, source: data, target: /d2, volume: {nocopy: true}}
      - {type: tmpfs, target: /t, tmpfs: {size: 1048576}}
      - ext:/ext
    deploy:
      replicas: 0
      resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: gpu, value: 2}}]}}
  windows:
    image: IMAGE
    deploy: {replicas: 0}
    credential_spec: {file: my.json}
    extra_hosts: {zz: 1.2.3.4, yy: 2.3.4.5}
networks:
  default: {labels: {q: r}}
  n2:
    driver_opts: {a: b}
    attachable: true
    internal: true
    labels: {l: m}
    ipam: {driver: default, config: [{subnet: SUBNET}]}
  ext: {external: true, name: same-net}
volumes:
  data: {driver: local, driver_opts: {type: nfs, o: addr=1}, labels: {k: v}}
  anon: {}
  ext: {external: true, name: real}
"#;

const SAME_SPEC: &str = r#"
[services.machine]
image = "IMAGE"
hostname = "m-{{.Task.Slot}}"
user = "0:0"
working_dir = "/tmp"
stop_signal = "SIGINT"
stop_grace_period = "1m30s"
init = true
read_only = true
tty = true
stdin_open = true
isolation = "default"
cap_add = ["net_admin", "ALL", "CAP_SYS_TIME"]
cap_drop = ["NET_RAW", "sys_time"]
dns = ["8.8.8.8", "1.1.1.1"]
dns_search = "example.com"
extra_hosts = ["b:10.0.0.1", "a:10.0.0.2"]
sysctls = { "net.core.somaxconn" = 1024 }
ulimits = { nproc = 65535, nofile = { soft = 20000, hard = 40000 } }
logging = { driver = "json-file", options = { max-size = "10m" } }
environment = { B = "two", A = "1" }
labels = { tier = "web" }
networks = { default = { aliases = ["q"] }, n2 = {}, ext = {} }
command = ["sh", "-c", "sleep 1000"]
volumes = [
  "data:/data",
  "/srv/host:/host:ro",
  "anon:/anon:nocopy",
  "/own",
  { type = "bind", source = "/b", target = "/b", read_only = true, bind = { propagation = "rslave" } },
  { type = "volume", source = "data", target = "/d2", volume = { nocopy = true } },
  { type = "tmpfs", target = "/t", tmpfs = { size = 1048576 } },
  "ext:/ext",
]
deploy = { replicas = 0, resources = { reservations = { generic_resources = [{ discrete_resource_spec = { kind = "gpu", value = 2 } }] } } }

[services.windows]
image = "IMAGE"
deploy = { replicas = 0 }
credential_spec = { file = "my.json" }
extra_hosts = { zz = "1.2.3.4", yy = "2.3.4.5" }

[networks]
default = { labels = { q = "r" } }
n2 = { driver_opts = { a = "b" }, attachable = true, internal = true, labels = { l = "m" }, ipam = { driver = "default", config = [{ subnet = "SUBNET" }] } }
ext = { external = true, name = "same-net" }

[volumes]
data = { driver = "local", driver_opts = { type = "nfs", o = "addr=1" }, labels = { k = "v" } }
anon = {}
ext = { external = true, name = "real" }
"#;

/// The same stack by the docker CLI and by skep: equal services and networks but for names and our labels.
pub fn the_docker_cli_makes_the_same(bed: &Bed) {
    let ws = bed.workspace();
    let digest = bed.push("same/app", "1.0.0", &Image::says("app 1.0.0")).digest;
    let image = bed.image("same/app");
    ws.docker(&["network", "create", "-d", "overlay", "same-net"]).ok();
    let compose =
        SAME_COMPOSE.replace("IMAGE", &format!("{image}:1.0.0@{digest}")).replace("SUBNET", "10.177.0.0/24");
    ws.write("same.yml", &compose);
    ws.docker(&["stack", "deploy", "--resolve-image", "never", "-c", "same.yml", "samecli"]).ok();
    ws.spec("sameskep.toml", &SAME_SPEC.replace("IMAGE", &image).replace("SUBNET", "10.178.0.0/24"));
    ws.skep(&["apply", "--timeout", "60s"]).ok();
    for key in ["machine", "windows"] {
        let spec = |customer: &str| {
            let service = bed.service(&format!("{customer}_{key}")).unwrap();
            let mut spec = service["Spec"].clone();
            let labels = spec["Labels"].as_object_mut().unwrap();
            labels.retain(|label, _| !label.starts_with("skep."));
            for network in spec["TaskTemplate"]["Networks"].as_array_mut().unwrap() {
                let id = network["Target"].as_str().unwrap();
                network["Target"] = bed.get(&format!("/networks/{id}"))["Name"].clone();
            }
            let text = serde_json::to_string_pretty(&spec).unwrap();
            text.replace(customer, "CUSTOMER")
        };
        assert_eq!(spec("sameskep"), spec("samecli"), "{key}");
    }
    for key in ["default", "n2"] {
        let network = |customer: &str| {
            let mut network = bed.get(&format!("/networks/{customer}_{key}"));
            let fields = network.as_object_mut().unwrap();
            fields.retain(|field, _| !["Id", "Created"].contains(&field.as_str()));
            network["Options"].as_object_mut().unwrap().retain(|option, _| !option.ends_with("vxlanid_list"));
            network["Labels"].as_object_mut().unwrap().retain(|label, _| !label.starts_with("skep."));
            if key == "default" {
                network["IPAM"]["Config"] = Value::Null;
            }
            let text = serde_json::to_string_pretty(&network).unwrap();
            text.replace(customer, "CUSTOMER").replace("10.178.", "10.177.")
        };
        assert_eq!(network("sameskep"), network("samecli"), "{key}");
    }
    what_render_prints(bed, &ws, &image);
    ws.docker(&["stack", "rm", "samecli", "sameskep", "sameprinted"]).ok();
}

/// `docker stack deploy` of what `render` prints is the stack that the spec wants: nothing to
/// change but who owns it.
fn what_render_prints(bed: &Bed, ws: &Workspace, image: &str) {
    let spec = SAME_SPEC.replace("IMAGE", image).replace("SUBNET", "10.179.0.0/24");
    ws.spec("sameprinted.toml", &spec);
    // Both name the volume that is theirs by another's hand.
    ws.spec("fleet.toml", "[grants]\nsameskep = [\"real\"]\nsameprinted = [\"real\"]\n");
    let printed = ws.skep(&["render", "sameprinted"]).ok().stdout;
    ws.write("printed.yml", &printed);
    let as_json = ws.skep(&["render", "sameprinted", "--output", "json"]).json();
    assert_eq!(as_json["services"]["machine"]["hostname"], "m-{{.Task.Slot}}");
    ws.docker(&["stack", "deploy", "--resolve-image", "never", "-c", "printed.yml", "sameprinted"]).ok();
    ws.spec("sameprinted.toml", &spec.replace("image = ", "adopt = true\nimage = "));
    let plan = ws.skep(&["plan", "sameprinted", "--output", "json"]).json();
    let steps = plan["customers"][0]["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 2, "{plan:#}");
    for step in steps {
        assert_eq!(step["changes"], Value::Array(vec![]), "only adopted: {step:#}");
        assert_eq!(step["from"], step["to"], "{step:#}");
    }
    for key in ["machine", "windows"] {
        let template = |customer: &str| {
            let template = &bed.service(&format!("{customer}_{key}")).unwrap()["Spec"]["TaskTemplate"];
            let mut template = template.clone();
            template["Networks"] = Value::Null;
            serde_json::to_string_pretty(&template).unwrap().replace(customer, "CUSTOMER")
        };
        assert_eq!(template("sameprinted"), template("sameskep"), "{key}");
    }
}
