//! `ports`, short and long.

use super::reader::{Context, Item};
use super::tree::Value;
use crate::spec::keys::PORT;
use crate::spec::{Port, PortMode, Protocol};
use crate::text::printable;

/// Ports of one service, ranges expanded. Swarm opens each on every node.
const PORTS_MAX: usize = 1000;

const PROTOCOLS: &[(&str, Protocol)] =
    &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("sctp", Protocol::Sctp)];
const MODES: &[(&str, PortMode)] = &[("ingress", PortMode::Ingress), ("host", PortMode::Host)];
const HELP: &str = "write e.g. \"8080:80\", \"53:53/udp\", \"8000-8010:80-90\" or 80";

/// Reads the list; the order is kept.
pub(super) fn read_ports(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<Port>> {
    let mut ports: Vec<Port> = Vec::new();
    for item in item.list(cx, "ports")? {
        let found = match &item.node.value {
            Value::Integer(_) => item.integer(cx, 1, 65535).map(|target| vec![from_target(target)]),
            Value::String(_) => read_short(cx, &item),
            Value::Table(_) => read_long(cx, &item).map(|port| vec![port]),
            _ => item.mismatch(cx, "a number, a string or a table", HELP),
        };
        for port in found.into_iter().flatten() {
            let same = |other: &Port| other.published == port.published && other.protocol == port.protocol;
            if port.published != 0 && ports.iter().any(same) {
                item.error(cx, format!("port {} is published twice", port.published), "keep one of the two");
                break;
            }
            if ports.len() >= PORTS_MAX {
                item.error(cx, format!("more than {PORTS_MAX} ports"), "publish fewer");
                return None;
            }
            ports.push(port);
        }
    }
    Some(ports)
}

/// The engine chooses the port outside.
fn from_target(target: u64) -> Port {
    let target = u16::try_from(target).unwrap_or(u16::MAX);
    Port { target, published: 0, protocol: Protocol::Tcp, mode: PortMode::Ingress }
}

fn read_short(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Vec<Port>> {
    let text = item.string(cx)?;
    match short(&text) {
        Ok(ports) => Some(ports),
        Err((why, help)) => {
            not_a_port(cx, item, &text, &why, help);
            None
        }
    }
}

/// Why names a part of the text.
fn not_a_port(cx: &mut Context<'_>, item: &Item<'_>, text: &str, why: &str, help: &str) {
    let why = if item.hides() { String::new() } else { format!(": {why}") };
    item.error(cx, format!("`{}` is not a port{why}", item.shown(text, 60)), help);
}

/// `[PUBLISHED:]TARGET[/PROTOCOL]`, both of which may be ranges. The error is a reason and
/// a help.
fn short(text: &str) -> Result<Vec<Port>, (String, &'static str)> {
    let (rest, protocol) = match text.split_once('/') {
        None => (text, Protocol::Tcp),
        Some((rest, name)) => {
            let name = name.to_ascii_lowercase();
            let known = PROTOCOLS.iter().find(|(known, _)| *known == name);
            (rest, known.ok_or(("the protocol is not tcp, udp or sctp".to_owned(), HELP))?.1)
        }
    };
    let (published, target) = match rest.rsplit_once(':') {
        None => (None, rest),
        Some((published, _)) if published.contains(['.', ':', '[']) => {
            let why = "Swarm ignores a host address".to_owned();
            return Err((why, "leave the address out: Swarm publishes on all addresses of a node"));
        }
        Some((published, target)) => (Some(published), target),
    };
    let target = range(target)?;
    if target.0 == 0 {
        return Err(("0 is no port of a container".into(), HELP));
    }
    let published = match published {
        None | Some("") => return Ok(zip(target, None, protocol)),
        Some(published) => range(published)?,
    };
    let count = |(from, to): (u16, u16)| to - from;
    if count(target) != count(published) && count(target) != 0 {
        return Err(("the two ranges differ in length".into(), HELP));
    }
    Ok(zip(target, Some(published), protocol))
}

/// One entry a port. A range outside and one port inside publish it many times, as the
/// docker CLI has it.
fn zip(target: (u16, u16), published: Option<(u16, u16)>, protocol: Protocol) -> Vec<Port> {
    let make = |target, published| Port { target, published, protocol, mode: PortMode::Ingress };
    match published {
        None => (target.0..=target.1).map(|target| make(target, 0)).collect(),
        Some((from, to)) if target.0 == target.1 => (from..=to).map(|port| make(target.0, port)).collect(),
        Some((from, to)) => (target.0..=target.1).zip(from..=to).map(|(t, p)| make(t, p)).collect(),
    }
}

fn range(text: &str) -> Result<(u16, u16), (String, &'static str)> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let value = if digits { text.parse::<u16>().ok() } else { None };
        value.ok_or_else(|| (format!("`{}` is not a number up to 65535", printable(text, 20)), HELP))
    };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (number(from)?, number(to)?);
    if from > to {
        return Err(("the range runs backwards".into(), HELP));
    }
    Ok((from, to))
}

fn read_long(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Port> {
    let mut table = item.table(cx, &PORT)?;
    let given = table.take("target");
    if given.is_none() && !cx.partial {
        item.error(cx, "`target` is missing", "write `target = 80`, the container's port");
    }
    let target = given.and_then(|item| item.integer(cx, 1, 65535));
    let published = table.take("published").map(|item| read_published(cx, &item));
    let protocol = table.take("protocol").map(|item| item.choice(cx, PROTOCOLS));
    let mode = table.take("mode").map(|item| item.choice(cx, MODES));
    table.finish(cx);
    Some(Port {
        target: u16::try_from(target?).ok()?,
        published: published.unwrap_or(Some(0))?,
        protocol: protocol.unwrap_or(Some(Protocol::Tcp))?,
        mode: mode.unwrap_or(Some(PortMode::Ingress))?,
    })
}

/// A number, or one in a string, as Compose has it.
fn read_published(cx: &mut Context<'_>, item: &Item<'_>) -> Option<u16> {
    if !matches!(item.node.value, Value::String(_)) {
        return u16::try_from(item.integer(cx, 0, 65535)?).ok();
    }
    let text = item.string(cx)?;
    match range(&text) {
        Ok((port, to)) if port == to => Some(port),
        Ok(_) => {
            item.error(
                cx,
                "a range cannot stand here",
                "write ranges in the short form: \"8000-8010:80-90\"",
            );
            None
        }
        Err((why, _)) => {
            not_a_port(cx, item, &text, &why, "write e.g. 8080");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn short_forms() {
        let pairs = |text: &str| -> Vec<(u16, u16)> {
            short(text).unwrap().iter().map(|port| (port.published, port.target)).collect()
        };
        assert_eq!(pairs("80"), [(0, 80)]);
        assert_eq!(pairs(":80"), [(0, 80)]);
        assert_eq!(pairs("8080:80"), [(8080, 80)]);
        assert_eq!(pairs("0:80"), [(0, 80)]);
        assert_eq!(pairs("80-82"), [(0, 80), (0, 81), (0, 82)]);
        assert_eq!(pairs("8000-8002:80-82/udp"), [(8000, 80), (8001, 81), (8002, 82)]);
        assert_eq!(pairs("8000-8001:80"), [(8000, 80), (8001, 80)]);
        assert_eq!(pairs("65535:65535"), [(65535, 65535)]);
        assert_eq!(short("53:53/UDP").unwrap()[0].protocol, Protocol::Udp);
        assert_eq!(short("53:53/sctp").unwrap()[0].protocol, Protocol::Sctp);
        for (text, expected) in [
            ("", "not a number"),
            ("80:", "not a number"),
            ("x:80", "not a number"),
            ("+80", "not a number"),
            ("65536", "not a number"),
            ("0", "0 is no port"),
            ("80/icmp", "protocol"),
            ("127.0.0.1:80:80", "host address"),
            ("[::1]:80:80", "host address"),
            ("127.0.0.1::80", "host address"),
            ("90-80", "backwards"),
            ("8000-8001:80-90", "differ in length"),
        ] {
            let found = short(text).map_err(|(why, _)| why);
            assert!(found.as_ref().unwrap_err().contains(expected), "{text}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn short_never_panics(text in "[0-9:./a-z\\[\\]-]{0,20}") {
            let _ = short(&text);
        }
    }
}
