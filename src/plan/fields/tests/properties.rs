use proptest::collection::{btree_map, vec};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::engine::stored;
use super::*;

fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_secs(5)),
        (0_u64..1 << 40).prop_map(Duration::from_nanos),
        Just(Duration::MAX)
    ]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..4, any::<u64>().prop_map(|count| count >> 1)]
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec("[ -~é]{0,6}", 0..4)
}

fn pairs() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map("[a-cA-C.]{1,4}", "[ -~é]{0,6}", 0..4)
}

fn update_config() -> impl Strategy<Value = spec::UpdateConfig> {
    use spec::{FailureAction as F, UpdateOrder as O};
    (
        of(count().boxed()),
        of(duration().boxed()),
        of(select(vec![F::Pause, F::Continue, F::Rollback])),
        of(duration().boxed()),
        of(prop_oneof![Just(0.0), Just(1.0), 0.0..1.0_f64]),
        of(select(vec![O::StopFirst, O::StartFirst])),
    )
        .prop_map(|(parallelism, delay, failure_action, monitor, max_failure_ratio, order)| {
            spec::UpdateConfig { parallelism, delay, failure_action, monitor, max_failure_ratio, order }
        })
}

fn restart_policy() -> impl Strategy<Value = spec::RestartPolicy> {
    use spec::RestartCondition as C;
    (
        of(select(vec![C::None, C::OnFailure, C::Any])),
        of(duration().boxed()),
        of(count().boxed()),
        of(duration().boxed()),
    )
        .prop_map(|(condition, delay, max_attempts, window)| spec::RestartPolicy {
            condition,
            delay,
            max_attempts,
            window,
        })
}

fn placement() -> impl Strategy<Value = spec::Placement> {
    (
        of(vec("[a-c.]{1,4} ?(==|!=) ?[a-c]{1,3}", 0..3)),
        of(vec("node\\.labels\\.[a-z]", 0..3)),
        of(count().boxed()),
    )
        .prop_map(|(constraints, preferences, max_replicas_per_node)| spec::Placement {
            constraints,
            preferences,
            max_replicas_per_node,
        })
}

fn amounts(pids: bool) -> impl Strategy<Value = spec::ResourceAmounts> {
    (of(count().boxed()), of(any::<u64>()), of(count().boxed())).prop_map(
        move |(nano_cpus, memory_bytes, count)| spec::ResourceAmounts {
            nano_cpus,
            memory_bytes,
            pids: count.filter(|_| pids),
            generic: count.filter(|_| !pids).map(|value| vec![("gpu".to_owned(), value + 1)]),
        },
    )
}

fn deploy() -> impl Strategy<Value = spec::Deploy> {
    use spec::{EndpointMode as E, Mode as M};
    let mode = of(select(vec![M::Replicated, M::Global, M::ReplicatedJob, M::GlobalJob]));
    let resources = (of(amounts(true).boxed()), of(amounts(false).boxed()))
        .prop_map(|(limits, reservations)| spec::Resources { limits, reservations });
    (
        mode,
        of(count().boxed()),
        pairs(),
        of(update_config().boxed()),
        of(update_config().boxed()),
        of(restart_policy().boxed()),
        of(placement().boxed()),
        of(resources),
        of(select(vec![E::Vip, E::Dnsrr])),
    )
        .prop_map(
            |(
                mode,
                replicas,
                labels,
                update,
                rollback_config,
                restart_policy,
                placement,
                resources,
                endpoint_mode,
            )| {
                spec::Deploy {
                    mode,
                    // What lint refuses is left out: replicas of global services, updates of jobs.
                    replicas: replicas.filter(|_| !matches!(mode, Some(M::Global | M::GlobalJob))),
                    labels,
                    update_config: update.filter(|_| !matches!(mode, Some(M::ReplicatedJob | M::GlobalJob))),
                    rollback_config,
                    restart_policy,
                    placement,
                    resources,
                    endpoint_mode,
                }
            },
        )
}

fn healthcheck() -> impl Strategy<Value = spec::Healthcheck> {
    (
        of(texts().boxed()),
        of(duration().boxed()),
        of(duration().boxed()),
        of(duration().boxed()),
        of(count().boxed()),
    )
        .prop_map(|(test, interval, timeout, start_period, retries)| spec::Healthcheck {
            test,
            interval,
            timeout,
            start_period,
            retries,
        })
}

fn networks() -> impl Strategy<Value = Vec<NetworkAttachment>> {
    btree_map(select(vec!["default", "edge", "host", "aa"]), vec("[a-c]{1,2}", 0..3), 0..4).prop_map(|map| {
        map.into_iter().map(|(key, aliases)| NetworkAttachment { key: key.into(), aliases }).collect()
    })
}

fn ports() -> impl Strategy<Value = Vec<Port>> {
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let one = (0..3_u16, 0..3_u16, protocol, select(vec![PortMode::Ingress, PortMode::Host]));
    vec(one.prop_map(|(published, target, protocol, mode)| port(published, target, protocol, mode)), 0..4)
}

fn mounts() -> impl Strategy<Value = Vec<spec::Mount>> {
    let source = prop_oneof![
        (of(select(vec!["data".to_owned(), "theirs".to_owned()])), any::<bool>())
            .prop_map(|(key, nocopy)| spec::MountSource::Volume { key, nocopy }),
        of("(rslave|shared)")
            .prop_map(|propagation| spec::MountSource::Bind { path: "/b".into(), propagation }),
        of(any::<u64>()).prop_map(|size_bytes| spec::MountSource::Tmpfs { size_bytes }),
    ];
    btree_map("/[a-c]{1,2}", (source, any::<bool>()), 0..4).prop_map(|map| {
        let one = |(target, (source, read_only))| spec::Mount { target, read_only, source };
        map.into_iter().map(one).collect()
    })
}

fn container() -> impl Strategy<Value = spec::Container> {
    use spec::{CredentialSpec as C, Isolation as I};
    let limits = btree_map("[a-c]{1,2}", (-1..5_i64, -1..5_i64), 0..3).prop_map(|map| {
        let one = |(name, (soft, hard))| spec::Ulimit { name, soft, hard };
        map.into_iter().map(one).collect::<Vec<_>>()
    });
    let logging = (of("[a-c]{0,2}"), pairs()).prop_map(|(driver, options)| spec::Logging { driver, options });
    let credentials = select(vec![C::File("f".into()), C::Registry("r".into())]);
    let flags = (of(any::<bool>()), of(any::<bool>()), of(any::<bool>()), of(any::<bool>()));
    let words = (of(texts().boxed()), of(texts().boxed()), of(texts().boxed()), of(texts().boxed()));
    let named = (of("[ -~]{0,3}"), of(duration().boxed()), of(select(vec![I::Default, I::Hyperv])));
    (flags, words, named, pairs(), of(limits), of(logging), of(mounts()), of(credentials)).prop_map(
        |(flags, words, named, sysctls, ulimits, logging, mounts, credential_spec)| {
            let (init, read_only, tty, stdin_open) = flags;
            let (cap_add, cap_drop, dns, extra_hosts) = words;
            let (text, stop_grace_period, isolation) = named;
            spec::Container {
                hostname: text.clone(),
                user: text.clone(),
                working_dir: text.clone(),
                stop_signal: text,
                stop_grace_period,
                init,
                read_only,
                tty,
                stdin_open,
                isolation,
                cap_add,
                cap_drop,
                dns_search: dns.clone(),
                dns,
                extra_hosts,
                sysctls,
                ulimits,
                logging,
                mounts,
                credential_spec,
            }
        },
    )
}

fn references(keys: &'static [&'static str]) -> impl Strategy<Value = Vec<spec::BlobRef>> {
    let one = (select(keys), "[a-c]{1,2}", "[0-2]", "[0-2]", 0_u32..512).prop_map(
        |(source, target, uid, gid, mode)| spec::BlobRef { source: source.into(), target, uid, gid, mode },
    );
    vec(one, 0..3)
}

pub(in crate::plan) fn compose() -> impl Strategy<Value = Compose> {
    (
        btree_map("[a-cA-C._]{1,4}", of("[ -~é]{0,6}"), 0..5),
        of(texts().boxed()),
        of(texts().boxed()),
        pairs(),
        of(healthcheck().boxed()),
        of(networks().boxed()),
        of(ports().boxed()),
        container().boxed(),
        (deploy().boxed(), of(references(&["token", "cert"])), of(references(&["motd"]))),
    )
        .prop_map(
            |(environment, command, entrypoint, labels, healthcheck, networks, ports, container, rest)| {
                let (deploy, secrets, configs) = rest;
                Compose {
                    environment,
                    command,
                    entrypoint,
                    labels,
                    healthcheck,
                    networks,
                    ports,
                    secrets,
                    configs,
                    container,
                    deploy,
                }
            },
        )
}

/// The fixture in any mode, with and without the objects that fields live in.
pub(in crate::plan) fn observed() -> impl Strategy<Value = Value> {
    let mode = select(vec![
        json!({ "Replicated": { "Replicas": 2 } }),
        json!({ "Global": {} }),
        json!({ "ReplicatedJob": { "MaxConcurrent": 2, "TotalCompletions": 7 } }),
        json!({ "GlobalJob": {} }),
    ]);
    (mode, vec(any::<bool>(), 6)).prop_map(|(mode, gone)| {
        let mut spec = rich();
        spec["Mode"] = mode;
        if spec["Mode"].to_string().contains("Job") {
            spec.as_object_mut().unwrap().shift_remove("UpdateConfig");
        }
        let places = [
            ("", "UpdateConfig"),
            ("", "EndpointSpec"),
            ("/TaskTemplate", "RestartPolicy"),
            ("/TaskTemplate", "Placement"),
            ("/TaskTemplate", "Resources"),
            ("/TaskTemplate/ContainerSpec", "Healthcheck"),
        ];
        for ((parent, key), gone) in places.into_iter().zip(gone) {
            if gone {
                spec.pointer_mut(parent).unwrap().as_object_mut().unwrap().shift_remove(key);
            }
        }
        spec
    })
}

/// Every scalar with its place, in the order of the text.
fn leaves(value: &Value) -> Vec<(String, String)> {
    fn walk(value: &Value, at: &str, out: &mut Vec<(String, String)>) {
        match value {
            Value::Object(map) => {
                map.iter().for_each(|(key, value)| walk(value, &format!("{at}/{key}"), out))
            }
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(i, value)| walk(value, &format!("{at}/{i}"), out))
            }
            scalar => out.push((at.to_owned(), scalar.to_string())),
        }
    }
    let mut out = Vec::new();
    walk(value, "", &mut out);
    out
}

/// The leaves that are not of this field.
fn others(spec: &Value, name: &str) -> Vec<(String, String)> {
    let (entry, key) = crate::plan::fields::table::find(name).unwrap();
    let place = format!("/{}", entry.path.join("/"));
    let mut leaves = leaves(spec);
    if let Some(key) = name.strip_prefix("environment.") {
        let ours = |line: &str| line == format!("\"{key}\"") || line.starts_with(&format!("\"{key}="));
        leaves.retain(|(at, line)| !(at.starts_with(&place) && ours(line)));
        // A line of ours in the list moves the numbers of those behind it.
        leaves.iter_mut().filter(|(at, _)| at.starts_with(&place)).for_each(|(at, _)| at.clone_from(&place));
        return leaves;
    }
    let place = if name.contains("labels.") { format!("{place}/{key}") } else { place };
    // Made along with its parent, and the same as its absence there.
    let parallelism = name.contains("_config.").then(|| format!("/{}/Parallelism", entry.path[0]));
    leaves.retain(|(at, text)| {
        let below = *at == place || at.starts_with(&format!("{place}/"));
        !(below || parallelism.as_ref() == Some(at) && text == "1")
    });
    leaves
}

fn conflict(spec: &Value, field: &Field) -> bool {
    mode_change(spec, std::slice::from_ref(field)).is_some()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Failure 3 of the reliability notes: a second reconcile writes nothing.
    #[test]
    fn a_created_service_has_every_desired_field(compose in compose().boxed()) {
        let (spec, fields) = (created(&compose), fields(&compose));
        prop_assert_eq!(mode_change(&spec, &fields), None);
        let (sent, back) = (&spec, &stored(&spec));
        for field in &fields {
            for spec in [sent, back] {
                let read = read(spec, &field.name);
                prop_assert!(same(&field.name, &read, &field.value), "{}: {read} is not {}", field.name, field.value);
            }
        }
    }

    /// The same after an adoption: what was written is found, also once the engine had it.
    #[test]
    fn an_adopted_service_takes_every_desired_field(spec in observed(), compose in compose().boxed()) {
        let mut spec = spec;
        let fields: Vec<Field> = fields(&compose).into_iter().filter(|field| !conflict(&spec, field)).collect();
        for field in &fields {
            write(&mut spec, &field.name, Some(&field.value));
        }
        let back = stored(&spec);
        for field in &fields {
            for spec in [&spec, &back] {
                let read = read(spec, &field.name);
                prop_assert!(same(&field.name, &read, &field.value), "{}: {read} is not {}", field.name, field.value);
            }
        }
        let before = back.to_string();
        let mut again = back;
        for field in &fields {
            if !same(&field.name, &read(&again, &field.name), &field.value) {
                write(&mut again, &field.name, Some(&field.value));
            }
        }
        prop_assert_eq!(again.to_string(), before);
    }

    #[test]
    fn writing_or_taking_off_a_field_leaves_every_other_byte(spec in observed(), compose in compose().boxed()) {
        for field in fields(&compose) {
            if conflict(&spec, &field) {
                continue;
            }
            let before = others(&spec, &field.name);
            let mut written = spec.clone();
            write(&mut written, &field.name, Some(&field.value));
            prop_assert_eq!(&others(&written, &field.name), &before, "{}", field.name);
            let mut taken = written.clone();
            write(&mut taken, &field.name, None);
            prop_assert_eq!(&others(&taken, &field.name), &before, "{}", field.name);
            if field.name != "deploy.mode" {
                prop_assert_eq!(read(&taken, &field.name), Value::Null);
                prop_assert_eq!(read(&stored(&taken), &field.name), Value::Null);
            }
        }
    }

    #[test]
    fn writing_what_is_there_changes_no_byte(compose in compose().boxed()) {
        let spec = created(&compose);
        let mut again = spec.clone();
        for field in fields(&compose) {
            write(&mut again, &field.name, Some(&field.value));
        }
        prop_assert_eq!(again.to_string(), spec.to_string());
    }

    #[test]
    fn canonical_is_stable_and_says_what_same_says(compose in compose().boxed(), other in compose().boxed()) {
        let (ours, theirs) = (fields(&compose), fields(&other));
        for field in &ours {
            let once = canonical(&field.name, &field.value);
            prop_assert_eq!(&canonical(&field.name, &once), &once);
            prop_assert!(same(&field.name, &field.value, &once));
            let _ = display(&field.name, &field.value, &nobody);
        }
        if ours == theirs {
            prop_assert_eq!(spec_hash(&ours), spec_hash(&theirs));
        }
        let names: BTreeSet<String> = ours.iter().map(|field| field.name.clone()).collect();
        prop_assert_eq!(owned(Some(&owned_label(&names))), names);
    }
}
