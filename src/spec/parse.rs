//! Spec files to customers: every error of every file at once, each with its place.
//!
//! The way of a text: `document` parses it (with recovery) into a `tree` of placed values,
//! `merge` lays a customer over its `templates`, which may `declare` variables, and the readers (`customer`, `service`,
//! `image`, `deploy`, `ports`) walk the tree with the kit in `reader`, filling in `vars` and
//! collecting findings in `report`.

use std::collections::{BTreeMap, BTreeSet};

use super::Customer;
use super::diagnostics::{Diagnostic, Severity};
use super::fleet::{Fleet, NamedVolumes, free_volumes};
use super::{Contents, NoContents};

mod container;
mod customer;
mod declare;
mod deploy;
mod document;
mod env_file;
mod fleet;
mod image;
mod layout;
mod merge;
mod networks;
mod order;
mod ports;
mod reader;
mod report;
mod secrets;
mod service;
mod templates;
mod tree;
mod units;
mod vars;
mod volumes;
mod words;

#[cfg(test)]
pub(crate) mod tests;

pub use document::FILE_BYTES_MAX;
pub use image::following;
pub use layout::{FILES_MAX, FLEET_FILE, is_customer_name, is_shared};

use customer::read_customer;
use declare::Declarations;
use document::Document;
use layout::Layout;
use reader::Context;
use report::{Finding, Report, Sources, Span};
use templates::{Chain, Templates};
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
    /// The files of the templates beneath each valid customer, the nearest first; who has none is left out.
    pub templates: BTreeMap<String, Vec<String>>,
    /// The rules for all of them. `None`: `fleet.toml` has errors, so that nobody knows the rules; then no customer
    /// is valid.
    pub fleet: Option<Fleet>,
    /// By customer, valid or not: volumes under names that do not say whose they are.
    pub volumes: BTreeMap<String, BTreeSet<String>>,
}

/// Errors told of one customer; `diagnostics` has all. A broken template must not cost its
/// errors times its customers.
const INVALID_MAX: usize = 50;

/// What is the same for all customers.
struct Rules<'a> {
    /// `None`: nobody knows them.
    fleet: Option<&'a Fleet>,
    /// The names of all, valid or not.
    customers: BTreeSet<&'a str>,
    /// What volumes they name.
    volumes: NamedVolumes,
}

/// Every finding with the customers' files that ran into it in another file, a template.
type Users = BTreeMap<Finding, BTreeSet<u32>>;

/// Reads all files. One bad customer never hides the others. What secrets and configs hold is
/// not asked for.
pub fn load(files: &SpecFiles) -> Loaded {
    load_with(files, &NoContents)
}

/// Reads all files, with the content that they name.
pub fn load_with(files: &SpecFiles, contents: &dyn Contents) -> Loaded {
    load_some(files, &BTreeSet::new(), &NamedVolumes::default(), contents)
}

/// Reads some of the files, with all that customers share among them. `customers` are the names of those that
/// have files, read here or not, and `volumes` what they name: nobody names what is another's.
pub fn load_some(
    files: &SpecFiles,
    customers: &BTreeSet<&str>,
    volumes: &NamedVolumes,
    contents: &dyn Contents,
) -> Loaded {
    let sources = Sources::new(&files.files);
    let layout = Layout::of(&sources);
    let templates = Templates::load(&sources, &layout);
    let (fleet, broken) = layout.fleet.map(|file| fleet::load(&sources, file)).unwrap_or_default();
    let is_broken = broken.iter().any(|finding| finding.severity == Severity::Error);
    let fleet = Some(fleet).filter(|_| !is_broken);
    let mut rules = Rules {
        fleet: fleet.as_ref(),
        customers: layout.customers.keys().chain(customers).copied().collect(),
        volumes: NamedVolumes::default(),
    };
    let mut loaded = Loaded::default();
    let mut all: Users = layout.findings.iter().map(|finding| (finding.clone(), BTreeSet::new())).collect();
    for template in templates.iter() {
        all.extend(template.findings.iter().map(|finding| (finding.clone(), BTreeSet::new())));
    }
    all.extend(broken.iter().map(|finding| (finding.clone(), BTreeSet::new())));
    let load = |name: &str, file: u32, rules: &Rules<'_>| {
        load_customer(&sources, contents, name, file, &templates, rules)
    };
    let mut read: BTreeMap<u32, Read> = BTreeMap::new();
    for (name, files) in &layout.customers {
        read.extend(files.iter().map(|file| (*file, load(name, *file, &rules))));
    }
    // Only now it is known who names the same.
    loaded.volumes = free_volumes_of(&read);
    rules.volumes = volumes.clone();
    loaded.volumes.iter().for_each(|(customer, names)| rules.volumes.add(customer, names));
    let sharers = rules.volumes.sharers();
    for (name, files) in layout.customers.iter().filter(|(name, _)| sharers.contains(*name)) {
        read.extend(files.iter().map(|file| (*file, load(name, *file, &rules))));
    }
    for (name, files) in &layout.customers {
        for file in files {
            let Some((customer, mut findings, beneath)) = read.remove(file) else { continue };
            findings.extend(broken.iter().cloned());
            findings.extend(layout.findings.iter().filter(|finding| finding.file == *file).cloned());
            for finding in &findings {
                let users = all.entry(finding.clone()).or_default();
                let elsewhere = finding.file != *file && !fleet::is_fleet(&sources, finding.file);
                users.extend(elsewhere.then_some(*file));
            }
            settle(&mut loaded, &sources, name, *file, customer, findings);
            if loaded.customers.contains_key(*name) && !beneath.is_empty() {
                let beneath = beneath.iter().map(|file| sources.path(*file).to_owned());
                loaded.templates.insert((*name).to_owned(), beneath.collect());
            }
        }
    }
    loaded.fleet = fleet;
    loaded.diagnostics =
        all.iter().map(|(finding, users)| sources.diagnostic(finding, &mention(&sources, users))).collect();
    loaded
}

/// By customer, the volumes whose names do not say whose they are.
fn free_volumes_of(read: &BTreeMap<u32, Read>) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (customer, ..) in read.values().filter(|(customer, ..)| !customer.volumes.is_empty()) {
        let names = free_volumes(customer);
        if !names.is_empty() {
            all.entry(customer.name.clone()).or_default().extend(names);
        }
    }
    all
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
        let is_template = finding.file != file && !fleet::is_fleet(sources, finding.file);
        let mention = if is_template { mention(sources, &users) } else { String::new() };
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

/// A customer, all findings (its templates' included), and the files of those templates.
type Read = (Customer, Vec<Finding>, Vec<u32>);

/// Reads one customer with its templates.
fn load_customer(
    sources: &Sources<'_>,
    contents: &dyn Contents,
    name: &str,
    file: u32,
    templates: &Templates<'_>,
    rules: &Rules<'_>,
) -> Read {
    let mut syntax = Report::default();
    let document = document::parse(sources, file, &mut syntax);
    let (chain, asked) = find_template(&document.root, templates, &mut syntax);
    let merged = chain.merged(Some(&document.root));
    let mut cx = Context {
        sources,
        report: Report::default(),
        vars: Vars::new(Some(name)),
        contents,
        named: Vec::new(),
        customer: Some(name),
        partial: document.broken || !chain.whole || chain.is_broken(),
        version_defaults: rules.fleet.map(|fleet| fleet.version_defaults.clone()).unwrap_or_default(),
    };
    let declared = declare::of_chain(&chain);
    if let Some(asked) = asked {
        declare::check(&mut cx, &declared, &merged, asked);
    }
    let customer = read_customer(&mut cx, &merged, file);
    // After an error a string may not have been reached.
    if !cx.partial && !cx.report.has_errors() {
        if let Some(fleet) = rules.fleet {
            let known = (&rules.customers, &rules.volumes);
            fleet::enforce(&mut cx, fleet, &customer, known, &merged, file);
        }
        warn_unused(&mut cx, &document.root, &chain, &declared);
    }
    let mut findings = syntax.finish(file);
    let mut documents = vec![(file, &document)];
    documents.extend(chain.documents());
    findings.extend(audible(cx.report.finish(file), &documents));
    findings.extend(chain.templates.iter().flat_map(|template| template.findings.iter().cloned()));
    findings.sort();
    findings.dedup();
    (customer, findings, chain.templates.iter().map(|template| template.file).collect())
}

/// The customer's templates, and where it names the first.
fn find_template<'t>(
    root: &Table,
    templates: &'t Templates<'_>,
    report: &mut Report,
) -> (Chain<'t>, Option<Span>) {
    let none = |whole| Chain { templates: Vec::new(), whole };
    let Some(entry) = root.entries.get("template") else { return (none(true), None) };
    let span = entry.node.span;
    let Value::String(name) = &entry.node.value else {
        let message = format!("expected a string, found {}", entry.node.kind());
        report.error(span, "template", &message, None);
        return (none(false), None);
    };
    let chain = templates.chain(name);
    if chain.templates.is_empty() {
        templates.missing(name, span, report);
    }
    (chain, Some(span))
}

/// Warns of the customer's own variables that nothing uses and its templates do not know; where those declare
/// variables, it is an error.
fn warn_unused(cx: &mut Context<'_>, root: &Table, chain: &Chain<'_>, declared: &Declarations) {
    let vars = |root: &Table| match root.entries.get("vars").map(|entry| &entry.node.value) {
        Some(Value::Table(table)) => table.entries.clone(),
        _ => BTreeMap::new(),
    };
    let mut own = vars(root);
    for template in &chain.templates {
        let known = vars(&template.document.root);
        own.retain(|name, _| !known.contains_key(name));
    }
    own.retain(|name, _| !declared.contains_key(name));
    let declared: Vec<&str> = declared.keys().map(String::as_str).collect();
    cx.vars.warn_unused(&own, "vars", &declared, &mut cx.report);
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
