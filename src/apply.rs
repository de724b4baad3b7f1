//! Runs the steps of a plan, one engine call each. The only caller of mutations; chooses
//! nothing. The intent is on disk before the call, the outcome after it (contract §4).

mod refused;
mod told;

use std::sync::Arc;

use base64::Engine as _;
use serde_json::Value;

pub use refused::RefusedWrites;
use told::{change, outcome, warnings};
pub use told::{close, event_image, rollout_started};

use crate::events::{About, Event, Kind, NewEvent, Phase, Recorder};
use crate::image::ImageRef;
use crate::memory::{self, Image, Memory, Purpose, Rollout, ServiceMemory};
use crate::plan::{Cause, ImageView, ObjectKind, Step, Write, labels};
use crate::registry::Registry;
use crate::spec::SecretBytes;
use crate::swarm::{ErrorClass, Swarm, SwarmError};

/// What became of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    Applied,
    /// Somebody else changed the object meanwhile: observe and plan again.
    Conflict(String),
    /// Nobody knows whether it was applied: observe.
    Unknown(String),
    /// It was refused and would be again.
    Refused(String),
}

/// Executes steps.
#[derive(Clone)]
pub struct Applier {
    pub swarm: Arc<dyn Swarm>,
    pub registry: Arc<dyn Registry>,
    pub memory: Arc<dyn Memory>,
    pub recorder: Recorder,
    pub refused: RefusedWrites,
}

impl Applier {
    /// Runs one step.
    pub async fn execute(&self, about: &About, step: &Step) -> Outcome {
        if let Some(message) = self.refused.find(step) {
            return Outcome::Refused(message);
        }
        let auth = match self.auth(step).await {
            Ok(auth) => auth,
            Err(message) => return Outcome::Unknown(message),
        };
        let Announced { intent, tried_before } = match self.announce(about, step).await {
            Ok(announced) => announced,
            Err(error) => {
                return Outcome::Unknown(format!("nothing was changed, for the event log failed: {error}"));
            }
        };
        // Ahead of the call: a rollout that nobody remembers is never judged, whoever dies.
        let before = self.memory.service(&step.name);
        let mut rollout = rollout(step, &intent, self.recorder.now());
        if let (Write::CreateService { .. }, Some(new), Some(old)) =
            (&step.write, &mut rollout, &before.rollout)
        {
            // An older view may still show what was removed in the middle of its rollout.
            new.after_index = new.after_index.max(old.after_index);
        }
        if let Some(rollout) = &rollout
            && let Err(error) = self.remember(step, rollout.clone()).await
        {
            // No call was made, and nobody is to think later that one was.
            if !tried_before {
                let intent = close(about, &intent, Phase::Failed, "it could not be remembered");
                self.recorder.tell(vec![intent]).await;
            }
            return Outcome::Unknown(format!("nothing was changed, for it could not be remembered: {error}"));
        }
        let shown = auth.is_some();
        let error = match self.write(about, step, auth).await {
            Ok(()) => {
                if shown {
                    self.note_credentials(step).await;
                }
                return self.applied(about, step, &intent, rollout).await;
            }
            Err(error) => error,
        };
        if error.class == ErrorClass::Transient {
            // The intent stays open: the next pass sees whether it was applied.
            return Outcome::Unknown(error.message);
        }
        // What an earlier call under the same intent began is judged by what was remembered for it.
        if !error.is_conflict() || !tried_before {
            self.put(&step.name, before).await;
        }
        if error.is_conflict() {
            // This call changed nothing. What an earlier one did under the same intent is to be seen
            // yet; but nobody must take what stands there for the doing of a first one.
            if !tried_before {
                let intent = close(about, &intent, Phase::Failed, "somebody else was first");
                self.recorder.tell(vec![intent]).await;
            }
            return Outcome::Conflict(error.message);
        }
        self.refused.note(step, &error.message);
        let failed = NewEvent {
            kind: Kind::Warning,
            message: format!("{}: {}", step.message, error.message),
            ..outcome(about, step, &intent, Phase::Failed)
        };
        self.recorder.tell(vec![failed]).await;
        Outcome::Refused(error.message)
    }

    /// Tells what is about to be done and why.
    async fn announce(&self, about: &About, step: &Step) -> std::io::Result<Announced> {
        let customer = about.customer.as_deref().unwrap_or_default();
        let open = self.recorder.open_about(customer, step.service.as_deref(), Some(&step.target));
        if let Some(open) = &open
            && open.target.as_deref() == Some(step.target.as_str())
        {
            return Ok(Announced { intent: open.clone(), tried_before: true });
        }
        let mut events = Vec::new();
        if let Some(superseded) = open {
            events.push(close(about, &superseded, Phase::Failed, "superseded by another change"));
        }
        events.extend(warnings(about, step));
        events.push(NewEvent { target: Some(step.target.clone()), ..change(about, step, Phase::Intent) });
        let mut written = self.recorder.record(events).await?;
        let intent = written.pop().ok_or_else(|| std::io::Error::other("the log returned no event"))?;
        Ok(Announced { intent, tried_before: false })
    }

    async fn auth(&self, step: &Step) -> Result<Option<String>, String> {
        let spec = match &step.write {
            Write::CreateNetwork { .. } | Write::CreateBlob { .. } | Write::Remove { .. } => return Ok(None),
            Write::CreateService { spec } | Write::UpdateService { spec, .. } => spec,
        };
        match image(spec).map(|image| image.repository) {
            Some(repository) => match self.registry.pull_auth(&repository).await {
                // What ran before is on the nodes.
                Err(_) if step.cause == Cause::RollBack => Ok(None),
                auth => auth.map_err(|error| error.to_string()),
            },
            None => Ok(None),
        }
    }

    async fn write(&self, about: &About, step: &Step, auth: Option<String>) -> Result<(), SwarmError> {
        match &step.write {
            Write::CreateNetwork { spec } => {
                self.swarm.create_object(step.kind, spec.clone()).await.map(drop)
            }
            Write::CreateBlob { spec, content } => {
                let body = with_content(spec, content.as_ref());
                self.swarm.create_object(step.kind, body).await.map(drop)
            }
            Write::CreateService { spec } => self.swarm.create_service(spec.clone(), auth).await.map(drop),
            Write::UpdateService { id, index, spec } => {
                self.swarm.update_service(id.clone(), *index, spec.clone(), auth).await
            }
            Write::Remove { id } => self.remove(about, step.kind, id).await,
        }
    }

    /// Removes what is this customer's own still, by what the engine says now and not by what was
    /// seen when it was planned.
    async fn remove(&self, about: &About, kind: ObjectKind, id: &str) -> Result<(), SwarmError> {
        let Some(labels) = self.swarm.labels_of(kind, id.to_owned()).await? else { return Ok(()) };
        if labels.get(labels::CUSTOMER).map(String::as_str) != about.customer.as_deref() {
            let message = format!("this {} is not the customer's own any more", kind.as_str());
            return Err(SwarmError { class: ErrorClass::Conflict, message });
        }
        self.swarm.remove(kind, id.to_owned()).await
    }

    async fn applied(&self, about: &About, step: &Step, intent: &Event, rollout: Option<Rollout>) -> Outcome {
        let mut events = vec![outcome(about, step, intent, Phase::Done)];
        events.extend(rollout.map(|rollout| rollout_started(about, intent, &rollout)));
        self.recorder.tell(events).await;
        Outcome::Applied
    }

    async fn remember(&self, step: &Step, rollout: Rollout) -> std::io::Result<()> {
        let mut memory = self.memory.service(&step.name);
        match step.cause {
            Cause::StaleTasks => memory.forced = step_image(step),
            Cause::RollBack => {
                let failed = step.from.as_ref().and_then(|from| from.digest.as_deref());
                for refusal in
                    memory.refused.iter_mut().filter(|refusal| Some(refusal.image.digest.as_str()) == failed)
                {
                    refusal.rolled_back = true;
                }
            }
            _ => {}
        }
        memory.retry = false;
        memory.rollout = Some(rollout);
        memory::put_service(&self.memory, &step.name, memory).await
    }

    /// Notes when credentials that expire were given to the nodes. Unwritten, they are renewed sooner.
    async fn note_credentials(&self, step: &Step) {
        let image = match &step.write {
            Write::CreateService { spec } | Write::UpdateService { spec, .. } => image(spec),
            Write::CreateNetwork { .. } | Write::CreateBlob { .. } | Write::Remove { .. } => None,
        };
        let Some(image) = image else { return };
        if self.registry.renewal(&image.repository).await.is_some() {
            let auth_sent = Some(self.recorder.now());
            self.put(&step.name, ServiceMemory { auth_sent, ..self.memory.service(&step.name) }).await;
        }
    }

    async fn put(&self, name: &str, memory: ServiceMemory) {
        if let Err(error) = memory::put_service(&self.memory, name, memory).await {
            tracing::error!(service = name, %error, "cannot remember what was done");
        }
    }
}

/// The only place where content leaves skep.
fn with_content(spec: &Value, content: Option<&SecretBytes>) -> Value {
    let mut body = spec.clone();
    if let (Some(content), Some(object)) = (content, body.as_object_mut()) {
        let data = base64::engine::general_purpose::STANDARD.encode(content.reveal());
        object.insert("Data".into(), data.into());
    }
    body
}

/// An intent that is on disk.
struct Announced {
    intent: Event,
    /// Whether a call was made under it before, whose outcome nobody knows.
    tried_before: bool,
}

/// The rollout that a step begins, unless it leaves the tasks alone.
pub fn rollout(step: &Step, intent: &Event, now: jiff::Timestamp) -> Option<Rollout> {
    let (spec, after_index) = match &step.write {
        Write::CreateNetwork { .. } | Write::CreateBlob { .. } | Write::Remove { .. } => return None,
        Write::CreateService { spec } => (spec, 0),
        Write::UpdateService { spec, index, .. } => (spec, *index),
    };
    let labels_only = step.changes.is_empty() && step.from == step.to;
    if matches!(step.cause, Cause::Paused | Cause::Credentials)
        || (step.cause == Cause::Adoption && labels_only)
    {
        return None;
    }
    Some(Rollout {
        event_id: intent.id.clone(),
        to: remembered(&image(spec)?, step.to.as_ref()),
        // What is only tried again has nothing to go back to.
        from: step.from.as_ref().filter(|_| step.cause != Cause::Retry).and_then(|from| previous(spec, from)),
        spec: step.spec_hash.clone(),
        purpose: if step.cause == Cause::RollBack { Purpose::RollBack } else { Purpose::Forward },
        started: now,
        after_index,
        failed: None,
    })
}

fn remembered(image: &ImageRef, view: Option<&ImageView>) -> Image {
    Image {
        repository: image.repository.normalized(),
        tag: image.tag.clone(),
        version: view.and_then(|view| view.version.clone()),
        digest: image.digest.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

/// What ran before, if it was pinned; a repository is taken to stay the same.
fn previous(spec: &Value, from: &ImageView) -> Option<Image> {
    let repository = image(spec)?.repository.normalized();
    Some(Image {
        repository,
        tag: from.tag.clone(),
        version: from.version.clone(),
        digest: from.digest.clone()?,
    })
}

fn step_image(step: &Step) -> Option<String> {
    match &step.write {
        Write::CreateService { spec } | Write::UpdateService { spec, .. } => {
            image(spec).map(|image| image.to_string())
        }
        Write::CreateNetwork { .. } | Write::CreateBlob { .. } | Write::Remove { .. } => None,
    }
}

fn image(spec: &Value) -> Option<ImageRef> {
    spec.pointer("/TaskTemplate/ContainerSpec/Image")?.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests;
