//! Variables that a template declares: what they may be, and whether a customer must give them.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};

use super::reader::{Context, Item};
use super::report::{Span, join_key};
use super::templates::Chain;
use super::tree::{Entry, Node, Table, Value};
use super::vars::{Scalar, scalar};
use crate::spec::keys::VAR;
use crate::text::{nearest, printable};

/// Declarations by the variable's name.
pub(super) type Declarations = BTreeMap<String, Declaration>;

/// What a template says of a variable.
#[derive(Clone, Debug)]
pub(super) struct Declaration {
    /// Where it stands.
    file: u32,
    kind: Kind,
    has_default: bool,
    description: Option<String>,
}

#[derive(Clone, Debug)]
enum Kind {
    Any,
    Text(Option<Pattern>),
    Integer,
    Boolean,
    /// One of these.
    Enum(Vec<String>),
}

/// What the whole of a string must match.
#[derive(Clone, Debug)]
struct Pattern {
    /// As the template has it.
    text: String,
    whole: Regex,
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Text,
    Integer,
    Boolean,
    Enum,
}

const TYPES: &[(&str, Word)] =
    &[("string", Word::Text), ("integer", Word::Integer), ("boolean", Word::Boolean), ("enum", Word::Enum)];
/// Values of an `enum`.
const VALUES_MAX: usize = 1000;
/// Bytes of a `pattern`.
const PATTERN_BYTES_MAX: usize = 1000;
/// What a compiled one may take: repetitions within repetitions need far more than their text.
const COMPILED_BYTES_MAX: usize = 256 << 10;

/// Takes the declarations out of a template's `[vars]` and leaves their defaults there.
pub(super) fn take(cx: &mut Context<'_>, root: &mut Table) -> Declarations {
    let mut declared = Declarations::new();
    let Some(Value::Table(vars)) = root.entries.get_mut("vars").map(|entry| &mut entry.node.value) else {
        return declared;
    };
    let tables: Vec<String> = vars
        .entries
        .iter()
        .filter(|(_, entry)| matches!(entry.node.value, Value::Table(_)))
        .map(|(name, _)| name.clone())
        .collect();
    for name in tables {
        let Some(entry) = vars.entries.remove(&name) else { continue };
        let item = Item { key: join_key("vars", &name), node: &entry.node };
        let (declaration, default) = read(cx, &item, entry.key);
        if let Some(node) = default {
            vars.entries.insert(name.clone(), Entry { key: entry.key, node });
        }
        declared.insert(name, declaration);
    }
    declared
}

fn read(cx: &mut Context<'_>, item: &Item<'_>, key: Span) -> (Declaration, Option<Node>) {
    let mut declaration =
        Declaration { file: key.file, kind: Kind::Any, has_default: true, description: None };
    let Some(mut table) = item.table(cx, &VAR) else { return (declaration, None) };
    let word = table.take("type").and_then(|item| item.choice(cx, TYPES));
    let [values, pattern] = ["values", "pattern"].map(|name| table.take(name));
    let default = table.take("default");
    let required = table.take("required");
    declaration.description = table.take("description").and_then(|item| item.string(cx));
    table.finish(cx);
    declaration.kind = match &pattern {
        None => kind(cx, item, word, values.as_ref()),
        Some(pattern) => patterned(cx, pattern, word, values.as_ref()),
    };
    declaration.has_default = default.is_some();
    let is_required = required.as_ref().and_then(|item| item.boolean(cx));
    match (&required, is_required) {
        (Some(item), Some(true)) if default.is_some() => {
            item.error(cx, "`required` and `default` exclude each other", "take one of the two out");
        }
        (Some(item), Some(false)) if default.is_none() => {
            item.error(cx, "there is no `default`", "write one, or take `required` out");
        }
        _ => {}
    }
    if let Some(default) = &default {
        check_value(cx, default, &declaration.kind, "");
    }
    (declaration, default.map(|item| item.node.clone()))
}

fn kind(cx: &mut Context<'_>, item: &Item<'_>, word: Option<Word>, values: Option<&Item<'_>>) -> Kind {
    let list = values.and_then(|values| {
        let list = values.strings(cx)?;
        if list.is_empty() || list.len() > VALUES_MAX {
            values.error(cx, format!("an enum has 1 to {VALUES_MAX} values"), "");
            return None;
        }
        Some(list)
    });
    match (word, values) {
        (Some(Word::Enum), None) => {
            item.error(cx, "`values` is missing", "write `values = [\"small\", \"large\"]`");
            Kind::Any
        }
        (Some(Word::Enum) | None, Some(_)) => list.map_or(Kind::Any, Kind::Enum),
        (Some(_), Some(values)) => {
            values.error(cx, "only an enum has `values`", "write `type = \"enum\"`, or take this out");
            Kind::Any
        }
        (Some(Word::Text), None) => Kind::Text(None),
        (Some(Word::Integer), None) => Kind::Integer,
        (Some(Word::Boolean), None) => Kind::Boolean,
        (None, None) => Kind::Any,
    }
}

/// A string with a `pattern`; where only that is given, it is a string.
fn patterned(cx: &mut Context<'_>, item: &Item<'_>, word: Option<Word>, values: Option<&Item<'_>>) -> Kind {
    if !matches!(word, Some(Word::Text) | None) || values.is_some() {
        item.error(cx, "only a string has a `pattern`", "write `type = \"string\"`, or take this out");
        return Kind::Any;
    }
    let Some(text) = item.string(cx) else { return Kind::Text(None) };
    match Pattern::new(&text) {
        Ok(pattern) => Kind::Text(Some(pattern)),
        Err(why) => {
            let message = format!("`{}` is not a regular expression: {why}", printable(&text, 60));
            item.error(
                cx,
                message,
                "write e.g. '[a-z0-9-]+\\.example\\.com', which the whole value must match",
            );
            Kind::Text(None)
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Self, String> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(format!("it has more than {PATTERN_BYTES_MAX} bytes"));
        }
        let compile = |text: &str| {
            let built = RegexBuilder::new(text).size_limit(COMPILED_BYTES_MAX).build();
            // The last line says what is wrong; those before show where.
            built.map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "it is too large".to_owned(),
                error => {
                    let told = error.to_string();
                    let last = told.lines().last().unwrap_or_default();
                    printable(last.trim_start_matches("error: "), 100)
                }
            })
        };
        // By itself first: no bracket of it may close ours.
        compile(text)?;
        Ok(Self { text: text.to_owned(), whole: compile(&format!("\\A(?:{text})\\z"))? })
    }
}

/// The declarations of all templates beneath a customer; the nearest counts.
pub(super) fn of_chain(chain: &Chain<'_>) -> Declarations {
    let all = chain.templates.iter().rev().flat_map(|template| template.declared.clone());
    all.collect()
}

/// Variables that only a customer gives have some value, whatever it is.
pub(super) fn define_unknown(cx: &mut Context<'_>, declared: &Declarations) {
    for (name, _) in declared.iter().filter(|(_, declaration)| !declaration.has_default) {
        cx.vars.define_unknown(name);
    }
}

/// Whether a customer gives what its templates require, and as they want it. `asked` is where it names its template.
pub(super) fn check(cx: &mut Context<'_>, declared: &Declarations, merged: &Table, asked: Span) {
    define_unknown(cx, declared);
    let none = Table::default();
    let vars = match merged.entries.get("vars").map(|entry| &entry.node.value) {
        Some(Value::Table(vars)) => vars,
        _ => &none,
    };
    for (name, declaration) in declared {
        let file = printable(cx.sources.path(declaration.file), 100);
        match vars.entries.get(name) {
            Some(entry) => {
                let item = Item { key: join_key("vars", name), node: &entry.node };
                check_value(cx, &item, &declaration.kind, &format!(", as {file} declares"));
            }
            None if cx.partial => {}
            None => {
                let meaning = declaration.description.as_ref();
                let meaning = meaning.map(|text| format!(": {}", printable(text, 200))).unwrap_or_default();
                let message = format!("{file} requires the variable `{name}`");
                cx.error(asked, "template", message, format!("write `{name}` under [vars]{meaning}"));
            }
        }
    }
}

fn check_value(cx: &mut Context<'_>, item: &Item<'_>, kind: &Kind, declared: &str) {
    let expected = match (kind, &item.node.value) {
        (_, Value::Invalid)
        | (Kind::Text(_) | Kind::Enum(_), Value::String(_))
        | (Kind::Integer, Value::Integer(_))
        | (Kind::Boolean, Value::Boolean(_)) => None,
        (Kind::Any, _) => scalar(item.node).is_none().then_some("a string, number or boolean"),
        (Kind::Text(_), _) => Some("a string"),
        (Kind::Integer, _) => Some("an integer"),
        (Kind::Boolean, _) => Some("true or false"),
        (Kind::Enum(_), _) => Some("one of its values, a string"),
    };
    if let Some(expected) = expected {
        return item.error(cx, format!("expected {expected}, found {}{declared}", item.node.kind()), "");
    }
    if let (Kind::Text(Some(pattern)), Some(Scalar::Text(text))) = (kind, scalar(item.node))
        && let Some(value) = cx.vars.with_customer(text)
        && !pattern.whole.is_match(&value)
    {
        // The value may be a secret, whatever the variable is called.
        let pattern = printable(&pattern.text, 100);
        return item.error(cx, format!("the value does not match `{pattern}`{declared}"), "");
    }
    if let (Kind::Enum(values), Some(Scalar::Text(text))) = (kind, scalar(item.node))
        && !values.iter().any(|value| value == text)
    {
        let near = nearest(text, values.iter().map(String::as_str));
        let help = near.map(|near| format!("did you mean \"{near}\"?")).unwrap_or_default();
        let known: Vec<String> = values.iter().take(20).map(|value| format!("\"{value}\"")).collect();
        item.error(cx, format!("the value is not one of {}{declared}", known.join(", ")), help);
    }
}
