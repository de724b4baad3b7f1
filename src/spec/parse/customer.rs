//! The top of a spec file: variables, networks, services, names, holds.

use std::collections::BTreeMap;

use super::networks::read_networks;
use super::order::check_order;
use super::reader::{Context, Item, TableReader};
use super::report::Span;
use super::secrets::read_blobs;
use super::service::{DRIFT, read_service};
use super::tree::{Table, Value};
use super::volumes::read_volumes;
use crate::spec::keys::{SPEC, SUSPEND};
use crate::spec::{Blob, Customer, Network, Service, Suspend, Volume};
use crate::state::ObjectKind;

/// Services of one customer. A plan lists them all and a person must be able to read it.
const SERVICES_MAX: usize = 500;
/// Characters of a service's name in the Swarm, which is a DNS label.
const SWARM_NAME_MAX: usize = 63;

/// Reads a merged tree. What is faulty is left out; the caller drops the whole when the
/// report has an error.
pub(super) fn read_customer(cx: &mut Context<'_>, root: &Table, file: u32) -> Customer {
    let mut table = TableReader::new(root, &SPEC, String::new());
    // Found and merged before; here only known.
    let _ = table.take("template");
    if let Some(item) = table.take("vars") {
        match &item.node.value {
            Value::Table(vars) => cx.vars.define(vars, &item.key, &mut cx.report),
            _ => item
                .mismatch::<()>(cx, "a table", "write `[vars]` and under it `name = \"value\"`")
                .unwrap_or(()),
        }
    }
    let suspend = table.take("suspend").and_then(|item| read_suspend(cx, &item));
    let prune = table.take("prune").and_then(|item| item.boolean(cx)).unwrap_or(true);
    let drift = table.take("drift").and_then(|item| item.choice(cx, DRIFT)).unwrap_or_default();
    let networks = table.take("networks").map(|item| read_networks(cx, &item)).unwrap_or_default();
    let volumes = table.take("volumes").map(|item| read_volumes(cx, &item)).unwrap_or_default();
    let secrets = table.take("secrets").map(|item| read_blobs(cx, &item, ObjectKind::Secret));
    let configs = table.take("configs").map(|item| read_blobs(cx, &item, ObjectKind::Config));
    let (secrets, configs) = (secrets.unwrap_or_default(), configs.unwrap_or_default());
    let declared = Declared { networks, volumes, secrets, configs };
    let item = table.take("services");
    if item.is_none() && !cx.partial {
        let help = "write `[services.NAME]` with an `image`".to_owned();
        cx.report.file_error(file, "services", "no services", Some(help));
    }
    let services = item.map(|item| read_services(cx, &item, &declared)).unwrap_or_default();
    table.finish(cx);
    Customer {
        name: cx.customer.unwrap_or_default().to_owned(),
        file: cx.sources.path(file).to_owned(),
        suspend,
        prune,
        drift,
        services,
        networks: declared.networks,
        volumes: declared.volumes,
        secrets: declared.secrets,
        configs: declared.configs,
        contents: std::mem::take(&mut cx.named),
    }
}

/// What services may name.
pub(super) struct Declared {
    pub(super) networks: BTreeMap<String, Network>,
    pub(super) volumes: BTreeMap<String, Volume>,
    pub(super) secrets: BTreeMap<String, Blob>,
    pub(super) configs: BTreeMap<String, Blob>,
}

fn read_services(cx: &mut Context<'_>, item: &Item<'_>, declared: &Declared) -> BTreeMap<String, Service> {
    let mut services = BTreeMap::new();
    let entries = item.entries(cx, "a table of services").unwrap_or_default();
    if entries.is_empty() && matches!(item.node.value, Value::Table(_)) && !cx.partial {
        item.error(cx, "no services", "write `[services.NAME]` with an `image`");
    }
    for (count, (name, span, item)) in entries.into_iter().enumerate() {
        if count >= SERVICES_MAX {
            cx.error(span, &item.key, format!("more than {SERVICES_MAX} services"), "split the customer");
            break;
        }
        check_service_key(cx, name, span, &item.key);
        if let Value::Boolean(value) = item.node.value {
            let help = if value { "write `false` to drop the template's service" } else { "take it out" };
            let message =
                if value { "expected a table or false" } else { "the template has no such service" };
            item.error(cx, message, help);
        } else if let Some(service) = read_service(cx, name, span, &item, declared) {
            services.insert(name.to_owned(), service);
        }
    }
    check_order(cx, item, &services);
    services
}

fn check_service_key(cx: &mut Context<'_>, name: &str, span: Span, key: &str) {
    if !is_service_key(name) {
        let help = "letters, digits, `-` and `_`, with a letter or digit at both ends";
        return cx.error(span, key, "not a service name", help);
    }
    let customer = cx.customer.unwrap_or_default();
    let length = customer.len() + 1 + name.len();
    if length > SWARM_NAME_MAX {
        let message = format!("the name in the Swarm, `{customer}_{name}`, has {length} characters");
        cx.error(span, key, message, format!("at most {SWARM_NAME_MAX}"));
    }
}

fn is_service_key(name: &str) -> bool {
    let end = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    end(name.as_bytes().first())
        && end(name.as_bytes().last())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// `suspend = "reason"` or `{ reason = "…", until = … }`.
pub(super) fn read_suspend(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Suspend> {
    match &item.node.value {
        Value::String(_) => {
            let reason = reason(cx, item)?;
            return Some(Suspend { reason, until: None });
        }
        Value::Table(_) => {}
        _ => {
            return item.mismatch(
                cx,
                "a reason or a table",
                "write `suspend = \"why\"`, or take the key out",
            );
        }
    }
    let mut table = item.table(cx, &SUSPEND)?;
    let given = table.take("reason");
    if given.is_none() && !cx.partial {
        item.error(cx, "`reason` is missing", "write `reason = \"why\"`");
    }
    let reason = given.and_then(|item| reason(cx, &item));
    let until = table.take("until").and_then(|item| read_time(cx, &item));
    table.finish(cx);
    Some(Suspend { reason: reason?, until })
}

fn reason(cx: &mut Context<'_>, item: &Item<'_>) -> Option<String> {
    let reason = item.string(cx)?;
    if reason.trim().is_empty() {
        item.error(cx, "the reason is empty", "say why, for the people who see it in `skep status`");
        return None;
    }
    Some(reason)
}

fn read_time(cx: &mut Context<'_>, item: &Item<'_>) -> Option<jiff::Timestamp> {
    const HELP: &str = "write e.g. 2026-12-01T08:00:00Z or 2026-12-01T09:00:00+01:00";
    let text = match &item.node.value {
        Value::Datetime(value) => value.to_string(),
        Value::String(_) => item.string(cx)?,
        _ => return item.mismatch(cx, "a date and time with an offset", HELP),
    };
    match text.parse() {
        Ok(time) => Some(time),
        Err(_) => {
            item.error(cx, "not a date and time with an offset", HELP);
            None
        }
    }
}
