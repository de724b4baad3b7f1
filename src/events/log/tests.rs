mod crash;
mod damage;
mod full;

use std::fs;
use std::path::PathBuf;

use super::*;
use crate::events::{Filter, Kind, Phase, Reason, Trigger, read};

fn now() -> jiff::Timestamp {
    "2026-11-23T00:32:24.367912Z".parse().unwrap()
}

fn new(message: &str) -> NewEvent {
    NewEvent {
        customer: Some("acme".into()),
        service: Some("frontend".into()),
        ..NewEvent::new(Kind::Normal, Reason::ImageUpdated, Trigger::Registry, message)
    }
}

fn with_phase(id: &str, phase: Phase) -> NewEvent {
    NewEvent { id: Some(id.into()), phase: Some(phase), ..new(id) }
}

fn small() -> Options {
    Options { max_bytes: 1000, keep: 3 }
}

fn messages(dir: &Path) -> Vec<String> {
    read(dir, &Filter::default()).unwrap().map(|l| l.unwrap().head.message).collect()
}

fn seqs(dir: &Path) -> Vec<u64> {
    read(dir, &Filter::default()).unwrap().map(|l| l.unwrap().head.seq).collect()
}

fn live(dir: &Path) -> PathBuf {
    dir.join("events.jsonl")
}

#[test]
fn writes_the_lines_of_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(&dir.path().join("state/events"), Options::default()).unwrap();
    let event = NewEvent {
        id: Some("0190".into()),
        to: Some(crate::events::EventImage {
            tag: Some("1.10.0".into()),
            version: Some("1.10.0".into()),
            digest: None,
        }),
        ..new("frontend 1.2.3\n-> 1.10.0\u{1b}")
    };
    log.append(event, now()).unwrap();
    let text = fs::read_to_string(live(&dir.path().join("state/events"))).unwrap();
    assert_eq!(
        text,
        concat!(
            r#"{"id":"0190","seq":1,"time":"2026-11-23T00:32:24.367Z","type":"Normal","reason":"ImageUpdated","#,
            r#""customer":"acme","service":"frontend","message":"frontend 1.2.3 -> 1.10.0�","#,
            r#""to":{"tag":"1.10.0","version":"1.10.0","digest":null},"trigger":"registry","revision":null}"#,
            "\n"
        )
    );
}

#[test]
fn ids_are_uuids_that_sort_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options::default()).unwrap();
    let first = log.append(new("a"), now()).unwrap();
    let second = log.append(new("b"), now() + jiff::SignedDuration::from_millis(1)).unwrap();
    assert_eq!(uuid::Uuid::parse_str(&first.id).unwrap().get_version_num(), 7);
    assert!(first.id < second.id);
    // A clock before 1970 is no reason to fail.
    log.append(new("c"), jiff::Timestamp::MIN).unwrap();
}

#[test]
fn numbers_go_on_after_reopening_and_rotation() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..10 {
        let log = Log::open(dir.path(), Options { keep: 100, ..small() }).unwrap();
        assert_eq!(log.last_seq(), round * 5);
        for _ in 0..5 {
            log.append(new("x"), now()).unwrap();
        }
    }
    assert_eq!(seqs(dir.path()), (1..=50).collect::<Vec<u64>>());
    assert!(fs::metadata(live(dir.path())).unwrap().len() <= small().max_bytes);
    assert!(crate::events::segments::older(dir.path()).unwrap().len() > 5);
}

#[test]
fn keeps_only_so_many_segments() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), small()).unwrap();
    for _ in 0..100 {
        log.append(new("x"), now()).unwrap();
    }
    let older = crate::events::segments::older(dir.path()).unwrap();
    assert_eq!(older.len(), 3);
    let seqs = seqs(dir.path());
    assert_eq!(seqs, (older[0].first_seq..=100).collect::<Vec<u64>>());
}

#[test]
fn cut_at_every_byte_loses_only_the_torn_line() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options::default()).unwrap();
    for message in ["one", "two \"quoted\"", "three ü"] {
        log.append(new(message), now()).unwrap();
    }
    drop(log);
    let whole = fs::read(live(dir.path())).unwrap();
    for length in 0..=whole.len() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(live(dir.path()), &whole[..length]).unwrap();
        let complete = whole[..length].iter().filter(|b| **b == b'\n').count() as u64;
        assert_eq!(seqs(dir.path()), (1..=complete).collect::<Vec<u64>>(), "reading, cut at {length}");
        let log = Log::open(dir.path(), Options::default()).unwrap();
        let next = log.append(new("next"), now()).unwrap();
        assert_eq!(next.seq, complete + 1, "cut at {length}");
        assert_eq!(seqs(dir.path()), (1..=complete + 1).collect::<Vec<u64>>(), "cut at {length}");
    }
}

#[test]
fn only_a_bad_end_is_cut() {
    let good = |seq: u64| {
        format!(
            r#"{{"id":"i","seq":{seq},"time":"2026-11-23T00:32:24Z","type":"Normal","reason":"NotOwned","customer":null,"service":null,"message":"m","trigger":"spec","revision":null}}"#
        )
    };
    let newer = good(2).replace("NotOwned", "InventedLater");
    let check = |text: String, expect: &str, next: u64| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(live(dir.path()), &text).unwrap();
        let log = Log::open(dir.path(), Options::default()).unwrap();
        assert_eq!(fs::read_to_string(live(dir.path())).unwrap(), expect);
        assert_eq!(log.append(new("x"), now()).unwrap().seq, next);
    };
    let (one, three) = (good(1), good(3));
    let rubbish = "{\"id\":\0\0\0";
    // No newline, or no event at the very end.
    check(format!("{one}\n{three}"), &format!("{one}\n"), 2);
    check(format!("{one}\n{rubbish}\n"), &format!("{one}\n"), 2);
    // Other damage to the last line than zeros is nothing that a crash leaves: it stays.
    check(
        format!("{one}\n{}\n", good(2).replace('"', "#")),
        &format!("{one}\n{}\n", good(2).replace('"', "#")),
        3,
    );
    check(format!("{one}\n{}!", good(2)), &format!("{one}\n{}!\n", good(2)), 3);
    check("\0".repeat(100_000), "", 1);
    // Both: only what was never finished goes.
    check(format!("{one}\n{rubbish}\n{rubbish}"), &format!("{one}\n{rubbish}\n"), 3);
    // Damage in the middle stays, and so does what a newer skep wrote.
    check(format!("{one}\n{rubbish}\n{three}\n"), &format!("{one}\n{rubbish}\n{three}\n"), 4);
    // What a reader takes for a line is one for the writer.
    let twice = good(2).replace("\"message\"", "\"seq\":7,\"message\"");
    check(format!("{one}\n{twice}\n"), &format!("{one}\n{twice}\n"), 8);
    check(format!("{one}\n{newer}\n"), &format!("{one}\n{newer}\n"), 3);
}

#[test]
fn interrupted_rotation_is_finished() {
    let write = |dir: &Path, name: &str, range: std::ops::RangeInclusive<u64>| {
        let scratch = tempfile::tempdir().unwrap();
        let log = Log::open(scratch.path(), Options::default()).unwrap();
        for _ in 1..=*range.end() {
            log.append(new("x"), now()).unwrap();
        }
        let text = fs::read_to_string(live(scratch.path())).unwrap();
        let skip = usize::try_from(range.start() - 1).unwrap();
        let lines: String = text.split_inclusive('\n').skip(skip).collect();
        fs::write(dir.join(name), lines).unwrap();
    };
    let check = |name: &str, make: &dyn Fn(&Path), first: u64| {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let log = Log::open(dir.path(), Options { max_bytes: 1 << 20, keep: 2 }).unwrap();
        log.append(new("next"), now()).unwrap();
        assert_eq!(seqs(dir.path()), (first..=10).collect::<Vec<u64>>(), "{name}");
        assert!(live(dir.path()).exists(), "{name}");
        assert!(crate::events::segments::older(dir.path()).unwrap().len() <= 2, "{name}");
    };
    check("before the rename", &|d| write(d, "events.jsonl", 1..=9), 1);
    check("renamed, nothing created", &|d| write(d, "events-1.jsonl", 1..=9), 1);
    check(
        "created, not written",
        &|d| {
            write(d, "events-1.jsonl", 1..=9);
            fs::write(live(d), "").unwrap();
        },
        1,
    );
    check(
        "too many left",
        &|d| {
            write(d, "events-1.jsonl", 1..=3);
            write(d, "events-4.jsonl", 4..=5);
            write(d, "events-6.jsonl", 6..=8);
            write(d, "events.jsonl", 9..=9);
        },
        4,
    );
    check(
        "torn after rotation",
        &|d| {
            write(d, "events-1.jsonl", 1..=9);
            fs::write(live(d), "{\"id\"").unwrap();
        },
        1,
    );
}

#[test]
fn name_that_is_taken_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options { max_bytes: 1, keep: 10 }).unwrap();
    log.append(new("a"), now()).unwrap();
    fs::write(dir.path().join("events-1.jsonl"), "kept\n").unwrap();
    log.append(new("b"), now()).unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("events-1.jsonl")).unwrap(), "kept\n");
    assert_eq!(messages(dir.path()), ["a", "b"]);
}

#[test]
fn live_log_that_somebody_removed_is_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options::default()).unwrap();
    log.append(new("lost"), now()).unwrap();
    fs::remove_file(live(dir.path())).unwrap();
    log.append(new("kept"), now()).unwrap();
    assert_eq!(messages(dir.path()), ["kept"]);
    assert_eq!(seqs(dir.path()), [2]);
}

#[test]
fn open_intents_are_found_in_all_segments() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options { max_bytes: 500, keep: 10 }).unwrap();
    for (id, phase) in [("a", Phase::Intent), ("b", Phase::Intent), ("c", Phase::Intent), ("b", Phase::Done)]
    {
        log.append(with_phase(id, phase), now()).unwrap();
        log.append(new(r#"faked "phase":"intent""#), now()).unwrap();
    }
    log.append(with_phase("c", Phase::Failed), now()).unwrap();
    log.append(with_phase("d", Phase::Intent), now()).unwrap();
    let ids = |events: Vec<Event>| events.into_iter().map(|e| e.id).collect::<Vec<_>>();
    assert_eq!(ids(log.open_intents()), ["a", "d"]);
    assert_eq!(ids(open_intents(dir.path()).unwrap()), ["a", "d"]);
    drop(log);
    let log = Log::open(dir.path(), small()).unwrap();
    assert_eq!(ids(log.open_intents()), ["a", "d"]);
    log.append(with_phase("a", Phase::Done), now()).unwrap();
    assert_eq!(ids(log.open_intents()), ["d"]);
    assert_eq!(open_intents(&dir.path().join("absent")).unwrap(), []);
}

#[test]
fn event_that_is_too_long_takes_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options::default()).unwrap();
    let long = NewEvent { target: Some("x".repeat(100_000)), ..new("long") };
    let error = log.append_many(vec![new("with it"), long], now()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(log.append(new(&"\"".repeat(100_000)), now()).unwrap().seq, 1);
    assert_eq!(messages(dir.path())[0].len(), crate::events::text::MESSAGE_BYTES_MAX);
    assert_eq!(log.append_many(vec![], now()).unwrap(), []);
}

#[test]
fn concurrent_appends_are_all_there_once() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options { max_bytes: 5000, keep: 1000 }).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || {
                for i in 0..50 {
                    let text = format!("{thread}/{i}");
                    let written = log.append_many(vec![new(&text), new(&text)], now()).unwrap();
                    assert_eq!(written[1].seq, written[0].seq + 1);
                    assert_eq!(written[0].message, text);
                }
            });
        }
    });
    assert_eq!(seqs(dir.path()), (1..=800).collect::<Vec<u64>>());
    let mut messages = messages(dir.path());
    messages.dedup();
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), 400);
}

#[tokio::test]
async fn records_from_async_code() {
    let dir = tempfile::tempdir().unwrap();
    let log = Arc::new(Log::open(dir.path(), Options::default()).unwrap());
    let tasks = (0..20).map(|i| {
        let log = Arc::clone(&log);
        async move { log.record(vec![new(&i.to_string())], now()).await.unwrap()[0].seq }
    });
    let mut seqs = futures::future::join_all(tasks).await;
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=20).collect::<Vec<u64>>());
}

/// Set in the process that is to be killed.
const VICTIM: &str = "SKEP_TEST_LOG_VICTIM";

/// Not a test by itself: appends for ever and tells what was acknowledged, when
/// `kill_9_loses_nothing_acknowledged` runs it in a process of its own.
#[test]
fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let state = crate::state_dir::StateDir::open(Path::new(&dir)).unwrap();
    let _lock = state.lock().unwrap();
    let log = Log::open(&state.events(), Options { max_bytes: 2000, keep: 1000 }).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let event = log.append(new("x"), now()).unwrap();
                    println!("seq {} id {}", event.seq, event.id);
                }
            });
        }
    });
}

#[test]
fn kill_9_loses_nothing_acknowledged() {
    use std::io::BufRead;
    let dir = tempfile::tempdir().unwrap();
    let state = crate::state_dir::StateDir::open(dir.path()).unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..5 {
        let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "events::log::tests::victim", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = io::BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut told = Vec::new();
        while told.len() < 30 + round * 7 {
            let line = lines.next().expect("the victim goes on").unwrap();
            told.extend(line.split_once("seq ").map(|(_, told)| told.to_owned()));
        }
        assert!(state.lock().is_err(), "the victim holds the lock");
        victim.kill().unwrap();
        victim.wait().unwrap();
        // What it told while it was being killed counts as well.
        told.extend(lines.map_while(Result::ok).filter_map(|l| Some(l.split_once("seq ")?.1.to_owned())));
        acknowledged.extend(told.into_iter().filter(|t| t.len() > "1 id ".len() + 35));
        let _lock = state.lock().expect("death releases the lock");
        Log::open(&state.events(), Options { max_bytes: 2000, keep: 1000 }).unwrap();
    }
    let found: Vec<String> = read(&state.events(), &Filter::default())
        .unwrap()
        .map(|l| l.unwrap().event.unwrap())
        .map(|e| format!("{} id {}", e.seq, e.id))
        .collect();
    for told in &acknowledged {
        assert!(found.contains(told), "{told} was acknowledged and is gone");
    }
    assert_eq!(seqs(&state.events()), (1..=found.len() as u64).collect::<Vec<u64>>());
}
