use super::*;
use jiff::Timestamp;

use crate::events::{Log, Options, Trigger};
use crate::memory::InMemory;
use crate::plan::{Action, ObjectKind};
use crate::spec::parse::{SpecFiles, load};
use crate::state::UpdateStatus;

fn image(version: &str) -> Image {
    Image {
        repository: "r".into(),
        tag: Some(version.into()),
        version: Some(version.into()),
        digest: format!("sha256:{version}"),
    }
}

fn rollout(purpose: Purpose, from: Option<&str>) -> Rollout {
    Rollout {
        event_id: "e".into(),
        to: image("1.3.0"),
        from: from.map(image),
        spec: "hash".into(),
        purpose,
        started: jiff::Timestamp::UNIX_EPOCH,
        after_index: 1,
        failed: None,
    }
}

/// What is remembered after a failure, from nothing but a last good 1.2.3.
fn after(rollout: &Rollout, refuse: bool, swarm_rolls_back: bool) -> ServiceMemory {
    let memory = ServiceMemory { last_good: Some(image("1.2.3")), ..ServiceMemory::default() };
    let failure =
        Failure { why: "swarm says\u{1b}[31m".into(), refuse, swarm_rolls_back, for_a_while: false };
    after_failure(memory, rollout, &failure, jiff::Timestamp::UNIX_EPOCH)
}

#[test]
fn swarms_own_roll_back_is_waited_for() {
    let memory = after(&rollout(Purpose::Forward, Some("1.2.3")), true, true);
    let next = memory.rollout.unwrap();
    assert_eq!((next.purpose, next.to, next.from), (Purpose::RollBack, image("1.2.3"), Some(image("1.3.0"))));
    let refusal = &memory.refused[0];
    assert_eq!((&refusal.image, refusal.spec.as_str(), refusal.rolled_back), (&image("1.3.0"), "hash", true));
    assert!(!refusal.why.contains('\u{1b}'));
    assert_eq!(memory.last_good, Some(image("1.2.3")));
}

#[test]
fn a_pause_leaves_the_roll_back_to_the_planner() {
    let memory = after(&rollout(Purpose::Forward, Some("1.2.3")), true, false);
    assert_eq!(memory.rollout, None);
    assert_eq!(memory.refused.len(), 1);
    assert!(!memory.refused[0].rolled_back);
}

#[test]
fn what_is_not_the_versions_fault_is_told_once_and_goes_on() {
    let memory = after(&rollout(Purpose::Forward, Some("1.2.3")), false, false);
    assert!(memory.refused.is_empty());
    let rollout = memory.rollout.unwrap();
    assert_eq!((rollout.purpose, rollout.failed.is_some()), (Purpose::Forward, true));
}

#[test]
fn a_failed_roll_back_refuses_nothing() {
    for (refuse, goes_on) in [(true, false), (false, true)] {
        let memory = after(&rollout(Purpose::RollBack, Some("1.3.0")), refuse, false);
        assert!(memory.refused.is_empty(), "refuse: {refuse}");
        assert_eq!(memory.rollout.is_some(), goes_on, "refuse: {refuse}");
    }
}

#[test]
fn a_refusal_is_remembered_once() {
    let failure = Failure { why: "again".into(), refuse: true, swarm_rolls_back: false, for_a_while: false };
    let first = rollout(Purpose::Forward, None);
    let memory = after(&first, true, false);
    let memory = after_failure(memory, &first, &failure, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(memory.refused.iter().map(|refusal| refusal.why.as_str()).collect::<Vec<_>>(), ["again"]);
    let other = Rollout { spec: "other".into(), ..first };
    let memory = after_failure(memory, &other, &failure, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(memory.refused.len(), 2, "another spec is another try");
}

#[test]
fn after_an_adoption_what_ran_is_good() {
    let failure = Failure { why: "w".into(), refuse: true, swarm_rolls_back: false, for_a_while: false };
    let first = rollout(Purpose::Forward, Some("1.1.0"));
    let memory = after_failure(ServiceMemory::default(), &first, &failure, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(memory.last_good, Some(image("1.1.0")));
}

/// The Swarm with one service that another version's rollback left as it is.
fn rolled_back_before(index: u64) -> ObservedState {
    let service = ObservedService {
        id: "s".into(),
        name: "acme_web".into(),
        version_index: index,
        spec: serde_json::json!({ "Mode": { "Replicated": { "Replicas": 0 } } }),
        previous_spec: None,
        updated_at: None,
        update_status: Some(UpdateStatus { state: "rollback_completed".into(), message: "before".into() }),
        job_iteration: None,
        tasks: Vec::new(),
    };
    ObservedState { services: [(service.name.clone(), service)].into(), ..ObservedState::default() }
}

/// A settler with its log and memory, at a time that stands still, and a customer with one service.
struct Scene {
    dir: tempfile::TempDir,
    settler: Settler,
    customer: spec::Customer,
    about: About,
    now: Timestamp,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(Log::open(dir.path(), Options { max_bytes: 1 << 20, keep: 2 }).unwrap());
        let now = Timestamp::from_second(1_000_000).unwrap();
        let recorder = Recorder::new(log, Arc::new(move || now), Arc::new(|_, _| {}), Vec::new());
        let memory: Arc<dyn Memory> = Arc::new(InMemory::default());
        let settler = Settler {
            memory,
            recorder,
            rollout_timeout: Duration::from_secs(600),
            removed: RemovedObjects::default(),
        };
        let text = "[services.web]\nimage = \"r.example.com/a\"\n".to_owned();
        let files = SpecFiles { files: [("acme.toml".to_owned(), text)].into() };
        let customer = load(&files).customers.remove("acme").unwrap();
        let about = About { customer: Some("acme".into()), trigger: Trigger::Resync, revision: None };
        Self { dir, settler, customer, about, now }
    }

    fn remember(&self, rollout: Rollout) {
        let memory = ServiceMemory { rollout: Some(rollout), ..ServiceMemory::default() };
        self.settler.memory.put_service("acme_web", memory).unwrap();
    }

    fn remembered(&self) -> ServiceMemory {
        self.settler.memory.service("acme_web")
    }

    /// What the log says, by reason and phase.
    fn told(&self) -> Vec<(Reason, Option<Phase>)> {
        let text = std::fs::read_to_string(self.dir.path().join("events.jsonl")).unwrap();
        let events = text.lines().map(|line| serde_json::from_str::<Event>(line).unwrap());
        events.map(|event| (event.reason, event.phase)).collect()
    }
}

#[tokio::test]
async fn what_was_never_applied_is_judged_by_nothing_that_stood_there_before() {
    let scene = Scene::new();
    let written = |age: i64| Rollout {
        started: scene.now - SignedDuration::from_secs(age),
        after_index: 7,
        ..rollout(Purpose::Forward, Some("1.2.0"))
    };
    // seconds since the write that nobody answered, and whether it is still waited for
    for (age, waits) in [(5, true), (90, false)] {
        scene.remember(written(age));
        let rolling = scene.settler.rollouts(&scene.about, &scene.customer, &rolled_back_before(7)).await;
        let after = scene.remembered();
        assert_eq!((rolling.len() == 1, after.rollout.is_some()), (waits, waits), "after {age} s");
        assert_eq!(after.refused, Vec::new(), "after {age} s");
    }
    // Once the Swarm has taken the write, its word counts.
    scene.remember(written(5));
    scene.settler.rollouts(&scene.about, &scene.customer, &rolled_back_before(9)).await;
    assert_eq!(scene.remembered().refused.len(), 1);
}

#[tokio::test]
async fn a_change_found_applied_is_told_as_its_outcome_would_have_been() {
    let observed = rolled_back_before(9);
    let intent = (Reason::ImageUpdated, Some(Phase::Intent));
    let done = (Reason::ImageUpdated, Some(Phase::Done));
    // whether the rollout that is remembered is the intent's, and what is told of it
    for (of_intent, expected) in
        [(true, vec![intent, done, (Reason::RolloutStarted, None)]), (false, vec![intent, done])]
    {
        let scene = Scene::new();
        let event = scene.about.event(Kind::Normal, Reason::ImageUpdated, Some("web"), "web 1.2.0 -> 1.3.0");
        let target = Some(crate::plan::fingerprint(&observed.services["acme_web"].spec));
        let event = NewEvent { target, phase: Some(Phase::Intent), ..event };
        let written = scene.settler.recorder.record(vec![event]).await.unwrap();
        let event_id = if of_intent { written[0].id.clone() } else { "another".into() };
        let before = Rollout { event_id, ..rollout(Purpose::RollBack, Some("1.4.0")) };
        scene.remember(before.clone());
        scene.settler.intents(&scene.about, &scene.customer, &observed).await;
        assert_eq!(scene.told(), expected);
        assert_eq!(scene.remembered().rollout, Some(before), "what was remembered before the call stays");
        assert_eq!(scene.settler.recorder.open_intents("acme"), Vec::new());
    }
}

/// An intent is closed when nobody wants its change any more; not when its step is only held back,
/// nor when nobody can tell what is wanted.
#[tokio::test]
async fn an_intent_is_abandoned_only_when_its_change_is_no_longer_wanted() {
    use crate::plan::{Cause, Write};
    let step = |target: &str| Step {
        action: Action::Create,
        kind: ObjectKind::Service,
        name: "acme_web".into(),
        service: Some("web".into()),
        cause: Cause::Missing,
        from: None,
        to: None,
        changes: Vec::new(),
        drift: Vec::new(),
        message: String::new(),
        warnings: Vec::new(),
        target: target.into(),
        spec_hash: String::new(),
        write: Write::CreateService { spec: serde_json::Value::Null },
    };
    let waits = |reason| Waiting { service: "web".into(), reason, message: String::new() };
    // what is planned, held back, and waited for; whether the intent stays open
    let cases = [
        (vec![step("made")], vec![], vec![], true),
        (vec![], vec![step("made")], vec![], true),
        (vec![], vec![step("made")], vec![waits(WaitingReason::RolloutInProgress)], true),
        (vec![step("another")], vec![], vec![], false),
        (vec![], vec![step("another")], vec![], false),
        (vec![], vec![], vec![], false),
        (vec![], vec![], vec![waits(WaitingReason::RegistryUnavailable)], true),
        (vec![], vec![], vec![waits(WaitingReason::Suspended)], true),
        (vec![], vec![], vec![waits(WaitingReason::NotOwned)], false),
        (vec![], vec![], vec![Waiting { service: "api".into(), ..waits(WaitingReason::Suspended) }], false),
    ];
    for (at, (steps, held, waiting, stays)) in cases.into_iter().enumerate() {
        let scene = Scene::new();
        let event = scene.about.event(Kind::Normal, Reason::ServiceCreated, Some("web"), "web created");
        let event = NewEvent { target: Some("made".into()), phase: Some(Phase::Intent), ..event };
        scene.settler.recorder.record(vec![event]).await.unwrap();
        let plan = Plan { customer: "acme".into(), steps, waiting, ..Plan::default() };
        scene.settler.abandon(&scene.about, "acme", &plan, &held).await;
        let open = scene.settler.recorder.open_intents("acme").len();
        let failed = scene.told().contains(&(Reason::ServiceCreated, Some(Phase::Failed)));
        assert_eq!((open == 1, failed), (stays, !stays), "case {at}");
    }
}

/// A call without an answer, taken back by Swarm before anybody looked: its intent is done, not abandoned.
#[tokio::test]
async fn what_swarm_took_back_was_made() {
    for of_intent in [true, false] {
        let scene = Scene::new();
        let event = scene.about.event(Kind::Normal, Reason::ImageUpdated, Some("web"), "web 1.2.0 -> 1.3.0");
        let event = NewEvent { target: Some("made".into()), phase: Some(Phase::Intent), ..event };
        let written = scene.settler.recorder.record(vec![event]).await.unwrap();
        let event_id = if of_intent { written[0].id.clone() } else { "another".into() };
        let written = Rollout {
            event_id,
            started: scene.now,
            after_index: 7,
            ..rollout(Purpose::Forward, Some("1.2.0"))
        };
        scene.remember(written);
        scene.settler.rollouts(&scene.about, &scene.customer, &rolled_back_before(9)).await;
        let told = scene.told();
        let done = told.contains(&(Reason::ImageUpdated, Some(Phase::Done)));
        let open = scene.settler.recorder.open_intents("acme").len();
        assert_eq!((done, open), if of_intent { (true, 0) } else { (false, 1) }, "{told:?}");
        assert!(told.contains(&(Reason::RolloutFailed, None)), "{told:?}");
    }
}

/// The call that was to force the tasks never arrived, and is not wanted now: it may be made another time.
#[tokio::test]
async fn what_was_not_forced_after_all_may_be_forced_later() {
    for (reason, forgotten) in [(Reason::ImageRepulled, true), (Reason::ImageUpdated, false)] {
        let scene = Scene::new();
        let memory = ServiceMemory { forced: Some("r:1.3.0".into()), ..ServiceMemory::default() };
        scene.settler.memory.put_service("acme_web", memory).unwrap();
        let event = scene.about.event(Kind::Normal, reason, Some("web"), "web");
        let event = NewEvent { target: Some("made".into()), phase: Some(Phase::Intent), ..event };
        scene.settler.recorder.record(vec![event]).await.unwrap();
        let plan = Plan { customer: "acme".into(), ..Plan::default() };
        scene.settler.abandon(&scene.about, "acme", &plan, &[]).await;
        assert_eq!(scene.remembered().forced.is_none(), forgotten, "{reason:?}");
    }
}

/// The image runs, but not by the call whose outcome nobody knows: what has not begun is not complete.
#[tokio::test]
async fn a_rollout_that_was_not_told_to_have_begun_is_not_told_to_be_complete() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for of_intent in [true, false] {
        let scene = Scene::new();
        let event = scene.about.event(Kind::Normal, Reason::ImageRepulled, Some("web"), "web");
        let event = NewEvent { target: Some("made".into()), phase: Some(Phase::Intent), ..event };
        let written = scene.settler.recorder.record(vec![event]).await.unwrap();
        let event_id = if of_intent { written[0].id.clone() } else { "another".into() };
        let to = Image { digest: digest.clone(), ..image("1.3.0") };
        scene.remember(Rollout { event_id, to: to.clone(), ..rollout(Purpose::Forward, None) });
        let mut observed = rolled_back_before(9);
        let service = observed.services.get_mut("acme_web").unwrap();
        service.update_status = None;
        service.spec["TaskTemplate"] =
            serde_json::json!({ "ContainerSpec": { "Image": format!("r:1.3.0@{digest}") } });
        scene.settler.rollouts(&scene.about, &scene.customer, &observed).await;
        let told = scene.told().contains(&(Reason::RolloutComplete, None));
        let after = scene.remembered();
        assert_eq!((told, after.rollout, after.last_good), (!of_intent, None, Some(to)));
    }
}

fn removal(kind: ObjectKind, name: &str) -> Step {
    Step {
        action: Action::Remove,
        kind,
        name: name.into(),
        service: None,
        cause: crate::plan::Cause::Unnamed,
        from: None,
        to: None,
        changes: Vec::new(),
        drift: Vec::new(),
        message: format!("{name} removed"),
        warnings: Vec::new(),
        target: format!("removed {name}"),
        spec_hash: String::new(),
        write: crate::plan::Write::Remove { id: format!("id-of-{name}") },
    }
}

#[test]
fn what_is_removed_is_not_removed_again_while_the_engine_still_lists_it() {
    let scene = Scene::new();
    let [inner, outer] = ["acme_inner", "acme_outer"].map(|name| removal(ObjectKind::Network, name));
    let plan = || Plan { steps: vec![inner.clone(), outer.clone()], ..Plan::default() };
    let held = |plan: &mut Plan| scene.settler.hold_back("acme", plan, &ObservedState::default());
    let mut before = plan();
    assert_eq!(held(&mut before), []);
    scene.settler.removed.note(&inner, scene.now);
    let mut after = plan();
    assert_eq!(held(&mut after), std::slice::from_ref(&inner));
    assert_eq!(after.steps, std::slice::from_ref(&outer));
    // Long after that, it is something else that is there.
    let scene = Scene::new();
    scene.settler.removed.note(&inner, scene.now - SignedDuration::from_hours(2));
    assert_eq!(scene.settler.hold_back("acme", &mut plan(), &ObservedState::default()), []);
}

#[test]
fn tasks_are_not_forced_just_after_a_change_that_they_may_not_show_yet() {
    use crate::plan::Cause;
    let scene = Scene::new();
    let forcing = |cause| Plan {
        steps: vec![Step { cause, action: Action::Repull, ..removal(ObjectKind::Service, "acme_web") }],
        ..Plan::default()
    };
    let held = |seconds: i64, cause| {
        let mut observed = rolled_back_before(9);
        observed.services.get_mut("acme_web").unwrap().updated_at =
            Some(scene.now - SignedDuration::from_secs(seconds));
        scene.settler.hold_back("acme", &mut forcing(cause), &observed).len()
    };
    assert_eq!([0, 19, 20, 3_600].map(|age| held(age, Cause::StaleTasks)), [1, 1, 0, 0]);
    // An engine's clock may be ahead, but not by much.
    assert_eq!([-5, -3_600].map(|age| held(age, Cause::StaleTasks)), [1, 0]);
    assert_eq!(held(0, Cause::Retry), 0, "that was asked for");
}

#[tokio::test]
async fn objects_have_intents_of_their_own() {
    let scene = Scene::new();
    let recorder = &scene.settler.recorder;
    let intent = |target: &str| NewEvent {
        phase: Some(Phase::Intent),
        target: Some(target.to_owned()),
        ..scene.about.event(Kind::Normal, Reason::ServiceUpdated, None, target)
    };
    let written = recorder.record(vec![intent("removed a"), intent("removed b")]).await.unwrap();
    let ids = |target: &str| recorder.open_about("acme", None, Some(target)).map(|intent| intent.id);
    assert_eq!(ids("removed a"), Some(written[0].id.clone()));
    assert_eq!(ids("removed b"), Some(written[1].id.clone()));
    recorder.tell(vec![close(&scene.about, &written[0], Phase::Done, "")]).await;
    assert_eq!((ids("removed a"), ids("removed b")), (None, Some(written[1].id.clone())));
}
