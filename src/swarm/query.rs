//! What the engine is asked: the paths of the list calls that make up a look.

use serde_json::{Value, json};

use super::look::Scope;
use crate::plan::labels;
use crate::spec::Network;

/// The lists that make up a look.
pub(super) struct Lists {
    pub(super) services: String,
    /// Tasks that should run.
    pub(super) tasks: String,
    pub(super) all_tasks: String,
    pub(super) networks: String,
    /// Networks that the first list may lack.
    pub(super) named_networks: Option<String>,
    /// Networks that no list has, one by one.
    pub(super) predefined: Vec<String>,
    pub(super) secrets: String,
    pub(super) configs: String,
}

impl Lists {
    pub(super) fn of(scope: &Scope) -> Self {
        let should_run = json!(["running", "ready", "accepted", "complete"]);
        match scope {
            Scope::Whole => Self {
                services: "/services".into(),
                tasks: filtered("/tasks", &json!({"desired-state": should_run})),
                all_tasks: "/tasks".into(),
                networks: filtered("/networks", &json!({"scope": ["swarm"]})),
                named_networks: None,
                predefined: Vec::new(),
                secrets: "/secrets".into(),
                configs: "/configs".into(),
            },
            // Names of services, tasks, secrets and configs are taken for how they begin; those of
            // networks only for themselves, so that the customer's are told by their label.
            Scope::Customer { name, networks, blobs } => {
                let prefix = json!([format!("{name}_")]);
                let own = [format!("{}={name}", labels::CUSTOMER)];
                let mut blobs = blobs.clone();
                blobs.push(format!("{name}_"));
                let (predefined, networks): (Vec<&String>, Vec<&String>) =
                    networks.iter().partition(|name| Network::is_predefined(name));
                let named = json!({"scope": ["swarm"], "name": networks});
                Self {
                    services: filtered("/services", &json!({"name": prefix})),
                    tasks: filtered("/tasks", &json!({"name": prefix, "desired-state": should_run})),
                    all_tasks: filtered("/tasks", &json!({"name": prefix})),
                    networks: filtered("/networks", &json!({"scope": ["swarm"], "label": own})),
                    // No names would be all.
                    named_networks: (!networks.is_empty()).then(|| filtered("/networks", &named)),
                    // Else it is the one of the node that answers.
                    predefined: predefined
                        .iter()
                        .map(|name| format!("/networks/{name}?scope=swarm"))
                        .collect(),
                    secrets: filtered("/secrets", &json!({"name": blobs})),
                    configs: filtered("/configs", &json!({"name": blobs})),
                }
            }
        }
    }
}

pub(super) fn filtered(path: &str, filters: &Value) -> String {
    let query: String = url::form_urlencoded::byte_serialize(filters.to_string().as_bytes()).collect();
    format!("{path}?filters={query}")
}
