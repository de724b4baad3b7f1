//! `Placement.Constraints`.

use crate::sim::engine::state::Node;

/// Whether the node meets all of them. One that cannot be read is met by no node.
pub(super) fn matches(constraints: &[String], node: &Node) -> bool {
    constraints.iter().all(|constraint| holds(constraint, node))
}

fn holds(constraint: &str, node: &Node) -> bool {
    let (key, wanted, equal) = if let Some((key, value)) = constraint.split_once("==") {
        (key, value, true)
    } else if let Some((key, value)) = constraint.split_once("!=") {
        (key, value, false)
    } else {
        return false;
    };
    let Some(value) = value_of(key.trim(), node) else { return false };
    value.eq_ignore_ascii_case(wanted.trim()) == equal
}

/// What a label is that the node does not have: empty.
fn value_of(key: &str, node: &Node) -> Option<String> {
    let (os, architecture) = node.platform.split_once('/').unwrap_or((&node.platform, ""));
    let prefixed = |prefix: &str| {
        let head = key.get(..prefix.len())?;
        head.eq_ignore_ascii_case(prefix).then(|| &key[prefix.len()..])
    };
    if let Some(label) = prefixed("node.labels.") {
        let labels = node.object.spec.get("Labels");
        return Some(label_of(labels, label));
    }
    if let Some(label) = prefixed("engine.labels.") {
        let description = node.object.extra.get("Description");
        return Some(label_of(description.and_then(|it| it.pointer("/Engine/Labels")), label));
    }
    Some(match key.to_ascii_lowercase().as_str() {
        "node.id" => node.object.id.clone(),
        "node.hostname" => node.hostname.clone(),
        "node.ip" => node.address.clone(),
        "node.role" => {
            node.object.spec.get("Role").and_then(|role| role.as_str()).unwrap_or_default().to_owned()
        }
        "node.platform.os" => os.to_owned(),
        "node.platform.arch" => kernel_name(architecture).to_owned(),
        _ => return None,
    })
}

fn label_of(labels: Option<&serde_json::Value>, name: &str) -> String {
    labels.and_then(|labels| labels.get(name)).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// Nodes describe themselves with the kernel's name of the architecture, images with Go's.
pub(super) fn kernel_name(architecture: &str) -> &str {
    match architecture {
        "amd64" => "x86_64",
        "arm64" => "aarch64",
        other => other,
    }
}
