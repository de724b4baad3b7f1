//! How people say since when.

use std::str::FromStr;

/// A moment, perhaps told from now backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Ago(std::time::Duration),
    At(jiff::Timestamp),
}

impl Since {
    pub fn resolve(self, now: jiff::Timestamp) -> jiff::Timestamp {
        match self {
            // Before the beginning of time there are no events either.
            Self::Ago(duration) => now.checked_sub(duration).unwrap_or(jiff::Timestamp::MIN),
            Self::At(time) => time,
        }
    }
}

impl FromStr for Since {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(duration) = humantime::parse_duration(text) {
            return Ok(Self::Ago(duration));
        }
        if let Ok(time) = text.parse() {
            return Ok(Self::At(time));
        }
        let date = text.parse::<jiff::civil::Date>().ok();
        let midnight = date.and_then(|d| d.to_zoned(jiff::tz::TimeZone::UTC).ok());
        midnight.map(|z| Self::At(z.timestamp())).ok_or_else(|| {
            "write a duration such as 10m, a time such as 2026-11-23T08:00:00Z, or a date (UTC)".into()
        })
    }
}
