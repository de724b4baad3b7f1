//! Spec files to customers: every error of every file at once, each with its place.
//!
//! The way of a text: `document` parses it (with recovery) into a `tree` of placed values,
//! `merge` lays a customer over its template, and the readers (`customer`, `service`,
//! `image`, `deploy`, `ports`) walk the tree with the kit in `reader`, filling in `vars` and
//! collecting findings in `report`.

use std::collections::{BTreeMap, BTreeSet};

use super::Customer;
use super::diagnostics::{Diagnostic, Severity};

mod container;
mod customer;
mod deploy;
mod document;
mod image;
mod layout;
mod merge;
mod networks;
mod order;
mod ports;
mod reader;
mod report;
mod service;
mod tree;
mod units;
mod vars;
mod volumes;
mod words;

#[cfg(test)]
pub(crate) mod tests;

pub use document::FILE_BYTES_MAX;
pub use layout::{FILES_MAX, is_shared};

use customer::read_customer;
use document::Document;
use layout::Layout;
use reader::Context;
use report::{Finding, Report, Sources};
use tree::{Table, Value};
use vars::Vars;

/// The text of all files of a specs directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecFiles {
    /// By path relative to the specs directory, with `/` between its parts.
    pub files: BTreeMap<String, String>,
}

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// The valid customers, by name.
    pub customers: BTreeMap<String, Customer>,
    /// The first errors of the others, by name (the stem of the file, whatever it is). Never empty
    /// for a customer that stands here; no name stands in both maps.
    pub invalid: BTreeMap<String, Vec<Diagnostic>>,
    /// All errors and warnings, by file and place. What is wrong in a template stands here
    /// once, however many customers use it.
    pub diagnostics: Vec<Diagnostic>,
}

/// A template as read by itself.
struct Template {
    file: u32,
    document: Document,
    findings: Vec<Finding>,
}

/// Errors told of one customer; `diagnostics` has all. A broken template must not cost its
/// errors times its customers.
const INVALID_MAX: usize = 50;

/// Every finding with the customers' files that ran into it in another file, a template.
type Users = BTreeMap<Finding, BTreeSet<u32>>;

/// Reads all files. One bad customer never hides the others.
pub fn load(files: &SpecFiles) -> Loaded {
    let sources = Sources::new(&files.files);
    let layout = Layout::of(&sources);
    let templates: BTreeMap<&str, Template> =
        layout.templates.iter().map(|(name, file)| (*name, load_template(&sources, *file))).collect();
    let mut loaded = Loaded::default();
    let mut all: Users = layout.findings.iter().map(|finding| (finding.clone(), BTreeSet::new())).collect();
    for template in templates.values() {
        all.extend(template.findings.iter().map(|finding| (finding.clone(), BTreeSet::new())));
    }
    for (name, files) in &layout.customers {
        for file in files {
            let (customer, mut findings) = load_customer(&sources, name, *file, &templates);
            findings.extend(layout.findings.iter().filter(|finding| finding.file == *file).cloned());
            for finding in &findings {
                let users = all.entry(finding.clone()).or_default();
                users.extend((finding.file != *file).then_some(*file));
            }
            settle(&mut loaded, &sources, name, *file, customer, findings);
        }
    }
    loaded.diagnostics =
        all.iter().map(|(finding, users)| sources.diagnostic(finding, &mention(&sources, users))).collect();
    loaded
}

/// Puts a customer among the valid or the invalid ones.
fn settle(
    loaded: &mut Loaded,
    sources: &Sources<'_>,
    name: &str,
    file: u32,
    customer: Customer,
    mut findings: Vec<Finding>,
) {
    findings.retain(|finding| finding.severity == Severity::Error);
    findings.sort();
    findings.dedup();
    if findings.is_empty() {
        loaded.customers.insert(name.to_owned(), customer);
        return;
    }
    let users = BTreeSet::from([file]);
    let diagnostics = findings.iter().take(INVALID_MAX).map(|finding| {
        let mention = if finding.file == file { String::new() } else { mention(sources, &users) };
        sources.diagnostic(finding, &mention)
    });
    loaded.invalid.entry(name.to_owned()).or_default().extend(diagnostics);
}

/// Names the customers' files that a finding in a template concerns.
fn mention(sources: &Sources<'_>, users: &BTreeSet<u32>) -> String {
    let Some(first) = users.first() else { return String::new() };
    let first = crate::text::printable(sources.path(*first), 200);
    match users.len() - 1 {
        0 => format!(" (in the template of {first})"),
        others => format!(" (in the template of {first} and {others} more)"),
    }
}

/// Reads a template by itself, so that its errors show even where customers override them
/// or nobody uses it.
fn load_template(sources: &Sources<'_>, file: u32) -> Template {
    let mut syntax = Report::default();
    let mut document = document::parse(sources, file, &mut syntax);
    if let Some(entry) = document.root.entries.remove("template") {
        let help = "use one template a customer for now".to_owned();
        syntax.error(entry.key, "template", "not yet: a template cannot have a template", Some(help));
    }
    let mut cx =
        Context { sources, report: Report::default(), vars: Vars::new(None), customer: None, partial: true };
    read_customer(&mut cx, &document.root, file);
    let mut findings = syntax.finish(file);
    findings.extend(audible(cx.report.finish(file), &[(file, &document)]));
    Template { file, document, findings }
}

/// Reads one customer with its template. All findings are returned, its template's included.
fn load_customer(
    sources: &Sources<'_>,
    name: &str,
    file: u32,
    templates: &BTreeMap<&str, Template>,
) -> (Customer, Vec<Finding>) {
    let mut syntax = Report::default();
    let document = document::parse(sources, file, &mut syntax);
    let (template, named) = find_template(&document.root, templates, &mut syntax);
    let merged = match template {
        Some(template) => merge::merge(&template.document.root, &document.root),
        None => document.root.clone(),
    };
    let mut cx = Context {
        sources,
        report: Report::default(),
        vars: Vars::new(Some(name)),
        customer: Some(name),
        partial: document.broken
            || (named && template.is_none())
            || template.is_some_and(|template| template.document.broken),
    };
    let customer = read_customer(&mut cx, &merged, file);
    // After an error a string may not have been reached.
    if !cx.partial && !cx.report.has_errors() {
        warn_unused(&mut cx, &document.root, template);
    }
    let mut findings = syntax.finish(file);
    let mut documents = vec![(file, &document)];
    documents.extend(template.map(|template| (template.file, &template.document)));
    findings.extend(audible(cx.report.finish(file), &documents));
    findings.extend(template.iter().flat_map(|template| template.findings.iter().cloned()));
    findings.sort();
    findings.dedup();
    (customer, findings)
}

/// The customer's template, and whether it names one at all.
fn find_template<'t>(
    root: &Table,
    templates: &'t BTreeMap<&str, Template>,
    report: &mut Report,
) -> (Option<&'t Template>, bool) {
    let Some(entry) = root.entries.get("template") else { return (None, false) };
    let Value::String(name) = &entry.node.value else {
        let message = format!("expected a string, found {}", entry.node.kind());
        report.error(entry.node.span, "template", &message, None);
        return (None, true);
    };
    let template = templates.get(name.as_str());
    if template.is_none() {
        let bare = name.trim_start_matches("templates/").trim_end_matches(".toml");
        let near = crate::text::nearest(bare, templates.keys().copied());
        let help = near.map_or_else(
            || format!("write templates/{bare}.toml, or take the key out"),
            |near| format!("did you mean \"{near}\"?"),
        );
        report.error(entry.node.span, "template", &format!("there is no template \"{name}\""), Some(help));
    }
    (template, true)
}

/// Warns of the customer's own variables that nothing uses and its template does not know.
fn warn_unused(cx: &mut Context<'_>, root: &Table, template: Option<&Template>) {
    let vars = |root: &Table| match root.entries.get("vars").map(|entry| &entry.node.value) {
        Some(Value::Table(table)) => table.entries.clone(),
        _ => BTreeMap::new(),
    };
    let known = template.map(|template| vars(&template.document.root)).unwrap_or_default();
    let mut own = vars(root);
    own.retain(|name, _| !known.contains_key(name));
    cx.vars.warn_unused(&own, "vars", &mut cx.report);
}

/// Without the findings that only echo syntax errors.
fn audible(findings: Vec<Finding>, documents: &[(u32, &Document)]) -> Vec<Finding> {
    let is_echo = |finding: &Finding| {
        finding.span.is_some_and(|span| {
            documents.iter().any(|(file, document)| *file == span.file && document.is_quiet(span.start))
        })
    };
    findings.into_iter().filter(|finding| !is_echo(finding)).collect()
}
