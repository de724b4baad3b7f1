//! The reader kit: typed access to the tree that records what is wrong and reads on.
//!
//! Every method that answers `None` has either reported why, or found a value whose fault
//! was reported before. Readers go on with the next key and never stop at the first error.

use std::collections::BTreeSet;

use super::report::{Report, Sources, Span, join_index, join_key};
use super::tree::{Entry, Node, Table, Value};
use super::vars::{self, Place, Scalar, Vars, scalar};
use crate::spec::keys::{Key, Keys, belongs_under};
use crate::spec::{Contents, NamedContent, VersionPolicy};
use crate::text::{nearest, printable};

/// What readers share while one customer or template is read.
pub(super) struct Context<'a> {
    pub(super) sources: &'a Sources<'a>,
    pub(super) report: Report,
    pub(super) vars: Vars,
    /// Where content comes from that the spec names.
    pub(super) contents: &'a dyn Contents,
    /// What was asked for.
    pub(super) named: Vec<NamedContent>,
    /// `None` while a template is read by itself.
    pub(super) customer: Option<&'a str>,
    /// Only a part of the spec is readable (a template by itself, a file with syntax
    /// errors): what is missing is no error.
    pub(super) partial: bool,
    /// What a service's `version` says where it says nothing: the fleet's word, else ours.
    pub(super) version_defaults: VersionPolicy,
}

/// A value with its dotted key.
#[derive(Clone, Debug)]
pub(super) struct Item<'t> {
    pub(super) key: String,
    pub(super) node: &'t Node,
}

impl Context<'_> {
    pub(super) fn error(&mut self, span: Span, key: &str, message: impl AsRef<str>, help: impl Into<String>) {
        let help = help.into();
        self.report.error(span, key, message.as_ref(), (!help.is_empty()).then_some(help));
    }
}

impl<'t> Item<'t> {
    pub(super) fn error(&self, cx: &mut Context<'_>, message: impl AsRef<str>, help: impl Into<String>) {
        cx.error(self.node.span, &self.key, message, help);
    }

    /// Reports that the value is of another type than `expected`.
    pub(super) fn mismatch<T>(&self, cx: &mut Context<'_>, expected: &str, help: &str) -> Option<T> {
        if !matches!(self.node.value, Value::Invalid) {
            self.error(cx, format!("expected {expected}, found {}", self.node.kind()), help);
        }
        None
    }

    /// A string with its variables filled in.
    pub(super) fn string(&self, cx: &mut Context<'_>) -> Option<String> {
        match &self.node.value {
            Value::String(text) => self.expand(cx, text),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_) => {
                self.mismatch(cx, "a string", &format!("write it in quotes: `{}`", self.quoted(cx)))
            }
            _ => self.mismatch(cx, "a string", ""),
        }
    }

    /// A string, or a number or boolean as text.
    pub(super) fn scalar(&self, cx: &mut Context<'_>) -> Option<String> {
        match scalar(self.node) {
            Some(Scalar::Text(text)) => self.expand(cx, text),
            Some(Scalar::Other(text)) => Some(text),
            None => self.mismatch(cx, "a string, number or boolean", ""),
        }
    }

    /// The value, or a part of it, as messages show it. A value that comes from variables stands there as the file
    /// spells it, `${…}` and all: what they hold may be a secret, whatever they are called.
    pub(super) fn shown(&self, text: &str, chars_max: usize) -> String {
        match &self.node.value {
            Value::String(spelt) if self.hides() => printable(spelt, chars_max),
            _ => printable(text, chars_max),
        }
    }

    /// Whether it is a table that has this entry.
    pub(super) fn has(&self, name: &str) -> bool {
        matches!(&self.node.value, Value::Table(table) if table.entries.contains_key(name))
    }

    /// The value of a table's entry, or the item itself where it is no table that has one.
    pub(super) fn within(&self, name: &str) -> Self {
        match &self.node.value {
            Value::Table(table) => table.entries.get(name),
            _ => None,
        }
        .map_or_else(|| self.clone(), |entry| Item { key: join_key(&self.key, name), node: &entry.node })
    }

    /// Whether the value comes from variables, and not only from the customer's name.
    pub(super) fn hides(&self) -> bool {
        matches!(&self.node.value, Value::String(text) if vars::names_any(text))
    }

    fn expand(&self, cx: &mut Context<'_>, text: &str) -> Option<String> {
        let span = self.node.span;
        let place = Place { span, key: &self.key, source: cx.sources.text(span.file) };
        cx.vars.expand(text, &place, cx.partial, &mut cx.report)
    }

    /// The value as the file spells it, in quotes.
    fn quoted(&self, cx: &Context<'_>) -> String {
        let span = self.node.span;
        format!("\"{}\"", cx.sources.text(span.file).get(span.start..span.end).unwrap_or_default())
    }

    pub(super) fn boolean(&self, cx: &mut Context<'_>) -> Option<bool> {
        match &self.node.value {
            Value::Boolean(value) => Some(*value),
            Value::String(text) if is_variable(text) => {
                let text = self.expand(cx, text)?;
                let value = text.parse().ok();
                if value.is_none() {
                    self.error(cx, "expected true or false, and the variable is something else", "");
                }
                value
            }
            Value::String(_) => self.mismatch(cx, "true or false", "leave out the quotes"),
            _ => self.mismatch(cx, "true or false", ""),
        }
    }

    /// A whole number within bounds.
    pub(super) fn integer(&self, cx: &mut Context<'_>, min: u64, max: u64) -> Option<u64> {
        let value = match &self.node.value {
            Value::Integer(value) => *value,
            Value::String(text) if is_variable(text) => {
                let text = self.expand(cx, text)?;
                let Ok(value) = text.parse() else {
                    self.error(cx, "expected a whole number, and the variable is something else", "");
                    return None;
                };
                value
            }
            Value::String(text) if text.parse::<u64>().is_ok() => {
                return self.mismatch(cx, "a whole number", "leave out the quotes");
            }
            _ => return self.mismatch(cx, "a whole number", ""),
        };
        match u64::try_from(value) {
            Ok(value) if value >= min && value <= max => Some(value),
            _ => {
                let range = if max >= i64::MAX as u64 {
                    format!("at least {min}")
                } else {
                    format!("{min} to {max}")
                };
                let message = format!("{} is out of range", self.shown(&value.to_string(), 40));
                self.error(cx, message, format!("a whole number, {range}"));
                None
            }
        }
    }

    /// A whole number, 0 or more.
    pub(super) fn count(&self, cx: &mut Context<'_>) -> Option<u64> {
        self.integer(cx, 0, i64::MAX as u64)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, cx: &mut Context<'_>, choices: &[(&str, T)]) -> Option<T> {
        let words = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        if !matches!(self.node.value, Value::String(_) | Value::Invalid) {
            return self.mismatch(cx, &format!("one of {words}"), "");
        }
        let text = self.string(cx)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let help = match nearest(&text, choices.iter().map(|(word, _)| *word)) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => String::new(),
        };
        let shown = self.shown(&text, 60);
        self.error(cx, format!("\"{shown}\" is not one of {words}"), help);
        None
    }

    /// The items of a list.
    pub(super) fn list(&self, cx: &mut Context<'_>, of: &str) -> Option<Vec<Item<'t>>> {
        match &self.node.value {
            Value::Array(nodes) => Some(
                nodes
                    .iter()
                    .enumerate()
                    .map(|(i, node)| Item { key: join_index(&self.key, i), node })
                    .collect(),
            ),
            Value::String(_) => {
                let help = format!("write it in brackets: `[{}]`", self.raw(cx));
                self.mismatch(cx, &format!("a list of {of}"), &help)
            }
            _ => self.mismatch(cx, &format!("a list of {of}"), ""),
        }
    }

    /// The value as the file spells it.
    pub(super) fn raw(&self, cx: &Context<'_>) -> String {
        let span = self.node.span;
        cx.sources.text(span.file).get(span.start..span.end).unwrap_or_default().to_owned()
    }

    /// A list of strings. Faulty ones are reported and left out.
    pub(super) fn strings(&self, cx: &mut Context<'_>) -> Option<Vec<String>> {
        let items = self.list(cx, "strings")?;
        Some(items.iter().filter_map(|item| item.string(cx)).collect())
    }

    /// The entries of a table with free keys: the key, its place, the value.
    pub(super) fn entries(&self, cx: &mut Context<'_>, what: &str) -> Option<Vec<(&'t str, Span, Item<'t>)>> {
        let Value::Table(table) = &self.node.value else { return self.mismatch(cx, what, "") };
        Some(
            table
                .entries
                .iter()
                .map(|(name, entry)| {
                    (name.as_str(), entry.key, Item { key: join_key(&self.key, name), node: &entry.node })
                })
                .collect(),
        )
    }

    /// A table with known keys.
    pub(super) fn table(&self, cx: &mut Context<'_>, keys: &'static Keys) -> Option<TableReader<'t>> {
        match &self.node.value {
            Value::Table(table) => Some(TableReader::new(table, keys, self.key.clone())),
            _ => self.mismatch(cx, "a table", ""),
        }
    }
}

/// Whether a string is one variable: a number or a switch may come from there.
fn is_variable(text: &str) -> bool {
    text.starts_with("${") && text.ends_with('}')
}

/// A table with known keys, some of which have been read.
pub(super) struct TableReader<'t> {
    table: &'t Table,
    keys: &'static Keys,
    key: String,
    asked: BTreeSet<&'static str>,
}

impl<'t> TableReader<'t> {
    pub(super) fn new(table: &'t Table, keys: &'static Keys, key: String) -> Self {
        Self { table, keys, key, asked: BTreeSet::new() }
    }

    /// The value of a key that the table of keys knows.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Item<'t>> {
        debug_assert!(self.keys.known.iter().any(|key| key.name == name), "{} lacks {name}", self.keys.id);
        self.asked.insert(name);
        let entry = self.table.entries.get(name)?;
        Some(Item { key: join_key(&self.key, name), node: &entry.node })
    }

    /// The place of the value at the end of a path of keys.
    pub(super) fn place(&self, path: &[&str]) -> Option<Span> {
        let (last, parents) = path.split_last()?;
        let mut table = self.table;
        for name in parents {
            let Value::Table(inner) = &table.entries.get(*name)?.node.value else { return None };
            table = inner;
        }
        let entry = table.entries.get(*last)?;
        // A table's own place may be the header of one of its parents.
        Some(if matches!(entry.node.value, Value::Table(_)) { entry.key } else { entry.node.span })
    }

    /// Reports every key that is not known.
    pub(super) fn finish(self, cx: &mut Context<'_>) {
        let unread = |key: &&Key| !self.asked.contains(key.name);
        debug_assert!(self.keys.known.iter().find(unread).is_none(), "{}: a key is not read", self.keys.id);
        for (name, entry) in &self.table.entries {
            if !self.keys.known.iter().any(|key| key.name == name) {
                self.unknown(cx, name, entry);
            }
        }
    }

    fn unknown(&self, cx: &mut Context<'_>, name: &str, entry: &Entry) {
        let key = join_key(&self.key, name);
        if let Some((_, help)) = self.keys.refused.iter().find(|(refused, _)| *refused == name) {
            let ignored = matches!(self.keys.id, "service" | "service_network" | "port");
            let message = if ignored { "Swarm ignores this key" } else { "this key does not belong here" };
            return cx.error(entry.key, &key, message, *help);
        }
        if self.keys.not_yet.contains(&name) {
            return cx.error(
                entry.key,
                &key,
                "not yet: this key is promised but not built",
                "leave it out for now",
            );
        }
        if self.keys.id == "service"
            && let Some(table) = belongs_under(name)
        {
            return cx.error(entry.key, &key, "unknown key", format!("write `{table}.{name}`"));
        }
        if cx.report.is_full() {
            return cx.error(entry.key, &key, "unknown key", "");
        }
        let known = self.keys.known.iter().map(|key| key.name);
        let near = nearest(name, known.chain(self.keys.not_yet.iter().copied()));
        let help = match near {
            Some(near) if self.keys.not_yet.contains(&near) => {
                format!("did you mean `{near}`? That is promised, but not built yet")
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                let known: Vec<_> = self.keys.known.iter().map(|key| key.name).collect();
                format!("known here: {}", known.join(", "))
            }
        };
        cx.error(entry.key, &key, "unknown key", help);
    }
}
