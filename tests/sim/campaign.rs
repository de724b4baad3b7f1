//! Which plans there are, and running them on all cores.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use skep::sim::wire::{EventFault, Exchange, Fault};

use crate::bugs::{BUGS, Bug};
use crate::exceptions::excepted;
use crate::hooks::WAYS;
use crate::plan::{DISK, Plan, SWARM, faults, is_service_list, is_write};
use crate::run::{Record, run};
use crate::scenarios::{Scenario, all};

/// CI fails when there are fewer scenarios or plans of one fault than this.
const SCENARIOS_MIN: usize = 53;
const PLANS_MIN: usize = 3_600;
/// Random plans, unless `SKEP_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 1_000;
/// Of the looks that only read, CI takes one of so many; `SKEP_SIM_ALL=1` takes all.
const READS_SKIPPED: usize = 4;
/// Of the calls of the file system, CI takes one of so many; `SKEP_SIM_ALL=1` takes all.
const DISK_SKIPPED: usize = 8;
const DISK_PLANS_MIN: usize = 570;
/// Plans with a fault that look for each bug.
const HARD_PLANS: usize = 150;
/// Exchanges shown of a run that failed.
const TRACE: usize = 60;
/// Failures shown in full.
const SHOWN: usize = 5;

const CAMPAIGNS: [&str; 10] =
    ["faults", "disk", "containment", "contest", "events", "hooks", "stale", "random", "determinism", "bugs"];

const EVENT_FAULTS: [EventFault; 6] = [
    EventFault::Off,
    EventFault::Drop,
    EventFault::Double,
    EventFault::Reorder,
    EventFault::Overflow,
    EventFault::Cut,
];

/// A scenario, and how it goes without faults.
struct Case {
    scenario: Scenario,
    reference: Record,
}

pub fn main() -> ExitCode {
    if std::env::var_os("SKEP_SIM_LATER").is_some() {
        println!("later, by `cargo campaigns`: built with optimisation");
        return ExitCode::SUCCESS;
    }
    if let Ok(text) = std::env::var("SKEP_SIM_REPLAY") {
        return replay(&text);
    }
    let begun = Instant::now();
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let named = |name: &str| wanted.iter().any(|wanted| wanted == name);
    let some_scenarios = all().iter().any(|scenario| named(scenario.name));
    let some_campaigns = CAMPAIGNS.iter().any(|campaign| named(campaign));
    let scenarios: Vec<Scenario> =
        all().into_iter().filter(|scenario| !some_scenarios || named(scenario.name)).collect();
    let (cases, mut failed) = references(scenarios);
    let is_whole = !some_scenarios && !some_campaigns;
    if is_whole && cases.len() < SCENARIOS_MIN {
        println!("FAILED: {} scenarios are fewer than {SCENARIOS_MIN}", cases.len());
        failed += 1;
    }
    for campaign in CAMPAIGNS.iter().filter(|campaign| !some_campaigns || named(campaign)) {
        match *campaign {
            "bugs" => failed += bugs(&cases, &BUGS),
            "containment" => failed += crate::containment::run(),
            "contest" => failed += crate::contest::run(),
            _ => {}
        }
        if matches!(*campaign, "bugs" | "containment" | "contest") {
            continue;
        }
        let plans = plans(campaign, &cases);
        println!("{campaign}: {} plans", plans.len());
        failed += execute(campaign, &cases, &plans);
        let least = match *campaign {
            "faults" => PLANS_MIN,
            "disk" => DISK_PLANS_MIN,
            _ => 0,
        };
        if is_whole && plans.len() < least {
            println!("FAILED: {} plans are fewer than {least}", plans.len());
            failed += 1;
        }
    }
    println!("{failed} failed, in {:.1?}", begun.elapsed());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs each scenario without faults.
fn references(scenarios: Vec<Scenario>) -> (Vec<Case>, usize) {
    let begun = Instant::now();
    let records = in_parallel(&scenarios, |scenario| run(scenario, &Plan::default(), None, None));
    let (mut cases, mut failed) = (Vec::new(), 0);
    for (scenario, reference) in scenarios.into_iter().zip(records) {
        if reference.is_good() {
            cases.push(Case { scenario, reference });
        } else {
            failed += 1;
            show(&scenario, &Plan::default(), &reference, failed <= SHOWN);
        }
    }
    let exchanges: usize = cases.iter().map(|case| case.reference.exchanges.len()).sum();
    println!("{} scenarios without faults, {exchanges} exchanges, {:.1?}", cases.len(), begun.elapsed());
    (cases, failed)
}

/// The plans of a campaign: the case's place, and what goes wrong.
fn plans(campaign: &str, cases: &[Case]) -> Vec<(usize, Plan)> {
    let seeds = std::env::var("SKEP_SIM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(SEEDS);
    let mut plans = Vec::new();
    for (at, case) in cases.iter().enumerate() {
        match campaign {
            "faults" => plans.extend(every_fault(&case.reference).into_iter().map(|plan| (at, plan))),
            "disk" => {
                let step = if std::env::var_os("SKEP_SIM_ALL").is_some() { 1 } else { DISK_SKIPPED };
                // Of each scenario others than of the one before.
                let calls = (at % step..case.reference.disk_calls).step_by(step);
                plans.extend(calls.map(|call| (at, Plan::one(DISK, call, Fault::CrashBefore))));
            }
            "events" => plans.extend(EVENT_FAULTS.map(|fault| {
                let plan = skep::sim::wire::Plan::always(SWARM, Fault::Events(fault));
                (at, Plan { faults: vec![plan], ..Plan::default() })
            })),
            "hooks" => plans.extend(WAYS.map(|way| (at, Plan { hooks: Some(way), ..Plan::default() }))),
            "stale" => plans.extend((0..4).map(|seed| (at, Plan { stale: Some(seed), ..Plan::default() }))),
            "determinism" => plans.push((at, Plan { random: Some(1), stale: Some(1), ..Plan::default() })),
            _ => {}
        }
    }
    if campaign == "random" {
        plans.extend((0..seeds).map(|seed| {
            let at = usize::try_from(seed).unwrap_or(0) % cases.len().max(1);
            (
                at,
                Plan { random: Some(seed), stale: seed.is_multiple_of(3).then_some(seed), ..Plan::default() },
            )
        }));
    }
    plans
}

/// Every fault at every exchange up to the end of the last stage.
fn every_fault(reference: &Record) -> Vec<Plan> {
    let end: std::time::Duration = reference.stages.iter().map(|stage| stage.took).sum();
    let every = std::env::var_os("SKEP_SIM_ALL").is_some();
    let mut before: Option<&Exchange> = None;
    let mut reads = 0;
    let last_looks = last_looks(&reference.exchanges);
    let exchanges = reference.exchanges.iter().filter(|exchange| {
        // The calls of one look at the Swarm fail as one.
        let same_look = before.replace(exchange).is_some_and(|before| {
            before.at == exchange.at && before.target == exchange.target && !is_write(before)
        });
        let chosen = is_write(exchange)
            || !same_look && {
                reads += 1;
                reads % READS_SKIPPED == 0
            };
        exchange.at <= end && (every || chosen)
    });
    let mut plans: Vec<Plan> = exchanges
        .flat_map(|exchange| {
            faults(exchange)
                .into_iter()
                .map(|fault| Plan::one(&exchange.target, exchange.number, fault))
                .collect::<Vec<_>>()
        })
        .collect();
    let between = last_looks.into_iter().map(|number| Plan::one(SWARM, number, Fault::ConflictAfter));
    let between: Vec<Plan> = between.filter(|plan| !plans.contains(plan)).collect();
    plans.extend(between);
    plans
}

/// The lists of services that an update goes by: between the two somebody else may write.
fn last_looks(exchanges: &[Exchange]) -> BTreeSet<usize> {
    let (mut last, mut looks) = (None, BTreeSet::new());
    for exchange in exchanges.iter().filter(|exchange| exchange.target == SWARM) {
        if is_service_list(exchange) {
            last = Some(exchange.number);
        } else if is_write(exchange) && exchange.path.ends_with("/update") {
            looks.extend(last);
        }
    }
    looks
}

/// How many failed.
fn execute(campaign: &str, cases: &[Case], plans: &[(usize, Plan)]) -> usize {
    let begun = Instant::now();
    let records = in_parallel(plans, |(at, plan)| {
        let case = &cases[*at];
        let mut record = run(&case.scenario, plan, Some(&case.reference), None);
        if campaign == "determinism" {
            let again = run(&case.scenario, plan, Some(&case.reference), None);
            record.problems.extend(first_difference(&record, &again));
        }
        if record.is_good() {
            // Thousands of them are held until all are done.
            record = Record { crashes: record.crashes, ..Record::default() };
        }
        record
    });
    let (mut failed, mut understood) = (0, 0);
    for ((at, plan), record) in plans.iter().zip(&records).filter(|(_, record)| !record.is_good()) {
        if excepted(&cases[*at].scenario, plan, record) {
            understood += 1;
            continue;
        }
        failed += 1;
        show(&cases[*at].scenario, plan, record, failed <= SHOWN);
    }
    let crashes: usize = records.iter().map(|record| record.crashes).sum();
    println!(
        "{campaign}: {} plans, {crashes} crashes of skep, {understood} listed as exceptions, {failed} failed, {:.1?}",
        plans.len(),
        begun.elapsed()
    );
    failed
}

/// How many bugs no run caught. A bug is looked for without faults first, then with some.
fn bugs(cases: &[Case], bugs: &[Bug]) -> usize {
    let begun = Instant::now();
    let caught = in_parallel(bugs, |bug| {
        let alone = cases.iter().map(|case| (case, Plan::default()));
        let hard: Vec<(&Case, Plan)> = cases.iter().flat_map(hard_plans).collect();
        let step = hard.len().div_ceil(HARD_PLANS).max(1);
        let some = hard.into_iter().step_by(step);
        // Of these there are few, so that the steps may pass over them all.
        let few =
            cases.iter().flat_map(|case| [restarts(case), first_writes(case), conflicts(case)].concat());
        let caught = alone.chain(few).chain(some).find_map(|(case, plan)| {
            let record = run(&case.scenario, &plan, Some(&case.reference), Some(*bug));
            let problem = record.problems.first()?;
            // What fails without the bug as well shows nothing.
            let good = run(&case.scenario, &plan, Some(&case.reference), None);
            if !good.is_good() {
                return None;
            }
            Some(format!("{}/{plan}: {problem}", case.scenario.name))
        });
        println!("  {bug:?}: {}", caught.as_deref().unwrap_or("NOT CAUGHT"));
        caught
    });
    let missed = caught.iter().filter(|caught| caught.is_none()).count();
    println!("bugs: {} seeded, {missed} not caught, {:.1?}", bugs.len(), begun.elapsed());
    missed
}

/// A crash soon after each stage has begun, when what the one before left stands.
fn restarts(case: &Case) -> Vec<(&Case, Plan)> {
    let mut begun = std::time::Duration::ZERO;
    let mut plans = Vec::new();
    for stage in &case.reference.stages {
        let first = case.reference.exchanges.iter().find(|exchange| exchange.at > begun);
        plans.extend(first.map(|first| (case, Plan::one(&first.target, first.number, Fault::CrashBefore))));
        begun += stage.took;
    }
    plans
}

/// The first write failed in each way that leaves it made or not, and one in the middle answered by errors.
fn first_writes(case: &Case) -> Vec<(&Case, Plan)> {
    let writes: Vec<&Exchange> = case.reference.exchanges.iter().filter(|it| is_write(it)).collect();
    let one = |it: &&Exchange, fault| (case, Plan::one(&it.target, it.number, fault));
    let first =
        [Fault::ErrorBefore(500), Fault::ErrorAfter(500), Fault::ResetAfter, Fault::CrashAfter].into_iter();
    let first = first.filter_map(|fault| Some(one(writes.first()?, fault)));
    let middle = [Fault::ErrorBefore(500), Fault::ErrorAfter(500)].into_iter();
    let middle = middle.filter_map(|fault| Some(one(writes.get(writes.len() / 2)?, fault)));
    first.chain(middle).collect()
}

/// Somebody else writes before skep does.
fn conflicts(case: &Case) -> Vec<(&Case, Plan)> {
    hard_plans(case).into_iter().filter(|(_, plan)| plan.to_string().contains(":conflict")).collect()
}

/// Every fault at every write, and a crash at each third exchange.
fn hard_plans(case: &Case) -> Vec<(&Case, Plan)> {
    let end: std::time::Duration = case.reference.stages.iter().map(|stage| stage.took).sum();
    let exchanges = case.reference.exchanges.iter().filter(|exchange| exchange.at <= end);
    let last_looks = last_looks(&case.reference.exchanges);
    let plans = exchanges.enumerate().flat_map(|(at, exchange)| {
        let one = |fault| Plan::one(&exchange.target, exchange.number, fault);
        match (is_write(exchange), at % 3) {
            (true, _) => faults(exchange).into_iter().map(one).collect(),
            _ if last_looks.contains(&exchange.number) && is_service_list(exchange) => {
                vec![one(Fault::ConflictAfter)]
            }
            (false, 0) => vec![one(Fault::CrashBefore)],
            _ => vec![one(Fault::ErrorBefore(500))],
        }
    });
    plans.map(|plan| (case, plan)).collect()
}

/// I13: where two runs of the same plan part.
fn first_difference(one: &Record, other: &Record) -> Option<String> {
    // The filters of the event stream come in any order.
    let line = |exchange: &Exchange| match exchange.path.ends_with("/events") {
        true => Exchange { query: String::new(), ..exchange.clone() }.to_string(),
        false => exchange.to_string(),
    };
    let lines = |record: &Record| record.exchanges.iter().map(line).collect::<Vec<_>>();
    let (one, other) = (lines(one), lines(other));
    let at = (0..one.len().max(other.len())).find(|at| one.get(*at) != other.get(*at))?;
    Some(format!("I13: exchange {at} is {:?} and then {:?}", one.get(at), other.get(at)))
}

fn show(scenario: &Scenario, plan: &Plan, record: &Record, in_full: bool) {
    println!("FAILED {}/{plan}: {}", scenario.name, record.problems.first().cloned().unwrap_or_default());
    if !in_full {
        return;
    }
    println!("  {}", scenario.about);
    record.problems.iter().skip(1).take(20).for_each(|problem| println!("  {problem}"));
    let from = record.exchanges.len().saturating_sub(TRACE);
    for exchange in &record.exchanges[from..] {
        println!("  {:>9.3} {exchange}", exchange.at.as_secs_f64());
    }
    let from = record.log.len().saturating_sub(TRACE);
    record.log[from..].iter().for_each(|line| println!("  {line}"));
    println!("  SKEP_SIM_REPLAY='{}/{plan}' cargo campaigns", scenario.name);
}

/// Runs one plan and shows all of it.
fn replay(text: &str) -> ExitCode {
    let (name, plan) = text.split_once('/').unwrap_or((text, "none"));
    let Some(scenario) = all().into_iter().find(|scenario| scenario.name == name) else {
        let names: Vec<&str> = all().iter().map(|scenario| scenario.name).collect();
        println!("no scenario {name:?}; there are {}", names.join(", "));
        return ExitCode::FAILURE;
    };
    let plan: Plan = match plan.parse() {
        Ok(plan) => plan,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let mut record = run(&scenario, &Plan::default(), None, None);
    if record.is_good() && !plan.is_none() {
        record = run(&scenario, &plan, Some(&record), None);
    }
    for exchange in &record.exchanges {
        println!("{:>9.3} {exchange}", exchange.at.as_secs_f64());
    }
    record.log.iter().for_each(|line| println!("{line}"));
    if let Some(last) = record.stages.last().filter(|_| !record.is_good()) {
        println!("{:#}", last.swarm["services"]);
    }
    record.problems.iter().for_each(|problem| println!("{problem}"));
    println!("{}", if record.is_good() { "good" } else { "FAILED" });
    if record.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Gives the results in the order of the items.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let (next, results) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    results.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
