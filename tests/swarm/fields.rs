//! Every key of the spec, written to a real engine and read back: what the engine makes of it
//! must be what skep takes for equal.

use serde_json::Value;

use crate::bed::Bed;
use crate::bed::Image;

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
    assert_eq!(before.len(), 5, "{before:?}");
    let plan = ws.skep(&["plan", "--output", "json"]);
    assert_eq!(plan.json()["customers"][0]["steps"], Value::Array(vec![]), "{:#}", plan.json());
    ws.skep(&["apply", "--timeout", "60s"]).ok();
    assert_eq!(indexes(bed, "keys_"), before, "a second pass writes nothing");

    let image = bed.image("keys/app");
    let done = bed.image("keys/done");
    ws.spec(
        "keys.toml",
        &format!(
            "[services]\nfull.image = \"{image}\"\nzeroes.image = \"{image}\"\nbare.image = \"{image}\"\n\
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
    assert_eq!(full["Spec"]["Labels"]["com.example.tier"], Value::Null);
    ws.docker(&["service", "rm", "keys_full", "keys_zeroes", "keys_bare", "keys_everywhere", "keys_once"])
        .ok();
}
