//! Dates and times in `DateStyle = ISO` text. Every other DateStyle is told apart by its shape (ISO alone
//! begins with a year of at least four digits and a hyphen) and refused.
//!
//! Shapes, from `EncodeDateTime` in src/backend/utils/adt/datetime.c: `2026-02-01`, `0044-03-15 BC`,
//! `12026-02-01 04:05:06.789+08`, with offsets `+HH`, `+HH:MM`, `+HH:MM:SS`.

use super::Unreadable;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_DAYS: i64 = 10_957;

/// On the binary wire, the ends of int4 are the infinities.
pub fn date_binary(days: i32) -> i64 {
    match days {
        i32::MIN => i64::MIN,
        i32::MAX => i64::MAX,
        days => days.into(),
    }
}

/// Days since 2000-01-01.
pub fn date_text(bytes: &[u8]) -> Result<i64, Unreadable> {
    if let Some(infinite) = infinity(bytes) {
        return Ok(infinite);
    }
    let (before_christ, rest) = era(bytes);
    let (days, rest) = date(rest, before_christ)?;
    if rest.is_empty() {
        Ok(days)
    } else {
        Err(Unreadable::Setting)
    }
}

/// Microseconds since midnight; 24:00:00 is a value.
pub fn time_text(bytes: &[u8]) -> Result<i64, Unreadable> {
    let (us, rest) = time(bytes)?;
    if rest.is_empty() && us <= DAY_US {
        Ok(us)
    } else {
        Err(Unreadable::Broken)
    }
}

/// Microseconds since 2000-01-01 00:00:00.
pub fn timestamp_text(bytes: &[u8]) -> Result<i64, Unreadable> {
    if let Some(infinite) = infinity(bytes) {
        return Ok(infinite);
    }
    let (us, rest) = date_and_time(bytes)?;
    if rest.is_empty() {
        Ok(us)
    } else {
        Err(Unreadable::Broken)
    }
}

/// Microseconds since 2000-01-01 00:00:00 UTC.
pub fn timestamptz_text(bytes: &[u8]) -> Result<i64, Unreadable> {
    if let Some(infinite) = infinity(bytes) {
        return Ok(infinite);
    }
    let (local, rest) = date_and_time(bytes)?;
    let east_of_utc = offset(rest)?;
    local
        .checked_sub(east_of_utc * SECOND_US)
        .ok_or(Unreadable::Broken)
}

fn infinity(bytes: &[u8]) -> Option<i64> {
    match bytes {
        b"infinity" => Some(i64::MAX),
        b"-infinity" => Some(i64::MIN),
        _ => None,
    }
}

fn era(bytes: &[u8]) -> (bool, &[u8]) {
    match bytes.strip_suffix(b" BC") {
        Some(rest) => (true, rest),
        None => (false, bytes),
    }
}

/// Gives what follows the time: an offset or nothing.
fn date_and_time(bytes: &[u8]) -> Result<(i64, &[u8]), Unreadable> {
    let (before_christ, rest) = era(bytes);
    let (days, rest) = date(rest, before_christ)?;
    let rest = rest.strip_prefix(b" ").ok_or(Unreadable::Setting)?;
    let (us, rest) = time(rest)?;
    let total = days
        .checked_mul(DAY_US)
        .and_then(|d| d.checked_add(us))
        .ok_or(Unreadable::Broken)?;
    Ok((total, rest))
}

fn date(bytes: &[u8], before_christ: bool) -> Result<(i64, &[u8]), Unreadable> {
    let length = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
    // PostgreSQL's last year is 5,874,897.
    if !(4..=7).contains(&length) {
        return Err(Unreadable::Setting);
    }
    let (year, rest) = number(bytes, length)?;
    let (month, rest) = number(rest.strip_prefix(b"-").ok_or(Unreadable::Setting)?, 2)?;
    let (day, rest) = number(rest.strip_prefix(b"-").ok_or(Unreadable::Setting)?, 2)?;
    if year == 0 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(Unreadable::Broken);
    }
    // There is no year 0: 1 BC comes before 1.
    let year = if before_christ { 1 - year } else { year };
    Ok((days_from_civil(year, month, day), rest))
}

fn time(bytes: &[u8]) -> Result<(i64, &[u8]), Unreadable> {
    let (hours, rest) = number(bytes, 2)?;
    let (minutes, rest) = number(rest.strip_prefix(b":").ok_or(Unreadable::Broken)?, 2)?;
    let (seconds, mut rest) = number(rest.strip_prefix(b":").ok_or(Unreadable::Broken)?, 2)?;
    if hours > 24 || minutes > 59 || seconds > 59 {
        return Err(Unreadable::Broken);
    }
    let mut us = 0;
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=6).contains(&length) {
            return Err(Unreadable::Broken);
        }
        (us, rest) = number(fraction, length)?;
        us = (length..6).fold(us, |us, _| us * 10);
    }
    Ok((((hours * 60 + minutes) * 60 + seconds) * SECOND_US + us, rest))
}

/// Seconds east of UTC.
fn offset(bytes: &[u8]) -> Result<i64, Unreadable> {
    let (sign, rest) = match bytes.split_first() {
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        _ => return Err(Unreadable::Setting),
    };
    let (hours, mut rest) = number(rest, 2)?;
    let mut seconds = hours * 3600;
    for unit in [60, 1] {
        if let Some(next) = rest.strip_prefix(b":") {
            let value;
            (value, rest) = number(next, 2)?;
            seconds += value * unit;
        }
    }
    if rest.is_empty() {
        Ok(sign * seconds)
    } else {
        Err(Unreadable::Setting)
    }
}

fn number(bytes: &[u8], length: usize) -> Result<(i64, &[u8]), Unreadable> {
    let (digits, rest) = bytes.split_at_checked(length).ok_or(Unreadable::Setting)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Unreadable::Setting);
    }
    Ok((
        digits.iter().fold(0, |value, d| value * 10 + i64::from(d - b'0')),
        rest,
    ))
}

/// Days since 2000-01-01 in the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms", days_from_civil).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468 - EPOCH_DAYS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_from_2000() {
        assert_eq!(date_text(b"2000-01-01"), Ok(0));
        assert_eq!(date_text(b"1999-12-31"), Ok(-1));
        assert_eq!(date_text(b"2000-03-01"), Ok(60));
        assert_eq!(date_text(b"0001-01-01"), Ok(-730_119));
        assert_eq!(date_text(b"0001-12-31 BC"), Ok(-730_120));
        assert_eq!(date_text(b"4713-01-01 BC"), Ok(-2_451_507));
        assert_eq!(date_text(b"5874897-12-31"), Ok(2_145_031_948));
        assert_eq!(
            (date_text(b"-infinity"), date_text(b"infinity")),
            (Ok(i64::MIN), Ok(i64::MAX))
        );
    }

    #[test]
    fn timestamps_count_microseconds() {
        assert_eq!(timestamp_text(b"2000-01-01 00:00:00"), Ok(0));
        assert_eq!(timestamp_text(b"2000-01-02 00:00:00.5"), Ok(DAY_US + 500_000));
        assert_eq!(timestamp_text(b"1999-12-31 23:59:59.999999"), Ok(-1));
        assert_eq!(timestamp_text(b"0001-12-31 00:00:00 BC"), Ok(-730_120 * DAY_US));
        assert_eq!(
            timestamp_text(b"294276-12-31 23:59:59.999999"),
            Ok(9_223_371_331_199_999_999)
        );
    }

    #[test]
    fn offsets_lead_to_utc() {
        for text in [
            "2000-01-01 08:00:00+08",
            "2000-01-01 05:30:00+05:30",
            "1999-12-31 23:15:30-00:44:30",
            "2000-01-01 00:00:00+00",
        ] {
            assert_eq!(timestamptz_text(text.as_bytes()), Ok(0), "{text}");
        }
        let ancient = timestamptz_text(b"0044-03-15 12:00:00+00:49:56 BC").expect("ISO");
        assert!(ancient < timestamptz_text(b"0043-03-15 12:00:00+00 BC").expect("ISO"));
    }

    #[test]
    fn times_of_day_include_its_end() {
        assert_eq!(time_text(b"24:00:00"), Ok(DAY_US));
        assert_eq!(time_text(b"00:00:01.000002"), Ok(SECOND_US + 2));
        assert!(time_text(b"24:00:01").is_err() && time_text(b"12:00").is_err());
    }

    #[test]
    fn other_date_styles_are_refused() {
        for text in [
            "01/02/2026",
            "02-01-2026",
            "01.02.2026",
            "Sun Feb 01 00:00:00 2026",
            "",
            "26-02-01",
            "2026-2-1",
        ] {
            assert!(date_text(text.as_bytes()).is_err(), "{text:?}");
            assert!(timestamp_text(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in [
            "2026-02-01 04:05:06 CST",
            "2026-02-01 04:05:06",
            "2026-02-01 04:05:06+8",
        ] {
            assert!(timestamptz_text(text.as_bytes()).is_err(), "{text:?}");
        }
    }
}
