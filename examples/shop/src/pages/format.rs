//! Numbers and instants as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// 123456 cents as €1,234.56.
pub fn money(cents: i64) -> String {
    let sign = if cents < 0 { "−" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}€{}.{:02}", grouped(cents / 100), cents % 100)
}

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub fn count(number: i64) -> String {
    let sign = if number < 0 { "−" } else { "" };
    format!("{sign}{}", grouped(number.unsigned_abs()))
}

/// "1 order", "3 orders".
pub fn plural(number: i64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

pub fn day(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %B %Y").to_string()
}

pub fn minute(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC)
        .strftime("%-d %b %Y, %H:%M UTC")
        .to_string()
}

pub fn month(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%b %Y").to_string()
}

pub fn initials(name: &str) -> String {
    name.split_whitespace()
        .filter_map(|word| word.chars().next())
        .take(2)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_two_decimals_and_groups() {
        assert_eq!(money(0), "€0.00");
        assert_eq!(money(1_999), "€19.99");
        assert_eq!(money(123_456_789), "€1,234,567.89");
        assert_eq!(money(-5), "−€0.05");
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(plural(1, "order", "orders"), "1 order");
        assert_eq!(plural(2_000, "order", "orders"), "2,000 orders");
    }
}
