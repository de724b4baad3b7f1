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
    Ok(spec)
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
