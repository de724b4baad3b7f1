//! What becomes of a service's spec on its way into the Swarm and out again: what was not given
//! is filled in, what the Swarm does not keep is dropped.

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::shapes::SERVICE_SPEC;
use super::typed;

/// Reads a body as a service's spec.
///
/// # Errors
/// In the engine's words.
pub fn read(body: &Value) -> Result<Value, Refusal> {
    typed::read(body, &SERVICE_SPEC, "swarm").map(Value::Object).map_err(Refusal::bad)
}

/// Fills in and drops.
///
/// # Errors
/// What the conversion refuses, in the engine's words.
pub fn convert(spec: &mut Value) -> Result<(), Refusal> {
    let template = &mut spec["TaskTemplate"];
    runtime(template)?;
    if let Some(policy) = template.get_mut("RestartPolicy") {
        restart_policy(policy)?;
    }
    if let Some(preferences) = template.pointer_mut("/Placement/Preferences").and_then(Value::as_array_mut) {
        preferences.retain(|preference| preference["Spread"].is_object());
    }
    for name in ["UpdateConfig", "RollbackConfig"] {
        if let Some(config) = spec.get_mut(name) {
            update_config(config)?;
        }
    }
    if let Some(endpoint) = spec.get_mut("EndpointSpec") {
        endpoint_spec(endpoint)?;
    }
    mode(&mut spec["Mode"])
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn runtime(template: &mut Value) -> Result<(), Refusal> {
    match text(template, "Runtime") {
        "" | "container" if template["ContainerSpec"].is_object() => {}
        "" | "container" | "plugin" => return Err(Refusal::bad("mismatched Runtime and *Spec fields")),
        _ => return Err(Refusal::bad("unsupported runtime")),
    }
    if let Some(map) = template.as_object_mut() {
        map.shift_remove("PluginSpec");
    }
    template["Runtime"] = json!("container");
    container(&mut template["ContainerSpec"])
}

fn container(spec: &mut Value) -> Result<(), Refusal> {
    if !matches!(text(spec, "Isolation").to_ascii_lowercase().as_str(), "hyperv" | "process") {
        put_before(
            spec,
            "Isolation",
            json!("default"),
            &["Sysctls", "CapabilityAdd", "CapabilityDrop", "Ulimits"],
        );
    }
    credential_spec(&spec["Privileges"]["CredentialSpec"].clone())?;
    if let Some(configs) = spec.get("Configs").and_then(Value::as_array) {
        for config in configs {
            match (config["File"].is_object(), config["Runtime"].is_object()) {
                (false, false) => {
                    return Err(Refusal::bad("invalid Config: either File or Runtime should be set"));
                }
                (true, true) => {
                    return Err(Refusal::bad("invalid Config: cannot specify both File and Runtime"));
                }
                _ => {}
            }
        }
    }
    for mount in spec.get_mut("Mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        convert_mount(mount)?;
    }
    Ok(())
}

fn credential_spec(spec: &Value) -> Result<(), Refusal> {
    if !spec.is_object() {
        return Ok(());
    }
    let given: Vec<&str> = [("Config", "\"config\""), ("File", "\"file\""), ("Registry", "\"registry\"")]
        .into_iter()
        .filter(|(name, _)| !text(spec, name).is_empty())
        .map(|(_, quoted)| quoted)
        .collect();
    match given.as_slice() {
        [_] => Ok(()),
        [] => Err(Refusal::bad(
            "invalid CredentialSpec: must either provide \"file\", \"registry\", or \"config\" for credential spec",
        )),
        [first, second] => Err(Refusal::bad(format!(
            "invalid CredentialSpec: cannot specify both {first} and {second} credential specs"
        ))),
        [first @ .., last] => Err(Refusal::bad(format!(
            "invalid CredentialSpec: cannot specify both {}, and {last} credential specs",
            first.join(", ")
        ))),
    }
}

fn convert_mount(mount: &mut Value) -> Result<(), Refusal> {
    let kind = text(mount, "Type").to_ascii_lowercase();
    let kind = match kind.as_str() {
        "" => "bind",
        "bind" | "volume" | "tmpfs" | "npipe" => kind.as_str(),
        _ => return Err(Refusal::bad(format!("invalid MountType: {:?}", text(mount, "Type")))),
    };
    let kind = json!(kind);
    let Some(map) = mount.as_object_mut() else { return Ok(()) };
    if map.insert("Type".to_owned(), kind.clone()).is_none() {
        // The first field, though it was not given.
        map.shift_remove("Type");
        map.shift_insert(0, "Type".to_owned(), kind);
    }
    let Some(bind) = map.get_mut("BindOptions") else { return Ok(()) };
    let propagation = text(bind, "Propagation").to_ascii_lowercase();
    match propagation.as_str() {
        "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave" => {
            bind["Propagation"] = json!(propagation);
        }
        "" if text(bind, "Propagation").is_empty() => {
            if bind["NonRecursive"] == Value::Bool(true) {
                *bind = json!({"Propagation": "rprivate", "NonRecursive": true});
            } else {
                map.shift_remove("BindOptions");
            }
        }
        _ => {
            return Err(Refusal::bad(format!("invalid MountPropagation: {:?}", text(bind, "Propagation"))));
        }
    }
    Ok(())
}

fn restart_policy(policy: &mut Value) -> Result<(), Refusal> {
    match text(policy, "Condition") {
        "none" | "on-failure" | "any" => {}
        "" => put_before(policy, "Condition", json!("any"), &["Delay", "MaxAttempts", "Window"]),
        other => return Err(Refusal::bad(format!("invalid RestartCondition: {other:?}"))),
    }
    Ok(())
}

fn update_config(config: &mut Value) -> Result<(), Refusal> {
    match text(config, "FailureAction") {
        "pause" | "continue" | "rollback" => {}
        "" => {
            put_before(config, "FailureAction", json!("pause"), &["Monitor", "MaxFailureRatio", "Order"]);
        }
        other => return Err(Refusal::bad(format!("unrecognized update failure action {other}"))),
    }
    match text(config, "Order") {
        "stop-first" | "start-first" => {}
        "" => config["Order"] = json!("stop-first"),
        other => return Err(Refusal::bad(format!("unrecognized update order {other}"))),
    }
    Ok(())
}

fn endpoint_spec(endpoint: &mut Value) -> Result<(), Refusal> {
    match text(endpoint, "Mode") {
        "vip" | "dnsrr" => {}
        "" => put_before(endpoint, "Mode", json!("vip"), &["Ports"]),
        other => return Err(Refusal::bad(format!("invalid resolution mode: {other:?}"))),
    }
    for port in endpoint.get_mut("Ports").and_then(Value::as_array_mut).into_iter().flatten() {
        // An unknown word is the first one.
        let protocol = match text(port, "Protocol").to_ascii_lowercase().as_str() {
            "udp" => "udp",
            "sctp" => "sctp",
            _ => "tcp",
        };
        let mode = if text(port, "PublishMode").eq_ignore_ascii_case("host") { "host" } else { "ingress" };
        put_before(port, "Protocol", json!(protocol), &["TargetPort", "PublishedPort", "PublishMode"]);
        put_before(port, "PublishMode", json!(mode), &[]);
    }
    Ok(())
}

fn mode(mode: &mut Value) -> Result<(), Refusal> {
    let given = mode.as_object().map_or(0, Map::len);
    if given > 1 {
        return Err(Refusal::bad("must specify only one service mode"));
    }
    if let Some(job) = mode.get_mut("ReplicatedJob") {
        let concurrent = job.get("MaxConcurrent").and_then(Value::as_u64).unwrap_or(1);
        let total = job.get("TotalCompletions").and_then(Value::as_u64).unwrap_or(concurrent);
        *job = json!({"MaxConcurrent": concurrent, "TotalCompletions": total});
    } else if given == 0 || mode["Replicated"].as_object().is_some_and(Map::is_empty) {
        *mode = json!({"Replicated": {"Replicas": 1}});
    }
    Ok(())
}

/// Sets a field in its place: before these others.
fn put_before(value: &mut Value, name: &str, set: Value, others: &[&str]) {
    let Some(map) = value.as_object_mut() else { return };
    map.shift_remove(name);
    let at = map.keys().position(|key| others.contains(&key.as_str())).unwrap_or(map.len());
    map.shift_insert(at, name.to_owned(), set);
}

/// As `insertDefaults=true` shows it.
pub fn with_defaults(spec: &mut Value) {
    const SECOND: u64 = 1_000_000_000;
    let template = &mut spec["TaskTemplate"];
    if let Some(container) = template.get_mut("ContainerSpec") {
        let after = ["Healthcheck", "Hosts", "DNSConfig", "Secrets", "Configs", "Isolation"];
        if container.get("StopGracePeriod").is_none() {
            put_before(container, "StopGracePeriod", json!(10 * SECOND), &after);
        }
        if container.get("DNSConfig").is_none() {
            put_before(container, "DNSConfig", json!({}), &after[3..]);
        }
    }
    if template.get("RestartPolicy").is_none() {
        let after = ["Placement", "Networks", "LogDriver", "ForceUpdate", "Runtime"];
        let policy = json!({"Condition": "any", "Delay": 5 * SECOND, "MaxAttempts": 0});
        put_before(template, "RestartPolicy", policy, &after);
    } else if template["RestartPolicy"].get("Delay").is_none() {
        put_before(&mut template["RestartPolicy"], "Delay", json!(5 * SECOND), &["MaxAttempts", "Window"]);
    }
    for (name, after) in [
        ("Resources", &["RestartPolicy"][..]),
        ("Placement", &["Networks", "LogDriver", "ForceUpdate", "Runtime"][..]),
    ] {
        if template.get(name).is_none() {
            put_before(template, name, json!({}), after);
        }
    }
    for name in ["UpdateConfig", "RollbackConfig"] {
        let Some(config) = spec.get_mut(name) else {
            let config = json!({
                "Parallelism": 1, "FailureAction": "pause", "Monitor": 5 * SECOND,
                "MaxFailureRatio": 0, "Order": "stop-first",
            });
            put_before(spec, name, config, &["RollbackConfig", "Networks", "EndpointSpec"]);
            continue;
        };
        if config.get("Monitor").is_none() {
            put_before(config, "Monitor", json!(5 * SECOND), &["MaxFailureRatio", "Order"]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(body: Value) -> Result<String, String> {
        let mut spec = read(&body).map_err(|refusal| refusal.message)?;
        convert(&mut spec).map_err(|refusal| refusal.message)?;
        Ok(spec.to_string())
    }

    #[test]
    fn a_bare_spec_is_filled_in_as_the_engine_does() {
        let body = json!({"Name": "m1", "TaskTemplate": {"ContainerSpec": {"Image": "nowhere:1"}},
            "Mode": {"Replicated": {"Replicas": 0}}});
        assert_eq!(
            converted(body).unwrap(),
            r#"{"Name":"m1","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"nowhere:1","Isolation":"default"},"ForceUpdate":0,"Runtime":"container"},"Mode":{"Replicated":{"Replicas":0}}}"#
        );
    }

    /// Sent to Docker 20.10.24, and what it then showed.
    #[test]
    fn a_full_spec_is_kept_as_the_engine_keeps_it() {
        let sent = include_str!("tests/full.sent.json");
        let kept = include_str!("tests/full.kept.json");
        assert_eq!(converted(serde_json::from_str(sent).unwrap()).unwrap(), kept.trim_end());
    }

    #[test]
    fn defaults_are_shown_as_the_engine_shows_them() {
        let mut spec = json!({"Name": "t", "Labels": {}, "TaskTemplate": {"ContainerSpec": {"Image": "nowhere:1",
            "Isolation": "default"}, "ForceUpdate": 0, "Runtime": "container"}, "Mode": {"Replicated": {"Replicas": 0}}});
        with_defaults(&mut spec);
        assert_eq!(
            spec.to_string(),
            r#"{"Name":"t","Labels":{},"TaskTemplate":{"ContainerSpec":{"Image":"nowhere:1","StopGracePeriod":10000000000,"DNSConfig":{},"Isolation":"default"},"Resources":{},"RestartPolicy":{"Condition":"any","Delay":5000000000,"MaxAttempts":0},"Placement":{},"ForceUpdate":0,"Runtime":"container"},"Mode":{"Replicated":{"Replicas":0}},"UpdateConfig":{"Parallelism":1,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0,"Order":"stop-first"},"RollbackConfig":{"Parallelism":1,"FailureAction":"pause","Monitor":5000000000,"MaxFailureRatio":0,"Order":"stop-first"}}"#
        );
    }

    #[test]
    fn what_cannot_be_converted_is_refused_in_the_engines_words() {
        let with = |extra: Value| {
            let mut body = json!({"Name": "m", "TaskTemplate": {"ContainerSpec": {"Image": "nowhere:1"}}});
            for (key, value) in extra.as_object().unwrap() {
                body[key] = value.clone();
            }
            converted(body).unwrap_err()
        };
        let template = |container: Value| json!({"TaskTemplate": {"ContainerSpec": container}});
        let cases = [
            (json!({"TaskTemplate": {}}), "mismatched Runtime and *Spec fields"),
            (json!({"TaskTemplate": {"ContainerSpec": {}, "Runtime": "foo"}}), "unsupported runtime"),
            (json!({"Mode": {"Replicated": {}, "Global": {}}}), "must specify only one service mode"),
            (json!({"EndpointSpec": {"Mode": "foo"}}), "invalid resolution mode: \"foo\""),
            (json!({"UpdateConfig": {"FailureAction": "x"}}), "unrecognized update failure action x"),
            (json!({"RollbackConfig": {"Order": "x"}}), "unrecognized update order x"),
            (template(json!({"Mounts": [{"Type": "foo"}]})), "invalid MountType: \"foo\""),
            (
                template(json!({"Configs": [{"ConfigID": "a"}]})),
                "invalid Config: either File or Runtime should be set",
            ),
        ];
        for (extra, message) in cases {
            assert_eq!(with(extra), message);
        }
    }
}
