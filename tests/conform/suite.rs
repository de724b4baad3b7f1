//! Runs sequences on both sides.

use std::process::ExitCode;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::bed::Bed;
use crate::differ;
use crate::exceptions::Exceptions;
use crate::op::{Op, Sequence};
use crate::play::play;
use crate::random;
use crate::runner::say;
use crate::sim::Sim;
use crate::target::Real;

/// As CI runs them.
const API: usize = 300;
const TASKS: usize = 15;
const SEED: u64 = 1;
/// Sequences with tasks wait; those without keep a core busy.
const THREADS_API: usize = 2;
const THREADS_TASKS: usize = 4;
/// A sequence may be played so often until both sides do the same. Tasks race on a real Swarm, the more the busier
/// the machine is, and of two outcomes the rarer one may well come twice.
const PLAYS_API: usize = 2;
const PLAYS_WRITTEN: usize = 2;
const PLAYS_TASKS: usize = 4;
/// More differences than these say nothing new.
const SHOWN_MAX: usize = 8;

static EXCEPTIONS: LazyLock<Exceptions> = LazyLock::new(Exceptions::read);
static PLAYED: AtomicUsize = AtomicUsize::new(0);
static RANDOM_RAN: AtomicUsize = AtomicUsize::new(0);

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

/// What differs, as text.
fn compare(bed: &Bed, sequence: &Sequence) -> Option<String> {
    // Of both sides: whole names count in lengths and messages.
    let prefix = format!("q{}-", PLAYED.fetch_add(1, Ordering::Relaxed));
    let real = play(&Real::new(bed), sequence, &prefix);
    let other = match std::env::var_os("SKEP_CONFORM_SELF") {
        Some(_) => play(&Real::new(bed), sequence, &prefix),
        None => play(&Sim::new(), sequence, &prefix),
    };
    differ::explain(&sequence.name, &real, &other, &EXCEPTIONS)
}

/// What differs, if it differs each time: the embedded Swarm does the same each time, so that what comes and goes is
/// chance on the real one.
fn always(bed: &Bed, sequence: &Sequence, plays: usize) -> Option<String> {
    let first = compare(bed, sequence)?;
    let mut last = Some(first.clone());
    for play in 2..=plays {
        last = compare(bed, sequence);
        if last.is_none() {
            say(&format!("differed and not in play {play}:\n{first}"));
            break;
        }
    }
    last
}

/// A sequence that was written by hand: without chance as far as one can help it.
pub fn written_case(bed: &Bed, name: &str, ops: Vec<Op>) {
    if let Some(difference) = always(bed, &Sequence::new(name, ops), PLAYS_WRITTEN) {
        panic!("{difference}");
    }
}

pub fn random_api(bed: &Bed) {
    let count = setting("SKEP_CONFORM_API").map_or(API, |count| count as usize);
    many(bed, count, (THREADS_API, PLAYS_API), "SKEP_CONFORM_API", random::api);
}

pub fn random_tasks(bed: &Bed) {
    let count = setting("SKEP_CONFORM_TASKS").map_or(TASKS, |count| count as usize);
    many(bed, count, (THREADS_TASKS, PLAYS_TASKS), "SKEP_CONFORM_TASKS", random::tasks);
}

fn many(
    bed: &Bed,
    count: usize,
    (threads, plays): (usize, usize),
    variable: &str,
    make: fn(u64) -> Sequence,
) {
    let first = setting("SKEP_CONFORM_SEED").unwrap_or(SEED);
    let next = AtomicUsize::new(0);
    let differences: Vec<String> = thread::scope(|scope| {
        let work = || {
            let mut found = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at >= count || found.len() >= SHOWN_MAX {
                    return found;
                }
                let seed = first.wrapping_add(at as u64);
                if let Some(difference) = always(bed, &make(seed), plays) {
                    let kind = if variable.ends_with("API") { "api" } else { "tasks" };
                    found.push(format!(
                        "{difference}  replay: SKEP_CONFORM_SEED={seed} {variable}=1 ./test --test conform -- random::{kind}\n"
                    ));
                }
            }
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    RANDOM_RAN.fetch_add(count, Ordering::Relaxed);
    assert!(
        differences.is_empty(),
        "seeds {first} and on, {count} sequences; {} differ:\n{}",
        differences.len(),
        differences[..differences.len().min(SHOWN_MAX)].join("\n")
    );
}

/// Exceptions that nothing needs fail a run of everything.
pub fn finish(passed: ExitCode) -> ExitCode {
    let everything = std::env::args().len() == 1
        && RANDOM_RAN.load(Ordering::Relaxed) >= API + TASKS
        && setting("SKEP_CONFORM_SEED").is_none()
        && passed == ExitCode::SUCCESS;
    let unused = EXCEPTIONS.unused();
    assert!(
        !everything || unused.is_empty(),
        "exceptions.toml has what nothing needs:\n  {}",
        unused.join("\n  ")
    );
    passed
}
