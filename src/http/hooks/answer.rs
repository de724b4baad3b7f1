//! What comes of a call: who called, was it here before, what does it wake.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, header};
use jiff::Timestamp;
use tokio::sync::Semaphore;

use super::git::{GitSource, Moved};
use super::payload::{self, News, Told};
use super::registry::{Named, is_meant};
use super::seen::{Key, Seen, key};
use super::{Call, proof};
use crate::config::Hook;
use crate::controller::wakeups::{Poke, Poked};
use crate::http::{Metrics, Secret};

/// Calls that are received at once; whoever comes beside them is told to come again.
const CALLS_MAX: usize = 16;
/// For the whole of a body, however slowly it drips.
const BODY_WITHIN: Duration = Duration::from_secs(10);

/// What listens to webhooks.
pub struct Hooks {
    secrets: BTreeMap<Hook, Secret>,
    /// `None`: specs come from a directory, which a push to any repository has read again.
    source: Option<GitSource>,
    poke: Poke,
    metrics: Arc<Metrics>,
    seen: Seen,
    pub(super) places: Semaphore,
    pub(in crate::http) body_within: Duration,
}

/// How a call ended: a label of the metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Woken,
    /// No spec and no source is concerned.
    Ignored,
    Seen,
    Ping,
    Unconfigured,
    Unauthorized,
    /// Not what its sender is known to write.
    Invalid,
    TooLarge,
    Slow,
    Busy,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Woken => "woken",
            Self::Ignored => "ignored",
            Self::Seen => "seen",
            Self::Ping => "ping",
            Self::Unconfigured => "unconfigured",
            Self::Unauthorized => "unauthorized",
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::Busy => "busy",
        }
    }
}

/// What the caller is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub outcome: Outcome,
    pub message: String,
}

impl Answer {
    pub(super) fn new(status: StatusCode, outcome: Outcome, message: impl Into<String>) -> Self {
        Self { status, outcome, message: message.into() }
    }
}

/// All that the deliveries of one call name.
#[derive(Default)]
struct Gathered {
    images: BTreeSet<Named>,
    moved: Vec<Moved>,
    is_ping: bool,
    other: Option<&'static str>,
}

impl Hooks {
    pub fn new(
        secrets: BTreeMap<Hook, Secret>,
        source: Option<GitSource>,
        poke: Poke,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            secrets,
            source,
            poke,
            metrics,
            seen: Seen::default(),
            places: Semaphore::new(CALLS_MAX),
            body_within: BODY_WITHIN,
        }
    }

    /// The secret of a hook.
    ///
    /// # Errors
    /// When none is configured: then nobody is listened to.
    pub(super) fn secret(&self, hook: Hook) -> Result<&Secret, Answer> {
        self.secrets.get(&hook).ok_or_else(|| {
            let message = format!("this hook has no secret, so it is closed; set {}", hook.key());
            Answer::new(StatusCode::NOT_FOUND, Outcome::Unconfigured, message)
        })
    }

    /// Takes a call that has been received whole. What it wakes goes on by itself.
    pub fn take(&self, hook: Hook, call: &Call<'_>) -> Answer {
        self.judge(hook, call).unwrap_or_else(|answer| answer)
    }

    fn judge(&self, hook: Hook, call: &Call<'_>) -> Result<Answer, Answer> {
        let now = Timestamp::now().as_second();
        proof::check(hook, self.secret(hook)?, call, now)
            .map_err(|doubt| Answer::new(StatusCode::UNAUTHORIZED, Outcome::Unauthorized, doubt))?;
        is_json(call)?;
        let told = payload::read(hook, call)
            .map_err(|message| Answer::new(StatusCode::BAD_REQUEST, Outcome::Invalid, message))?;
        let (new, keys) = self.new_ones(hook, told);
        if new.is_empty() {
            return Ok(Answer::new(StatusCode::OK, Outcome::Seen, "already seen"));
        }
        let answer = self.wake(gather(new));
        if answer.outcome == Outcome::Busy {
            self.seen.forget(&keys);
        }
        Ok(answer)
    }

    /// The deliveries that did not come before, and their keys.
    fn new_ones(&self, hook: Hook, told: Vec<Told>) -> (Vec<Told>, Vec<Key>) {
        let mut keys = Vec::new();
        let is_new = |told: &Told| {
            let Some(id) = &told.id else { return true };
            let key = key(hook, id);
            let is_new = self.seen.note(key);
            if is_new {
                keys.push(key);
            }
            is_new
        };
        let new = told.into_iter().filter(is_new).collect();
        (new, keys)
    }

    fn wake(&self, named: Gathered) -> Answer {
        if !named.images.is_empty() {
            return match self.poke.registry(|known| is_meant(&named.images, known)) {
                Poked::Woken(count) => {
                    let message = format!("repositories that specs use, and that are asked now: {count}");
                    Answer::new(StatusCode::ACCEPTED, Outcome::Woken, message)
                }
                Poked::Nothing => ignored("no spec uses this repository"),
                Poked::Full => busy("too much is waiting to be asked"),
            };
        }
        if !named.moved.is_empty() {
            let is_meant = |moved| self.source.as_ref().is_none_or(|source| source.is_meant(moved));
            return match named.moved.iter().any(is_meant) {
                false => ignored("specs do not come from this repository and branch or tag"),
                true if self.poke.pushed() => {
                    Answer::new(StatusCode::ACCEPTED, Outcome::Woken, "the specs are fetched and read now")
                }
                true => busy("too much is waiting to be read"),
            };
        }
        if named.is_ping {
            return Answer::new(StatusCode::OK, Outcome::Ping, "pong");
        }
        ignored(named.other.unwrap_or("nothing to do"))
    }

    /// Counts and logs what came of a call. Nothing that the caller wrote is logged.
    pub(super) fn note(&self, hook: Hook, answer: &Answer) {
        self.metrics.hook(hook.name(), answer.outcome.as_str());
        let (hook, outcome) = (hook.name(), answer.outcome.as_str());
        match answer.outcome {
            Outcome::Woken => tracing::info!(hook, outcome, "webhook"),
            _ => tracing::debug!(hook, outcome, status = answer.status.as_u16(), "webhook"),
        }
    }
}

fn ignored(message: &str) -> Answer {
    Answer::new(StatusCode::ACCEPTED, Outcome::Ignored, message)
}

pub(super) fn busy(message: &str) -> Answer {
    Answer::new(StatusCode::SERVICE_UNAVAILABLE, Outcome::Busy, message)
}

fn gather(told: Vec<Told>) -> Gathered {
    let mut all = Gathered::default();
    for told in told {
        match told.news {
            News::Ping => all.is_ping = true,
            News::Other(what) => all.other = Some(what),
            News::Image(named) => drop(all.images.insert(named)),
            News::Moved(moved) => all.moved.push(moved),
        }
    }
    all
}

/// JSON as it is, neither packed nor in a form's field.
fn is_json(call: &Call<'_>) -> Result<(), Answer> {
    let unsupported =
        |message: &str| Err(Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Outcome::Invalid, message));
    let mut codings = call.headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return unsupported("the body is packed; send it without a Content-Encoding");
    }
    if !call.headers.contains_key(header::CONTENT_TYPE) {
        return Ok(());
    }
    let media = call.text(header::CONTENT_TYPE.as_str()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if media == "application/json" || (media.starts_with("application/") && media.ends_with("+json")) {
        return Ok(());
    }
    unsupported("the content type is not application/json; choose that where the webhook is set up")
}
