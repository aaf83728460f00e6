//! Takes members out of JSON objects by their types, and turns other values into text.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// An object.
pub type Object = Map<String, Value>;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;
/// A date without a time is written as midnight, or as a minute past noon.
const NO_TIME: [i64; 2] = [0, 12 * 60 * 60 + 60];
/// Times from here on are in milliseconds; some versions wrote them so.
const FIRST_MS: u64 = 100_000_000_000;

/// Removes a member if it is of this type.
fn take<T>(object: &mut Object, key: &str, typed: fn(&mut Value) -> Option<&mut T>) -> Option<T>
where
    T: Default,
{
    let member = object.get_mut(key).and_then(typed).map(std::mem::take)?;
    object.remove(key);
    Some(member)
}

/// Removes a member that is a text.
pub fn take_text(object: &mut Object, key: &str) -> Option<String> {
    take(object, key, |value| match value {
        Value::String(text) => Some(text),
        _ => None,
    })
}

/// Removes a member that is an object.
pub fn take_object(object: &mut Object, key: &str) -> Object {
    take(object, key, Value::as_object_mut).unwrap_or_default()
}

/// Removes a member that is a list.
pub fn take_list(object: &mut Object, key: &str) -> Vec<Value> {
    take(object, key, Value::as_array_mut).unwrap_or_default()
}

/// Removes the elements of a list for which `take` returns nothing; blank ones are removed as well.
pub fn take_each(object: &mut Object, key: &str, take: impl FnMut(Value) -> Option<Value>) {
    let mut left: Vec<_> = take_list(object, key)
        .into_iter()
        .filter_map(take)
        .collect();
    left.retain(|value| !is_blank(value));
    if !left.is_empty() {
        object.insert(key.to_owned(), left.into());
    }
}

/// Removes a member that is a time, in milliseconds since 1970-01-01 UTC.
pub fn take_time(object: &mut Object, key: &str) -> Option<u64> {
    let time = time(object.get(key)?)?;
    object.remove(key);
    Some(time)
}

/// A time as milliseconds since 1970-01-01 UTC.
pub fn time(value: &Value) -> Option<u64> {
    match value.as_u64()? {
        0 => None,
        ms @ FIRST_MS.. => Some(ms),
        seconds => seconds.checked_mul(1000),
    }
}

/// Whether a value is empty.
pub fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A text as it is, anything else as JSON.
pub fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// A date from seconds since 1970-01-01 UTC, which may be before that; with the time only where it has one.
pub fn date(seconds: i64) -> Option<String> {
    let time = Timestamp::from_second(seconds).ok()?;
    if NO_TIME.contains(&seconds.rem_euclid(SECONDS_A_DAY)) {
        return Some(time.strftime("%Y-%m-%d").to_string());
    }
    Some(time.to_string())
}

/// A month from a number `YYYYMM`.
pub fn month(number: u64) -> Option<String> {
    let (year, month) = (number / 100, number % 100);
    let is_month = (1000..10_000).contains(&year) && (1..=12).contains(&month);
    is_month.then(|| format!("{year}-{month:02}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_months_are_written_as_people_do() {
        assert_eq!(date(0).as_deref(), Some("1970-01-01"));
        assert_eq!(date(1_513_339_260).as_deref(), Some("2017-12-15"));
        assert_eq!(date(-86_400).as_deref(), Some("1969-12-31"));
        assert_eq!(date(1).as_deref(), Some("1970-01-01T00:00:01Z"));
        assert_eq!(date(i64::MAX), None);
        assert_eq!(month(203_012).as_deref(), Some("2030-12"));
        assert_eq!(month(203_013), None);
        assert_eq!(month(0), None);
    }

    #[test]
    fn times_are_in_seconds_or_milliseconds() {
        assert_eq!(time(&1_614_298_956_u64.into()), Some(1_614_298_956_000));
        assert_eq!(time(&1_614_298_956_000_u64.into()), Some(1_614_298_956_000));
        assert_eq!(time(&0_u64.into()), None);
        assert_eq!(time(&"x".into()), None);
    }
}
