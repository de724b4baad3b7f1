//! Holds that end by themselves.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::controller::wakeups::Poke;
use crate::memory::{HoldMemory, Memory};

/// How late a hold may end: nobody sets an alarm by it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Takes holds away whose time is over, and has their customers looked at. Never ends.
pub async fn end_holds(memory: Arc<dyn Memory>, poke: Poke) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        for name in over(memory.as_ref(), Timestamp::now()) {
            let customer = name.split('/').next().unwrap_or_default().to_owned();
            let (store, key) = (Arc::clone(&memory), name.clone());
            let written = crate::blocking::run(move || store.put_hold(&key, HoldMemory::default())).await;
            if let Err(error) = written.and_then(|result| result) {
                // The planner goes by the time itself.
                tracing::warn!(name, %error, "cannot forget a hold whose time is over");
                continue;
            }
            poke.manual(Some(customer)).await;
        }
    }
}

fn over(memory: &dyn Memory, now: Timestamp) -> Vec<String> {
    let ended =
        |held: &HoldMemory| held.hold.as_ref().and_then(|hold| hold.until).is_some_and(|until| until <= now);
    memory.holds().into_iter().filter(|(_, held)| ended(held)).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Hold, InMemory};

    #[test]
    fn only_what_has_an_end_ends() {
        let memory = InMemory::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        for (name, until) in [("acme", None), ("acme/web", Some(at(10))), ("globex", Some(at(20)))] {
            let hold = Hold { reason: "freeze".into(), until, since: at(0) };
            memory.put_hold(name, HoldMemory { hold: Some(hold) }).unwrap();
        }
        assert!(over(&memory, at(9)).is_empty());
        assert_eq!(over(&memory, at(10)), ["acme/web"]);
        assert_eq!(over(&memory, at(30)), ["acme/web", "globex"]);
    }
}
