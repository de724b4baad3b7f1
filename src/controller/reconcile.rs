//! One pass over one customer: observe, settle, look up, plan, apply. Used by `run` and
//! `apply` alike. It never waits for a rollout: that is what the next pass is for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::contest::Contests;
use super::orders::{self, Orders};
use super::resolve::Resolver;
use super::settle::Settler;
use super::snapshots::{Snapshots, Wanted};
use crate::apply::{Applier, Outcome};
use crate::events::{About, Conditions, Held, Kind, Reason, Recorder, Trigger};
use crate::memory::{self, ServiceMemory};
use crate::plan::prune::{self, Inventory, Prune};
use crate::plan::{self, Action, Input, ObjectKind, Plan, Step, Write, fields, labels, service_name};
use crate::spec;
use crate::state::{DesiredCustomer, ObservedState, WaitingReason};
use crate::swarm::SwarmError;

/// Steps of one customer that run at once.
const STEPS_AT_ONCE: usize = 8;

/// All that a pass needs; shared by the passes of all customers.
pub struct Reconciler {
    pub snapshots: Arc<Snapshots>,
    pub resolver: Arc<Resolver>,
    pub applier: Applier,
    pub settler: Settler,
    pub recorder: Recorder,
    pub conditions: Mutex<Conditions>,
    /// What people asked for meanwhile.
    pub orders: Orders,
    pub contests: Contests,
}

/// What is to be reconciled, and why.
#[derive(Clone)]
pub struct Request {
    pub customer: Arc<spec::Customer>,
    pub revision: Option<String>,
    pub trigger: Trigger,
    /// The Swarm must be looked at no earlier than this.
    pub since: Instant,
    /// Answers of registries may be this old.
    pub max_age: Duration,
    /// What may be removed.
    pub inventory: Arc<Inventory>,
    /// Few others are reconciled now, so that a look at this customer's part of the Swarm is
    /// cheaper than one that all share.
    pub alone: bool,
}

/// How a pass ended.
pub struct Report {
    pub plan: Plan,
    /// The commit of the last change, by the labels of the services.
    pub revision: Option<String>,
    pub outcomes: Vec<(Step, Outcome)>,
    pub next: Next,
    /// Whether tasks are being replaced, whatever else is next.
    pub rolling: bool,
}

/// When the customer is to be looked at again, but for wake-ups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing is under way.
    Settled,
    /// Tasks are being replaced.
    Rolling,
    /// Somebody else was first: at once, with care.
    Again,
    /// Something failed that may go better later.
    Retry(String),
    /// Somebody else changes back what skep puts right, which waits so long.
    Contested(Duration),
}

impl Reconciler {
    /// Runs one pass.
    ///
    /// # Errors
    /// When the Swarm does not answer; nothing was done then.
    pub async fn reconcile(&self, request: &Request) -> Result<Report, SwarmError> {
        let mut report = self.pass(request).await?;
        let made = report.outcomes.iter().all(|(_, outcome)| *outcome == Outcome::Applied);
        if made && report.plan.steps.iter().any(is_deferred) {
            // A look that began at this very moment may be the one of before.
            let since = Instant::now() + Duration::from_nanos(1);
            let again = self.pass(&Request { since, ..request.clone() }).await?;
            report.outcomes.extend(again.outcomes);
            report = Report { outcomes: report.outcomes, ..again };
        }
        Ok(report)
    }

    async fn pass(&self, request: &Request) -> Result<Report, SwarmError> {
        let customer = &request.customer;
        let about = About {
            customer: Some(customer.name.clone()),
            trigger: request.trigger,
            revision: request.revision.clone(),
        };
        self.resolver.prefetch(customer, request.max_age);
        let open = self.recorder.open_intents(&customer.name).into_iter();
        let objects = open.filter(|intent| intent.service.is_none()).filter_map(|intent| intent.target);
        let objects: Vec<String> = objects.collect();
        // What is to be removed has an ID in its intent, by which a look cannot be narrowed.
        let removing = objects.iter().any(|target| prune::is_removal(target));
        let wanted = Wanted {
            customer: customer.as_ref(),
            networks: objects,
            since: request.since,
            alone: request.alone && !removing,
        };
        let observed = match self.look(wanted, request).await {
            Ok(observed) => observed,
            Err(error) => {
                self.swarm_unavailable(request.trigger, Some(&error)).await;
                return Err(error);
            }
        };
        self.swarm_unavailable(request.trigger, None).await;
        let retries = self.begin_retries(&customer.name);
        self.settler.intents(&about, customer, &observed).await;
        let mut rolling: BTreeSet<String> =
            self.settler.rollouts(&about, customer, &observed).await.into_iter().collect();
        let mut plan = self.plan(request, &observed).await;
        plan.steps.extend(self.renewals(customer, &plan, &observed).await);
        let held = self.hold_back(&customer.name, &mut plan, &observed).await;
        rolling.extend(held.iter().map(|step| step.name.clone()));
        // A person who asks may have ended what others did.
        let (contested, contested_for) = match request.trigger {
            Trigger::Manual => (Vec::new(), None),
            _ => self.contests.hold_back(&mut plan, Instant::now()),
        };
        self.settler.abandon(&about, &customer.name, &plan, &[held, contested].concat()).await;
        self.settler.note_removals(&mut plan, !request.inventory.allowed).await;
        self.remember(&plan).await;
        let outcomes = self.execute(&about, &plan).await;
        let applied = || outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Applied);
        let services = applied().filter(|(step, _)| step.kind == ObjectKind::Service);
        let written = services.filter(|(step, _)| step.action != Action::Remove);
        rolling.extend(written.map(|(step, _)| step.name.clone()));
        self.end_retries(&customer.name, &retries, &plan);
        self.tell_conditions(request, &plan).await;
        // What is removed may let go of more that can be removed then.
        let removing = applied().any(|(step, _)| step.action == Action::Remove);
        applied().for_each(|(step, _)| {
            self.settler.removed.note(step, self.recorder.now());
            self.contests.note(step, Instant::now());
        });
        let is_rolling = removing || !rolling.is_empty();
        self.snapshots.set_rolling(&customer.name, rolling);
        let next = match next(&outcomes, is_rolling) {
            Next::Settled => match contested_for {
                Some(wait) => Next::Contested(wait),
                None => waits_for_another(&plan).unwrap_or(Next::Settled),
            },
            next => next,
        };
        let revision = revision(&customer.name, &observed);
        Ok(Report { plan, revision, outcomes, next, rolling: is_rolling })
    }

    /// Those that the memory took; the others are logged, and to be asked for again.
    fn begin_retries(&self, customer: &str) -> Vec<orders::Retry> {
        let mut taken = self.orders.take(customer);
        taken.retain(|retry| {
            let done = orders::forget_refusals(self.resolver.memory.as_ref(), customer, retry);
            done.inspect_err(
                |error| tracing::error!(customer, service = retry.service, %error, "cannot retry"),
            )
            .is_ok()
        });
        taken
    }

    fn end_retries(&self, customer: &str, retries: &[orders::Retry], plan: &Plan) {
        for retry in retries {
            if let Err(error) = orders::forget_retry(self.resolver.memory.as_ref(), customer, retry, plan) {
                tracing::error!(customer, service = retry.service, %error, "cannot end a retry");
            }
        }
    }

    /// The customer's part of the Swarm; all of it when something is to be removed, for what else
    /// is removed and what others use decides on that too.
    async fn look(&self, wanted: Wanted<'_>, request: &Request) -> Result<ObservedState, SwarmError> {
        let since = wanted.since;
        let mut observed = self.snapshots.of(wanted).await?;
        let (name, now) = (&request.customer.name, self.recorder.now());
        if prune::finds_any(&request.inventory, &observed, name, now) {
            observed = self.snapshots.all(since).await?;
        }
        self.snapshots.complete(&request.customer, observed).await
    }

    /// What `reconcile` would do. Changes and records nothing.
    pub async fn plan(&self, request: &Request, observed: &ObservedState) -> Plan {
        let now = self.recorder.now();
        plan_only(&self.resolver, self.settler.rollout_timeout, request, observed, now).await
    }

    /// Steps that renew the nodes' credentials. Not part of `plan`: nothing that a spec says changes.
    async fn renewals(&self, customer: &spec::Customer, plan: &Plan, observed: &ObservedState) -> Vec<Step> {
        let mut intervals = BTreeMap::new();
        for (key, service) in &customer.services {
            if let Some(interval) = self.applier.registry.renewal(service.image.repository()).await {
                intervals.insert(key.clone(), interval);
            }
        }
        let names = intervals.keys().map(|key| service_name(&customer.name, key));
        let remembered = names.map(|name| (name.clone(), self.applier.memory.service(&name))).collect();
        plan::renew(plan, observed, &remembered, &intervals, self.recorder.now())
    }

    /// What services need first, then all services at once, then what they let go of. A service that
    /// uses what was only just made is left to the next pass, which knows its ID.
    async fn execute(&self, about: &About, plan: &Plan) -> Vec<(Step, Outcome)> {
        let mut outcomes = Vec::new();
        let (objects, services): (Vec<&Step>, Vec<&Step>) =
            plan.steps.iter().partition(|step| step.kind != ObjectKind::Service);
        let (last, first): (Vec<&Step>, Vec<&Step>) =
            objects.into_iter().partition(|step| step.action == Action::Remove);
        for step in first {
            let outcome = self.applier.execute(about, step).await;
            let failed = outcome != Outcome::Applied;
            outcomes.push((step.clone(), outcome));
            if failed {
                return outcomes;
            }
        }
        // Boxed in a loop: a closure over references is "not general enough" for a spawned task.
        let mut running: Vec<BoxFuture<'_, (Step, Outcome)>> = Vec::new();
        for step in services.into_iter().filter(|step| !is_deferred(step)) {
            running.push(Box::pin(async move { (step.clone(), self.applier.execute(about, step).await) }));
        }
        let done: Vec<_> = futures::stream::iter(running).buffer_unordered(STEPS_AT_ONCE).collect().await;
        outcomes.extend(done);
        for step in last {
            outcomes.push((step.clone(), self.applier.execute(about, step).await));
        }
        outcomes
    }

    /// What is known of contents that names do not tell.
    async fn remember(&self, plan: &Plan) {
        for (key, kept) in &plan.kept {
            let name = service_name(&plan.customer, key);
            let mut memory = self.resolver.memory.service(&name);
            if kept.iter().all(|(object, hash)| memory.kept.get(object) == Some(hash)) {
                continue;
            }
            memory.kept.extend(kept.clone());
            if let Err(error) = memory::put_service(&self.resolver.memory, &name, memory).await {
                tracing::error!(service = name, %error, "cannot remember what its secrets and configs hold");
            }
        }
    }

    async fn tell_conditions(&self, request: &Request, plan: &Plan) {
        let active: Vec<Held> = plan.waiting.iter().filter_map(condition).collect();
        let now = self.recorder.now();
        let customer = Some(plan.customer.as_str());
        let events = match self.conditions.lock() {
            Ok(mut conditions) => conditions.observe(customer, &active, request.trigger, now),
            Err(_) => return,
        };
        self.recorder.tell(events).await;
    }

    async fn swarm_unavailable(&self, trigger: Trigger, error: Option<&SwarmError>) {
        let active: Vec<Held> = error
            .map(|error| Held {
                service: None,
                reason: Reason::SwarmUnavailable,
                kind: Kind::Warning,
                message: error.to_string(),
            })
            .into_iter()
            .collect();
        let now = self.recorder.now();
        let events = match self.conditions.lock() {
            Ok(mut conditions) => conditions.observe(None, &active, trigger, now),
            Err(_) => return,
        };
        self.recorder.tell(events).await;
    }
}

/// Looks images up and plans, for a snapshot. Changes nothing in the Swarm.
pub async fn plan_only(
    resolver: &Resolver,
    rollout_timeout: Duration,
    request: &Request,
    observed: &ObservedState,
    now: jiff::Timestamp,
) -> Plan {
    let customer = orders::with_holds(resolver.memory.as_ref(), &request.customer, now);
    let mut customer = customer.as_ref().clone();
    let names = customer.services.keys().map(|key| service_name(&customer.name, key));
    let remembered: BTreeMap<String, ServiceMemory> = names
        .map(|name| {
            let memory = resolver.memory.service(&name);
            (name, memory)
        })
        .collect();
    let kept = plan::object::keep(&mut customer, observed, &remembered);
    let images = resolver.resolve(&customer, observed, request.max_age, now).await;
    let inventory = &*request.inventory;
    let finds_any = prune::finds_any(inventory, observed, &customer.name, now);
    let removed = if finds_any { resolver.memory.removed() } else { BTreeMap::new() };
    let prune = Some(Prune { inventory, removed: &removed });
    let desired = DesiredCustomer { spec: customer, revision: request.revision.clone(), images };
    let plan = plan::plan(Input {
        desired: &desired,
        observed,
        remembered: &remembered,
        rollout_timeout,
        now,
        prune,
    });
    Plan { kept, ..plan }
}

/// Tasks that come up without a rollout of skep's give no event: what waits for them is looked
/// at again.
fn waits_for_another(plan: &Plan) -> Option<Next> {
    let waits = plan.waiting.iter().find(|waiting| waiting.reason == WaitingReason::DependencyNotReady)?;
    Some(Next::Retry(format!("{}: {}", waits.service, waits.message)))
}

/// Whether the step refers to a secret or config that is made in the same pass.
fn is_deferred(step: &Step) -> bool {
    match &step.write {
        Write::CreateService { spec } | Write::UpdateService { spec, .. } => !fields::unmade(spec).is_empty(),
        _ => false,
    }
}

fn revision(customer: &str, observed: &ObservedState) -> Option<String> {
    let ours = observed.services.values().filter(|found| found.label(labels::CUSTOMER) == Some(customer));
    let mut revisions = ours.filter_map(|found| found.label(labels::REVISION));
    revisions.rfind(|revision| !revision.is_empty()).map(str::to_owned)
}

fn next(outcomes: &[(Step, Outcome)], rolling: bool) -> Next {
    let mut next = if rolling { Next::Rolling } else { Next::Settled };
    for (step, outcome) in outcomes {
        match outcome {
            Outcome::Applied => {}
            Outcome::Conflict(_) if next != Next::Settled && next != Next::Rolling => {}
            Outcome::Conflict(_) => next = Next::Again,
            Outcome::Unknown(message) | Outcome::Refused(message) => {
                next = Next::Retry(format!("{}: {message}", step.name));
            }
        }
    }
    next
}

/// Reasons of events that stand for something that goes on until it ends.
pub fn is_condition(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::NotOwned
            | Reason::NoVersionFits
            | Reason::WouldDowngrade
            | Reason::Suspended
            | Reason::TagMoved
            | Reason::SpecInvalid
            | Reason::RegistryUnavailable
            | Reason::SwarmUnavailable
            | Reason::PruneHeld
            | Reason::DriftDetected
    )
}

/// The event that tells of a waiting reason; rollouts and refusals have their own.
fn condition(waiting: &plan::Waiting) -> Option<Held> {
    let (reason, kind) = match waiting.reason {
        WaitingReason::NotOwned => (Reason::NotOwned, Kind::Warning),
        WaitingReason::NoVersionFits => (Reason::NoVersionFits, Kind::Warning),
        WaitingReason::WouldDowngrade => (Reason::WouldDowngrade, Kind::Warning),
        WaitingReason::Suspended => (Reason::Suspended, Kind::Normal),
        WaitingReason::PruneHeld => (Reason::PruneHeld, Kind::Warning),
        WaitingReason::DriftDetected => (Reason::DriftDetected, Kind::Warning),
        WaitingReason::TagMoved => (Reason::TagMoved, Kind::Warning),
        WaitingReason::RegistryUnavailable | WaitingReason::TagListTruncated => {
            (Reason::RegistryUnavailable, Kind::Warning)
        }
        // The closed set has no reason of its own for a network that the spec names and the
        // Swarm lacks; it is the spec that cannot be carried out.
        WaitingReason::NetworkMissing | WaitingReason::ObjectMissing | WaitingReason::SpecInvalid => {
            (Reason::SpecInvalid, Kind::Warning)
        }
        WaitingReason::VersionRefused
        | WaitingReason::RolloutInProgress
        | WaitingReason::RolloutFailed
        | WaitingReason::ContentUnknown
        | WaitingReason::DependencyNotReady
        | WaitingReason::PruneDisabled
        | WaitingReason::SpecRemoved
        | WaitingReason::SwarmUnavailable => {
            return None;
        }
    };
    Some(Held { service: Some(waiting.service.clone()), reason, kind, message: waiting.message.clone() })
}
