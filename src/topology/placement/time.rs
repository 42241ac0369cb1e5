//! Shards by periods of time. Period p of a table is the p-th calendar hour, day, week (ISO, from
//! Monday), month or year after the one that `from` names; negative before it.
//!
//! Date and timestamp keys have no zone: their own calendar counts. A timestamptz key is cut by the
//! calendar of `zone`: period p lasts from the first instant at which clocks there show p's start or
//! later, to the same of p + 1. So an hour that clocks repeat belongs to one period, and one that
//! they skip has a period without instants (which gets no table). The same instants are the bounds
//! of the partitions on the servers, so that both sides agree by construction.

use std::ops::{Bound, RangeInclusive};

use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, civil};

use crate::model::{KeyType, ShardId, Value};

use super::{Every, ShardRange, Time};

pub const HOUR_US: i64 = 3_600_000_000;
pub const DAY_US: i64 = 24 * HOUR_US;
/// Microseconds from the Unix epoch to 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;
/// 2000-01-01 was a Saturday: its ISO week began five days before.
const WEEK_SHIFT_DAYS: i64 = 5;

impl Time {
    /// The period of a key of type `ty`. None: infinity, or not a time.
    pub fn period_of(&self, key: &Value, ty: KeyType) -> Option<ShardId> {
        let period = match (key, ty) {
            (Value::Date(day), _) => self.local_period(i64::from(*day).checked_mul(DAY_US)?)?,
            (Value::Timestamp(us), KeyType::Timestamptz) => self.instant_period(*us)?,
            (Value::Timestamp(us), _) => self.local_period(*us)?,
            (Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Uuid(_) | Value::Bytea(_), _) => {
                return None;
            }
        };
        Some(ShardId(period))
    }

    /// The period of an instant (microseconds since 2000-01-01 UTC) in the table's zone.
    pub fn period_at(&self, instant_us: i64) -> Option<ShardId> {
        self.instant_period(instant_us).map(ShardId)
    }

    /// The periods that have to exist at an instant: from the first that isn't retired yet to `ahead`
    /// after the present one.
    pub fn wanted(&self, now_us: i64) -> RangeInclusive<i32> {
        let current = self.instant_period(now_us).unwrap_or(0).max(0);
        let ahead = i32::try_from(self.ahead).unwrap_or(i32::MAX);
        let kept = self.retire.and_then(|r| i32::try_from(r.after).ok());
        let first = kept.map_or(0, |kept| (current - kept + 1).max(0));
        first..=current.saturating_add(ahead)
    }

    /// Periods that may hold keys between.
    pub fn periods_between(&self, lo: Bound<&Value>, hi: Bound<&Value>, ty: KeyType) -> ShardRange {
        let number = |key: Option<Value>| key.and_then(|k| self.period_of(&k, ty)).map(|s| s.0);
        ShardRange {
            first: match lo {
                Bound::Unbounded => None,
                Bound::Included(key) => number(Some(key.clone())),
                Bound::Excluded(key) => number(next(key, 1)),
            },
            last: match hi {
                Bound::Unbounded => None,
                Bound::Included(key) => number(Some(key.clone())),
                Bound::Excluded(key) => number(next(key, -1)),
            },
        }
    }

    /// The first key of a period, as a value of the key's type. None: out of the calendar, or a
    /// date key cut into hours.
    pub fn start(&self, period: ShardId, ty: KeyType) -> Option<Value> {
        match ty {
            KeyType::Date => {
                let us = self.local_start(period.0)?;
                (us % DAY_US == 0)
                    .then(|| i32::try_from(us / DAY_US).ok())
                    .flatten()
                    .map(Value::Date)
            }
            KeyType::Timestamptz => self.instant_start(period.0).map(Value::Timestamp),
            KeyType::Timestamp => self.local_start(period.0).map(Value::Timestamp),
            KeyType::Bool
            | KeyType::Int2
            | KeyType::Int4
            | KeyType::Int8
            | KeyType::Text
            | KeyType::Bpchar
            | KeyType::Uuid
            | KeyType::Bytea => None,
        }
    }

    /// `2026_01_15_08`, `2026_01_15`, `2026_w03`, `2026_01` or `2026`.
    pub fn suffix(&self, period: ShardId) -> Option<String> {
        let start = datetime(self.local_start(period.0)?)?;
        let (year, month, day) = (start.year(), start.month(), start.day());
        Some(match self.every {
            Every::Hour => format!("{year:04}_{month:02}_{day:02}_{:02}", start.hour()),
            Every::Day => format!("{year:04}_{month:02}_{day:02}"),
            Every::Week => {
                let week = start.date().iso_week_date();
                format!("{:04}_w{:02}", week.year(), week.week())
            }
            Every::Month => format!("{year:04}_{month:02}"),
            Every::Year => format!("{year:04}"),
        })
    }

    /// The period of a suffix; blanks, dashes and colons may stand for its underscores. None: it is none.
    pub fn named(&self, suffix: &str) -> Option<ShardId> {
        let suffix = suffix.trim().replace(['-', ' ', ':', 'T'], "_");
        let mut parts = suffix.split('_');
        let year: i16 = parts.next()?.parse().ok()?;
        let second = parts.next().unwrap_or("01");
        let date = match second.strip_prefix('w') {
            Some(week) => civil::ISOWeekDate::new(year, week.parse().ok()?, civil::Weekday::Monday)
                .ok()?
                .date(),
            None => civil::Date::new(
                year,
                second.parse().ok()?,
                parts.next().unwrap_or("01").parse().ok()?,
            )
            .ok()?,
        };
        let hour: i8 = parts.next().unwrap_or("0").parse().ok()?;
        let start = date.to_datetime(civil::Time::new(hour, 0, 0, 0).ok()?);
        let period = ShardId(self.local_period(micros(start)?)?);
        (self.suffix(period)? == suffix).then_some(period)
    }

    /// Microseconds since 2000-01-01 of the period's first moment on a local clock.
    pub fn local_start(&self, period: i32) -> Option<i64> {
        let number = absolute(self.every, self.from)? + i64::from(period);
        start_of(self.every, number)
    }

    /// The first instant at which clocks in the zone show the period's start or later.
    pub fn instant_start(&self, period: i32) -> Option<i64> {
        first_instant(&self.zone, self.local_start(period)?)
    }

    fn local_period(&self, local_us: i64) -> Option<i32> {
        let number = absolute(self.every, local_us)? - absolute(self.every, self.from)?;
        i32::try_from(number).ok()
    }

    fn instant_period(&self, us: i64) -> Option<i32> {
        let offset = self.zone.to_offset(timestamp(us)?).seconds();
        let mut period = self.local_period(us.checked_add(i64::from(offset) * 1_000_000)?)?;
        if self.zone.to_fixed_offset().is_ok() {
            return Some(period);
        }
        // Where clocks were set back the local reading may be one period off.
        while self.instant_start(period)? > us {
            period -= 1;
        }
        while self.instant_start(period + 1)? <= us {
            period += 1;
        }
        Some(period)
    }
}

/// Microseconds since 2000-01-01 of the start of the period that contains a local moment.
pub fn floor(every: Every, local_us: i64) -> Option<i64> {
    start_of(every, absolute(every, local_us)?)
}

/// Number of a period, counted from a fixed origin.
fn absolute(every: Every, local_us: i64) -> Option<i64> {
    let days = local_us.div_euclid(DAY_US);
    Some(match every {
        Every::Hour => {
            datetime(local_us)?;
            local_us.div_euclid(HOUR_US)
        }
        Every::Day => {
            datetime(local_us)?;
            days
        }
        Every::Week => {
            datetime(local_us)?;
            (days + WEEK_SHIFT_DAYS).div_euclid(7)
        }
        Every::Month => {
            let date = datetime(local_us)?;
            i64::from(date.year()) * 12 + i64::from(date.month()) - 1
        }
        Every::Year => i64::from(datetime(local_us)?.year()),
    })
}

/// The inverse of `absolute`: a period's first local moment.
fn start_of(every: Every, number: i64) -> Option<i64> {
    let (year, month) = match every {
        Every::Hour => return number.checked_mul(HOUR_US),
        Every::Day => return number.checked_mul(DAY_US),
        Every::Week => {
            return number
                .checked_mul(7)?
                .checked_sub(WEEK_SHIFT_DAYS)?
                .checked_mul(DAY_US);
        }
        Every::Month => (number.div_euclid(12), number.rem_euclid(12) + 1),
        Every::Year => (number, 1),
    };
    let date = civil::Date::new(i16::try_from(year).ok()?, month as i8, 1).ok()?;
    micros(date.to_datetime(civil::Time::midnight()))
}

/// The value before (-1) or after (1) in the order of its type.
fn next(key: &Value, step: i32) -> Option<Value> {
    match key {
        Value::Date(day) => day.checked_add(step).map(Value::Date),
        Value::Timestamp(us) => us.checked_add(i64::from(step)).map(Value::Timestamp),
        Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Uuid(_) | Value::Bytea(_) => None,
    }
}

fn timestamp(us: i64) -> Option<Timestamp> {
    Timestamp::from_microsecond(us.checked_add(EPOCH_US)?).ok()
}

fn datetime(local_us: i64) -> Option<civil::DateTime> {
    Some(TimeZone::UTC.to_datetime(timestamp(local_us)?))
}

/// Microseconds since 2000-01-01 of a moment on a local clock.
pub fn micros(local: civil::DateTime) -> Option<i64> {
    Some(TimeZone::UTC.to_timestamp(local).ok()?.as_microsecond() - EPOCH_US)
}

/// The first instant at which clocks in `zone` show `local_us` or later.
pub fn first_instant(zone: &TimeZone, local_us: i64) -> Option<i64> {
    let at = |offset: jiff::tz::Offset| local_us.checked_sub(i64::from(offset.seconds()) * 1_000_000);
    match zone.to_ambiguous_timestamp(datetime(local_us)?).offset() {
        AmbiguousOffset::Unambiguous { offset } => at(offset),
        // Clocks show it twice: the first time.
        AmbiguousOffset::Fold { before, .. } => at(before),
        // Clocks never show it: the instant at which they jump over it.
        AmbiguousOffset::Gap { before, .. } => {
            let after = timestamp(at(before)?.checked_add(1)?)?;
            let jump = zone.preceding(after).next()?.timestamp();
            Some(jump.as_microsecond() - EPOCH_US)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(every: Every, zone: &str, from: &str) -> Time {
        let from = micros(from.parse().unwrap()).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        Time {
            every,
            zone,
            from,
            ahead: 2,
            create_outside: false,
            retire: None,
        }
    }

    fn instant(text: &str) -> Value {
        Value::Timestamp(text.parse::<Timestamp>().unwrap().as_microsecond() - EPOCH_US)
    }

    fn name(t: &Time, key: &Value, ty: KeyType) -> String {
        t.suffix(t.period_of(key, ty).unwrap()).unwrap()
    }

    #[test]
    fn suffixes_are_frozen() {
        let key = instant("2026-01-15T08:30:00Z");
        let suffix = |every| {
            name(
                &time(every, "UTC", "2026-01-01T00:00:00"),
                &key,
                KeyType::Timestamptz,
            )
        };
        assert_eq!(suffix(Every::Hour), "2026_01_15_08");
        assert_eq!(suffix(Every::Day), "2026_01_15");
        assert_eq!(suffix(Every::Week), "2026_w03");
        assert_eq!(suffix(Every::Month), "2026_01");
        assert_eq!(suffix(Every::Year), "2026");
        // The ISO year of a week isn't always the calendar's.
        let week = time(Every::Week, "UTC", "2026-01-05T00:00:00");
        assert_eq!(
            name(&week, &instant("2027-01-01T12:00:00Z"), KeyType::Timestamptz),
            "2026_w53"
        );
    }

    #[test]
    fn months_go_over_the_year_and_before_the_first() {
        let t = time(Every::Month, "UTC", "2026-01-01T00:00:00");
        let at = |s| {
            (
                t.period_of(&instant(s), KeyType::Timestamptz).unwrap().0,
                name(&t, &instant(s), KeyType::Timestamptz),
            )
        };
        assert_eq!(at("2027-01-31T23:59:59Z"), (12, "2027_01".into()));
        assert_eq!(at("2025-12-31T23:59:59.999999Z"), (-1, "2025_12".into()));
        assert_eq!(at("2026-01-01T00:00:00Z"), (0, "2026_01".into()));
        assert_eq!(at("2024-02-29T00:00:00Z"), (-23, "2024_02".into()));
    }

    #[test]
    fn a_month_begins_at_midnight_of_the_zone() {
        let t = time(Every::Month, "Asia/Shanghai", "2026-01-01T00:00:00");
        let at = |s| name(&t, &instant(s), KeyType::Timestamptz);
        assert_eq!(at("2026-01-31T15:59:59Z"), "2026_01");
        assert_eq!(at("2026-01-31T16:00:00Z"), "2026_02");
        // A timestamp without zone is its own calendar.
        assert_eq!(
            name(&t, &instant("2026-01-31T16:00:00Z"), KeyType::Timestamp),
            "2026_01"
        );
        assert_eq!(
            t.start(ShardId(1), KeyType::Timestamptz),
            Some(instant("2026-01-31T16:00:00Z"))
        );
        assert_eq!(
            t.start(ShardId(1), KeyType::Timestamp),
            Some(instant("2026-02-01T00:00:00Z"))
        );
        assert_eq!(t.start(ShardId(1), KeyType::Date), Some(Value::Date(9_528)));
    }

    #[test]
    fn the_repeated_hour_is_one_period_and_the_skipped_one_is_empty() {
        // New York: 2026-11-01 01:00–02:00 twice; 2026-03-08 02:00–03:00 never.
        let t = time(Every::Hour, "America/New_York", "2026-01-01T00:00:00");
        let at = |s| name(&t, &instant(s), KeyType::Timestamptz);
        assert_eq!(at("2026-11-01T05:30:00Z"), "2026_11_01_01");
        assert_eq!(at("2026-11-01T06:30:00Z"), "2026_11_01_01");
        assert_eq!(at("2026-11-01T07:00:00Z"), "2026_11_01_02");
        assert_eq!(at("2026-03-08T06:59:59Z"), "2026_03_08_01");
        assert_eq!(at("2026-03-08T07:00:00Z"), "2026_03_08_03");
        let three = t
            .period_of(&instant("2026-03-08T07:00:00Z"), KeyType::Timestamptz)
            .unwrap()
            .0;
        assert_eq!(t.instant_start(three - 1), t.instant_start(three));
    }

    #[test]
    fn every_instant_lies_between_the_starts_of_its_period() {
        let mut seed = 0x5eed_u64;
        for zone in [
            "UTC",
            "America/New_York",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Africa/Cairo",
        ] {
            for every in [Every::Hour, Every::Day, Every::Week, Every::Month, Every::Year] {
                let t = time(every, zone, "2011-01-01T00:00:00");
                for _ in 0..400 {
                    seed = seed
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    // 1990 to 2030.
                    let us = (seed >> 13) as i64 % (40 * 366 * DAY_US) - 10 * 365 * DAY_US;
                    let p = t.period_at(us).unwrap().0;
                    let (start, end) = (t.instant_start(p).unwrap(), t.instant_start(p + 1).unwrap());
                    assert!(start <= us && us < end, "{zone} {every:?} {us}: {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn a_range_of_keys_is_a_range_of_periods_open_where_nothing_is_known() {
        let t = time(Every::Month, "UTC", "2026-01-01T00:00:00");
        let (jan, mar) = (instant("2026-01-01T00:00:00Z"), instant("2026-03-01T00:00:00Z"));
        let between = |lo, hi| {
            let r = t.periods_between(lo, hi, KeyType::Timestamptz);
            (r.first, r.last)
        };
        assert_eq!(
            between(Bound::Included(&jan), Bound::Excluded(&mar)),
            (Some(0), Some(1))
        );
        assert_eq!(
            between(Bound::Included(&jan), Bound::Included(&mar)),
            (Some(0), Some(2))
        );
        assert_eq!(between(Bound::Excluded(&mar), Bound::Unbounded), (Some(2), None));
        // Infinity is beyond every period.
        assert_eq!(
            between(Bound::Unbounded, Bound::Included(&Value::Timestamp(i64::MAX))),
            (None, None)
        );
    }

    #[test]
    fn wanted_periods_reach_ahead_of_now() {
        let t = time(Every::Month, "UTC", "2026-01-01T00:00:00");
        let us = |s| match instant(s) {
            Value::Timestamp(us) => us,
            _ => unreachable!(),
        };
        assert_eq!(t.wanted(us("2026-12-31T00:00:00Z")), 0..=13);
        assert_eq!(t.wanted(us("2025-06-01T00:00:00Z")), 0..=2);
        // What was retired isn't made again.
        let retire = Some(super::super::Retire {
            after: 3,
            action: super::super::RetireAction::Drop,
        });
        let t = Time { retire, ..t };
        assert_eq!(t.wanted(us("2026-12-31T00:00:00Z")), 9..=13);
        assert_eq!(t.wanted(us("2026-02-01T00:00:00Z")), 0..=3);
    }
}
