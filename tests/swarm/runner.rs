//! Runs the cases, a few at a time, on shared or own beds, and speaks like `cargo test`.
//!
//! libtest has no moment after the last test, so shared beds could not be torn down, nor that be checked.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::bed::{Bed, Machine, Options};

/// So many failed cases are tried once more, each alone on a fresh bed, and are then named as flaky: a
/// loaded machine makes a real engine late. More than these are no accident.
const FLAKY_MAX: usize = 2;

#[derive(Clone, Debug)]
pub enum On {
    /// A bed of so many hosts (one of them a manager) that other cases use at the same time: use names of your own, and
    /// harm neither hosts nor registry.
    Shared(usize),
    /// A bed of its own.
    Own(Options),
}

#[derive(Clone)]
enum Run {
    On(On, fn(&Bed)),
    Alone(fn()),
}

#[derive(Clone)]
pub struct Case {
    name: &'static str,
    run: Run,
}

impl Case {
    /// `name` is `module::function`.
    pub fn new(name: &'static str, on: On, run: fn(&Bed)) -> Self {
        Case { name, run: Run::On(on, run) }
    }

    /// A case that starts beds itself, if any.
    pub fn alone(name: &'static str, run: fn()) -> Self {
        Case { name, run: Run::Alone(run) }
    }
}

/// The command line, as far as libtest's is understood; other options are ignored.
#[derive(Default)]
struct Arguments {
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
    ignored: bool,
    threads: Option<usize>,
}

impl Arguments {
    fn read(mut given: impl Iterator<Item = String>) -> Self {
        let mut read = Arguments::default();
        while let Some(argument) = given.next() {
            let (key, mut value) = match argument.split_once('=') {
                Some((key, value)) if key.starts_with("--") => (key.to_owned(), Some(value.to_owned())),
                _ => (argument, None),
            };
            let mut value = || value.take().or_else(|| given.next()).unwrap_or_default();
            match key.as_str() {
                "--exact" => read.exact = true,
                "--list" => read.list = true,
                "--ignored" => read.ignored = true,
                "--skip" => read.skip.push(value()),
                "--test-threads" => read.threads = value().parse().ok(),
                "--color" | "--format" | "--logfile" | "-Z" | "--report-time" | "--shuffle-seed" => {
                    value();
                }
                option if option.starts_with('-') => {}
                _ => read.filters.push(key),
            }
        }
        read
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.exact { name == filter } else { name.contains(filter) };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(fits))
            && !self.skip.iter().any(fits)
    }
}

/// Runs so many cases at once, unless `--test-threads` says otherwise: they wait more than they compute.
pub fn run(cases: Vec<Case>, threads: usize) -> ExitCode {
    let arguments = Arguments::read(std::env::args().skip(1));
    let all = cases.len();
    let cases: Vec<Case> = cases.into_iter().filter(|case| arguments.wants(case.name)).collect();
    if arguments.list {
        cases.iter().for_each(|case| say(&format!("{}: test", case.name)));
        return ExitCode::SUCCESS;
    }
    let filtered = all - cases.len();
    say(&format!("\nrunning {} tests", cases.len()));
    let missing = Bed::missing();
    if !missing.is_empty() {
        let reason = format!("needs {}", missing.join(", "));
        cases.iter().for_each(|case| say(&format!("test {} ... ignored, {reason}", case.name)));
        if !cases.is_empty() {
            say(&format!("\nskipped: {reason}; ./test installs what it can and runs these tests as root"));
        }
        say(&summary(0, &[], cases.len(), filtered, Duration::ZERO));
        return ExitCode::SUCCESS;
    }

    let start = Instant::now();
    let prefix = Bed::prefix(std::process::id());
    let total = cases.len();
    let campaign = Campaign::new(cases.clone());
    let mut failed = campaign.finish(arguments.threads.unwrap_or(threads));
    let flaky = flaky(&cases, &mut failed);
    if let Some(left) = left_behind(&prefix) {
        say(&format!("\nleft behind by the beds:\n{left}"));
        failed.push("(teardown)".to_owned());
    }
    if !flaky.is_empty() {
        say(&format!("\nflaky (failed beside others, passed alone):\n    {}", flaky.join("\n    ")));
    }
    if !failed.is_empty() {
        say(&format!("\nfailures:\n    {}", failed.join("\n    ")));
    }
    say(&summary(total.saturating_sub(failed.len()), &failed, 0, filtered, start.elapsed()));
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

/// Tries the few that failed once more and takes those that pass out of them.
fn flaky(cases: &[Case], failed: &mut Vec<String>) -> Vec<String> {
    if failed.len() > FLAKY_MAX {
        return Vec::new();
    }
    let again = cases.iter().filter(|case| failed.iter().any(|name| name == case.name));
    let again: Vec<String> = again
        .filter(|case| {
            say(&format!("test {} is tried again, alone", case.name));
            Campaign::new(vec![(*case).clone()]).finish(1).is_empty()
        })
        .map(|case| case.name.to_owned())
        .collect();
    failed.retain(|name| !again.contains(name));
    again
}

/// Namespaces take the kernel a moment: so wait, but not for ever.
fn left_behind(prefix: &str) -> Option<String> {
    let start = Instant::now();
    loop {
        let left = Machine::of_beds(prefix).to_string();
        if left.is_empty() {
            return None;
        }
        if start.elapsed() > Duration::from_secs(15) {
            return Some(left);
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn summary(passed: usize, failed: &[String], ignored: usize, filtered: usize, took: Duration) -> String {
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    format!(
        "\ntest result: {result}. {passed} passed; {} failed; {ignored} ignored; 0 measured; {filtered} filtered out; \
         finished in {:.2}s\n",
        failed.len(),
        took.as_secs_f64()
    )
}

/// A whole line at once, also when several threads speak.
pub fn say(text: &str) {
    let mut out = io::stdout().lock();
    // Nobody is left to be told when stdout is closed.
    writeln!(out, "{text}").and_then(|()| out.flush()).ok();
}

/// A run of the cases.
struct Campaign {
    /// In order, the next one last.
    queue: Mutex<Vec<Case>>,
    beds: BTreeMap<usize, Slot>,
    failed: Mutex<Vec<String>>,
}

/// A shared bed, from its first case to its last.
struct Slot {
    bed: Mutex<Option<Arc<Bed>>>,
    cases_left: Mutex<usize>,
}

impl Campaign {
    fn new(mut cases: Vec<Case>) -> Self {
        let mut beds = BTreeMap::new();
        for case in &cases {
            if let Run::On(On::Shared(hosts), _) = &case.run {
                let slot = beds
                    .entry(*hosts)
                    .or_insert_with(|| Slot { bed: Mutex::new(None), cases_left: Mutex::new(0) });
                *lock(&slot.cases_left) += 1;
            }
        }
        cases.reverse();
        Campaign { queue: Mutex::new(cases), beds, failed: Mutex::new(Vec::new()) }
    }

    fn finish(self, threads: usize) -> Vec<String> {
        thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    while let Some(case) = self.next() {
                        self.run(&case);
                    }
                });
            }
        });
        self.failed.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Case> {
        lock(&self.queue).pop()
    }

    fn run(&self, case: &Case) {
        let start = Instant::now();
        // A thread of its own, so that a panic names the case.
        let passed = thread::scope(|scope| {
            let run = || match &case.run {
                Run::Alone(run) => run(),
                Run::On(On::Own(options), run) => explained(&Bed::start(options.clone()), *run),
                Run::On(On::Shared(hosts), run) => explained(&self.shared(*hosts), *run),
            };
            let thread = thread::Builder::new().name(case.name.to_owned()).spawn_scoped(scope, run);
            thread.expect("a thread starts").join().is_ok()
        });
        if let Run::On(On::Shared(hosts), _) = &case.run {
            self.leave(*hosts);
        }
        let verdict = if passed { "ok" } else { "FAILED" };
        say(&format!("test {} ... {verdict} <{:.1}s>", case.name, start.elapsed().as_secs_f64()));
        if !passed {
            lock(&self.failed).push(case.name.to_owned());
        }
        log_real_test(case.name, verdict);
    }

    fn shared(&self, hosts: usize) -> Arc<Bed> {
        let mut bed = lock(&self.beds[&hosts].bed);
        let start = || Arc::new(Bed::start(Options { hosts, ..Options::default() }));
        Arc::clone(bed.get_or_insert_with(start))
    }

    /// The last case of a shared bed tears it down.
    fn leave(&self, hosts: usize) {
        let slot = &self.beds[&hosts];
        let mut left = lock(&slot.cases_left);
        *left -= 1;
        if *left == 0 {
            *lock(&slot.bed) = None;
        }
    }
}

/// Runs a case; when it panics, prints what the Swarm looked like.
fn explained(bed: &Bed, run: fn(&Bed)) {
    struct OnPanic<'a>(&'a Bed);
    impl Drop for OnPanic<'_> {
        fn drop(&mut self) {
            if thread::panicking() {
                let name = thread::current().name().unwrap_or_default().to_owned();
                say(&format!("--- the Swarm when {name} failed:\n{}", self.0.diagnose()));
            }
        }
    }
    let _explain = OnPanic(bed);
    run(bed);
}

/// `./test` counts these lines: a run in which no real test ran is a failure there.
fn log_real_test(name: &str, verdict: &str) {
    let Some(path) = std::env::var_os("SKEP_REAL_TESTS_LOG") else { return };
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| writeln!(file, "{name} {verdict}")).expect("SKEP_REAL_TESTS_LOG can be written");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
