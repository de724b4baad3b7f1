use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::sim::engine::{Engine, HostOptions, Options, Role};
use crate::sim::registry::{Options as RegistryOptions, Registry};
use crate::sim::wire::{Memory, Tap};
use crate::spec::parse::{SpecFiles, load};
use crate::state::ObjectKind;
use crate::swarm::{Client, Endpoint};

/// A Swarm of two customers, the name of one of which begins the other's.
struct Place {
    client: Arc<Client>,
    tap: Tap,
    heard: AtomicUsize,
    _server: Memory,
}

impl Place {
    async fn new() -> Self {
        let hosts = vec![HostOptions::new("n0", Role::Manager)];
        let registry = Registry::new(RegistryOptions::default());
        let engine = Engine::new(Options { hosts, ..Options::default() }, Arc::new(registry));
        let tap = Tap::default();
        let server = Memory::new(Arc::new(tap.wire("swarm", Arc::new(engine))));
        let client = Client::new(Endpoint::Memory(server.dialer()), Arc::new(|_, _| {}));
        for name in ["acme_default", "acme_old", "acme-eu_default", "fleet"] {
            let customer = name.split('_').next().filter(|customer| name != *customer);
            let labels = customer.map(|customer| json!({"skep.customer": customer}));
            let spec = json!({"Name": name, "Driver": "overlay", "Labels": labels.unwrap_or(json!({}))});
            client.create_object(ObjectKind::Network, spec).await.unwrap();
        }
        for (name, network) in [
            ("acme_web", "fleet"),
            ("acme_db", "acme_default"),
            ("acme-eu_web", "acme-eu_default"),
            ("acme", "fleet"),
        ] {
            client.create_service(service(name, network), None).await.unwrap();
        }
        Self { client: Arc::new(client), tap, heard: AtomicUsize::new(0), _server: server }
    }

    fn snapshots(&self) -> Snapshots {
        Snapshots::new(Arc::<Client>::clone(&self.client) as Arc<dyn Swarm>)
    }

    /// What was asked since the last time, but for the version.
    fn asked(&self) -> Vec<String> {
        let all: Vec<String> = self.tap.exchanges().iter().map(ToString::to_string).collect();
        let heard = self.heard.swap(all.len(), Ordering::Relaxed);
        all.into_iter().skip(heard).filter(|line| !line.contains("/version")).collect()
    }
}

fn service(name: &str, network: &str) -> Value {
    let container = json!({"Image": "img", "Init": false});
    json!({
        "Name": name,
        "TaskTemplate": {"ContainerSpec": container, "Networks": [{"Target": network}]},
        "Mode": {"Replicated": {"Replicas": 0}},
    })
}

fn customer(name: &str) -> Customer {
    let text = "[services.web]\nimage = \"r.example.com/web\"\nnetworks = [\"fleet\"]\n\
                [networks.fleet]\nexternal = true\nname = \"fleet\"\n";
    let files = [(format!("{name}.toml"), text.to_owned())].into();
    let loaded = load(&SpecFiles { files });
    loaded.customers.get(name).cloned().unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
}

async fn of(snapshots: &Snapshots, customer: &Customer, alone: bool, since: Instant) -> ObservedState {
    snapshots.of(Wanted { customer, networks: Vec::new(), since, alone }).await.unwrap()
}

fn names<T>(map: &BTreeMap<String, T>) -> Vec<&str> {
    map.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn a_customer_alone_sees_its_own_and_what_its_spec_names() {
    let place = Place::new().await;
    let snapshots = place.snapshots();
    let seen = of(&snapshots, &customer("acme"), true, Instant::now()).await;
    assert_eq!(names(&seen.services), ["acme_db", "acme_web"]);
    assert_eq!(names(&seen.networks), ["acme_default", "acme_old", "fleet"]);
    assert_eq!(seen.nodes.len(), 1);
    let other = of(&snapshots, &customer("acme-eu"), true, Instant::now()).await;
    assert_eq!(names(&other.services), ["acme-eu_web"]);
    assert_eq!(names(&other.networks), ["acme-eu_default", "fleet"]);
    let empty = of(&snapshots, &customer("a"), true, Instant::now()).await;
    assert!(empty.services.is_empty(), "no services are not all services");
    assert_eq!(names(&empty.networks), ["fleet"]);
}

#[tokio::test]
async fn alone_or_with_all_a_customer_sees_the_same_services() {
    let place = Place::new().await;
    let snapshots = place.snapshots();
    for name in ["acme", "acme-eu", "a"] {
        let customer = customer(name);
        let alone = of(&snapshots, &customer, true, Instant::now()).await;
        snapshots.release();
        let with_all = of(&snapshots, &customer, false, Instant::now()).await;
        snapshots.release();
        assert_eq!(alone.services, with_all.services);
        assert!(alone.networks.iter().all(|(name, network)| with_all.networks.get(name) == Some(network)));
        assert_eq!(alone.nodes, with_all.nodes);
    }
}

#[tokio::test]
async fn a_look_at_all_serves_whoever_asked_before_it() {
    let place = Place::new().await;
    let snapshots = place.snapshots();
    let since = Instant::now();
    place.asked();
    of(&snapshots, &customer("acme"), false, since).await;
    let once = place.asked().len();
    assert!(once > 0);
    of(&snapshots, &customer("acme-eu"), false, since).await;
    of(&snapshots, &customer("acme-eu"), true, since).await;
    assert_eq!(place.asked(), Vec::<String>::new());
    of(&snapshots, &customer("acme-eu"), true, Instant::now()).await;
    assert!(!place.asked().is_empty(), "an older look is not given");
    snapshots.release();
    of(&snapshots, &customer("acme"), false, since).await;
    assert_eq!(place.asked().len(), once);
}

#[tokio::test]
async fn tasks_in_detail_are_of_the_customer_alone_even_when_a_service_is_gone() {
    let place = Place::new().await;
    let snapshots = place.snapshots();
    snapshots.set_rolling("acme", ["acme_web".to_owned(), "acme_gone".to_owned()].into());
    place.asked();
    of(&snapshots, &customer("acme"), true, Instant::now()).await;
    let asked = place.asked();
    let tasks: Vec<&String> = asked.iter().filter(|line| line.contains("/tasks")).collect();
    assert_eq!(tasks.len(), 3, "{asked:?}");
    assert!(tasks.iter().all(|line| line.contains("acme_")), "{tasks:?}");
}
