use std::fs::OpenOptions;
use std::io::Write;

use super::*;
use crate::events::{Kind, Log, NewEvent, Options, Reason, Trigger};

fn new(message: &str) -> NewEvent {
    NewEvent::new(Kind::Normal, Reason::ControllerStarted, Trigger::Startup, message)
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_700_000_000).unwrap()
}

async fn next_seq(follow: &mut Follow) -> u64 {
    tokio::time::timeout(Duration::from_secs(60), follow.next()).await.expect("a line").unwrap().head.seq
}

#[tokio::test]
async fn sees_every_line_once_while_the_writer_rotates() {
    const COUNT: u64 = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let writer = std::thread::spawn(move || {
        // So small that a segment holds about a dozen lines. Nothing is removed, so that a slow
        // reader misses nothing.
        let log = Log::open(&path, Options { max_bytes: 2500, keep: usize::MAX }).unwrap();
        let mut left = COUNT;
        while left > 0 {
            let batch = (left % 3 + 1).min(left);
            log.append_many((0..batch).map(|_| new("x")).collect(), now()).unwrap();
            left -= batch;
        }
    });
    let mut follow = Follow::new(dir.path(), Filter::default()).unwrap();
    for expect in 1..=COUNT {
        assert_eq!(next_seq(&mut follow).await, expect);
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn begins_with_the_last_ones_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options { max_bytes: 500, keep: 9 }).unwrap();
    log.append_many((0..7).map(|_| new("x")).collect(), now()).unwrap();
    let mut follow = Follow::new(dir.path(), Filter { last: Some(2), ..Filter::default() }).unwrap();
    log.append_many((0..3).map(|_| new("y")).collect(), now()).unwrap();
    for expect in 6..=10 {
        assert_eq!(next_seq(&mut follow).await, expect);
    }
}

#[tokio::test(start_paused = true)]
async fn waits_for_a_log_and_for_the_end_of_a_half_written_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut follow = Follow::new(dir.path(), Filter::default()).unwrap();
    let waits = async |follow: &mut Follow| {
        assert!(tokio::time::timeout(Duration::from_secs(2), follow.next()).await.is_err());
    };
    waits(&mut follow).await;
    let log = Log::open(dir.path(), Options::default()).unwrap();
    log.append(new("one"), now()).unwrap();
    assert_eq!(next_seq(&mut follow).await, 1);
    let path = dir.path().join("events.jsonl");
    let line = std::fs::read(&path).unwrap();
    let line = String::from_utf8(line).unwrap().replace("\"seq\":1", "\"seq\":2");
    let mut file = OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(&line.as_bytes()[..50]).unwrap();
    waits(&mut follow).await;
    file.write_all(&line.as_bytes()[50..]).unwrap();
    assert_eq!(next_seq(&mut follow).await, 2);
    // A torn line that a restarted writer cuts off, and writes another in its place.
    file.write_all(&line.as_bytes()[..50]).unwrap();
    waits(&mut follow).await;
    drop(log);
    let log = Log::open(dir.path(), Options::default()).unwrap();
    log.append(new("three"), now()).unwrap();
    assert_eq!(next_seq(&mut follow).await, 3);
}

#[tokio::test(start_paused = true)]
async fn goes_on_when_what_it_reads_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options { max_bytes: 800, keep: 1 }).unwrap();
    log.append(new("x"), now()).unwrap();
    let mut follow = Follow::new(dir.path(), Filter::default()).unwrap();
    assert_eq!(next_seq(&mut follow).await, 1);
    for _ in 0..20 {
        log.append(new("x"), now()).unwrap();
    }
    let kept = crate::events::read(dir.path(), &Filter::default()).unwrap().next().unwrap().unwrap().head.seq;
    // The rest of the segment that it holds open, then what is left.
    let mut seqs = Vec::new();
    while seqs.last() != Some(&21) {
        seqs.push(next_seq(&mut follow).await);
    }
    assert!(kept > 3);
    assert!(seqs.is_sorted() && seqs.contains(&kept) && seqs[0] == 2, "{seqs:?}");
    // All gone, and begun anew from 1.
    drop(log);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert!(tokio::time::timeout(Duration::from_secs(2), follow.next()).await.is_err());
    let log = Log::open(dir.path(), Options::default()).unwrap();
    log.append(new("anew"), now()).unwrap();
    assert_eq!(next_seq(&mut follow).await, 1);
}
