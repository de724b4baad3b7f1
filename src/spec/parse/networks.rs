//! `[networks]`.

use core::net::IpAddr;
use std::collections::BTreeMap;

use super::reader::{Context, Item, TableReader};
use super::report::Span;
use super::service::read_labels;
use super::volumes::read_options;
use crate::spec::keys::{IPAM, NETWORK, SUBNET};
use crate::spec::{Network, Subnet};
use crate::text::printable;

/// Entries of `[networks]`. The engine bounds what one service may join far lower.
const NETWORKS_MAX: usize = 100;
/// Characters of a network's name in the Swarm.
const NAME_MAX: usize = 64;
/// Networks that every engine has; no overlay can be called so.
const BUILT_IN: &[&str] = &["bridge", "host", "none"];

pub(super) fn read_networks(cx: &mut Context<'_>, item: &Item<'_>) -> BTreeMap<String, Network> {
    let mut networks = BTreeMap::new();
    let entries = item.entries(cx, "a table of networks").unwrap_or_default();
    for (count, (key, span, item)) in entries.into_iter().enumerate() {
        if count >= NETWORKS_MAX {
            cx.error(span, &item.key, format!("more than {NETWORKS_MAX} networks"), "");
            break;
        }
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if key.is_empty() || !key.bytes().all(allowed) {
            cx.error(span, &item.key, "not a network key", "letters, digits, `.`, `_` and `-`");
            continue;
        }
        // Faulty ones too, so that services that name them are not blamed as well.
        let network = read_network(cx, key, span, &item);
        networks.insert(key.to_owned(), network);
    }
    networks
}

fn read_network(cx: &mut Context<'_>, key: &str, span: Span, item: &Item<'_>) -> Network {
    let name = format!("{}_{key}", cx.customer.unwrap_or_default());
    let mut network = Network { key: key.to_owned(), name, ..Network::default() };
    let Some(mut table) = item.table(cx, &NETWORK) else { return network };
    network.external = table.take("external").and_then(|item| item.boolean(cx)).unwrap_or(false);
    if network.external {
        network.name = key.to_owned();
    }
    let given = table.take("name");
    if let Some(name) = given.as_ref().and_then(|given| given.string(cx)) {
        network.name = name;
    }
    let (span, place) = given.as_ref().map_or((span, &item.key), |given| (given.node.span, &given.key));
    if !cx.partial && !is_name(&network.name) {
        let help = format!(
            "letters, digits, `.`, `_` and `-`, beginning with a letter or digit, at most {NAME_MAX}"
        );
        let shown =
            given.as_ref().map_or_else(|| printable(&network.name, 80), |it| it.shown(&network.name, 80));
        cx.error(span, place, format!("`{shown}` is not a network name"), help);
    }
    if !network.external && BUILT_IN.contains(&network.name.as_str()) {
        let message = format!("every engine has a network `{}` of its own", network.name);
        cx.error(span, place, message, "write `external = true` to join it");
    }
    read_own(cx, &mut table, &mut network);
    table.finish(cx);
    network
}

/// How it is made; an external one is made by somebody else.
fn read_own(cx: &mut Context<'_>, table: &mut TableReader<'_>, network: &mut Network) {
    let names = ["driver", "driver_opts", "attachable", "internal", "labels", "ipam"];
    let [driver, options, attachable, internal, labels, ipam] = names.map(|name| table.take(name));
    let given = [&driver, &options, &attachable, &internal, &labels, &ipam];
    if network.external
        && let Some(item) = given.into_iter().flatten().next()
    {
        item.error(cx, "an external network is made by somebody else", "take this key, or `external`, out");
    }
    network.driver = driver.and_then(|item| item.string(cx));
    network.driver_opts = options.map(|item| read_options(cx, &item)).unwrap_or_default();
    network.attachable = attachable.and_then(|item| item.boolean(cx)).unwrap_or(false);
    network.internal = internal.and_then(|item| item.boolean(cx)).unwrap_or(false);
    network.labels = labels.map(|item| read_labels(cx, &item)).unwrap_or_default();
    if let Some(mut table) = ipam.and_then(|item| item.table(cx, &IPAM)) {
        network.ipam_driver = table.take("driver").and_then(|item| item.string(cx));
        let subnets = table.take("config").and_then(|item| item.list(cx, "tables"));
        let subnets = subnets.unwrap_or_default();
        network.subnets = subnets.iter().filter_map(|item| read_subnet(cx, item)).collect();
        table.finish(cx);
    }
}

fn read_subnet(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Subnet> {
    let mut table = item.table(cx, &SUBNET)?;
    let given = table.take("subnet");
    table.finish(cx);
    let Some(given) = given else {
        item.error(cx, "`subnet` is missing", "write e.g. { subnet = \"10.77.0.0/24\" }");
        return None;
    };
    let subnet = given.string(cx)?;
    let bits = |address: IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let fits = subnet.split_once('/').is_some_and(|(address, prefix)| {
        let address: Option<IpAddr> = address.parse().ok();
        address.is_some_and(|address| prefix.parse::<u8>().is_ok_and(|prefix| prefix <= bits(address)))
    });
    if !fits {
        let message = format!("`{}` is not a subnet", given.shown(&subnet, 60));
        given.error(cx, message, "write e.g. \"10.77.0.0/24\"");
    }
    Some(Subnet { subnet })
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
