use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Gone, Inventory, Prune, PrunePolicy};
use crate::memory::Removed;
use crate::plan::{self, Action, Input, ObjectKind, Plan};
use crate::spec::parse::{SpecFiles, load};
use crate::spec::{Customer, Suspend};
use crate::state::{DesiredCustomer, ObservedState, WaitingReason};
use crate::swarm::convert_snapshot;

fn now() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn spec(name: &str, top: &str, services: &[&str]) -> Customer {
    let services = services.iter().map(|key| format!("[services.{key}]\nimage = \"app:1.0.0\"\n"));
    let text = format!("{top}\n{}", services.collect::<String>());
    let loaded = load(&SpecFiles { files: BTreeMap::from([(format!("{name}.toml"), text)]) });
    assert!(loaded.invalid.is_empty(), "{:?}", loaded.invalid);
    loaded.customers[name].clone()
}

/// Services with their owners by label.
fn swarm(services: &[(String, Option<&str>)]) -> ObservedState {
    let service = |(name, owner): &(String, Option<&str>)| {
        let labels = owner.map(|owner| json!({ "skep.customer": owner })).unwrap_or(json!({}));
        json!({
            "ID": format!("id-{name}"),
            "Version": { "Index": 1 },
            "Spec": { "Name": name, "Labels": labels, "TaskTemplate": { "ContainerSpec": { "Image": "app" } } },
        })
    };
    let services: Vec<Value> = services.iter().map(service).collect();
    convert_snapshot(services.into(), [Value::Null, Value::Null], &Value::Null, &Value::Null)
}

struct World {
    inventory: Inventory,
    observed: ObservedState,
    removed: BTreeMap<String, Removed>,
}

impl World {
    /// `customers` customers with services a and b in spec and Swarm.
    fn new(customers: usize) -> Self {
        let names: Vec<String> = (0..customers).map(|at| format!("c{at}")).collect();
        let specs = names.iter().map(|name| (name.clone(), Some(Arc::new(spec(name, "", &["a", "b"])))));
        let services = names
            .iter()
            .flat_map(|name| ["a", "b"].map(|key| (format!("{name}_{key}"), Some(name.as_str()))));
        Self {
            observed: swarm(&services.collect::<Vec<_>>()),
            inventory: Inventory { customers: specs.collect(), complete: true, ..Inventory::default() },
            removed: BTreeMap::new(),
        }
    }

    fn with_spec(mut self, spec: Customer) -> Self {
        self.inventory.customers.insert(spec.name.clone(), Some(Arc::new(spec)));
        self
    }

    /// The file of the customer is gone for so many seconds.
    fn gone(mut self, name: &str, seconds: i64) -> Self {
        self.inventory.customers.remove(name);
        let since = now() - jiff::SignedDuration::from_secs(seconds);
        self.inventory.gone.insert(name.into(), Gone { since, keep: false });
        self
    }

    fn removed(mut self, name: &str, seconds: i64, counted: bool) -> Self {
        let time = now() - jiff::SignedDuration::from_secs(seconds);
        self.removed.insert(name.into(), Removed { id: format!("id-{name}"), time, counted });
        self
    }

    fn plan(&self, customer: &str) -> Plan {
        let spec = self.inventory.customers.get(customer).cloned().flatten();
        let spec = spec.map_or_else(|| Customer::without_file(customer), |spec| (*spec).clone());
        plan::plan(Input {
            desired: &DesiredCustomer { spec, revision: None, images: BTreeMap::new() },
            observed: &self.observed,
            remembered: &BTreeMap::new(),
            rollout_timeout: Duration::from_secs(600),
            now: now(),
            prune: Some(Prune { inventory: &self.inventory, removed: &self.removed }),
        })
    }

    #[track_caller]
    fn check(&self, customer: &str, removed: &[&str], waits: &[(&str, WaitingReason)]) {
        let plan = self.plan(customer);
        let names: Vec<&str> = removals(&plan);
        assert_eq!(names, removed);
        use WaitingReason as W;
        let of_prune = |reason| matches!(reason, W::PruneHeld | W::PruneDisabled | W::SpecRemoved);
        let waiting = plan.waiting.iter().map(|waiting| (waiting.service.as_str(), waiting.reason));
        assert_eq!(waiting.filter(|(_, reason)| of_prune(*reason)).collect::<Vec<_>>(), waits);
    }
}

fn removals(plan: &Plan) -> Vec<&str> {
    let removals = plan.steps.iter().filter(|step| step.action == Action::Remove);
    removals.map(|step| step.name.as_str()).collect()
}

#[test]
fn what_the_spec_does_not_name_goes() {
    let world = World::new(3).with_spec(spec("c0", "", &["a"]));
    world.check("c0", &["c0_b"], &[]);
    world.check("c1", &[], &[]);
    let step = &world.plan("c0").steps.last().unwrap().clone();
    assert_eq!(step.target, "removed id-c0_b");
    assert_eq!(super::is_removed(&step.target, &world.observed), Some(false));
    assert_eq!(super::is_removed(&step.target, &ObservedState::default()), Some(true));
    assert_eq!(super::is_removed("app@sha256:0 abc 0", &world.observed), None);
}

#[test]
fn nobody_elses_goes() {
    let mut world = World::new(1).with_spec(spec("c0", "", &["a"]));
    let others = [("c0_hand", None), ("c0_theirs", Some("c9")), ("c0-b_x", Some("c0")), ("zz", Some("c0"))];
    world.observed = swarm(&others.map(|(name, owner)| (name.to_owned(), owner)));
    world.check("c0", &[], &[]);
    world.inventory.allowed = true;
    let world = world.gone("c0", 9999);
    world.check("c0", &[], &[]);
    assert!(world.plan("c0").is_gone);
}

#[test]
fn it_can_be_turned_off_and_held() {
    let off = [("b", WaitingReason::PruneDisabled)];
    World::new(1).with_spec(spec("c0", "prune = false", &["a"])).check("c0", &[], &off);
    let mut world = World::new(1).with_spec(spec("c0", "", &["a"]));
    world.inventory.policy.enabled = false;
    world.check("c0", &[], &off);
    World::new(1).with_spec(spec("c0", "suspend = \"audit\"", &["a"])).check("c0", &[], &[]);
    let mut over = spec("c0", "", &["a"]);
    over.suspend = Some(Suspend { reason: "was".into(), until: Some(now()) });
    World::new(1).with_spec(over).check("c0", &["c0_b"], &[]);
    // Nobody knows what its file says now.
    let mut world = World::new(2);
    world.inventory.customers.insert("c0".into(), None);
    world.check("c0", &[], &[]);
    assert_eq!(World { inventory: Inventory::default(), ..World::new(1) }.plan("c0").steps, []);
}

#[test]
fn a_stack_goes_after_the_grace() {
    let grace = [("", WaitingReason::SpecRemoved)];
    World::new(6).gone("c0", 599).check("c0", &[], &grace);
    let world = World::new(6).gone("c0", 600);
    world.check("c0", &["c0_a", "c0_b"], &[]);
    assert!(!world.plan("c0").is_gone);
    let empty = World { observed: swarm(&[]), ..World::new(6).gone("c0", 600) };
    assert!(empty.plan("c0").is_gone && empty.plan("c0").steps.is_empty());
    let mut incomplete = World::new(6).gone("c0", 600);
    incomplete.inventory.complete = false;
    incomplete.check("c0", &[], &[]);
    assert!(!incomplete.plan("c0").is_gone);
    let mut off = World::new(6).gone("c0", 600);
    off.inventory.policy.enabled = false;
    off.check("c0", &[], &[]);
    let mut kept = World::new(6).gone("c0", 600);
    kept.inventory.gone.get_mut("c0").unwrap().keep = true;
    kept.check("c0", &[], &[]);
    // A person does not want to wait.
    let mut allowed = World::new(6).gone("c0", 0);
    allowed.inventory.allowed = true;
    allowed.check("c0", &["c0_a", "c0_b"], &[]);
}

#[test]
fn a_stack_that_is_due_waits_where_nobody_asked_for_stacks() {
    let held = [("a", WaitingReason::PruneHeld), ("b", WaitingReason::PruneHeld)];
    let mut world = World::new(6).gone("c0", 600);
    world.inventory.stacks_wait = true;
    world.check("c0", &[], &held);
    assert!(!world.plan("c0").is_gone);
    world.observed.services.clear();
    world.check("c0", &[], &[]);
    assert!(world.plan("c0").is_gone, "nothing is left that could wait");
    let network = crate::state::ObservedNetwork {
        id: "n1".into(),
        name: "c0_default".into(),
        labels: BTreeMap::from([("skep.customer".into(), "c0".into())]),
    };
    Arc::make_mut(&mut world.observed.networks).insert(network.name.clone(), network);
    world.check("c0", &[], &[("", WaitingReason::PruneHeld)]);
    world.inventory.allowed = true;
    world.check("c0", &["c0_default"], &[]);
    // What a file no longer names is no stack.
    let mut world = World::new(6).with_spec(spec("c0", "", &["a"]));
    world.inventory.stacks_wait = true;
    world.check("c0", &["c0_b"], &[]);
}

#[test]
fn more_than_the_share_waits() {
    let held = [("a", WaitingReason::PruneHeld), ("b", WaitingReason::PruneHeld)];
    // 4 of 20 are 20 %; 6 are more.
    World::new(10).gone("c0", 600).gone("c1", 600).check("c0", &["c0_a", "c0_b"], &[]);
    let three = || World::new(10).gone("c0", 600).gone("c1", 600).gone("c2", 600);
    three().check("c2", &[], &held);
    let mut wider = three();
    wider.inventory.policy.share = 30;
    wider.check("c2", &["c2_a", "c2_b"], &[]);
    let mut allowed = three();
    allowed.inventory.allowed = true;
    allowed.check("c2", &["c2_a", "c2_b"], &[]);
    // One customer may always go, but not the last one: the directory may be empty by mistake.
    World::new(2).gone("c0", 600).check("c0", &["c0_a", "c0_b"], &[]);
    World::new(1).gone("c0", 600).check("c0", &[], &held);
    World::new(2).gone("c0", 600).gone("c1", 600).check("c0", &[], &held);
}

#[test]
fn what_went_lately_counts() {
    let world = || World::new(10).gone("c0", 600).removed("c8_x", 599, true).removed("c9_x", 0, true);
    world().check("c0", &["c0_a", "c0_b"], &[]);
    let held = [("a", WaitingReason::PruneHeld), ("b", WaitingReason::PruneHeld)];
    world().removed("c7_x", 10, true).check("c0", &[], &held);
    // Long ago, or by a person's will.
    world().removed("c7_x", 600, true).removed("c6_x", 5, false).check("c0", &["c0_a", "c0_b"], &[]);
    // What is noted and not yet gone counts once.
    let under_way = World::new(10).gone("c0", 600).gone("c1", 600).removed("c0_a", 1, true);
    under_way.check("c0", &["c0_a", "c0_b"], &[]);
    under_way.check("c1", &["c1_a", "c1_b"], &[]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever the Swarm holds and however much of the specs is gone: no customer's plan removes
    /// what is foreign or named, and all plans together remove no more than the share, or one
    /// customer.
    #[test]
    fn removal_is_safe(
        specs in btree_map("[a-d]", (proptest::option::of(vec("[x-z]", 1..3)), 0_i64..1200, any::<bool>()), 1..5),
        services in btree_map("[a-e]_[w-z]", proptest::option::of("[a-e]"), 0..16),
        share in 0_u8..=100,
    ) {
        let mut inventory = Inventory { complete: true, ..Inventory::default() };
        inventory.policy = PrunePolicy { share, ..PrunePolicy::default() };
        for (name, (keys, age, on)) in &specs {
            match keys {
                Some(keys) => {
                    let mut keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                    keys.sort_unstable();
                    keys.dedup();
                    let spec = spec(name, &format!("prune = {on}"), &keys);
                    inventory.customers.insert(name.clone(), Some(Arc::new(spec)));
                }
                None => {
                    let since = now() - jiff::SignedDuration::from_secs(*age);
                    inventory.gone.insert(name.clone(), Gone { since, keep: !on });
                }
            }
        }
        let found: Vec<(String, Option<&str>)> =
            services.iter().map(|(name, owner)| (name.clone(), owner.as_deref())).collect();
        let world = World { inventory, observed: swarm(&found), removed: BTreeMap::new() };
        let managed = found.iter().filter(|(name, owner)| owner.is_some_and(|owner| name.starts_with(owner))).count();
        let mut all = Vec::new();
        for (customer, (keys, age, on)) in &specs {
            let plan = world.plan(customer);
            for name in removals(&plan) {
                prop_assert_eq!(services[name].as_deref(), Some(customer.as_str()));
                let key = name.strip_prefix(customer.as_str()).and_then(|rest| rest.strip_prefix('_'));
                prop_assert!(*on && key.is_some());
                match keys {
                    Some(keys) => prop_assert!(!keys.iter().any(|named| Some(named.as_str()) == key)),
                    None => prop_assert!(*age >= 600),
                }
                all.push(name.to_owned());
            }
        }
        let customers: std::collections::BTreeSet<_> = all.iter().map(|name| name.split('_').next()).collect();
        prop_assert!(customers.len() <= 1 || all.len() * 100 <= managed * usize::from(share));
        prop_assert!(all.is_empty() || !world.inventory.customers.is_empty());
    }
}

#[test]
fn networks_go_when_nothing_uses_them_and_secrets_with_the_stack() {
    let owned = json!({ "skep.customer": "c0" });
    let networks = json!([
        { "Id": "n1", "Name": "c0_default", "Labels": owned },
        { "Id": "n2", "Name": "c0_old", "Labels": owned },
        { "Id": "n3", "Name": "c0_hand", "Labels": {} },
        { "Id": "n4", "Name": "c0_used", "Labels": owned },
    ]);
    let service = |name: &str, network: &str| {
        json!({
            "ID": name,
            "Version": { "Index": 1 },
            "Spec": { "Name": name, "TaskTemplate": { "Networks": [{ "Target": network }] } },
        })
    };
    let state =
        |services: Value| convert_snapshot(services, [Value::Null, Value::Null], &Value::Null, &networks);
    let mut world = World::new(2);
    world.observed = state(json!([service("other", "n4")]));
    // Services without networks join the default one.
    world.check("c0", &["c0_old"], &[]);
    let mut world = world.gone("c0", 600);
    world.check("c0", &["c0_default", "c0_old"], &[]);
    world.observed = state(json!([]));
    let secret = crate::state::ObservedBlob {
        id: "s1".into(),
        name: "c0_key".into(),
        labels: BTreeMap::from([("skep.customer".into(), "c0".into())]),
        created_at: None,
    };
    let foreign =
        crate::state::ObservedBlob { name: "c0_foreign".into(), labels: BTreeMap::new(), ..secret.clone() };
    for blob in [secret, foreign] {
        Arc::make_mut(&mut world.observed.secrets).insert(blob.name.clone(), blob);
    }
    world.check("c0", &["c0_default", "c0_old", "c0_used", "c0_key"], &[]);
    assert_eq!(world.plan("c0").steps.last().unwrap().kind, ObjectKind::Secret);
}
