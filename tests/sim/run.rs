//! Runs a scenario under a plan, and holds it against the run without faults.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use skep::sim::wire::Exchange;
use tokio::time::Instant;

use crate::bugs::Bug;
use crate::hooks::Way;
use crate::normal;
use crate::oracle::{self, Told};
use crate::plan::{Plan, SWARM, Until};
use crate::scenarios::{Allow, Goal, Scenario};
use crate::shown::{self, Text};
use crate::skep_process::Skep;
use crate::witness::Verb;
use crate::world::{RESYNC, World, epoch};

/// How often it is looked whether a stage is over.
const TICK: Duration = Duration::from_millis(250);
/// Nothing moves for so long once the world is at rest: longer than a poll of the registry.
const REST: Duration = Duration::from_secs(12);
/// No scenario takes longer for a stage.
const STAGE_MAX: Duration = Duration::from_secs(300);
/// No scenario needs so many calls to the engine; more are asked without end.
const CALLS_MAX: usize = 10_000;
/// Calls to the engine a second once all is stable, at most: a look is six, and there is little to look for.
const QUIET_CALLS_MAX: f64 = 5.0;
/// A call that hangs is given up after that.
const HANG: Duration = Duration::from_secs(30);
/// What is drawn goes on for that much longer than a stage takes without faults.
const DRAWN_LONGER: Duration = Duration::from_secs(10);
/// Until a killed skep is started again.
const RESTART: Duration = Duration::from_millis(100);
/// Resyncs without a change after the run without faults, and after one with faults.
const QUIET_RESYNCS: u32 = 100;
const QUIET_RESYNCS_FAULTY: u32 = 1;

/// What came of a run.
#[derive(Default)]
pub struct Record {
    pub stages: Vec<Snapshot>,
    pub counts: BTreeMap<(String, Verb), usize>,
    /// IDs that the engine gave: one for each task that ever was, among others.
    pub ids: u64,
    pub told: Told,
    /// The lines of the event log.
    pub log: Vec<String>,
    pub exchanges: Vec<Exchange>,
    pub problems: Vec<String>,
    pub crashes: usize,
    /// Calls of the state directory's file system until all stages were over.
    pub disk_calls: usize,
}

/// The world at the end of a stage.
pub struct Snapshot {
    pub took: Duration,
    pub swarm: Value,
    pub memory: Value,
}

impl Record {
    pub fn is_good(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Runs it without faults if there is no reference, else until it looks as the reference does.
pub fn run(scenario: &Scenario, plan: &Plan, reference: Option<&Record>, bug: Option<Bug>) -> Record {
    let log = Text::default();
    let whole = async {
        let world = World::new(scenario.password, bug, plan.hooks);
        let until = Until::default();
        (scenario.setup)(&world);
        plan.install(&world.tap, &world.disk, &until);
        let skep = Some(Skep::start(&world));
        let run = Run { world, skep, plan, until, reference, log: log.clone(), record: Record::default() };
        run.whole(scenario).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    shown::logged(&log, || runtime.unwrap().block_on(whole))
}

struct Run<'a> {
    world: World,
    skep: Option<Skep>,
    plan: &'a Plan,
    until: Until,
    reference: Option<&'a Record>,
    /// What skep logs.
    log: Text,
    record: Record,
}

impl Run<'_> {
    async fn whole(mut self, scenario: &Scenario) -> Record {
        for (at, stage) in scenario.stages.iter().enumerate() {
            (stage.act)(&self.world);
            let begun = Instant::now();
            let met = match self.reference.and_then(|reference| reference.stages.get(at)) {
                None => self.alone(stage.until).await,
                Some(wanted) => self.beside(wanted, stage.until).await,
            };
            let snapshot = self.snapshot(begun.elapsed());
            if !met {
                self.missed(stage.name, at, &snapshot);
            }
            if self.reference.is_none() && stage.within.is_some_and(|within| snapshot.took > within + REST) {
                let problem = format!("I10: stage {:?} took {:?}", stage.name, snapshot.took);
                self.record.problems.push(problem);
            }
            self.record.stages.push(snapshot);
            if !met {
                break;
            }
        }
        self.record.disk_calls = self.world.disk.calls();
        // Where that much is wrong already, it might not even end.
        if self.record.is_good() {
            if self.plan.is_drawn() {
                // What is drawn is over then.
                self.pass(DRAWN_LONGER).await;
            }
            self.quiet().await;
        }
        self.judge(scenario.allow);
        self.record.exchanges = self.world.tap.exchanges();
        if let Some(skep) = self.skep.take() {
            skep.kill().await;
        }
        self.record
    }

    /// The stage without faults: until the world is at rest.
    async fn alone(&mut self, goal: Goal) -> bool {
        let begun = Instant::now();
        let (mut still_since, mut last) = (begun, self.movement());
        while begun.elapsed() < STAGE_MAX && self.world.tap.count(SWARM) < CALLS_MAX {
            if let Goal::Seen(seen) = goal
                && self.world.engine.read(seen)
            {
                return true;
            }
            self.pass(TICK).await;
            let now = self.movement();
            if now != last {
                (still_since, last) = (Instant::now(), now);
            }
            let at_rest = still_since.elapsed() >= REST;
            match goal {
                Goal::Rest if at_rest => return true,
                Goal::RestAfter(least) if at_rest && begun.elapsed() >= least => return true,
                _ => {}
            }
        }
        false
    }

    /// The stage with faults: as long as without, and then until the world looks the same.
    async fn beside(&mut self, wanted: &Snapshot, goal: Goal) -> bool {
        let begun = Instant::now();
        let mut limit = wanted.took + HANG + 3 * RESYNC;
        if self.plan.is_drawn() {
            self.until.set(begun + wanted.took + DRAWN_LONGER);
            limit += DRAWN_LONGER;
        }
        if !matches!(goal, Goal::Seen(_)) {
            self.pass(wanted.took).await;
        }
        let mut last = None;
        while begun.elapsed() < limit {
            match goal {
                Goal::Seen(seen) if self.world.engine.read(seen) => return true,
                Goal::Seen(_) => {}
                Goal::Rest | Goal::RestAfter(_) => {
                    let now = Some(self.movement());
                    if now != last && self.looks_like(wanted) {
                        return true;
                    }
                    last = now;
                }
            }
            self.pass(TICK).await;
        }
        // What is remembered may have changed without anything else.
        !matches!(goal, Goal::Seen(_)) && self.looks_like(wanted)
    }

    fn looks_like(&self, wanted: &Snapshot) -> bool {
        let now = self.snapshot(Duration::ZERO);
        now.swarm == wanted.swarm && now.memory == wanted.memory && !self.world.has_open_intents()
    }

    /// Changes whenever something moves.
    fn movement(&self) -> (u64, u64) {
        (self.world.engine.read(|state| state.index), self.world.events_length())
    }

    fn snapshot(&self, took: Duration) -> Snapshot {
        Snapshot {
            took,
            swarm: self.world.engine.read(normal::swarm),
            memory: normal::memory(&self.world.state_dir()),
        }
    }

    /// Lets time pass; skep dies when the plan says so, and is started again.
    async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            tokio::select! {
                biased;
                () = self.world.crash.notified() => {
                    self.record.crashes += 1;
                    if let Some(skep) = self.skep.take() {
                        skep.kill().await;
                    }
                    tokio::time::sleep(RESTART).await;
                    self.skep = Some(Skep::start(&self.world));
                }
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    fn missed(&mut self, stage: &str, at: usize, snapshot: &Snapshot) {
        let problems = &mut self.record.problems;
        problems.push(format!("I1: stage {stage:?} did not come to its end within {:?}", snapshot.took));
        let Some(wanted) = self.reference.and_then(|reference| reference.stages.get(at)) else { return };
        problems.extend(
            normal::differences(&snapshot.swarm, &wanted.swarm).into_iter().map(|it| format!("I2: {it}")),
        );
        let memory = normal::differences(&snapshot.memory, &wanted.memory);
        problems.extend(memory.into_iter().map(|it| format!("I2: memory {it}")));
        if self.world.has_open_intents() {
            problems.push("I8: an intent is open".to_owned());
        }
    }

    /// Once stable, nothing is written any more and no task is new.
    async fn quiet(&mut self) {
        let still = |world: &World| {
            let (ids, swarm) = world.engine.read(|state| (state.ids, normal::swarm(state)));
            (world.witness.arrived(), ids, swarm, world.events_length())
        };
        let before = still(&self.world);
        let calls = self.world.tap.count(SWARM);
        let resyncs = if self.reference.is_none() { QUIET_RESYNCS } else { QUIET_RESYNCS_FAULTY };
        let time = RESYNC * resyncs + REST;
        self.pass(time).await;
        let after = still(&self.world);
        let calls = self.world.tap.count(SWARM) - calls;
        let problems = &mut self.record.problems;
        if f64::from(u32::try_from(calls).unwrap_or(u32::MAX)) > QUIET_CALLS_MAX * time.as_secs_f64() {
            problems.push(format!("I12: {calls} calls in {time:?} after all was stable"));
        }
        if before.0 != after.0 {
            problems.push(format!("I1: {} writes after all was stable", after.0 - before.0));
        }
        if before.1 != after.1 {
            problems.push(format!("I1: {} new tasks after all was stable", after.1 - before.1));
        }
        problems
            .extend(normal::differences(&after.2, &before.2).into_iter().map(|it| format!("I1: moved {it}")));
        if before.3 != after.3 && self.plan.is_none() {
            problems.push("I1: an unchanged world wrote events".to_owned());
        }
    }

    fn judge(&mut self, allow: Allow) {
        let world = &self.world;
        self.record.counts = world.witness.counts();
        self.record.ids = world.engine.read(|state| state.ids);
        self.record.problems.extend(world.witness.violations());
        let events = oracle::read(&world.events_dir());
        self.record.problems.extend(oracle::log(&events, &world.witness.changes()));
        let canaries = world.canaries();
        self.record.problems.extend(oracle::secrets(&world.state_dir(), &canaries));
        let swarm = world.engine.read(normal::readable);
        for (what, text) in
            [("its log", self.log.all()), ("what it shows", world.shown.all()), ("the Swarm", swarm)]
        {
            self.record.problems.extend(oracle::said(what, &text, &canaries));
        }
        self.record.told = oracle::told(&events);
        self.record.log = events.iter().map(|event| oracle::line(event, epoch())).collect();
        if let Some(reference) = self.reference
            && self.record.problems.is_empty()
        {
            let problems = oracle::compare(&self.record, reference, allow, self.plan.dies_at_disk());
            self.record.problems.extend(problems);
        }
        // Else nothing was shown of webhooks; what is late or lost may find nobody to wake.
        if self.plan.hooks == Some(Way::Straight)
            && world.hooks.as_ref().is_some_and(|hooks| hooks.woken() == 0)
        {
            self.record.problems.push("no webhook woke skep".to_owned());
        }
        if self.skep.as_ref().is_some_and(Skep::has_ended) {
            self.record.problems.push("skep ended by itself".to_owned());
        }
    }
}
