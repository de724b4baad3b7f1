//! Templates in specs (`{{.Node.Hostname}}`): which of them the engine cannot expand.

use serde_json::Value;

use super::answer::Refusal;

/// What templates may name, and the Go type that a wrong field is missed in.
const FIELDS: [(&str, &[&str], &str); 3] = [
    ("Service", &["ID", "Name", "Labels"], "struct { ID string; Name string; Labels map[string]string }"),
    (
        "Node",
        &["ID", "Hostname", "Platform"],
        "struct { ID string; Hostname string; Platform template.Platform }",
    ),
    ("Task", &["ID", "Name", "Slot"], "struct { ID string; Name string; Slot string }"),
];

/// Functions that Go's templates have by themselves, and words of their language.
const WORDS: [&str; 26] = [
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js", "urlquery",
    "call", "eq", "ne", "lt", "le", "gt", "ge", "if", "range", "with", "end", "else", "true", "false",
];

/// The first template of a container's spec that cannot be expanded.
///
/// # Errors
/// In the engine's words.
pub(super) fn check(container: &Value) -> Result<(), Refusal> {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    for mount in container["Mounts"].as_array().into_iter().flatten() {
        for (field, word) in [("Source", "source"), ("Target", "target")] {
            let given = text(mount, field);
            if let Some(fault) = fault(&given) {
                let message = format!("expanding mounts failed: expanding mount {word} {given:?}: {fault}");
                return Err(Refusal::invalid(message));
            }
        }
    }
    if let Some(fault) = fault(&text(container, "Hostname")) {
        return Err(Refusal::invalid(format!("expanding hostname failed: {fault}")));
    }
    for entry in container["Env"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        // Only what stands behind the name is a template.
        let value = entry.split_once('=').map_or("", |(_, value)| value);
        if let Some(fault) = fault(value) {
            return Err(Refusal::invalid(format!("expanding env failed: expanding env {entry:?}: {fault}")));
        }
    }
    Ok(())
}

fn fault(text: &str) -> Option<String> {
    let mut at = 0;
    while let Some(open) = text[at..].find("{{") {
        let start = at + open + 2;
        let Some(length) = text[start..].find("}}") else {
            return Some("template: expansion:1: unclosed action".to_owned());
        };
        let inside = &text[start..start + length];
        if let Some(fault) = action_fault(inside, start) {
            return Some(format!("template: expansion:1{fault}"));
        }
        at = start + length + 2;
    }
    None
}

/// Of what stands between the braces, from this column on.
fn action_fault(inside: &str, column: usize) -> Option<String> {
    let word = inside.trim();
    if word.is_empty() {
        return Some(": missing value for command".to_owned());
    }
    if let Some(path) = word.strip_prefix('.') {
        let plain = path.split('.').all(|part| !part.is_empty() && part.chars().all(char::is_alphanumeric));
        let column = column + inside.find('.').unwrap_or_default();
        return if plain { field_fault(path, column) } else { None };
    }
    let function: String = word.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let known = function.is_empty() || WORDS.contains(&function.as_str());
    let number = function.starts_with(|c: char| c.is_ascii_digit());
    (!known && !number).then(|| format!(": function {function:?} not defined"))
}

fn field_fault(path: &str, column: usize) -> Option<String> {
    let mut parts = path.split('.');
    let (first, second) = (parts.next()?, parts.next());
    let missing = |column: usize, field: &str, of: &str| {
        let at = format!(":{column}: executing \"expansion\" at <.{path}>");
        Some(format!("{at}: can't evaluate field {field} in type {of}"))
    };
    let Some((_, fields, of)) = FIELDS.iter().find(|(name, ..)| *name == first) else {
        return missing(column, first, "*template.Context");
    };
    match second {
        Some(second) if !fields.contains(&second) => missing(column + 1 + first.len(), second, of),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_fail_as_in_the_engine() {
        let env = |text: &str| check(&json!({"Env": [text]})).map_err(|refusal| refusal.message);
        let refused = |text: &str, fault: &str| {
            let prefix = "rpc error: code = InvalidArgument desc = expanding env failed: expanding env";
            assert_eq!(env(text), Err(format!("{prefix} {text:?}: template: expansion:1{fault}")));
        };
        let top = "can't evaluate field Nope in type *template.Context";
        refused("X={{.Nope}}", &format!(":2: executing \"expansion\" at <.Nope>: {top}"));
        refused(
            "X={{.Task.Slot}}-{{.Node.Hostname}}-{{.Nope}}",
            &format!(":36: executing \"expansion\" at <.Nope>: {top}"),
        );
        refused(
            "X={{.Service.Foo}}",
            ":10: executing \"expansion\" at <.Service.Foo>: can't evaluate field Foo in type struct { ID string; Name string; Labels map[string]string }",
        );
        refused("X={{.Node.ID", ": unclosed action");
        refused("X=a{{}}", ": missing value for command");
        refused("X={{env \"a\"}}", ": function \"env\" not defined");
        for good in ["{{.X}}", "X=a}}", "X={{.Node.Hostname}}", "X", "X={{ .Task.Slot }}"] {
            assert_eq!(env(good), Ok(()), "{good}");
        }
    }
}
