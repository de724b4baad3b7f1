//! `${name}` inside strings.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Report, Span, join_key};
use super::tree::{Entry, Node, Table, Value};
use crate::text::{nearest, printable};

/// The variable that always exists: the customer's name.
pub(super) const CUSTOMER: &str = "customer";
/// Variables of a customer, its template's included.
const VARS_MAX: usize = 1000;
/// Bytes of one string after its variables are filled in. An environment variable of Linux
/// may have 128 KiB.
const EXPANDED_BYTES_MAX: usize = 128 << 10;
/// Bytes of all strings of one customer after their variables are filled in: short texts
/// that name long ones must not fill the memory.
const EXPANDED_TOTAL_BYTES_MAX: usize = 8 << 20;

/// The variables of one customer and what was done with them.
#[derive(Debug, Default)]
pub(super) struct Vars {
    /// `None`: it has a value, but one that cannot be known or was reported as wrong.
    values: BTreeMap<String, Option<String>>,
    used: BTreeSet<String>,
    bytes: usize,
}

/// Why a string could not be filled in.
struct Fault {
    /// The text at fault, to point at.
    fragment: String,
    message: String,
    help: Option<String>,
    /// The name that is not defined here; a customer may define it.
    undefined: Option<String>,
}

/// A text in parts.
enum Part<'a> {
    Text(&'a str),
    /// What stands between `${` and `}`.
    Var(&'a str),
    Unterminated,
}

impl Vars {
    /// Variables of a file as such, without a customer: `${customer}` has an unknown value.
    pub(super) fn new(customer: Option<&str>) -> Self {
        let values = BTreeMap::from([(CUSTOMER.to_owned(), customer.map(str::to_owned))]);
        Self { values, ..Self::default() }
    }

    /// Reads `[vars]`. Values may name `${customer}` and nothing else, so there are no cycles.
    pub(super) fn define(&mut self, table: &Table, at: &str, report: &mut Report) {
        for (count, (name, entry)) in table.entries.iter().enumerate() {
            let key = join_key(at, name);
            if count >= VARS_MAX {
                report.error(entry.key, &key, &format!("more than {VARS_MAX} variables"), None);
                return;
            }
            if name == CUSTOMER {
                let help = "take it out: it is the name of the file".to_owned();
                report.error(entry.key, &key, "`customer` cannot be set", Some(help));
                continue;
            }
            if !is_name(name) {
                let help = "letters, digits, `_` and `-`, not beginning with a digit or `-`".to_owned();
                report.error(entry.key, &key, "not a variable name", Some(help));
                continue;
            }
            let value = self.value(&entry.node, &key, report);
            self.values.insert(name.clone(), value);
        }
    }

    fn value(&self, node: &Node, key: &str, report: &mut Report) -> Option<String> {
        let text = match scalar(node) {
            Some(Scalar::Text(text)) => text,
            Some(Scalar::Other(text)) => return Some(text),
            None => {
                if !matches!(node.value, Value::Invalid) {
                    let message = format!("expected a string, number or boolean, found {}", node.kind());
                    let table = matches!(node.value, Value::Table(_));
                    let help = "only a template declares variables; write the value here".to_owned();
                    report.error(node.span, key, &message, table.then_some(help));
                }
                return None;
            }
        };
        let mut fault = None;
        let value = fill(text, &self.own(), &mut fault, &mut |_| {});
        if let Some(mut fault) = fault {
            if fault.undefined.is_some() {
                fault.message = "a variable may only refer to ${customer}".into();
                fault.help = Some("write the text out here; variables are not filled in twice".into());
            }
            report.error(node.span, key, &fault.message, fault.help);
        }
        value
    }

    /// What a variable's own value may name.
    fn own(&self) -> BTreeMap<String, Option<String>> {
        BTreeMap::from([(CUSTOMER.to_owned(), self.values.get(CUSTOMER).cloned().flatten())])
    }

    /// A variable's value with `${customer}` filled in. `None`: that is not known here, or it is faulty.
    pub(super) fn with_customer(&self, text: &str) -> Option<String> {
        fill(text, &self.own(), &mut None, &mut |_| {})
    }

    /// A variable whose value is not known here, unless it is defined later.
    pub(super) fn define_unknown(&mut self, name: &str) {
        self.values.insert(name.to_owned(), None);
    }

    /// The string with its variables filled in. `None`: it could not be, and that has been
    /// reported, or (`partial`) the value comes from a customer that is not known here.
    pub(super) fn expand(
        &mut self,
        text: &str,
        place: &Place<'_>,
        partial: bool,
        report: &mut Report,
    ) -> Option<String> {
        let mut fault = None;
        let used = &mut self.used;
        let value = fill(text, &self.values, &mut fault, &mut |name| {
            if !used.contains(name) {
                used.insert(name.to_owned());
            }
        });
        if let Some(fault) = fault {
            if !(report.is_full() || partial && fault.undefined.is_some()) {
                let help = fault.undefined.as_ref().map(|name| self.undefined_help(name));
                report.error(place.of(&fault.fragment), place.key, &fault.message, fault.help.or(help));
            }
            return None;
        }
        let value = value?;
        self.bytes += value.len();
        if self.bytes > EXPANDED_TOTAL_BYTES_MAX {
            let help = format!("at most {EXPANDED_TOTAL_BYTES_MAX} bytes a customer");
            report.error(place.span, place.key, "the strings are too long with their variables", Some(help));
            return None;
        }
        Some(value)
    }

    fn undefined_help(&self, name: &str) -> String {
        match nearest(name, self.values.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `${{{near}}}`?"),
            None => {
                format!("write `{} = \"…\"` under [vars], or `$${{` for the text itself", printable(name, 64))
            }
        }
    }

    /// Variables that no string names.
    /// Where templates declare variables, others are errors.
    pub(super) fn warn_unused(
        &self,
        table: &BTreeMap<String, Entry>,
        at: &str,
        declared: &[&str],
        report: &mut Report,
    ) {
        for (name, entry) in table {
            let is_known = matches!(self.values.get(name), Some(Some(_)));
            if is_known && !self.used.contains(name) && name != CUSTOMER {
                let named = declared.iter().copied().chain(self.used.iter().map(String::as_str));
                let help = nearest(name, named).map(|near| format!("did you mean `{near}`?"));
                let key = join_key(at, name);
                if declared.is_empty() {
                    report.warning(entry.key, &key, "no string names this variable", help);
                } else {
                    let message = "no template declares this variable, and no string names it";
                    report.error(entry.key, &key, message, help);
                }
            }
        }
    }
}

/// Where a string stands.
pub(super) struct Place<'a> {
    pub(super) span: Span,
    pub(super) key: &'a str,
    /// The text of the whole file.
    pub(super) source: &'a str,
}

impl Place<'_> {
    /// The part of the string that reads like the fragment, else the whole string.
    fn of(&self, fragment: &str) -> Span {
        let raw = self.source.get(self.span.start..self.span.end).unwrap_or_default();
        match raw.find(fragment) {
            Some(i) if !fragment.is_empty() => {
                let start = self.span.start + i;
                Span { start, end: start + fragment.len(), ..self.span }
            }
            _ => self.span,
        }
    }
}

/// A scalar as text.
pub(super) enum Scalar<'a> {
    /// A string, whose variables are still to be filled in.
    Text(&'a str),
    Other(String),
}

/// The text of a string, number or boolean.
pub(super) fn scalar(node: &Node) -> Option<Scalar<'_>> {
    Some(match &node.value {
        Value::String(text) => Scalar::Text(text),
        Value::Integer(value) => Scalar::Other(value.to_string()),
        Value::Float(text) => Scalar::Other(text.clone()),
        Value::Boolean(value) => Scalar::Other(value.to_string()),
        _ => return None,
    })
}

/// Whether a text names variables other than the customer's name, which is no secret.
pub(super) fn names_any(text: &str) -> bool {
    parts(text).iter().any(|part| matches!(part, Part::Var(name) if *name != CUSTOMER))
}

fn fill(
    text: &str,
    values: &BTreeMap<String, Option<String>>,
    fault: &mut Option<Fault>,
    used: &mut dyn FnMut(&str),
) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut known = true;
    for part in parts(text) {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Var(name) => match values.get(name) {
                Some(value) => {
                    used(name);
                    known &= value.is_some();
                    out.push_str(value.as_deref().unwrap_or_default());
                }
                None => {
                    *fault = Some(undefined(name));
                    return None;
                }
            },
            Part::Unterminated => {
                *fault = Some(Fault {
                    fragment: "${".into(),
                    message: "`${` without its `}`".into(),
                    help: Some("close it, or write `$${` for the text itself".into()),
                    undefined: None,
                });
                return None;
            }
        }
        if out.len() > EXPANDED_BYTES_MAX {
            *fault = Some(Fault {
                fragment: String::new(),
                message: format!("the string has more than {EXPANDED_BYTES_MAX} bytes"),
                help: Some("a large text belongs in a config or in the image".into()),
                undefined: None,
            });
            return None;
        }
    }
    known.then_some(out)
}

fn undefined(name: &str) -> Fault {
    let fragment = format!("${{{name}}}");
    let shown = printable(name, 64);
    if !is_name(name) {
        return Fault {
            fragment,
            message: format!("`${{{shown}}}` is not a variable"),
            help: Some("write `${name}`; `$$` is a dollar; defaults stand in the template's [vars]".into()),
            undefined: None,
        };
    }
    let message = format!("undefined variable `{shown}`");
    Fault { fragment, message, help: None, undefined: Some(name.to_owned()) }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// Splits a text at `$$` (a dollar) and `${name}`; any other `$` is itself.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(i) = rest.find('$') {
        out.push(Part::Text(&rest[..i]));
        rest = &rest[i..];
        if let Some(name_on) = rest.strip_prefix("${") {
            let Some(close) = name_on.find('}') else {
                out.push(Part::Unterminated);
                return out;
            };
            out.push(Part::Var(&name_on[..close]));
            rest = &name_on[close + 1..];
        } else {
            out.push(Part::Text("$"));
            rest = rest.strip_prefix("$$").unwrap_or(&rest[1..]);
        }
    }
    out.push(Part::Text(rest));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filled(text: &str) -> Result<String, String> {
        let values = BTreeMap::from([
            ("customer".to_owned(), Some("acme".to_owned())),
            ("domain".to_owned(), Some("a.b".to_owned())),
        ]);
        let mut fault = None;
        let value = fill(text, &values, &mut fault, &mut |_| {});
        fault.map_or_else(|| Ok(value.unwrap()), |fault| Err(fault.message))
    }

    #[test]
    fn fills_in() {
        for (text, expected) in [
            ("", ""),
            ("plain", "plain"),
            ("${customer}.${domain}", "acme.a.b"),
            ("$", "$"),
            ("a$b $ c$", "a$b $ c$"),
            ("$$", "$"),
            ("$$$", "$$"),
            ("$${customer}", "${customer}"),
            ("$$${customer}", "$acme"),
            ("ä${domain}ö", "äa.bö"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("${", "`${` without its `}`"),
            ("${x", "`${` without its `}`"),
            ("${}", "`${}` is not a variable"),
            ("${a:-b}", "`${a:-b}` is not a variable"),
            ("${domian}", "undefined variable `domian`"),
        ] {
            assert_eq!(filled(text).unwrap_err(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn doubling_dollars_keeps_the_text(text in "(?s).{0,60}") {
            prop_assert_eq!(filled(&text.replace('$', "$$")), Ok(text));
        }
    }
}
