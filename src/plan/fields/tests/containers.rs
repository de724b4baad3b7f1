//! Everything that a spec can say of containers.

use std::collections::BTreeMap;

use super::{seconds, words};
use crate::spec;

pub(super) fn volume(key: &str, external: bool, name: &str) -> (String, spec::Volume) {
    let volume = spec::Volume {
        key: key.into(),
        external,
        name: name.into(),
        driver: (!external).then(|| "local".into()),
        driver_opts: if external { BTreeMap::new() } else { [("type".into(), "nfs".into())].into() },
        labels: if external { BTreeMap::new() } else { [("k".into(), "v".into())].into() },
    };
    (key.to_owned(), volume)
}

/// What `docker stack deploy` of Docker 20.10 was seen to send for the same keys.
pub(super) fn full_container() -> spec::Container {
    let mount = |target: &str, read_only, source| spec::Mount { target: target.into(), read_only, source };
    let of = |key: Option<&str>, nocopy| spec::MountSource::Volume { key: key.map(Into::into), nocopy };
    spec::Container {
        hostname: Some("h-{{.Task.Slot}}".into()),
        user: Some("1000:1000".into()),
        working_dir: Some("/srv".into()),
        stop_signal: Some("SIGINT".into()),
        stop_grace_period: seconds(90),
        init: Some(false),
        read_only: Some(true),
        tty: Some(true),
        stdin_open: Some(true),
        isolation: Some(spec::Isolation::Default),
        cap_add: words(&["ALL"]),
        cap_drop: words(&["CAP_NET_RAW"]),
        dns: words(&["8.8.8.8", "1.1.1.1"]),
        dns_search: words(&["example.com"]),
        extra_hosts: words(&["10.0.0.1 a", "10.0.0.2 b"]),
        sysctls: BTreeMap::from([("net.core.somaxconn".into(), "1024".into())]),
        ulimits: Some(vec![
            spec::Ulimit { name: "nofile".into(), soft: 20_000, hard: 40_000 },
            spec::Ulimit { name: "nproc".into(), soft: 65_535, hard: 65_535 },
        ]),
        logging: Some(spec::Logging {
            driver: Some("json-file".into()),
            options: BTreeMap::from([("max-size".into(), "10m".into())]),
        }),
        mounts: Some(vec![
            mount("/data", false, of(Some("data"), false)),
            mount("/ext", false, of(Some("theirs"), true)),
            mount("/own", false, of(None, false)),
            mount(
                "/b",
                true,
                spec::MountSource::Bind { path: "/b".into(), propagation: Some("rslave".into()) },
            ),
            mount("/t", false, spec::MountSource::Tmpfs { size_bytes: Some(1 << 20) }),
        ]),
        credential_spec: Some(spec::CredentialSpec::File("my.json".into())),
    }
}
