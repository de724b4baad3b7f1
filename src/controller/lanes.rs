//! Who may work now: customers whose last pass took long (a registry hangs, a call is never answered) keep only
//! some of the workers busy, so that they hold up nobody else.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// A pass makes a few calls of milliseconds. One that takes longer waits for something.
const SLOW: Duration = Duration::from_secs(5);

/// Of the slow customers: who they are, who of them is at work, who waits for a turn.
#[derive(Default)]
pub(super) struct Lanes {
    slow: BTreeSet<String>,
    working: BTreeSet<String>,
    waiting: VecDeque<String>,
}

impl Lanes {
    /// Whether the customer's pass may begin; else it waits until `next` names it. Of `workers`, slow ones
    /// have half.
    pub(super) fn admit(&mut self, customer: &str, workers: usize) -> bool {
        if !self.slow.contains(customer) {
            return true;
        }
        let admitted = self.working.len() < (workers / 2).max(1);
        match admitted {
            true => drop(self.working.insert(customer.to_owned())),
            false => self.waiting.push_back(customer.to_owned()),
        }
        admitted
    }

    /// The customer's pass is over.
    pub(super) fn ended(&mut self, customer: &str, took: Duration) {
        self.release(customer);
        match took < SLOW {
            true => self.slow.remove(customer),
            false => self.slow.insert(customer.to_owned()),
        };
    }

    /// The customer's pass broke off, or did not begin.
    pub(super) fn release(&mut self, customer: &str) {
        self.working.remove(customer);
    }

    /// A customer that waited and may be admitted now.
    pub(super) fn next(&mut self, workers: usize) -> Option<String> {
        let is_free = self.working.len() < (workers / 2).max(1);
        if is_free { self.waiting.pop_front() } else { None }
    }

    /// The customer is gone; if it waits, it finds that out.
    pub(super) fn forget(&mut self, customer: &str) {
        self.slow.remove(customer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUNG: Duration = Duration::from_secs(30);
    const QUICK: Duration = Duration::from_millis(20);

    #[test]
    fn who_was_slow_has_half_of_the_workers_and_the_others_all() {
        let mut lanes = Lanes::default();
        let admitted = |lanes: &mut Lanes, names: &[&str]| -> Vec<bool> {
            names.iter().map(|name| lanes.admit(name, 4)).collect()
        };
        assert_eq!(
            admitted(&mut lanes, &["a", "b", "c"]),
            [true, true, true],
            "nothing is known of them yet"
        );
        ["a", "b", "c"].iter().for_each(|name| lanes.ended(name, HUNG));
        assert_eq!(admitted(&mut lanes, &["a", "good", "b", "c", "other"]), [true, true, true, false, true]);
        assert_eq!(lanes.next(4), None);
        lanes.ended("a", HUNG);
        assert_eq!(lanes.next(4).as_deref(), Some("c"));
        assert!(lanes.admit("c", 4));
        // Who is quick again is like the others.
        lanes.ended("b", QUICK);
        assert_eq!(admitted(&mut lanes, &["b", "a"]), [true, true]);
        // A pass that broke off gives its place back.
        lanes.release("c");
        assert!(lanes.admit("c", 4) && !lanes.admit("c", 4));
        lanes.forget("c");
        assert!(lanes.admit("c", 4));
    }

    #[test]
    fn one_worker_serves_all() {
        let mut lanes = Lanes::default();
        lanes.ended("a", HUNG);
        lanes.ended("b", HUNG);
        assert!(lanes.admit("a", 1) && !lanes.admit("b", 1));
        lanes.ended("a", HUNG);
        assert_eq!(lanes.next(1).as_deref(), Some("b"));
    }
}
