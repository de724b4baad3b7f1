//! Credentials that expire: nodes pull with those that came with the last update of a service, so a
//! task that is made after they died would find no image. An update with the same spec gives new
//! ones and restarts nothing (measured: tasks are compared without them).

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Action, Cause, ObjectKind, Plan, Step, Sync, Write, labels, service_name, unchanged_after};
use crate::memory::ServiceMemory;
use crate::state::{ObservedService, ObservedState};

/// Steps that renew the credentials of the plan's services, where that is due and nothing else is
/// under way. `intervals`: by key, of the services whose credentials expire; `remembered`: by full name.
pub fn renew(
    plan: &Plan,
    observed: &ObservedState,
    remembered: &BTreeMap<String, ServiceMemory>,
    intervals: &BTreeMap<String, Duration>,
    now: Timestamp,
) -> Vec<Step> {
    let steps = intervals.iter().filter_map(|(key, interval)| {
        let name = service_name(&plan.customer, key);
        let found = observed.services.get(&name)?;
        let memory = remembered.get(&name);
        let quiet = is_quiet(plan, key, &name, found) && memory.is_none_or(|memory| memory.rollout.is_none());
        let sent = memory.and_then(|memory| memory.auth_sent).or(found.updated_at);
        let due = sent.is_none_or(|sent| {
            SignedDuration::try_from(*interval).is_ok_and(|interval| now.duration_since(sent) >= interval)
        });
        (quiet && due).then(|| step(plan, key, name, found))
    });
    steps.collect()
}

/// Ours, in sync, its tasks right, and nothing planned for it.
fn is_quiet(plan: &Plan, key: &str, name: &str, found: &ObservedService) -> bool {
    let owned = found.label(labels::CUSTOMER) == Some(plan.customer.as_str());
    let view = plan.services.get(key);
    let in_sync = view.is_some_and(|view| view.state == Sync::InSync && view.tally.is_right());
    let updating = found
        .update_status
        .as_ref()
        .is_some_and(|status| !matches!(status.state.as_str(), "completed" | "rollback_completed"));
    owned && in_sync && !updating && !plan.steps.iter().any(|step| step.name == name)
}

fn step(plan: &Plan, key: &str, name: String, found: &ObservedService) -> Step {
    let image = plan.services.get(key).and_then(|view| view.desired.clone());
    Step {
        action: Action::Update,
        kind: ObjectKind::Service,
        name,
        service: Some(key.to_owned()),
        cause: Cause::Credentials,
        from: image.clone(),
        to: image,
        changes: Vec::new(),
        drift: Vec::new(),
        message: format!("{key}: the nodes' credentials renewed"),
        warnings: Vec::new(),
        target: unchanged_after(&found.spec, found.version_index),
        spec_hash: String::new(),
        write: Write::UpdateService {
            id: found.id.clone(),
            index: found.version_index,
            spec: found.spec.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ServiceView;
    use crate::state::UpdateStatus;
    use serde_json::json;

    const NOW: &str = "2026-11-23T12:00:00Z";

    struct World {
        plan: Plan,
        observed: ObservedState,
        remembered: BTreeMap<String, ServiceMemory>,
    }

    fn world() -> World {
        let spec = json!({"Name": "acme_web", "Labels": {"skep.customer": "acme"}});
        let service =
            json!({"ID": "s1", "Version": {"Index": 7}, "Spec": spec, "UpdatedAt": "2026-11-23T06:00:00Z"});
        let none = json!([]);
        let observed =
            crate::swarm::convert_snapshot(json!([service]), [none.clone(), none.clone()], &none, &none);
        let view = ServiceView { exists: true, state: Sync::InSync, ..ServiceView::default() };
        let services = BTreeMap::from([("web".to_owned(), view)]);
        let plan = Plan { customer: "acme".into(), services, ..Plan::default() };
        World { plan, observed, remembered: BTreeMap::new() }
    }

    fn steps(world: &World, hours: u64) -> Vec<Step> {
        let intervals = BTreeMap::from([("web".to_owned(), Duration::from_secs(hours * 3600))]);
        renew(&world.plan, &world.observed, &world.remembered, &intervals, NOW.parse().unwrap())
    }

    #[test]
    fn the_same_spec_is_written_when_it_is_due() {
        let world = world();
        let due = steps(&world, 6);
        assert_eq!(due.len(), 1);
        let spec = world.observed.services["acme_web"].spec.clone();
        assert_eq!(due[0].write, Write::UpdateService { id: "s1".into(), index: 7, spec });
        assert_eq!(steps(&world, 7), Vec::new());
    }

    #[test]
    fn what_was_sent_counts_and_not_who_else_updated() {
        let mut world = world();
        let sent = |time: &str| ServiceMemory { auth_sent: time.parse().ok(), ..ServiceMemory::default() };
        world.remembered.insert("acme_web".into(), sent("2026-11-23T11:30:00Z"));
        assert_eq!(steps(&world, 1), Vec::new());
        world.remembered.insert("acme_web".into(), sent("2026-11-23T01:00:00Z"));
        assert_eq!(steps(&world, 10).len(), 1);
    }

    #[test]
    fn nothing_is_touched_that_is_not_quiet() {
        type Change = fn(&mut World);
        let changes: [Change; 8] = [
            |world| world.plan.services.get_mut("web").unwrap().state = Sync::Progressing,
            |world| world.plan.services.get_mut("web").unwrap().state = Sync::Suspended,
            |world| world.plan.services.get_mut("web").unwrap().tally.wanted = 1,
            |world| world.plan.services.get_mut("web").unwrap().tally.outdated = 1,
            |world| world.plan.steps = steps(world, 1),
            |world| world.observed.services.get_mut("acme_web").unwrap().spec = json!({}),
            |world| {
                world.observed.services.get_mut("acme_web").unwrap().update_status =
                    Some(UpdateStatus { state: "updating".into(), message: String::new() });
            },
            |world| {
                world.observed.services.clear();
            },
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut world = world();
            change(&mut world);
            assert_eq!(steps(&world, 1), Vec::new(), "{number}");
        }
    }
}
