//! `POST reconcile` and `retry`: wake the loop, and wait for what comes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Served;
use super::api::{Answer, Api, Refused, busy};
use crate::controller::FETCH_FIRST_MAX;
use crate::controller::orders::Retry;
use crate::report::{PlanCustomer, PlanReport, PlanWaiting, StatusReport};
use crate::state::WaitingReason;

/// A connection does not live longer than five minutes.
const WAIT_MAX: Duration = Duration::from_secs(240);
/// For the loop to read the specs.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// For the loop to fetch the specs and read them. A fetch has a time limit of its own.
const FETCH_WITHIN: Duration = Duration::from_secs(50);
/// Between two looks of one who waits, whatever happens meanwhile: each is at the whole fleet.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);
/// Between two questions of one who goes on waiting.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(60);

/// What came of `reconcile`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reconciled {
    /// `null`: nobody waited, or nobody can tell.
    pub converged: Option<bool>,
    pub timed_out: bool,
    /// When this was asked for, by the controller's own clock: with `since` a later request goes
    /// on waiting, and wakes nothing.
    #[serde(default)]
    pub since: u64,
    #[serde(flatten)]
    pub status: StatusReport,
    /// What was done since, as `skep apply` tells it: with `until` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<PlanReport>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    wait: Option<String>,
    until: Option<Until>,
    since: Option<u64>,
    #[serde(default)]
    allow_prune: bool,
    /// Of `retry` only.
    version: Option<String>,
}

/// What is waited for, if not for services that are in sync, stalled or suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Until {
    /// Nothing is under way any more.
    Rest,
    /// One pass: the changes are sent.
    Pass,
}

/// Who is asked about, and since when.
struct Question<'a> {
    customer: Option<&'a str>,
    since: Instant,
    until: Option<Until>,
    allow_prune: bool,
}

impl Question<'_> {
    /// The customers whose stack goes now, or would if it were not held. Without permission, only who applies wants
    /// to know of them.
    fn gone(&self, api: &Api) -> BTreeSet<String> {
        let now = Timestamp::now();
        let is_asked = |due: &Timestamp| self.allow_prune || (self.until.is_some() && *due <= now);
        api.board.gone().into_iter().filter(|(_, due)| is_asked(due)).map(|(name, _)| name).collect()
    }

    /// The customers whose passes answer it.
    fn customers(&self, api: &Api) -> Vec<String> {
        if let Some(name) = self.customer {
            let is_looked_at = || api.board.services(name).is_some_and(|services| !services.is_empty());
            let is_gone = || self.gone(api).contains(name);
            let is_asked = is_looked_at() || is_gone() || api.ledger.has_passed(name, self.since);
            return is_asked.then(|| name.to_owned()).into_iter().collect();
        }
        let mut names = api.board.looked_at();
        names.extend(self.gone(api));
        names.extend(api.ledger.passed(self.since));
        names.sort_unstable();
        names.dedup();
        names
    }

    fn is_answered(&self, api: &Api) -> bool {
        // A customer that is new may be known only then.
        let is_read = api.board.is_read_since(self.since);
        let all =
            |holds: &dyn Fn(&str) -> bool| is_read && self.customers(api).iter().all(|name| holds(name));
        match self.until {
            None => api.board.settled(self.customer, self.since),
            Some(Until::Rest) => all(&|name| api.ledger.rests(name, self.since)),
            Some(Until::Pass) => all(&|name| api.ledger.has_passed(name, self.since)),
        }
    }

    /// What was done, as `apply` tells it.
    fn applied(&self, api: &Api, status: &StatusReport) -> Option<PlanReport> {
        let no_wait = self.until? == Until::Pass;
        let told = self.customers(api).into_iter().map(|name| api.ledger.told(&name, self.since, no_wait));
        let mut report = PlanReport { customers: told.collect() };
        for (name, message) in invalid(status) {
            let waiting = PlanWaiting { service: None, reason: SPEC_INVALID.into(), message };
            match report.customers.iter_mut().find(|customer| customer.customer == name) {
                Some(customer) => customer.waiting.push(waiting),
                None => report.customers.push(PlanCustomer {
                    customer: name,
                    waiting: vec![waiting],
                    ..PlanCustomer::default()
                }),
            }
        }
        report.customers.sort_by(|a, b| a.customer.cmp(&b.customer));
        Some(report)
    }
}

const SPEC_INVALID: &str = WaitingReason::SpecInvalid.as_str();

/// Customers whose spec cannot be read, and why.
fn invalid(status: &StatusReport) -> impl Iterator<Item = (String, String)> {
    status.customers.iter().filter_map(|customer| {
        let found = customer.conditions.iter().find(|condition| condition.reason == SPEC_INVALID)?;
        Some((customer.customer.clone(), found.message.clone()))
    })
}

impl Api {
    /// Wakes the loop, and waits as long as was asked for it to come to rest.
    async fn act(&self, customer: Option<String>, asked: &Asked) -> Answer<(StatusCode, Json<Reconciled>)> {
        let wait = asked.wait.as_deref().map(parse_wait).transpose()?;
        // Before anything is woken, so that no pass is missed.
        let mut changed = self.board.watch();
        let since = asked.since.map_or_else(Instant::now, |mark| self.board.at(mark));
        let place = match wait {
            Some(_) => Some(self.limits.waiters.try_acquire().map_err(|_| busy("too many wait already"))?),
            None => None,
        };
        if asked.until.is_some() {
            self.ledger.want(Instant::now() + wait.unwrap_or_default() + BETWEEN_QUESTIONS);
        }
        if asked.since.is_none() {
            self.wake(customer.clone(), asked.allow_prune).await?;
        }
        let question = Question {
            customer: customer.as_deref(),
            since,
            until: asked.until,
            allow_prune: asked.allow_prune,
        };
        let Some(wait) = wait else {
            return Ok((StatusCode::ACCEPTED, Json(self.reconciled(&question, false, false))));
        };
        let answered = async {
            // Who applies has waited for that already.
            if asked.since.is_none() && asked.until.is_none() {
                let fetched = async {
                    while self.board.read_anew(since).is_none() && changed.changed().await.is_ok() {}
                };
                // The controller waits no longer either.
                let _ = tokio::time::timeout(FETCH_FIRST_MAX, fetched).await;
            }
            while !question.is_answered(self) && changed.changed().await.is_ok() {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        };
        let timed_out = tokio::select! {
            () = answered => false,
            () = tokio::time::sleep(wait) => true,
            () = self.stop.cancelled() => true,
        };
        drop(place);
        Ok((StatusCode::OK, Json(self.reconciled(&question, true, timed_out))))
    }

    async fn wake(&self, customer: Option<String>, allow_prune: bool) -> Answer<()> {
        let woken = match allow_prune {
            true => self.poke.prune(customer).await,
            false => self.poke.manual(customer).await,
        };
        let ended = || Refused(StatusCode::SERVICE_UNAVAILABLE, "the controller has ended".into());
        woken.then_some(()).ok_or_else(ended)
    }

    fn reconciled(&self, question: &Question<'_>, waited: bool, timed_out: bool) -> Reconciled {
        let status = self.board.report(question.customer);
        let converged = match status.exit_status() {
            _ if !waited => None,
            2.. => None,
            0 if !timed_out || question.is_answered(self) => Some(true),
            _ => Some(false),
        };
        let applied = question.applied(self, &status).filter(|_| waited);
        Reconciled { converged, timed_out, since: self.board.mark(question.since), status, applied }
    }

    /// Whether this customer can be asked for: it is known, or its stack is there to be removed, and it is who
    /// applies that asks. Who goes on waiting asks for nothing.
    async fn may_ask(&self, name: &str, asked: &Asked) -> Answer<()> {
        let is_known = || {
            let applies = asked.allow_prune || asked.until.is_some();
            let is_gone = applies && self.board.gone().contains_key(name);
            is_gone || asked.since.is_some() || self.board.services(name).is_some()
        };
        if !is_known() && asked.until.is_none() {
            self.read_specs().await;
        }
        if is_known() { Ok(()) } else { self.customer(name).map(drop) }
    }

    /// For whoever applies, as `apply` does it by itself: has the specs fetched and read, and refuses to go on
    /// without. What was in force before is not what it was asked to apply.
    async fn read_anew(&self, asked: &Asked) -> Answer<()> {
        if asked.until.is_none() || asked.since.is_some() {
            return Ok(());
        }
        let (mut changed, since) = (self.board.watch(), Instant::now());
        if !self.poke.pushed() {
            return Err(busy("too much waits already"));
        }
        let read = async {
            loop {
                if let Some(result) = self.board.read_anew(since) {
                    return result;
                }
                if changed.changed().await.is_err() {
                    return Err("the controller has ended".to_owned());
                }
            }
        };
        let read = tokio::select! {
            read = tokio::time::timeout(FETCH_WITHIN, read) => read,
            () = self.stop.cancelled() => return Err(busy("the controller ends")),
        };
        let read = read.unwrap_or_else(|_| Err("they were not read in time".to_owned()));
        read.map_err(|error| Refused(StatusCode::BAD_GATEWAY, format!("cannot read the specs: {error}")))
    }

    /// Has the specs read, and waits for that: a file may be newer than what is known.
    async fn read_specs(&self) {
        let (mut changed, since) = (self.board.watch(), Instant::now());
        // With a full backlog the loop is busy reading already.
        let _ = self.poke.pushed();
        let read = async { while !self.board.is_read_since(since) && changed.changed().await.is_ok() {} };
        // Whoever is not known then is not known.
        let _ = tokio::time::timeout(READ_WITHIN, read).await;
    }
}

fn parse_wait(text: &str) -> Answer<Duration> {
    let wait = humantime::parse_duration(text)
        .map_err(|_| Refused(StatusCode::BAD_REQUEST, "`wait` is a duration such as 30s".into()))?;
    Ok(wait.min(WAIT_MAX))
}

pub(super) async fn reconcile_all(
    State(served): State<Served>,
    Query(asked): Query<Asked>,
) -> Answer<Response> {
    served.api.read_anew(&asked).await?;
    Ok(served.api.act(None, &asked).await?.into_response())
}

pub(super) async fn reconcile(
    State(served): State<Served>,
    Path(name): Path<String>,
    Query(asked): Query<Asked>,
) -> Answer<Response> {
    served.api.read_anew(&asked).await?;
    served.api.may_ask(&name, &asked).await?;
    Ok(served.api.act(Some(name), &asked).await?.into_response())
}

pub(super) async fn retry(
    State(served): State<Served>,
    Path((name, service)): Path<(String, String)>,
    Query(asked): Query<Asked>,
) -> Answer<Response> {
    served.api.service(&name, &service)?;
    if let Some(version) = &asked.version
        && semver::Version::parse(version).is_err()
    {
        return Err(Refused(StatusCode::BAD_REQUEST, format!("{version:?} is no version")));
    }
    // A retry removes nothing, and each is a new question.
    let asked = Asked { since: None, allow_prune: false, ..asked };
    if !served.api.orders.retry(&name, Retry { service, version: asked.version.clone() }) {
        return Err(busy("too many retries wait already"));
    }
    Ok(served.api.act(Some(name), &asked).await?.into_response())
}
