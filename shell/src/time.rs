//! Times in milliseconds since 1970-01-01 UTC, their text forms, and the machine's uptime.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use keyshell_base::time::now_ms;
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Error, Result};

#[cfg(target_os = "linux")]
const UPTIME: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const UPTIME: ClockId = ClockId::Monotonic;

/// Time since the machine was started; on Linux it includes suspended time.
pub fn uptime() -> Duration {
    clock(UPTIME)
}

/// Total time for which the machine was suspended since it was started; zero on systems other than Linux.
pub fn suspended() -> Duration {
    uptime().saturating_sub(clock(ClockId::Monotonic))
}

fn clock(id: ClockId) -> Duration {
    let now = clock_gettime(id);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(now.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

/// Formats a time in the local time zone, to the second; `?` for times out of the calendar's range.
pub fn local(ms: u64) -> String {
    timestamp(ms).map_or_else(
        || "?".to_owned(),
        |time| {
            let zoned = time.to_zoned(TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
        },
    )
}

/// Formats the time elapsed since `ms`, in the largest unit of which there is at least one: `3 h ago`.
pub fn ago(ms: u64) -> String {
    since(ms, now_ms())
}

/// Formats a time for results; for a person with the time elapsed since.
pub fn for_reader(ms: u64, is_person: bool) -> String {
    if is_person {
        format!("{} ({})", local(ms), ago(ms))
    } else {
        local(ms)
    }
}

fn since(ms: u64, now_ms: u64) -> String {
    let Some(seconds) = now_ms.checked_sub(ms).map(|ms| ms / 1000) else {
        // A future time: small differences of clocks are hidden, larger ones shown.
        return if ms - now_ms < 60_000 {
            "now".to_owned()
        } else {
            local(ms)
        };
    };
    let (unit, name) = match seconds {
        0..60 => return "now".to_owned(),
        60..3_600 => (60, "min"),
        3_600..86_400 => (3_600, "h"),
        86_400..5_184_000 => (86_400, "d"),
        5_184_000..63_072_000 => (2_592_000, "months"),
        _ => (31_536_000, "years"),
    };
    format!("{} {name} ago", seconds / unit)
}

fn timestamp(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

/// The text is not a duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is a number with a unit, such as 45s, 15m or 2h, and not zero")]
pub struct NoSpan;

/// Parses a duration other than zero: `45s`, `15m`, `1h 30m`.
///
/// # Errors
/// [`NoSpan`].
pub fn span(text: &str) -> Result<Duration, NoSpan> {
    let span = humantime::parse_duration(text).map_err(|_| NoSpan)?;
    (!span.is_zero()).then_some(span).ok_or(NoSpan)
}

/// Parses a point in time: `2026-11-24`, `2026-11-24 12:00`, RFC 3339, or a duration before now such as `2h` or `3days`.
/// Returns milliseconds since 1970-01-01 UTC.
///
/// # Errors
/// [`Error::usage`].
pub fn parse(text: &str) -> Result<u64> {
    let text = text.trim();
    if let Ok(span) = humantime::parse_duration(text) {
        let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        return Ok(now_ms().saturating_sub(span));
    }
    let zone = TimeZone::system();
    let local = |time: DateTime| {
        time.to_zoned(zone.clone())
            .ok()
            .map(|z: Zoned| z.timestamp())
    };
    let time = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| local(text.parse::<DateTime>().ok()?))
        .or_else(|| local(text.parse::<Date>().ok()?.into()));
    time.and_then(|time| u64::try_from(time.as_millisecond()).ok())
        .ok_or_else(|| {
            Error::usage(format!(
                "`{text}` is not a time: 2026-11-24, \"2026-11-24 12:00\", or a duration before now such as 2h or 3days"
            ))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_and_are_not_zero() {
        assert_eq!(span("45s"), Ok(Duration::from_secs(45)));
        assert_eq!(span("1h 30m"), Ok(Duration::from_mins(90)));
        for text in ["45", "3x", "0s", "", "-1s"] {
            assert_eq!(span(text), Err(NoSpan), "{text}");
        }
    }

    #[test]
    fn elapsed_time_is_given_in_its_largest_unit() {
        const DAY: u64 = 86_400;
        let now = 2_000_000_000_000;
        let of = |seconds: u64| since(now - seconds * 1000, now);
        let told = [0, 59, 60, 3_599, 3_600, DAY - 1, DAY, 59 * DAY, 60 * DAY].map(of);
        let expected = [
            "now",
            "now",
            "1 min ago",
            "59 min ago",
            "1 h ago",
            "23 h ago",
            "1 d ago",
            "59 d ago",
            "2 months ago",
        ];
        assert_eq!(told, expected);
        assert_eq!(of(730 * DAY), "2 years ago");
        assert_eq!(since(now + 59_999, now), "now");
        assert_eq!(since(now + 60_000, now), local(now + 60_000));
        assert_eq!(since(u64::MAX, now), "?");
    }
}
