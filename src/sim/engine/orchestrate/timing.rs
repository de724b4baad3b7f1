//! How long things take.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// How long the parts of a Swarm take for what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From a new task to a pending one.
    pub allocate: Duration,
    /// The scheduler gathers tasks this long before it places them.
    pub schedule: Duration,
    /// Until a node has what it was told, or the managers have what it reports.
    pub report: Duration,
    /// Pulling an image, or finding that it cannot be had.
    pub pull: Duration,
    /// From a created container to a running one.
    pub start: Duration,
    /// From the request to stop to a stopped container.
    pub stop: Duration,
    /// Until failing health checks end a container.
    pub unhealthy: Duration,
    /// Old tasks are gathered this long before they are removed.
    pub reap: Duration,
    /// A node that is not heard of so long is down.
    pub heartbeat: Duration,
    /// A node that is down so long has lost its tasks for good.
    pub orphan: Duration,
    /// A task that replaces another waits so long for it to stop.
    pub old_task: Duration,
    /// Finished tasks kept for a slot.
    pub history: usize,
}

impl Timing {
    /// As measured on Docker 20.10.24 with small images.
    pub fn real() -> Self {
        Timing {
            allocate: Duration::from_millis(15),
            schedule: Duration::from_millis(50),
            report: Duration::from_millis(60),
            pull: Duration::from_millis(60),
            start: Duration::from_millis(400),
            stop: Duration::from_millis(1_300),
            unhealthy: Duration::from_millis(1_300),
            reap: Duration::from_millis(250),
            heartbeat: Duration::from_secs(13),
            orphan: Duration::from_secs(24 * 60 * 60),
            old_task: Duration::from_secs(60),
            history: 5,
        }
    }

    /// The same order of things, quicker.
    pub fn fast() -> Self {
        Timing {
            allocate: Duration::from_millis(1),
            schedule: Duration::from_millis(2),
            report: Duration::from_millis(1),
            pull: Duration::from_millis(3),
            start: Duration::from_millis(5),
            stop: Duration::from_millis(10),
            unhealthy: Duration::from_millis(50),
            reap: Duration::from_millis(10),
            heartbeat: Duration::from_millis(500),
            ..Timing::real()
        }
    }
}

/// `start + pause`, or the last time there is.
pub fn after(start: Timestamp, pause: Duration) -> Timestamp {
    let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
    start.checked_add(pause).unwrap_or(Timestamp::MAX)
}
