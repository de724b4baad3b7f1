//! A whole `ServiceSpec` for a new service, as `docker stack deploy` makes it from the same
//! compose file (docker/cli's `cli/compose/convert`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::desired::{MissingNetwork, attachments, of_compose};
use super::write;
use crate::spec::{Compose, Customer, Deploy, Mode, Service};

/// The spec to send to `POST /services/create`. `image` is the full reference, by digest; it
/// stands in `com.docker.stack.image` as well. `networks` is as in [`super::desired`]. The
/// `skep.*` labels are the caller's to add.
///
/// # Errors
/// When the service is to join a network, the default one included, that does not exist.
pub fn create(
    customer: &Customer,
    service: &Service,
    image: &str,
    networks: &dyn Fn(&str) -> Option<String>,
) -> Result<Value, MissingNetwork> {
    of_parts(customer, &service.key, &service.compose, image, networks)
}

pub(super) fn of_parts(
    customer: &Customer,
    key: &str,
    compose: &Compose,
    image: &str,
    networks: &dyn Fn(&str) -> Option<String>,
) -> Result<Value, MissingNetwork> {
    let fields = of_compose(customer, key, compose, networks)?;
    let joined = attachments(customer, key, compose.networks.as_deref().unwrap_or_default(), networks)?;
    let namespace = ("com.docker.stack.namespace", customer.name.as_str());
    let mut spec = json!({
        "Name": format!("{}_{key}", customer.name),
        "Labels": BTreeMap::from([namespace, ("com.docker.stack.image", image)]),
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": image,
                "Labels": BTreeMap::from([namespace]),
                // The engine shows these as the docker CLI sends them, so equal specs stay equal.
                "Privileges": { "CredentialSpec": null, "SELinuxContext": null },
            },
            "Resources": {},
            "Placement": {},
            "Networks": joined,
        },
        "Mode": service_mode(&compose.deploy),
        "EndpointSpec": {},
    });
    for field in fields {
        write(&mut spec, &field.name, Some(&field.value));
    }
    empty_tables(&mut spec, compose);
    Ok(spec)
}

/// What the docker CLI sends of tables in which nothing stands.
fn empty_tables(spec: &mut Value, compose: &Compose) {
    let deploy = &compose.deploy;
    let resources = deploy.resources.as_ref();
    let asks_names = compose.container.dns.is_some() || compose.container.dns_search.is_some();
    let one_at_once = json!({ "Parallelism": 1 });
    let tables = [
        ("", "UpdateConfig", deploy.update_config.is_some(), &one_at_once),
        ("", "RollbackConfig", deploy.rollback_config.is_some(), &one_at_once),
        ("/TaskTemplate", "RestartPolicy", deploy.restart_policy.is_some(), &json!({})),
        ("/TaskTemplate", "LogDriver", compose.container.logging.is_some(), &json!({})),
        ("/TaskTemplate/ContainerSpec", "DNSConfig", asks_names, &json!({})),
        ("/TaskTemplate/ContainerSpec", "Healthcheck", compose.healthcheck.is_some(), &json!({})),
        ("/TaskTemplate/Resources", "Limits", resources.is_some_and(|it| it.limits.is_some()), &json!({})),
        (
            "/TaskTemplate/Resources",
            "Reservations",
            resources.is_some_and(|it| it.reservations.is_some()),
            &json!({}),
        ),
    ];
    for (parent, key, is_set, empty) in tables {
        if is_set && let Some(parent) = spec.pointer_mut(parent).and_then(Value::as_object_mut) {
            parent.entry(key).or_insert_with(|| empty.clone());
        }
    }
}

/// The mode with its numbers, which the engine would otherwise fill in just so.
fn service_mode(deploy: &Deploy) -> Value {
    let replicas = deploy.replicas.unwrap_or(1);
    match deploy.mode.unwrap_or(Mode::Replicated) {
        Mode::Replicated => json!({ "Replicated": { "Replicas": replicas } }),
        Mode::Global => json!({ "Global": {} }),
        Mode::ReplicatedJob => {
            json!({ "ReplicatedJob": { "MaxConcurrent": replicas, "TotalCompletions": replicas } })
        }
        Mode::GlobalJob => json!({ "GlobalJob": {} }),
    }
}
