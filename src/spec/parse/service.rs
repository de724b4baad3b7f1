//! A service: our own keys, and the Compose keys outside `deploy`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::container::read_container;
use super::customer::{Declared, read_suspend};
use super::deploy::{check_deploy, read_deploy};
use super::env_file::read_env_files;
use super::image::read_image;
use super::ports::read_ports;
use super::reader::{Context, Item};
use super::report::Span;
use super::secrets::read_references;
use super::tree::Value;
use super::{units, words};
use crate::spec::keys::{HEALTHCHECK, SERVICE, SERVICE_NETWORK};
use crate::spec::{Compose, Drift, Healthcheck, ImagePolicy, Network, NetworkAttachment, OnFailure, Service};
use crate::text::{nearest, printable};

/// The engine takes no shorter times in a health check (0 aside, which means the default).
const HEALTH_TIME_MIN: Duration = Duration::from_millis(1);
/// Labels that skep and the docker CLI own.
const OWNED_LABELS: &[&str] = &["skep.", "com.docker.stack."];

/// The words of `drift`.
pub(super) const DRIFT: &[(&str, Drift)] = &[("correct", Drift::Correct), ("warn", Drift::Warn)];

/// Reads one service. `None` when its image cannot be told; the reason is reported, or lies
/// outside this file.
pub(super) fn read_service(
    cx: &mut Context<'_>,
    name: &str,
    span: Span,
    item: &Item<'_>,
    declared: &Declared,
) -> Option<Service> {
    if !matches!(item.node.value, Value::Table(_)) {
        return item.mismatch(cx, "a table or false", "");
    }
    let mut table = item.table(cx, &SERVICE)?;
    let image: Option<ImagePolicy> = read_image(cx, &mut table, (span, &item.key));
    let adopt = table.take("adopt").and_then(|item| item.boolean(cx)).unwrap_or(false);
    let suspend = table.take("suspend").and_then(|item| read_suspend(cx, &item));
    let reactions = [("rollback", OnFailure::Rollback), ("hold", OnFailure::Hold)];
    let on_failure =
        table.take("on_failure").and_then(|item| item.choice(cx, &reactions)).unwrap_or_default();
    let after = table.take("after").and_then(|item| item.strings(cx)).unwrap_or_default();
    let drift = table.take("drift").and_then(|item| item.choice(cx, DRIFT));
    let ports = table.take("ports").and_then(|item| read_ports(cx, &item));
    let mut environment =
        table.take("env_file").map(|item| read_env_files(cx, &item, name)).unwrap_or_default();
    environment.extend(table.take("environment").map(|item| read_environment(cx, &item)).unwrap_or_default());
    let compose = Compose {
        environment,
        command: table.take("command").and_then(|item| read_words(cx, &item)),
        entrypoint: table.take("entrypoint").and_then(|item| read_words(cx, &item)),
        labels: table.take("labels").map(|item| read_labels(cx, &item)).unwrap_or_default(),
        healthcheck: table.take("healthcheck").and_then(|item| read_healthcheck(cx, &item)),
        networks: table.take("networks").and_then(|item| read_attachments(cx, &item, &declared.networks)),
        ports,
        secrets: table
            .take("secrets")
            .and_then(|item| read_references(cx, &item, &declared.secrets, "secrets")),
        configs: table
            .take("configs")
            .and_then(|item| read_references(cx, &item, &declared.configs, "configs")),
        container: read_container(cx, &mut table, &declared.volumes, &declared.configs),
        deploy: table.take("deploy").and_then(|item| read_deploy(cx, &item)).unwrap_or_default(),
    };
    check_deploy(cx, &table, &item.key, &compose);
    table.finish(cx);
    Some(Service { key: name.to_owned(), image: image?, adopt, suspend, on_failure, after, drift, compose })
}

/// A table, or a list of `KEY=VALUE`; a `KEY` without `=` gives `None`.
pub(super) fn read_pairs(
    cx: &mut Context<'_>,
    item: &Item<'_>,
) -> Vec<(String, Option<String>, Span, String)> {
    let mut pairs = Vec::new();
    match &item.node.value {
        Value::Array(_) => {
            let mut seen = BTreeSet::new();
            for item in item.list(cx, "strings").unwrap_or_default() {
                let Some(text) = item.string(cx) else { continue };
                let (key, value) = match text.split_once('=') {
                    Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                    None => (text, None),
                };
                if !seen.insert(key.clone()) {
                    item.error(
                        cx,
                        format!("`{}` stands here twice", item.shown(&key, 60)),
                        "keep one of the two",
                    );
                }
                pairs.push((key, value, item.node.span, item.key));
            }
        }
        Value::Table(_) => {
            for (key, span, item) in item.entries(cx, "a table").unwrap_or_default() {
                if let Some(value) = item.scalar(cx) {
                    pairs.push((key.to_owned(), Some(value), span, item.key));
                }
            }
        }
        _ => item.mismatch::<()>(cx, "a table or a list of \"KEY=VALUE\"", "").unwrap_or(()),
    }
    pairs
}

fn read_environment(cx: &mut Context<'_>, item: &Item<'_>) -> BTreeMap<String, Option<String>> {
    let mut out = BTreeMap::new();
    for (name, value, span, key) in read_pairs(cx, item) {
        if name.is_empty() || name.contains(['=', '\0']) {
            cx.error(span, &key, "not a variable name", "at least one character, no `=` and no NUL");
        }
        if value.as_ref().is_some_and(|value| value.contains('\0')) {
            cx.error(span, &key, "the value has a NUL character", "no environment can hold it");
        }
        out.insert(name, value);
    }
    out
}

/// `labels` of the containers or, under `deploy`, of the service.
pub(super) fn read_labels(cx: &mut Context<'_>, item: &Item<'_>) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (name, value, span, key) in read_pairs(cx, item) {
        if name.is_empty() {
            cx.error(span, &key, "the label has no name", "write `NAME=VALUE`");
        }
        if let Some(prefix) = OWNED_LABELS.iter().find(|prefix| name.starts_with(**prefix)) {
            let help = "skep and the docker CLI write these labels themselves";
            cx.error(span, &key, format!("labels beginning with `{prefix}` cannot be set"), help);
        }
        out.insert(name, value.unwrap_or_default());
    }
    out
}

/// A command: a list of words, or a string that is split.
fn read_words(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<String>> {
    match &item.node.value {
        Value::Array(_) => item.strings(cx),
        Value::String(_) => {
            let text = item.string(cx)?;
            match words::split(&text) {
                Ok(words) => Some(words),
                Err(why) => {
                    item.error(cx, why, "quote it, or write a list: `[\"sh\", \"-c\", \"…\"]`");
                    None
                }
            }
        }
        _ => item.mismatch(cx, "a string or a list of strings", ""),
    }
}

fn read_healthcheck(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Healthcheck> {
    let mut table = item.table(cx, &HEALTHCHECK)?;
    let test_item = table.take("test");
    let test = test_item.as_ref().and_then(|item| read_test(cx, item));
    let interval = table.take("interval").and_then(|item| health_time(cx, &item));
    let timeout = table.take("timeout").and_then(|item| health_time(cx, &item));
    let start_period = table.take("start_period").and_then(|item| health_time(cx, &item));
    let retries = table.take("retries").and_then(|item| item.count(cx));
    let disable = table.take("disable").filter(|item| item.boolean(cx) == Some(true));
    table.finish(cx);
    if let Some(disable) = disable {
        if test_item.is_some() {
            disable.error(cx, "`disable` and `test` exclude each other", "take one of the two out");
        }
        // The times of no check: the docker CLI drops them too.
        return Some(Healthcheck { test: Some(vec!["NONE".to_owned()]), ..Healthcheck::default() });
    }
    Some(Healthcheck { test, interval, timeout, start_period, retries })
}

fn read_test(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<String>> {
    if matches!(item.node.value, Value::String(_)) {
        return Some(vec!["CMD-SHELL".to_owned(), item.string(cx)?]);
    }
    if !matches!(item.node.value, Value::Array(_)) {
        return item.mismatch(cx, "a string or a list of strings", "");
    }
    let count = item.list(cx, "strings")?.len();
    let test = item.strings(cx)?;
    if test.len() < count {
        return None;
    }
    let fits = match test.first().map(String::as_str) {
        Some("CMD") => count > 1,
        Some("CMD-SHELL") => count == 2,
        Some("NONE") => count == 1,
        _ => false,
    };
    if !fits {
        let help = "write [\"CMD\", \"program\", \"argument\", …], [\"CMD-SHELL\", \"one line for a shell\"] or [\"NONE\"]";
        item.error(cx, "not a health check", help);
        return None;
    }
    Some(test)
}

fn health_time(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Duration> {
    let time = read_duration(cx, item)?;
    if !time.is_zero() && time < HEALTH_TIME_MIN {
        item.error(cx, "the time is too short", "at least 1ms");
        return None;
    }
    Some(time)
}

/// A duration as Compose writes it.
pub(super) fn read_duration(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Duration> {
    let text = match &item.node.value {
        Value::Integer(n) => return item.mismatch(cx, "a duration", &format!("write `\"{n}s\"`")),
        _ => item.string(cx)?,
    };
    match units::compose_duration(&text) {
        Ok(duration) => Some(duration),
        Err(help) => {
            item.error(cx, format!("`{}` is not a duration", item.shown(&text, 60)), help);
            None
        }
    }
}

/// A list of network keys, or a table of them with aliases.
fn read_attachments(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    networks: &BTreeMap<String, Network>,
) -> Option<Vec<NetworkAttachment>> {
    let mut out: Vec<NetworkAttachment> = Vec::new();
    let mut seen = BTreeSet::new();
    match &item.node.value {
        Value::Array(_) => {
            for item in item.list(cx, "network keys")? {
                let Some(key) = item.string(cx) else { continue };
                check_declared(cx, &key, &item.shown(&key, 60), (item.node.span, &item.key), networks);
                if !seen.insert(key.clone()) {
                    item.error(cx, "the network stands here twice", "keep one of the two");
                }
                out.push(NetworkAttachment { key, aliases: Vec::new() });
            }
        }
        Value::Table(_) => {
            for (key, span, item) in item.entries(cx, "a table")? {
                check_declared(cx, key, &printable(key, 60), (span, &item.key), networks);
                let Some(mut table) = item.table(cx, &SERVICE_NETWORK) else { continue };
                let aliases = table.take("aliases").and_then(|item| read_aliases(cx, &item));
                table.finish(cx);
                out.push(NetworkAttachment { key: key.to_owned(), aliases: aliases.unwrap_or_default() });
            }
        }
        _ => return item.mismatch(cx, "a list of network keys, or a table of them", ""),
    }
    Some(out)
}

fn check_declared(
    cx: &mut Context<'_>,
    name: &str,
    shown: &str,
    (span, key): (Span, &str),
    networks: &BTreeMap<String, Network>,
) {
    if cx.partial || name == "default" || networks.contains_key(name) || cx.report.is_full() {
        return;
    }
    let help = match nearest(name, networks.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write `[networks.{shown}]`, with `external = true` if somebody else makes it"),
    };
    cx.error(span, key, format!("there is no network `{shown}` under [networks]"), help);
}

fn read_aliases(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<String>> {
    let mut aliases: Vec<String> = Vec::new();
    let mut seen = BTreeSet::new();
    for item in item.list(cx, "strings")? {
        let Some(alias) = item.string(cx) else { continue };
        if alias.is_empty() || alias.contains(|c: char| c.is_whitespace() || c.is_control()) {
            item.error(cx, "not an alias", "a name without spaces");
            continue;
        }
        if seen.insert(alias.clone()) {
            aliases.push(alias);
        }
    }
    Some(aliases)
}
