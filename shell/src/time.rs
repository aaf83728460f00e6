//! Times: milliseconds since 1970-01-01 UTC, and how people read and write them.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::error::Error;

/// Now.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// In the local time zone, to the second; for times that no calendar holds, a question mark.
pub fn local(ms: u64) -> String {
    timestamp(ms).map_or_else(
        || "?".to_owned(),
        |time| {
            let zoned = time.to_zoned(TimeZone::system());
            zoned.strftime("%Y-%m-%d %H:%M:%S").to_string()
        },
    )
}

fn timestamp(ms: u64) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()
}

/// Reads a point in time: `2026-11-24`, `2026-11-24 12:00`, RFC 3339, or a span before now such as `2h` or `3days`.
///
/// # Errors
/// [`Error::Usage`].
pub fn parse(text: &str) -> Result<u64, Error> {
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
            Error::Usage(format!(
                "`{text}` is no time: 2026-11-24, \"2026-11-24 12:00\", or a span before now such as 2h or 3days"
            ))
        })
}
