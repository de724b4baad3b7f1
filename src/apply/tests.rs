//! What is not on disk first is not done: neither without an intent nor without the memory
//! of the rollout.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt, ready};
use futures::stream::{BoxStream, StreamExt, empty};
use serde_json::json;

use super::*;
use crate::events::{Log, Options, Trigger};
use crate::files::model::{Disk, Fault};
use crate::image::{Digest, Repository};
use crate::plan::Action;
use crate::registry::RegistryError;
use crate::swarm::{Info, Look, Scope, Wakeup};

/// Counts the calls that change something, and lets them succeed.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Counting {
    fn call<T: Send + 'static>(&self, answer: T) -> BoxFuture<'_, Result<T, SwarmError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        ready(Ok(answer)).boxed()
    }
}

impl Swarm for Counting {
    fn look(&self, _: Scope, _: Vec<String>) -> BoxFuture<'_, Result<Look, SwarmError>> {
        ready(Ok(Look::default())).boxed()
    }
    fn create_service(&self, _: Value, _: Option<String>) -> BoxFuture<'_, Result<String, SwarmError>> {
        self.call("id".to_owned())
    }
    fn update_service(
        &self,
        _: String,
        _: u64,
        _: Value,
        _: Option<String>,
    ) -> BoxFuture<'_, Result<(), SwarmError>> {
        self.call(())
    }
    fn create_object(&self, _: ObjectKind, _: Value) -> BoxFuture<'_, Result<String, SwarmError>> {
        self.call("id".to_owned())
    }
    fn labels_of(
        &self,
        _: ObjectKind,
        _: String,
    ) -> BoxFuture<'_, Result<Option<BTreeMap<String, String>>, SwarmError>> {
        ready(Ok(None)).boxed()
    }
    fn remove(&self, _: ObjectKind, _: String) -> BoxFuture<'_, Result<(), SwarmError>> {
        self.call(())
    }
    fn wakeups(&self) -> BoxStream<'static, Result<Wakeup, SwarmError>> {
        empty().boxed()
    }
    fn info(&self) -> BoxFuture<'_, Result<Info, SwarmError>> {
        ready(Err(SwarmError { class: ErrorClass::Transient, message: String::new() })).boxed()
    }
}

/// A registry that wants no credentials.
struct Open;

impl Registry for Open {
    fn tags(&self, _: &Repository, _: Duration) -> BoxFuture<'_, Result<Arc<[String]>, RegistryError>> {
        ready(Ok(Arc::default())).boxed()
    }
    fn digest(&self, _: &Repository, _: &str, _: Duration) -> BoxFuture<'_, Result<Digest, RegistryError>> {
        ready(Ok(Digest::of(b""))).boxed()
    }
    fn platforms(
        &self,
        _: &Repository,
        _: &Digest,
    ) -> BoxFuture<'_, Result<std::collections::BTreeSet<crate::version::Platform>, RegistryError>> {
        ready(Ok(Default::default())).boxed()
    }
    fn pull_auth(&self, _: &Repository) -> BoxFuture<'_, Result<Option<String>, RegistryError>> {
        ready(Ok(None)).boxed()
    }
}

fn step() -> Step {
    let image = format!("registry.example.com/app:1.0.0@{}", Digest::of(b"1.0.0"));
    let spec = json!({ "Name": "acme_web", "TaskTemplate": { "ContainerSpec": { "Image": image } } });
    Step {
        action: Action::Create,
        kind: ObjectKind::Service,
        name: "acme_web".into(),
        service: Some("web".into()),
        cause: Cause::Missing,
        from: None,
        to: Some(ImageView { tag: Some("1.0.0".into()), version: Some("1.0.0".into()), digest: None }),
        changes: Vec::new(),
        drift: Vec::new(),
        message: "web created at 1.0.0".into(),
        warnings: Vec::new(),
        target: "target".into(),
        spec_hash: "hash".into(),
        write: Write::CreateService { spec },
    }
}

/// Log and memory on one disk, and the Swarm behind.
fn applier(disk: &Disk, root: &Path) -> std::io::Result<(Applier, Arc<Counting>)> {
    let log = Arc::new(Log::on(disk.files(), &root.join("events"), Options::default())?);
    let memory = memory::Disk::on(disk.files(), &root.join("memory"), memory::Mode::ReadWrite)?;
    let swarm = Arc::new(Counting::default());
    let clock = Arc::new(|| jiff::Timestamp::UNIX_EPOCH);
    let open = log.open_intents();
    let applier = Applier {
        swarm: Arc::clone(&swarm) as Arc<dyn Swarm>,
        registry: Arc::new(Open),
        memory: Arc::new(memory),
        recorder: Recorder::new(log, clock, Arc::new(|_, _| {}), open),
        refused: RefusedWrites::default(),
    };
    Ok((applier, swarm))
}

fn about() -> About {
    About { customer: Some("acme".into()), trigger: Trigger::Spec, revision: None }
}

#[tokio::test]
async fn what_cannot_be_written_down_first_is_not_done() {
    let (mut held, mut done) = (0, 0);
    for space in (0..2000).step_by(9) {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::new(root.path(), Fault::None);
        let (applier, swarm) = applier(&disk, root.path()).unwrap();
        disk.fill(space);
        let outcome = applier.execute(&about(), &step()).await;
        let calls = swarm.0.load(Ordering::Relaxed);
        let intents = applier.recorder.open_intents("acme").len();
        let remembered = applier.memory.service("acme_web").rollout.is_some();
        match outcome {
            Outcome::Applied => {
                assert!(calls == 1 && remembered, "{space} bytes");
                done += 1;
            }
            Outcome::Unknown(message) => {
                assert!(calls == 0 && !remembered, "{space} bytes: {message}");
                assert!(message.starts_with("nothing was changed"), "{message}");
                held += 1;
                // When there is room it is done, by the intent that there may be already.
                disk.mend();
                assert_eq!(applier.execute(&about(), &step()).await, Outcome::Applied);
                assert_eq!(swarm.0.load(Ordering::Relaxed), 1);
                let log = crate::events::read(&root.path().join("events"), &Default::default()).unwrap();
                let told =
                    log.map(|line| line.unwrap().event.unwrap()).filter(|e| e.phase == Some(Phase::Intent));
                assert_eq!(told.count(), 1, "{space} bytes, {intents} intents before");
            }
            other => panic!("{space} bytes: {other:?}"),
        }
    }
    assert!(held > 20 && done > 20, "{held} held, {done} done");
}

/// The process dies at each call of the file system: the Swarm was called only if another
/// process finds the intent, or what became of it.
#[tokio::test]
async fn nothing_is_done_that_a_restart_does_not_know_of() {
    let mut called = 0;
    for call in 0.. {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::of(root.path(), &[("state".into(), None)].into(), Fault::Death(call));
        let state = root.path().join("state");
        let Ok((applier, swarm)) = applier(&disk, &state) else { continue };
        let _ = applier.execute(&about(), &step()).await;
        let calls = swarm.0.load(Ordering::Relaxed);
        called += calls;
        for image in disk.after_power_loss().iter().filter(|_| calls > 0) {
            let root = tempfile::tempdir().unwrap();
            Disk::of(root.path(), image, Fault::None);
            let state = root.path().join("state");
            let events = crate::events::read(&state.join("events"), &Default::default()).unwrap();
            let known = events.filter_map(|line| line.unwrap().event).any(|e| e.phase == Some(Phase::Intent));
            assert!(known, "call {call}: the intent is lost");
            let memory = memory::Disk::open(&state.join("memory"), memory::Mode::ReadOnly).unwrap();
            assert!(memory.service("acme_web").rollout.is_some(), "call {call}: the rollout is forgotten");
        }
        if disk.calls() <= call {
            break;
        }
    }
    assert!(called > 1, "the Swarm was never called");
}

/// A memory that takes nothing while it is told not to.
struct Stubborn(memory::InMemory, std::sync::atomic::AtomicBool);

impl Memory for Stubborn {
    fn service(&self, name: &str) -> ServiceMemory {
        self.0.service(name)
    }
    fn put_service(&self, name: &str, memory: ServiceMemory) -> std::io::Result<()> {
        match self.1.load(Ordering::Relaxed) {
            true => Err(std::io::Error::other("it takes nothing")),
            false => self.0.put_service(name, memory),
        }
    }
    fn repository(&self, name: &str) -> memory::RepositoryMemory {
        self.0.repository(name)
    }
    fn put_repository(&self, name: &str, memory: memory::RepositoryMemory) -> std::io::Result<()> {
        self.0.put_repository(name, memory)
    }
    fn hold(&self, name: &str) -> memory::HoldMemory {
        self.0.hold(name)
    }
    fn holds(&self) -> BTreeMap<String, memory::HoldMemory> {
        self.0.holds()
    }
    fn put_hold(&self, name: &str, memory: memory::HoldMemory) -> std::io::Result<()> {
        self.0.put_hold(name, memory)
    }
    fn removed(&self) -> BTreeMap<String, memory::Removed> {
        self.0.removed()
    }
}

/// An intent under which no call was made must not look as if one had been.
#[tokio::test]
async fn what_could_not_be_remembered_was_not_tried() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::of(root.path(), &BTreeMap::new(), Fault::None);
    let (applier, swarm) = applier(&disk, root.path()).unwrap();
    let memory = Arc::new(Stubborn(memory::InMemory::default(), true.into()));
    let applier = Applier { memory: Arc::clone(&memory) as Arc<dyn Memory>, ..applier };
    assert!(matches!(applier.execute(&about(), &step()).await, Outcome::Unknown(_)));
    assert_eq!((swarm.0.load(Ordering::Relaxed), applier.recorder.open_intents("acme").len()), (0, 0));
    memory.1.store(false, Ordering::Relaxed);
    assert_eq!(applier.execute(&about(), &step()).await, Outcome::Applied);
}

/// A service that was removed in the middle of its rollout may still be shown in an older view: what is made in
/// its place is not judged by that, and what is made in nobody's place is judged at once.
#[tokio::test]
async fn what_is_made_anew_is_not_judged_by_what_stood_there_before() {
    for (known, expected) in [(Some(7), 7), (None, 0)] {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::of(root.path(), &BTreeMap::new(), Fault::None);
        let (applier, _) = applier(&disk, root.path()).unwrap();
        let intent = applier.announce(&about(), &step()).await.unwrap().intent;
        let old = rollout(&step(), &intent, jiff::Timestamp::UNIX_EPOCH).unwrap();
        let old = known.map(|after_index| Rollout { event_id: "old".into(), after_index, ..old });
        let memory = ServiceMemory { rollout: old, ..ServiceMemory::default() };
        applier.memory.put_service("acme_web", memory).unwrap();
        assert_eq!(applier.execute(&about(), &step()).await, Outcome::Applied);
        let remembered = applier.memory.service("acme_web").rollout.unwrap();
        assert_eq!((remembered.event_id, remembered.after_index), (intent.id, expected));
    }
}

/// The outcomes of a network's and a secret's change may both be unknown: neither intent is the other's.
#[tokio::test]
async fn each_object_of_a_customer_has_an_intent_of_its_own() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::of(root.path(), &BTreeMap::new(), Fault::None);
    let (applier, _) = applier(&disk, root.path()).unwrap();
    let object = |target: &str| Step { service: None, target: target.into(), ..step() };
    let targets = ["acme_default", "secret acme_token_1", "secret acme_token_2", "removed 42"];
    for target in targets {
        assert!(!applier.announce(&about(), &object(target)).await.unwrap().tried_before, "{target}");
    }
    assert!(!applier.announce(&about(), &step()).await.unwrap().tried_before);
    let open = |applier: &Applier| -> Vec<String> {
        let intents = applier.recorder.open_intents("acme").into_iter();
        intents.filter_map(|intent| intent.target).collect()
    };
    assert_eq!(open(&applier).len(), targets.len() + 1);
    let secret = applier.announce(&about(), &object("secret acme_token_1")).await.unwrap();
    assert!(secret.tried_before);
    let done = close(&about(), &secret.intent, Phase::Done, "");
    applier.recorder.record(vec![done]).await.unwrap();
    assert_eq!(open(&applier), ["acme_default", "removed 42", "secret acme_token_2", "target"]);
    // A restart finds the same ones open.
    drop(applier);
    let (applier, _) = self::applier(&disk, root.path()).unwrap();
    assert_eq!(open(&applier), ["acme_default", "removed 42", "secret acme_token_2", "target"]);
    assert_eq!(applier.recorder.open_intents("acm").len(), 0);
}

#[test]
fn what_was_refused_of_one_kind_says_nothing_of_another() {
    let refused = RefusedWrites::default();
    let service = step();
    let network = Step { kind: ObjectKind::Network, ..step() };
    refused.note(&service, "no");
    assert_eq!((refused.find(&service), refused.find(&network)), (Some("no".to_owned()), None));
}
