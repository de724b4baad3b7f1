//! `[volumes]`, and what a service mounts.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{Context, Item, TableReader};
use super::service::{read_labels, read_pairs};
use super::tree::Value;
use super::units;
use crate::spec::keys::{BIND, MOUNT, PROPAGATIONS, TMPFS, VOLUME, VOLUME_OPTIONS};
use crate::spec::{Mount, MountSource, Volume};
use crate::text::nearest;

/// Entries of `[volumes]`.
const VOLUMES_MAX: usize = 500;
/// Characters of a volume's name; the engine has no bound of its own.
const NAME_MAX: usize = 255;

pub(super) fn read_volumes(cx: &mut Context<'_>, item: &Item<'_>) -> BTreeMap<String, Volume> {
    let mut volumes = BTreeMap::new();
    let entries = item.entries(cx, "a table of volumes").unwrap_or_default();
    for (count, (key, span, item)) in entries.into_iter().enumerate() {
        if count >= VOLUMES_MAX {
            cx.error(span, &item.key, format!("more than {VOLUMES_MAX} volumes"), "");
            break;
        }
        if !is_name(key) {
            cx.error(span, &item.key, "not a volume key", NAME_HELP);
            continue;
        }
        // Faulty ones too, so that services that name them are not blamed as well.
        let volume = read_volume(cx, key, &item);
        volumes.insert(key.to_owned(), volume);
    }
    volumes
}

const NAME_HELP: &str = "letters, digits, `.`, `_` and `-`, beginning with a letter or digit";

pub(super) fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn read_volume(cx: &mut Context<'_>, key: &str, item: &Item<'_>) -> Volume {
    let mut volume = Volume {
        key: key.to_owned(),
        external: false,
        name: format!("{}_{key}", cx.customer.unwrap_or_default()),
        driver: None,
        driver_opts: BTreeMap::new(),
        labels: BTreeMap::new(),
    };
    let Some(mut table) = item.table(cx, &VOLUME) else { return volume };
    volume.external = table.take("external").and_then(|item| item.boolean(cx)).unwrap_or(false);
    if volume.external {
        volume.name = key.to_owned();
    }
    if let Some(given) = table.take("name")
        && let Some(name) = given.string(cx)
    {
        if !is_name(&name) {
            given.error(cx, "not a volume name", NAME_HELP);
        }
        volume.name = name;
    }
    let given = [table.take("driver"), table.take("driver_opts"), table.take("labels")];
    if volume.external
        && let Some(item) = given.iter().flatten().next()
    {
        item.error(cx, "an external volume is made by somebody else", "take this key, or `external`, out");
    }
    let [driver, options, labels] = given;
    volume.driver = driver.and_then(|item| item.string(cx));
    volume.driver_opts = options.map(|item| read_options(cx, &item)).unwrap_or_default();
    volume.labels = labels.map(|item| read_labels(cx, &item)).unwrap_or_default();
    table.finish(cx);
    volume
}

/// Options of a driver: names with values.
pub(super) fn read_options(cx: &mut Context<'_>, item: &Item<'_>) -> BTreeMap<String, String> {
    if !matches!(item.node.value, Value::Table(_)) {
        item.mismatch::<()>(cx, "a table", "write `{ NAME = \"value\" }`");
        return BTreeMap::new();
    }
    read_pairs(cx, item).into_iter().map(|(name, value, ..)| (name, value.unwrap_or_default())).collect()
}

/// `volumes` and `tmpfs` of a service. `None`: it says neither.
pub(super) fn read_mounts(
    cx: &mut Context<'_>,
    service: &mut TableReader<'_>,
    volumes: &BTreeMap<String, Volume>,
) -> Option<Vec<Mount>> {
    let (listed, memory) = (service.take("volumes"), service.take("tmpfs"));
    if listed.is_none() && memory.is_none() {
        return None;
    }
    let mut mounts = Vec::new();
    let mut targets = BTreeSet::new();
    let mut keep = |cx: &mut Context<'_>, item: &Item<'_>, mount: Option<Mount>| {
        let Some(mount) = mount else { return };
        if !targets.insert(mount.target.clone()) {
            let message =
                format!("something else is mounted at `{}`", item.within("target").shown(&mount.target, 60));
            item.error(cx, message, "give each mount a `target` of its own");
        }
        mounts.push(mount);
    };
    for item in listed.and_then(|item| item.list(cx, "mounts")).unwrap_or_default() {
        let mount = match item.node.value {
            Value::Table(_) => read_long(cx, &item, volumes),
            _ => read_short(cx, &item, volumes),
        };
        keep(cx, &item, mount);
    }
    for item in memory.map(|item| one_or_more(cx, &item)).unwrap_or_default() {
        let mount = read_tmpfs(cx, &item);
        keep(cx, &item, mount);
    }
    Some(mounts)
}

/// A string alone, or the elements of a list.
pub(super) fn one_or_more<'t>(cx: &mut Context<'_>, item: &Item<'t>) -> Vec<Item<'t>> {
    match item.node.value {
        Value::String(_) => vec![item.clone()],
        Value::Array(_) => item.list(cx, "strings").unwrap_or_default(),
        _ => item.mismatch(cx, "a string or a list of strings", "").unwrap_or_default(),
    }
}

/// `[source:]target[:options]`.
fn read_short(cx: &mut Context<'_>, item: &Item<'_>, volumes: &BTreeMap<String, Volume>) -> Option<Mount> {
    let text = item.string(cx)?;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => {
            let help = "write \"SOURCE:TARGET\" or \"SOURCE:TARGET:ro\", or for a Windows path the long form";
            item.error(cx, format!("`{}` is not a mount", item.shown(&text, 60)), help);
            return None;
        }
    };
    let mut mount = Mount {
        target: target.to_owned(),
        read_only: false,
        source: short_source(cx, item, source, volumes)?,
    };
    for option in options.split(',').filter(|option| !option.is_empty()) {
        read_option(cx, item, option, &mut mount);
    }
    check_target(cx, item, &mount.target)?;
    Some(mount)
}

fn short_source(
    cx: &mut Context<'_>,
    item: &Item<'_>,
    source: Option<&str>,
    volumes: &BTreeMap<String, Volume>,
) -> Option<MountSource> {
    match source {
        None => Some(MountSource::Volume { key: None, nocopy: false }),
        Some(path) if path.starts_with('/') => {
            Some(MountSource::Bind { path: path.to_owned(), propagation: None })
        }
        Some(path) if path.starts_with(['.', '~']) => {
            let help = "paths are those of the nodes: begin with `/`";
            item.error(cx, format!("`{}` is a relative path", item.shown(path, 60)), help);
            None
        }
        Some(key) => {
            check_declared(cx, item, key, volumes);
            Some(MountSource::Volume { key: Some(key.to_owned()), nocopy: false })
        }
    }
}

fn read_option(cx: &mut Context<'_>, item: &Item<'_>, option: &str, mount: &mut Mount) {
    match (option, &mut mount.source) {
        ("ro", _) => mount.read_only = true,
        ("rw", _) => mount.read_only = false,
        ("nocopy", MountSource::Volume { nocopy, .. }) => *nocopy = true,
        (_, MountSource::Bind { propagation, .. }) if PROPAGATIONS.contains(&option) => {
            *propagation = Some(option.to_owned());
        }
        _ => {
            let known = match mount.source {
                MountSource::Bind { .. } => "ro, rw, or how mounts propagate (rslave, …)",
                _ => "ro, rw, nocopy",
            };
            item.error(cx, format!("unknown option `{}`", item.shown(option, 60)), format!("one of {known}"));
        }
    }
}

fn check_declared(cx: &mut Context<'_>, item: &Item<'_>, key: &str, volumes: &BTreeMap<String, Volume>) {
    if cx.partial || volumes.contains_key(key) || cx.report.is_full() {
        return;
    }
    let shown = item.shown(key, 60);
    let help = match nearest(key, volumes.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("write `[volumes.{shown}]`; a path of the nodes begins with `/`"),
    };
    item.error(cx, format!("there is no volume `{shown}` under [volumes]"), help);
}

fn check_target(cx: &mut Context<'_>, item: &Item<'_>, target: &str) -> Option<()> {
    let windows = target.as_bytes().get(1) == Some(&b':') || target.starts_with("\\\\");
    if !target.contains('\0') && (windows || (target.starts_with('/') && target != "/")) {
        return Some(());
    }
    let message = format!("`{}` cannot be mounted at", item.within("target").shown(target, 60));
    item.error(cx, message, "a path of the container that begins with `/`, but not `/` itself");
    None
}

const TYPES: &[(&str, Type)] =
    &[("volume", Type::Volume), ("bind", Type::Bind), ("tmpfs", Type::Tmpfs), ("npipe", Type::Npipe)];

#[derive(Clone, Copy, PartialEq)]
enum Type {
    Volume,
    Bind,
    Tmpfs,
    Npipe,
}

fn read_long(cx: &mut Context<'_>, item: &Item<'_>, volumes: &BTreeMap<String, Volume>) -> Option<Mount> {
    let mut table = item.table(cx, &MOUNT)?;
    let kind = table.take("type");
    if kind.is_none() && !cx.partial {
        item.error(cx, "`type` is missing", "one of volume, bind, tmpfs, npipe");
    }
    let kind = kind.and_then(|item| item.choice(cx, TYPES));
    let source_item = table.take("source");
    let source = source_item.as_ref().and_then(|item| item.string(cx));
    let target = table.take("target");
    if target.is_none() && !cx.partial {
        item.error(cx, "`target` is missing", "where in the container");
    }
    let target = target.and_then(|item| item.string(cx));
    let read_only = table.take("read_only").and_then(|item| item.boolean(cx)).unwrap_or(false);
    let options =
        Options { bind: table.take("bind"), volume: table.take("volume"), tmpfs: table.take("tmpfs") };
    table.finish(cx);
    let kind = kind?;
    let options = options.read(cx, kind);
    if kind == Type::Tmpfs
        && let Some(item) = &source_item
    {
        item.error(cx, "memory has no source", "take it out");
    }
    let needs_source = matches!(kind, Type::Bind | Type::Npipe);
    if needs_source && source_item.is_none() && !cx.partial {
        item.error(cx, "`source` is missing", "a path of the nodes");
    }
    let source = match kind {
        Type::Volume => {
            if let (Some(key), Some(item)) = (&source, &source_item) {
                check_declared(cx, item, key, volumes);
            }
            MountSource::Volume { key: source, nocopy: options.nocopy }
        }
        Type::Bind => MountSource::Bind { path: source?, propagation: options.propagation },
        Type::Tmpfs => MountSource::Tmpfs { size_bytes: options.size_bytes },
        Type::Npipe => MountSource::Npipe { path: source? },
    };
    let target = target?;
    check_target(cx, item, &target)?;
    Some(Mount { target, read_only, source })
}

struct Options<'t> {
    bind: Option<Item<'t>>,
    volume: Option<Item<'t>>,
    tmpfs: Option<Item<'t>>,
}

#[derive(Default)]
struct Chosen {
    propagation: Option<String>,
    nocopy: bool,
    size_bytes: Option<u64>,
}

impl Options<'_> {
    fn read(&self, cx: &mut Context<'_>, kind: Type) -> Chosen {
        let mut chosen = Chosen::default();
        if let Some(mut table) = self.bind.as_ref().and_then(|item| item.table(cx, &BIND)) {
            let words: Vec<(&str, &str)> = PROPAGATIONS.iter().map(|word| (*word, *word)).collect();
            let word = table.take("propagation").and_then(|item| item.choice(cx, &words));
            chosen.propagation = word.map(str::to_owned);
            table.finish(cx);
        }
        if let Some(mut table) = self.volume.as_ref().and_then(|item| item.table(cx, &VOLUME_OPTIONS)) {
            chosen.nocopy = table.take("nocopy").and_then(|item| item.boolean(cx)).unwrap_or(false);
            table.finish(cx);
        }
        if let Some(mut table) = self.tmpfs.as_ref().and_then(|item| item.table(cx, &TMPFS)) {
            chosen.size_bytes = table.take("size").and_then(|item| read_size(cx, &item));
            table.finish(cx);
        }
        for (item, of) in [(&self.bind, Type::Bind), (&self.volume, Type::Volume), (&self.tmpfs, Type::Tmpfs)]
        {
            if let Some(item) = item.as_ref().filter(|_| kind != of) {
                item.error(cx, "these options are of another `type`", "take them out");
            }
        }
        chosen
    }
}

fn read_size(cx: &mut Context<'_>, item: &Item<'_>) -> Option<u64> {
    let text = match &item.node.value {
        Value::Integer(_) => return item.count(cx),
        _ => item.string(cx)?,
    };
    size(cx, item, &text)
}

fn size(cx: &mut Context<'_>, item: &Item<'_>, text: &str) -> Option<u64> {
    match units::bytes(text) {
        Ok(bytes) => Some(bytes),
        Err(help) => {
            item.error(cx, format!("`{}` is not a size", item.shown(text, 60)), help);
            None
        }
    }
}

/// `PATH[:size=SIZE]`.
fn read_tmpfs(cx: &mut Context<'_>, item: &Item<'_>) -> Option<Mount> {
    let text = item.string(cx)?;
    let (target, options) = text.split_once(':').unwrap_or((&text, ""));
    let mut size_bytes = None;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", text)) => size_bytes = size(cx, item, text),
            _ => {
                let message = format!("unknown option `{}`", item.shown(option, 60));
                item.error(cx, message, "Swarm takes only `size=`, e.g. \"/run:size=64M\"");
            }
        }
    }
    check_target(cx, item, target)?;
    Some(Mount { target: target.to_owned(), read_only: false, source: MountSource::Tmpfs { size_bytes } })
}
