//! Dates and times in ISO 8601, the form that means the same under every DateStyle. Others aren't read.

use jiff::civil;
use jiff::tz::TimeZone;

use super::{EPOCH_DAYS, EPOCH_US};
use crate::model::Value;

/// `YYYY-MM-DD` only: other forms depend on DateStyle.
pub(super) fn date(text: &str) -> Option<Value> {
    Some(Value::Date(i32::try_from(days(text.trim_matches(' '))?).ok()?))
}

pub(super) fn days(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let number = |range: std::ops::Range<usize>| {
        let part = &text[range];
        part.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| part.parse::<i16>().ok())?
    };
    let day = civil::Date::new(number(0..4)?, number(5..7)? as i8, number(8..10)? as i8).ok()?;
    // The year 0 is an error at the server.
    if day.year() < 1 {
        return None;
    }
    let since = day.since((jiff::Unit::Day, civil::date(1970, 1, 1))).ok()?;
    Some(i64::from(since.get_days()) - EPOCH_DAYS)
}

/// ISO 8601: date, optionally a time with fraction, optionally an offset. Local microseconds since
/// 2000-01-01 and the offset in microseconds.
pub(super) fn timestamp(text: &str) -> Option<(i64, Option<i64>)> {
    let text = text.trim_matches(' ');
    let day = days(text.get(..10)?)?;
    let rest = &text[10..];
    if rest.is_empty() {
        return Some((day.checked_mul(86_400_000_000)?, None));
    }
    let rest = rest.strip_prefix(['T', ' '])?;
    let cut = rest.find(['+', '-', 'Z', 'z']).unwrap_or(rest.len());
    let (clock, zone) = rest.split_at(cut);
    let clock = clock.trim_end_matches(' ');
    let two = |s: &str, max: i64| -> Option<i64> {
        if s.len() != 2 || !s.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        s.parse::<i64>().ok().filter(|n| *n <= max)
    };
    let mut parts = clock.split(':');
    let hour = two(parts.next()?, 23)?;
    let minute = two(parts.next()?, 59)?;
    let mut us = (hour * 3600 + minute * 60) * 1_000_000;
    if let Some(seconds) = parts.next() {
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
        us += two(whole, 59)? * 1_000_000;
        // More than six digits are rounded by the server: not read.
        if fraction.len() > 6 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if !fraction.is_empty() {
            us += format!("{fraction:0<6}").parse::<i64>().ok()?;
        }
    }
    if parts.next().is_some() {
        return None;
    }
    let offset = match zone.as_bytes() {
        [] => None,
        [b'Z' | b'z'] => Some(0),
        [sign, ..] => {
            let digits = &zone[1..];
            let (h, m) = match digits.len() {
                2 => (two(digits, 15)?, 0),
                4 => (two(&digits[..2], 15)?, two(&digits[2..], 59)?),
                5 => (two(digits.get(..2)?, 15)?, two(digits.get(3..)?, 59)?),
                _ => return None,
            };
            if digits.len() == 5 && digits.as_bytes()[2] != b':' {
                return None;
            }
            let abs = (h * 60 + m) * 60_000_000;
            Some(if *sign == b'-' { -abs } else { abs })
        }
    };
    Some((day.checked_mul(86_400_000_000)?.checked_add(us)?, offset))
}

/// A local time of the session's zone as UTC. None in a gap or fold: servers differ from one
/// another there only by version, but a wrong hour would be a wrong shard.
pub(super) fn in_zone(local_us: i64, zone: &TimeZone) -> Option<i64> {
    let unix = local_us.checked_add(EPOCH_US)?;
    let stamp = jiff::Timestamp::from_microsecond(unix).ok()?;
    let civil = stamp.to_zoned(TimeZone::UTC).datetime();
    let ambiguous = zone.to_ambiguous_timestamp(civil);
    let exact = ambiguous.unambiguous().ok()?;
    exact.as_microsecond().checked_sub(EPOCH_US)
}
