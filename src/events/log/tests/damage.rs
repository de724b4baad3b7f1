//! Bits that flip on the disk, anywhere. Each line has no checksum, so a flip within a text
//! goes unseen; but it never costs another line, and never stops the log.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::files::no_sync::NoSync;

/// A log over several segments with intents and outcomes, and its lines by number.
fn healthy(events: usize, options: Options) -> (tempfile::TempDir, BTreeMap<u64, String>) {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::on(Arc::new(NoSync), dir.path(), options).unwrap();
    for i in 0..events {
        let id = format!("change {}", i / 2);
        let event = match i % 6 {
            0 => with_phase(&id, Phase::Intent),
            1 => with_phase(&id, Phase::Done),
            _ => new(&format!("event {i} *J\u{0}ü")),
        };
        log.append(event, now()).unwrap();
    }
    let lines = read(dir.path(), &Filter::default()).unwrap().map(|l| l.unwrap());
    let lines = lines.map(|line| (line.head.seq, line.raw)).collect();
    (dir, lines)
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries.map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap())).collect()
}

fn put(files: &BTreeMap<String, Vec<u8>>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, content)| fs::write(dir.path().join(name), content).unwrap());
    dir
}

/// Opens, appends and reads a damaged log; all lines but `spoilt` ones are there as they were
/// written, and nothing was cut. `flips` lines may have changed, or been split or joined.
fn check(damaged: &BTreeMap<String, Vec<u8>>, lines: &BTreeMap<u64, String>, flips: usize, when: &str) {
    let dir = put(damaged);
    // Readers first: they see the same before and after.
    let before: Vec<String> = read(dir.path(), &Filter::default()).unwrap().map(|l| l.unwrap().raw).collect();
    let log =
        Log::on(Arc::new(NoSync), dir.path(), small_and_all()).unwrap_or_else(|e| panic!("{when}: {e}"));
    for (name, content) in files(dir.path()) {
        let was = &damaged[&name];
        assert!(content.starts_with(was), "{when}: {name} was cut");
        assert!(content.len() <= was.len() + 1, "{when}: {name} grew");
    }
    let next = log.append(new("next"), now()).unwrap();
    let mut after: Vec<String> =
        read(dir.path(), &Filter::default()).unwrap().map(|l| l.unwrap().raw).collect();
    assert!(after.pop().is_some_and(|line| line.contains(r#""message":"next""#)), "{when}");
    assert_eq!(after, before, "{when}: opening changed what can be read");
    let kept = lines.values().filter(|line| after.contains(line)).count();
    // A newline that is gone joins two lines.
    assert!(kept + 2 * flips >= lines.len(), "{when}: {kept} of {} left", lines.len());
    // No line comes from nothing: what is read is what was written, but for the flips.
    let strange = after.iter().filter(|line| !lines.values().any(|known| known == *line)).count();
    assert!(strange <= flips && after.len() <= lines.len(), "{when}: {strange} lines that nobody wrote");
    // A flipped digit in an older segment may make any number; what was written counts, and
    // all of the only segment.
    let counts = |line: &&String| damaged.len() == 1 || lines.values().any(|known| known == *line);
    let highest = after
        .iter()
        .filter(counts)
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64());
    assert!(next.seq > highest.max().unwrap_or(0), "{when}");
    let _ = open_intents(dir.path()).unwrap_or_else(|e| panic!("{when}: {e}"));
}

fn small_and_all() -> Options {
    Options { max_bytes: 1 << 20, keep: 1000 }
}

#[test]
fn every_byte_of_a_small_log() {
    let (dir, lines) = healthy(3, small_and_all());
    let whole = files(dir.path());
    assert_eq!(whole.len(), 1);
    let bytes = &whole["events.jsonl"];
    for at in 0..bytes.len() {
        for bits in [0x01, 0x40, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= bits;
            // Zeros at the very end are what a crash leaves: see `only_a_bad_end_is_cut`.
            let last_line = at > bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap();
            if damaged[at] == 0 && last_line {
                continue;
            }
            let when = format!("byte {at}, bits {bits:#x}");
            check(&BTreeMap::from([("events.jsonl".to_owned(), damaged)]), &lines, 1, &when);
        }
    }
}

#[test]
fn every_byte_of_several_segments() {
    let (dir, lines) = healthy(5, Options { max_bytes: 500, keep: 100 });
    let whole = files(dir.path());
    assert!(whole.len() > 2);
    for (name, bytes) in &whole {
        for at in 0..bytes.len() {
            let mut damaged = whole.clone();
            damaged.get_mut(name).unwrap()[at] ^= 0x41;
            check(&damaged, &lines, 1, &format!("{name}, byte {at}"));
        }
    }
}

proptest! {
    // proptest prints what failed and keeps it in `proptest-regressions`.
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn flips_anywhere_in_a_larger_log(
        flips in prop::collection::vec((any::<Index>(), any::<Index>(), 1u8..=255), 1..12)
    ) {
        let (dir, lines) = healthy(60, Options { max_bytes: 4000, keep: 100 });
        let mut damaged = files(dir.path());
        let names: Vec<String> = damaged.keys().cloned().collect();
        for (name, at, mask) in &flips {
            let bytes = damaged.get_mut(name.get(&names)).unwrap();
            let at = at.index(bytes.len());
            // As above.
            if bytes[at] != *mask {
                bytes[at] ^= mask;
            }
        }
        // Several flips together may look like a torn tail; then it is one line that goes.
        let live = damaged.get_mut("events.jsonl").unwrap();
        if live.last() != Some(&b'\n') {
            *live.last_mut().unwrap() = b'\n';
        }
        check(&damaged, &lines, flips.len(), &format!("{flips:?}"));
    }
}
