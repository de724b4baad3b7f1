//! What the Swarm's manager refuses in a service's spec, in its words and order.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::answer::{Code, Refusal};
use super::template;
use crate::sim::engine::state::{Object, Service, State};

/// A spec by itself.
///
/// # Errors
/// The first fault.
pub(super) fn spec(spec: &Value) -> Result<(), Refusal> {
    name(text(spec, "Name"))?;
    template(&spec["TaskTemplate"])?;
    if let Some(config) = spec.get("UpdateConfig") {
        update_config(config)?;
    }
    endpoint(&spec["EndpointSpec"])?;
    mode(spec)
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, name: &str) -> i64 {
    value.get(name).and_then(Value::as_i64).unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Of a service or network.
///
/// # Errors
/// A name that no DNS name may have.
pub(super) fn name(name: &str) -> Result<(), Refusal> {
    let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inside = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !(ends(name.chars().next()) && ends(name.chars().next_back()) && inside) {
        return Err(Refusal::invalid("name must be valid as a DNS name component"));
    }
    if name.len() > 63 {
        return Err(Refusal::invalid("name must be 63 characters or fewer"));
    }
    Ok(())
}

fn template(template: &Value) -> Result<(), Refusal> {
    let resources = &template["Resources"];
    for part in ["Limits", "Reservations"] {
        let (cpus, memory) = (number(&resources[part], "NanoCPUs"), number(&resources[part], "MemoryBytes"));
        if cpus != 0 && cpus < 1_000_000 {
            let shown = shortest(cpus);
            return Err(Refusal::invalid(format!("invalid cpu value {shown}: Must be at least 0.001")));
        }
        if memory != 0 && memory < 4 << 20 {
            return Err(Refusal::invalid(format!("invalid memory value {memory}: Must be at least 4MiB")));
        }
    }
    for (field, word) in [("Delay", "restart-delay"), ("Window", "restart-window")] {
        if number(&template["RestartPolicy"], field) < 0 {
            return Err(Refusal::invalid(format!("TaskSpec: {word} cannot be negative")));
        }
    }
    for constraint in list(&template["Placement"], "Constraints") {
        check_constraint(constraint.as_str().unwrap_or_default())?;
    }
    container(&template["ContainerSpec"])
}

/// Nano-CPUs as CPUs, as `%g` prints them.
fn shortest(nano_cpus: i64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "the engine converts so too")]
    let cpus = nano_cpus as f64 / 1e9;
    if cpus.abs() >= 1e-4 {
        return format!("{cpus}");
    }
    let text = format!("{cpus:e}");
    let (digits, power) = text.split_once("e-").unwrap_or((&text, "0"));
    format!("{digits}e-{power:0>2}")
}

fn check_constraint(text: &str) -> Result<(), Refusal> {
    let unknown = |message: String| Err(Refusal::swarm(Code::Unknown, message));
    let Some((key, value)) = text.split_once("==").or_else(|| text.split_once("!=")) else {
        return unknown("constraint expected one operator from ==, !=".to_owned());
    };
    let (key, value) = (key.trim(), value.trim());
    let first = key.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let rest = key.chars().skip(1).all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !(first && rest && key.len() > 1) {
        return unknown(format!("key '{key}' is invalid"));
    }
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":-_.*()?+[]\\^$|/".contains(c);
    if value.is_empty() || !value.chars().all(allowed) {
        return unknown(format!("value '{value}' is invalid"));
    }
    Ok(())
}

fn container(container: &Value) -> Result<(), Refusal> {
    references(container, "Secrets", "secret")?;
    references(container, "Configs", "config")?;
    template::check(container)?;
    let image = text(container, "Image");
    if image.is_empty() {
        return Err(Refusal::invalid("ContainerSpec: image reference must be provided"));
    }
    if !is_reference(image) {
        return Err(Refusal::invalid(format!("ContainerSpec: {image:?} is not a valid repository/tag")));
    }
    let mut targets = BTreeSet::new();
    for mount in list(container, "Mounts") {
        let target = text(mount, "Target");
        if !targets.insert(target) {
            return Err(Refusal::invalid(format!("ContainerSpec: duplicate mount point: {target}")));
        }
    }
    let check = &container["Healthcheck"];
    for field in ["Interval", "Timeout", "StartPeriod"] {
        let nanoseconds = number(check, field);
        if nanoseconds != 0 && nanoseconds < 1_000_000 {
            let message = format!("ContainerSpec: {field} in HealthConfig cannot be less than 1ms");
            return Err(Refusal::invalid(message));
        }
    }
    if number(check, "Retries") < 0 {
        return Err(Refusal::invalid("ContainerSpec: Retries in HealthConfig cannot be negative"));
    }
    Ok(())
}

/// Of secrets or configs.
fn references(container: &Value, field: &str, kind: &str) -> Result<(), Refusal> {
    let (id, name) = if kind == "secret" { ("SecretID", "SecretName") } else { ("ConfigID", "ConfigName") };
    let mut targets: BTreeMap<&str, &str> = BTreeMap::new();
    for reference in list(container, field) {
        if text(reference, id).is_empty() || text(reference, name).is_empty() {
            return Err(Refusal::invalid(format!("malformed {kind} reference")));
        }
        if reference["File"].is_null() && reference["Runtime"].is_null() {
            return Err(Refusal::invalid(format!("malformed {kind} reference, no target provided")));
        }
        let Some(file) = reference.get("File").filter(|file| file.is_object()) else { continue };
        let file = text(file, "Name");
        if file.is_empty() {
            let message = format!("malformed file {kind} reference, invalid target file name provided");
            return Err(Refusal::invalid(message));
        }
        if let Some(other) = targets.insert(file, text(reference, name)) {
            return Err(Refusal::invalid(format!(
                "{kind} references '{other}' and '{}' have a conflicting target: '{file}'",
                text(reference, name)
            )));
        }
    }
    Ok(())
}

/// `[host[:port]/]path[:tag][@digest]`, as Docker reads references.
pub(super) fn is_reference(reference: &str) -> bool {
    let (rest, digest) = match reference.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (reference, None),
    };
    if let Some(digest) = digest {
        let hex = |hex: &str| hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
        if !digest.split_once(':').is_some_and(|(kind, rest)| !kind.is_empty() && hex(rest)) {
            return false;
        }
    }
    // Bare hex digits of this length would be an ID.
    if rest.len() == 64 && rest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return false;
    }
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (Some(host), path),
        _ => (None, rest),
    };
    let (path, tag) = match path.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (path, None),
    };
    host.is_none_or(is_host)
        && tag.is_none_or(is_tag)
        && path.split('/').all(is_component)
        && rest.len() <= 255
}

fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let part = |part: &str| {
        let inside = part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        !part.is_empty() && inside && !part.starts_with('-') && !part.ends_with('-')
    };
    name.split('.').all(part)
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn is_tag(tag: &str) -> bool {
    let first = tag.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    first && tag.len() <= 128 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// Lower case letters and digits, with `.`, `_`, `__` or dashes between them.
fn is_component(part: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let gaps = part.split(word).filter(|gap| !gap.is_empty());
    part.starts_with(word)
        && part.ends_with(word)
        && gaps.into_iter().all(|gap| matches!(gap, "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

fn update_config(config: &Value) -> Result<(), Refusal> {
    if number(config, "Delay") < 0 {
        return Err(Refusal::invalid("TaskSpec: update-delay cannot be negative"));
    }
    if number(config, "Monitor") < 0 {
        return Err(Refusal::invalid("TaskSpec: update-monitor cannot be negative"));
    }
    let ratio = config["MaxFailureRatio"].as_f64().unwrap_or_default();
    if !(0.0..=1.0).contains(&ratio) {
        let message = "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1";
        return Err(Refusal::invalid(message));
    }
    Ok(())
}

fn endpoint(endpoint: &Value) -> Result<(), Refusal> {
    let mut seen = BTreeSet::new();
    for port in list(endpoint, "Ports") {
        if text(endpoint, "Mode") == "dnsrr" && text(port, "PublishMode") == "ingress" {
            let message = "EndpointSpec: port published with ingress mode can't be used with dnsrr mode";
            return Err(Refusal::invalid(message));
        }
        let published = number(port, "PublishedPort");
        if published != 0 && !seen.insert((published, text(port, "Protocol"))) {
            return Err(Refusal::invalid("EndpointSpec: duplicate published ports provided"));
        }
    }
    Ok(())
}

fn mode(spec: &Value) -> Result<(), Refusal> {
    let mode = &spec["Mode"];
    let too_many = |value: &Value| value.as_u64().is_some_and(|count| i64::try_from(count).is_err());
    if too_many(&mode["Replicated"]["Replicas"]) {
        return Err(Refusal::invalid("Number of replicas must be non-negative"));
    }
    if mode.get("ReplicatedJob").or_else(|| mode.get("GlobalJob")).is_some() {
        if spec.get("UpdateConfig").is_some() {
            return Err(Refusal::invalid("Jobs may not have an update config"));
        }
        if too_many(&mode["ReplicatedJob"]["MaxConcurrent"]) {
            return Err(Refusal::invalid("Maximum concurrent jobs must not be negative"));
        }
        if too_many(&mode["ReplicatedJob"]["TotalCompletions"]) {
            return Err(Refusal::invalid("Total completed jobs must not be negative"));
        }
    }
    Ok(())
}

/// No service is attached to the ingress network by name.
pub(super) fn networks(state: &State, spec: &Value) -> Result<(), Refusal> {
    for attached in super::services::attachments(spec) {
        let network = state.networks.get(text(attached, "Target"));
        if let Some(network) = network.filter(|network| network.spec["Ingress"] == true) {
            let name = text(&network.spec, "Name");
            return Err(Refusal::invalid(format!(
                "Service cannot be explicitly attached to the ingress network {name:?}"
            )));
        }
    }
    Ok(())
}

/// Published ports that another service has.
pub(super) fn ports(state: &State, spec: &Value, own: Option<&str>) -> Result<(), Refusal> {
    let ports = |spec: &Value| -> Vec<(i64, String, bool)> {
        let ports = list(spec, "Ports").iter().filter(|port| number(port, "PublishedPort") != 0);
        let key = |port: &Value| {
            let host = text(port, "PublishMode") == "host";
            (number(port, "PublishedPort"), text(port, "Protocol").to_owned(), host)
        };
        ports.map(key).collect()
    };
    let wanted = ports(&spec["EndpointSpec"]);
    if wanted.is_empty() {
        return Ok(());
    }
    let none = Value::Null;
    for service in state.services.values().filter(|service| Some(service.object.id.as_str()) != own) {
        let given = service.object.extra.get("Endpoint").unwrap_or(&none);
        let mut used = ports(&service.object.spec["EndpointSpec"]);
        used.extend(ports(given));
        for (port, protocol, host) in used {
            // Host ports may be shared: the scheduler keeps them apart.
            let clash = wanted.iter().any(|w| w.0 == port && w.1 == protocol && !(w.2 && host));
            if clash {
                return Err(port_taken(service, port, host));
            }
        }
    }
    Ok(())
}

fn port_taken(service: &Service, port: i64, host: bool) -> Refusal {
    let kind = if host { "a host-published port" } else { "an ingress port" };
    let (name, id) = (service.name(), &service.object.id);
    Refusal::invalid(format!("port '{port}' is already in use by service '{name}' ({id}) as {kind}"))
}

/// Secrets and configs that are not there, or have another name.
pub(super) fn existence(state: &State, spec: &Value) -> Result<(), Refusal> {
    let container = &spec["TaskTemplate"]["ContainerSpec"];
    let missing = |field: &str, id: &str, name: &str, objects: &BTreeMap<String, Object>| -> Vec<String> {
        let absent = |reference: &&Value| {
            let object = objects.get(text(reference, id));
            object.is_none_or(|object| text(&object.spec, "Name") != text(reference, name))
        };
        list(container, field).iter().filter(absent).map(|r| text(r, name).to_owned()).collect()
    };
    let secrets = missing("Secrets", "SecretID", "SecretName", &state.secrets);
    let configs = missing("Configs", "ConfigID", "ConfigName", &state.configs);
    for (kind, missing) in [("secret", secrets), ("config", configs)] {
        let many = if missing.len() == 1 { "" } else { "s" };
        if !missing.is_empty() {
            return Err(Refusal::invalid(format!("{kind}{many} not found: {}", missing.join(", "))));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_docker_reads_them() {
        let digest = format!("a/b:1@sha256:{}", "0".repeat(64));
        for good in [
            "nginx",
            "a/b",
            "a.b:5000/c/d:1.2",
            "localhost/x",
            "192.168.77.2:5000/held/web:1.0.0",
            &digest,
            "a__b/c--d",
        ] {
            assert!(is_reference(good), "{good}");
        }
        for bad in
            ["BAD:::", "Upper", "UPPER/case", "a//b", "a:", "a/b@x", "a b", "-a", "a_", "a..b", ":1", "a/b:-"]
        {
            assert!(!is_reference(bad), "{bad}");
        }
    }

    #[test]
    fn small_cpu_values_are_shown_as_the_engine_shows_them() {
        assert_eq!(shortest(5), "5e-09");
        assert_eq!(shortest(500_000), "0.0005");
    }

    #[test]
    fn names_are_dns_names() {
        for good in ["a", "a_b-c", "A1", &"x".repeat(63)] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "m 1", "-a", "a-", "a.b", &"x".repeat(64)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn constraints_are_parsed() {
        let message = |text: &str| check_constraint(text).map_err(|refusal| refusal.message);
        assert_eq!(message("node.role == manager"), Ok(()));
        assert_eq!(message("node.labels.x!=a b"), Ok(()));
        let prefix = "rpc error: code = Unknown desc = ";
        assert_eq!(message("bad"), Err(format!("{prefix}constraint expected one operator from ==, !=")));
        assert_eq!(message("1x==a"), Err(format!("{prefix}key '1x' is invalid")));
        assert_eq!(message("ab==,"), Err(format!("{prefix}value ',' is invalid")));
    }
}
