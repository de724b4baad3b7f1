//! What the docker CLI makes of the same words, where that is not plain.

use super::*;

/// A table that stands in the spec is sent, and what stands in it is kept.
#[test]
fn tables_in_which_nothing_stands_are_made() {
    let (config, policy) = (spec::UpdateConfig::default(), spec::RestartPolicy::default());
    let amounts = Some(spec::ResourceAmounts::default());
    let pids = Some(spec::ResourceAmounts { pids: Some(5), ..spec::ResourceAmounts::default() });
    let compose = |limits| Compose {
        healthcheck: Some(spec::Healthcheck::default()),
        container: spec::Container {
            logging: Some(spec::Logging::default()),
            dns: Some(Vec::new()),
            ..spec::Container::default()
        },
        deploy: spec::Deploy {
            update_config: Some(config.clone()),
            rollback_config: Some(config.clone()),
            restart_policy: Some(policy.clone()),
            resources: Some(spec::Resources { limits, reservations: amounts.clone() }),
            ..spec::Deploy::default()
        },
        ..Compose::default()
    };
    let made = |compose: &Compose| of_parts(&customer(), "web", compose, "i", &ids).unwrap();
    let empty = made(&compose(amounts.clone()));
    for pointer in ["/UpdateConfig", "/RollbackConfig"] {
        assert_eq!(empty.pointer(pointer), Some(&json!({ "Parallelism": 1 })), "{pointer}");
    }
    for pointer in [
        "/TaskTemplate/RestartPolicy",
        "/TaskTemplate/LogDriver",
        "/TaskTemplate/ContainerSpec/DNSConfig",
        "/TaskTemplate/ContainerSpec/Healthcheck",
        "/TaskTemplate/Resources/Limits",
        "/TaskTemplate/Resources/Reservations",
    ] {
        assert_eq!(empty.pointer(pointer), Some(&json!({})), "{pointer}");
        assert_eq!(made(&Compose::default()).pointer(pointer), None, "{pointer}");
    }
    assert_eq!(made(&compose(pids))["TaskTemplate"]["Resources"]["Limits"], json!({ "Pids": 5 }));
}

/// By the port outside, and else as the spec has them: so the docker CLI sorts.
#[test]
fn ports_keep_their_order_among_those_of_one_port_outside() {
    let port = |published, target, protocol| spec::Port {
        target,
        published,
        protocol,
        mode: spec::PortMode::Ingress,
    };
    let (tcp, udp) = (spec::Protocol::Tcp, spec::Protocol::Udp);
    let ports = vec![port(53, 53, udp), port(0, 90, tcp), port(53, 53, tcp), port(0, 80, tcp)];
    let compose = Compose { ports: Some(ports), ..Compose::default() };
    let value = value_of(&fields(&compose), "ports");
    let order = value.as_array().unwrap().iter().map(|port| (&port["TargetPort"], &port["Protocol"]));
    let expected = [(90, "tcp"), (80, "tcp"), (53, "udp"), (53, "tcp")];
    assert!(
        order.eq(expected.map(|(port, protocol)| (json!(port), json!(protocol))).iter().map(|(a, b)| (a, b))),
        "{value}"
    );
}
