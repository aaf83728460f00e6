//! Milliseconds since 1970-01-01 UTC, and ISO 8601.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// The current time, in milliseconds since 1970-01-01 UTC.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970-01-01 UTC as ISO 8601, in UTC.
pub fn iso(ms: u64) -> String {
    let time = i64::try_from(ms).ok();
    let time = time.and_then(|ms| Timestamp::from_millisecond(ms).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}

/// Parses a time in ISO 8601 to milliseconds since 1970-01-01 UTC; `None` for other text and for earlier times.
pub fn from_iso(text: &str) -> Option<u64> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok()
}
