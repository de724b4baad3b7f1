//! Values as people write them, for plans and events.

use serde_json::{Value, json};

use super::table::{self, Form, Unit};
use super::{references, values};

/// The value in the spec's vocabulary: `"10s"`, `"64MiB"`, `"8080:80/tcp"`, networks by name
/// where `network_name` knows one for the ID. A `Null` becomes what the engine does by itself,
/// where that is one known value (one replica, `"pause"`).
///
/// A value that may be a secret becomes `"(sensitive)"`, and so does the password in a URL.
/// Control characters are left in: escaping is the printer's.
pub fn display(name: &str, value: &Value, network_name: &dyn Fn(&str) -> Option<String>) -> Value {
    let Some((entry, _)) = table::find(name) else { return value.clone() };
    let value = values::of_form(entry.form, value);
    if value.is_null() {
        return quantity(entry.form, values::default_of(entry.form));
    }
    if is_sensitive(name) {
        return json!(SENSITIVE);
    }
    match entry.form {
        Form::Environment if value == Value::Bool(false) => json!("(no value)"),
        Form::Environment | Form::Label | Form::Words => mask(value),
        Form::Networks => each(&value, |one| json!(attachment(one, network_name))),
        Form::Ports => each(&value, |one| json!(port(one))),
        Form::Mounts => each(&value, |one| json!(mount(one))),
        Form::References => each(&value, |one| json!(references::display(one))),
        Form::Objects => each(&value, |one| json!(object(one))),
        Form::Text => mask(value),
        _ => quantity(entry.form, value),
    }
}

const SENSITIVE: &str = "(sensitive)";

fn each(list: &Value, one: impl Fn(&Value) -> Value) -> Value {
    list.as_array().map(|list| list.iter().map(one).collect()).unwrap_or_default()
}

pub(super) fn quantity(form: Form, value: Value) -> Value {
    let (Form::Number { unit, .. }, Some(number)) = (form, value.as_u64()) else { return value };
    match unit {
        Unit::Count => value,
        Unit::Nanoseconds => json!(duration(number)),
        Unit::Bytes => json!(bytes(number)),
        Unit::NanoCpus => json!(cpus(number)),
    }
}

/// As compose files and `humantime` read it: `1h30m`, `1m30s`, `500ms`.
fn duration(nanoseconds: u64) -> String {
    const UNITS: [(&str, u64); 6] = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    if nanoseconds == 0 {
        return "0s".into();
    }
    let mut rest = nanoseconds;
    let mut text = String::new();
    for (unit, size) in UNITS {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

/// In the largest binary unit that divides it.
fn bytes(bytes: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Billionths of a CPU as a decimal: `0.5`.
fn cpus(nano: u64) -> String {
    let (whole, part) = (nano / 1_000_000_000, nano % 1_000_000_000);
    let text = format!("{whole}.{part:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn port(port: &Value) -> String {
    let number = |key| port.get(key).and_then(Value::as_u64).unwrap_or(0);
    let published = match number("PublishedPort") {
        0 => String::new(),
        published => format!("{published}:"),
    };
    let host = if values::text(port, "PublishMode") == "host" { " (host)" } else { "" };
    format!("{published}{}/{}{host}", number("TargetPort"), values::text(port, "Protocol"))
}

/// As the short syntax has it, and what that cannot say after it.
fn mount(mount: &Value) -> String {
    let kind = values::text(mount, "Type");
    let (source, target) = (values::text(mount, "Source"), values::text(mount, "Target"));
    let from = if source.is_empty() { kind.to_owned() } else { source.to_owned() };
    let mode = if mount.get("ReadOnly") == Some(&Value::Bool(true)) { ":ro" } else { "" };
    let rest: Vec<String> = ["BindOptions", "VolumeOptions", "TmpfsOptions"]
        .iter()
        .filter_map(|key| mount.get(*key))
        .map(|options| mask(options.clone()).to_string())
        .collect();
    let rest = if rest.is_empty() { String::new() } else { format!(" {}", rest.join(" ")) };
    format!("{from}:{target}{mode}{rest}")
}

/// A ulimit or a generic resource.
fn object(object: &Value) -> String {
    let number = |key| object.get(key).and_then(Value::as_i64).unwrap_or(0);
    if let Some(discrete) = object.get("DiscreteResourceSpec") {
        let value = discrete.get("Value").and_then(Value::as_i64).unwrap_or(0);
        return format!("{}={value}", values::text(discrete, "Kind"));
    }
    match object.get("Name").and_then(Value::as_str) {
        Some(name) => format!("{name}={}:{}", number("Soft"), number("Hard")),
        None => object.to_string(),
    }
}

fn attachment(attachment: &Value, network_name: &dyn Fn(&str) -> Option<String>) -> String {
    let id = values::text(attachment, "Target");
    let name = network_name(id).unwrap_or_else(|| id.to_owned());
    let aliases: Vec<&str> = attachment
        .get("Aliases")
        .and_then(Value::as_array)
        .map(|aliases| aliases.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    if aliases.is_empty() { name } else { format!("{name} ({})", aliases.join(", ")) }
}

/// Hides the password of every URL in a text or a list of texts.
fn mask(value: Value) -> Value {
    match value {
        Value::String(text) => Value::from(mask_urls(&text)),
        Value::Array(list) => list.into_iter().map(mask).collect(),
        Value::Object(object) => object.into_iter().map(|(key, value)| (key, mask(value))).collect(),
        other => other,
    }
}

/// `scheme://user:password@host` with the password hidden, wherever it stands in the text.
fn mask_urls(text: &str) -> String {
    let mut parts = text.split("://");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("://");
        let end = part.find(['/', '?', '#', ' ', '"', '\'', ',']).unwrap_or(part.len());
        let (authority, rest) = part.split_at(end);
        match authority.rsplit_once('@').map(|(user, host)| (user.split_once(':'), host)) {
            Some((Some((user, _)), host)) => masked.push_str(&format!("{user}:{SENSITIVE}@{host}")),
            _ => masked.push_str(authority),
        }
        masked.push_str(rest);
    }
    masked
}

/// Whether a variable or label is named as secrets are, so that printers hide its value.
/// `…_FILE` and `…_PATH` name a place, not the secret.
pub fn is_sensitive(name: &str) -> bool {
    let Some((entry, key)) = table::find(name) else { return false };
    if !matches!(entry.form, Form::Environment | Form::Label) {
        return false;
    }
    let upper = split_camel_case(key).to_ascii_uppercase();
    let words: Vec<&str> =
        upper.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let last = words.last().copied().unwrap_or_default();
    if matches!(last, "FILE" | "PATH") {
        return false;
    }
    const ANYWHERE: [&str; 9] = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "TOKEN",
        "CREDENTIAL",
        "APIKEY",
        "PRIVATE",
        "BASICAUTH",
    ];
    const WORDS: [&str; 6] = ["KEY", "KEYS", "PASS", "PW", "SALT", "PEPPER"];
    const LAST: [&str; 3] = ["AUTH", "DSN", "COOKIE"];
    let joined = words.concat();
    ANYWHERE.iter().any(|part| joined.contains(part))
        || words.iter().any(|word| WORDS.contains(word))
        || (entry.form == Form::Environment && LAST.contains(&last))
        || (last == "PWD" && words.len() > 1)
}

/// `dbPassword` as `db_Password`.
fn split_camel_case(key: &str) -> String {
    let mut split = String::with_capacity(key.len() + 4);
    let mut lower = false;
    for c in key.chars() {
        if lower && c.is_ascii_uppercase() {
            split.push('_');
        }
        lower = c.is_ascii_lowercase();
        split.push(c);
    }
    split
}
