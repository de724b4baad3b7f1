//! A disk that fills up, at every byte.

use super::*;
use crate::files::model::{Disk, Fault};

#[test]
fn full_disk_loses_nothing_acknowledged_and_is_left_behind_when_there_is_room() {
    let total = 3000;
    for space in (0..total).step_by(11) {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk::new(root.path(), Fault::None);
        let dir = root.path().join("events");
        let log = Log::on(disk.files(), &dir, Options { max_bytes: 700, keep: 100 }).unwrap();
        disk.fill(space);
        let mut acknowledged = Vec::new();
        let mut refused = 0;
        for i in 0..16 {
            match log.append(new(&format!("event {i}")), now()) {
                Ok(event) => acknowledged.push(event.message),
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::StorageFull, "{error}");
                    assert!(error.to_string().contains("events.jsonl"), "{error}");
                    refused += 1;
                }
            }
            assert_eq!(messages(&dir), acknowledged, "{space} bytes, event {i}");
        }
        assert!(refused > 0, "{space} bytes were enough");
        disk.mend();
        acknowledged.push(log.append(new("room again"), now()).unwrap().message);
        assert_eq!(messages(&dir), acknowledged, "{space} bytes");
        assert_eq!(seqs(&dir), (1..=acknowledged.len() as u64).collect::<Vec<_>>(), "{space} bytes");
    }
}

#[test]
fn log_does_not_open_on_a_full_disk_and_does_when_there_is_room() {
    let root = tempfile::tempdir().unwrap();
    let disk = Disk::new(root.path(), Fault::None);
    disk.fill(0);
    let dir = root.path().join("events");
    assert!(Log::on(disk.files(), &dir, small()).is_err());
    disk.mend();
    assert_eq!(Log::on(disk.files(), &dir, small()).unwrap().last_seq(), 0);
}
