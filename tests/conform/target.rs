//! What a sequence runs on.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::bed::http::{Answer, Request, over_socket};
use crate::bed::{self, Bed, Image};
use crate::op::{Does, To};

/// A request without placeholders.
pub struct Ask<'a> {
    pub to: To,
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// A Swarm of the hosts `n0` (manager) and `n1`, and a registry.
pub trait Target {
    fn ask(&self, ask: Ask<'_>) -> Answer;
    /// Returns the digest.
    fn push(&self, repository: &str, tag: &str, says: &str, does: Does) -> String;
    fn delete_tag(&self, repository: &str, tag: &str);
    /// Lets time pass on the Swarm.
    fn pause(&self, time: Duration);
    /// The time of its events.
    fn now(&self) -> Timestamp;
    /// On its clock, since any moment.
    fn elapsed(&self) -> Duration;
}

/// A bed: dockerd and docker-registry.
pub struct Real<'a> {
    bed: &'a Bed,
    start: Instant,
}

impl<'a> Real<'a> {
    pub fn new(bed: &'a Bed) -> Self {
        Self { bed, start: Instant::now() }
    }
}

impl Target for Real<'_> {
    fn ask(&self, ask: Ask<'_>) -> Answer {
        let Ask { to, method, path, headers, body } = ask;
        match to {
            To::Engine => over_socket(&self.bed.node(0).socket(), Request { method, path, headers, body })
                .unwrap_or_else(|e| panic!("dockerd: {method} {path}: {e}")),
            To::Registry => self.bed.registry.ask(method, path, headers, body),
        }
    }

    fn push(&self, repository: &str, tag: &str, says: &str, does: Does) -> String {
        let does = match does {
            Does::Runs => bed::Does::Serve,
            Does::Fails => bed::Does::FailAtStart,
            Does::Crashes => bed::Does::CrashAfter(1),
            Does::Finishes => bed::Does::Finish,
            Does::Healthy => bed::Does::Healthy,
            Does::Unhealthy => bed::Does::Unhealthy,
        };
        self.bed.push(repository, tag, &Image::says(says).does(does)).digest
    }

    fn delete_tag(&self, repository: &str, tag: &str) {
        self.bed.delete_tag(repository, tag);
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn now(&self) -> Timestamp {
        // The daemons run on this machine's clock.
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
