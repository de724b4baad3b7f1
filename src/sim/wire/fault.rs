//! What may go wrong with an exchange, as plain data that can be printed and read back.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

/// A fault of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The status is answered in the server's own words; the server never saw the request.
    ErrorBefore(u16),
    /// The server did what it was asked, and the status is answered.
    ErrorAfter(u16),
    /// Somebody else changes the object just before; only where the tap has a hook for it.
    Conflict,
    /// Somebody else changes the object (of a list: each one) just after; likewise.
    ConflictAfter,
    /// No answer ever; the server never saw the request.
    Hang,
    /// No answer ever; the server did what it was asked.
    HangAfter,
    /// The connection is closed before any answer; the server never saw the request.
    Reset,
    /// The connection is closed before any answer; the server did what it was asked.
    ResetAfter,
    /// The connection is closed when half the answer's body is sent.
    ResetMidBody,
    /// skep dies before the server sees the request.
    CrashBefore,
    /// skep dies when the server has done what it was asked.
    CrashAfter,
    /// A read is answered as the server answered it earlier, up to this long ago.
    Stale(Duration),
    /// The server sees the request this much later.
    Delay(Duration),
    /// Of a stream of events.
    Events(EventFault),
}

/// A fault of an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventFault {
    /// None comes, though the stream is open.
    Off,
    /// Every second one is lost.
    Drop,
    /// Each comes twice.
    Double,
    /// Neighbours change places.
    Reorder,
    /// After each one, those of the next second are lost, as by a listener that is too slow.
    Overflow,
    /// The stream ends after each one.
    Cut,
}

const EVENT_FAULTS: [(&str, EventFault); 6] = [
    ("events-off", EventFault::Off),
    ("events-drop", EventFault::Drop),
    ("events-double", EventFault::Double),
    ("events-reorder", EventFault::Reorder),
    ("events-overflow", EventFault::Overflow),
    ("events-cut", EventFault::Cut),
];

/// Those without a parameter.
const PLAIN_FAULTS: [(&str, Fault); 9] = [
    ("conflict", Fault::Conflict),
    ("conflict-after", Fault::ConflictAfter),
    ("hang", Fault::Hang),
    ("hang-after", Fault::HangAfter),
    ("reset", Fault::Reset),
    ("reset-after", Fault::ResetAfter),
    ("reset-mid-body", Fault::ResetMidBody),
    ("crash-before", Fault::CrashBefore),
    ("crash-after", Fault::CrashAfter),
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErrorBefore(status) => write!(f, "error-before={status}"),
            Self::ErrorAfter(status) => write!(f, "error-after={status}"),
            Self::Stale(age) => write!(f, "stale={}ms", age.as_millis()),
            Self::Delay(delay) => write!(f, "delay={}ms", delay.as_millis()),
            Self::Events(fault) => named(f, &EVENT_FAULTS, fault),
            plain => named(f, &PLAIN_FAULTS, plain),
        }
    }
}

fn named<T: PartialEq + fmt::Debug>(
    f: &mut fmt::Formatter<'_>,
    names: &[(&str, T)],
    fault: &T,
) -> fmt::Result {
    match names.iter().find(|(_, known)| known == fault) {
        Some((name, _)) => f.write_str(name),
        None => fmt::Debug::fmt(fault, f),
    }
}

impl FromStr for Fault {
    type Err = ParsePlanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParsePlanError(text.to_owned());
        let status = |value: &str| {
            let status = value.parse().map_err(|_| wrong())?;
            if (400..600).contains(&status) { Ok(status) } else { Err(wrong()) }
        };
        let duration = |value: &str| {
            let number = value.strip_suffix("ms").ok_or_else(wrong)?;
            number.parse().map(Duration::from_millis).map_err(|_| wrong())
        };
        match text.split_once('=') {
            Some(("error-before", value)) => status(value).map(Self::ErrorBefore),
            Some(("error-after", value)) => status(value).map(Self::ErrorAfter),
            Some(("stale", value)) => duration(value).map(Self::Stale),
            Some(("delay", value)) => duration(value).map(Self::Delay),
            _ => {
                let events = EVENT_FAULTS.map(|(name, fault)| (name, Self::Events(fault)));
                let mut known = PLAIN_FAULTS.into_iter().chain(events);
                known.find(|(name, _)| *name == text).map(|(_, fault)| fault).ok_or_else(wrong)
            }
        }
    }
}

/// A fault at some of the exchanges with one target. As text: `registry#12:reset-mid-body`,
/// `swarm#3..9:error-before=503`, `swarm#4..:events-off`, `swarm#*:stale=20000ms`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// `swarm` or `registry`.
    pub target: String,
    /// The numbers of the exchanges, counted from 0 by target.
    pub at: Range<usize>,
    pub fault: Fault,
}

impl Plan {
    /// At one exchange.
    pub fn new(target: &str, at: usize, fault: Fault) -> Self {
        Self { target: target.to_owned(), at: at..at.saturating_add(1), fault }
    }

    /// At each exchange.
    pub fn always(target: &str, fault: Fault) -> Self {
        Self { target: target.to_owned(), at: 0..usize::MAX, fault }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { target, at, fault } = self;
        match (at.start, at.end) {
            (0, usize::MAX) => write!(f, "{target}#*:{fault}"),
            (from, usize::MAX) => write!(f, "{target}#{from}..:{fault}"),
            (from, to) if to == from.saturating_add(1) => write!(f, "{target}#{from}:{fault}"),
            (from, to) => write!(f, "{target}#{from}..{to}:{fault}"),
        }
    }
}

/// Text that is no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fault plan: it looks like registry#12:reset-mid-body")]
pub struct ParsePlanError(String);

impl FromStr for Plan {
    type Err = ParsePlanError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParsePlanError(text.to_owned());
        let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        let (target, rest) = text.split_once('#').ok_or_else(wrong)?;
        let (place, fault) = rest.split_once(':').ok_or_else(wrong)?;
        let at = match place.split_once("..") {
            None if place == "*" => 0..usize::MAX,
            None => number(place).map(|at| at..at.saturating_add(1))?,
            Some((from, "")) => number(from)?..usize::MAX,
            Some((from, to)) => number(from)?..number(to)?,
        };
        if target.is_empty() || at.is_empty() {
            return Err(wrong());
        }
        Ok(Self { target: target.to_owned(), at, fault: fault.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read_back_as_they_are_printed() {
        for text in [
            "registry#12:reset-mid-body",
            "swarm#3..9:error-before=503",
            "swarm#0:error-after=500",
            "swarm#*:stale=20000ms",
            "swarm#4..:events-off",
            "swarm#1:delay=1500ms",
            "swarm#1:conflict",
            "swarm#1:conflict-after",
            "swarm#1:crash-before",
            "swarm#1:crash-after",
            "swarm#1:hang",
            "swarm#1:hang-after",
            "swarm#1:reset",
            "swarm#1:reset-after",
            "swarm#*:events-drop",
            "swarm#*:events-double",
            "swarm#*:events-reorder",
            "swarm#*:events-overflow",
            "swarm#*:events-cut",
        ] {
            let plan: Plan = text.parse().unwrap();
            assert_eq!(plan.to_string(), text);
        }
        assert_eq!("x#7:hang".parse(), Ok(Plan::new("x", 7, Fault::Hang)));
        assert_eq!("x#*:hang".parse(), Ok(Plan::always("x", Fault::Hang)));
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "swarm",
            "swarm#1",
            "swarm#:hang",
            "swarm#-1:hang",
            "swarm#5..5:hang",
            "#1:hang",
            "swarm#1:error-before",
            "swarm#1:error-before=200",
            "swarm#1:stale=20s",
            "swarm#1:nonsense",
        ] {
            assert!(text.parse::<Plan>().is_err(), "{text}");
        }
    }
}
