//! A draft as TOML that people like to read.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{Draft, Note};
use crate::text::printable;

/// Columns that a line may have before it is broken up.
const WIDTH: usize = 100;
/// Characters of a comment.
const COMMENT_MAX: usize = 600;

/// The spec file.
pub(super) fn write(draft: &Draft) -> String {
    let mut out = format!("# Made by `skep import` from {}.\n", printable(&draft.origin, 200));
    let mut told = vec![false; draft.notes.len()];
    comment(&mut out, draft, &mut told, &[]);
    for (name, value) in &draft.root {
        let Value::Object(tables) = value else { continue };
        let own_header = name != "services" && tables.values().all(|value| is_short(name, value));
        if own_header {
            let _ = write!(out, "\n[{name}]\n");
            comment(&mut out, draft, &mut told, std::slice::from_ref(name));
            for (key, value) in tables {
                let _ = writeln!(out, "{} = {}", part(key), inline(value));
            }
            continue;
        }
        for (key, value) in tables {
            let Value::Object(table) = value else { continue };
            section(&mut out, draft, &mut told, &[name.clone(), key.clone()], table);
        }
    }
    // What is about something that is not there any more.
    let rest: Vec<&Note> =
        draft.notes.iter().zip(&told).filter(|(_, told)| !**told).map(|(note, _)| note).collect();
    if !rest.is_empty() {
        out.push('\n');
        for note in rest {
            let _ = writeln!(out, "# {}", printable(&note.line(), COMMENT_MAX));
        }
    }
    out
}

fn is_short(key: &str, value: &Value) -> bool {
    inline(value).len() + key.len() + 3 <= WIDTH && !inline(value).contains('\n')
}

/// A table with its header: what is short stands beside its key, the rest in tables of its own.
fn section(out: &mut String, draft: &Draft, told: &mut [bool], path: &[String], table: &Map<String, Value>) {
    let is_table = |key: &str, value: &Value| match value {
        Value::Object(_) => !is_short(key, value),
        _ => false,
    };
    let (tables, plain): (Vec<_>, Vec<_>) = table.iter().partition(|(key, value)| is_table(key, value));
    if !plain.is_empty() || tables.is_empty() || path.len() == 2 {
        let _ = write!(out, "\n[{}]\n", key(path));
        comment(out, draft, told, path);
    }
    for (name, value) in plain {
        let _ = writeln!(out, "{} = {}", part(name), broken_up(name, value));
    }
    for (name, value) in tables {
        let Value::Object(inner) = value else { continue };
        let path = [path, std::slice::from_ref(name)].concat();
        section(out, draft, told, &path, inner);
    }
}

/// Notes about a table and what is in it, those of the tables beneath included, since those may be inline.
fn comment(out: &mut String, draft: &Draft, told: &mut [bool], path: &[String]) {
    for (note, told) in draft.notes.iter().zip(told) {
        let about = note.path.len() >= path.len() && note.path[..path.len()] == *path;
        if *told || !about || (path.is_empty() && !note.path.is_empty()) {
            continue;
        }
        *told = true;
        let inner = key(&note.path[path.len()..]);
        let line = if inner.is_empty() { note.message.clone() } else { format!("{inner}: {}", note.message) };
        let _ = writeln!(out, "# {}", printable(&line, COMMENT_MAX));
    }
}

/// A list that is too long for a line has a line for each element.
fn broken_up(name: &str, value: &Value) -> String {
    let line = inline(value);
    match value {
        // The only place where a text may have lines of its own.
        Value::String(text) => toml::Value::String(dollars(text)).to_string(),
        Value::Array(list) if line.len() + name.len() + 3 > WIDTH => {
            let mut out = "[\n".to_owned();
            for value in list {
                let _ = writeln!(out, "  {},", inline(value));
            }
            out.push(']');
            out
        }
        _ => line,
    }
}

fn inline(value: &Value) -> String {
    match value {
        // TOML has none; nothing that is null gets here.
        Value::Null => "\"\"".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => number.to_string(),
            (None, Some(float)) => toml::Value::Float(float).to_string(),
            (None, None) => number.to_string(),
        },
        Value::String(text) => quoted(&dollars(text)),
        Value::Array(list) => format!("[{}]", list.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| format!("{} = {}", part(key), inline(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
    }
}

/// With the dollars doubled that the reader would take for a variable.
fn dollars(text: &str) -> String {
    if text.contains("${") || text.contains("$$") { text.replace('$', "$$") } else { text.to_owned() }
}

/// A text on one line: what JSON escapes, TOML reads, but for one character that JSON leaves as it is.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

/// A dotted key; elements of lists as `[3]`.
pub(super) fn key(path: &[String]) -> String {
    let mut out = String::new();
    for name in path {
        if let Some(index) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let digits = index.trim_start_matches('0');
            let _ = write!(out, "[{}]", if digits.is_empty() { "0" } else { digits });
            continue;
        }
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(&part(name));
    }
    out
}

/// A key, in quotes where TOML wants them.
fn part(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare {
        return name.to_owned();
    }
    quoted(name)
}
