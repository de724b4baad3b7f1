//! What an engine makes of a `ServiceSpec`: it keeps the values in types of its own, drops
//! what is zero and fills in what is absent (moby's `daemon/cluster/convert`, API 1.41).

use serde_json::{Map, Value, json};

/// The spec as `GET /services` gives it after it was sent.
pub(super) fn stored(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let mode = spec["Mode"].as_object_mut().unwrap();
    if let Some(replicated) = mode.get_mut("Replicated") {
        fill(replicated, "Replicas", json!(1));
    }
    for key in ["UpdateConfig", "RollbackConfig"] {
        if let Some(config) = spec.get_mut(key).filter(|config| !config.is_null()) {
            fill(config, "Parallelism", json!(0));
            fill(config, "FailureAction", json!("pause"));
            fill(config, "Order", json!("stop-first"));
            fill(config, "MaxFailureRatio", json!(0));
            let ratio = config["MaxFailureRatio"].as_f64().unwrap() as f32;
            config["MaxFailureRatio"] = serde_json::from_str(&ratio.to_string()).unwrap();
            omit_empty(config, &["Delay", "Monitor"]);
        }
    }
    if let Some(endpoint) = spec.get_mut("EndpointSpec").filter(|endpoint| !endpoint.is_null()) {
        fill(endpoint, "Mode", json!("vip"));
        for port in endpoint.get_mut("Ports").and_then(Value::as_array_mut).into_iter().flatten() {
            fill(port, "Protocol", json!("tcp"));
            fill(port, "PublishMode", json!("ingress"));
            omit_empty(port, &["TargetPort", "PublishedPort"]);
        }
        omit_empty(endpoint, &["Ports"]);
    }
    task(&mut spec["TaskTemplate"]);
    spec
}

fn task(task: &mut Value) {
    fill(task, "ForceUpdate", json!(0));
    fill(task, "Runtime", json!("container"));
    let container = &mut task["ContainerSpec"];
    fill(container, "Isolation", json!("default"));
    omit_empty(
        container,
        &[
            "Command",
            "Args",
            "Env",
            "Labels",
            "Hostname",
            "User",
            "Dir",
            "StopSignal",
            "Mounts",
            "Hosts",
            "Ulimits",
            "CapabilityAdd",
            "CapabilityDrop",
            "Sysctls",
        ],
    );
    for flag in ["TTY", "OpenStdin", "ReadOnly"] {
        if container.get(flag) == Some(&Value::Bool(false)) {
            omit(container, flag);
        }
    }
    if let Some(check) = container.get_mut("Healthcheck") {
        omit_empty(check, &["Test", "Interval", "Timeout", "StartPeriod", "Retries"]);
    }
    if let Some(policy) = task.get_mut("RestartPolicy").filter(|policy| !policy.is_null()) {
        fill(policy, "Condition", json!("any"));
        fill(policy, "MaxAttempts", json!(0));
    }
    if let Some(placement) = task.get_mut("Placement") {
        omit_empty(placement, &["Constraints", "Preferences", "MaxReplicas"]);
    }
    for amounts in ["Limits", "Reservations"] {
        if let Some(amounts) = task.get_mut("Resources").and_then(|resources| resources.get_mut(amounts)) {
            omit_empty(amounts, &["NanoCPUs", "MemoryBytes", "Pids"]);
        }
    }
    for network in task.get_mut("Networks").and_then(Value::as_array_mut).into_iter().flatten() {
        omit_empty(network, &["Aliases"]);
    }
    omit_empty(task, &["Networks"]);
}

fn fill(object: &mut Value, key: &str, default: Value) {
    let value = object.as_object_mut().unwrap().entry(key).or_insert(Value::Null);
    if value.is_null() || value == "" {
        *value = default;
    }
}

fn omit(object: &mut Value, key: &str) {
    object.as_object_mut().unwrap().shift_remove(key);
}

/// Go's `omitempty`.
fn omit_empty(object: &mut Value, keys: &[&str]) {
    let object: &mut Map<String, Value> = object.as_object_mut().unwrap();
    for key in keys {
        let empty = match object.get(*key) {
            Some(Value::Array(list)) => list.is_empty(),
            Some(Value::Object(map)) => map.is_empty(),
            Some(value) => value.is_null() || value == 0 || value == "",
            None => false,
        };
        if empty {
            object.shift_remove(*key);
        }
    }
}
