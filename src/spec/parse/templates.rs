//! Templates, and how they lie beneath one another.

use std::collections::BTreeMap;

use super::declare::{self, Declarations};
use super::document::{self, Document};
use super::layout::Layout;
use super::reader::Context;
use super::report::{Finding, Report, Sources, Span};
use super::tree::{Table, Value};
use super::vars::Vars;
use super::{audible, merge};
use crate::spec::{NoContents, VersionPolicy};
use crate::text::{nearest, printable};

/// Templates beneath one another. People lose track far earlier.
const CHAIN_MAX: usize = 16;

/// A template as read by itself.
pub(super) struct Template {
    pub(super) file: u32,
    pub(super) document: Document,
    /// The variables that it declares, by name.
    pub(super) declared: Declarations,
    pub(super) findings: Vec<Finding>,
    /// The template beneath it.
    beneath: Option<(String, Span)>,
}

/// The templates that lie beneath a file, the nearest first.
#[derive(Default)]
pub(super) struct Chain<'t> {
    pub(super) templates: Vec<&'t Template>,
    /// None is missing, and there is an end.
    pub(super) whole: bool,
}

/// All templates, by name.
#[derive(Default)]
pub(super) struct Templates<'a>(BTreeMap<&'a str, Template>);

impl<'a> Templates<'a> {
    /// Reads each by itself, so that its errors show even where customers override them or nobody uses it.
    pub(super) fn load(sources: &Sources<'_>, layout: &Layout<'a>) -> Self {
        let parsed = layout.templates.iter().map(|(name, file)| (*name, parse(sources, *file)));
        let mut templates = Self(parsed.collect());
        let names: Vec<&str> = templates.0.keys().copied().collect();
        for name in names {
            let findings = templates.check(sources, name);
            if let Some(template) = templates.0.get_mut(name) {
                template.findings.extend(findings);
            }
        }
        templates
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Template> {
        self.0.values()
    }

    /// The template of this name and those beneath it.
    pub(super) fn chain(&self, name: &str) -> Chain<'_> {
        let mut chain = Chain { templates: Vec::new(), whole: false };
        let mut next = Some(name);
        while let Some(name) = next {
            let Some(template) = self.0.get(name) else { return chain };
            let circular = chain.templates.iter().any(|seen| seen.file == template.file);
            if circular || chain.templates.len() > CHAIN_MAX {
                return chain;
            }
            chain.templates.push(template);
            next = template.beneath.as_ref().map(|(name, _)| name.as_str());
        }
        chain.whole = true;
        chain
    }

    /// Reports that there is no template of this name.
    pub(super) fn missing(&self, name: &str, span: Span, report: &mut Report) {
        let bare = name.trim_start_matches("templates/").trim_end_matches(".toml");
        let help = nearest(bare, self.0.keys().copied()).map_or_else(
            || format!("write templates/{bare}.toml, or take the key out"),
            |near| format!("did you mean \"{near}\"?"),
        );
        report.error(span, "template", &format!("there is no template \"{name}\""), Some(help));
    }

    fn check(&self, sources: &Sources<'_>, name: &str) -> Vec<Finding> {
        let Some(template) = self.0.get(name) else { return Vec::new() };
        let chain = self.chain(name);
        let mut links = Report::default();
        if let Some((beneath, span)) = &template.beneath {
            self.check_link(sources, &chain, (beneath, *span), &mut links);
        }
        let mut cx = context(sources);
        let declared = declare::of_chain(&chain);
        declare::define_unknown(&mut cx, &declared);
        super::customer::read_customer(&mut cx, &chain.merged(None), template.file);
        let mut findings = links.finish(template.file);
        findings.extend(audible(cx.report.finish(template.file), &chain.documents()));
        findings
    }

    fn check_link(&self, sources: &Sources<'_>, chain: &Chain<'_>, link: (&str, Span), report: &mut Report) {
        let (beneath, span) = link;
        if !self.0.contains_key(beneath) {
            return self.missing(beneath, span, report);
        }
        let path = |template: &Template| printable(sources.path(template.file), 60);
        let Some((first, last)) = chain.templates.first().zip(chain.templates.last()) else { return };
        let after = last.beneath.as_ref().and_then(|(name, _)| self.0.get(name.as_str()));
        if after.is_some_and(|after| after.file == first.file) {
            let circle: Vec<String> = chain.templates.iter().chain([first]).map(|one| path(one)).collect();
            let message = format!("the templates lie in a circle: {}", circle.join(" -> "));
            report.error(span, "template", &message, Some("take `template` out of one of them".into()));
        } else if chain.templates.len() > CHAIN_MAX {
            let message = format!(
                "more than {CHAIN_MAX} templates lie beneath one another, from {} down to {}",
                path(first),
                path(last)
            );
            report.error(span, "template", &message, Some("join some of them".into()));
        }
    }
}

impl Chain<'_> {
    /// The templates laid over one another, and the customer's file over them.
    pub(super) fn merged(&self, customer: Option<&Table>) -> Table {
        let mut tables = self.templates.iter().rev().map(|template| &template.document.root).chain(customer);
        let first = tables.next().cloned().unwrap_or_default();
        tables.fold(first, |below, above| merge::merge(&below, above))
    }

    pub(super) fn documents(&self) -> Vec<(u32, &Document)> {
        self.templates.iter().map(|template| (template.file, &template.document)).collect()
    }

    pub(super) fn is_broken(&self) -> bool {
        self.templates.iter().any(|template| template.document.broken)
    }
}

fn context<'a>(sources: &'a Sources<'a>) -> Context<'a> {
    Context {
        sources,
        report: Report::default(),
        vars: Vars::new(None),
        // Read where a customer uses it.
        contents: &NoContents,
        named: Vec::new(),
        customer: None,
        partial: true,
        version_defaults: VersionPolicy::default(),
    }
}

fn parse(sources: &Sources<'_>, file: u32) -> Template {
    let mut syntax = Report::default();
    let mut document = document::parse(sources, file, &mut syntax);
    let beneath = document.root.entries.remove("template").and_then(|entry| match entry.node.value {
        Value::String(name) => Some((name, entry.node.span)),
        _ => {
            let message = format!("expected a string, found {}", entry.node.kind());
            syntax.error(entry.node.span, "template", &message, None);
            None
        }
    });
    let mut cx = context(sources);
    let declared = declare::take(&mut cx, &mut document.root);
    let mut findings = syntax.finish(file);
    findings.extend(audible(cx.report.finish(file), &[(file, &document)]));
    Template { file, document, declared, findings, beneath }
}
