//! Which nodes may run a service: up, active, and fit by its placement constraints.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::state::ObservedNode;

/// Whether the node is up and takes new tasks of a service with this spec. A constraint that
/// we cannot read is taken to fit, as the engine would have refused it.
pub fn is_eligible(node: &ObservedNode, spec: &Value) -> bool {
    node.ready && node.availability == "active" && fits(node, spec)
}

/// Whether the node satisfies the spec's constraints and platforms, whatever its state.
pub fn fits(node: &ObservedNode, spec: &Value) -> bool {
    let constraints = list(spec, "/TaskTemplate/Placement/Constraints").filter_map(Value::as_str);
    constraints.into_iter().all(|constraint| satisfies(node, constraint)) && fits_platform(node, spec)
}

fn fits_platform(node: &ObservedNode, spec: &Value) -> bool {
    let mut platforms = list(spec, "/TaskTemplate/Placement/Platforms").peekable();
    let Some(own) = node.platform.as_ref().filter(|_| platforms.peek().is_some()) else { return true };
    platforms.any(|platform| {
        let part = |key| platform.get(key).and_then(Value::as_str).unwrap_or_default();
        let architecture = match part("Architecture") {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        (architecture.is_empty() || architecture == own.architecture)
            && (part("OS").is_empty() || part("OS") == own.os)
    })
}

/// One constraint, `attribute==value` or `attribute!=value`, compared without regard to case
/// as SwarmKit compares them.
fn satisfies(node: &ObservedNode, constraint: &str) -> bool {
    let (attribute, wanted, equal) = if let Some((a, v)) = constraint.split_once("!=") {
        (a.trim(), v.trim(), false)
    } else if let Some((a, v)) = constraint.split_once("==") {
        (a.trim(), v.trim(), true)
    } else {
        return true;
    };
    let label = |labels: &BTreeMap<String, String>, key: &str| labels.get(key).cloned().unwrap_or_default();
    let platform = node.platform.as_ref();
    let actual = match attribute {
        "node.id" => node.id.clone(),
        "node.hostname" => node.hostname.clone(),
        "node.role" => if node.manager { "manager" } else { "worker" }.to_owned(),
        "node.platform.os" => platform.map(|p| p.os.clone()).unwrap_or_default(),
        "node.platform.arch" => platform.map(|p| p.architecture.clone()).unwrap_or_default(),
        other => match (other.strip_prefix("node.labels."), other.strip_prefix("engine.labels.")) {
            (Some(key), _) => label(&node.labels, key),
            (_, Some(key)) => label(&node.engine_labels, key),
            _ => return true,
        },
    };
    let wanted = match (attribute, wanted) {
        ("node.platform.arch", "x86_64") => "amd64",
        ("node.platform.arch", "aarch64") => "arm64",
        (_, other) => other,
    };
    actual.eq_ignore_ascii_case(wanted) == equal
}

fn list<'a>(spec: &'a Value, pointer: &str) -> std::slice::Iter<'a, Value> {
    spec.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default().iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::Platform;
    use serde_json::json;

    fn node() -> ObservedNode {
        ObservedNode {
            id: "n1".into(),
            hostname: "hive-1".into(),
            ready: true,
            availability: "active".into(),
            manager: true,
            platform: Some(Platform { os: "linux".into(), architecture: "amd64".into() }),
            labels: BTreeMap::from([("zone".to_owned(), "a".to_owned())]),
            engine_labels: BTreeMap::new(),
            plugins: Default::default(),
        }
    }

    #[test]
    fn constraints_are_read_as_swarm_reads_them() {
        let cases = [
            ("node.role==manager", true),
            ("node.role != manager", false),
            ("node.role==worker", false),
            ("node.hostname == HIVE-1", true),
            ("node.labels.zone==a", true),
            ("node.labels.zone!=a", false),
            ("node.labels.absent==x", false),
            ("node.labels.absent!=x", true),
            ("engine.labels.disk==ssd", false),
            ("node.platform.arch==x86_64", true),
            ("node.id==n2", false),
        ];
        for (constraint, expected) in cases {
            let spec = json!({"TaskTemplate": {"Placement": {"Constraints": [constraint]}}});
            assert_eq!(is_eligible(&node(), &spec), expected, "{constraint}");
        }
    }

    #[test]
    fn only_nodes_that_are_up_and_active_count() {
        assert!(is_eligible(&node(), &json!({})));
        assert!(!is_eligible(&ObservedNode { ready: false, ..node() }, &json!({})));
        assert!(!is_eligible(&ObservedNode { availability: "drain".into(), ..node() }, &json!({})));
        let arm =
            json!({"TaskTemplate": {"Placement": {"Platforms": [{"Architecture": "arm64", "OS": "linux"}]}}});
        assert!(!is_eligible(&node(), &arm));
    }
}
