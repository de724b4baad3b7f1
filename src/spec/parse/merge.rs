//! A customer's file laid over its template.

use super::tree::{Node, Table, Value};

/// Tables merge; scalars and lists replace; `services.x = false` drops the template's
/// service. Every value keeps the place it came from.
pub(super) fn merge(template: &Table, customer: &Table) -> Table {
    let mut out = overlay(template, customer);
    let dropped = |root: &Table, name: &str| match root.entries.get("services").map(|e| &e.node.value) {
        Some(Value::Table(services)) => {
            services.entries.get(name).is_some_and(|entry| matches!(entry.node.value, Value::Boolean(false)))
        }
        _ => false,
    };
    let offers = |name: &str| match template.entries.get("services").map(|e| &e.node.value) {
        Some(Value::Table(services)) => services.entries.contains_key(name),
        _ => false,
    };
    if let Some(entry) = out.entries.get_mut("services")
        && let Value::Table(services) = &mut entry.node.value
    {
        services.entries.retain(|name, _| !(dropped(customer, name) && offers(name)));
    }
    out
}

fn overlay(below: &Table, above: &Table) -> Table {
    let mut out = below.clone();
    for (name, over) in &above.entries {
        let mut entry = over.clone();
        if let Some(under) = below.entries.get(name)
            && let (Value::Table(below), Value::Table(above)) = (&under.node.value, &over.node.value)
        {
            entry.node = Node { value: Value::Table(overlay(below, above)), span: over.node.span };
        }
        out.entries.insert(name.clone(), entry);
    }
    out
}
