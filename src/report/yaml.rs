//! JSON as YAML that every reader takes for the same.

use std::fmt::Write as _;

use serde_json::Value;

/// The value as block YAML. Strings are quoted as JSON quotes them, which is YAML too, so that
/// no `yes`, `1.10` or `0400` is taken for something else.
pub fn yaml(value: &Value) -> String {
    let mut out = String::new();
    write_yaml(&mut out, value, 0);
    out
}

fn write_yaml(out: &mut String, value: &Value, indent: usize) {
    let pad = " ".repeat(indent);
    // Writing to a string cannot fail.
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let _ = write!(out, "{pad}{}:", plain_or_quoted(key));
                write_nested(out, value, indent);
            }
        }
        Value::Array(list) if !list.is_empty() => {
            for value in list {
                let _ = write!(out, "{pad}-");
                match value {
                    Value::Object(map) if !map.is_empty() => {
                        let mut inner = String::new();
                        write_yaml(&mut inner, value, indent + 2);
                        // The first key stands beside the dash.
                        let _ = write!(out, " {}", &inner[indent + 2..]);
                    }
                    _ => write_nested(out, value, indent),
                }
            }
        }
        value => {
            let _ = writeln!(out, "{pad}{}", scalar(value));
        }
    }
}

fn write_nested(out: &mut String, value: &Value, indent: usize) {
    let nested = match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    };
    if nested {
        out.push('\n');
        write_yaml(out, value, indent + 2);
    } else {
        let _ = writeln!(out, " {}", scalar(value));
    }
}

/// As JSON, but for the characters that YAML breaks lines at, or takes for no text.
fn scalar(value: &Value) -> String {
    let mut out = String::new();
    for c in value.to_string().chars() {
        match c {
            '\u{7f}'..='\u{a0}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A key without quotes where no reader can take it for anything but a string.
fn plain_or_quoted(key: &str) -> String {
    let plain = key.len() > 1
        && key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !matches!(key, "yes" | "no" | "on" | "off" | "true" | "false" | "null");
    if plain { key.to_owned() } else { scalar(&Value::from(key)) }
}
