//! What a mount shows of the node it is on, by whatever way: a path, a volume that is in truth a bind, a disk.

use std::path::{Component, Path};

use super::{Fleet, VALUE, Violations};
use crate::spec::{Customer, MountSource, Service, Volume};

/// File systems that show nothing of the node: memory, or a server's.
const ELSEWHERE: &[&str] = &["tmpfs", "nfs", "nfs3", "nfs4", "cifs", "smb3", "ceph", "glusterfs"];

/// Where engines listen, and those beneath them, which do as they are told as well.
const SOCKETS: &[&str] = &[
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/var/run/containerd/containerd.sock",
    "/run/docker/containerd/containerd.sock",
    "/var/run/docker/containerd/containerd.sock",
];
/// Wherever it is.
const SOCKET_NAME: &str = "docker.sock";
/// Names beneath `/proc/PID` that lead anywhere: the engine resolves them as root.
const WAYS_OUT: &[&str] = &["root", "cwd", "fd", "task"];

/// What of the node is mounted.
struct Shown<'a> {
    /// For messages.
    what: &'a str,
    /// The option of a volume that says so.
    option: &'a str,
    paths: Vec<&'a str>,
}

pub(super) fn check(
    fleet: &Fleet,
    customer: &Customer,
    key: &str,
    service: &Service,
    found: &mut Violations,
) {
    for (index, mount) in service.compose.container.mounts.iter().flatten().enumerate() {
        let (shown, volume) = match &mount.source {
            MountSource::Bind { path, .. } | MountSource::Npipe { path } => {
                (Shown { what: path, option: "", paths: vec![path] }, None)
            }
            MountSource::Volume { key: Some(volume), .. } => {
                let Some(volume) = customer.volumes.get(volume) else { continue };
                let Some(shown) = of_volume(volume) else { continue };
                (shown, Some(volume.key.as_str()))
            }
            MountSource::Volume { .. } | MountSource::Tmpfs { .. } => continue,
        };
        let element = format!("[{index}]");
        let at: &[&str] = match volume {
            Some(volume) => &["volumes", volume, "driver_opts", shown.option],
            None => &["services", key, "volumes", &element],
        };
        if fleet.forbid.docker_socket && shown.paths.iter().any(|path| leads_to_socket(path)) {
            let message = format!(
                "`{VALUE}` gives the service the engine's socket, which `forbid.docker_socket` in fleet.toml forbids"
            );
            found.add_value(at, shown.what, message, "take the mount out");
        } else if fleet.forbid.host_binds {
            let message =
                format!("`{VALUE}` is a path of the node, which `forbid.host_binds` in fleet.toml forbids");
            found.add_value(at, shown.what, message, "use a volume");
        }
    }
}

/// What a volume shows of the node. The local driver mounts whatever it is told.
fn of_volume(volume: &Volume) -> Option<Shown<'_>> {
    let option = |name: &str| volume.driver_opts.get(name).map(String::as_str).unwrap_or_default();
    if !matches!(volume.driver.as_deref(), None | Some("" | "local")) {
        // What a plugin does with a path nobody knows. Two slashes begin the name of a server.
        let is_path = |value: &String| value.starts_with('/') && !value.starts_with("//");
        let (option, what) = volume.driver_opts.iter().find(|(_, value)| is_path(value))?;
        return Some(Shown { what, option, paths: vec![what] });
    }
    let (device, kind, flags) = (option("device"), option("type"), option("o"));
    let bind = flags.split(',').any(|flag| matches!(flag.trim(), "bind" | "rbind"));
    if (device.is_empty() && kind.is_empty()) || (ELSEWHERE.contains(&kind) && !bind) {
        return None;
    }
    // An overlay names its folders in its flags.
    let named = flags.split([',', '=', ':']).filter(|part| part.starts_with('/'));
    let paths: Vec<&str> =
        [device].into_iter().filter(|device| device.starts_with('/')).chain(named).collect();
    let (option, what) = match paths.first() {
        Some(path) if !device.starts_with('/') => ("o", *path),
        None if device.is_empty() => ("type", kind),
        _ => ("device", device),
    };
    Some(Shown { what, option, paths })
}

/// Whether the engine's socket is at the path or beneath it.
fn leads_to_socket(path: &str) -> bool {
    let plain = plain(path);
    let pipe = path.replace('/', "\\").to_ascii_lowercase().contains("\\pipe\\docker_engine");
    let beneath = |folder: &str, path: &str| {
        folder == "/"
            || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    pipe || SOCKETS.iter().any(|socket| beneath(&plain, socket))
        || (plain.starts_with("/proc/") && plain.split('/').any(|part| WAYS_OUT.contains(&part)))
        || plain.rsplit('/').next() == Some(SOCKET_NAME)
}

/// Without `.`, `..` and doubled slashes.
fn plain(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => parts.push(name.to_str().unwrap_or_default()),
            Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    format!("/{}", parts.join("/"))
}
