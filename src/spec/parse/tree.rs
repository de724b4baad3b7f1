//! A spec file as a tree of values, each with the place it came from.
//!
//! The reader walks this tree by hand instead of deriving it with serde, since serde stops
//! at the first error and forgets places when files are merged.

use std::collections::BTreeMap;

use toml::de::{DeFloat, DeInteger, DeTable, DeValue};

use super::report::{Report, Span, join_index, join_key};

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Span,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Was wrong and has been reported: readers pass over it in silence.
    Invalid,
    String(String),
    Integer(i64),
    /// As written, so that `1.10` stays `1.10` where text is wanted.
    Float(String),
    Boolean(bool),
    Datetime(toml::value::Datetime),
    Array(Vec<Node>),
    Table(Table),
}

#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<String, Entry>,
}

/// A key's place and its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Span,
    pub(super) node: Node,
}

impl Node {
    /// The kind of value, for messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Invalid => "nothing",
            Value::String(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Boolean(_) => "a boolean",
            Value::Datetime(_) => "a date or time",
            Value::Array(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

/// Takes over the parser's tree. Numbers that do not fit 64 bits are reported, unless they are echoes of what was
/// reported before.
pub(super) fn from_toml(
    file: u32,
    table: &DeTable<'_>,
    is_echo: &dyn Fn(usize) -> bool,
    report: &mut Report,
) -> Table {
    let mut found = Report::default();
    let root = table_from_toml(file, table, "", &mut found);
    report.take(found, |finding| !finding.span.is_some_and(|span| is_echo(span.start)));
    root
}

fn table_from_toml(file: u32, table: &DeTable<'_>, key: &str, report: &mut Report) -> Table {
    let mut entries = BTreeMap::new();
    for (name, value) in table.iter() {
        let range = name.span();
        let at = join_key(key, name.get_ref());
        let node = node_from_toml(file, value.span(), value.get_ref(), &at, report);
        let entry = Entry { key: Span { file, start: range.start, end: range.end }, node };
        entries.insert(name.get_ref().to_string(), entry);
    }
    Table { entries }
}

fn node_from_toml(
    file: u32,
    range: std::ops::Range<usize>,
    value: &DeValue<'_>,
    key: &str,
    report: &mut Report,
) -> Node {
    let span = Span { file, start: range.start, end: range.end };
    let value = match value {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Boolean(*value),
        DeValue::Datetime(value) => Value::Datetime(*value),
        DeValue::Table(table) => Value::Table(table_from_toml(file, table, key, report)),
        DeValue::Float(float) => float_from_toml(float, span, key, report),
        DeValue::Integer(integer) => integer_from_toml(integer, span, key, report),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .enumerate()
                .map(|(i, item)| {
                    node_from_toml(file, item.span(), item.get_ref(), &join_index(key, i), report)
                })
                .collect(),
        ),
    };
    Node { value, span }
}

fn integer_from_toml(integer: &DeInteger<'_>, span: Span, key: &str, report: &mut Report) -> Value {
    match i64::from_str_radix(integer.as_str(), integer.radix()) {
        Ok(value) => Value::Integer(value),
        // What is left of a syntax error, which has been reported.
        Err(_) if integer.as_str().is_empty() => Value::Invalid,
        Err(_) => {
            report.error(span, key, "the number does not fit 64 bits", Some("write a smaller number".into()));
            Value::Invalid
        }
    }
}

fn float_from_toml(float: &DeFloat<'_>, span: Span, key: &str, report: &mut Report) -> Value {
    match float.as_str().parse::<f64>() {
        Ok(value) if value.is_finite() => Value::Float(float.as_str().to_owned()),
        Ok(_) => {
            report.error(span, key, "the number is not finite", Some("write a finite number".into()));
            Value::Invalid
        }
        Err(_) => Value::Invalid,
    }
}
