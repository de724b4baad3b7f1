use super::*;
use crate::events::{Log, NewEvent, Options, Trigger};
use proptest::prelude::*;

fn time(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_700_000_000 + second).unwrap()
}

/// Twenty events of two customers over several segments, one a second.
fn log() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::open(dir.path(), Options { max_bytes: 700, keep: 100 }).unwrap();
    for i in 0..20 {
        let (kind, reason) = match i % 5 {
            0 => (Kind::Warning, Reason::RolloutFailed),
            1 => (Kind::Warning, Reason::TagMoved),
            _ => (Kind::Normal, Reason::ImageUpdated),
        };
        let event = NewEvent {
            customer: (i > 0).then(|| if i % 2 == 0 { "acme" } else { "globex" }.to_owned()),
            service: (i > 0).then(|| if i < 10 { "frontend" } else { "db" }.to_owned()),
            ..NewEvent::new(kind, reason, Trigger::Spec, "m")
        };
        log.append(event, time(i)).unwrap();
    }
    assert!(segments::older(dir.path()).unwrap().len() > 4);
    dir
}

fn seqs(dir: &Path, filter: &Filter) -> Vec<u64> {
    read(dir, filter).unwrap().map(|l| l.unwrap().head.seq).collect()
}

#[test]
fn filters_by_each_field_and_by_all() {
    let dir = log();
    let check = |filter: Filter, expect: &[u64]| assert_eq!(seqs(dir.path(), &filter), expect, "{filter:?}");
    let none = Filter::default();
    check(none.clone(), &(1..=20).collect::<Vec<_>>());
    check(Filter { last: Some(3), ..none.clone() }, &[18, 19, 20]);
    check(Filter { last: Some(0), ..none.clone() }, &[]);
    check(Filter { last: Some(1000), ..none.clone() }, &(1..=20).collect::<Vec<_>>());
    check(Filter { customer: Some("nobody".into()), ..none.clone() }, &[]);
    check(Filter { kind: Some(Kind::Warning), ..none.clone() }, &[1, 2, 6, 7, 11, 12, 16, 17]);
    check(Filter { kind: Some(Kind::Warning), last: Some(3), ..none.clone() }, &[12, 16, 17]);
    check(Filter { reasons: vec![Reason::TagMoved], ..none.clone() }, &[2, 7, 12, 17]);
    check(
        Filter { reasons: vec![Reason::TagMoved, Reason::RolloutFailed], last: Some(2), ..none.clone() },
        &[16, 17],
    );
    check(Filter { since: Some(time(17)), ..none.clone() }, &[18, 19, 20]);
    check(
        Filter {
            customer: Some("acme".into()),
            service: Some("db".into()),
            kind: Some(Kind::Normal),
            since: Some(time(12)),
            ..none
        },
        &[13, 15, 19],
    );
}

#[test]
fn gives_the_lines_as_they_are_on_disk() {
    let dir = log();
    let raw: String = read(dir.path(), &Filter::default()).unwrap().map(|l| l.unwrap().raw + "\n").collect();
    let mut paths: Vec<_> = segments::older(dir.path()).unwrap().into_iter().map(|o| o.path).collect();
    paths.push(dir.path().join(LIVE));
    let disk: String = paths.iter().map(|p| std::fs::read_to_string(p).unwrap()).collect();
    assert_eq!(raw, disk);
}

#[test]
fn reads_while_a_rotation_is_under_way() {
    let dir = log();
    let newest = dir.path().join("events-20.jsonl");
    std::fs::rename(dir.path().join(LIVE), &newest).unwrap();
    assert_eq!(seqs(dir.path(), &Filter::default()), (1..=20).collect::<Vec<u64>>());
    assert_eq!(seqs(dir.path(), &Filter { last: Some(5), ..Filter::default() }), [16, 17, 18, 19, 20]);
}

#[test]
fn no_log_is_an_empty_log() {
    let dir = tempfile::tempdir().unwrap();
    for last in [None, Some(2)] {
        assert_eq!(
            seqs(&dir.path().join("absent"), &Filter { last, ..Filter::default() }),
            Vec::<u64>::new()
        );
    }
}

#[test]
fn passes_over_damage() {
    let dir = log();
    let path = &segments::older(dir.path()).unwrap()[1].path;
    let text = std::fs::read_to_string(path).unwrap();
    let first = text.lines().next().unwrap();
    std::fs::write(path, format!("{first}\nnot json\n\n\u{0}\n{}", &text[first.len() + 1..])).unwrap();
    assert_eq!(seqs(dir.path(), &Filter::default()), (1..=20).collect::<Vec<u64>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn last_n_is_the_end_of_the_whole(n in 0usize..30, warning in any::<bool>(), from in 0i64..25) {
        let dir = log();
        let whole = Filter {
            kind: warning.then_some(Kind::Warning),
            since: Some(time(from)),
            ..Filter::default()
        };
        let all = seqs(dir.path(), &whole);
        let last = seqs(dir.path(), &Filter { last: Some(n), ..whole });
        prop_assert_eq!(&all[all.len().saturating_sub(n)..], last);
    }
}
