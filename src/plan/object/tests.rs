use std::time::Duration;

use super::*;
use crate::image::Digest;
use crate::plan::{self, Plan};
use crate::spec::parse::{SpecFiles, load};
use crate::spec::{ContentKey, SecretBytes};
use crate::state::{DesiredCustomer, DesiredImage, ObservedState, Target};

const SPEC: &str = "[services.web]\nimage = 'r.example.com/web:1.0.0'\nsecrets = ['token']\n\
    [secrets]\ntoken.file = 'token'\n";

fn customer(content: Option<&str>) -> Customer {
    let files = SpecFiles { files: BTreeMap::from([("acme.toml".to_owned(), SPEC.to_owned())]) };
    let mut customer = load(&files).customers.remove("acme").unwrap();
    let blob = customer.secrets.get_mut("token").unwrap();
    blob.content = Some(SecretBytes::new(*b"hunter2"));
    customer.seal(&ContentKey::new([7; ContentKey::BYTES]));
    let blob = customer.secrets.get_mut("token").unwrap();
    blob.content = content.map(|content| SecretBytes::new(content.as_bytes()));
    customer
}

fn plan_of(spec: Customer, observed: &ObservedState) -> Plan {
    let target = Target {
        repository: "r.example.com/web".parse().unwrap(),
        version: "1.0.0".parse().ok(),
        tag: Some("1.0.0".into()),
        digest: Digest::of(b"one"),
        warnings: Vec::new(),
        passed_over: Vec::new(),
    };
    let images = BTreeMap::from([("web".to_owned(), DesiredImage::Chosen(target))]);
    let desired = DesiredCustomer { spec, revision: None, images };
    plan::plan(Input {
        desired: &desired,
        observed,
        remembered: &BTreeMap::new(),
        rollout_timeout: Duration::from_secs(60),
        now: "2026-11-23T12:00:00Z".parse().unwrap(),
        prune: None,
    })
}

/// Of a spec from before a restart it is known what its secrets were called, and not what they held.
#[test]
fn what_nobody_can_read_any_more_is_used_and_never_made() {
    let mut observed = ObservedState::default();
    let made = plan_of(customer(Some("hunter2")), &observed);
    let kinds = |plan: &Plan| plan.steps.iter().map(|step| step.kind).collect::<Vec<_>>();
    assert!(kinds(&made).contains(&ObjectKind::Secret) && kinds(&made).contains(&ObjectKind::Service));
    let unread = plan_of(customer(None), &observed);
    assert!(!kinds(&unread).contains(&ObjectKind::Secret) && !kinds(&unread).contains(&ObjectKind::Service));
    let [waiting] = &unread.waiting[..] else { panic!("{:?}", unread.waiting) };
    assert_eq!(waiting.reason, WaitingReason::ObjectMissing);
    assert!(waiting.message.contains("cannot be read any more"), "{}", waiting.message);
    let name = customer(None).secrets["token"].swarm_name().unwrap();
    let labels = [(labels::CUSTOMER, "acme"), (labels::OBJECT, "token")];
    let there = ObservedBlob {
        id: "id".into(),
        name: name.clone(),
        labels: labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into(),
        created_at: None,
    };
    std::sync::Arc::make_mut(&mut observed.secrets).insert(name, there);
    let used = plan_of(customer(None), &observed);
    assert!(kinds(&used).contains(&ObjectKind::Service), "{:?}", used.waiting);
}
