//! How much of a registry's allowance is left, as its answers say: Docker Hub's
//! `ratelimit-limit: 100;w=21600`, GitLab's and GitHub's `RateLimit-Reset`.

use std::time::Duration;

use http::HeaderMap;
use jiff::Timestamp;

/// What a registry says of our allowance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests allowed in a window.
    pub limit: u64,
    pub remaining: u64,
    /// Until the allowance is whole again.
    pub window: Duration,
}

/// The window of a registry that names none.
const WINDOW_DEFAULT: Duration = Duration::from_secs(3600);
/// No window is longer than Docker Hub's six hours by much.
const WINDOW_MAX: Duration = Duration::from_secs(24 * 3600);
/// A `reset` above this is a time, not a number of seconds.
const RESET_IS_A_TIME: u64 = 1_000_000_000;
/// The longest that polling is put off: allowances come back in other ways than headers say.
const PUT_OFF_MAX: Duration = Duration::from_secs(3600);
/// This part of the allowance (one in so many) is left to deploys and to the nodes' pulls.
const RESERVE: u64 = 5;

impl RateLimit {
    /// Reads an answer's headers; `None` when they do not say both numbers.
    pub(super) fn read(headers: &HeaderMap, now: Timestamp) -> Option<Self> {
        let text = |name: &str| {
            let plain = headers.get(format!("ratelimit-{name}"));
            plain.or_else(|| headers.get(format!("x-ratelimit-{name}")))?.to_str().ok()
        };
        let number = |text: &str| text.split([';', ',']).next()?.trim().parse::<u64>().ok();
        let (limit_text, remaining) = (text("limit")?, number(text("remaining")?)?);
        let limit = number(limit_text)?;
        let stated = limit_text.split(';').find_map(|part| part.trim().strip_prefix("w=")?.parse().ok());
        let reset = || {
            let reset = number(text("reset")?)?;
            let now = u64::try_from(now.as_second()).unwrap_or_default();
            Some(if reset > RESET_IS_A_TIME { reset.saturating_sub(now) } else { reset })
        };
        let window = stated.or_else(reset).map_or(WINDOW_DEFAULT, Duration::from_secs).min(WINDOW_MAX);
        (limit > 0).then_some(Self { limit, remaining: remaining.min(limit), window })
    }

    /// How long to wait between two polls that cost `requests`, where `interval` is wanted: while
    /// half of the allowance is left, just that; then so that what is left lasts for the window,
    /// with a reserve.
    pub fn spacing(&self, interval: Duration, requests: u64) -> Duration {
        if self.remaining >= self.limit.div_ceil(2) {
            return interval;
        }
        let spare = self.remaining.saturating_sub(self.limit / RESERVE);
        let lasting = if spare == 0 {
            self.window
        } else {
            let rounds = f64::from(u32::try_from(spare).unwrap_or(u32::MAX))
                / f64::from(u32::try_from(requests.max(1)).unwrap_or(u32::MAX));
            self.window.div_f64(rounds.max(1.0))
        };
        interval.max(lasting.min(PUT_OFF_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;
    use rstest::rstest;

    const NOW: &str = "2026-11-23T10:00:00Z";

    fn read(headers: &[(&'static str, &str)]) -> Option<RateLimit> {
        let pairs = headers.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        RateLimit::read(&pairs.collect(), NOW.parse().unwrap())
    }

    #[rstest]
    #[case::docker_hub(&[("ratelimit-limit", "100;w=21600"), ("ratelimit-remaining", "76;w=21600")], Some((100, 76, 21600)))]
    #[case::gitlab(&[("ratelimit-limit", "60"), ("ratelimit-remaining", "5"), ("ratelimit-reset", "1795428060")], Some((60, 5, 60)))]
    #[case::seconds(&[("x-ratelimit-limit", "60"), ("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "30")], Some((60, 5, 30)))]
    #[case::no_window(&[("ratelimit-limit", "60"), ("ratelimit-remaining", "5")], Some((60, 5, 3600)))]
    #[case::long_window(&[("ratelimit-limit", "60;w=99999999999"), ("ratelimit-remaining", "5")], Some((60, 5, 86400)))]
    #[case::past(&[("ratelimit-limit", "60"), ("ratelimit-remaining", "5"), ("ratelimit-reset", "1595428060")], Some((60, 5, 0)))]
    #[case::more_than_all(&[("ratelimit-limit", "60"), ("ratelimit-remaining", "99")], Some((60, 60, 3600)))]
    #[case::half(&[("ratelimit-limit", "60")], None)]
    #[case::nothing_allowed(&[("ratelimit-limit", "0"), ("ratelimit-remaining", "0")], None)]
    #[case::negative(&[("ratelimit-limit", "60"), ("ratelimit-remaining", "-1")], None)]
    #[case::text(&[("ratelimit-limit", "many"), ("ratelimit-remaining", "zwölf")], None)]
    fn headers_are_read(#[case] headers: &[(&'static str, &str)], #[case] expected: Option<(u64, u64, u64)>) {
        let expected = expected.map(|(limit, remaining, window)| RateLimit {
            limit,
            remaining,
            window: Duration::from_secs(window),
        });
        assert_eq!(read(headers), expected);
    }

    #[rstest]
    #[case::whole(100, 100, 60)]
    #[case::half(50, 10, 60)]
    // 29 requests above the reserve, 10 a round: 2.9 rounds in six hours, but never put off for more than one.
    #[case::low(49, 10, 3600)]
    #[case::one_request(49, 1, 744)]
    #[case::reserve(20, 1, 3600)]
    #[case::none(0, 1, 3600)]
    fn polling_slows_before_the_limit(#[case] remaining: u64, #[case] requests: u64, #[case] seconds: u64) {
        let limit = RateLimit { limit: 100, remaining, window: Duration::from_secs(21600) };
        assert_eq!(limit.spacing(Duration::from_secs(60), requests).as_secs(), seconds);
    }

    proptest! {
        #[test]
        fn never_sooner_than_wanted_and_never_never(limit in 1u64.., remaining: u64, window in 0u64..100_000, requests: u64) {
            let wanted = Duration::from_secs(60);
            let limit = RateLimit { limit, remaining, window: Duration::from_secs(window) };
            let spacing = limit.spacing(wanted, requests);
            prop_assert!(wanted <= spacing && spacing <= PUT_OFF_MAX);
        }
    }
}
