//! The fields of the Compose keys that say how containers are made.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::desired::{Set, nanoseconds, signed};
use crate::spec::{Container, CredentialSpec, Customer, Isolation, Mount, MountSource, Volume};
use crate::state::ObjectKind;

pub(super) fn container(set: &mut Set, customer: &Customer, container: &Container) {
    set.some("hostname", container.hostname.as_deref());
    set.some("user", container.user.as_deref());
    set.some("working_dir", container.working_dir.as_deref());
    set.some("stop_signal", container.stop_signal.as_deref());
    set.some("stop_grace_period", container.stop_grace_period.map(nanoseconds));
    set.some("init", container.init);
    set.some("read_only", container.read_only);
    set.some("tty", container.tty);
    set.some("stdin_open", container.stdin_open);
    set.some("isolation", container.isolation.map(isolation));
    set.some("cap_add", container.cap_add.as_deref());
    set.some("cap_drop", container.cap_drop.as_deref());
    set.some("dns", container.dns.as_deref());
    set.some("dns_search", container.dns_search.as_deref());
    set.some("extra_hosts", container.extra_hosts.as_deref());
    for (name, value) in &container.sysctls {
        set.put(format!("sysctls.{name}"), value.as_str());
    }
    set.some("ulimits", container.ulimits.as_ref().map(|limits| {
        let one = |limit: &crate::spec::Ulimit| {
            json!({ "Name": limit.name, "Hard": limit.hard, "Soft": limit.soft })
        };
        limits.iter().map(one).collect::<Value>()
    }));
    if let Some(logging) = &container.logging {
        set.some("logging.driver", logging.driver.as_deref());
        for (name, value) in &logging.options {
            set.put(format!("logging.options.{name}"), value.as_str());
        }
    }
    let mounts = container.mounts.as_ref();
    set.some(
        "volumes",
        mounts.map(|mounts| mounts.iter().map(|one| mount(customer, one)).collect::<Value>()),
    );
    set.some(
        "credential_spec",
        container.credential_spec.as_ref().map(|spec| match spec {
            CredentialSpec::File(file) => json!({ "File": file }),
            CredentialSpec::Registry(value) => json!({ "Registry": value }),
            CredentialSpec::Config(key) => {
                json!({ "Config": super::references::object_name(customer, ObjectKind::Config, key) })
            }
        }),
    );
}

fn isolation(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Default => "default",
        Isolation::Process => "process",
        Isolation::Hyperv => "hyperv",
    }
}

/// A mount as the docker CLI makes it (docker/cli's `cli/compose/convert/volume.go`).
fn mount(customer: &Customer, mount: &Mount) -> Value {
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| out.insert(key.to_owned(), value);
    match &mount.source {
        MountSource::Volume { key, nocopy } => {
            let volume = key.as_ref().and_then(|key| customer.volumes.get(key));
            put("Type", json!("volume"));
            if let Some(key) = key {
                let name = volume.map_or_else(|| format!("{}_{key}", customer.name), |v| v.name.clone());
                put("Source", json!(name));
            }
            if let Some(options) = volume_options(customer, volume, *nocopy) {
                put("VolumeOptions", options);
            }
        }
        MountSource::Bind { path, propagation } => {
            put("Type", json!("bind"));
            put("Source", json!(path));
            if let Some(propagation) = propagation {
                put("BindOptions", json!({ "Propagation": propagation }));
            }
        }
        MountSource::Tmpfs { size_bytes } => {
            put("Type", json!("tmpfs"));
            if let Some(size) = size_bytes {
                put("TmpfsOptions", json!({ "SizeBytes": signed(*size) }));
            }
        }
        MountSource::Npipe { path } => {
            put("Type", json!("npipe"));
            put("Source", json!(path));
        }
    }
    put("Target", json!(mount.target));
    if mount.read_only {
        put("ReadOnly", json!(true));
    }
    Value::Object(out)
}

fn volume_options(customer: &Customer, volume: Option<&Volume>, nocopy: bool) -> Option<Value> {
    let mut options = Map::new();
    if nocopy {
        options.insert("NoCopy".into(), json!(true));
    }
    // A volume of the task alone, or of somebody else, is nobody's to label.
    if let Some(volume) = volume.filter(|volume| !volume.external) {
        let mut labels: BTreeMap<&str, &str> =
            volume.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        labels.insert("com.docker.stack.namespace", &customer.name);
        options.insert("Labels".into(), json!(labels));
        let mut driver = Map::new();
        if let Some(name) = &volume.driver {
            driver.insert("Name".into(), json!(name));
        }
        if !volume.driver_opts.is_empty() {
            driver.insert("Options".into(), json!(volume.driver_opts));
        }
        if !driver.is_empty() {
            options.insert("DriverConfig".into(), Value::Object(driver));
        }
    }
    // The docker CLI sends the object, if an empty one, for every volume that has a name.
    (volume.is_some() || !options.is_empty()).then_some(Value::Object(options))
}
