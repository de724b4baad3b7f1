//! What goes wrong in a run, as text that replays it.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use skep::sim::wire::{self, Exchange, Fault, Tap};
use tokio::time::Instant;

use crate::disk::Disk;
use crate::hooks::Way;

/// The names that the tap has for the two outside worlds.
pub const SWARM: &str = "swarm";
pub const REGISTRY: &str = "registry";
/// The state directory's file system: skep dies before the call of that number.
pub const DISK: &str = "disk";

/// Stale lists are at most this old.
pub const STALE_MAX: Duration = Duration::from_secs(20);
/// Of 100 exchanges, how many have a fault while faults are drawn at random.
const RANDOM_PERCENT: u32 = 6;
/// The same of lists that are old.
const STALE_PERCENT: u32 = 50;

/// All that goes wrong in a run, such as `swarm#12:reset-mid-body,stale:7`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub faults: Vec<wire::Plan>,
    /// Faults drawn at random, which stop after a while in each stage.
    pub random: Option<u64>,
    /// Lists up to 20 s old, drawn at random, likewise.
    pub stale: Option<u64>,
    /// Webhooks are sent, and this becomes of them; without it there are polls only.
    pub hooks: Option<Way>,
}

impl Plan {
    pub fn one(target: &str, number: usize, fault: Fault) -> Self {
        Self { faults: vec![wire::Plan::new(target, number, fault)], ..Self::default() }
    }

    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether something is drawn.
    pub fn is_drawn(&self) -> bool {
        self.random.is_some() || self.stale.is_some()
    }

    /// Whether skep dies at a call of its file system.
    pub fn dies_at_disk(&self) -> bool {
        self.faults.iter().any(|plan| plan.target == DISK)
    }

    /// Makes it happen; what is drawn stops at the time that `until` holds.
    pub fn install(&self, tap: &Tap, disk: &Disk, until: &Until) {
        for plan in &self.faults {
            if plan.target == DISK { disk.die_at(plan.at.start) } else { tap.plan(plan.clone()) }
        }
        if !self.is_drawn() {
            return;
        }
        tap.remember(STALE_MAX);
        let generator = |seed: Option<u64>| seed.map(|seed| Mutex::new(StdRng::seed_from_u64(seed)));
        let (random, stale, until) = (generator(self.random), generator(self.stale), until.clone());
        // What is asked at one time is answered by one manager: all of it is equally old.
        let drawn: Mutex<Option<(Duration, Option<Fault>)>> = Mutex::default();
        tap.rule(Arc::new(move |exchange| {
            if !until.is_ahead() {
                return None;
            }
            random.as_ref().and_then(|random| draw(random, exchange)).or_else(|| {
                let mut stale = stale.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
                let mut drawn = drawn.lock().unwrap_or_else(PoisonError::into_inner);
                let (_, fault) = *drawn.filter(|(at, _)| *at == exchange.at).get_or_insert_with(|| {
                    let is_stale = stale.random_ratio(STALE_PERCENT, 100);
                    (exchange.at, is_stale.then(|| Fault::Stale(STALE_MAX.mul_f64(stale.random()))))
                });
                *drawn = Some((exchange.at, fault));
                fault.filter(|_| is_list(exchange))
            })
        }));
    }
}

fn draw(random: &Mutex<StdRng>, exchange: &Exchange) -> Option<Fault> {
    let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
    if !random.random_ratio(RANDOM_PERCENT, 100) {
        return None;
    }
    let possible = faults(exchange);
    possible.get(random.random_range(0..possible.len())).copied()
}

fn is_list(exchange: &Exchange) -> bool {
    exchange.target == SWARM && (exchange.path.ends_with("/services") || exchange.path.ends_with("/tasks"))
}

/// Until when something is drawn.
#[derive(Clone, Default)]
pub struct Until(Arc<Mutex<Option<Instant>>>);

impl Until {
    pub fn set(&self, until: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    fn is_ahead(&self) -> bool {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }
}

/// Whether it may change the Swarm.
pub fn is_write(exchange: &Exchange) -> bool {
    exchange.target == SWARM && exchange.method != Method::GET && exchange.method != Method::HEAD
}

/// A look at services, of which somebody else may write one before skep does.
pub fn is_service_list(exchange: &Exchange) -> bool {
    exchange.target == SWARM && exchange.path.ends_with("/services")
}

/// The faults that make a difference to an exchange.
pub fn faults(exchange: &Exchange) -> Vec<Fault> {
    let status = if exchange.target == REGISTRY { 503 } else { 500 };
    let mut faults = vec![Fault::CrashBefore, Fault::ErrorBefore(status), Fault::Hang, Fault::ResetMidBody];
    if is_service_list(exchange) {
        faults.push(Fault::ConflictAfter);
    }
    if is_write(exchange) {
        // What only reads is the same before and after.
        faults.extend([Fault::CrashAfter, Fault::ErrorAfter(status), Fault::HangAfter]);
        faults.push(Fault::ResetAfter);
        if exchange.path.ends_with("/update") {
            faults.push(Fault::Conflict);
        }
    }
    faults
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        parts.extend(self.random.map(|seed| format!("random:{seed}")));
        parts.extend(self.stale.map(|seed| format!("stale:{seed}")));
        parts.extend(self.hooks.map(|way| format!("hooks:{way}")));
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(","))
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        let seed = |text: &str| text.parse().map_err(|_| format!("{text:?} is no seed"));
        for part in text.split(',').filter(|part| !part.is_empty() && *part != "none") {
            match part.split_once(':') {
                Some(("random", of)) => plan.random = Some(seed(of)?),
                Some(("stale", of)) => plan.stale = Some(seed(of)?),
                Some(("hooks", way)) => plan.hooks = Some(way.parse()?),
                _ => plan.faults.push(part.parse().map_err(|error| format!("{error}"))?),
            }
        }
        Ok(plan)
    }
}
