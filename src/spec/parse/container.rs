//! The keys of a service that say how its containers are made.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::reader::{Context, Item, TableReader};
use super::secrets::read_source;
use super::service::{read_duration, read_pairs};
use super::tree::Value;
use super::volumes::{one_or_more, read_mounts, read_options};
use crate::spec::keys::{CREDENTIAL_SPEC, LOGGING, ULIMIT};
use crate::spec::{Blob, Container, CredentialSpec, Isolation, Logging, Ulimit, Volume};

const ISOLATIONS: &[(&str, Isolation)] =
    &[("default", Isolation::Default), ("process", Isolation::Process), ("hyperv", Isolation::Hyperv)];

pub(super) fn read_container(
    cx: &mut Context<'_>,
    table: &mut TableReader<'_>,
    volumes: &BTreeMap<String, Volume>,
    configs: &BTreeMap<String, Blob>,
) -> Container {
    let mut text = |cx: &mut Context<'_>, name| table.take(name).and_then(|item| item.string(cx));
    let (hostname, user) = (text(cx, "hostname"), text(cx, "user"));
    let (working_dir, stop_signal) = (text(cx, "working_dir"), text(cx, "stop_signal"));
    let mut flag = |cx: &mut Context<'_>, name| table.take(name).and_then(|item| item.boolean(cx));
    let (init, read_only) = (flag(cx, "init"), flag(cx, "read_only"));
    let (tty, stdin_open) = (flag(cx, "tty"), flag(cx, "stdin_open"));
    let add = table.take("cap_add").and_then(|item| read_capabilities(cx, &item));
    let drop = table.take("cap_drop").and_then(|item| read_capabilities(cx, &item));
    let (cap_add, cap_drop) = effective(add, drop);
    Container {
        hostname,
        user,
        working_dir,
        stop_signal,
        stop_grace_period: table.take("stop_grace_period").and_then(|item| read_duration(cx, &item)),
        init,
        read_only,
        tty,
        stdin_open,
        isolation: table.take("isolation").and_then(|item| item.choice(cx, ISOLATIONS)),
        cap_add,
        cap_drop,
        dns: table.take("dns").map(|item| read_addresses(cx, &item)),
        dns_search: table.take("dns_search").map(|item| read_texts(cx, &item)),
        extra_hosts: table.take("extra_hosts").map(|item| read_hosts(cx, &item)),
        sysctls: table.take("sysctls").map(|item| read_sysctls(cx, &item)).unwrap_or_default(),
        ulimits: table.take("ulimits").and_then(|item| read_ulimits(cx, &item)),
        logging: table.take("logging").and_then(|item| read_logging(cx, &item)),
        mounts: read_mounts(cx, table, volumes),
        credential_spec: table.take("credential_spec").and_then(|item| read_credentials(cx, &item, configs)),
    }
}

fn read_texts(cx: &mut Context<'_>, item: &Item<'_>) -> Vec<String> {
    one_or_more(cx, item).iter().filter_map(|item| item.string(cx)).collect()
}

fn read_addresses(cx: &mut Context<'_>, item: &Item<'_>) -> Vec<String> {
    let mut addresses = Vec::new();
    for item in one_or_more(cx, item) {
        let Some(text) = item.string(cx) else { continue };
        if text.parse::<IpAddr>().is_err() {
            item.error(cx, format!("`{}` is not an IP address", item.shown(&text, 60)), "e.g. \"10.0.0.53\"");
        }
        addresses.push(text);
    }
    addresses
}

/// As the engine names them: `net_admin` is `CAP_NET_ADMIN`.
pub(super) fn read_capabilities(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for item in item.list(cx, "strings")? {
        let Some(text) = item.string(cx) else { continue };
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            let message = format!("`{}` is not a capability", item.shown(&text, 60));
            item.error(cx, message, "write e.g. \"NET_ADMIN\" or \"ALL\"");
            continue;
        }
        let name = text.to_ascii_uppercase();
        names.push(if name == ALL || name.starts_with("CAP_") { name } else { format!("CAP_{name}") });
    }
    Some(names)
}

const ALL: &str = "ALL";

/// What the docker CLI makes of both lists: `ALL` swallows the others of its list, and what is
/// added is not dropped.
fn effective(
    add: Option<Vec<String>>,
    drop: Option<Vec<String>>,
) -> (Option<Vec<String>>, Option<Vec<String>>) {
    let one = |names: Vec<String>| {
        let mut names = if names.iter().any(|name| name == ALL) { vec![ALL.to_owned()] } else { names };
        names.sort();
        names.dedup();
        names
    };
    let add = add.map(one);
    let added = add.clone().unwrap_or_default();
    let drop = drop.map(|names| one(names).into_iter().filter(|name| !added.contains(name)).collect());
    (add, drop)
}

/// A table of name to address, or a list of `name:address`; sorted only where the spec gives
/// no order, as the docker CLI does it.
fn read_hosts(cx: &mut Context<'_>, item: &Item<'_>) -> Vec<String> {
    let mut hosts = Vec::new();
    let help = "write `NAME = \"ADDRESS\"`, or \"NAME:ADDRESS\" in a list";
    let pairs: Vec<(String, String, Item<'_>)> = match &item.node.value {
        Value::Array(_) => {
            let mut pairs = Vec::new();
            for item in item.list(cx, "strings").unwrap_or_default() {
                let Some(text) = item.string(cx) else { continue };
                match text.split_once(':') {
                    Some((name, address)) => pairs.push((name.to_owned(), address.to_owned(), item)),
                    None => item.error(cx, format!("`{}` has no `:`", item.shown(&text, 60)), help),
                }
            }
            pairs
        }
        Value::Table(_) => {
            let entries = item.entries(cx, "a table").unwrap_or_default();
            let mut pairs = Vec::new();
            for (name, _, item) in entries {
                let Some(address) = item.string(cx) else { continue };
                pairs.push((name.to_owned(), address, item));
            }
            pairs.sort_by_cached_key(|(name, address, _)| format!("{name}:{address}"));
            pairs
        }
        _ => item.mismatch(cx, "a table or a list of \"NAME:ADDRESS\"", "").unwrap_or_default(),
    };
    for (name, address, item) in pairs {
        if address.parse::<IpAddr>().is_err() && address != "host-gateway" {
            item.error(cx, format!("`{}` is not an IP address", item.shown(&address, 60)), help);
        } else if name.is_empty() || name.contains(char::is_whitespace) {
            item.error(cx, "not a host name", help);
        } else {
            hosts.push(format!("{address} {name}"));
        }
    }
    hosts
}

fn read_sysctls(cx: &mut Context<'_>, item: &Item<'_>) -> BTreeMap<String, String> {
    let mut sysctls = BTreeMap::new();
    for (name, value, span, key) in read_pairs(cx, item) {
        match value {
            Some(value) if !name.is_empty() => {
                sysctls.insert(name, value);
            }
            _ => cx.error(span, &key, "not a kernel parameter", "write `\"net.core.somaxconn\" = 1024`"),
        }
    }
    sysctls
}

fn read_ulimits(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<Ulimit>> {
    let mut limits = Vec::new();
    for (name, _, item) in item.entries(cx, "a table of limits")? {
        let name = name.to_owned();
        if let Value::Table(_) = item.node.value {
            let Some(mut table) = item.table(cx, &ULIMIT) else { continue };
            let soft = table.take("soft").and_then(|item| read_limit(cx, &item));
            let hard = table.take("hard").and_then(|item| read_limit(cx, &item));
            table.finish(cx);
            match (soft, hard) {
                (Some(soft), Some(hard)) => {
                    if hard != -1 && (soft == -1 || soft > hard) {
                        item.error(cx, "`soft` is above `hard`", "make it lower or the same");
                    }
                    limits.push(Ulimit { name, soft, hard });
                }
                _ if cx.partial => {}
                _ => item.error(cx, "`soft` and `hard` belong together", "write both, or one number"),
            }
        } else if let Some(limit) = read_limit(cx, &item) {
            limits.push(Ulimit { name, soft: limit, hard: limit });
        }
    }
    limits.sort_by(|a, b| a.name.cmp(&b.name));
    Some(limits)
}

fn read_limit(cx: &mut Context<'_>, item: &Item<'_>) -> Option<i64> {
    if let Value::Integer(value) = &item.node.value
        && *value == -1
    {
        return Some(-1);
    }
    item.count(cx).and_then(|limit| i64::try_from(limit).ok())
}

fn read_logging(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Logging> {
    let mut table = item.table(cx, &LOGGING)?;
    let driver = table.take("driver").and_then(|item| item.string(cx));
    let options = table.take("options").map(|item| read_options(cx, &item)).unwrap_or_default();
    table.finish(cx);
    Some(Logging { driver, options })
}

fn read_credentials(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    configs: &BTreeMap<String, Blob>,
) -> Option<CredentialSpec> {
    let mut table = item.table(cx, &CREDENTIAL_SPEC)?;
    let file = table.take("file").and_then(|item| item.string(cx));
    let registry = table.take("registry").and_then(|item| item.string(cx));
    let config = table.take("config").and_then(|item| read_source(cx, &item, configs, "configs"));
    table.finish(cx);
    match (file, registry, config) {
        (Some(file), None, None) => Some(CredentialSpec::File(file)),
        (None, Some(value), None) => Some(CredentialSpec::Registry(value)),
        (None, None, Some(key)) => Some(CredentialSpec::Config(key)),
        _ if cx.partial => None,
        _ => {
            item.error(cx, "exactly one of `file`, `registry` and `config`", "write one of the three");
            None
        }
    }
}
