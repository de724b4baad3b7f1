//! Amounts as people write them: durations, bytes, CPUs.

use std::time::Duration;

/// A unit and its nanoseconds.
type Unit = (&'static str, u64);

/// The units of Go's `time.ParseDuration`, which Compose uses.
const COMPOSE_UNITS: &[Unit] = &[
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];
/// The units of our own keys.
const OWN_UNITS: &[Unit] = &[
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
    ("w", 604_800_000_000_000),
];
/// The engine counts nanoseconds in 64 bits with a sign, about 292 years.
const NANOS_MAX: u128 = i64::MAX as u128;
/// Digits after the point that can still matter: a nanosecond of an hour has 13.
const FRACTION_DIGITS_MAX: usize = 15;

/// A duration of a Compose key, e.g. `1m30s`, `500ms`, `1.5h`, `0`.
pub(super) fn compose_duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    duration(text, COMPOSE_UNITS, "write e.g. \"10s\", \"1m30s\", \"500ms\" or \"1h\"")
}

/// A duration of one of our own keys, e.g. `90s`, `1h30m`, `7d`.
pub(super) fn own_duration(text: &str) -> Result<Duration, String> {
    duration(text, OWN_UNITS, "write e.g. \"90s\", \"1h30m\" or \"7d\"")
}

fn duration(text: &str, units: &[Unit], help: &str) -> Result<Duration, String> {
    let mut rest = text;
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let number_len = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(number_len);
        let unit_len = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_len);
        let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit) else { return Err(help.into()) };
        let amount = decimal(number, u128::from(*scale)).ok_or(help)?;
        nanos = nanos.checked_add(amount).filter(|n| *n <= NANOS_MAX).ok_or("the duration is too long")?;
        rest = after;
    }
    if text.is_empty() {
        return Err(help.into());
    }
    let nanos = u64::try_from(nanos).map_err(|_| "the duration is too long")?;
    Ok(Duration::from_nanos(nanos))
}

/// `number × scale`, rounded down. `None`: not a decimal number, or far too large.
fn decimal(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let part: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let divisor = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(scale)?.checked_add(part.checked_mul(scale)? / divisor)
}

/// Bytes as docker reads them: `64M`, `1gb`, `512`, `0.5GiB`; all units are 1024-based.
pub(super) fn bytes(text: &str) -> Result<u64, String> {
    const HELP: &str = "write e.g. \"64M\", \"1gb\" or \"512k\" (units b, k, m, g, t; 1024-based)";
    let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(number_len);
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let scale: u128 = match unit.as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(HELP.into()),
    };
    let value = decimal(number, scale).ok_or(HELP)?;
    u64::try_from(value).ok().filter(|v| *v <= i64::MAX as u64).ok_or_else(|| "the size is too large".into())
}

/// CPUs in billionths, e.g. `0.5`. The engine knows nine digits after the point.
pub(super) fn nano_cpus(text: &str) -> Result<u64, String> {
    const HELP: &str = "write e.g. \"0.5\" or \"2\"";
    if text.split_once('.').is_some_and(|(_, fraction)| fraction.trim_end_matches('0').len() > 9) {
        return Err("at most nine digits after the point".into());
    }
    let value = decimal(text, 1_000_000_000).ok_or(HELP)?;
    u64::try_from(value).ok().filter(|v| *v <= i64::MAX as u64).ok_or_else(|| "that is too many CPUs".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("10s", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("500ms", 500_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1h0m1s", 3_601_000_000_000),
            ("7µs", 7_000),
            ("7us3ns", 7_003),
        ] {
            assert_eq!(compose_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1 s", "1d", "1x", "1..5s", ".s", "1h 30m", "9999999999h", "١s"] {
            assert!(compose_duration(text).is_err(), "{text}");
        }
        for (text, seconds) in [("90s", 90), ("1h30m", 5400), ("7d", 604_800), ("2w", 1_209_600), ("0s", 0)] {
            assert_eq!(own_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0", "5", "500ms", "1y", "1e3s"] {
            assert!(own_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", 0),
            ("512", 512),
            ("512b", 512),
            ("64M", 64 << 20),
            ("1gb", 1 << 30),
            ("1GiB", 1 << 30),
            ("2k", 2048),
            ("0.5g", 1 << 29),
            ("1 kb", 1024),
        ] {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "M", "-1M", "1x", "1  k", "9999999t", "1e3", "0x10"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpus() {
        for (text, expected) in
            [("0.5", 500_000_000), ("2", 2_000_000_000), ("0.000000001", 1), ("1.50", 1_500_000_000)]
        {
            assert_eq!(nano_cpus(text), Ok(expected), "{text}");
        }
        for text in ["", ".", "-1", "1e3", "0.0000000001", "99999999999", "half"] {
            assert!(nano_cpus(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panic(text in "[0-9.]{0,45}[a-zµ ]{0,3}[0-9.]{0,5}[a-z]{0,2}|(?s).{0,20}") {
            let _ = (compose_duration(&text), own_duration(&text), bytes(&text), nano_cpus(&text));
        }
    }
}
