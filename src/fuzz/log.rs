//! The event log, from a live segment of any bytes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

use crate::events::{Filter, Kind, Log, NewEvent, Options, Reason, Trigger, open_intents, read};
use crate::files::no_sync::NoSync;

/// Lines that are damaged stay as they are, one that a crash left half written is cut off,
/// and the next event has a higher number than all that can be read.
pub fn event_log(data: &[u8]) {
    let dir = Scratch::new();
    let live = dir.0.join("events.jsonl");
    let tried = fs::write(&live, data).and_then(|()| check(&dir.0, &live, data));
    assert!(tried.is_ok(), "{tried:?}");
}

fn check(dir: &Path, live: &Path, data: &[u8]) -> io::Result<()> {
    let seqs =
        || read(dir, &Filter::default())?.map(|line| Ok(line?.head.seq)).collect::<io::Result<Vec<u64>>>();
    let before = seqs()?;
    let log = Log::on(Arc::new(NoSync), dir, Options::default())?;
    let kept = fs::read(live)?;
    let whole = data.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let stays = kept.strip_suffix(b"\n").filter(|kept| *kept == data).is_some() || data.starts_with(&kept);
    assert!(stays, "changed what was there");
    let cut = data.len().saturating_sub(kept.len());
    assert!(cut == 0 || kept.len() == whole || data[kept.len()..].contains(&0), "cut {cut} bytes");
    assert_eq!(seqs()?, before, "opening changes nothing that can be read");
    let event = log.append(
        NewEvent::new(Kind::Normal, Reason::ImageUpdated, Trigger::Spec, "next"),
        jiff::Timestamp::UNIX_EPOCH,
    )?;
    assert!(before.iter().all(|seq| *seq < event.seq), "{before:?}, then {}", event.seq);
    assert_eq!(seqs()?.last(), Some(&event.seq));
    let open = log.open_intents();
    drop(log);
    let again = Log::on(Arc::new(NoSync), dir, Options::default())?;
    assert_eq!(again.last_seq(), event.seq);
    assert_eq!(again.open_intents(), open);
    assert_eq!(open_intents(dir)?, open);
    Ok(())
}

/// A folder that is gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("skep-fuzz-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let made = fs::create_dir_all(&path);
        assert!(made.is_ok(), "{made:?}");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
