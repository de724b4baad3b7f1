//! Random Swarms under random customers, services remembered as they may be: a plan touches
//! nothing foreign, writes digests, and, once it is carried out, there is nothing left to do.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::fields::tests::{customer, properties};
use super::{desired_hash, fields, labels};
use crate::fuzz::settles;
use crate::image::{Digest, Repository};
use crate::memory::{Image, Purpose, Refusal, Rollout, ServiceMemory};
use crate::spec::{Compose, ImagePolicy, OnFailure, Retag, Service, VersionPolicy};
use crate::state::{DesiredCustomer, DesiredImage, Target, WaitingReason};
use crate::swarm::convert_snapshot;

const REPOSITORY: &str = "registry.example.com/app";
/// Stands for the hash of the service's spec as it is now.
const CURRENT: &str = "current";

impl super::Step {
    /// One that means nothing, for tests of those who pass steps on.
    pub(crate) fn example(name: &str) -> Self {
        Self {
            action: super::Action::Create,
            kind: super::ObjectKind::Service,
            name: name.into(),
            service: None,
            cause: super::Cause::Missing,
            from: None,
            to: None,
            changes: Vec::new(),
            drift: Vec::new(),
            message: String::new(),
            warnings: Vec::new(),
            target: String::new(),
            spec_hash: String::new(),
            write: super::Write::CreateService { spec: Value::Null },
        }
    }
}

fn digest() -> impl Strategy<Value = Digest> {
    select(vec!["a", "b", "c"]).prop_map(|text| Digest::of(text.as_bytes()))
}

fn tag() -> impl Strategy<Value = String> {
    select(vec!["1.0.0", "1.1.0", "2.0.0", "latest"]).prop_map(str::to_owned)
}

fn image() -> impl Strategy<Value = Image> {
    (tag(), digest()).prop_map(|(tag, digest)| Image {
        repository: REPOSITORY.into(),
        version: Some(tag.clone()).filter(|tag| tag != "latest"),
        tag: Some(tag),
        digest: digest.to_string(),
    })
}

fn chosen() -> impl Strategy<Value = DesiredImage> {
    let reasons =
        vec![WaitingReason::RegistryUnavailable, WaitingReason::NoVersionFits, WaitingReason::WouldDowngrade];
    let none = select(reasons).prop_map(|reason| DesiredImage::None {
        reason,
        message: "no".into(),
        passed_over: Vec::new(),
    });
    let target = image().prop_map(|image| {
        DesiredImage::Chosen(Target {
            repository: image.repository.parse::<Repository>().unwrap(),
            version: image.version.map(|version| version.parse().unwrap()),
            tag: image.tag,
            digest: image.digest.parse().unwrap(),
            warnings: Vec::new(),
            passed_over: Vec::new(),
        })
    });
    prop_oneof![3 => target, 1 => none]
}

fn service() -> impl Strategy<Value = (Service, DesiredImage)> {
    let failure = select(vec![OnFailure::Rollback, OnFailure::Hold]);
    let retag = select(vec![Retag::Follow, Retag::Hold]);
    (compose().boxed(), any::<bool>(), failure, retag, chosen()).prop_map(
        |(compose, adopt, on_failure, retag, chosen)| {
            let policy = VersionPolicy { retag, ..VersionPolicy::default() };
            let repository = REPOSITORY.parse().unwrap();
            let image = ImagePolicy::Highest { repository, policy };
            let (after, drift) = (Vec::new(), None);
            (
                Service {
                    key: String::new(),
                    image,
                    adopt,
                    suspend: None,
                    on_failure,
                    after,
                    drift,
                    compose,
                },
                chosen,
            )
        },
    )
}

fn compose() -> impl Strategy<Value = Compose> {
    prop_oneof![Just(Compose::default()), properties::compose().boxed()]
}

/// A service in the Swarm: ours, another customer's, or nobody's.
fn found() -> impl Strategy<Value = Value> {
    let created = compose().boxed().prop_map(|compose| {
        let id = |name: &str| Some(format!("id-{name}"));
        let service = Service {
            key: "web".into(),
            image: ImagePolicy::Highest {
                repository: REPOSITORY.parse().unwrap(),
                policy: VersionPolicy::default(),
            },
            adopt: false,
            suspend: None,
            on_failure: OnFailure::Rollback,
            after: Vec::new(),
            drift: None,
            compose,
        };
        fields::create(&customer(), &service, REPOSITORY, &id).unwrap()
    });
    let spec = || prop_oneof![properties::observed().boxed(), created.clone().boxed()].boxed();
    let owner = select(vec![None, Some("acme"), Some("acme"), Some("globex")]);
    let owned =
        select(vec!["", "[]", r#"["command","labels.a","deploy.replicas","environment.A","networks"]"#, "{"]);
    let states = [
        "updating",
        "paused",
        "completed",
        "rollback_started",
        "rollback_completed",
        "rollback_paused",
        "new",
    ];
    let reference = prop_oneof![
        3 => image().prop_map(|image| format!("{REPOSITORY}:{}@{}", image.tag.unwrap(), image.digest)),
        1 => select(vec!["app", "app:1.0.0", "UPPER CASE", ""]).prop_map(str::to_owned),
    ];
    let hash = select(vec![CURRENT, "v1:0"]);
    let status = weighted(0.5, select(states.to_vec()));
    (spec(), of(spec()), owner, owned, reference.clone(), reference, hash, status).prop_map(
        |(spec, previous, owner, owned, image, before, hash, status)| {
            let stamp = |mut spec: Value, image: &str| {
                spec["TaskTemplate"]["ContainerSpec"]["Image"] = image.into();
                spec["Labels"] =
                    json!({ labels::STACK_IMAGE: image, labels::FIELDS: owned, labels::SPEC: hash });
                if let Some(owner) = owner {
                    spec["Labels"][labels::CUSTOMER] = owner.into();
                    spec["Labels"][labels::VERSION] = "1.0.0".into();
                }
                spec
            };
            let previous = previous.map(|previous| stamp(previous, &before));
            json!({
                "Version": { "Index": 7 },
                "Spec": stamp(spec, &image),
                "PreviousSpec": previous,
                "UpdateStatus": status.map(|state| json!({ "State": state, "Message": "so it is" })),
                "UpdatedAt": "2026-11-23T11:00:00Z",
            })
        },
    )
}

fn task() -> impl Strategy<Value = Value> {
    let states = ["new", "pending", "starting", "running", "complete", "failed", "rejected", "orphaned"];
    let desired = select(vec!["running", "shutdown", "complete"]);
    (select(states.to_vec()), desired, any::<bool>(), 0..3_u8).prop_map(|(state, desired, current, node)| {
        json!({
            "Slot": 1,
            "NodeID": format!("node-{node}"),
            "DesiredState": desired,
            "Status": { "State": state, "Timestamp": "2026-11-23T10:00:00Z", "Err": "why" },
            "current": current,
        })
    })
}

fn remembered() -> impl Strategy<Value = ServiceMemory> {
    let time: jiff::Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
    let refusal =
        (image(), select(vec![CURRENT, "old"]), any::<bool>()).prop_map(move |(image, spec, rolled_back)| {
            Refusal { image, spec: spec.into(), why: "crashed".into(), time, rolled_back, until: None }
        });
    let purpose = select(vec![Purpose::Forward, Purpose::RollBack]);
    let rollout = (image(), of(image()), purpose, of(Just("stuck".to_owned())));
    let rollout = rollout.prop_map(move |(to, from, purpose, failed)| Rollout {
        event_id: "1".into(),
        to,
        from,
        spec: CURRENT.into(),
        purpose,
        started: time,
        after_index: 3,
        failed,
    });
    let forced = of(image()).prop_map(|image| image.map(|image| format!("{REPOSITORY}@{}", image.digest)));
    (of(image()), vec(refusal, 0..3), weighted(0.2, rollout), forced, any::<bool>()).prop_map(
        |(last_good, refused, rollout, forced, retry)| ServiceMemory {
            auth_sent: None,
            seen: None,
            removed: None,
            last_good,
            refused,
            rollout,
            forced,
            retry,
            kept: BTreeMap::new(),
        },
    )
}

type One = ((Service, DesiredImage), Option<Value>, Vec<Value>, ServiceMemory);

fn one() -> impl Strategy<Value = One> {
    (service(), weighted(0.8, found()), vec(task(), 0..4), remembered())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_plan_is_safe_and_settles(
        all in btree_map(select(vec!["web", "db"]), one(), 1..3),
        ready in vec(any::<bool>(), 3),
        networks in vec(select(vec!["shared-edge", "host", "zz", "acme_default"]), 0..5),
    ) {
        let mut desired = DesiredCustomer { spec: customer(), revision: None, images: BTreeMap::new() };
        let (mut services, mut tasks, mut memories) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (key, ((mut service, chosen), found, its_tasks, mut memory)) in all {
            service.key = key.into();
            let name = format!("acme_{key}");
            let hash = desired_hash(&desired.spec, &service);
            let fields = fields::desired(&desired.spec, &service, &|name| Some(name.to_owned())).unwrap();
            if let Some(mut found) = found {
                let text = found.to_string().replace(&format!(r#""{CURRENT}""#), &format!(r#""{}""#, fields::spec_hash(&fields)));
                found = serde_json::from_str(&text).unwrap();
                found["ID"] = format!("id-{key}").into();
                found["Spec"]["Name"] = name.clone().into();
                for mut task in its_tasks {
                    task["ID"] = format!("task-{}", tasks.len()).into();
                    task["ServiceID"] = found["ID"].clone();
                    let is_current = task["current"] == true;
                    task["Spec"] = found[if is_current { "Spec" } else { "PreviousSpec" }]["TaskTemplate"].clone();
                    tasks.push(task);
                }
                services.push(found);
            }
            memory.refused.iter_mut().filter(|it| it.spec == CURRENT).for_each(|it| it.spec.clone_from(&hash));
            memories.insert(name, memory);
            desired.images.insert(key.into(), chosen);
            desired.spec.services.insert(key.into(), service);
        }
        let nodes = ready.iter().enumerate().map(|(at, ready)| json!({
            "ID": format!("node-{at}"),
            "Spec": { "Role": "worker", "Availability": "active" },
            "Status": { "State": if *ready { "ready" } else { "down" } },
        }));
        let networks = networks.iter().map(|name| json!({ "Id": format!("id-{name}"), "Name": name }));
        let observed = convert_snapshot(
            services.into(),
            [tasks.into(), Value::Null],
            &nodes.collect(),
            &networks.collect(),
        );
        settles(&desired, observed, memories, "2026-11-23T12:00:00Z".parse().unwrap());
    }
}

/// A refusal remembered of a service whose labels somebody took off: the way back is a write
/// to what is not ours.
#[test]
fn nothing_is_rolled_back_that_is_not_ours() {
    let (good, failed) = (Digest::of(b"a"), Digest::of(b"b"));
    let image = |tag: &str, digest: &Digest| Image {
        repository: REPOSITORY.into(),
        tag: Some(tag.into()),
        version: Some(tag.into()),
        digest: digest.to_string(),
    };
    let policy = VersionPolicy::default();
    let service = Service {
        key: "web".into(),
        image: ImagePolicy::Highest { repository: REPOSITORY.parse().unwrap(), policy },
        adopt: true,
        suspend: None,
        on_failure: OnFailure::Rollback,
        after: Vec::new(),
        drift: None,
        compose: Compose::default(),
    };
    let spec = json!({
        "Name": "acme_web",
        "TaskTemplate": { "ContainerSpec": { "Image": format!("{REPOSITORY}:1.1.0@{failed}") } },
        "Mode": { "Replicated": { "Replicas": 1 } },
    });
    let found = json!([{ "ID": "1", "Version": { "Index": 7 }, "Spec": spec }]);
    let observed = convert_snapshot(found, [Value::Null, Value::Null], &Value::Null, &Value::Null);
    let mut desired = DesiredCustomer { spec: customer(), revision: None, images: BTreeMap::new() };
    let memory = ServiceMemory {
        last_good: Some(image("1.0.0", &good)),
        refused: vec![Refusal {
            image: image("1.1.0", &failed),
            spec: desired_hash(&desired.spec, &service),
            why: "crashed".into(),
            time: jiff::Timestamp::UNIX_EPOCH,
            rolled_back: false,
            until: None,
        }],
        ..ServiceMemory::default()
    };
    let target = Target {
        repository: REPOSITORY.parse().unwrap(),
        tag: Some("1.1.0".into()),
        version: Some(semver::Version::new(1, 1, 0)),
        digest: failed,
        warnings: Vec::new(),
        passed_over: Vec::new(),
    };
    desired.images.insert("web".into(), DesiredImage::Chosen(target));
    desired.spec.services.insert("web".into(), service);
    let plan = super::plan(super::Input {
        desired: &desired,
        observed: &observed,
        remembered: &BTreeMap::from([("acme_web".into(), memory)]),
        rollout_timeout: std::time::Duration::from_secs(600),
        now: jiff::Timestamp::UNIX_EPOCH,
        prune: None,
    });
    assert_eq!(plan.steps, []);
    assert_eq!(plan.waiting[0].reason, WaitingReason::VersionRefused);
}
