//! `fleet.toml`, and its rules at the places of the specs that break them.

use std::collections::{BTreeMap, BTreeSet};

use super::container::read_capabilities;
use super::deploy::{read_cpus, read_memory, read_ratio};
use super::document::{self, Document};
use super::image::{read_exclude, read_own_duration, read_prerelease, read_retag};
use super::layout::is_customer_name;
use super::reader::{Context, Item, TableReader};
use super::report::{Finding, Report, Sources, Span, join_index, join_key};
use super::tree::{Node, Table, Value};
use super::vars::{self, Scalar, Vars, scalar};
use super::volumes::is_name as is_volume_name;
use super::{FLEET_FILE, audible};
use crate::image::Repository;
use crate::spec::NoContents;
use crate::spec::fleet::{
    Capabilities, ContentRules, Fleet, Forbid, ImagePattern, Limits, NAME, NamedVolumes, Prune, UPPER_NAME,
    check,
};
use crate::spec::keys::{CONTENTS, DEFAULTS, FLEET, FLEET_LIMITS, FORBID, PRUNE, VERSION_DEFAULTS};
use crate::spec::{Customer, VersionPolicy};
use crate::text::printable;

/// The rules as read, and what is wrong with them.
pub(super) fn load(sources: &Sources<'_>, file: u32) -> (Fleet, Vec<Finding>) {
    let mut syntax = Report::default();
    let document: Document = document::parse(sources, file, &mut syntax);
    let mut cx = Context {
        sources,
        report: Report::default(),
        // None at all: a rule must not hang on a customer.
        vars: Vars::default(),
        contents: &NoContents,
        named: Vec::new(),
        customer: None,
        partial: document.broken,
        version_defaults: VersionPolicy::default(),
    };
    let fleet = read(&mut cx, &document.root);
    let mut findings = syntax.finish(file);
    findings.extend(audible(cx.report.finish(file), &[(file, &document)]));
    (fleet, findings)
}

fn read(cx: &mut Context<'_>, root: &Table) -> Fleet {
    let mut table = TableReader::new(root, &FLEET, String::new());
    let fleet = Fleet {
        allowed_images: table.take("allowed_images").map(|item| read_patterns(cx, &item)),
        required_labels: table.take("required_labels").and_then(|item| item.strings(cx)).unwrap_or_default(),
        forbid: table.take("forbid").and_then(|item| read_forbid(cx, &item)).unwrap_or_default(),
        limits: table.take("limits").and_then(|item| read_limits(cx, &item)).unwrap_or_default(),
        version_defaults: table
            .take("defaults")
            .and_then(|item| read_defaults(cx, &item))
            .unwrap_or_default(),
        grants: table.take("grants").map(|item| read_grants(cx, &item)).unwrap_or_default(),
        contents: table.take("contents").and_then(|item| read_contents(cx, &item)).unwrap_or_default(),
        prune: table.take("prune").and_then(|item| read_prune(cx, &item)).unwrap_or_default(),
    };
    table.finish(cx);
    fleet
}

fn read_patterns(cx: &mut Context<'_>, item: &Item<'_>) -> Vec<ImagePattern> {
    let mut patterns = Vec::new();
    for item in item.list(cx, "strings").unwrap_or_default() {
        let Some(text) = item.string(cx) else { continue };
        match pattern(&text) {
            Some(pattern) => patterns.push(pattern),
            None => item.error(
                cx,
                format!("`{}` is neither a repository nor a prefix of some", printable(&text, 80)),
                "write \"registry.example.com/team/app\", or \"registry.example.com/team/*\"",
            ),
        }
    }
    patterns
}

/// A `*` stands after a `/` and for all that follows: `registry.example*` would let other hosts in.
fn pattern(text: &str) -> Option<ImagePattern> {
    if text == "*" {
        return Some(ImagePattern::All);
    }
    let Some(prefix) = text.strip_suffix("/*") else {
        return text.parse().ok().map(ImagePattern::One);
    };
    // As docker takes it: a first part without a dot is a name on Docker Hub.
    let example: Repository = format!("{prefix}/x").parse().ok()?;
    Some(ImagePattern::Beneath(example.normalized().strip_suffix('x')?.to_owned()))
}

fn read_forbid(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Forbid> {
    let mut table = item.table(cx, &FORBID)?;
    let mut flag =
        |cx: &mut Context<'_>, name| table.take(name).and_then(|item| item.boolean(cx)).unwrap_or(false);
    let mut forbid = Forbid {
        docker_socket: flag(cx, "docker_socket"),
        host_binds: flag(cx, "host_binds"),
        host_network: flag(cx, "host_network"),
        host_ports: flag(cx, "host_ports"),
        privileged_ports: flag(cx, "privileged_ports"),
        cap_add: Capabilities::None,
    };
    if let Some(item) = table.take("cap_add") {
        forbid.cap_add = match item.node.value {
            Value::Boolean(true) => Capabilities::All,
            Value::Boolean(false) => Capabilities::None,
            _ => read_capabilities(cx, &item).map_or(Capabilities::None, Capabilities::These),
        };
    }
    table.finish(cx);
    Some(forbid)
}

fn read_limits(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Limits> {
    let mut table = item.table(cx, &FLEET_LIMITS)?;
    let limits = Limits {
        services: table.take("services").and_then(|item| item.count(cx)),
        replicas: table.take("replicas").and_then(|item| item.count(cx)),
        nano_cpus: table.take("cpus").and_then(|item| read_cpus(cx, &item)),
        memory_bytes: table.take("memory").and_then(|item| read_memory(cx, &item)),
    };
    table.finish(cx);
    Some(limits)
}

fn read_defaults(cx: &mut Context<'_>, item: &Item<'_>) -> Option<VersionPolicy> {
    let mut table = item.table(cx, &DEFAULTS)?;
    let version = table.take("version");
    table.finish(cx);
    let mut table = version?.table(cx, &VERSION_DEFAULTS)?;
    let ours = VersionPolicy::default();
    let policy = VersionPolicy {
        prerelease: table
            .take("prerelease")
            .and_then(|item| read_prerelease(cx, &item))
            .unwrap_or(ours.prerelease),
        exclude: table.take("exclude").and_then(|item| read_exclude(cx, &item)).unwrap_or(ours.exclude),
        min_age: table.take("min_age").and_then(|item| read_own_duration(cx, &item)).unwrap_or(ours.min_age),
        retag: table.take("retag").and_then(|item| read_retag(cx, &item)).unwrap_or(ours.retag),
        downgrade: table.take("downgrade").and_then(|item| item.boolean(cx)).unwrap_or(ours.downgrade),
        require: ours.require,
        tags: ours.tags,
    };
    table.finish(cx);
    Some(policy)
}

fn read_grants(cx: &mut Context<'_>, item: &Item<'_>) -> BTreeMap<String, Vec<String>> {
    let mut grants = BTreeMap::new();
    for (customer, span, item) in item.entries(cx, "a table of customers").unwrap_or_default() {
        if !is_customer_name(customer) {
            cx.error(span, &item.key, "not a customer name", "lower-case letters, digits and `-`");
        }
        let mut names = Vec::new();
        for item in item.list(cx, "strings").unwrap_or_default() {
            let Some(name) = item.string(cx) else { continue };
            let owned = name.split_once('_').is_some_and(|(owner, _)| is_customer_name(owner));
            // Of a volume that is nobody's by its name, all of it.
            if !owned && !is_volume_name(&name) {
                let message =
                    format!("`{}` names nothing of a customer, and no volume", printable(&name, 60));
                item.error(
                    cx,
                    message,
                    "write e.g. \"globex_shared\", \"globex_*\", or the name of a volume",
                );
            }
            names.push(name);
        }
        grants.insert(customer.to_owned(), names);
    }
    grants
}

fn read_contents(cx: &mut Context<'_>, item: &Item<'_>) -> Option<ContentRules> {
    let mut table = item.table(cx, &CONTENTS)?;
    let mut texts = |cx: &mut Context<'_>, name, is_good: fn(&str) -> bool, help: &str| {
        let items = table.take(name)?.list(cx, "strings").unwrap_or_default();
        Some(items.iter().filter_map(|item| read_pattern(cx, item, is_good, help)).collect())
    };
    let environment =
        texts(cx, "environment", is_variable_pattern, "write e.g. \"${CUSTOMER}_*\" or \"SHARED_TOKEN\"");
    let files = texts(cx, "files", is_folder_pattern, "write e.g. \"*/${customer}\" or \"shared\"");
    table.finish(cx);
    Some(ContentRules { environment, files })
}

/// A text in which the customer's name is left open, so that no variable is filled in here.
fn read_pattern(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    is_good: fn(&str) -> bool,
    help: &str,
) -> Option<String> {
    let Value::String(text) = &item.node.value else { return item.mismatch(cx, "a string", "") };
    let left = text.replace(NAME, "x").replace(UPPER_NAME, "X");
    if left.contains('$') || !is_good(&left) {
        let message = format!("`{}` is no such pattern", printable(text, 80));
        item.error(cx, message, help);
        return None;
    }
    Some(text.clone())
}

fn is_variable_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    !text.is_empty() && !name.contains(['*', '=', '\0'])
}

fn is_folder_pattern(text: &str) -> bool {
    let is_part =
        |part: &str| !matches!(part, "" | "." | "..") && (part == "*" || !part.contains(['*', '\\', '\0']));
    text == "." || text.split('/').all(is_part)
}

fn read_prune(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Prune> {
    let mut prune = Prune::default();
    if let Value::Boolean(enabled) = item.node.value {
        return Some(Prune { enabled, ..prune });
    }
    if !matches!(item.node.value, Value::Table(_)) {
        return item.mismatch(cx, "true, false or a table", "");
    }
    let mut table = item.table(cx, &PRUNE)?;
    if let Some(enabled) = table.take("enabled").and_then(|item| item.boolean(cx)) {
        prune.enabled = enabled;
    }
    if let Some(grace) = table.take("grace").and_then(|item| read_own_duration(cx, &item)) {
        prune.grace = grace;
    }
    if let Some(share) = table.take("share").and_then(|item| read_ratio(cx, &item)) {
        prune.share = share;
    }
    table.finish(cx);
    Some(prune)
}

/// Reports what a customer's spec has against the fleet's rules.
pub(super) fn enforce(
    cx: &mut Context<'_>,
    fleet: &Fleet,
    customer: &Customer,
    known: (&BTreeSet<&str>, &NamedVolumes),
    root: &Table,
    file: u32,
) {
    for violation in check(fleet, customer, known.0, known.1) {
        let (span, key, node) = place(root, &violation.path);
        let spelt = violation.value().zip(node).and_then(|(value, node)| spelt(node, value));
        let (message, help) = (violation.message(spelt), violation.help(spelt));
        match span {
            Some(span) => cx.error(span, &key, &message, help),
            None => cx.report.file_error(file, &key, &message, Some(help)),
        }
    }
}

/// The text to show in place of a value that comes from variables, as the file spells it; `None`: the value itself.
fn spelt<'t>(node: &'t Node, value: &str) -> Option<&'t str> {
    if let Value::String(text) = &node.value {
        return vars::names_any(text).then_some(text);
    }
    // Which one of a list's or table's it is from is not known; what stands there as it is hides nothing.
    let mut texts = Vec::new();
    scalars(node, &mut texts);
    let is_plain = |one: &Scalar<'_>| match one {
        Scalar::Text(text) => !vars::names_any(text) && text.contains(value),
        Scalar::Other(text) => text == value,
    };
    if texts.iter().any(is_plain) {
        return None;
    }
    texts.into_iter().find_map(|one| match one {
        Scalar::Text(text) => vars::names_any(text).then_some(text),
        Scalar::Other(_) => None,
    })
}

/// All texts and numbers in a value, at whatever depth.
fn scalars<'t>(node: &'t Node, found: &mut Vec<Scalar<'t>>) {
    match &node.value {
        Value::Table(table) => table.entries.values().for_each(|entry| scalars(&entry.node, found)),
        Value::Array(nodes) => nodes.iter().for_each(|node| scalars(node, found)),
        _ => found.extend(scalar(node)),
    }
}

/// The deepest place on the way to a key, how far that is, and what stands there.
fn place<'t>(root: &'t Table, path: &[String]) -> (Option<Span>, String, Option<&'t Node>) {
    let (mut span, mut key, mut last) = (None, String::new(), None);
    let mut table = Some(root);
    let mut list: Option<&[Node]> = None;
    for part in path {
        let node = if let Some(entry) = table.and_then(|table| table.entries.get(part)) {
            key = join_key(&key, part);
            // A table's own place may be the header of one of its parents.
            let is_table = matches!(entry.node.value, Value::Table(_));
            span = Some(if is_table { entry.key } else { entry.node.span });
            &entry.node
        } else {
            let index = part.trim_matches(['[', ']']).parse::<usize>().ok();
            let Some((index, node)) = index.and_then(|index| Some((index, list?.get(index)?))) else { break };
            key = join_index(&key, index);
            span = Some(node.span);
            node
        };
        last = Some(node);
        (table, list) = match &node.value {
            Value::Table(inner) => (Some(inner), None),
            Value::Array(nodes) => (None, Some(nodes.as_slice())),
            _ => (None, None),
        };
    }
    (span, key, last)
}

/// The file that findings about the rules stand in.
pub(super) fn is_fleet(sources: &Sources<'_>, file: u32) -> bool {
    sources.path(file) == FLEET_FILE
}
